package order

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

var orderLock = guard.Define("order.lock", guard.Lock,
	"two observations of one order are applied beside each other, and each believes to be the first")

// Store reads and writes this package's tables. It has no pool, so a function
// that joins a transaction cannot leave it.
type Store struct{ q db.Queries }

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("order: not found")

// ErrElsewhere says that a row with the key that was to be inserted belongs to
// another order, or came at the same moment. The transaction is undone and the
// observation judged again, with that row in view.
var ErrElsewhere = errors.New("order: a payment, refund, request or decision with this key stands already")

// Cause is why something changed: an inbox row, an audited action, a checkout
// or a sweep.
type Cause struct {
	Kind string
	ID   uuid.UUID
}

// The kinds of causes.
const (
	CauseInbox    = "inbox"
	CauseAudit    = "audit"
	CauseCheckout = "checkout"
	CauseSweep    = "sweep"
)

// LockTx locks the orders FOR NO KEY UPDATE in ascending id and reads their
// facts in the statements that follow, so that the facts are those of the last
// holder of the lock. Unknown ids are left out.
func (s Store) LockTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]*Facts, error) {
	ids = id.Sorted(ids)
	return s.read(ctx, tx, ids, func(ctx context.Context, q pg.DBTX) ([]Order, error) {
		if !orderLock.On() {
			return ordersOf(s.q.PeekOrders(ctx, q, ids))
		}
		return ordersOf(s.q.LockOrders(ctx, q, ids))
	})
}

// Get reads one order's facts without a lock, for showing. ErrNotFound.
func (s Store) Get(ctx context.Context, q pg.Batcher, orderID uuid.UUID) (*Facts, error) {
	ids := []uuid.UUID{orderID}
	f, err := s.read(ctx, q, ids, func(ctx context.Context, q pg.DBTX) ([]Order, error) {
		return ordersOf(s.q.PeekOrders(ctx, q, ids))
	})
	if err != nil {
		return nil, err
	}
	if len(f) == 0 {
		return nil, ErrNotFound
	}
	return f[0], nil
}

