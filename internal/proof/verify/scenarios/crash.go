package scenarios

import (
	"context"
	"fmt"
	"slices"
	"time"

	"proofroom/internal/proof/verify"
)

const recoveries = "crash_recoveries" // starts of PostgreSQL that had to recover

// PostgreSQL dies under full load and comes back: stopped at once, without writing
// anything down; one of its sessions killed, upon which it throws everybody out;
// and killed itself. What was acknowledged is there, everything comes to its end,
// and nobody is shown a fault of ours. What this shows is the death of processes:
// the machine's memory survives it, so the disk's own promises are not tried, and
// going back to an earlier point in time is not part of it.
var x03 = verify.Scenario{
	ID: "X03", Title: "PostgreSQL dies under full load and comes back", Severity: verify.Critical,
	Rows: []string{"T1", "X2"}, Build: verify.Release, Database: verify.Durable,
	Needs: []string{recoveries, verify.InFlight, verify.Indeterminate, salesMade, newsStood, refundsMade, downloadsMade, claimsMade},
	Quick: 2, Full: 9, // crashes
	Run: func(ctx context.Context, w *verify.World) error {
		if err := w.Originals(ctx, 64<<10); err != nil {
			return err
		}
		w.Patience *= 2 // everybody waits for a recovery now and then
		t := newTraffic(w)
		t.open(ctx, 6, false)
		err := crashes(ctx, t)
		if busy := t.done(); err == nil {
			err = busy
		}
		if err != nil {
			return err
		}
		lives := 0
		err = t.overnight(ctx, func() ([]*verify.Instance, error) {
			var fresh []*verify.Instance
			for range 2 {
				lives++
				i, err := w.Start(ctx, fmt.Sprintf("morning-%d", lives))
				if err != nil {
					return nil, err
				}
				fresh = append(fresh, i)
			}
			return fresh, nil
		})
		if err != nil {
			return err
		}
		return t.settled(ctx)
	},
}

func crashes(ctx context.Context, t *traffic) error {
	w := t.w
	var sale, empty []time.Duration
	for round := range w.Rounds {
		// Into the middle of things.
		if err := sales(ctx, t, 6); err != nil {
			return err
		}
		kind := []string{"stopped at once", "one session killed", "killed"}[round%3]
		crash := []func() error{w.StopPostgres, func() error { return w.KillBackend(ctx) }, w.KillPostgres}[round%3]
		back, err := crashed(ctx, t, crash)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		sale, empty = append(sale, back.sale), append(empty, back.empty)
		w.Note("round %d, %s: down for %d ms; the first sale %d ms after it was back, and nothing left in the inbox from before %d ms after it",
			round+1, kind, back.down.Milliseconds(), back.sale.Milliseconds(), back.empty.Milliseconds())
		w.Count(verify.Rounds, 1)
	}
	w.Count("longest_ms_until_a_sale", int(slices.Max(sale).Milliseconds()))
	w.Count("longest_ms_until_the_inbox_is_empty", int(slices.Max(empty).Milliseconds()))
	return nil
}

// sales waits until buyers have seen so many more orders paid.
func sales(ctx context.Context, t *traffic, n int) error {
	paid := func() (int, error) { return t.w.Int(ctx, `SELECT count(*) FROM orders WHERE paid_at IS NOT NULL`) }
	before, err := stubborn(ctx, t.w, paid)
	if err != nil {
		return err
	}
	return t.w.Until(ctx, "buyers buy", func() (bool, error) {
		now, err := stubborn(ctx, t.w, paid)
		return now >= before+n, err
	})
}

// recovery is how long it took to come back, from the crash and from the moment
// at which PostgreSQL took connections again, until the first order was paid after
// it and until nothing was left of what the inbox held before it.
type recovery struct{ down, sale, empty time.Duration }

const (
	readyAgain = "database system is ready to accept connections"
	fetchLease = 30 * time.Second
)

func crashed(ctx context.Context, t *traffic, crash func() error) (r recovery, err error) {
	w := t.w
	starts, err := w.PostgresSaid(readyAgain)
	if err != nil {
		return r, err
	}
	w.Count(verify.InFlight, t.underWay(ctx))
	at := time.Now()
	if err := crash(); err != nil {
		return r, err
	}
	w.Count(verify.FaultsFired, 1)
	err = w.Until(ctx, "PostgreSQL is back", func() (bool, error) {
		n, err := w.PostgresSaid(readyAgain)
		return n > starts, err
	})
	if err != nil {
		return r, err
	}
	r.down = time.Since(at)
	w.Count(recoveries, 1)
	r.sale, r.empty, err = recovered(ctx, t)
	return r, err
}

// recovered measures from now how long it takes until somebody's order is paid, and
// until nothing is left of what the inbox holds.
func recovered(ctx context.Context, t *traffic) (sale, empty time.Duration, err error) {
	w := t.w
	from, err := stubborn(ctx, w, func() (at time.Time, err error) {
		return at, w.DB.QueryRow(ctx, `SELECT app_now()`).Scan(&at)
	})
	if err != nil {
		return 0, 0, err
	}
	begun, passed := time.Now(), time.Duration(0) // let pass beyond what went by
	err = w.Until(ctx, "somebody buys, and what came before is applied", func() (bool, error) {
		type found struct{ sold, open, leased int }
		f, err := stubborn(ctx, w, func() (f found, err error) {
			err = w.DB.QueryRow(ctx, `SELECT (SELECT count(*) FROM orders WHERE paid_at > $1),
				count(*), count(*) FILTER (WHERE state = 'fetching')
				FROM inbox WHERE received_at <= $1 AND state NOT IN ('done', 'ignored', 'dead')`, from).Scan(&f.sold, &f.open, &f.leased)
			return f, err
		})
		if err != nil {
			return false, err
		}
		if f.sold > 0 && sale == 0 {
			sale = time.Since(begun)
		}
		if f.open == 0 && empty == 0 {
			empty = time.Since(begun) + passed
		}
		if f.open > 0 && f.open == f.leased && sale > 0 && passed == 0 {
			// Asked about when it happened: nobody else may ask before the lease is
			// over, and nothing is learned by sitting it out.
			passed = fetchLease
			err = w.Advance(ctx, passed)
		}
		return sale > 0 && empty > 0, err
	})
	return sale, empty, err
}
