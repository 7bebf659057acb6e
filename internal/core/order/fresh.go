package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
	"proofroom/internal/core/payment"
)

// ErrNotFresh says that something happened to an order since it was opened. The
// transaction is to be undone, and what is known of the order read again.
var ErrNotFresh = errors.New("order: something happened to it since it was opened")

// Facts are those of the order that has just been opened.
func (n *New) Facts() *Facts {
	f := &Facts{Order: n.Order, Lines: n.Lines, Attempts: []Attempt{n.Attempt}, Decisions: map[string]string{}}
	f.Order.State = Created
	f.Attempts[0].Status = payment.AttemptOpen
	return f
}

// PageSteps record the page of an order to which nothing has happened since it
// was opened, without reading its facts again: they are those of [New.Facts], and
// the steps see to it that they still are, else ErrNotFresh. They change f to what
// it is when they have run; if they fail it is good for nothing. ok is false where
// that is not all that the page means.
func (s Store) PageSteps(f *Facts, ref, url string, expiresAt time.Time) (_ []pg.Step, ok bool) {
	o, a := &f.Order, &f.Attempts[0]
	a.Ref, a.URL, a.ExpiresAt = ref, url, &expiresAt
	d := Derive(f)
	o.State, o.Version = d.State, o.Version+1
	one := func(what string, write func(ctx context.Context, q pg.DBTX) (int64, error)) pg.Step {
		return func(ctx context.Context, q pg.DBTX) error {
			n, err := write(ctx, q)
			if err == nil && n != 1 {
				err = ErrNotFresh
			}
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		}
	}
	return []pg.Step{
		one("lock the order", func(ctx context.Context, q pg.DBTX) (int64, error) { return s.q.LockFresh(ctx, q, o.ID) }),
		one("write an attempt's page", func(ctx context.Context, q pg.DBTX) (int64, error) {
			return s.q.SetFreshPage(ctx, q, db.SetFreshPageParams{Ref: &ref, Url: url, ExpiresAt: &expiresAt, ID: a.ID, OrderID: o.ID})
		}),
		one("write an order's state", func(ctx context.Context, q pg.DBTX) (int64, error) {
			return s.q.UpdateStates(ctx, q, db.UpdateStatesParams{
				Ids: []uuid.UUID{o.ID}, States: []string{string(o.State)}, Reviews: []string{""}, Refundeds: []int64{0},
				Versions: []int32{o.Version}, Paids: []bool{false},
			})
		}),
		func(ctx context.Context, q pg.DBTX) error {
			err := s.q.InsertHistory(ctx, q, db.InsertHistoryParams{
				OrderIds: []uuid.UUID{o.ID}, Seqs: []int32{o.Version}, States: []string{string(o.State)},
				CauseKinds: []string{CauseCheckout}, CauseIds: []uuid.UUID{o.ID},
			})
			if err != nil {
				return fmt.Errorf("write order history: %w", err)
			}
			return nil
		},
	}, d.State == AwaitingPayment && d.Words() == "" && orderLock.On()
}
