package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a running private PostgreSQL. Stop it; a Server that is only
// forgotten goes on running.
type Server struct {
	cfg       Config
	folder    *folder
	bin       binaries
	mark      string
	socketDir string
	port      int // of the socket's name, and of TCP if asked for
	log       *logFile

	restarts atomic.Int64

	// Orders to the supervisor, which ends with done. They end contexts, since
	// they cut short whatever it waits for.
	stop, stopNow context.CancelFunc
	hurry         <-chan struct{} // closed by stopNow
	done          chan struct{}
	err           error // why it gave up; read after done
	stopErr       error // how the stop went; read after done
}

// Start makes the database if there is none, recovers from whatever an earlier
// parent left behind, starts the server and waits until it answers; a recovery
// after a crash may take minutes, so ctx alone bounds it. When ctx ends later,
// nothing happens: the server runs until [Server.Stop].
//
// Errors wrap one of the Err values of this package where it applies.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.attempts == 0 {
		cfg.attempts = 8 // a quarter of a minute, with the pauses between
	}
	if err := checkSettings(cfg.Settings); err != nil {
		return nil, err
	}
	folder, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, folder: folder, port: 5432, done: make(chan struct{})}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	hurry, stopNow := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.stopNow, s.hurry = stop, stopNow, hurry.Done()
	if s.log, err = openLog(folder.path("postgres.log")); err != nil {
		folder.release()
		return nil, err
	}
	pm, err := s.start(ctx)
	if err != nil {
		s.leave()
		return nil, err
	}
	go s.supervise(running, pm)
	return s, nil
}

