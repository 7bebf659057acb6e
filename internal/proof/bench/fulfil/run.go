package fulfil

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

// The sides that can be measured.
const (
	SideFloor   = "floor"
	SideStripe  = "stripe"  // facts: their signed body is all that is needed
	SideMixed   = "mixed"   // a third from each provider, with what has to be fetched
	SideHot     = "hot"     // as stripe, all of one creator
	SideStored  = "stored"  // as stripe, where the answer means stored and a drainer follows
	SideOpen    = "open"    // as stripe, at 70 % of the rate, for the time of an answer
	SideDrain   = "drain"   // the settlement of events that are stored: the ceiling
	SideHistory = "history" // stripe and stored, with and without finished orders
)

// Sides lists them in the order in which they take turns.
var Sides = []string{SideFloor, SideStripe, SideMixed, SideHot, SideOpen, SideStored, SideDrain, SideHistory}

// The parts of the history, which have a database each.
const (
	stripeEmpty, stripeHistory = "stripe-empty", "stripe-history"
	storedEmpty, storedHistory = "stored-empty", "stored-history"
)

// Options say what to measure.
type Options struct {
	Binary   string            // this program
	Events   int               // of each run
	Clients  []int             // each is a configuration
	Rounds   int               // how often all sides take their turn
	History  int               // finished orders
	Sides    []string          // empty: all
	Settings map[string]string // of PostgreSQL, beyond those of production
	Env      []string          // settings of the server, as NAME=value
	Profile  string            // folder for CPU profiles of the server; empty: none
	Keep     bool              // leave the databases and logs
	Progress io.Writer
}

const (
	warmUp = 2000 // events at most before anything is measured
	// openShare is how much of the measured rate the open loop asks for, on so many
	// connections.
	openShare   = 0.7
	openClients = 128
)

// Run measures and reports. The report is there also with
// bench.ErrVoid, which says that a promise is broken or that others disturbed.
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.Sides) == 0 {
		o.Sides = Sides
	}
	b := &bencher{Options: o, report: newReport(o)}
	if slices.ContainsFunc(o.Sides, func(s string) bool { return s != SideHistory }) {
		if err := b.inTurns(ctx); err != nil {
			return nil, err
		}
	}
	if b.wants(SideHistory) {
		if err := b.history(ctx); err != nil {
			return nil, err
		}
	}
	return b.report, b.report.finish()
}

type bencher struct {
	Options
	report *Report
}

func (b *bencher) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Progress, format+"\n", args...)
}

func (b *bencher) wants(side string) bool { return slices.Contains(b.Sides, side) }

// headClients are the clients of the sides that are measured with one number.
func (b *bencher) headClients() int { return slices.Max(b.Clients) }

func (b *bencher) warmUp() int { return min(warmUp, b.Events) }

// open opens a lab and notes what it runs on.
func (b *bencher) open(ctx context.Context) (*lab, error) {
	b.tell("starting a database")
	l, err := openLab(ctx, b.Binary, b.Env, b.Settings)
	if err != nil {
		return nil, err
	}
	if err := b.settings(ctx, l); err != nil {
		return nil, errors.Join(err, b.close(l))
	}
	return l, nil
}

func (b *bencher) close(l *lab) error {
	if b.Keep {
		b.tell("what was measured is left in %s", l.dir)
	}
	return l.close(b.Keep)
}

// turn is one run to come.
type turn struct {
	side    string
	clients int
	set     load.Set
}

// inTurns measures all sides but the history, round after round, on one database.
func (b *bencher) inTurns(ctx context.Context) (err error) {
	l, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(l)) }()
	var turns, stored, drained []turn
	orders := load.Orders(b.Events)
	for range b.Rounds {
		for _, side := range Sides {
			switch {
			case !b.wants(side):
			case side == SideFloor:
				turns = append(turns, turn{side, floorClients, l.set(orders, false, false)})
			case side == SideOpen:
				turns = append(turns, turn{side, openClients, l.set(orders, false, false)})
			case side == SideHot:
				turns = append(turns, turn{side, b.headClients(), l.set(orders, false, true)})
			case side == SideStored:
				stored = append(stored, turn{side, b.headClients(), l.set(orders, false, false)})
			case side == SideDrain:
				drained = append(drained, turn{side, 1, l.set(orders, false, false)})
			case side != SideHistory:
				for _, c := range b.Clients {
					turns = append(turns, turn{side, c, l.set(orders, side == SideMixed, false)})
				}
			}
		}
	}
	warm := [3]load.Set{b.warmSet(l, b.wants(SideMixed)), b.warmSet(l, false), b.warmSet(l, false)}
	all := slices.Concat(turns, stored, drained)
	for _, s := range warm {
		all = append(all, turn{set: s})
	}
	if err := b.prepare(ctx, l, all); err != nil {
		return err
	}
	if b.wants(SideFloor) {
		if _, err := l.floor(ctx, warm[2]); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	if err := b.served(ctx, l, warm[0], turns); err != nil {
		return err
	}
	if err := b.served(ctx, l, warm[1], stored, storeFirst); err != nil {
		return err
	}
	for _, t := range drained {
		if err := b.take(ctx, l, t); err != nil {
			return err
		}
	}
	return nil
}

// served takes turns against one server, which is started for them.
func (b *bencher) served(ctx context.Context, l *lab, warm load.Set, turns []turn, env ...string) error {
	if len(turns) == 0 {
		return nil
	}
	if err := b.start(ctx, l, warm, env...); err != nil {
		return err
	}
	for _, t := range turns {
		if err := b.take(ctx, l, t); err != nil {
			return err
		}
	}
	return l.stopServer()
}

