package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"proofroom/internal/darkroom/wire"
)

var (
	// ErrUnavailable means that no child can work: the binary is missing,
	// does not start, or fails on a picture known to be good. The photograph
	// is not at fault; develop it again later.
	ErrUnavailable = errors.New("the darkroom is unavailable; photographs wait until it works")
	// ErrClosed means that the pool was closed meanwhile. Develop the
	// photograph again later.
	ErrClosed = errors.New("the darkroom's pool is closed")
)

// Config says which children to keep. Zero values take the defaults.
type Config struct {
	Binary  string        // path of the darkroom, or its name on PATH; required
	Size    int           // children at most; default: one for each processor
	Timeout time.Duration // for one photograph; default 30 s
	MaxUses int           // photographs that one child develops; default 200
	Log     *slog.Logger  // default: nothing is logged
}

// Pool keeps the children.
type Pool struct {
	cfg    Config
	places chan struct{} // one for each child that may exist
	// draining ends when no photograph is taken any more, closing when those in
	// hand are given up too.
	draining, closing context.Context
	drain, close      context.CancelFunc
	ids               atomic.Uint64

	mu    sync.Mutex
	idle  []*child   // the last used one last, so that few children serve a light load
	hello wire.Hello // of the last child that started

	ended sync.WaitGroup // children that are being waited for
	once  sync.Once      // for Close
}

// New makes a pool. No child is started before it is needed.
func New(cfg Config) *Pool {
	if cfg.Size <= 0 {
		cfg.Size = runtime.GOMAXPROCS(0)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxUses <= 0 {
		cfg.MaxUses = 200
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, places: make(chan struct{}, cfg.Size)}
	p.closing, p.close = context.WithCancel(context.Background())
	p.draining, p.drain = context.WithCancel(p.closing)
	return p
}

// Develop makes the derivatives of one photograph. It waits for a free child,
// then takes at most twice Config.Timeout, and a little more to start
// children. The error is a *wire.Unreadable when the photograph is at fault,
// wraps ErrUnavailable when the darkroom is, and else is that of ctx or
// ErrClosed, or wraps wire.ErrSource when the original cannot be read. The
// original is opened once for each try and goes to the child as it is read.
func (p *Pool) Develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error) {
	ctx, release, err := p.enter(ctx)
	if err != nil {
		return wire.Developed{}, err
	}
	defer release()
	return p.develop(ctx, original, opts.WithDefaults())
}

// Lacks names the layers of the children's isolation that this machine's
// kernel does not offer, as far as a child has started; empty when it has all.
func (p *Pool) Lacks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hello.Lacks
}

// Probe reports whether the darkroom works: nil when a child is alive or all
// are busy, else a child is started and develops a tiny picture. The error
// wraps ErrUnavailable and says what to do, or is ErrClosed.
func (p *Pool) Probe(ctx context.Context) error {
	switch {
	case p.draining.Err() != nil:
		return ErrClosed
	case len(p.places) == cap(p.places):
		return nil
	}
	ctx, release, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if c := p.take(); c != nil {
		p.put(c)
		return nil
	}
	return p.check(ctx)
}

// Drain lets photographs in hand be finished and takes no more, then closes.
// When ctx ends before they are done it gives them back: their Develop answers
// ErrClosed, as it does at once for those that come later or wait for a child.
func (p *Pool) Drain(ctx context.Context) {
	p.drain()
	held := 0
	for range cap(p.places) {
		select {
		case p.places <- struct{}{}:
			held++
		case <-ctx.Done():
		case <-p.closing.Done(): // Close waits for the places held here
		}
	}
	for range held {
		<-p.places
	}
	p.Close()
}

// Close ends all children, also those at work, and waits until they are gone.
// Closing again does nothing.
func (p *Pool) Close() {
	p.once.Do(func() {
		p.close()
		for range cap(p.places) {
			p.places <- struct{}{} // never given back: nothing starts any more
		}
		for _, c := range p.idle {
			p.end(c)
		}
		p.idle = nil
		p.ended.Wait()
	})
}

// enter waits for a place. The context that it returns also ends with the
// pool.
func (p *Pool) enter(ctx context.Context) (context.Context, func(), error) {
	if p.draining.Err() != nil {
		return nil, nil, ErrClosed
	}
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	case <-p.draining.Done():
		return nil, nil, ErrClosed
	}
	if p.draining.Err() != nil { // meanwhile
		<-p.places
		return nil, nil, ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.closing, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		<-p.places
	}, nil
}

