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

	// Money on its way is waited for so long, and asked about so often once the
	// order would else be given up.
	longestWay = 30 * 24 * time.Hour
	wayEvery   = 24 * time.Hour
	// Most money arrives within the first hour, and is asked about at least so often then.
	firstHour  = time.Hour
	firstEvery = 10 * time.Minute
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
	clocks, err := s.orders.Clocks(ctx, s.pool, f.Order.ID)
	if err != nil {
		return err
	}
	if !f.Order.State.Open() {
		return s.linger(ctx, f, clocks, d.Checks)
	}
	a := newest(f)
	now := clocks[a.ID]
	switch {
	case f.Order.State == order.Created && now.Age < min(sweepAfter, 2*s.cfg.Waits[0]):
		return nil
	case f.Order.State == order.Created:
		return s.sweep(ctx, f)
	case underWay(f):
		return s.await(ctx, f, now.Age, d.Checks)
	case now.Over || now.Age > s.cfg.GiveUp:
		return s.closeOrder(ctx, f)
	}
	return s.ask(ctx, f, clocks, "poll")
}

// sweep ends an order whose client went away before it had its page. The same
// call with the same key is the only way to learn a page whose reply was lost;
// only then can it be closed, and only then is nothing payable left behind. A
// provider that remembers no keys is not called again for that: nobody was told
// the address of a page that it has perhaps made.
func (s *Service) sweep(ctx context.Context, f *order.Facts) error {
	a := newest(f)
	if a.Provider != ProviderFree {
		p, err := s.find(a)
		if err != nil {
			return err
		}
		if p.KeyMemory() == 0 {
			return s.closeOrder(ctx, f)
		}
	}
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

func underWay(f *order.Facts) bool {
	for i := range f.Attempts {
		if f.UnderWay(&f.Attempts[i]) {
			return true
		}
	}
	return false
}

// await looks after money that is on its way, which never expires: it is asked
// about often in its first hour, daily once its page is long over, and after a
// month a person decides. checks is how often the order was looked after.
func (s *Service) await(ctx context.Context, f *order.Facts, age time.Duration, checks int) error {
	err := s.ask(ctx, f, nil, "poll")
	switch wait := s.cfg.Waits[min(checks, len(s.cfg.Waits))-1]; {
	case age <= firstHour && wait > firstEvery:
		return errors.Join(err, s.orders.PutOff(ctx, s.pool, f.Order.ID, firstEvery))
	case age <= s.cfg.GiveUp:
		return err
	}
	if age <= longestWay {
		return errors.Join(err, s.orders.PutOff(ctx, s.pool, f.Order.ID, wayEvery))
	}
	if err != nil {
		return err // the last word is the provider's
	}
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error { return s.overdueTx(ctx, tx, f.Order.ID) })
}

// overdueTx hands an order whose money never arrived to a person.
func (s *Service) overdueTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID) error {
	f, err := s.lock(ctx, tx, orderID)
	if err != nil || !underWay(f) {
		return err
	}
	cause := order.Cause{Kind: order.CauseSweep, ID: orderID}
	delta := order.NewDelta()
	f.DecideBy(order.DecideReview+"overdue", "its money has been on its way for a month: ask the provider, then refund it or wait", cause, delta)
	err = s.orders.SaveStatesTx(ctx, tx, []order.Change{{Facts: f, Delta: delta, Derived: order.Derive(f), Cause: cause}})
	if err != nil {
		return err
	}
	return s.orders.UnwatchTx(ctx, tx, orderID) // the watch has done what it can
}

// ask asks the provider about each page that could have been paid.
func (s *Service) ask(ctx context.Context, f *order.Facts, clocks map[uuid.UUID]order.Clock, why string) error {
	var errs []error
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.Provider == ProviderFree || !a.Live() && !f.UnderWay(a) && !clocks[a.ID].Lingers {
			continue
		}
		p, err := s.find(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ref := s.ref(p, a); ref != "" {
			errs = append(errs, s.sayer.Ask(ctx, a.Provider, a.Account, ref, why))
		}
	}
	return errors.Join(errs...)
}

