package pool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"proofroom/internal/darkroom/wire"
)

// startTimeout is how long a child may take until it greets. It takes a tenth
// of a second; a machine under load gets a lot of patience.
const startTimeout = 20 * time.Second

// child is one process of the darkroom. It belongs to one goroutine at a time.
type child struct {
	cmd    *exec.Cmd
	in     *os.File // its standard input
	out    *os.File // its standard output
	reader *bufio.Reader
	stderr *tail
	hello  wire.Hello
	uses   int // photographs developed
	// interrupted means that a cancellation may still reach for the pipes.
	interrupted bool

	killed sync.Once
	gone   chan struct{} // closed when the process is collected
}

// hide closes this process's memory and environment to processes of the same
// user, which its children are: the kernel then lets none of them trace it, or
// read what /proc tells of it.
var hide = sync.OnceValue(func() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot hide from the children: %w", err)
	}
	return nil
})

// startChild starts a process and waits for its greeting. With an error it
// may also return a child, which is then to be ended.
func startChild(ctx context.Context, binary string) (*child, error) {
	path, err := exec.LookPath(binary)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find %q: %w; build it (make build) or set its path", binary, plain(err))
	}
	if err := hide(); err != nil {
		return nil, err
	}
	c := &child{stderr: &tail{}, gone: make(chan struct{})}
	// The child outlives the photograph that it is started for.
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), path)
	c.cmd.Env = []string{} // not nil, which would hand over our own
	c.cmd.Dir = "/"
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Stderr = c.stderr
	c.cmd.WaitDelay = time.Second

	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", path, err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", path, err), childIn.Close(), in.Close())
	}
	c.cmd.Stdin, c.cmd.Stdout, c.in, c.out = childIn, childOut, in, out
	c.reader = bufio.NewReaderSize(out, 64<<10)
	err = c.cmd.Start()
	_, _ = childIn.Close(), childOut.Close() // the child has its own copies
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("cannot start %s: %w", path, plain(err))
	}

	release := c.bound(ctx)
	c.allow(ctx, startTimeout)
	hello, err := wire.ReadHello(c.reader)
	release()
	if err != nil {
		return c, fmt.Errorf("%s did not greet: %w%s", path, err, c.dying())
	}
	c.hello = hello
	return c, nil
}

// bound ends all reading and writing with ctx, until release.
func (c *child) bound(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { c.deadline(time.Unix(1, 0)) })
	return func() {
		if !stop() {
			c.interrupted = true
		}
	}
}

// allow gives reading and writing that much time from now on, unless ctx has
// ended.
func (c *child) allow(ctx context.Context, timeout time.Duration) {
	c.deadline(time.Now().Add(timeout))
	if ctx.Err() != nil { // bound may have been overwritten
		c.deadline(time.Unix(1, 0))
	}
}

func (c *child) deadline(t time.Time) {
	// Pipes always take a deadline; closed ones need none.
	_, _ = c.in.SetWriteDeadline(t), c.out.SetReadDeadline(t)
}

// job is one photograph for a child.
type job struct {
	id       uint64
	opts     wire.Options
	original io.Reader
	size     int64 // bytes
}

// patient writes to the child and gives it the same time for every piece: a
// store that is slow to read from is not the photograph's fault.
type patient struct {
	c       *child
	ctx     context.Context // it lives as long as one call
	timeout time.Duration
}

func (w patient) Write(p []byte) (int, error) {
	w.c.allow(w.ctx, w.timeout)
	return w.c.in.Write(p)
}

// exchange hands the child one photograph and reads what became of it, for
// which the child has timeout once it has all of it. Any error means that the
// child is to be ended; one that it is to blame for is a *failure.
func (c *child) exchange(ctx context.Context, j job, timeout time.Duration) (wire.Reply, error) {
	release := c.bound(ctx)
	defer release()
	err := wire.WriteRequest(patient{c, ctx, timeout}, j.id, j.opts, j.original, j.size)
	var reply wire.Reply
	if err == nil {
		c.allow(ctx, timeout)
		reply, err = wire.ReadReply(c.reader)
	}
	if err == nil && reply.ID != j.id {
		err = fmt.Errorf("answered request %d instead of %d", reply.ID, j.id)
	}
	switch {
	case err == nil:
		c.uses++
		return reply, nil
	case errors.Is(err, wire.ErrSource):
		return reply, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reply, &failure{wire.TooSlow, fmt.Sprintf("no answer within %v", timeout)}
	}
	how := c.dying()
	return reply, &failure{blame(how), err.Error() + how}
}

// alive tells whether an idle child still runs and keeps its silence.
func (c *child) alive() bool {
	if c.reader.Buffered() > 0 {
		return false
	}
	// A dead child's pipe ends at once; a living one's has nothing to read.
	c.deadline(time.Now().Add(time.Millisecond))
	_, err := c.reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// kill ends the child's whole process group, once. Nothing collects the
// process before it, so the number cannot belong to another group yet.
func (c *child) kill() {
	c.killed.Do(func() {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // it may be dead already
		// Should something have left the group and kept the pipes, it talks
		// to nobody.
		_, _ = c.in.Close(), c.out.Close()
		go func() {
			_ = c.cmd.Wait() // it was killed: the error says only that
			close(c.gone)
		}()
	})
}

// wait returns when the killed child is gone.
func (c *child) wait() { <-c.gone }

func (c *child) pid() int { return c.cmd.Process.Pid }

// said is the end of what the child wrote to standard error.
func (c *child) said() string { return c.stderr.String() }

// dying ends a child that broke off and tells how it ended and what it said
// last, for an error's text.
func (c *child) dying() string {
	// Its words come through a pipe that ends with the process.
	c.kill()
	c.wait()
	text := " (" + c.cmd.ProcessState.String() + ")"
	if said := strings.TrimSpace(c.said()); said != "" {
		text += ": " + said
	}
	return text
}

// blame finds in a dying child's words what the photograph did to it.
func blame(said string) wire.Reason {
	said = strings.ToLower(said)
	for words, reason := range map[string]wire.Reason{
		"out of memory":          wire.TooLarge,
		"failed to allocate":     wire.TooLarge,
		"cannot allocate memory": wire.TooLarge,
		"out of processor time":  wire.TooSlow,
	} {
		if strings.Contains(said, words) {
			return reason
		}
	}
	return wire.Crashed
}

// plain drops the operation and path from an error that states them anyway.
func plain(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// failure is what ended a child while it had a photograph.
type failure struct {
	reason wire.Reason
	detail string // for the log
}

func (f *failure) Error() string { return f.detail }

// verdict is what the uploader reads.
func (f *failure) verdict(timeout time.Duration) *wire.Unreadable {
	sentence := "The picture cannot be opened: the program that reads it fails on it. Save it again as JPEG with a photo editor and upload that."
	switch f.reason {
	case wire.TooSlow:
		sentence = fmt.Sprintf("The picture takes too long to open; at most %.0f seconds are allowed. "+
			"Save it again as JPEG, smaller or without progressive mode, and upload that.", timeout.Seconds())
	case wire.TooLarge:
		sentence = fmt.Sprintf("The picture takes too much memory to open; at most %d MB are allowed. Upload a smaller version.", wire.MaxMemory>>20)
	}
	return &wire.Unreadable{Reason: f.reason, Sentence: sentence}
}

// tail keeps the last words of a stream.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p[max(0, len(p)-tailSize):])
	if extra := t.buf.Len() - tailSize; extra > 0 {
		t.buf.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
