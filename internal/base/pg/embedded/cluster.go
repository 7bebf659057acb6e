package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// superuser is the name of the first role of the cluster.
const superuser = "postgres"

// command prepares a program of PostgreSQL: as the server's user, in a session
// of its own, with an environment that makes its answers English and nothing of
// the caller's leak in. When ctx ends, the program is interrupted with its
// children, which then tidy up, and is killed if that takes too long.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bin.path(name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if path, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+path)
	}
	cmd.SysProcAttr = s.folder.account.attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a program to its end and returns the last lines of what it wrote.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n"), err
}

// removeUnfinished deletes clusters whose making was cut short, after ending
// what may still write them.
func (s *Server) removeUnfinished(ctx context.Context) error {
	unfinished, _ := filepath.Glob(s.folder.path("postgres.init-*")) // names of ours, no pattern in them
	for _, dir := range unfinished {
		owner, err := ownerOf(dir)
		if err != nil {
			return folderError(dir, err)
		}
		find := func() []process { return marked(owner.uid, filepath.Join(dir, "data")) }
		for _, p := range find() {
			_ = syscall.Kill(-p.pid, syscall.SIGINT) // initdb with the servers that it runs
		}
		if err := stopAll(ctx, orderly, find); err != nil {
			return err
		}
		s.cfg.Log.Info("embedded postgres: deleting a database whose making was cut short", "folder", dir)
		if err := os.RemoveAll(dir); err != nil {
			return folderError(dir, err)
		}
	}
	return nil
}

// initCluster makes the cluster beside its place and moves it there whole.
func (s *Server) initCluster(ctx context.Context) (err error) {
	f := s.folder
	dir, err := os.MkdirTemp(f.dir, "postgres.init-")
	if err != nil {
		return folderError(f.dir, err)
	}
	defer func() { err = errors.Join(err, folderError(dir, os.RemoveAll(dir))) }()
	if err := f.account.give(dir); err != nil {
		return folderError(dir, err)
	}
	data := filepath.Join(dir, "data")
	args := []string{
		"-D", data, "--username=" + superuser, "--locale=C", "--encoding=UTF8",
		// Nobody gets in by the files that initdb writes; ours replace them.
		"--auth=reject", "--no-instructions",
	}
	if s.cfg.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	started := time.Now()
	if out, err := run(ctx, s.command(ctx, "initdb", args...)); err != nil {
		return f.outputError("making the database with "+s.bin.path("initdb"), err, out)
	}
	if err := os.Remove(f.cluster()); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty folder of this name
		return folderError(f.cluster(), err)
	}
	if err := os.Rename(data, f.cluster()); err != nil {
		return folderError(f.cluster(), err)
	}
	s.cfg.Log.Info("embedded postgres: made a database", "folder", f.cluster(),
		"version", s.bin.major, "user", f.account.name, "took", time.Since(started).Round(time.Millisecond))
	return f.sync()
}

// adopt gives a cluster that root copied into place to the server's user.
func (s *Server) adopt() error {
	f := s.folder
	owner, err := ownerOf(f.cluster())
	if err != nil {
		return folderError(f.cluster(), err)
	}
	if !f.account.drop || owner.uid == f.account.uid {
		return nil
	}
	s.cfg.Log.Info("embedded postgres: giving the database to its user", "folder", f.cluster(), "user", f.account.name)
	return folderError(f.cluster(), filepath.WalkDir(f.cluster(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, f.account.uid, f.account.gid)
	}))
}

// setPassword gives the superuser a new random password by running the server
// for one statement without any connection. It is how the first password comes
// about and how a lost file heals; the file is written last, so a cut between
// the two is the same as a lost file.
func (s *Server) setPassword(ctx context.Context) error {
	password := rand.Text() + rand.Text() // 260 bits, letters and digits only
	cmd := s.command(ctx, "postgres", "--single", "-D", s.folder.cluster(),
		"-c", "cluster_name="+s.mark, "-c", "config_file="+s.folder.conf(), "-c", "hba_file="+s.folder.hba(),
		"-c", "password_encryption=scram-sha-256", "-c", "log_statement=none", "-c", "log_min_error_statement=panic",
		"postgres")
	cmd.Stdin = strings.NewReader("ALTER ROLE " + superuser + " LOGIN PASSWORD '" + password + "'\n")
	out, err := run(ctx, cmd)
	if err == nil && (strings.Contains(out, "ERROR:") || strings.Contains(out, "FATAL:")) {
		err = errors.New("the statement failed")
	}
	if err != nil {
		return s.folder.outputError("setting the database's password", err, out)
	}
	return s.folder.write(s.folder.passfile(), 0o600, "*:*:*:"+superuser+":"+password+"\n")
}

// clear ends what an earlier parent, or a server that died, left running on the
// cluster, and removes files that only look as if something did.
func (s *Server) clear(ctx context.Context) error {
	find := func() []process { return marked(s.folder.account.uid, s.mark) }
	if left := find(); len(left) > 0 {
		s.cfg.Log.Warn("embedded postgres: stopping an earlier server", "folder", s.folder.cluster(), "process", left[0].pid)
		if err := stopAll(ctx, orderly, find); err != nil {
			return err
		}
	}
	if err := s.clearPidFile(); err != nil {
		return err
	}
	// The socket's lock file has the same weakness as postmaster.pid.
	entries, err := os.ReadDir(s.socketDir)
	if err != nil {
		return folderError(s.socketDir, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".s.PGSQL.") {
			continue
		}
		if err := os.Remove(filepath.Join(s.socketDir, e.Name())); err != nil {
			return folderError(s.socketDir, err)
		}
	}
	return nil
}

// clearPidFile removes a postmaster.pid whose process is gone. PostgreSQL does
// so too, but takes any living process with that number and user for a server,
// and numbers are given again, soonest in containers. A server that somebody
// else started here is refused. (Would it be missed, PostgreSQL's second
// interlock, the shared memory keyed by the folder's inode, still holds.)
func (s *Server) clearPidFile() error {
	cluster := s.folder.cluster()
	path := filepath.Join(cluster, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(path, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err == nil && pid > 0 && alive(pid) && s.foreign(pid) {
		return fmt.Errorf("%w: a PostgreSQL that Proofroom did not start (process %d) runs on %s; stop it first: %s stop -D %s",
			ErrInUse, pid, cluster, s.bin.path("pg_ctl"), cluster)
	}
	s.cfg.Log.Warn("embedded postgres: removing what a killed server left", "file", path, "process", pid)
	return folderError(path, os.Remove(path))
}

// foreign tells whether the process is a postgres on our cluster or may be one.
func (s *Server) foreign(pid int) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	name, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil || !strings.HasPrefix(string(name), "postgres") && !strings.HasPrefix(string(name), "postmaster") {
		return false
	}
	works, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return alive(pid) // not ours to look at: assume the worse
	}
	ours, err := os.Stat(s.folder.cluster())
	return err != nil || os.SameFile(works, ours)
}
