package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

const (
	drainBatch = 100
	// A drainer that starts on the first row works tiny batches, which cost the
	// receipts their processor.
	drainLinger = 5 * time.Millisecond
	drainPoll   = 250 * time.Millisecond
	// Rows that cannot be applied yet are tried for about an hour.
	retryFor   = time.Hour
	maxBackoff = 5 * time.Minute
)

var (
	guardEnd = guard.Define("inbox.end_in_effect", guard.Claim, "a row is ended before its effect stands, and a crash between loses it")

	beforeApply = faultpoint.Define("inbox.before_apply", "rows are claimed, nothing of them is applied")
	afterApply  = faultpoint.Define("inbox.after_apply", "effects are committed with their rows; the drainer has not gone on")
)

// sayNothing is the note of a pointer to nothing new.
const sayNothing = "it says nothing about an order"

// Drainer applies rows.
type Drainer struct {
	pool     *pgxpool.Pool
	inbox    payment.Inbox
	appliers map[string]payment.Applier
	log      *slog.Logger
	wake     chan struct{}
}

// NewDrainer returns a Drainer with one Applier a kind of object.
func NewDrainer(pool *pgxpool.Pool, log *slog.Logger, appliers map[string]payment.Applier) *Drainer {
	return &Drainer{pool: pool, appliers: appliers, log: log, wake: make(chan struct{}, 1)}
}

