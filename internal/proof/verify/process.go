package verify

import (
	"bufio"
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
	"sync"
	"syscall"
	"time"

	"proofroom/internal/proof/demo"
	"proofroom/internal/proof/twin"
)

// patience bounds the start of a process.
const startPatience = 30 * time.Second

// Instance is one process of the server.
type Instance struct {
	Name  string
	URL   string // of the public
	Admin string

	cmd      *exec.Cmd
	lifeline io.Closer
	exited   chan struct{} // closed when the process has ended
	state    *os.ProcessState

	mu      sync.Mutex
	ours    bool // we sent the signal that ended it
	stopped bool // or one that stopped it for a while
	tail    []string
	ready   chan serving
}

type serving struct{ Msg, Listen, Admin string }

// Launch says how an instance is started.
type Launch struct {
	Name string
	// Faults are orders for its fault points, which only the proof build obeys.
	Faults []string
	// Env are settings of its own, as "TZ=Asia/Tokyo".
	Env []string
	// Database and PayPal are its lines to both; nil: it is connected directly.
	Database, PayPal *Line
	// Darkroom has it develop photographs.
	Darkroom bool
}

// StoreFirst is the setting of an instance that only stores events before it
// answers them, and works them afterwards.
const StoreFirst = "PROOFROOM_STORE_FIRST=true"

// Start starts another instance. faults are orders for its fault points, which
// only the proof build obeys.
func (w *World) Start(ctx context.Context, name string, faults ...string) (*Instance, error) {
	return w.Launch(ctx, Launch{Name: name, Faults: faults})
}

// Launch starts another instance. One that ended while it started is returned with
// the error.
func (w *World) Launch(ctx context.Context, as Launch) (*Instance, error) {
	name := as.Name
	database, paypal := w.url, w.twinURL
	if as.Database != nil {
		var err error
		if database, err = as.Database.database(w.url); err != nil {
			return nil, err
		}
	}
	if as.PayPal != nil {
		paypal = as.PayPal.URL()
	}
	darkroom := "/nonexistent"
	if as.Darkroom {
		darkroom = w.darkroom
	}
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(w.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	hold, lifeline, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	i := &Instance{Name: name, lifeline: lifeline, exited: make(chan struct{}), ready: make(chan serving, 1)}
	i.cmd = exec.Command(w.binary, "serve", //nolint:noctx // a process under test ends by the scenario's own signal
		"--database-url", database, "--data-dir", dir, "--blobs", w.files(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--public-url", publicURL, "--trusted-proxies", "127.0.0.1", "--stripe-url", w.twinURL, "--paypal-url", paypal+"/paypal",
		"--paypal-root-ca", w.caFile(), "--flutterwave-url", w.twinURL+"/flutterwave",
		"--smtp-host", w.mailHost, "--smtp-port", strconv.Itoa(w.mailPort), "--smtp-tls", "none", "--mail-from", "Proofroom <mail@localhost>",
		"--poll-waits", "1m,2m,5m,15m,1h", "--darkroom", darkroom)
	i.cmd.Env = append(environment(),
		demo.LifelineEnv+"=3", "PROOFROOM_STRIPE_SECRET_KEY="+twin.DefaultSecretKey, "PROOFROOM_STRIPE_WEBHOOK_SECRETS="+WebhookSecret,
		"PROOFROOM_PAYPAL_CLIENT_ID="+twin.DefaultPayPalClient, "PROOFROOM_PAYPAL_CLIENT_SECRET="+twin.DefaultPayPalSecret,
		"PROOFROOM_PAYPAL_WEBHOOK_ID="+webhookID,
		"PROOFROOM_FLUTTERWAVE_SECRET_KEY="+twin.DefaultFlutterwaveKey, "PROOFROOM_FLUTTERWAVE_SECRET_HASHES="+secretHash,
		"PROOFROOM_FAULTS="+strings.Join(as.Faults, ","), "PROOFROOM_GUARDS_OFF="+strings.Join(w.guardsOff, ","))
	i.cmd.Env = append(i.cmd.Env, as.Env...)
	i.cmd.ExtraFiles = []*os.File{hold}
	i.cmd.Stdout = log
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is for the prover, who then ends it
	stderr, err := i.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close(), hold.Close(), lifeline.Close())
	}
	if err := i.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", w.binary, err), log.Close(), hold.Close(), lifeline.Close())
	}
	_ = hold.Close()
	go i.follow(stderr, log)
	w.mu.Lock()
	w.processes = append(w.processes, i)
	w.mu.Unlock()

	timer := time.NewTimer(startPatience)
	defer timer.Stop()
	select {
	case at := <-i.ready:
		i.URL, i.Admin = "http://"+at.Listen, "http://"+at.Admin
		return i, nil
	case <-i.exited:
		return i, fmt.Errorf("instance %s ended while it started: %s\n%s", name, i.state, i.lastWords())
	case <-timer.C:
		i.Kill()
		return nil, fmt.Errorf("instance %s did not serve within %s\n%s", name, startPatience, i.lastWords())
	case <-ctx.Done():
		i.Kill()
		return nil, ctx.Err()
	}
}

// follow keeps the log and its last lines, and waits for the end.
func (i *Instance) follow(stderr io.Reader, log *os.File) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	told := false
	for lines.Scan() {
		_, _ = fmt.Fprintln(log, lines.Text())
		var s serving
		if !told && json.Unmarshal(lines.Bytes(), &s) == nil && s.Msg == "serving" {
			i.ready <- s
			told = true
		}
		i.mu.Lock()
		if i.tail = append(i.tail, lines.Text()); len(i.tail) > 5 {
			i.tail = i.tail[1:]
		}
		i.mu.Unlock()
	}
	_ = i.cmd.Wait()
	i.state = i.cmd.ProcessState
	_ = i.lifeline.Close()
	_ = log.Close()
	close(i.exited)
}

func (i *Instance) lastWords() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return strings.Join(i.tail, "\n")
}

func (i *Instance) signal(s syscall.Signal) { _ = i.cmd.Process.Signal(s) }

// Kill ends the process as a crash would: SIGKILL, at once. It reports whether
// the process was still alive.
func (i *Instance) Kill() bool {
	if !i.Alive() {
		return false
	}
	i.mu.Lock()
	i.ours = true
	i.mu.Unlock()
	i.signal(syscall.SIGKILL)
	<-i.exited
	return true
}

// Pause stops the process as it stands (SIGSTOP); Resume lets it go on.
func (i *Instance) Pause() {
	i.mu.Lock()
	i.stopped = true
	i.mu.Unlock()
	i.signal(syscall.SIGSTOP)
}

// disturbed reports whether the process was killed or stopped for a while: what
// it had begun may have been done a second time by others.
func (i *Instance) disturbed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ours || i.stopped
}

// Resume is the end of Pause.
func (i *Instance) Resume() { i.signal(syscall.SIGCONT) }

// Alive reports whether the process runs.
func (i *Instance) Alive() bool {
	select {
	case <-i.exited:
		return false
	default:
		return true
	}
}

// Died waits until the process has killed itself by an ordered fault, and
// reports whether it did.
func (i *Instance) Died(ctx context.Context, longest time.Duration) bool {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-i.exited:
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	status, ok := i.state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL && !i.ours
}
