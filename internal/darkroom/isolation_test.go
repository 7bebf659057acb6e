package darkroom

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"proofroom/internal/darkroom/wire"
)

// What the probe tries; see confine/testdata/probe.
const (
	tcp      = "connect by TCP"
	socket   = "connect to a socket in a folder"
	abstract = "connect to an abstract socket"
	passwd   = "read /etc/passwd"
	environ  = "read the parent's environment"
	memory   = "open the parent's memory"
	write    = "write a file"
	signal   = "signal the parent"
	trace    = "trace the parent"
	peek     = "copy the parent's memory"
	process  = "make a process"
	raise    = "raise its own limits"
	execute  = "become another program" // the probe's last try
)

var tries = []string{tcp, socket, abstract, passwd, environ, memory, write, signal, trace, peek, process, raise, execute}

// outcome is what stopped each try: the name of an error, or "".
type outcome map[string]string

func all(errno string) outcome {
	o := outcome{}
	for _, try := range tries {
		o[try] = errno
	}
	return o
}

// but is the outcome with some of another.
func (o outcome) but(other outcome) outcome {
	o = maps.Clone(o)
	maps.Copy(o, other)
	return o
}

// probe is the program that tries to break out, with what it tries to reach.
type probe struct{ binary, port, socket, abstract, dir string }

func newProbe(t *testing.T) probe {
	t.Helper()
	// Not t.TempDir: another user must reach what is in it.
	dir, err := os.MkdirTemp("", "probe")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o777)) //nolint:gosec // the probe is to find it open
	p := probe{binary: filepath.Join(dir, "probe"), socket: filepath.Join(dir, "socket"), abstract: filepath.Base(dir), dir: dir}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "confineprobe", "-o", p.binary, "./confine/testdata/probe")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for address, network := range map[string]string{"127.0.0.1:0": "tcp", p.socket: "unix", "@" + p.abstract: "unix"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		if at, ok := l.Addr().(*net.TCPAddr); ok {
			p.port = strconv.Itoa(at.Port)
		}
	}
	require.NoError(t, os.Chmod(p.socket, 0o777)) //nolint:gosec // as above
	return p
}

// arguments of the probe with some layers left out.
func (p probe) arguments(without string) []string {
	return []string{"without=" + without, strconv.Itoa(os.Getpid()), p.port, p.socket, p.abstract, p.dir}
}

// run lets the probe try everything.
func (p probe) run(t *testing.T, without string) outcome {
	t.Helper()
	return p.outcome(t, exec.CommandContext(t.Context(), p.binary, p.arguments(without)...))
}

func (p probe) outcome(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var out, said bytes.Buffer
	// What the probe is given is a pipe, as the darkroom is.
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = []string{"SECRET=of the parent"}, &out, &said, "/"
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 42 { // 42 is of the other program
		require.NoError(t, err, "%s", said.String())
	}
	tried := outcome{}
	answers := json.NewDecoder(&out)
	require.NoError(t, answers.Decode(&tried), "%s", said.String())
	last := make([]byte, 20)
	n, _ := answers.Buffered().Read(last)
	tried[execute] = strings.TrimSpace(string(last[:n]))
	return tried
}

// offered is what of a layer's outcome this machine's kernel can bring about.
func landlockOffers(o outcome) outcome {
	version, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	abi := int(version)
	switch {
	case abi < 1:
		return all("")
	case abi < 4:
		o = o.but(outcome{tcp: ""})
		fallthrough
	case abi < 6:
		o = o.but(outcome{abstract: "", signal: ""})
	}
	return o
}

// may tells whether this process has a capability.
func may(t *testing.T, capability int) bool {
	t.Helper()
	var data [2]unix.CapUserData
	require.NoError(t, unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]))
	return data[capability/32].Effective>>(capability%32)&1 == 1
}