// start does what has to be done once per Server, then launches.
func (s *Server) start(ctx context.Context) (*postmaster, error) {
	major, err := s.folder.major()
	if err != nil {
		return nil, err
	}
	found, err := findBinaries(ctx, s.cfg.BinDir)
	if err != nil {
		return nil, err
	}
	if s.bin, err = forCluster(found, s.folder.cluster(), major); err != nil {
		return nil, err
	}
	if err := s.removeUnfinished(ctx); err != nil {
		return nil, err
	}
	if major == 0 {
		if err := s.initCluster(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.adopt(); err != nil {
		return nil, err
	}
	if s.mark, err = s.folder.mark(); err != nil {
		return nil, err
	}
	if s.cfg.TCP {
		if s.port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	if s.socketDir, err = s.folder.socketDir(s.cfg.RuntimeDir, s.port); err != nil {
		return nil, err
	}
	if err := s.clear(ctx); err != nil {
		return nil, err
	}
	settings := defaults(memory(), s.hasLZ4(ctx))
	maps.Copy(settings, s.cfg.Settings)
	// The supervisor reads the server's messages, so they have to be English.
	settings["lc_messages"] = "C"
	if err := s.folder.write(s.folder.conf(), 0o640, renderConf(s.folder.cluster(), settings)); err != nil {
		return nil, err
	}
	if err := s.folder.write(s.folder.hba(), 0o640, renderHBA(s.cfg.TCP)); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.folder.passfile()); err != nil {
		if err := s.setPassword(ctx); err != nil {
			return nil, err
		}
	}
	return s.firstLaunch(ctx)
}

// firstLaunch launches, and heals what only a first launch can meet: a password
// that is not the one in the file, and a port that was taken meanwhile.
func (s *Server) firstLaunch(ctx context.Context) (*postmaster, error) {
	pm, err := s.launch(ctx)
	for try := 0; err != nil && try < 3; try++ {
		switch {
		case isWrongPassword(err):
			s.cfg.Log.Warn("embedded postgres: the password's file does not fit, setting a new one", "file", s.folder.passfile())
			if err := s.setPassword(ctx); err != nil {
				return nil, err
			}
		case s.cfg.TCP && strings.Contains(err.Error(), "Address already in use"):
			port, portErr := freePort(ctx)
			if portErr != nil {
				return nil, portErr
			}
			s.port = port
		default:
			return nil, err
		}
		pm, err = s.launch(ctx)
	}
	return pm, err
}

func isWrongPassword(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "28P01" || pgErr.Code == "28000")
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("embedded postgres: no free port on 127.0.0.1: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// hasLZ4 asks the server, which does not start for it, whether it was built so.
func (s *Server) hasLZ4(ctx context.Context) bool {
	_, err := run(ctx, s.command(ctx, "postgres", "-C", "wal_compression", "-D", s.folder.cluster(), "-c", "wal_compression=lz4"))
	return err == nil
}

// postmaster is one run of the server.
type postmaster struct {
	cmd    *exec.Cmd
	ready  time.Time
	exited chan struct{} // closed when the process ended and was waited for
}

// launch starts the server and waits until it answers.
func (s *Server) launch(ctx context.Context) (*postmaster, error) {
	if err := s.clear(ctx); err != nil {
		return nil, err
	}
	listen := ""
	if s.cfg.TCP {
		listen = "127.0.0.1"
	}
	// On the command line, so that neither file nor ALTER SYSTEM can change them.
	args := []string{"-D", s.folder.cluster()}
	for _, setting := range []string{
		"config_file=" + s.folder.conf(),
		"hba_file=" + s.folder.hba(),
		"cluster_name=" + s.mark,
		"listen_addresses=" + listen,
		"port=" + strconv.Itoa(s.port),
		`unix_socket_directories="` + strings.ReplaceAll(s.socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"password_encryption=scram-sha-256",
		"logging_collector=off",
		"log_destination=stderr",
	} {
		args = append(args, "-c", setting)
	}
	s.log.begin()
	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...) // it outlives its start
	cmd.Stdout, cmd.Stderr = s.log.file, s.log.file
	if err := cmd.Start(); err != nil {
		return nil, s.folder.outputError("starting "+cmd.Path, err, err.Error())
	}
	pm := &postmaster{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state is kept in cmd.ProcessState
		close(pm.exited)
	}()
	if err := s.awaitReady(ctx, pm); err != nil {
		select {
		case <-pm.exited:
		default:
			_ = s.end(context.WithoutCancel(ctx), pm, orderly[1:]) // why it was ended is the error that matters
		}
		return nil, err
	}
	pm.ready = time.Now()
	s.cfg.Log.Info("embedded postgres: running", "process", cmd.Process.Pid, "user", s.folder.account.name, "version", s.bin.major,
		"socket", s.socketDir, "tcp", s.TCPAddr())
	return pm, nil
}

// awaitReady waits for the server to say that it is ready, and then for proof.
func (s *Server) awaitReady(ctx context.Context, pm *postmaster) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	tell := time.NewTicker(10 * time.Second)
	defer tell.Stop()
	var answerBy <-chan time.Time
	var refused error
	for {
		select {
		case <-pm.exited:
			return s.folder.outputError("the server ended while starting", errors.New(pm.cmd.ProcessState.String()), s.log.tail())
		case <-ctx.Done():
			return s.folder.outputError("waiting for the server to start", ctx.Err(), s.log.tail())
		case <-tell.C:
			s.cfg.Log.Info("embedded postgres: still starting", "log", s.log.tail())
		case <-tick.C:
			if !s.saysReady() {
				continue
			}
			if answerBy == nil {
				answerBy = time.After(30 * time.Second)
			}
			if refused = s.ping(ctx); refused == nil || isWrongPassword(refused) {
				return refused
			}
		case <-answerBy:
			return fmt.Errorf("embedded postgres: the server is ready but cannot be reached: %w", refused)
		}
	}
}

// saysReady reads the state that the server keeps in the eighth line of its
// postmaster.pid.
func (s *Server) saysReady() bool {
	text, err := os.ReadFile(filepath.Join(s.folder.cluster(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL is the superuser's address of a database over the socket. It names the
// password's file, not the password, so it serves only who may read that file.
func (s *Server) URL(database string) string {
	return s.url(database, s.socketDir)
}

// TCPURL is as URL, over TCP; empty unless Config.TCP.
func (s *Server) TCPURL(database string) string {
	if !s.cfg.TCP {
		return ""
	}
	return s.url(database, "127.0.0.1")
}

func (s *Server) url(database, host string) string {
	options := url.Values{
		"host": {host},
		"port": {strconv.Itoa(s.port)},
		"user": {superuser},
		// Empty, and said so: PGPASSWORD in the environment is for another server.
		"password": {""},
		"passfile": {s.folder.passfile()},
		"sslmode":  {"disable"},
	}.Encode()
	// Clients of PostgreSQL do not read a plus as a space, unlike forms.
	return "postgres:///" + url.PathEscape(database) + "?" + strings.ReplaceAll(options, "+", "%20")
}

// TCPAddr is host and port of the TCP listener; empty unless Config.TCP.
func (s *Server) TCPAddr() string {
	if !s.cfg.TCP {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// LogFile is the path of the server's log.
func (s *Server) LogFile() string { return s.log.path }

// Restarts counts how often the server died by itself and was started again.
func (s *Server) Restarts() int64 { return s.restarts.Load() }

// Done is closed when the server has ended for good: after Stop, or when it
// died and could not be started again.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server was given up; nil while it runs and after Stop.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Stop ends the server and waits for it. Clients are cut off, what they have not
// committed is rolled back, and the next start needs no recovery. When ctx ends
// first, or the server takes more than a minute, it is ended at once: nothing
// committed is lost, the next start recovers, and the error says so. Stopping
// again waits for the same end.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.stopNow()
		<-s.done
	}
	return errors.Join(s.err, s.stopErr)
}

// leave gives up what a Server holds, the right to be the parent last.
func (s *Server) leave() {
	s.stop()
	s.stopNow()
	s.log.close()
	if s.cfg.RuntimeDir == "" && s.socketDir != "" {
		_ = os.Remove(s.socketDir) // empty by now, or left for the next start
	}
	s.folder.release()
}

// supervise owns the process until the end, which comes when ctx does or when the
// server is given up.
func (s *Server) supervise(ctx context.Context, pm *postmaster) {
	defer close(s.done)
	defer s.leave()
	turn := time.NewTicker(10 * time.Second)
	defer turn.Stop()
	failures := 0
	for {
		select {
		case <-turn.C:
			s.log.turn(maxLog)
		case <-ctx.Done():
			s.stopErr = s.end(context.WithoutCancel(ctx), pm, []step{{syscall.SIGINT, false, time.Minute}, orderly[1], orderly[2]})
			s.cfg.Log.Info("embedded postgres: stopped", "process", pm.cmd.Process.Pid, "error", s.stopErr)
			return
		case <-pm.exited:
			if time.Since(pm.ready) > time.Minute {
				failures = 0
			}
			died := s.folder.outputError("the server ended by itself", errors.New(pm.cmd.ProcessState.String()), s.log.tail())
			if pm = s.revive(ctx, died, &failures); pm == nil {
				return
			}
		}
	}
}

// revive starts the server again, each time after a longer pause. It answers nil
// when the server was stopped meanwhile, or given up after too many failures.
func (s *Server) revive(ctx context.Context, died error, failures *int) *postmaster {
	for {
		if *failures >= s.cfg.attempts {
			s.err = fmt.Errorf("the database is given up after %d restarts, its folder is left as it is: %w", *failures, died)
			s.cfg.Log.Error("embedded postgres: giving up", "restarts", *failures, "error", died)
			return nil
		}
		pause := min(100*time.Millisecond<<*failures, 5*time.Second)
		*failures++
		s.cfg.Log.Error("embedded postgres: the server died, starting it again", "pause", pause, "error", died)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pm, err := s.launch(ctx)
		if err == nil {
			s.restarts.Add(1)
			return pm
		}
		if ctx.Err() != nil {
			return nil
		}
		died = err
	}
}

// end stops the process by the steps, and then what may be left of its children.
// It fails when the end was not the orderly one.
func (s *Server) end(ctx context.Context, pm *postmaster, steps []step) error {
	for i, st := range steps {
		_ = pm.cmd.Process.Signal(st.signal) // if it has ended, exited says so
		hurry := s.hurry
		if st.signal != syscall.SIGINT {
			hurry = nil
		}
		select {
		case <-pm.exited:
			if i > 0 || !pm.cmd.ProcessState.Success() {
				break
			}
			return nil
		case <-time.After(st.patience):
			continue
		case <-hurry:
			continue
		}
		left := stopAll(ctx, orderly[1:], func() []process { return marked(s.folder.account.uid, s.mark) })
		return errors.Join(left, fmt.Errorf("embedded postgres: the server did not shut down in order (%v); what was committed is safe and the next start recovers", pm.cmd.ProcessState))
	}
	return fmt.Errorf("embedded postgres: process %d does not end, even by SIGKILL; see what it waits for (state D: the disk)", pm.cmd.Process.Pid)
}