// linger looks after an order that is settled, for as long as money is on its way
// or may still come to a page of it that was closed. What comes is late money or surplus.
func (s *Service) linger(ctx context.Context, f *order.Facts, clocks map[uuid.UUID]order.Clock, checks int) error {
	if underWay(f) {
		return s.await(ctx, f, clocks[newest(f).ID].Age, checks)
	}
	for _, c := range clocks {
		if c.Lingers {
			return s.ask(ctx, f, clocks, "linger")
		}
	}
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		f, err := s.lock(ctx, tx, f.Order.ID)
		if err != nil || f.Order.State.Open() {
			return err
		}
		return s.orders.UnwatchTx(ctx, tx, f.Order.ID)
	})
}

// closeOrder closes the order's pages at their provider. What was paid
// meanwhile is applied: the order is then paid, not closed. Money that is on its
// way is not closed, but asked about.
func (s *Service) closeOrder(ctx context.Context, f *order.Facts) error {
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if !a.Live() {
			continue
		}
		p, err := s.find(a)
		if err != nil {
			return err
		}
		ref := s.ref(p, a)
		switch {
		case f.UnderWay(a):
			err = s.sayer.Ask(ctx, a.Provider, a.Account, ref, "close")
		case p.KeyMemory() == 0 && a.URL == "":
			err = s.abandon(ctx, p, f.Order.ID, a.ID)
		case ref == "":
			err = fmt.Errorf("attempt %s has no page yet: whether one can be paid is not known", a.ID)
		default:
			err = s.closePage(ctx, p, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// closePage closes one page, and has it watched first where money may still come
// to it after that.
func (s *Service) closePage(ctx context.Context, p payment.Provider, a *order.Attempt) error {
	if d := p.Lingers(); d > 0 {
		err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := s.lock(ctx, tx, a.OrderID); err != nil {
				return err
			}
			return s.orders.LingerTx(ctx, tx, a, d+callTimeout)
		})
		if err != nil {
			return err
		}
	}
	cctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := p.CloseCheckout(cctx, a.Ref, a.URL)
	if errors.Is(err, payment.ErrNotFound) {
		// Where there is no page, none takes money.
		page, err = payment.Checkout{Facts: []payment.Observation{{
			Provider: p.Name(), Account: p.Account(), Kind: payment.KindAttempt, AttemptID: a.ID, Ref: a.Ref, Status: payment.AttemptClosed,
		}}}, nil
	}
	if err != nil {
		return fmt.Errorf("close a page: %w", err)
	}
	return s.sayer.Say(ctx, payment.Reply(p, "close", a.Ref, page.Facts))
}

// abandon gives up an attempt whose only call got no answer, or was not made.
func (s *Service) abandon(ctx context.Context, p payment.Provider, orderID, attemptID uuid.UUID) error {
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		f, err := s.lock(ctx, tx, orderID)
		if err != nil {
			return err
		}
		a := f.Attempt(attemptID)
		if a == nil || !a.Live() || a.URL != "" {
			return nil // its page came meanwhile
		}
		if err := s.abandonTx(ctx, tx, p, a); err != nil {
			return err
		}
		delta := order.NewDelta()
		f.Merge(payment.Observation{Kind: payment.KindAttempt, AttemptID: attemptID, Status: payment.AttemptAbandoned}, delta)
		return s.saveTx(ctx, tx, f, delta, order.CauseSweep)
	})
}

// errPaying says that an older checkout cannot be closed: its money is on its way.
var errPaying = errors.New("checkout: an older checkout is being paid")

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
		if newest(f).URL == "" && !underWay(f) {
			return fmt.Errorf("order %s is still being opened", orderID)
		}
		if err := s.closeOrder(ctx, f); err != nil {
			return err
		}
		if f, err = s.orders.Get(ctx, s.pool, orderID); err != nil {
			return err
		}
		if f.Order.State.Open() {
			return fmt.Errorf("order %s: %w", orderID, errPaying)
		}
	}
	return nil
}

// Refresh asks the provider about an open order at once: a browser came back
// from paying. Nothing that the browser brought is believed or looked at. Money
// that its payer has agreed to is taken at once.
func (s *Service) Refresh(ctx context.Context, orderID uuid.UUID) error {
	f, err := s.Order(ctx, orderID)
	if err != nil || !f.Order.State.Open() {
		return err
	}
	if err := s.ask(ctx, f, nil, "return"); err != nil || s.cfg.Capture == nil {
		return err
	}
	if f, err = s.Order(ctx, orderID); err != nil {
		return err
	}
	for i := range f.Attempts {
		if a := &f.Attempts[i]; a.Status == payment.AttemptApproved && f.Payable(a.ID) {
			return s.cfg.Capture(ctx, a.ID)
		}
	}
	return nil
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
