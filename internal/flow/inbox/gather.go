package inbox

import "sync"

// gathering is where receipts wait for the group that stores them. Groups form by
// themselves: who is free takes all that waits. A group has a price of its own,
// whatever its size, so a second one does not begin beside the first for a few.
type gathering struct {
	second int // rows that a group beside another begins with

	mu     sync.Mutex
	ready  sync.Cond
	rows   []*receipt
	busy   int // groups under way
	closed bool
}

func gather(second int) *gathering {
	g := &gathering{second: second}
	g.ready.L = &g.mu
	return g
}

func (g *gathering) put(rc *receipt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rows = append(g.rows, rc)
	g.ready.Signal()
}

// take waits for a group and returns it; the caller is busy with it until done.
// After close it returns what is left, and then nil.
func (g *gathering) take() []*receipt {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.rows) == 0 || g.busy > 0 && len(g.rows) < g.second && !g.closed {
		if len(g.rows) == 0 && g.closed {
			return nil
		}
		g.ready.Wait()
	}
	n, size := 0, 0
	for n < len(g.rows) && n < maxGroupRows && (n == 0 || size < maxGroupSize) {
		size += len(g.rows[n].row.Body)
		n++
	}
	batch := g.rows[:n:n]
	g.rows = append([]*receipt(nil), g.rows[n:]...)
	g.busy++
	return batch
}

func (g *gathering) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	g.ready.Signal()
}

// close lets everybody who waits take what is left.
func (g *gathering) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.ready.Broadcast()
}