// OfBuyer lists a buyer's orders, newest first, starting below the id before
// (uuid.Max for the first page).
func (s Store) OfBuyer(ctx context.Context, q pg.DBTX, buyerID, before uuid.UUID, limit int) ([]Order, error) {
	rows, err := s.q.OrdersOfBuyer(ctx, q, db.OrdersOfBuyerParams{BuyerID: buyerID, Before: before, Max: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list a buyer's orders: %w", err)
	}
	return ordersOf(rows, nil)
}

// orderRow is what each query for orders returns.
type orderRow interface {
	db.LockOrdersRow | db.PeekOrdersRow | db.OrdersOfBuyerRow
}

func ordersOf[R orderRow](rows []R, err error) ([]Order, error) {
	out := make([]Order, len(rows))
	for i, r := range rows {
		out[i] = fromRow(db.LockOrdersRow(r))
	}
	return out, err
}

func fromRow(r db.LockOrdersRow) Order {
	return Order{
		ID: r.ID, EventID: r.EventID, CreatorID: r.CreatorID, BuyerAccount: r.BuyerAccount, BuyerGuest: r.BuyerGuest,
		BuyerID: r.BuyerID, Email: r.Email, Currency: r.Currency, Gross: r.Gross, Commission: r.Commission, Cart: r.Cart,
		State: State(r.State), Review: r.Review, Refunded: r.Refunded, Version: r.Version, CreatedAt: r.CreatedAt, PaidAt: r.PaidAt,
	}
}

// rows are what the facts of some orders are made of.
type rows struct {
	lines     []db.OrderLine
	attempts  []db.AttemptsOfRow
	payments  []db.PaymentsOfRow
	decisions []db.DecisionsOfRow
	refunds   []db.RefundsOfRow
	requests  []db.RequestsOfRow
	disputes  []db.DisputesOfRow
	movements []db.MovementsOfRow
}

// read reads orders and their facts in one round trip, and in a second what only
// orders with a payment can have.
func (s Store) read(ctx context.Context, conn pg.Batcher, ids []uuid.UUID, orders func(context.Context, pg.DBTX) ([]Order, error)) ([]*Facts, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var found []Order
	var r rows
	err := pg.Pipeline(ctx, conn,
		func(ctx context.Context, q pg.DBTX) (err error) {
			if found, err = orders(ctx, q); err != nil {
				return fmt.Errorf("read orders: %w", err)
			}
			return nil
		},
		reading(&r.lines, "order lines", s.q.LinesOf, ids),
		reading(&r.attempts, "attempts", s.q.AttemptsOf, ids),
		reading(&r.payments, "payments", s.q.PaymentsOf, ids),
		reading(&r.decisions, "decisions", s.q.DecisionsOf, ids),
	)
	if err != nil {
		return nil, err
	}
	var paid []uuid.UUID
	for _, p := range r.payments { // in the order of their orders
		if len(paid) == 0 || paid[len(paid)-1] != p.OrderID {
			paid = append(paid, p.OrderID)
		}
	}
	if len(paid) > 0 {
		err = pg.Pipeline(ctx, conn,
			reading(&r.refunds, "refunds", s.q.RefundsOf, paid),
			reading(&r.requests, "refund requests", s.q.RequestsOf, paid),
			reading(&r.disputes, "disputes", s.q.DisputesOf, paid),
			reading(&r.movements, "disputed money", s.q.MovementsOf, paid),
		)
	}
	return r.facts(found), err
}

// reading is a step that keeps the rows of orders.
func reading[T any](to *[]T, what string, query func(context.Context, db.DBTX, []uuid.UUID) ([]T, error), ids []uuid.UUID) pg.Step {
	return func(ctx context.Context, q pg.DBTX) (err error) {
		if *to, err = query(ctx, q, ids); err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
		return nil
	}
}

// facts gives each order its rows.
func (r *rows) facts(orders []Order) []*Facts {
	out := make([]*Facts, len(orders))
	of := make(map[uuid.UUID]*Facts, len(orders))
	for i := range orders {
		out[i] = &Facts{Order: orders[i], Decisions: map[string]string{}}
		of[orders[i].ID] = out[i]
	}
	for _, l := range r.lines {
		f := of[l.OrderID]
		f.Lines = append(f.Lines, Line{
			ID: l.ID, OrderID: l.OrderID, Ordinal: l.Ordinal, Kind: LineKind(l.Kind), EventID: l.EventID, PhotoID: l.PhotoID,
			Name: l.Name, Price: l.Price, Commission: l.Commission,
		})
	}
	for _, a := range r.attempts {
		f := of[a.OrderID]
		f.Attempts = append(f.Attempts, attemptFromRow(a))
	}
	for _, p := range r.payments {
		f := of[p.OrderID]
		f.Payments = append(f.Payments, Payment{
			Key: PaymentKey{p.Provider, p.Account, p.PaymentID}, OrderID: p.OrderID, AttemptID: p.AttemptID,
			Status: p.Status, Amount: p.Amount, Currency: p.Currency, Fee: p.Fee, InboxID: p.InboxID,
		})
	}
	for _, d := range r.decisions {
		of[d.OrderID].Decisions[d.Subject] = d.Value
	}
	for _, x := range r.refunds {
		f := of[x.OrderID]
		f.Refunds = append(f.Refunds, Refund{
			Provider: x.Provider, Account: x.Account, ID: x.RefundID, OrderID: x.OrderID, PaymentID: x.PaymentID,
			RequestID: x.RequestID, Status: x.Status, Amount: x.Amount, Currency: x.Currency, InboxID: x.InboxID,
		})
	}
	for _, x := range r.requests {
		f := of[x.OrderID]
		f.Requests = append(f.Requests, requestFromRow(db.GetRequestRow(x)))
	}
	for _, x := range r.disputes {
		f := of[x.OrderID]
		f.Disputes = append(f.Disputes, Dispute{
			Provider: x.Provider, Account: x.Account, ID: x.DisputeID, OrderID: x.OrderID, PaymentID: x.PaymentID,
			Status: x.Status, Outcome: x.Outcome, Amount: x.Amount, Currency: x.Currency, Seq: x.Seq, InboxID: x.InboxID,
		})
	}
	for _, x := range r.movements {
		f := of[x.OrderID]
		f.Movements = append(f.Movements, Movement{
			Provider: x.Provider, Account: x.Account, DisputeID: x.DisputeID, ID: x.MovementID, OrderID: x.OrderID, PaymentID: x.PaymentID,
			Status: x.Status, Amount: x.Amount, Currency: x.Currency, InboxID: x.InboxID,
		})
	}
	return out
}

func requestFromRow(r db.GetRequestRow) Request {
	return Request{
		ID: r.ID, OrderID: r.OrderID, Payment: PaymentKey{r.Provider, r.Account, r.PaymentID}, Amount: r.Amount, Currency: r.Currency,
		Kind: RequestKind(r.Kind), LineIDs: r.LineIds, CauseKind: r.CauseKind, CauseID: r.CauseID, State: r.State, Note: r.Note, SentAt: r.SentAt,
	}
}

func attemptFromRow(a db.AttemptsOfRow) Attempt {
	out := Attempt{
		ID: a.ID, OrderID: a.OrderID, Ordinal: a.Ordinal, Provider: a.Provider, Account: a.Account, URL: a.Url,
		Status: a.Status, ExpiresAt: a.ExpiresAt, CalledAt: a.CalledAt, WatchUntil: a.WatchUntil, CreatedAt: a.CreatedAt,
	}
	if a.ProviderRef != nil {
		out.Ref = *a.ProviderRef
	}
	return out
}

// OrdersOf finds whose order each attempt and payment is. Unknown ones are left out.
func (s Store) OrdersOf(ctx context.Context, conn pg.Batcher, attempts []uuid.UUID, payments []PaymentKey) (map[uuid.UUID]uuid.UUID, map[PaymentKey]uuid.UUID, error) {
	byAttempt := map[uuid.UUID]uuid.UUID{}
	byPayment := map[PaymentKey]uuid.UUID{}
	err := pg.Pipeline(ctx, conn,
		func(ctx context.Context, q pg.DBTX) error {
			if len(attempts) == 0 {
				return nil
			}
			rows, err := s.q.OrdersOfAttempts(ctx, q, attempts)
			if err != nil {
				return fmt.Errorf("find orders of attempts: %w", err)
			}
			for _, r := range rows {
				byAttempt[r.ID] = r.OrderID
			}
			return nil
		},
		func(ctx context.Context, q pg.DBTX) error {
			if len(payments) == 0 {
				return nil
			}
			var p db.OrdersOfPaymentsParams
			for _, k := range payments {
				p.Providers, p.Accounts, p.PaymentIds = append(p.Providers, k.Provider), append(p.Accounts, k.Account), append(p.PaymentIds, k.ID)
			}
			rows, err := s.q.OrdersOfPayments(ctx, q, p)
			if err != nil {
				return fmt.Errorf("find orders of payments: %w", err)
			}
			for _, r := range rows {
				byPayment[PaymentKey{r.Provider, r.Account, r.PaymentID}] = r.OrderID
			}
			return nil
		})
	return byAttempt, byPayment, err
}
