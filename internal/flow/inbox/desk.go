package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// Problems of an operator's work on rows that are stuck.
var (
	ErrNoRow = problem.Define(problem.NotFound, "inbox.not_found", "There is no such event",
		"Nothing was done. Check its id.")
	ErrNotStuck = problem.Define(problem.Conflict, "inbox.not_stuck", "The event does not wait for you any more",
		"Nothing was done: somebody had it tried again meanwhile, or it was applied. Load it again to see how it stands.")
)

// Desk is where an operator looks at rows that failed or are dead, sees what
// another try would change, and orders it.
type Desk struct {
	pool      *pgxpool.Pool
	inbox     payment.Inbox
	orders    order.Store
	book      account.Book
	providers payment.Providers
	fetcher   *Fetcher
	drainer   *Drainer
}

// NewDesk returns a Desk whose tries are those of the fetcher and the drainer.
func NewDesk(pool *pgxpool.Pool, providers payment.Providers, fetcher *Fetcher, drainer *Drainer) *Desk {
	return &Desk{pool: pool, providers: providers, fetcher: fetcher, drainer: drainer}
}

// Stuck lists rows that failed or are dead, newest first, starting below the id
// before (uuid.Max for the first page). state is payment.StateFailed,
// payment.StateDead or empty for both.
func (d *Desk) Stuck(ctx context.Context, state string, before uuid.UUID, limit int) ([]payment.Stored, error) {
	return d.inbox.Stuck(ctx, d.pool, state, before, limit)
}

// Evidence reads one row, whatever its state. ErrNoRow.
func (d *Desk) Evidence(ctx context.Context, rowID uuid.UUID) (payment.Evidence, error) {
	e, err := d.inbox.Get(ctx, d.pool, rowID)
	if errors.Is(err, payment.ErrNoRow) {
		return payment.Evidence{}, ErrNoRow
	}
	return e, err
}

// Effect is what another try of a row would change, found out by the try itself
// in a transaction that was rolled back.
type Effect struct {
	// Fails: the try would fail, and Note says why. Nothing would change.
	Fails bool
	// Verdict is what would become of the row otherwise: done, ignored, or retry
	// when what it needs is still not here.
	Verdict payment.Verdict
	Note    string
	// Facts are what would be applied; for a pointer what the provider says now.
	Facts []payment.Observation
	// Orders are those that would change. None: nothing would.
	Orders []OrderEffect
}

// OrderEffect is what would change in one order. Amounts are minor units.
type OrderEffect struct {
	ID            uuid.UUID
	Currency      string
	Before, After order.State
	Review        string       // why a person would have to look at it afterwards
	Gained, Lost  []order.Line // whose access would begin or end
	Entries       []order.Entry
	Refunds       []order.Request // money that would be asked back
}

// Preview tries a stuck row and undoes it. A pointer is fetched first, so the
// answer is as fresh as that of the replay itself. ErrNoRow, ErrNotStuck.
func (d *Desk) Preview(ctx context.Context, rowID uuid.UUID) (Effect, error) {
	e, err := d.Evidence(ctx, rowID)
	if err != nil {
		return Effect{}, err
	}
	if e.State != payment.StateFailed && e.State != payment.StateDead {
		return Effect{}, ErrNotStuck
	}
	facts, wrong, err := d.look(ctx, e)
	if err != nil {
		return Effect{}, err
	}
	if wrong != "" {
		return Effect{Fails: true, Note: wrong}, nil
	}
	a := d.drainer.appliers[e.Applier]
	if a == nil {
		return Effect{Fails: true, Note: fmt.Sprintf("%v: %s", errNoApplier, e.Applier)}, nil
	}
	err = pg.Exec(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) error {
		effect, err := d.try(ctx, tx, a, facts)
		if err != nil {
			return err
		}
		return &undone{effect}
	})
	var done *undone
	switch {
	case errors.As(err, &done):
		return done.effect, nil
	case pg.IsTransient(err), pg.IsUnreachable(err), ctx.Err() != nil:
		return Effect{}, err
	}
	return Effect{Fails: true, Note: err.Error(), Facts: facts}, nil
}

// undone carries an effect out of the transaction that it rolls back.
type undone struct{ effect Effect }

func (*undone) Error() string { return "inbox: a preview is undone" }

