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
	SideFloor  = "floor"
	SideStripe = "stripe" // facts: their signed body is all that is needed
	SideMixed  = "mixed"  // a third from each provider, with what has to be fetched
	SideHot    = "hot"    // as stripe, all of one creator
	SideOpen   = "open"   // as stripe, at 70 % of the rate, for the time of an answer
)

// Sides lists them in the order of a cycle.
var Sides = []string{SideFloor, SideStripe, SideMixed, SideHot, SideOpen}

// Options say what to measure.
type Options struct {
	Binary   string   // this program
	Events   int      // of each run
	Clients  []int    // each is a configuration
	Rounds   int      // cycles over all sides
	Sides    []string // empty: all
	Settings map[string]string
	Env      []string // settings of the server, as NAME=value
	Keep     bool
	Progress io.Writer
}

// ErrVoid says that the figures are not to be believed: a promise is broken, or
// others used too much of the machine. The report says which.
var ErrVoid = errors.New("the measurement does not count")

const (
	warmUp = 2000 // events before anything is measured
	// openShare is how much of the measured rate the open loop asks for, on so many
	// connections.
	openShare   = 0.7
	openClients = 128
)

// Run measures and reports. The report is there also with ErrVoid.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if len(o.Sides) == 0 {
		o.Sides = Sides
	}
	b := &bencher{Options: o, report: newReport(o)}
	b.tell("starting a database with the settings of production")
	l, err := openLab(ctx, "empty", o.Binary, o.Env, o.Settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if o.Keep {
			b.tell("what was measured is left in %s", l.dir)
		}
		err = errors.Join(err, l.close(o.Keep))
	}()
	if err := b.settings(ctx, l); err != nil {
		return nil, err
	}
	if err := b.cycles(ctx, l); err != nil {
		return nil, err
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

// turn is one run to come.
type turn struct {
	side    string
	clients int
	set     load.Set
}

// cycles measures all sides in turns, round after round.
func (b *bencher) cycles(ctx context.Context, l *lab) error {
	var turns []turn
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
			default:
				for _, c := range b.Clients {
					turns = append(turns, turn{side, c, l.set(orders, side == SideMixed, false)})
				}
			}
		}
	}
	warm := l.set(load.Orders(warmUp), b.wants(SideMixed), false)
	total := len(turns)*orders + warm.Count
	made := 0
	began := time.Now()
	for _, s := range append(setsOf(turns), warm) {
		if err := l.seed(ctx, s, false, func(int) {}); err != nil {
			return err
		}
		made += s.Count
		b.tell("%d of %d orders wait for their money", made, total)
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	b.tell("seeded in %s; warming up", time.Since(began).Round(100*time.Millisecond))
	if err := b.start(ctx, l, warm); err != nil {
		return err
	}
	for _, t := range turns {
		var r Round
		var err error
		switch t.side {
		case SideFloor:
			r, err = l.floor(ctx, t.set)
		case SideOpen:
			rate := openShare * b.report.rate(SideStripe, b.headClients())
			if rate == 0 {
				return errors.New("the open loop needs the rate of the closed one: measure the side stripe as well")
			}
			r, err = l.ours(ctx, t.side, t.set, b.Events, t.clients, rate)
		default:
			r, err = l.ours(ctx, t.side, t.set, b.Events, t.clients, 0)
		}
		if err != nil {
			return fmt.Errorf("%s, %d clients: %w", t.side, t.clients, err)
		}
		b.note(r)
	}
	return l.stopServer()
}

func setsOf(turns []turn) []load.Set {
	out := make([]load.Set, len(turns))
	for i, t := range turns {
		out[i] = t.set
	}
	return out
}

// headClients are the clients of the sides that are measured with one number.
func (b *bencher) headClients() int { return slices.Max(b.Clients) }

// start starts the server and has it work a little.
func (b *bencher) start(ctx context.Context, l *lab, warm load.Set) error {
	if err := l.serve(ctx); err != nil {
		return err
	}
	_, err := l.ours(ctx, "warm-up", warm, warmUp, b.Clients[0], 0)
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}

func (b *bencher) note(r Round) {
	b.report.Rounds = append(b.report.Rounds, r)
	line := fmt.Sprintf("%-8s %3d clients  %6.0f orders/s  ack p50 %6.1f p99 %6.1f ms  CPU us db %4.0f server %4.0f  others %4.1f %%",
		r.Side, r.Clients, r.PerS, r.AckP50, r.AckP99, r.CPU.Database, r.CPU.Server, r.Others*100)
	for _, w := range r.Broken {
		line += "\n         " + w
	}
	b.tell("%s", line)
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
