package pgtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"proofroom/internal/base/pg/embedded"
)

// URLEnv names the server of the tests: a superuser's URL.
const URLEnv = "PROOFROOM_TEST_DATABASE_URL"

// holdEnv turns a copy of this binary into the holder of a server; its value is
// the folder that the server lives in and that is deleted afterwards.
const holdEnv = "PROOFROOM_PGTEST_HOLD"

func init() {
	if dir, ok := os.LookupEnv(holdEnv); ok {
		os.Exit(hold(dir))
	}
}

// settings trade durability for speed: a crash of the machine ends the tests
// anyway. Everything else is as in production.
var settings = map[string]string{
	"fsync":              "off",
	"full_page_writes":   "off",
	"shared_buffers":     "128MB",
	"max_connections":    "400",
	"wal_level":          "minimal",
	"max_wal_senders":    "0",
	"max_wal_size":       "512MB",
	"checkpoint_timeout": "1h",
}

// held is what the holder answers, as one line of JSON.
type held struct{ URL, Err string }

// Server is a private PostgreSQL for tests, in a temporary folder.
type Server struct {
	URL  string // of database postgres, as superuser
	dir  string
	pipe io.Closer
	cmd  *exec.Cmd
}

// Serve starts one. It ends with Close or with this process, whichever is first.
func Serve(ctx context.Context) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(fastest(), "prf-pgtest-")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "holder.log"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { _ = log.Close() }()

	cmd := exec.CommandContext(context.WithoutCancel(ctx), self) // ctx bounds the start only
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	// Nothing of ours may stay open in it: go test waits until all have closed
	// its output. And no terminal may interrupt it: we decide when it ends.
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &Server{dir: dir, pipe: pipe, cmd: cmd}
	giveUp := context.AfterFunc(ctx, func() { _ = pipe.Close() })
	var answer held
	err = json.NewDecoder(answers).Decode(&answer)
	switch {
	case !giveUp():
		err = ctx.Err()
	case answer.Err != "":
		err = errors.New(answer.Err)
	case err != nil:
		text, _ := os.ReadFile(log.Name())
		err = fmt.Errorf("the process that holds it ended: %w\n%s", err, text)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a PostgreSQL for the tests (or name one with %s): %w", URLEnv, err), s.Close())
	}
	s.URL = answer.URL
	return s, nil
}

// Close ends the server, deletes its folder and waits for both.
func (s *Server) Close() error {
	_ = s.pipe.Close()
	return errors.Join(s.cmd.Wait(), os.RemoveAll(s.dir))
}

// fastest is the place for a server's folder: memory if there is plenty, since
// copying a template is three hundred small files; else, or when TMPDIR says so,
// the temporary folder (the empty name).
func fastest() string {
	const memory, plenty = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < plenty {
		return ""
	}
	return memory
}

// hold runs a server until standard input ends.
func hold(dir string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	defer func() { _ = os.RemoveAll(dir) }()
	say := func(a held) { _ = json.NewEncoder(os.Stdout).Encode(a) }
	s, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Settings: settings})
	if err != nil {
		say(held{Err: err.Error()})
		return 0
	}
	say(held{URL: s.URL("postgres")})
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	// Nobody needs the data again, so the shutdown need not be an orderly one.
	_ = s.Stop(ctx)
	return 0
}

var shared struct {
	sync.Mutex
	url string
	// server keeps the pipe to the holder alive: once collected, it would close.
	server *Server
}

// serverURL names the server of this process and starts it if need be. A failed
// start is tried again by the next test.
func serverURL(ctx context.Context) (string, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.url != "" {
		return shared.url, nil
	}
	if url := os.Getenv(URLEnv); url != "" {
		if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
			return "", fmt.Errorf("%s must be a URL (postgres://...)", URLEnv)
		}
		shared.url = url
		return url, nil
	}
	s, err := Serve(ctx)
	if err != nil {
		return "", err
	}
	shared.url, shared.server = s.URL, s // it ends with this process
	return s.URL, nil
}
