// Command probe is confined like the darkroom and tries to break out: it does
// what a decoder would do that a picture has taken over. It is built only by
// tests, with the tag that lets it leave layers out:
//
//	probe without=LAYERS PARENT TCP-PORT UNIX-SOCKET ABSTRACT-SOCKET FOLDER
//
// It prints a JSON object that names each try and the error that stopped it,
// empty when nothing did. The last try replaces the program: exit code 42.
//
// probe without=all hide|show PROBE ARGUMENTS stands between: a parent that is
// or is not open to its children, which starts PROBE with its own process
// number in place of PARENT. probe without=all old PROGRAM runs it as on a
// kernel that has neither Landlock nor seccomp.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"proofroom/internal/darkroom/confine"
)

func main() {
	switch os.Args[2] {
	case "hide", "show":
		stand(os.Args[2] == "hide", os.Args[3:])
		return
	case "old":
		old(os.Args[3])
	}
	parent, err := strconv.Atoi(os.Args[2])
	check(err)
	port, err := strconv.Atoi(os.Args[3])
	check(err)
	// Writing beyond the limit of a file's size is a signal besides an error.
	signal.Ignore(unix.SIGXFSZ)
	// Tracing belongs to a thread.
	runtime.LockOSThread()
	proc := "/proc/" + os.Args[2] + "/"
	tries := map[string]error{
		"connect by TCP":                  dial(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
		"connect to a socket in a folder": dial(unix.AF_UNIX, &unix.SockaddrUnix{Name: os.Args[4]}),
		"connect to an abstract socket":   dial(unix.AF_UNIX, &unix.SockaddrUnix{Name: "@" + os.Args[5]}),
		"read /etc/passwd":                read("/etc/passwd"),
		"read the parent's environment":   read(proc + "environ"),
		"open the parent's memory":        open(proc+"mem", unix.O_RDWR),
		"write a file":                    write(filepath.Join(os.Args[6], "written-"+strconv.Itoa(os.Getpid()))),
		"signal the parent":               unix.Kill(parent, unix.SIGWINCH),
		"trace the parent":                seize(parent),
		"copy the parent's memory":        copyMemory(parent),
		"make a process":                  fork(),
		"raise its own limits":            raise(),
	}
	said := map[string]string{}
	for name, err := range tries {
		var errno unix.Errno
		switch {
		case errors.As(err, &errno):
			said[name] = unix.ErrnoName(errno)
		case err != nil:
			said[name] = err.Error()
		default:
			said[name] = ""
		}
	}
	check(json.NewEncoder(confine.Output()).Encode(said))
	err = unix.Exec("/bin/sh", []string{"sh", "-c", "exit 42"}, nil)
	fmt.Fprint(confine.Output(), unix.ErrnoName(err.(unix.Errno)))
}

func dial(family int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, to)
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func read(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, make([]byte, 100))
	if err == nil && n == 0 {
		return errors.New("nothing in it")
	}
	return err
}

func write(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("written"))
	return err
}

func seize(pid int) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil // it ends with this process
}

func copyMemory(pid int) error {
	// Any address does: whether one may look is asked before what there is.
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: 8}}, 0)
	if errors.Is(err, unix.EFAULT) {
		return nil
	}
	return err
}

func fork() error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

func raise() error {
	// The darkroom's is two gigabytes.
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

func stand(hide bool, command []string) {
	if hide {
		check(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	}
	command[2] = strconv.Itoa(os.Getpid())
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr, child.Env = confine.Output(), os.Stderr, []string{}
	err := child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	check(err)
}

// old becomes a program to which the kernel seems to lack two system calls.
func old(program string) {
	runtime.LockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: unix.SYS_LANDLOCK_CREATE_RULESET},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_SECCOMP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	check(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0))
	// confine moved the standard output aside.
	check(unix.Dup3(int(confine.Output().Fd()), 1, 0))
	check(unix.Exec(program, []string{program}, nil))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(9)
	}
}
