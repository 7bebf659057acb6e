package verify

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// Barrier holds processes at fault points until it lets them go.
type Barrier struct {
	path     string
	listener net.Listener

	mu      sync.Mutex
	waiting []net.Conn
	arrived int
	open    bool
	came    chan struct{} // has a token after an arrival
}

// NewBarrier makes one. It is open to nobody until it is released.
func (w *World) NewBarrier(ctx context.Context) (*Barrier, error) {
	w.mu.Lock()
	w.barriers++
	path := filepath.Join(w.dir, fmt.Sprintf("b%d", w.barriers))
	w.mu.Unlock()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("make a barrier: %w", err)
	}
	b := &Barrier{path: path, listener: l, came: make(chan struct{}, 1)}
	go b.accept()
	context.AfterFunc(ctx, b.Open)
	return b, nil
}

func (b *Barrier) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			_ = c.Close()
			continue
		}
		b.mu.Lock()
		b.arrived++
		if b.open {
			_ = c.Close()
		} else {
			b.waiting = append(b.waiting, c)
		}
		b.mu.Unlock()
		select {
		case b.came <- struct{}{}:
		default:
		}
	}
}

// At is the order that holds a process at a fault point.
func (b *Barrier) At(point string) string { return point + "=hold:" + b.path }

// Waiting is how many are held.
func (b *Barrier) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// Arrived is how many ever came.
func (b *Barrier) Arrived() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrived
}

// Await returns once n are held, or after longest, and says how many are.
func (b *Barrier) Await(ctx context.Context, n int, longest time.Duration) int {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		if held := b.Waiting(); held >= n {
			return held
		}
		select {
		case <-b.came:
		case <-timer.C:
			return b.Waiting()
		case <-ctx.Done():
			return b.Waiting()
		}
	}
}

// Release lets all go that wait, at once.
func (b *Barrier) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.waiting {
		_ = c.Close()
	}
	b.waiting = nil
}

// Open lets all go, from now on.
func (b *Barrier) Open() {
	_ = b.listener.Close()
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
	b.Release()
}

// KillAt is the order that makes a process kill itself at the nth hit of a point.
func KillAt(point string, nth int) string { return fmt.Sprintf("%s=kill@%d", point, nth) }
