package order

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
	"proofroom/internal/core/payment"
)

// Attempt finds an attempt by id, nil if there is none.
func (f *Facts) Attempt(id uuid.UUID) *Attempt {
	for i := range f.Attempts {
		if f.Attempts[i].ID == id {
			return &f.Attempts[i]
		}
	}
	return nil
}

// Payable reports whether the order still waits for money and may take it by
// this attempt. It looks at no clock: see [Clock.Over].
func (f *Facts) Payable(attemptID uuid.UUID) bool {
	a := f.Attempt(attemptID)
	return a != nil && a.Live() && !f.UnderWay(a) && Derive(f).State.Open()
}

// UnderWay reports whether money of the attempt is on its way: taken, and not
// yet there. Such an attempt is not closed and does not expire, and where it was
// closed before, it is watched.
func (f *Facts) UnderWay(a *Attempt) bool {
	for i := range f.Payments {
		if p := &f.Payments[i]; p.AttemptID == a.ID && p.Status == payment.PaymentPending {
			return true
		}
	}
	// A status never goes back, so one whose payment has failed since still says
	// processing.
	return a.Status == payment.AttemptProcessing && !f.failed(a)
}

// failed reports whether money of the attempt was refused.
func (f *Facts) failed(a *Attempt) bool {
	for i := range f.Payments {
		if p := &f.Payments[i]; p.AttemptID == a.ID && p.Status == payment.PaymentFailed {
			return true
		}
	}
	return false
}

// lingering reports whether the order is to be watched when it is settled: money
// may come to a page that is over, or is on its way.
func (f *Facts) lingering() bool {
	for i := range f.Attempts {
		if a := &f.Attempts[i]; a.WatchUntil != nil || f.UnderWay(a) {
			return true
		}
	}
	return false
}

// pendingEvery is how long after the news of money on its way an order that was
// settled before is looked at.
const pendingEvery = time.Hour

// pendingSteps have settled orders watched again to which money is on its way now.
func (s Store) pendingSteps(changes []Change) []pg.Step {
	var steps []pg.Step
	for _, c := range changes {
		for key := range c.Delta.NewPayments {
			if p := c.Facts.Payment(key); p.Status == payment.PaymentPending && !c.Derived.State.Open() {
				steps = append(steps, s.watchStep(c.Facts.Order.ID, pendingEvery))
			}
		}
	}
	return steps
}

func (s Store) watchStep(orderID uuid.UUID, after time.Duration) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error { return s.watch(ctx, q, orderID, after) }
}

// PageLife is how long a hosted page is asked to live, and is taken to live where
// its end is not known. It is less than a day, so that a page never outlives the
// memory of keys of a provider that keeps them for a day by much.
const PageLife = 23*time.Hour + 30*time.Minute

// Clock is how an attempt stands in time, by the database's clock.
type Clock struct {
	Age     time.Duration // since it was made
	Over    bool          // the time in which its page may be paid has ended
	Lingers bool          // it is over, and money may still come to its page
}

// Clocks reads how the attempts of an order stand in time.
func (s Store) Clocks(ctx context.Context, q pg.DBTX, orderID uuid.UUID) (map[uuid.UUID]Clock, error) {
	rows, err := s.q.AttemptClocks(ctx, q, db.AttemptClocksParams{OrderID: orderID, LifeSeconds: PageLife.Seconds()})
	if err != nil {
		return nil, fmt.Errorf("read how attempts stand in time: %w", err)
	}
	out := make(map[uuid.UUID]Clock, len(rows))
	for _, r := range rows {
		out[r.ID] = Clock{Age: time.Duration(r.AgeSeconds * float64(time.Second)), Over: r.Over, Lingers: r.Lingers}
	}
	return out, nil
}

// CallTx notes that the provider is about to be asked for the page of an attempt
// whose order is locked. first is false when that was noted before: the call may
// have been made then.
func (s Store) CallTx(ctx context.Context, tx pgx.Tx, attemptID uuid.UUID) (first bool, err error) {
	n, err := s.q.CallAttempt(ctx, tx, attemptID)
	if err != nil {
		return false, fmt.Errorf("note a call: %w", err)
	}
	return n == 1, nil
}

// UncallTx takes back what CallTx noted: the call was certainly not made.
func (s Store) UncallTx(ctx context.Context, tx pgx.Tx, attemptID uuid.UUID) error {
	if err := s.q.UncallAttempt(ctx, tx, attemptID); err != nil {
		return fmt.Errorf("take a call back: %w", err)
	}
	return nil
}

// LingerTx has an attempt that is about to be over watched for a while: money
// may still come to its page. Its order is locked.
func (s Store) LingerTx(ctx context.Context, tx pgx.Tx, a *Attempt, d time.Duration) error {
	until, err := s.q.LingerAttempt(ctx, tx, db.LingerAttemptParams{ID: a.ID, Seconds: d.Seconds()})
	if err != nil {
		return fmt.Errorf("have an attempt watched: %w", err)
	}
	a.WatchUntil = until
	return nil
}

// UnwatchTx ends the watch of a locked order.
func (s Store) UnwatchTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID) error {
	if err := s.q.Unwatch(ctx, tx, []uuid.UUID{orderID}); err != nil {
		return fmt.Errorf("end the watch of an order: %w", err)
	}
	return nil
}

// PutOff sets when an order is looked after next, from now.
func (s Store) PutOff(ctx context.Context, q pg.DBTX, orderID uuid.UUID, wait time.Duration) error {
	if err := s.q.PutOff(ctx, q, db.PutOffParams{OrderID: orderID, WaitSeconds: wait.Seconds()}); err != nil {
		return fmt.Errorf("put an open order off: %w", err)
	}
	return nil
}
