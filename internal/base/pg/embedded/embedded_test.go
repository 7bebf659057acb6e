package embedded

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// background is for what must happen although the test is over.
func background() context.Context { return context.Background() }

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDir(t), "not", "there", "yet")
	cfg := Config{DataDir: dir} // everything by default, durability included
	first := start(t, cfg)
	execute(t, first.URL("postgres"), `CREATE TABLE kept AS SELECT 'this' AS what`)
	require.Equal(t, "on", query(t, first.URL("postgres"), `SHOW fsync`))
	require.Equal(t, "UTF8", query(t, first.URL("postgres"), `SHOW server_encoding`))
	require.Equal(t, "C", query(t, first.URL("postgres"), `SELECT datcollate FROM pg_database WHERE datname = 'postgres'`))
	require.Empty(t, query(t, first.URL("postgres"), `SHOW listen_addresses`), "no TCP unless asked for")
	require.Empty(t, first.TCPURL("postgres"))
	pid := postmasterPid(t, dir)
	stop(t, first)
	require.True(t, gone(pid))
	require.NoFileExists(t, filepath.Join(dir, "postgres", "postmaster.pid"))
	select {
	case <-first.Done():
	default:
		require.Fail(t, "Done is open after Stop")
	}
	require.NoError(t, first.Err())
	require.NoError(t, first.Stop(t.Context()), "stopping again is harmless")

	second := start(t, cfg)
	require.Equal(t, "this", query(t, second.URL("postgres"), `SELECT what FROM kept`))
	log, err := os.ReadFile(second.LogFile())
	require.NoError(t, err)
	require.NotContains(t, string(log), "was not properly shut down")
}

func TestOnlyItsUserGetsIn(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	s := start(t, quick(dir))
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o700), mode(s.socketDir))
	require.Equal(t, os.FileMode(0o700), mode(filepath.Join(dir, "postgres")))
	require.Equal(t, os.FileMode(0o600), mode(filepath.Join(dir, "postgres.pgpass")))
	require.Equal(t, os.FileMode(0o600), mode(s.LogFile()))
	require.Zero(t, mode(dir)&0o007, "strangers cannot pass through the data folder")

	secret, err := os.ReadFile(filepath.Join(dir, "postgres.pgpass"))
	require.NoError(t, err)
	password := strings.TrimSpace(strings.TrimPrefix(string(secret), "*:*:*:postgres:"))
	require.Len(t, password, 52)
	require.NotContains(t, s.URL("postgres"), password)
	cfg, err := pgx.ParseConfig(s.URL("postgres"))
	require.NoError(t, err)
	cfg.Password = "guessed"
	_, err = pgx.ConnectConfig(t.Context(), cfg)
	require.ErrorContains(t, err, "password authentication failed")
}

func TestRootGivesTheServerToAnotherUser(t *testing.T) {
	t.Parallel()
	parentDir := newDir(t)
	dir := filepath.Join(parentDir, "data")
	s := start(t, quick(dir))
	uid := s.folder.account.uid
	require.NotZero(t, uid)
	require.True(t, ownedBy("/proc/"+strconv.Itoa(postmasterPid(t, dir)), uid))
	require.True(t, ownedBy(filepath.Join(dir, "postgres"), uid))
	require.True(t, ownedBy(dir, os.Geteuid()), "the data folder stays ours")
	stop(t, s)

	if os.Geteuid() != 0 {
		return // the rest is about what root alone can bring about
	}
	// A backup that root copied into place belongs to root.
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "postgres"), func(path string, _ os.DirEntry, err error) error {
		require.NoError(t, err)
		return os.Lchown(path, 0, 0)
	}))
	s = start(t, quick(dir))
	require.True(t, ownedBy(filepath.Join(dir, "postgres", "PG_VERSION"), uid))
	stop(t, s)

	// A folder above that keeps the server's user out is named, not opened.
	require.NoError(t, os.Chmod(parentDir, 0o700))
	_, err := Start(t.Context(), quick(dir))
	require.ErrorIs(t, err, ErrNotWritable)
	require.ErrorContains(t, err, "cannot pass through "+parentDir+": run chmod o+x "+parentDir)
}

func TestUnprivilegedParent(t *testing.T) {
	t.Parallel()
	uid := unprivileged()
	dir := filepath.Join(newDir(t), "data")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chown(dir, uid, uid))
	p := spawnParent(t, order{DataDir: dir}, uid)
	a := p.answer(t)
	require.Empty(t, a.Err)
	require.Equal(t, "1", query(t, a.URL, `SELECT 1`))
	require.True(t, ownedBy("/proc/"+strconv.Itoa(postmasterPid(t, dir)), uid))
	require.NoError(t, p.stdin.Close())
	require.Empty(t, p.answer(t).Err)
	require.NoError(t, p.cmd.Wait())

	locked := filepath.Join(newDir(t), "data")
	require.NoError(t, os.Mkdir(locked, 0o555))
	a = spawnParent(t, order{DataDir: locked}, uid).answer(t)
	require.Equal(t, ErrNotWritable.Error(), a.Kind, a.Err)
	require.Contains(t, a.Err, "nothing was changed: give this folder to user id "+strconv.Itoa(uid))
}

