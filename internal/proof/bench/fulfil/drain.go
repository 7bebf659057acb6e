package fulfil

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/settle"
	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

// errNoJobs fails a run in which a sale asked for a job: none of these has one.
var errNoJobs = errors.New("a plain sale asked for a job")

// noJobs is a queue that takes nothing.
type noJobs struct{}

// EnqueueTx implements jobs.Enqueuer.
func (noJobs) EnqueueTx(context.Context, pgx.Tx, string, ...river.JobArgs) error { return errNoJobs }

// drain applies a set's events that are in the inbox already: the settlement's
// SQL alone, in the batches of one drainer, without HTTP and without receipts.
// No server may run on the database.
func (l *lab) drain(ctx context.Context, side string, s load.Set) (Round, error) {
	r := Round{Side: side, Clients: 1}
	if err := l.receive(ctx, s); err != nil {
		return r, err
	}
	m, err := l.meter(ctx)
	if err != nil {
		return r, err
	}
	before, err := ownCPU()
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := l.apply(ctx); err != nil {
		return r, err
	}
	took := time.Since(began)
	after, err := ownCPU()
	if err != nil {
		return r, err
	}
	if err := m.read(ctx, &r, s.Count, began); err != nil {
		return r, err
	}
	r.CPU.Server = bench.Round(float64((after-before).Microseconds())/float64(s.Count), 1)
	if r.Checked, err = check(ctx, l.db, s, s.Numbers()); err != nil {
		return r, err
	}
	if r.Granted != s.Count {
		r.Broken = append(r.Broken, fmt.Sprintf("%d events were in the inbox and %d orders are granted", s.Count, r.Granted))
	}
	r.Seconds, r.PerS = bench.Round(took.Seconds(), 2), bench.Round(float64(r.Granted)/took.Seconds(), 0)
	return r, nil
}

// receive stores the events of a set.
func (l *lab) receive(ctx context.Context, s load.Set) error {
	for first := s.First; first < s.First+s.Count; first += seedChunk {
		_, err := l.db.Exec(ctx, `SELECT bench.receive($1, $2, $3, $4, $5)`, s.Batch, first, min(first+seedChunk, s.First+s.Count)-1, l.headers, l.body)
		if err != nil {
			return fmt.Errorf("put events into the inbox: %w", err)
		}
	}
	return nil
}

// apply drains the inbox.
func (l *lab) apply(ctx context.Context) error {
	pool, err := openPool(ctx, l.url, pg.AppRole, 4)
	if err != nil {
		return err
	}
	defer pool.Close()
	d := inbox.NewDrainer(pool, slog.New(slog.DiscardHandler), map[string]payment.Applier{
		payment.ApplierOrder: settle.New(ledger.New(), outbox.Store{Host: "localhost"}, noJobs{}),
	})
	for {
		n, err := d.Drain(ctx, payment.ApplierOrder)
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// ownCPU is the processor time of this process alone.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
