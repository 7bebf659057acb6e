package order

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	rows, err := s.lock(ctx, tx, id.Sorted(ids))
	if err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	orders := make([]Order, len(rows))
	for i, r := range rows {
		orders[i] = fromRow(db.GetOrderRow(r))
	}
	return s.facts(ctx, tx, orders)
}

func (s Store) lock(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]db.LockOrdersRow, error) {
	if orderLock.On() {
		return s.q.LockOrders(ctx, tx, ids)
	}
	rows, err := s.q.PeekOrders(ctx, tx, ids)
	out := make([]db.LockOrdersRow, len(rows))
	for i, r := range rows {
		out[i] = db.LockOrdersRow(r)
	}
	return out, err
}

// Get reads one order's facts without a lock, for showing. ErrNotFound.
func (s Store) Get(ctx context.Context, q pg.DBTX, orderID uuid.UUID) (*Facts, error) {
	r, err := s.q.GetOrder(ctx, q, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read an order: %w", err)
	}
	f, err := s.facts(ctx, q, []Order{fromRow(r)})
	if err != nil {
		return nil, err
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
	out := make([]Order, len(rows))
	for i, r := range rows {
		out[i] = fromRow(db.GetOrderRow(r))
	}
	return out, nil
}

func fromRow(r db.GetOrderRow) Order {
	return Order{
		ID: r.ID, EventID: r.EventID, CreatorID: r.CreatorID, BuyerAccount: r.BuyerAccount, BuyerGuest: r.BuyerGuest,
		BuyerID: r.BuyerID, Email: r.Email, Currency: r.Currency, Gross: r.Gross, Commission: r.Commission, Cart: r.Cart,
		State: State(r.State), Review: r.Review, Refunded: r.Refunded, Version: r.Version, CreatedAt: r.CreatedAt, PaidAt: r.PaidAt,
	}
}

func (s Store) facts(ctx context.Context, q pg.DBTX, orders []Order) ([]*Facts, error) {
	ids := make([]uuid.UUID, len(orders))
	out := make([]*Facts, len(orders))
	of := make(map[uuid.UUID]*Facts, len(orders))
	for i := range orders {
		ids[i] = orders[i].ID
		out[i] = &Facts{Order: orders[i], Decisions: map[string]string{}}
		of[orders[i].ID] = out[i]
	}
	if len(ids) == 0 {
		return out, nil
	}
	lines, err := s.q.LinesOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read order lines: %w", err)
	}
	for _, l := range lines {
		f := of[l.OrderID]
		f.Lines = append(f.Lines, Line{
			ID: l.ID, OrderID: l.OrderID, Ordinal: l.Ordinal, Kind: LineKind(l.Kind), EventID: l.EventID, PhotoID: l.PhotoID,
			Name: l.Name, Price: l.Price, Commission: l.Commission,
		})
	}
	attempts, err := s.q.AttemptsOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		f := of[a.OrderID]
		f.Attempts = append(f.Attempts, attemptFromRow(a))
	}
	payments, err := s.q.PaymentsOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read payments: %w", err)
	}
	for _, p := range payments {
		f := of[p.OrderID]
		f.Payments = append(f.Payments, Payment{
			Key: PaymentKey{p.Provider, p.Account, p.PaymentID}, OrderID: p.OrderID, AttemptID: p.AttemptID,
			Status: p.Status, Amount: p.Amount, Currency: p.Currency, Fee: p.Fee, InboxID: p.InboxID,
		})
	}
	refunds, err := s.q.RefundsOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read refunds: %w", err)
	}
	for _, r := range refunds {
		f := of[r.OrderID]
		f.Refunds = append(f.Refunds, Refund{
			Provider: r.Provider, Account: r.Account, ID: r.RefundID, OrderID: r.OrderID, PaymentID: r.PaymentID,
			RequestID: r.RequestID, Status: r.Status, Amount: r.Amount, Currency: r.Currency, InboxID: r.InboxID,
		})
	}
	requests, err := s.q.RequestsOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read refund requests: %w", err)
	}
	for _, r := range requests {
		f := of[r.OrderID]
		f.Requests = append(f.Requests, requestFromRow(db.GetRequestRow(r)))
	}
	decisions, err := s.q.DecisionsOf(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	for _, d := range decisions {
		of[d.OrderID].Decisions[d.Subject] = d.Value
	}
	return out, s.disputes(ctx, q, ids, of)
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
func (s Store) OrdersOf(ctx context.Context, q pg.DBTX, attempts []uuid.UUID, payments []PaymentKey) (map[uuid.UUID]uuid.UUID, map[PaymentKey]uuid.UUID, error) {
	byAttempt := map[uuid.UUID]uuid.UUID{}
	byPayment := map[PaymentKey]uuid.UUID{}
	if len(attempts) > 0 {
		rows, err := s.q.OrdersOfAttempts(ctx, q, attempts)
		if err != nil {
			return nil, nil, fmt.Errorf("find orders of attempts: %w", err)
		}
		for _, r := range rows {
			byAttempt[r.ID] = r.OrderID
		}
	}
	if len(payments) > 0 {
		var p db.OrdersOfPaymentsParams
		for _, k := range payments {
			p.Providers, p.Accounts, p.PaymentIds = append(p.Providers, k.Provider), append(p.Accounts, k.Account), append(p.PaymentIds, k.ID)
		}
		rows, err := s.q.OrdersOfPayments(ctx, q, p)
		if err != nil {
			return nil, nil, fmt.Errorf("find orders of payments: %w", err)
		}
		for _, r := range rows {
			byPayment[PaymentKey{r.Provider, r.Account, r.PaymentID}] = r.OrderID
		}
	}
	return byAttempt, byPayment, nil
}

// Change is what one transaction learned about one locked order.
type Change struct {
	Facts   *Facts
	Delta   *Delta
	Derived Derived
	Cause   Cause
}

// SaveFactsTx writes what was learned, set-wise: attempts, payments, answered
// requests, refunds, disputes. The orders are locked by LockTx. It returns ErrElsewhere
// when a new row's key stands already.
func (s Store) SaveFactsTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	if err := s.saveAttempts(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.savePayments(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.saveRefunds(ctx, tx, changes); err != nil {
		return err
	}
	return s.saveDisputes(ctx, tx, changes)
}

// SaveStatesTx writes decisions, then states with their history, and releases
// what settled orders had reserved.
func (s Store) SaveStatesTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	if err := s.saveDecisions(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.saveStates(ctx, tx, changes); err != nil {
		return err
	}
	return s.watchPending(ctx, tx, changes)
}

func (s Store) saveAttempts(ctx context.Context, tx pgx.Tx, changes []Change) error {
	var p db.UpdateAttemptsParams
	for _, c := range changes {
		for _, a := range c.Facts.Attempts {
			if c.Delta.Attempts[a.ID] {
				p.Ids, p.Refs, p.Statuses = append(p.Ids, a.ID), append(p.Refs, a.Ref), append(p.Statuses, a.Status)
			}
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	n, err := s.q.UpdateAttempts(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("write attempts: %w", err)
	}
	return wrote("attempts", n, len(p.Ids))
}

func (s Store) savePayments(ctx context.Context, tx pgx.Tx, changes []Change) error {
	var ins db.InsertPaymentsParams
	var upd db.UpdatePaymentsParams
	for _, c := range changes {
		for i := range c.Facts.Payments {
			p := &c.Facts.Payments[i]
			switch {
			case c.Delta.NewPayments[p.Key]:
				ins.Providers, ins.Accounts, ins.PaymentIds = append(ins.Providers, p.Key.Provider), append(ins.Accounts, p.Key.Account), append(ins.PaymentIds, p.Key.ID)
				ins.OrderIds, ins.AttemptIds = append(ins.OrderIds, p.OrderID), append(ins.AttemptIds, p.AttemptID)
				ins.Statuses, ins.Amounts, ins.Currencies = append(ins.Statuses, p.Status), append(ins.Amounts, p.Amount), append(ins.Currencies, p.Currency)
				ins.Fees, ins.InboxIds = append(ins.Fees, p.Fee), append(ins.InboxIds, p.InboxID)
			case c.Delta.Payments[p.Key]:
				upd.Providers, upd.Accounts, upd.PaymentIds = append(upd.Providers, p.Key.Provider), append(upd.Accounts, p.Key.Account), append(upd.PaymentIds, p.Key.ID)
				upd.Statuses, upd.Amounts, upd.Currencies = append(upd.Statuses, p.Status), append(upd.Amounts, p.Amount), append(upd.Currencies, p.Currency)
				upd.Fees, upd.InboxIds = append(upd.Fees, p.Fee), append(upd.InboxIds, p.InboxID)
			}
		}
	}
	if len(ins.PaymentIds) > 0 {
		rows, err := s.q.InsertPayments(ctx, tx, ins)
		if err != nil {
			return fmt.Errorf("write payments: %w", err)
		}
		if err := wrote("payments", int64(len(rows)), len(ins.PaymentIds)); err != nil {
			return err
		}
	}
	if len(upd.PaymentIds) > 0 {
		n, err := s.q.UpdatePayments(ctx, tx, upd)
		if err != nil {
			return fmt.Errorf("write payments: %w", err)
		}
		return wrote("payments", n, len(upd.PaymentIds))
	}
	return nil
}

func (s Store) saveRefunds(ctx context.Context, tx pgx.Tx, changes []Change) error {
	var ins db.InsertRefundsParams
	var upd db.UpdateRefundsParams
	var req db.UpdateRequestsParams
	watch := map[PaymentKey]uuid.UUID{}
	for _, c := range changes {
		for i := range c.Facts.Refunds {
			r := &c.Facts.Refunds[i]
			if c.Delta.NewRefunds[r.Key()] && r.Pending() {
				watch[r.Payment()] = r.OrderID
			}
			switch {
			case c.Delta.NewRefunds[r.Key()]:
				ins.Providers, ins.Accounts, ins.RefundIds = append(ins.Providers, r.Provider), append(ins.Accounts, r.Account), append(ins.RefundIds, r.ID)
				ins.OrderIds, ins.PaymentIds, ins.RequestIds = append(ins.OrderIds, r.OrderID), append(ins.PaymentIds, r.PaymentID), append(ins.RequestIds, orNil(r.RequestID))
				ins.Statuses, ins.Amounts, ins.Currencies = append(ins.Statuses, r.Status), append(ins.Amounts, r.Amount), append(ins.Currencies, r.Currency)
				ins.InboxIds = append(ins.InboxIds, r.InboxID)
			case c.Delta.Refunds[r.Key()]:
				upd.Providers, upd.Accounts, upd.RefundIds = append(upd.Providers, r.Provider), append(upd.Accounts, r.Account), append(upd.RefundIds, r.ID)
				upd.RequestIds, upd.Statuses, upd.InboxIds = append(upd.RequestIds, orNil(r.RequestID)), append(upd.Statuses, r.Status), append(upd.InboxIds, r.InboxID)
			}
		}
		for _, q := range c.Facts.Requests {
			if c.Delta.Requests[q.ID] {
				req.Ids, req.States, req.Notes = append(req.Ids, q.ID), append(req.States, q.State), append(req.Notes, q.Note)
			}
		}
	}
	if err := s.watchRefunds(ctx, tx, watch); err != nil {
		return err
	}
	if len(req.Ids) > 0 {
		n, err := s.q.UpdateRequests(ctx, tx, req)
		if err != nil {
			return fmt.Errorf("write refund requests: %w", err)
		}
		if err := wrote("refund requests", n, len(req.Ids)); err != nil {
			return err
		}
	}
	if len(ins.RefundIds) > 0 {
		n, err := s.q.InsertRefunds(ctx, tx, ins)
		if err != nil {
			return fmt.Errorf("write refunds: %w", err)
		}
		if err := wrote("refunds", n, len(ins.RefundIds)); err != nil {
			return err
		}
	}
	if len(upd.RefundIds) > 0 {
		n, err := s.q.UpdateRefunds(ctx, tx, upd)
		if err != nil {
			return fmt.Errorf("write refunds: %w", err)
		}
		return wrote("refunds", n, len(upd.RefundIds))
	}
	return nil
}

func (s Store) saveDecisions(ctx context.Context, tx pgx.Tx, changes []Change) error {
	var p db.InsertDecisionsParams
	for _, c := range changes {
		for subject, d := range c.Delta.Decisions {
			p.OrderIds, p.Subjects = append(p.OrderIds, c.Facts.Order.ID), append(p.Subjects, subject)
			p.Values = append(p.Values, d.Value)
			p.CauseKinds, p.CauseIds = append(p.CauseKinds, d.Cause.Kind), append(p.CauseIds, d.Cause.ID)
		}
	}
	if len(p.OrderIds) == 0 {
		return nil
	}
	n, err := s.q.InsertDecisions(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("write decisions: %w", err)
	}
	return wrote("decisions", n, len(p.OrderIds))
}

func (s Store) saveStates(ctx context.Context, tx pgx.Tx, changes []Change) error {
	var p db.UpdateStatesParams
	var h db.InsertHistoryParams
	var settled, unwatched, reopened []uuid.UUID
	for _, c := range changes {
		o, d := &c.Facts.Order, &c.Derived
		review := d.Words()
		// An order may be disputed or in review before the payment that buys it is
		// known, and stay so.
		bought := d.Kept != nil && o.PaidAt == nil
		if o.State == d.State && o.Review == review && o.Refunded == d.Refunded && !bought {
			continue
		}
		if o.State != d.State {
			o.Version++
			h.OrderIds, h.Seqs, h.States = append(h.OrderIds, o.ID), append(h.Seqs, o.Version), append(h.States, string(d.State))
			h.CauseKinds, h.CauseIds = append(h.CauseKinds, c.Cause.Kind), append(h.CauseIds, c.Cause.ID)
			if d.State.Open() && !o.State.Open() {
				reopened = append(reopened, o.ID)
			}
			if !d.State.Open() {
				settled = append(settled, o.ID)
				if !c.Facts.lingering() {
					unwatched = append(unwatched, o.ID)
				}
			}
		}
		o.State, o.Review, o.Refunded = d.State, review, d.Refunded
		p.Ids, p.States, p.Reviews = append(p.Ids, o.ID), append(p.States, string(o.State)), append(p.Reviews, o.Review)
		p.Refundeds, p.Versions, p.Paids = append(p.Refundeds, o.Refunded), append(p.Versions, o.Version), append(p.Paids, d.Kept != nil)
	}
	if len(p.Ids) == 0 {
		return nil
	}
	n, err := s.q.UpdateStates(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("write order states: %w", err)
	}
	if err := wrote("orders", n, len(p.Ids)); err != nil {
		return err
	}
	if len(h.OrderIds) > 0 {
		if err := s.q.InsertHistory(ctx, tx, h); err != nil {
			return fmt.Errorf("write order history: %w", err)
		}
	}
	// Who looked at what was wrong may find that its money is still awaited.
	for _, orderID := range reopened {
		if err := s.WatchTx(ctx, tx, orderID, 0); err != nil {
			return err
		}
	}
	if len(settled) == 0 {
		return nil
	}
	if err := s.q.ReleaseReservations(ctx, tx, settled); err != nil {
		return fmt.Errorf("release reservations: %w", err)
	}
	// Whoever looks after open orders is done with it. Money that a provider takes
	// all the same is heard of by its own message, or is looked for by whoever
	// watches a page that lingers, and who ends that watch.
	if err := s.q.Unwatch(ctx, tx, unwatched); err != nil {
		return fmt.Errorf("end the watch of orders: %w", err)
	}
	return nil
}

// RequestRefundTx inserts a refund request for a locked order and adds it to
// its facts. inserted is false when money that bought nothing was asked back
// before (uq_refund_request_auto).
func (s Store) RequestRefundTx(ctx context.Context, tx pgx.Tx, f *Facts, r Request) (inserted bool, err error) {
	n, err := s.q.InsertRequests(ctx, tx, db.InsertRequestsParams{
		ID: r.ID, OrderID: r.OrderID, Provider: r.Payment.Provider, Account: r.Payment.Account, PaymentID: r.Payment.ID,
		Amount: r.Amount, Currency: r.Currency, Kind: string(r.Kind), LineIds: slices.Clip(append([]uuid.UUID{}, r.LineIDs...)),
		CauseKind: r.CauseKind, CauseID: r.CauseID,
	})
	if err != nil {
		return false, fmt.Errorf("write a refund request: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	r.State = RequestOpen
	f.Requests = append(f.Requests, r)
	return true, s.watchRefunds(ctx, tx, map[PaymentKey]uuid.UUID{r.Payment: r.OrderID})
}

// Request reads one refund request. ErrNotFound.
func (s Store) Request(ctx context.Context, q pg.DBTX, requestID uuid.UUID) (Request, error) {
	r, err := s.q.GetRequest(ctx, q, requestID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Request{}, ErrNotFound
	}
	if err != nil {
		return Request{}, fmt.Errorf("read a refund request: %w", err)
	}
	return requestFromRow(r), nil
}

// orNil is the zero id for none, as it goes into arrays of queries.
func orNil(maybe *uuid.UUID) uuid.UUID {
	if maybe == nil {
		return uuid.Nil
	}
	return *maybe
}

func wrote(what string, got int64, want int) error {
	if got != int64(want) {
		return fmt.Errorf("%w: %d of %d %s", ErrElsewhere, got, want, what)
	}
	return nil
}