func TestOrphanedServer(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := spawnParent(t, order{DataDir: dir}, os.Geteuid())
	a := p.answer(t)
	require.Empty(t, a.Err)
	execute(t, a.URL, `CREATE TABLE kept AS SELECT 'this' AS what`)
	pid := postmasterPid(t, dir)
	p.kill()
	// The orphan serves on, with a client in the middle of something.
	client, err := pgx.Connect(t.Context(), a.URL)
	require.NoError(t, err)
	defer func() { _ = client.Close(background()) }()
	_, err = client.Exec(t.Context(), `BEGIN; CREATE TABLE uncommitted ()`)
	require.NoError(t, err)
	require.False(t, gone(pid))

	s := start(t, quick(dir))
	require.True(t, gone(pid))
	require.NotEqual(t, pid, postmasterPid(t, dir))
	require.Equal(t, "this", query(t, s.URL("postgres"), `SELECT what FROM kept`))
	require.Equal(t, "<nil>", query(t, s.URL("postgres"), `SELECT to_regclass('uncommitted')`))
	require.Error(t, client.Ping(t.Context()))
}

func TestParentAndServerKilled(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := spawnParent(t, order{DataDir: dir}, os.Geteuid())
	a := p.answer(t)
	require.Empty(t, a.Err)
	execute(t, a.URL, `CREATE TABLE kept AS SELECT 'this' AS what`)
	pid := postmasterPid(t, dir)
	p.kill()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the server ends", func() bool { return gone(pid) })
	require.FileExists(t, filepath.Join(dir, "postgres", "postmaster.pid"))

	s := start(t, quick(dir))
	require.Equal(t, "this", query(t, s.URL("postgres"), `SELECT what FROM kept`))
	log, err := os.ReadFile(s.LogFile())
	require.NoError(t, err)
	require.Contains(t, string(log), "was not properly shut down", "the kill did not cut anything short")
}

func TestStalePidFileNamesALivingStranger(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	s := start(t, quick(dir))
	account := s.folder.account
	file := filepath.Join(dir, "postgres", "postmaster.pid")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	socketLock, err := os.ReadFile(socketPath(s.socketDir, s.port) + ".lock")
	require.NoError(t, err)
	stop(t, s)

	// The number was given again, to a process of the same user: PostgreSQL alone
	// would refuse to start, here and at the socket.
	stranger := exec.CommandContext(t.Context(), "tail", "-f", "/dev/null")
	stranger.SysProcAttr = account.attributes()
	require.NoError(t, stranger.Start())
	t.Cleanup(func() { _ = stranger.Wait() })
	forge := func(path string, text []byte) {
		_, rest, _ := strings.Cut(string(text), "\n")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, account.give(filepath.Dir(path)))
		require.NoError(t, os.WriteFile(path, []byte(strconv.Itoa(stranger.Process.Pid)+"\n"+rest), 0o600))
		require.NoError(t, account.give(path))
	}
	forge(file, text)
	forge(socketPath(s.socketDir, s.port)+".lock", socketLock)
	s = start(t, quick(dir))
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
	require.False(t, gone(stranger.Process.Pid), "a stranger was harmed")
}

func TestEndedProcessIsNotAlive(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "tail", "-f", "/dev/null")
	require.NoError(t, cmd.Start())
	require.True(t, alive(cmd.Process.Pid))
	require.NoError(t, cmd.Process.Kill())
	// Nobody has waited for it, so its number still exists.
	eventually(t, "it ends", func() bool { return !alive(cmd.Process.Pid) })
	require.NoError(t, syscall.Kill(cmd.Process.Pid, 0))
	require.Error(t, cmd.Wait())
}

func TestServerOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	s := start(t, quick(dir))
	stop(t, s)

	cluster := filepath.Join(dir, "postgres")
	socketDir := newDir(t)
	require.NoError(t, s.folder.account.give(socketDir))
	byHand := exec.CommandContext(t.Context(), s.bin.path("postgres"), "-D", cluster, "-c", "listen_addresses=", "-c", "unix_socket_directories="+socketDir)
	byHand.Dir = "/"
	byHand.SysProcAttr = s.folder.account.attributes()
	require.NoError(t, byHand.Start())
	eventually(t, "the server by hand is up", s.saysReady)
	_, err := Start(t.Context(), quick(dir))
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "process "+strconv.Itoa(byHand.Process.Pid))
	require.ErrorContains(t, err, "pg_ctl stop -D "+cluster)
	require.False(t, gone(byHand.Process.Pid))

	require.NoError(t, byHand.Process.Signal(syscall.SIGINT))
	require.NoError(t, byHand.Wait())
	stop(t, start(t, quick(dir)))
}

