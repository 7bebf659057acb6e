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
	cfg     Config
	places  chan struct{} // one for each child that may exist
	closing context.Context
	close   context.CancelFunc
	ids     atomic.Uint64

	mu   sync.Mutex
	idle []*child // the last used one last, so that few children serve a light load

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
	return p
}

// Develop makes the derivatives of one photograph. It waits for a free child,
// then takes at most twice Config.Timeout, and a little more to start
// children. The error is a *wire.Unreadable when the photograph is at fault,
// wraps ErrUnavailable when the darkroom is, and else is that of ctx or
// ErrClosed. The original is only read.
func (p *Pool) Develop(ctx context.Context, original []byte, opts wire.Options) (wire.Developed, error) {
	switch {
	case len(original) == 0:
		return wire.Developed{}, &wire.Unreadable{Reason: wire.Empty, Sentence: "The file is empty. Upload it again."}
	case len(original) > wire.MaxOriginal:
		return wire.Developed{}, &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
			"The file has %d MB; at most %d MB are accepted. Upload a smaller version.",
			len(original)>>20, wire.MaxOriginal>>20)}
	}
	ctx, release, err := p.enter(ctx)
	if err != nil {
		return wire.Developed{}, err
	}
	defer release()
	return p.develop(ctx, wire.Request{ID: p.ids.Add(1), Options: opts.WithDefaults(), Original: original})
}

// Probe reports whether the darkroom works: nil when a child is alive or all
// are busy, else a child is started and develops a tiny picture. The error
// wraps ErrUnavailable and says what to do.
func (p *Pool) Probe(ctx context.Context) error {
	if len(p.places) == cap(p.places) {
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
	if p.closing.Err() != nil {
		return nil, nil, ErrClosed
	}
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	case <-p.closing.Done():
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
func (p *Pool) develop(ctx context.Context, q wire.Request) (wire.Developed, error) {
	var last *failure
	for try := 1; try <= 2; try++ {
		var c *child
		if try == 1 {
			c = p.take()
		}
		if c == nil {
			var err error
			if c, err = p.start(ctx); err != nil {
				return wire.Developed{}, err
			}
		}
		reply, err := c.exchange(ctx, q, p.cfg.Timeout)
		switch {
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
			"reason", string(last.reason), "detail", last.detail, "bytes", len(q.Original), "pid", c.pid())
	}
	if err := p.check(ctx); err != nil {
		return wire.Developed{}, err
	}
	return wire.Developed{}, last.verdict()
}

// check develops a picture known to be good on a fresh child.
func (p *Pool) check(ctx context.Context) error {
	c, err := p.start(ctx)
	if err != nil {
		return err
	}
	reply, err := c.exchange(ctx, wire.Request{ID: p.ids.Add(1), Options: wire.Options{}.WithDefaults(), Original: checkPicture()}, p.cfg.Timeout)
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
	p.cfg.Log.DebugContext(ctx, "started a darkroom child", "pid", c.pid(), "engine", c.engine)
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
