package verify

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
)

// front is a load balancer as simple as one can be: each connection goes to the
// next instance that takes it. What is sent to it survives the death of one.
type front struct {
	listener net.Listener

	mu      sync.Mutex
	targets []string // host:port, the preferred first
	conns   map[net.Conn]bool
}

func newFront(ctx context.Context) (*front, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{listener: l, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.carry(ctx, c)
		}
	}()
	return f, nil
}

func (f *front) url() string { return "http://" + f.listener.Addr().String() }

// route says where connections go from now on: to the first instance that takes
// them. Connections that stand are ended, so nothing may be under way.
func (f *front) route(to ...*Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.targets = nil
	for _, i := range to {
		f.targets = append(f.targets, strings.TrimPrefix(i.URL, "http://"))
	}
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *front) carry(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	f.mu.Lock()
	targets := append([]string(nil), f.targets...)
	f.conns[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	}()
	for _, t := range targets {
		up, err := new(net.Dialer).DialContext(ctx, "tcp", t)
		if err != nil {
			continue
		}
		var both sync.WaitGroup
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
			_ = from.Close()
		}
		both.Go(func() { pass(up, c) })
		both.Go(func() { pass(c, up) })
		both.Wait()
		return
	}
}

func (f *front) close() {
	_ = f.listener.Close()
	f.route()
}