func TestSecondParentIsRefused(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := spawnParent(t, order{DataDir: dir}, os.Geteuid())
	a := p.answer(t)
	require.Empty(t, a.Err)
	pid := postmasterPid(t, dir)

	_, err := Start(t.Context(), quick(dir))
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "process "+strconv.Itoa(p.cmd.Process.Pid)+" works on "+dir)
	require.Equal(t, pid, postmasterPid(t, dir))
	require.Equal(t, "1", query(t, a.URL, `SELECT 1`), "the first is not disturbed")

	require.NoError(t, p.stdin.Close())
	require.NoError(t, p.cmd.Wait())
	stop(t, start(t, quick(dir)))
}

func TestOtherMajorVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	file := filepath.Join(dir, "postgres", "PG_VERSION")
	ours, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("12\n"), 0o600))
	_, err = Start(t.Context(), quick(dir))
	require.ErrorIs(t, err, ErrVersion)
	for _, part := range []string{"made by PostgreSQL 12", "nothing was changed", "install PostgreSQL 12", "pg_upgrade", "pg_dumpall"} {
		require.ErrorContains(t, err, part)
	}
	now, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "12\n", string(now))

	require.NoError(t, os.WriteFile(file, ours, 0o600))
	stop(t, start(t, quick(dir)))

	require.NoError(t, os.Remove(file))
	_, err = Start(t.Context(), quick(dir))
	require.ErrorIs(t, err, ErrNotWritable)
	require.ErrorContains(t, err, "holds files but no PG_VERSION")
}

// TestFullDisk fills a small file system where one can be mounted; elsewhere a
// limit on the size of files stands for it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	mount := newDir(t)
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=20m,mode=0711"); err != nil {
		require.ErrorIs(t, err, syscall.EPERM)
		a := spawnParent(t, order{DataDir: filepath.Join(mount, "data"), FileSize: 100 << 10}, os.Geteuid()).answer(t)
		require.Equal(t, ErrNoSpace.Error(), a.Kind, a.Err)
		return
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(mount, 0)) })
	dir := filepath.Join(mount, "data")
	full := func() {
		t.Helper()
		_, err := Start(t.Context(), quick(dir))
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorContains(t, err, "free space there or raise the limit, then start again")
	}
	full()
	left, err := filepath.Glob(filepath.Join(dir, "postgres*/*"))
	require.NoError(t, err)
	require.Empty(t, left, "a half-made database was left behind")

	require.NoError(t, syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=90m,mode=0711"))
	s := start(t, quick(dir))
	execute(t, s.URL("postgres"), `CREATE TABLE kept AS SELECT 'this' AS what`)
	stop(t, s)
	filler, err := os.Create(filepath.Join(mount, "filler"))
	require.NoError(t, err)
	var fillErr error
	for chunk := make([]byte, 4<<10); fillErr == nil; {
		_, fillErr = filler.Write(chunk)
	}
	require.ErrorIs(t, fillErr, syscall.ENOSPC)
	require.NoError(t, filler.Close())
	full()
	require.NoError(t, os.Remove(filler.Name()))
	s = start(t, quick(dir))
	require.Equal(t, "this", query(t, s.URL("postgres"), `SELECT what FROM kept`))
	stop(t, s)
}

func TestLongPaths(t *testing.T) {
	t.Parallel()
	base := newDir(t)
	long := filepath.Join(base, strings.Repeat("long", 25))
	cfg := quick(filepath.Join(long, "data"))
	cfg.RuntimeDir = filepath.Join(long, "run")
	_, err := Start(t.Context(), cfg)
	require.ErrorIs(t, err, ErrPathTooLong)
	require.ErrorContains(t, err, "the kernel allows 107")

	cfg.RuntimeDir = ""
	s := start(t, cfg)
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
	require.False(t, strings.HasPrefix(s.socketDir, base), s.socketDir)
	require.True(t, ownedBy(s.socketDir, s.folder.account.uid))
	stop(t, s)
	require.NoDirExists(t, s.socketDir, "nothing stays outside the data folder")

	cfg.RuntimeDir = filepath.Join(base, "one,two")
	_, err = Start(t.Context(), cfg)
	require.ErrorContains(t, err, "name a runtime folder without")

	cfg.RuntimeDir = filepath.Join(base, `odd 'and' "quoted" & named`)
	s = start(t, cfg)
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
	require.Equal(t, cfg.RuntimeDir, s.socketDir)
}