// look returns what a row says: its own facts, or what it points at. wrong is why
// there are none that could be applied.
func (d *Desk) look(ctx context.Context, e payment.Evidence) (facts []payment.Observation, wrong string, err error) {
	if e.Class != payment.ClassPointer {
		return e.Facts, words(e.Unreadable), nil
	}
	p := d.providers.Find(e.Provider, e.Account)
	if p == nil {
		return nil, noAccount(e.Provider, e.Account).Error(), nil
	}
	seq, _, err := d.inbox.DrawSeq(ctx, d.pool)
	if err != nil {
		return nil, "", err
	}
	cctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	facts, err = p.Fetch(cctx, payment.Pointer{EventType: e.EventType, ObjectID: e.ObjectID})
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case errors.Is(err, payment.ErrNotFound):
		return nil, unknownObject(e.ObjectID).Error(), nil
	case err != nil:
		return nil, words(err), nil
	}
	return facts, words(payment.Complete(e.ID, seq, facts)), nil
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// try applies facts and says what that changed.
func (d *Desk) try(ctx context.Context, tx pgx.Tx, a payment.Applier, facts []payment.Observation) (Effect, error) {
	out := Effect{Verdict: payment.Done, Note: sayNothing, Facts: facts}
	ids, err := d.ordersOf(ctx, tx, facts)
	if err != nil {
		return out, err
	}
	before, err := d.orders.LockTx(ctx, tx, ids)
	if err != nil {
		return out, err
	}
	outcomes, err := a.ApplyTx(ctx, tx, facts)
	if err != nil {
		return out, err
	}
	if len(outcomes) > 0 { // one, for there is one row
		out.Verdict, out.Note = outcomes[0].Verdict, outcomes[0].Note
	}
	after, err := d.orders.LockTx(ctx, tx, ids)
	if err != nil {
		return out, err
	}
	for i := range before {
		if e, changed := difference(before[i], after[i]); changed {
			out.Orders = append(out.Orders, e)
		}
	}
	return out, nil
}

func (d *Desk) ordersOf(ctx context.Context, tx pgx.Tx, facts []payment.Observation) ([]uuid.UUID, error) {
	var attempts []uuid.UUID
	var payments []order.PaymentKey
	for _, o := range facts {
		if o.AttemptID != uuid.Nil {
			attempts = append(attempts, o.AttemptID)
		}
		if o.PaymentID != "" {
			payments = append(payments, order.PaymentKey{Provider: o.Provider, Account: o.Account, ID: o.PaymentID})
		}
	}
	byAttempt, byPayment, err := d.orders.OrdersOf(ctx, tx, attempts, payments)
	if err != nil {
		return nil, err
	}
	var out []uuid.UUID
	for _, orderID := range byAttempt {
		out = append(out, orderID)
	}
	for _, orderID := range byPayment {
		out = append(out, orderID)
	}
	return out, nil
}

// difference is what changed between two readings of one order.
func difference(before, after *order.Facts) (e OrderEffect, changed bool) {
	was, is := order.Derive(before), order.Derive(after)
	e = OrderEffect{
		ID: after.Order.ID, Currency: after.Order.Currency, Before: before.Order.State, After: after.Order.State, Review: after.Order.Review,
	}
	for _, l := range after.Lines {
		switch {
		case is.Live[l.ID] && !was.Live[l.ID]:
			e.Gained = append(e.Gained, l)
		case was.Live[l.ID] && !is.Live[l.ID]:
			e.Lost = append(e.Lost, l)
		}
	}
	stood := map[string]bool{}
	for _, entry := range was.Entries {
		stood[entry.Key] = true
	}
	for _, entry := range is.Entries {
		if !stood[entry.Key] {
			e.Entries = append(e.Entries, entry)
		}
	}
	for _, r := range after.Requests {
		if before.Request(r.ID) == nil {
			e.Refunds = append(e.Refunds, r)
		}
	}
	changed = e.Before != e.After || before.Order.Review != after.Order.Review || len(e.Gained)+len(e.Lost)+len(e.Entries)+len(e.Refunds) > 0
	return e, changed
}

// Replay has a stuck row tried anew from the start, for an operator, and returns
// how it stands after the try, or while it is still under way. seen is the row's
// Replays as the operator saw it, so that a button pressed twice works once; the
// second press gets ErrNotStuck. reason is kept in the audit log. ErrNoRow.
func (d *Desk) Replay(ctx context.Context, operatorID, rowID uuid.UUID, seen int, reason string) (payment.Evidence, error) {
	e, err := d.Evidence(ctx, rowID)
	if err != nil {
		return payment.Evidence{}, err
	}
	err = pg.Exec(ctx, d.pool, func(ctx context.Context, tx pgx.Tx) error {
		ok, err := d.inbox.ReplayTx(ctx, tx, rowID, seen)
		if err != nil {
			return err
		}
		if !ok {
			return ErrNotStuck
		}
		_, err = d.book.AuditTx(ctx, tx, account.Audit{
			AccountID: operatorID, Action: "inbox.replay", Subject: "inbox:" + rowID.String(),
			Detail: map[string]any{
				"provider": e.Provider, "account": e.Account, "event": e.EventID, "type": e.EventType, "object": e.ObjectID,
				"note": e.Note, "replay": seen + 1, "reason": reason,
			},
		})
		return err
	})
	if err != nil {
		return payment.Evidence{}, err
	}
	// It stands now, so the rest is for showing only.
	d.fetcher.Wake()
	if e.Class != payment.ClassPointer {
		if err := d.drainer.Apply(ctx, e.Applier, []uuid.UUID{rowID}); err != nil {
			d.drainer.log.WarnContext(ctx, "a replayed row is left to the drain", "row", rowID, "error", err)
			d.drainer.Wake()
		}
	}
	deadline := time.Now().Add(settleTime)
	for {
		e, err := d.Evidence(ctx, rowID)
		if err != nil || e.State != payment.StateReceived && e.State != payment.StateFetching || time.Now().After(deadline) || ctx.Err() != nil {
			return e, err
		}
		wait(ctx, settleEvery)
	}
}
