package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled says that a program of PostgreSQL in the version that is
// needed was not found.
var ErrNotInstalled = errors.New("pgbackup: a program of PostgreSQL is missing")

// Programs are the programs of one major version.
type Programs struct {
	dir   string
	Major int
}

// Find looks for the programs that suit a server of a major version: those of
// the same version, on PATH or in the distributions' folders.
func Find(ctx context.Context, major int) (Programs, error) {
	var seen []string
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the patterns are constant and well formed
	more, _ := filepath.Glob("/usr/pgsql-*/bin")
	dirs = append(append(dirs, more...), "/usr/local/pgsql/bin")
	if p, err := exec.LookPath("postgres"); err == nil {
		// The name on PATH is often a link; the other programs lie beside its target.
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	if p, err := exec.LookPath("pg_dump"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	for _, dir := range dirs {
		have, err := versionOf(ctx, filepath.Join(dir, "pg_dump"))
		if err != nil {
			continue
		}
		if have == major {
			return Programs{dir, major}, nil
		}
		if s := fmt.Sprintf("%d in %s", have, dir); !slices.Contains(seen, s) {
			seen = append(seen, s)
		}
	}
	found := "none was found"
	if len(seen) > 0 {
		found = "found: " + strings.Join(seen, ", ")
	}
	return Programs{}, fmt.Errorf("%w: pg_dump, pg_restore, pg_basebackup and pg_verifybackup of PostgreSQL %d are needed (%s); nothing was changed: install them (Debian, Ubuntu: apt-get install postgresql-%d)",
		ErrNotInstalled, major, found, major)
}

// versionOf reads the major version from "pg_dump (PostgreSQL) 15.18 (...)".
func versionOf(ctx context.Context, program string) (int, error) {
	if _, err := os.Stat(program); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(out), "(PostgreSQL) ")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		return 0, fmt.Errorf("no version in %q", out)
	}
	return strconv.Atoi(rest[:digits])
}

// run runs a program to its end.
func (p Programs) run(ctx context.Context, address, name string, args ...string) error {
	path := filepath.Join(p.dir, name)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%w: %s; nothing was changed: install the server package of PostgreSQL %d, which has it", ErrNotInstalled, path, p.Major)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	// Little of the environment: variables of PostgreSQL would lead it elsewhere.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C", "TZ=UTC"}
	if lib, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+lib)
	}
	if _, password := split(address); password != "" {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	}
	// In a session of its own, so that Ctrl-C reaches us alone, who then decide.
	// When we are killed it is killed too, so that nothing goes on writing into a
	// folder that the next run deletes. That signal comes when the thread ends
	// that started it, so this goroutine keeps its thread to itself until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	return nil
}

// split takes the password out of an address, which every user of the machine
// can read on a command line.
func split(address string) (without, password string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" { // "host=... dbname=...": as its writer has it
		return address, ""
	}
	if p, ok := u.User.Password(); ok {
		u.User, password = url.User(u.User.Username()), p
	}
	return u.String(), password
}
