package order

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
	"proofroom/internal/core/payment"
)

// FreshSteps are the statements of OpenTx for a pipeline that is a transaction of
// its own: a reservation of the same buyer that stands makes it fail
// ([pg.IsUnequal]). They fill in the attempt's time.
func (s Store) FreshSteps(n *New, watchAfter time.Duration) []pg.Step {
	r := n.reservations()
	return s.openSteps(n, watchAfter, func(ctx context.Context, q pg.DBTX) error {
		if err := s.q.ReserveFresh(ctx, q, r); err != nil {
			return fmt.Errorf("reserve: %w", err)
		}
		return nil
	})
}

// Facts are those of the order that has just been opened.
func (n *New) Facts() *Facts {
	f := &Facts{Order: n.Order, Lines: n.Lines, Attempts: []Attempt{n.Attempt}, Decisions: map[string]string{}}
	f.Order.State = Created
	f.Attempts[0].Status = payment.AttemptOpen
	return f
}

// PageSteps record the page of an order to which nothing has happened since it
// was opened, in a pipeline that is a transaction of its own and without reading
// its facts again: they are those of [New.Facts]. If they no longer are, it fails
// ([pg.IsUnequal]). The result is what the order is afterwards; without it, the
// page means more than that the order can be paid, and all has to be looked at.
func (s Store) PageSteps(fresh *Facts, ref, url string, expiresAt time.Time) (*Facts, []pg.Step) {
	f := *fresh
	a := f.Attempts[0]
	a.Ref, a.URL, a.ExpiresAt = ref, url, &expiresAt
	f.Attempts = []Attempt{a}
	d := Derive(&f)
	if d.State != AwaitingPayment || d.Words() != "" || !orderLock.On() {
		return nil, nil
	}
	f.Order.State, f.Order.Version = d.State, 1
	return &f, []pg.Step{
		func(ctx context.Context, q pg.DBTX) error {
			if err := s.q.AwaitFresh(ctx, q, f.Order.ID); err != nil {
				return fmt.Errorf("write an order's state: %w", err)
			}
			return nil
		},
		func(ctx context.Context, q pg.DBTX) error {
			err := s.q.PageFresh(ctx, q, db.PageFreshParams{Ref: &ref, Url: url, ExpiresAt: &expiresAt, ID: a.ID, OrderID: f.Order.ID})
			if err != nil {
				return fmt.Errorf("write an attempt's page: %w", err)
			}
			return nil
		},
		func(ctx context.Context, q pg.DBTX) error {
			err := s.q.InsertHistory(ctx, q, db.InsertHistoryParams{
				OrderIds: []uuid.UUID{f.Order.ID}, Seqs: []int32{f.Order.Version}, States: []string{string(f.Order.State)},
				CauseKinds: []string{CauseCheckout}, CauseIds: []uuid.UUID{f.Order.ID},
			})
			if err != nil {
				return fmt.Errorf("write order history: %w", err)
			}
			return nil
		},
	}
}