// Wake makes a drainer look at once. It never blocks.
func (d *Drainer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Backlog counts the facts that wait to be applied for the first time, up to 301.
func (d *Drainer) Backlog(ctx context.Context) (int, error) {
	return d.inbox.Backlog(ctx, d.pool, maxBacklog+1)
}

// Run drains until ctx ends, finishing the batch in hand.
func (d *Drainer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		worked := false
		for name := range d.appliers {
			n, err := d.Drain(context.WithoutCancel(ctx), name)
			if err != nil {
				d.log.Error("the inbox was not drained", "applier", name, "error", err)
			}
			worked = worked || err == nil && n == drainBatch
		}
		if worked {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
			wait(ctx, drainLinger)
		case <-time.After(drainPoll):
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Drain applies one batch of due rows and returns how many rows it took.
func (d *Drainer) Drain(ctx context.Context, applier string) (int, error) {
	if !guardEnd.On() {
		return d.endFirst(ctx, applier)
	}
	var batch []uuid.UUID
	n, err := d.apply(ctx, applier, func(ctx context.Context, tx pgx.Tx) ([]payment.Claimed, error) {
		rows, err := d.inbox.ClaimDueTx(ctx, tx, applier, drainBatch)
		batch = ids(rows)
		return rows, err
	})
	if err == nil || pg.IsTransient(err) || ctx.Err() != nil {
		return n, err
	}
	d.log.Warn("a batch failed: looking for the row", "rows", len(batch), "error", err)
	return len(batch), d.bisect(ctx, applier, batch, err)
}

// Apply applies chosen rows now: what a browser's return or a job just stored.
// Rows that another drainer holds are left to it.
func (d *Drainer) Apply(ctx context.Context, applier string, rowIDs []uuid.UUID) error {
	_, err := d.apply(ctx, applier, func(ctx context.Context, tx pgx.Tx) ([]payment.Claimed, error) {
		return d.inbox.ClaimTx(ctx, tx, rowIDs)
	})
	if err == nil || pg.IsTransient(err) || ctx.Err() != nil {
		return err
	}
	return d.bisect(ctx, applier, rowIDs, err)
}

// apply claims rows, applies them and ends them, in one transaction.
func (d *Drainer) apply(ctx context.Context, applier string, claim func(context.Context, pgx.Tx) ([]payment.Claimed, error)) (int, error) {
	a := d.appliers[applier]
	if a == nil {
		return 0, fmt.Errorf("%w: %s", errNoApplier, applier)
	}
	n, err := pg.InTx(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) (int, error) {
		rows, err := claim(ctx, tx)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		if err := beforeApply.Hit(); err != nil {
			return 0, err
		}
		ends, err := d.outcomes(ctx, tx, a, rows)
		if err != nil {
			return 0, err
		}
		return len(rows), d.inbox.FinishTx(ctx, tx, ends)
	})
	if err == nil && n > 0 {
		err = afterApply.Hit()
	}
	return n, err
}

func (d *Drainer) outcomes(ctx context.Context, tx pgx.Tx, a payment.Applier, rows []payment.Claimed) ([]payment.End, error) {
	var obs []payment.Observation
	byID := make(map[uuid.UUID]payment.Claimed, len(rows))
	for _, r := range rows {
		if r.Unreadable != nil {
			return nil, r.Unreadable
		}
		byID[r.ID] = r
		obs = append(obs, r.Facts...)
	}
	outcomes, err := a.ApplyTx(ctx, tx, obs)
	if err != nil {
		return nil, err
	}
	if err := d.missing(ctx, tx, outcomes, byID); err != nil {
		return nil, err
	}
	ends := make([]payment.End, 0, len(rows))
	for _, o := range outcomes {
		ends = append(ends, end(byID[o.InboxID], o.Verdict, o.Note))
		delete(byID, o.InboxID)
	}
	for _, r := range byID { // rows that state nothing: a pointer to nothing new
		ends = append(ends, end(r, payment.Done, sayNothing))
	}
	return ends, nil
}

// missing asks for the payments that rows wait for, once each. A row that waits
// for one which turned out not to be ours is not ours either.
func (d *Drainer) missing(ctx context.Context, tx pgx.Tx, outcomes []payment.Outcome, byID map[uuid.UUID]payment.Claimed) error {
	var wanted []payment.Row
	for _, o := range outcomes {
		if o.Missing != "" {
			r := byID[o.InboxID]
			wanted = append(wanted, payment.Missing(r.Provider, r.Account, o.Missing))
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	states, err := d.inbox.States(ctx, tx, wanted)
	if err != nil {
		return err
	}
	var fresh []payment.Row
	for _, w := range wanted {
		if states[w.Receipt.EventID] == "" {
			fresh = append(fresh, w)
		}
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.Missing != "" && states["missing:"+o.Missing] == string(payment.Ignored) {
			o.Verdict, o.Note = payment.Ignored, "its payment is not one of ours"
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err = d.inbox.Store(ctx, tx, fresh)
	return err
}

// end puts a row off by backoff, and gives up after about an hour and more than
// one try: the hour may have been spent with nobody there to try.
func end(r payment.Claimed, v payment.Verdict, note string) payment.End {
	e := payment.End{ID: r.ID, Verdict: v, Note: note}
	if v == payment.Retry {
		e.Wait = backoff(r.Attempts)
		e.Dead = r.Age > retryFor && r.Attempts > 0
	}
	return e
}

func backoff(attempts int) time.Duration {
	return min(maxBackoff, time.Second<<min(attempts, 10))
}

// bisect halves a failing group down to the rows that fail, and puts those off.
func (d *Drainer) bisect(ctx context.Context, applier string, rowIDs []uuid.UUID, cause error) error {
	if len(rowIDs) == 0 {
		return cause
	}
	if len(rowIDs) == 1 {
		return d.putOff(ctx, rowIDs, cause)
	}
	for _, half := range [][]uuid.UUID{rowIDs[:len(rowIDs)/2], rowIDs[len(rowIDs)/2:]} {
		_, err := d.apply(ctx, applier, func(ctx context.Context, tx pgx.Tx) ([]payment.Claimed, error) {
			return d.inbox.ClaimTx(ctx, tx, half)
		})
		if err == nil {
			continue
		}
		if pg.IsTransient(err) || ctx.Err() != nil {
			return err
		}
		if err := d.bisect(ctx, applier, half, err); err != nil {
			return err
		}
	}
	return nil
}

func (d *Drainer) putOff(ctx context.Context, rowIDs []uuid.UUID, cause error) error {
	d.log.Error("an inbox row cannot be applied", "row", rowIDs[0], "error", cause)
	return pg.Exec(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := d.inbox.ClaimTx(ctx, tx, rowIDs)
		if err != nil || len(rows) == 0 {
			return err
		}
		e := end(rows[0], payment.Retry, cause.Error())
		e.Dead = e.Dead || rows[0].Unreadable != nil
		return d.inbox.FinishTx(ctx, tx, []payment.End{e})
	})
}

// endFirst is the audited mistake, for the proof: the row ends in a transaction
// of its own, before its effect.
func (d *Drainer) endFirst(ctx context.Context, applier string) (int, error) {
	rows, err := pg.InTx(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) ([]payment.Claimed, error) {
		rows, err := d.inbox.ClaimDueTx(ctx, tx, applier, drainBatch)
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		ends := make([]payment.End, len(rows))
		for i, r := range rows {
			ends[i] = payment.End{ID: r.ID, Verdict: payment.Done}
		}
		return rows, d.inbox.FinishTx(ctx, tx, ends)
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var obs []payment.Observation
	for _, r := range rows {
		obs = append(obs, r.Facts...)
	}
	err = pg.Exec(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) error {
		_, err := d.appliers[applier].ApplyTx(ctx, tx, obs)
		return err
	})
	return len(rows), errors.Join(err)
}