// history measures with and without finished orders, in turns, on two databases.
func (b *bencher) history(ctx context.Context) (err error) {
	var labs [2]*lab
	orders := load.Orders(b.Events)
	modes := []struct {
		sides [2]string // without and with history
		env   []string
		turns [2][]turn
		warm  [2]load.Set
	}{
		{sides: [2]string{stripeEmpty, stripeHistory}},
		{sides: [2]string{storedEmpty, storedHistory}, env: []string{storeFirst}},
	}
	for i := range labs {
		l, err := b.open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.close(l)) }()
		labs[i] = l
		if i == 1 {
			b.tell("making %d finished orders", b.History)
			began := time.Now()
			if err := l.finished(ctx, b.History, b.tell); err != nil {
				return err
			}
			b.tell("made in %s", time.Since(began).Round(time.Second))
		}
		var all []turn
		for m := range modes {
			for range b.Rounds {
				modes[m].turns[i] = append(modes[m].turns[i], turn{modes[m].sides[i], b.headClients(), l.set(orders, false, false)})
			}
			modes[m].warm[i] = b.warmSet(l, false)
			all = append(append(all, modes[m].turns[i]...), turn{set: modes[m].warm[i]})
		}
		if err := b.prepare(ctx, l, all); err != nil {
			return err
		}
	}
	for _, mode := range modes {
		for i, l := range labs {
			if err := b.start(ctx, l, mode.warm[i], mode.env...); err != nil {
				return err
			}
		}
		for round := range b.Rounds {
			for i, l := range labs {
				if err := b.take(ctx, l, mode.turns[i][round]); err != nil {
					return err
				}
			}
		}
		for _, l := range labs {
			if err := l.stopServer(); err != nil {
				return err
			}
		}
	}
	return nil
}

// warmSet names the orders of a warm-up.
func (b *bencher) warmSet(l *lab, mixed bool) load.Set {
	return l.set(load.Orders(b.warmUp()), mixed, false)
}

// prepare makes the orders of all turns.
func (b *bencher) prepare(ctx context.Context, l *lab, turns []turn) error {
	total, made := 0, 0
	for _, t := range turns {
		total += t.set.Count
	}
	b.tell("making %d orders that wait for their money", total)
	began := time.Now()
	for _, t := range turns {
		if err := l.seed(ctx, t.set, false, func(int) {}); err != nil {
			return err
		}
		made += t.set.Count
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	b.tell("made in %s", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// take takes a turn.
func (b *bencher) take(ctx context.Context, l *lab, t turn) error {
	var r Round
	var err error
	how := run{side: t.side, set: t.set, events: b.Events, clients: t.clients, profile: b.Profile}
	switch t.side {
	case SideFloor:
		r, err = l.floor(ctx, t.set)
	case SideDrain:
		r, err = l.drain(ctx, t.side, t.set)
	case SideOpen:
		// Of the events, not of the orders: a repetition is due as well.
		granted := b.report.rate(SideStripe, b.headClients())
		if how.rate = openShare * granted * float64(b.Events) / float64(load.Orders(b.Events)); how.rate == 0 {
			return errors.New("the open loop needs the rate of the closed one: measure the side stripe as well")
		}
		r, err = l.ours(ctx, how)
	default:
		r, err = l.ours(ctx, how)
	}
	if err != nil {
		return fmt.Errorf("%s, %d clients: %w", t.side, t.clients, err)
	}
	b.report.Rounds = append(b.report.Rounds, r)
	line := fmt.Sprintf("%-14s %3d clients  %6.0f orders/s  ack p50 %6.1f p99 %6.1f ms  CPU us db %4.0f server %4.0f  others %4.1f %%",
		r.Side, r.Clients, r.PerS, r.AckP50, r.AckP99, r.CPU.Database, r.CPU.Server, r.Others*100)
	for _, w := range r.Broken {
		line += "\n  BROKEN: " + w
	}
	b.tell("%s", line)
	return nil
}

// start starts the server and has it work a little.
func (b *bencher) start(ctx context.Context, l *lab, warm load.Set, env ...string) error {
	if err := l.serve(ctx, env...); err != nil {
		return err
	}
	if _, err := l.ours(ctx, run{side: "warm-up", set: warm, events: b.warmUp(), clients: b.Clients[0]}); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}

// settings notes what is measured on.
func (b *bencher) settings(ctx context.Context, l *lab) error {
	took, err := bench.Fdatasync(l.dir, 200)
	if err != nil {
		return err
	}
	s := &b.report.Settings
	s.FdatasyncMicros = float64(took.Microseconds())
	shown, err := l.shown(ctx, "fsync", "synchronous_commit", "full_page_writes", "wal_compression", "shared_buffers", "max_wal_size", "server_version")
	if err != nil {
		return err
	}
	s.Fsync, s.SynchronousCommit, s.FullPageWrites = shown["fsync"], shown["synchronous_commit"], shown["full_page_writes"]
	s.WALCompression, s.SharedBuffers, s.MaxWALSize, s.PostgreSQL = shown["wal_compression"], shown["shared_buffers"], shown["max_wal_size"], shown["server_version"]
	s.BodyBytes = len(load.Set{Batch: 1}.Body(0, time.Now(), ""))
	return nil
}

// remove deletes a folder unless it is to be kept.
func remove(dir string, keep bool) error {
	if keep {
		return nil
	}
	return os.RemoveAll(dir)
}
