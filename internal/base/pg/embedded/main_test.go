package embedded

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// parentEnv makes the test binary a parent of a server instead of a test run;
// its value is the order as JSON. So parents can be killed for real.
const parentEnv = "PROOFROOM_TEST_PARENT"

// order is what a parent process is told, answer what it says, one line of JSON
// each time.
type order struct {
	DataDir  string
	FileSize uint64 // RLIMIT_FSIZE in bytes, if not 0
}

type answer struct {
	Err  string
	Kind string // the wrapped error of this package
	URL  string
}

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(parentEnv); ok {
		os.Exit(beParent(text))
	}
	code := m.Run()
	if template.dir != "" {
		_ = os.RemoveAll(template.dir)
	}
	os.Exit(code)
}

// beParent starts a server and holds it until standard input ends. At SIGINT it
// tells whether the server still answers, and stops it.
func beParent(text string) int {
	ctx, interrupt := signal.NotifyContext(background(), os.Interrupt)
	defer interrupt()
	say := func(a answer) { _ = json.NewEncoder(os.Stdout).Encode(a) }
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		say(answer{Err: err.Error()})
		return 1
	}
	if o.FileSize > 0 {
		limit := syscall.Rlimit{Cur: o.FileSize, Max: o.FileSize}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			say(answer{Err: err.Error()})
			return 1
		}
	}
	s, err := Start(background(), quick(o.DataDir))
	if err != nil {
		say(answer{Err: err.Error(), Kind: kind(err)})
		return 1
	}
	say(answer{URL: s.URL("postgres")})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		interrupt()
	}()
	<-ctx.Done()
	a := answer{URL: s.URL("postgres")}
	if err := s.ping(background()); err != nil {
		a.Err = err.Error()
	}
	say(a)
	if err := s.Stop(background()); err != nil {
		return 1
	}
	return 0
}

func kind(err error) string {
	for _, k := range []error{ErrInUse, ErrVersion, ErrNoSpace, ErrNotWritable, ErrNotInstalled, ErrPathTooLong, ErrSettings} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	return ""
}

// parent is a process that runs a server.
type parent struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	answers *bufio.Scanner
	ended   chan struct{}
}

// spawnParent starts one in a process group of its own, as user uid if that is
// another one.
func spawnParent(t *testing.T, o order, uid int) *parent {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(o)
	require.NoError(t, err)
	if uid != os.Geteuid() {
		self = copyExecutable(t, self)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), parentEnv+"="+string(text), "HOME=/nonexistent", "PGPASSWORD=of another server")
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &parent{cmd: cmd, stdin: stdin, answers: bufio.NewScanner(stdout), ended: make(chan struct{})}
	t.Cleanup(p.kill)
	return p
}

// kill ends the parent as a crash would, without a chance to clean up.
func (p *parent) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *parent) answer(t *testing.T) answer {
	t.Helper()
	require.True(t, p.answers.Scan(), "the parent ended without an answer: %v", p.answers.Err())
	var a answer
	require.NoError(t, json.Unmarshal(p.answers.Bytes(), &a))
	return a
}

func copyExecutable(t *testing.T, path string) string {
	t.Helper()
	target := filepath.Join(newDir(t), "parent")
	bytes, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(target, bytes, 0o755))
	return target
}

// quick is a configuration without waits for a disk that no test takes away.
func quick(dir string) Config {
	return Config{
		DataDir:  dir,
		Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB", "max_connections": "20"},
		Log:      slog.New(slog.DiscardHandler),
	}
}

// newDir is a folder that the server's user can pass through, unlike
// testing.T's own. What still runs in it is killed before it is deleted.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "prf-embedded-")
	require.NoError(t, err)
	t.Cleanup(func() {
		clusters, _ := filepath.Glob(filepath.Join(dir, "*", "postgres"))
		for _, c := range append(clusters, filepath.Join(dir, "postgres")) {
			owner, err := ownerOf(c)
			if err != nil {
				continue
			}
			mark, _ := (&folder{dir: filepath.Dir(c)}).mark()
			_ = stopAll(background(), orderly[2:], func() []process { return marked(owner.uid, mark) })
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

var template struct {
	once sync.Once
	dir  string
	err  error
}

// newFolder is a data folder with a database in it, stopped in order.
func newFolder(t *testing.T) string {
	t.Helper()
	template.once.Do(func() {
		template.dir, template.err = os.MkdirTemp("", "prf-embedded-")
		if template.err != nil {
			return
		}
		var s *Server
		if s, template.err = Start(background(), quick(template.dir)); template.err == nil {
			template.err = s.Stop(background())
		}
	})
	require.NoError(t, template.err)
	dir := filepath.Join(newDir(t), "data")
	out, err := exec.CommandContext(t.Context(), "cp", "-a", template.dir, dir).CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Stop(background()) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Stop(t.Context()))
}

// query asks for one value over a connection of its own.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(background()) }()
	var value any
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	return fmt.Sprint(value)
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(background()) }()
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// postmasterPid reads the process id of the server that runs on dir.
func postmasterPid(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	return pid
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	require.Eventually(t, met, 20*time.Second, poll, what)
}

func gone(pid int) bool { return !alive(pid) }

// unprivileged is a user that is not root: this one, or nobody.
func unprivileged() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return 65534
}
