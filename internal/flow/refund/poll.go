package refund

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order"
)

const (
	pollBatch = 20
	pollTime  = 20 * time.Second // for one payment

	// How long a request may be without an answer, and a refund on its way, before
	// a person is asked.
	longestUnknown = 24 * time.Hour
	longestPending = 10 * 24 * time.Hour
)

// ladder is when a payment's refunds are looked at again; the last repeats.
var ladder = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// Poll asks providers about refunds that are not over and that nobody told us
// of, each on a ladder of times. It returns how many payments it looked at. It
// may run on any number of instances.
func (s *Service) Poll(ctx context.Context) (int, error) {
	due, err := s.orders.ClaimRefunds(ctx, s.pool, ladder, pollBatch)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		if err := s.look(ctx, d); err != nil && ctx.Err() == nil {
			s.log.Warn("a refund was not looked after", "payment", d.Payment.String(), "order", d.OrderID, "error", err)
		}
	}
	return len(due), nil
}

func (s *Service) look(ctx context.Context, d order.DueRefund) error {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	f, err := s.orders.Get(ctx, s.pool, d.OrderID)
	if err != nil {
		return err
	}
	asked, pending := unfinished(f, d.Payment)
	if len(asked) == 0 && !pending {
		return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error { return s.unwatchTx(ctx, tx, d) })
	}
	var errs []error
	for _, q := range asked {
		errs = append(errs, s.Send(ctx, q.ID))
	}
	if pending {
		if p := s.providers.Find(d.Payment.Provider, d.Payment.Account); p != nil {
			errs = append(errs, s.fetch(ctx, p, d.Payment.ID, "refund.poll"))
		}
	}
	return errors.Join(errs...)
}

// unwatchTx ends the watch unless a refund was begun meanwhile.
func (s *Service) unwatchTx(ctx context.Context, tx pgx.Tx, d order.DueRefund) error {
	f, _, err := s.lockTx(ctx, tx, d.OrderID)
	if err != nil {
		return err
	}
	if asked, pending := unfinished(f, d.Payment); len(asked) > 0 || pending {
		return nil
	}
	return s.orders.UnwatchRefundsTx(ctx, tx, d.Payment)
}

// unfinished finds what of a payment's refunds is not over: requests that nobody
// answered, and whether money is on its way.
func unfinished(f *order.Facts, k order.PaymentKey) (asked []order.Request, pending bool) {
	for _, q := range f.Requests {
		if q.Payment == k && q.State == order.RequestOpen {
			asked = append(asked, q)
		}
	}
	for i := range f.Refunds {
		pending = pending || f.Refunds[i].Payment() == k && f.Refunds[i].Pending()
	}
	return asked, pending
}

// Overdue hands refunds that take too long to a person, and returns how many. A
// reason goes away by itself once the provider says something.
func (s *Service) Overdue(ctx context.Context) (int, error) {
	found, err := s.orders.OverdueRefunds(ctx, s.pool, longestUnknown, longestPending, pollBatch)
	if err != nil {
		return 0, err
	}
	for i, o := range found {
		if err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error { return s.overdueTx(ctx, tx, o) }); err != nil {
			return i, fmt.Errorf("hand refund %s to a person: %w", o.Subject, err)
		}
	}
	return len(found), nil
}

func (s *Service) overdueTx(ctx context.Context, tx pgx.Tx, o order.Overdue) error {
	f, before, err := s.lockTx(ctx, tx, o.OrderID)
	if err != nil {
		return err
	}
	why := "a refund has been on its way for ten days: ask the provider where it is"
	if strings.HasPrefix(o.Subject, "overdue:request:") {
		why = "a refund was asked for a day ago and the provider shows none: look at its pages, and withdraw the request only if it was never made"
	}
	cause := order.Cause{Kind: order.CauseSweep, ID: o.OrderID}
	delta := order.NewDelta()
	f.DecideBy(order.DecideReview+o.Subject, why, cause, delta)
	return s.settler.ReconsiderTx(ctx, tx, f, before, delta, cause)
}
