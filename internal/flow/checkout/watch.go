package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

const (
	watchPoll  = time.Second
	watchBatch = 20
	// A created order younger than this may still be in its client's hands.
	sweepAfter = 2 * time.Minute
)

// Watch looks after open orders until ctx ends: it finds the page of an order
// whose reply was lost, asks providers about pages nobody told us of, and
// closes what was not paid in time.
func (s *Service) Watch(ctx context.Context) {
	tick := time.NewTicker(watchPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := s.WatchOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("open orders were not looked after", "error", err)
		}
	}
}

// WatchOnce looks after the orders that are due and returns how many.
func (s *Service) WatchOnce(ctx context.Context) (int, error) {
	due, err := s.orders.ClaimDue(ctx, s.pool, s.cfg.Waits, watchBatch)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		if err := s.look(ctx, d); err != nil && ctx.Err() == nil {
			s.log.Warn("an open order was not looked after", "order", d.OrderID, "checks", d.Checks, "error", err)
		}
	}
	return len(due), nil
}

func (s *Service) look(ctx context.Context, d order.Due) error {
	f, err := s.orders.Get(ctx, s.pool, d.OrderID)
	if err != nil {
		return err
	}
	if !f.Order.State.Open() {
		return nil
	}
	age, err := s.orders.AttemptAge(ctx, s.pool, newest(f).ID)
	if err != nil {
		return err
	}
	if f.Order.State == order.Created {
		if age < min(sweepAfter, 2*s.cfg.Waits[0]) {
			return nil
		}
		return s.sweep(ctx, f)
	}
	if age > s.cfg.GiveUp {
		return s.closeOrder(ctx, f)
	}
	return s.ask(ctx, f, "poll")
}

// sweep ends an order whose client went away before it had its page. The same
// call with the same key is the only way to learn a page whose reply was lost;
// only then can it be closed, and only then is nothing payable left behind.
func (s *Service) sweep(ctx context.Context, f *order.Facts) error {
	err := s.page(ctx, f)
	var no *payment.RejectedError
	if errors.As(err, &no) {
		return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
			return s.endTx(ctx, tx, f.Order.ID, payment.AttemptFailed, order.CauseSweep)
		})
	}
	if err != nil {
		return err
	}
	if f, err = s.orders.Get(ctx, s.pool, f.Order.ID); err != nil {
		return err
	}
	if f.Order.PaidAt != nil {
		return nil
	}
	return s.closeOrder(ctx, f)
}

// ask asks the provider about each page that could have been paid.
func (s *Service) ask(ctx context.Context, f *order.Facts, why string) error {
	var errs []error
	for _, a := range f.Attempts {
		if a.Ref != "" && a.Provider != ProviderFree && open(a) {
			errs = append(errs, s.sayer.Ask(ctx, a.Provider, a.Account, a.Ref, why))
		}
	}
	return errors.Join(errs...)
}

func open(a order.Attempt) bool {
	return a.Status == payment.AttemptOpen || a.Status == payment.AttemptProcessing
}

// closeOrder closes the order's pages at their provider. What was paid
// meanwhile is applied: the order is then paid, not closed.
func (s *Service) closeOrder(ctx context.Context, f *order.Facts) error {
	for _, a := range f.Attempts {
		if !open(a) {
			continue
		}
		if a.Ref == "" {
			return fmt.Errorf("attempt %s has no page yet: whether one can be paid is not known", a.ID)
		}
		p := s.providers.Find(a.Provider, a.Account)
		if p == nil {
			return fmt.Errorf("no account %s at %s is configured", a.Account, a.Provider)
		}
		cctx, cancel := context.WithTimeout(ctx, callTimeout)
		page, err := p.CloseCheckout(cctx, a.Ref, a.URL)
		cancel()
		if err != nil {
			return fmt.Errorf("close a page: %w", err)
		}
		if err := s.sayer.Say(ctx, payment.Reply(p, "close", a.Ref, page.Facts)); err != nil {
			return err
		}
	}
	return nil
}

// closeOlder closes the buyer's older checkouts, so that one cart is payable on
// one page. One whose page is not known yet is asked for first.
func (s *Service) closeOlder(ctx context.Context, orders []uuid.UUID) error {
	for _, orderID := range orders {
		f, err := s.orders.Get(ctx, s.pool, orderID)
		if err != nil {
			return err
		}
		if !f.Order.State.Open() {
			continue
		}
		if newest(f).Ref == "" {
			return fmt.Errorf("order %s is still being opened", orderID)
		}
		if err := s.closeOrder(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// Refresh asks the provider about an open order at once: a browser came back
// from paying.
func (s *Service) Refresh(ctx context.Context, orderID uuid.UUID) error {
	f, err := s.Order(ctx, orderID)
	if err != nil || !f.Order.State.Open() {
		return err
	}
	return s.ask(ctx, f, "return")
}

// Order reads an order. Who may see it is the caller's to check. ErrNoOrder.
func (s *Service) Order(ctx context.Context, orderID uuid.UUID) (*order.Facts, error) {
	f, err := s.orders.Get(ctx, s.pool, orderID)
	if errors.Is(err, order.ErrNotFound) {
		return nil, ErrNoOrder
	}
	return f, err
}

// Orders lists a buyer's orders, newest first, below the id before.
func (s *Service) Orders(ctx context.Context, buyerID, before uuid.UUID, limit int) ([]order.Order, error) {
	return s.orders.OfBuyer(ctx, s.pool, buyerID, before, limit)
}

// HasOrders reports whether an event was ever ordered: its currency is fixed
// from then on.
func HasOrders(ctx context.Context, q pg.DBTX, eventID uuid.UUID) (bool, error) {
	return order.Store{}.Any(ctx, q, eventID)
}

// Purge deletes idempotency keys that are too old to be answered.
func (s *Service) Purge(ctx context.Context) error {
	_, err := s.keys.Purge(ctx, s.pool, 1000)
	return err
}