func TestCrashIsRestarted(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	cfg := quick(dir)
	cfg.TCP = true
	cfg.attempts = 2
	s := start(t, cfg)
	execute(t, s.URL("postgres"), `CREATE TABLE kept AS SELECT 'this' AS what`)
	address := s.TCPAddr()
	require.NoError(t, syscall.Kill(postmasterPid(t, dir), syscall.SIGKILL))
	eventually(t, "the server is started again", func() bool { return s.Restarts() == 1 })
	require.Equal(t, "this", query(t, s.TCPURL("postgres"), `SELECT what FROM kept`))
	require.Equal(t, address, s.TCPAddr(), "clients know the old address")
	require.NoError(t, s.Err())

	// Nothing can be started from this; it has to say so and end.
	control := filepath.Join(dir, "postgres", "global", "pg_control")
	require.NoError(t, os.Rename(control, control+".away"))
	require.NoError(t, syscall.Kill(postmasterPid(t, dir), syscall.SIGKILL))
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		require.Fail(t, "it was not given up")
	}
	require.ErrorContains(t, s.Err(), "given up after 2 restarts")
	require.ErrorContains(t, s.Err(), "could not find the database system")
	require.ErrorContains(t, s.Stop(t.Context()), "given up after 2 restarts")

	require.NoError(t, os.Rename(control+".away", control))
	s = start(t, cfg)
	require.Equal(t, "this", query(t, s.URL("postgres"), `SELECT what FROM kept`))
}

func TestInterruptAtTheTerminalReachesTheParentOnly(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := spawnParent(t, order{DataDir: dir}, os.Geteuid())
	require.Empty(t, p.answer(t).Err)
	pid := postmasterPid(t, dir)
	// What a terminal does: the signal goes to the whole process group.
	require.NoError(t, syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT))
	require.Empty(t, p.answer(t).Err, "the server was gone before the parent had decided")
	require.NoError(t, p.cmd.Wait())
	require.True(t, gone(pid))
}

func TestInterruptedInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(newDir(t), "data")
	unfinished := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "postgres.init-*"))
		require.NoError(t, err)
		return found
	}
	p := spawnParent(t, order{DataDir: dir}, os.Geteuid())
	eventually(t, "initdb works", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "postgres.init-*", "data", "base"))
		return len(found) == 1
	})
	p.kill()
	require.Len(t, unfinished(), 1)
	require.NoDirExists(t, filepath.Join(dir, "postgres"))

	// The same again, this time told to stop.
	ctx, cancel := context.WithCancel(t.Context())
	before := unfinished()[0]
	go func() {
		for tick := time.NewTicker(poll); ctx.Err() == nil; {
			if found, _ := filepath.Glob(filepath.Join(dir, "postgres.init-*", "data")); len(found) == 1 && filepath.Dir(found[0]) != before {
				cancel()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	_, err := Start(ctx, quick(dir))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, unfinished())
	require.NoDirExists(t, filepath.Join(dir, "postgres"))

	s := start(t, quick(dir))
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
	require.Empty(t, unfinished())
}

func TestTCP(t *testing.T) {
	t.Parallel()
	cfg := quick(newFolder(t))
	cfg.TCP = true
	s := start(t, cfg)
	require.Equal(t, "127.0.0.1", query(t, s.TCPURL("postgres"), `SELECT host(inet_server_addr())`))
	host, port, err := net.SplitHostPort(s.TCPAddr())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", host)
	require.NotEqual(t, "5432", port)
	pgxCfg, err := pgx.ParseConfig(s.TCPURL("postgres"))
	require.NoError(t, err)
	pgxCfg.Password = "guessed"
	_, err = pgx.ConnectConfig(t.Context(), pgxCfg)
	require.ErrorContains(t, err, "password authentication failed")
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
}

func TestLostOrWrongPasswordHeals(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	file := filepath.Join(dir, "postgres.pgpass")
	require.NoError(t, os.Remove(file))
	stop(t, start(t, quick(dir)))
	require.FileExists(t, file)
	require.NoError(t, os.WriteFile(file, []byte("*:*:*:postgres:of another folder\n"), 0o600))
	s := start(t, quick(dir))
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT 1`))
}

func TestImpatientStop(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	s := start(t, quick(dir))
	execute(t, s.URL("postgres"), `CREATE TABLE kept AS SELECT 'this' AS what`)
	pid := postmasterPid(t, dir)
	// A stopped process cannot shut down in order, however long one waits.
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { // SIGQUIT waits too while the process is stopped
		<-s.hurry
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}()
	err := s.Stop(ctx)
	require.ErrorContains(t, err, "did not shut down in order")
	require.ErrorContains(t, err, "the next start recovers")
	require.True(t, gone(pid))
	s = start(t, quick(dir))
	require.Equal(t, "this", query(t, s.URL("postgres"), `SELECT what FROM kept`))
}