// TestNobodyBreaksOut: the process that opens strangers' pictures can reach
// nothing, and each of its layers is there for a reason. What one layer stops
// succeeds without it, or another that is named here stops it too.
func TestNobodyBreaksOut(t *testing.T) {
	t.Parallel()
	p := newProbe(t)

	// With nothing taken away every try succeeds, or this would prove nothing.
	require.Equal(t, all(""), p.run(t, "all"))

	// All layers: the filter of system calls answers first, that there is no
	// such call. Limits may only be lowered.
	require.Equal(t, all("ENOSYS").but(outcome{raise: "EPERM"}), p.run(t, "none"))

	// Each alone, which shows what it stops when another fails.
	require.Equal(t, all("ENOSYS").but(outcome{raise: ""}),
		p.run(t, "landlock,limits,capabilities,no_new_privs"), "seccomp alone")
	landlock := landlockOffers(all("EACCES").but(outcome{
		abstract: "EPERM", signal: "EPERM", trace: "EPERM", peek: "EPERM",
		// Sockets in folders are no files to Landlock, and it has no say in
		// what stays inside the process: these hang on seccomp.
		socket: "", process: "", raise: "",
	}))
	require.Equal(t, landlock, p.run(t, "seccomp,limits,capabilities"), "Landlock alone")

	limits := all("").but(outcome{write: "EFBIG", raise: "EPERM"})
	withoutCapabilities := limits
	// Who is root may raise limits, and looks into processes of root: the
	// capabilities must go.
	if may(t, unix.CAP_SYS_RESOURCE) {
		limits = limits.but(outcome{raise: ""})
	}
	if may(t, unix.CAP_SYS_PTRACE) {
		withoutCapabilities = withoutCapabilities.but(outcome{environ: "EACCES", memory: "EACCES", trace: "EPERM", peek: "EPERM"})
	}
	require.Equal(t, limits, p.run(t, "seccomp,landlock,capabilities"), "limits alone")
	require.Equal(t, withoutCapabilities, p.run(t, "seccomp,landlock"), "limits, and no capabilities")

	// Taken away one at a time, with its backup named.
	require.Equal(t, all("ENOSYS").but(outcome{raise: "EPERM"}), p.run(t, "landlock"), "seccomp backs Landlock up")
	backup := landlock.but(outcome{raise: "EPERM"})
	require.Equal(t, backup, p.run(t, "seccomp"), "Landlock backs seccomp up, but for sockets in folders and processes")
}

// TestAHiddenParentIsClosedToItsChildren: as a plain user, without Landlock and
// seccomp, the kernel's own rule keeps a child out of a parent that is not
// dumpable, and lets it into any other. The pool makes the server such a one.
func TestAHiddenParentIsClosedToItsChildren(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	stand := func(how string) outcome {
		cmd := exec.CommandContext(t.Context(), p.binary, append([]string{"without=all", how, p.binary}, p.arguments("all")...)...)
		if os.Geteuid() == 0 { // root may look everywhere
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		return p.outcome(t, cmd)
	}
	require.Equal(t, all(""), stand("show"))
	require.Equal(t, all("").but(outcome{environ: "EACCES", memory: "EACCES", trace: "EPERM", peek: "EPERM"}), stand("hide"))
}

// TestWhatTheMachineLacksIsNamed: the darkroom works on a kernel without
// Landlock and seccomp, or with a library without loaders, and says what it does
// without.
func TestWhatTheMachineLacksIsNamed(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	darkroom := filepath.Join(p.dir, "darkroom")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", darkroom, "proofroom/cmd/darkroom").CombinedOutput()
	require.NoError(t, err, "%s", out)
	// Both sides of the conversation, with one photograph.
	talk := func(photograph []byte, env []string, command ...string) (wire.Hello, wire.Reply) {
		var request bytes.Buffer
		require.NoError(t, wire.WriteRequest(&request, 1, wire.Options{}, bytes.NewReader(photograph), int64(len(photograph))))
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env, cmd.Stdin = env, &request
		out, err := cmd.Output()
		require.NoError(t, err)
		answers := bytes.NewReader(out)
		hello, err := wire.ReadHello(answers)
		require.NoError(t, err)
		reply, err := wire.ReadReply(answers)
		require.NoError(t, err)
		return hello, reply
	}
	good, _ := samples(t)
	hello, reply := talk(good, []string{}, p.binary, "without=all", "old", darkroom)
	require.Len(t, hello.Lacks, 2)
	require.Contains(t, hello.Lacks[0], "Landlock")
	require.Contains(t, hello.Lacks[1], "seccomp")
	require.NotNil(t, reply.Developed)

	whole := outcome{abstract: "x", tcp: "x"}
	if maps.Equal(whole, landlockOffers(whole)) {
		hello, _ = talk(good, []string{}, darkroom)
		require.Empty(t, hello.Lacks, "this kernel has them all")
		require.Equal(t, wire.Formats(), hello.Formats)
	}

	// A library whose modules are not installed: the darkroom knows, and says
	// to whom it concerns.
	heic := []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" +
		"\x00\x00\x00\x5ameta\x00\x00\x00\x00" +
		"\x00\x00\x00\x0epitm\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x40iprp\x00\x00\x00\x1cipco\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x40" +
		"\x00\x00\x00\x1cipma\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x01\x01\x00\x00\x00\x08free")
	hello, reply = talk(heic, []string{"VIPSHOME=/nonexistent"}, darkroom)
	require.Equal(t, []string{wire.JPEG, wire.PNG, wire.WebP}, hello.Formats)
	require.Equal(t, wire.Unsupported, reply.Unreadable.Reason)
	require.Contains(t, reply.Unreadable.Sentence, "the HEIF loader of libvips or the HEVC decoder of libheif is not installed")
}
