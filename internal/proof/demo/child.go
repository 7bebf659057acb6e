package demo

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
	"strings"
	"syscall"
	"time"
)

// LifelineEnv names the number of an open file that ends when whoever started
// the process has ended: then the process stops as if it had been told to.
const LifelineEnv = "PROOFROOM_LIFELINE"

// childStop is how long a process may take to stop: a server drains for 20 s.
const childStop = 25 * time.Second

// child is a process of our own binary. Everything it says goes to a file.
type child struct {
	name    string
	logFile string
	process *os.Process

	lifeline *os.File
	ready    chan map[string]any // the line of its log that was waited for
	ended    chan struct{}       // closed when the process has ended
	err      error               // why; valid once ended is closed
	last     string              // its last line; valid once ended is closed
}

// start runs the binary with args. ready is the message of the log line by which
// the process says that it works.
func start(self, dir, name, ready string, args ...string) (*child, error) {
	c := &child{
		name: name, logFile: filepath.Join(dir, name+".log"),
		ready: make(chan map[string]any, 1), ended: make(chan struct{}),
	}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	lifeline, hold, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close(), ours.Close(), theirs.Close())
	}
	cmd := exec.Command(self, args...) //nolint:noctx // the process is stopped in order, not killed with a context
	cmd.Env = append(ownEnvironment(), LifelineEnv+"=3")
	cmd.Stdout, cmd.Stderr = theirs, theirs
	cmd.ExtraFiles = []*os.File{lifeline}
	// Ctrl-C at the terminal is for this process, which stops the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = theirs.Close(), lifeline.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close(), ours.Close(), hold.Close())
	}
	c.process, c.lifeline = cmd.Process, hold
	go func() {
		c.listen(ours, log, ready)
		c.err = cmd.Wait()
		_, _ = ours.Close(), log.Close()
		close(c.ended)
	}()
	return c, nil
}

// ownEnvironment is ours without the settings of a real installation.
func ownEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PROOFROOM_") {
			env = append(env, v)
		}
	}
	return env
}

// listen copies what the process says to the file, and finds the line that says
// that it works.
func (c *child) listen(from io.Reader, log io.Writer, ready string) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(log, line)
		if text := strings.TrimSpace(line); text != "" {
			c.last = text
		}
		if ready != "" {
			said := map[string]any{}
			if json.Unmarshal([]byte(line), &said) == nil && said["msg"] == ready {
				c.ready <- said
				ready = ""
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns the line by which the process says that it works.
func (c *child) wait(ctx context.Context) (map[string]any, error) {
	select {
	case said := <-c.ready:
		return said, nil
	case <-c.ended:
		return nil, c.why()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s is not ready: %w; see %s", c.name, ctx.Err(), c.logFile)
	}
}

// why tells in a line that the process has ended, once ended is closed.
func (c *child) why() error {
	reason := "it said nothing"
	if c.last != "" {
		reason = strings.TrimPrefix(c.last, "proofroom: ")
	}
	return fmt.Errorf("%s has ended: %s (its log: %s)", c.name, reason, c.logFile)
}

// stop ends the process in order, and after a while in any case.
func (c *child) stop() error {
	if c == nil {
		return nil
	}
	defer func() { _ = c.lifeline.Close() }()
	if err := c.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("%s did not stop well: %w", c.name, c.why())
		}
		return nil
	case <-time.After(childStop):
	}
	_ = c.process.Kill()
	<-c.ended
	return fmt.Errorf("%s did not stop within %s and was ended; see %s", c.name, childStop, c.logFile)
}
