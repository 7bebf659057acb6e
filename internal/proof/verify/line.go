package verify

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// Line is a connection of instances to something that they need, which can be
// cut: a database, or a provider.
type Line struct {
	listener net.Listener
	network  string // of what is behind it
	address  string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool

	made    atomic.Int64
	refused atomic.Int64
	mute    atomic.Bool
	lost    atomic.Int64
}

func newLine(ctx context.Context, network, address string) (*Line, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a line: %w", err)
	}
	out := &Line{listener: l, network: network, address: address, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go out.carry(ctx, c)
		}
	}()
	context.AfterFunc(ctx, func() { _ = l.Close(); out.Cut() })
	return out, nil
}

// DatabaseLine is a line to the world's database, for Launch.
func (w *World) DatabaseLine(ctx context.Context) (*Line, error) {
	cfg, err := pgconn.ParseConfig(w.url)
	if err != nil {
		return nil, fmt.Errorf("read the database's address: %w", err)
	}
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	return newLine(ctx, network, address)
}

// ProviderLine is a line to the provider stand-in, for Launch.
func (w *World) ProviderLine(ctx context.Context) (*Line, error) {
	return newLine(ctx, "tcp", w.server.Listener.Addr().String())
}

// URL is the line's own address as that of a server of HTTP.
func (l *Line) URL() string { return "http://" + l.listener.Addr().String() }

// database is the address of a database at the other end of the line.
func (l *Line) database(direct string) (string, error) {
	u, err := url.Parse(direct)
	if err != nil {
		return "", fmt.Errorf("read the database's address: %w", err)
	}
	q := u.Query()
	host, port, err := net.SplitHostPort(l.listener.Addr().String())
	if err != nil {
		return "", err
	}
	q.Set("host", host)
	q.Set("port", port)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String(), nil
}

// Cut breaks everything that is connected, and whoever connects finds nobody
// until Restore.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// Restore lets connections through again.
func (l *Line) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// LoseCommits breaks each connection on which a transaction is committed from
// now on, between the commit and its reply. The returned function ends it and
// says how many were lost.
func (l *Line) LoseCommits() (end func() int) {
	before := l.lost.Load()
	l.mute.Store(true)
	return func() int {
		l.mute.Store(false)
		return int(l.lost.Load() - before)
	}
}

// Lost is how many commits have lost their reply.
func (l *Line) Lost() int { return int(l.lost.Load()) }

// Made is how many connections came through, and Refused how many found nobody.
func (l *Line) Made() int { return int(l.made.Load()) }

// Refused is explained at Made.
func (l *Line) Refused() int { return int(l.refused.Load()) }

// keep notes a connection that stands. false: the line is cut.
func (l *Line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.conns[c] = true
	}
	return !l.down
}

func (l *Line) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Line) carry(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	if !l.keep(c) {
		l.refused.Add(1)
		return
	}
	defer l.forget(c)
	up, err := new(net.Dialer).DialContext(ctx, l.network, l.address)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	l.made.Add(1)
	var silent atomic.Bool
	var both sync.WaitGroup
	both.Go(func() { l.pass(up, c, func(b []byte) bool { return l.spot(b, &silent) }) })
	both.Go(func() {
		l.pass(c, up, func([]byte) bool { return !silent.Load() })
		if silent.Load() {
			l.lost.Add(1) // the commit stands: its reply has arrived here, and goes no further
		}
	})
	both.Wait()
}

// spot notices a commit whose reply is to be lost.
func (l *Line) spot(sent []byte, silent *atomic.Bool) bool {
	if l.mute.Load() && bytes.Contains(bytes.ToLower(sent), []byte("commit\x00")) {
		silent.Store(true)
	}
	return true
}

// pass carries bytes from one end to the other until either ends, or go on says
// no to what came.
func (l *Line) pass(to, from net.Conn, goOn func([]byte) bool) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !goOn(buf[:n]) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
