package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/proof/demo"
)

const (
	startPatience = 30 * time.Second
	stopPatience  = 25 * time.Second // a server drains for 20 s
)

// Scratch makes a folder for a measurement on the disk that temporary files are
// on. The private PostgreSQL, which as root runs as another user, may pass it.
func Scratch(name string) (string, error) {
	dir, err := os.MkdirTemp("", "proofroom-bench-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make a scratch folder: %w", err)
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // what lies in it is closed to others by itself
}

// Postgres is a private server with the settings of production, and one migrated
// database in it.
type Postgres struct {
	*embedded.Server
	Dir string // its data folder
	PID int    // of the postmaster
}

// database is where everything is measured.
const database = "bench"

// StartPostgres starts one in a folder that is there. settings win over those of
// production: a report has to tell them.
func StartPostgres(ctx context.Context, dir string, settings map[string]string) (_ *Postgres, err error) {
	s, err := embedded.Start(ctx, embedded.Config{DataDir: filepath.Join(dir, "postgres"), Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("start a scratch PostgreSQL: %w", err)
	}
	p := &Postgres{Server: s, Dir: filepath.Join(dir, "postgres")}
	defer func() {
		if err != nil {
			p.Drop()
		}
	}()
	admin, err := pg.Open(ctx, pg.PoolConfig{URL: s.URL("postgres"), MaxConns: 1, Name: "proofroom bench"})
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return nil, fmt.Errorf("make a database: %w", err)
	}
	var pidfile string
	if err := admin.QueryRow(ctx, `SELECT pg_read_file('postmaster.pid')`).Scan(&pidfile); err != nil {
		return nil, fmt.Errorf("find the server's process: %w", err)
	}
	first, _, _ := strings.Cut(pidfile, "\n")
	if p.PID, err = strconv.Atoi(strings.TrimSpace(first)); err != nil {
		return nil, fmt.Errorf("find the server's process: %w", err)
	}
	return p, pg.Migrate(ctx, p.Database())
}

// Database is the address of the migrated database, as its owner.
func (p *Postgres) Database() string { return p.URL(database) }

// Drop stops the server without care: its data is thrown away.
func (p *Postgres) Drop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Stop(ctx)
}

// Command says which process of this program to start.
type Command struct {
	Binary string // this program, as os.Executable names it
	Name   string // of its log
	Dir    string // where the log goes
	Args   []string
	Env    []string // added to ours without the settings of a real installation
	// Ready is the message of the JSON log line by which it says that it works;
	// empty: it is not waited for.
	Ready string
}

// Process is a running process of this program, which ends when this one does.
type Process struct {
	PID   int
	Said  map[string]any // the line by which it said that it works
	LogTo string
	// Stdin and Stdout are there where nothing is waited for.
	Stdin  io.WriteCloser
	Stdout io.ReadCloser

	cmd      *exec.Cmd
	theirs   []*os.File // ends of pipes that are the process's
	lifeline io.Closer
	ended    chan struct{}
	err      error // why; valid once ended is closed
}

// Start starts a process and waits until it works. It writes its log to the file
// itself: nobody spends time on reading along.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{LogTo: filepath.Join(c.Dir, c.Name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.LogTo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	hold, lifeline, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = hold.Close() }()
	p.lifeline = lifeline
	p.cmd = exec.Command(c.Binary, c.Args...) //nolint:noctx // it is stopped in order, not killed with a context
	p.cmd.Env = append(append(environment(), demo.LifelineEnv+"=3"), c.Env...)
	p.cmd.ExtraFiles = []*os.File{hold}
	p.cmd.Stderr = log
	// Ctrl-C at the terminal is for this process, which stops the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout = log
	if c.Ready == "" {
		for _, pipe := range []func() error{p.feed, p.listen} {
			if err := pipe(); err != nil {
				return nil, errors.Join(err, lifeline.Close())
			}
		}
	}
	err = p.cmd.Start()
	for _, f := range p.theirs {
		_ = f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), lifeline.Close())
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		p.err = p.cmd.Wait()
		_ = p.lifeline.Close()
		close(p.ended)
	}()
	if c.Ready != "" {
		if err := p.await(ctx, c); err != nil {
			p.Kill()
			return nil, err
		}
	}
	return p, nil
}

// feed and listen are pipes of our own making: those of exec.Cmd are closed when
// the process ends, whether or not somebody has read them.
func (p *Process) feed() error {
	theirs, ours, err := os.Pipe()
	p.cmd.Stdin, p.Stdin, p.theirs = theirs, ours, append(p.theirs, theirs)
	return err
}

func (p *Process) listen() error {
	ours, theirs, err := os.Pipe()
	p.cmd.Stdout, p.Stdout, p.theirs = theirs, ours, append(p.theirs, theirs)
	return err
}

// await waits for the line by which a process says that it works.
func (p *Process) await(ctx context.Context, c Command) error {
	deadline := time.NewTimer(startPatience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(p.LogTo)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			said := map[string]any{}
			if json.Unmarshal(line, &said) == nil && said["msg"] == c.Ready {
				p.Said = said
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s ended while it started: %s (its log: %s)", c.Name, p.lastWords(), p.LogTo)
		case <-deadline.C:
			return fmt.Errorf("%s did not work within %s: %s", c.Name, startPatience, p.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lastWords is the last line of the log.
func (p *Process) lastWords() string {
	text, _ := os.ReadFile(p.LogTo) // it is only told
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Wait waits for the end of a process that ends by itself.
func (p *Process) Wait() error {
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", p.LogTo, p.err, p.lastWords())
	}
	return nil
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop ends the process in order, and after a while in any case.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.Wait()
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not stop within %s", p.LogTo, stopPatience)
	}
}

// environment is ours without the settings of a real installation.
func environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PROOFROOM_") {
			out = append(out, e)
		}
	}
	return out
}

// Server is one process of the server.
type Server struct {
	*Process
	Listen string // address for the public, host:port
	Admin  string // URL of metrics and profiles
}

// Serve starts `proofroom serve` on a database, as it would run in production,
// its log to a file included; args and env configure its providers.
func Serve(ctx context.Context, binary, dir, databaseURL string, args, env []string) (*Server, error) {
	data := filepath.Join(dir, "server")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	p, err := Start(ctx, Command{
		Binary: binary, Name: "serve", Dir: dir, Ready: "serving", Env: env,
		Args: append([]string{
			"serve", "--database-url", databaseURL, "--data-dir", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
			"--public-url", "http://localhost:1", "--darkroom", filepath.Join(dir, "no-darkroom"),
		}, args...),
	})
	if err != nil {
		return nil, err
	}
	listen, _ := p.Said["listen"].(string)
	admin, _ := p.Said["admin"].(string)
	return &Server{Process: p, Listen: listen, Admin: "http://" + admin}, nil
}