// develop tries twice, then finds out who is at fault.
func (p *Pool) develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error) {
	var last *failure
	for try := 1; try <= 2; try++ {
		c, reply, err := p.try(ctx, original, opts, try == 1)
		switch {
		case c == nil && err == nil: // refused before a child saw it
			return wire.Developed{}, reply.Unreadable
		case c == nil && ctx.Err() != nil:
			return wire.Developed{}, context.Cause(ctx)
		case c == nil:
			return wire.Developed{}, err
		case err == nil && reply.Developed != nil:
			p.put(c)
			return *reply.Developed, nil
		case err == nil && reply.Unreadable.Reason == wire.Unsupported:
			p.put(c) // nothing was opened, so the child is as good as before
			return wire.Developed{}, reply.Unreadable
		}
		p.end(c)
		switch {
		case err == nil:
			return wire.Developed{}, reply.Unreadable
		case ctx.Err() != nil:
			return wire.Developed{}, context.Cause(ctx)
		case !errors.As(err, &last):
			return wire.Developed{}, err
		}
		p.cfg.Log.WarnContext(ctx, "a darkroom child failed on a photograph", "try", try,
			"reason", string(last.reason), "detail", last.detail, "pid", c.pid())
	}
	if err := p.check(ctx); err != nil {
		return wire.Developed{}, err
	}
	return wire.Developed{}, last.verdict(p.cfg.Timeout)
}

// try gives a photograph to a child, an idle one if that may be. Without a
// child it has an error, or a verdict that needed none.
func (p *Pool) try(ctx context.Context, original wire.Original, opts wire.Options, idle bool) (c *child, _ wire.Reply, _ error) {
	file, size, err := original(ctx)
	if err != nil {
		return nil, wire.Reply{}, fmt.Errorf("%w: %w", wire.ErrSource, err)
	}
	defer file.Close()
	var bad *wire.Unreadable
	switch {
	case size == 0:
		bad = &wire.Unreadable{Reason: wire.Empty, Sentence: "The file is empty. Upload it again."}
	case size > wire.MaxOriginal:
		bad = &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
			"The file has %d MB; at most %d MB are accepted. Upload a smaller version.", size>>20, wire.MaxOriginal>>20)}
	}
	if bad != nil {
		return nil, wire.Reply{Unreadable: bad}, nil
	}
	if idle {
		c = p.take()
	}
	if c == nil {
		if c, err = p.start(ctx); err != nil {
			return nil, wire.Reply{}, err
		}
	}
	reply, err := c.exchange(ctx, job{p.ids.Add(1), opts, file, size}, p.cfg.Timeout)
	return c, reply, err
}

// check develops a picture known to be good on a fresh child.
func (p *Pool) check(ctx context.Context) error {
	c, err := p.start(ctx)
	if err != nil {
		return err
	}
	picture := checkPicture()
	good := job{p.ids.Add(1), wire.Options{}.WithDefaults(), bytes.NewReader(picture), int64(len(picture))}
	reply, err := c.exchange(ctx, good, p.cfg.Timeout)
	if err == nil && reply.Developed != nil {
		p.put(c)
		return nil
	}
	p.end(c)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		err = reply.Unreadable
	}
	return fmt.Errorf("%w: %s fails on a good picture: %w", ErrUnavailable, p.cfg.Binary, err)
}

// take returns a living child that has nothing to do, or nil.
func (p *Pool) take() *child {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.alive() {
			return c
		}
		p.cfg.Log.Warn("a darkroom child ended while it had nothing to do", "pid", c.pid(), "said", c.said())
		p.end(c)
	}
}

// put keeps a child for the next photograph, unless it has done its share.
func (p *Pool) put(c *child) {
	if c.uses >= p.cfg.MaxUses || c.interrupted {
		p.end(c)
		return
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

func (p *Pool) start(ctx context.Context) (*child, error) {
	c, err := startChild(ctx, p.cfg.Binary)
	if c != nil && err != nil {
		p.end(c)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	p.mu.Lock()
	first := p.hello.Engine == ""
	p.hello = c.hello
	p.mu.Unlock()
	if first && len(c.hello.Lacks) > 0 {
		p.cfg.Log.WarnContext(ctx, "this kernel does not offer all that keeps strangers' pictures from the server; the rest is in place",
			"missing", c.hello.Lacks)
	}
	p.cfg.Log.DebugContext(ctx, "started a darkroom child", "pid", c.pid(), "engine", c.hello.Engine, "formats", c.hello.Formats)
	return c, nil
}

// end kills a child. The wait for its death goes on behind.
func (p *Pool) end(c *child) {
	c.kill()
	p.ended.Go(c.wait)
}

// checkPicture is a JPEG that every working darkroom develops.
var checkPicture = sync.OnceValue(func() []byte {
	img := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range img.Pix {
		img.SetGray(i%64, i/64, color.Gray{Y: uint8(i)})
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		panic(err) // a picture in memory always encodes
	}
	return buf.Bytes()
})
