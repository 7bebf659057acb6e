package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

// New is an order to open, with the lines that it sells and its first attempt.
type New struct {
	Order   Order
	Lines   []Line
	Attempt Attempt
}

// ErrReserved says that another open order of the same buyer claims one of the
// things: the caller closes that one first.
var ErrReserved = errors.New("order: the buyer has another open order for this")

// OpenTx inserts an order, what it reserves, and its first attempt, and begins
// its watch. It returns ErrReserved when a reservation of the same buyer stands
// (uq_reservation_photo, uq_reservation_event).
func (s Store) OpenTx(ctx context.Context, tx pgx.Tx, n New, watchAfter time.Duration) error {
	return pg.Pipeline(ctx, tx, s.OpenSteps(&n, watchAfter)...)
}

// OpenSteps are the statements of OpenTx. They fill in the attempt's time.
func (s Store) OpenSteps(n *New, watchAfter time.Duration) []pg.Step {
	r := n.reservations()
	return s.openSteps(n, watchAfter, func(ctx context.Context, q pg.DBTX) error {
		reserved, err := s.q.InsertReservations(ctx, q, db.InsertReservationsParams{OrderID: r.OrderID, BuyerID: r.BuyerID, EventID: r.EventID, PhotoIds: r.PhotoIds})
		if err != nil {
			return fmt.Errorf("reserve: %w", err)
		}
		if reserved != int64(len(r.PhotoIds)) {
			return ErrReserved
		}
		return nil
	})
}

func (n *New) reservations() db.ReserveFreshParams {
	r := db.ReserveFreshParams{OrderID: n.Order.ID, BuyerID: n.Order.BuyerID, EventID: n.Order.EventID}
	for _, line := range n.Lines {
		r.PhotoIds = append(r.PhotoIds, orNil(line.PhotoID))
	}
	return r
}

func (s Store) openSteps(n *New, watchAfter time.Duration, reserve pg.Step) []pg.Step {
	o, a := n.Order, n.Attempt
	l := db.InsertLinesParams{OrderID: o.ID, EventID: o.EventID}
	for _, line := range n.Lines {
		l.Ids, l.Ordinals, l.Kinds = append(l.Ids, line.ID), append(l.Ordinals, line.Ordinal), append(l.Kinds, string(line.Kind))
		l.PhotoIds, l.Names = append(l.PhotoIds, orNil(line.PhotoID)), append(l.Names, line.Name)
		l.Prices, l.Commissions = append(l.Prices, line.Price), append(l.Commissions, line.Commission)
	}
	return []pg.Step{
		func(ctx context.Context, q pg.DBTX) error {
			err := s.q.InsertOrder(ctx, q, db.InsertOrderParams{
				ID: o.ID, EventID: o.EventID, CreatorID: o.CreatorID, BuyerAccount: o.BuyerAccount, BuyerGuest: o.BuyerGuest,
				Email: o.Email, Currency: o.Currency, Gross: o.Gross, Commission: o.Commission, Cart: o.Cart,
			})
			if err != nil {
				return fmt.Errorf("insert an order: %w", claimed(err))
			}
			return nil
		},
		func(ctx context.Context, q pg.DBTX) error {
			if err := s.q.InsertLines(ctx, q, l); err != nil {
				return fmt.Errorf("insert order lines: %w", err)
			}
			return nil
		},
		reserve,
		func(ctx context.Context, q pg.DBTX) error {
			made, err := s.insertAttempt(ctx, q, a)
			if err == nil {
				n.Attempt.CreatedAt = made
			}
			return err
		},
		func(ctx context.Context, q pg.DBTX) error { return s.watch(ctx, q, o.ID, watchAfter) },
	}
}

// AttemptTx inserts a try to have an order paid.
func (s Store) AttemptTx(ctx context.Context, tx pgx.Tx, a Attempt) error {
	_, err := s.insertAttempt(ctx, tx, a)
	return err
}

func (s Store) insertAttempt(ctx context.Context, q pg.DBTX, a Attempt) (time.Time, error) {
	made, err := s.q.InsertAttempt(ctx, q, db.InsertAttemptParams{
		ID: a.ID, OrderID: a.OrderID, Ordinal: a.Ordinal, Provider: a.Provider, Account: a.Account,
	})
	if err != nil {
		return made, fmt.Errorf("insert an attempt: %w", err)
	}
	return made, nil
}

// PageTx records the hosted page of an attempt whose order is locked. It
// returns ErrElsewhere when the attempt has another page already.
func (s Store) PageTx(ctx context.Context, tx pgx.Tx, attemptID uuid.UUID, ref, url string, expiresAt *time.Time) error {
	n, err := s.q.SetAttemptPage(ctx, tx, db.SetAttemptPageParams{ID: attemptID, Ref: &ref, Url: url, ExpiresAt: expiresAt})
	if err != nil {
		return fmt.Errorf("write an attempt's page: %w", err)
	}
	return wrote("attempts", n, 1)
}

// WatchTx makes sure that somebody looks after the order.
func (s Store) WatchTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID, after time.Duration) error {
	return s.watch(ctx, tx, orderID, after)
}

func (s Store) watch(ctx context.Context, q pg.DBTX, orderID uuid.UUID, after time.Duration) error {
	if err := s.q.WatchOrder(ctx, q, db.WatchOrderParams{OrderID: orderID, WaitSeconds: after.Seconds()}); err != nil {
		return fmt.Errorf("watch an order: %w", err)
	}
	return nil
}

// Overlapping finds the buyer's open orders that claim one of the photographs
// of the event, or its whole, or anything of it when the whole is wanted.
func (s Store) Overlapping(ctx context.Context, q pg.DBTX, buyerID, eventID uuid.UUID, photos []uuid.UUID, wholeEvent bool) ([]uuid.UUID, error) {
	ids, err := s.q.OverlappingOrders(ctx, q, db.OverlappingOrdersParams{BuyerID: buyerID, EventID: eventID, PhotoIds: photos, WholeEvent: wholeEvent})
	if err != nil {
		return nil, fmt.Errorf("find overlapping orders: %w", err)
	}
	return ids, nil
}

// Due is an open order whose turn it is to be looked after.
type Due struct {
	OrderID uuid.UUID
	Checks  int // this one included
}

// ClaimDue takes open orders whose time has come, each for one caller, and sets
// their next time by the waits (the last one repeats). A crash of the caller
// only delays the order to its next time.
func (s Store) ClaimDue(ctx context.Context, q pg.DBTX, waits []time.Duration, limit int) ([]Due, error) {
	p := db.ClaimDueParams{Max: int32(limit)}
	for _, w := range waits {
		p.Waits = append(p.Waits, w.Seconds())
	}
	rows, err := s.q.ClaimDue(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("claim open orders: %w", err)
	}
	out := make([]Due, len(rows))
	for i, r := range rows {
		out[i] = Due{OrderID: r.OrderID, Checks: int(r.Checks)}
	}
	return out, nil
}

// Any reports whether the event has an order.
func (s Store) Any(ctx context.Context, q pg.DBTX, eventID uuid.UUID) (bool, error) {
	ok, err := s.q.AnyOfEvent(ctx, q, eventID)
	if err != nil {
		return false, fmt.Errorf("look for orders of an event: %w", err)
	}
	return ok, nil
}
