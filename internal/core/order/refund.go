package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

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
	return true, pg.Pipeline(ctx, tx, s.watchSteps(map[PaymentKey]uuid.UUID{r.Payment: r.OrderID})...)
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

// SendTx notes that the provider is about to be asked for the money of a
// request. first is false when that was noted before, ago so long: the call may
// have been made then.
func (s Store) SendTx(ctx context.Context, tx pgx.Tx, requestID uuid.UUID) (first bool, ago time.Duration, err error) {
	n, err := s.q.SendRequest(ctx, tx, requestID)
	if err != nil {
		return false, 0, fmt.Errorf("note that a refund is asked for: %w", err)
	}
	seconds, err := s.q.RequestAge(ctx, tx, requestID)
	if err != nil {
		return false, 0, fmt.Errorf("read when a refund was asked for: %w", err)
	}
	return n == 1, time.Duration(seconds * float64(time.Second)), nil
}

// Unsend takes back what SendTx noted first: the call was certainly not made.
func (s Store) Unsend(ctx context.Context, q pg.DBTX, requestID uuid.UUID) error {
	if err := s.q.UnsendRequest(ctx, q, requestID); err != nil {
		return fmt.Errorf("take a call back: %w", err)
	}
	return nil
}

// refundsFirst is when the refunds of a payment are looked at first, for those
// that nobody told us of.
const refundsFirst = 5 * time.Minute

// watchSteps make sure that somebody looks after payments whose refunds are not
// over.
func (s Store) watchSteps(payments map[PaymentKey]uuid.UUID) []pg.Step {
	if len(payments) == 0 {
		return nil
	}
	p := db.WatchRefundsParams{WaitSeconds: refundsFirst.Seconds()}
	for k, orderID := range payments {
		p.Providers, p.Accounts, p.PaymentIds = append(p.Providers, k.Provider), append(p.Accounts, k.Account), append(p.PaymentIds, k.ID)
		p.OrderIds = append(p.OrderIds, orderID)
	}
	return []pg.Step{func(ctx context.Context, q pg.DBTX) error {
		if err := s.q.WatchRefunds(ctx, q, p); err != nil {
			return fmt.Errorf("have refunds watched: %w", err)
		}
		return nil
	}}
}

// DueRefund is a payment whose refunds are to be looked at.
type DueRefund struct {
	Payment PaymentKey
	OrderID uuid.UUID
}

// ClaimRefunds takes payments whose refunds are to be looked at, each for one
// caller, and sets their next time by the waits (the last one repeats).
func (s Store) ClaimRefunds(ctx context.Context, q pg.DBTX, waits []time.Duration, limit int) ([]DueRefund, error) {
	p := db.ClaimRefundsParams{Max: int32(limit)}
	for _, w := range waits {
		p.Waits = append(p.Waits, w.Seconds())
	}
	rows, err := s.q.ClaimRefunds(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("claim open refunds: %w", err)
	}
	out := make([]DueRefund, len(rows))
	for i, r := range rows {
		out[i] = DueRefund{PaymentKey{r.Provider, r.Account, r.PaymentID}, r.OrderID}
	}
	return out, nil
}

// UnwatchRefundsTx ends the watch of a payment whose order is locked.
func (s Store) UnwatchRefundsTx(ctx context.Context, tx pgx.Tx, k PaymentKey) error {
	if err := s.q.UnwatchRefunds(ctx, tx, db.UnwatchRefundsParams{Provider: k.Provider, Account: k.Account, PaymentID: k.ID}); err != nil {
		return fmt.Errorf("end the watch of refunds: %w", err)
	}
	return nil
}

// Overdue is a reason that time has brought.
type Overdue struct {
	OrderID uuid.UUID
	Subject string // of the reason
}

// OverdueRefunds finds refunds that were asked for and not answered for longer
// than unknown, and those on their way for longer than pending, as far as nobody
// has noted it.
func (s Store) OverdueRefunds(ctx context.Context, q pg.DBTX, unknown, pending time.Duration, limit int) ([]Overdue, error) {
	rows, err := s.q.OverdueRefunds(ctx, q, db.OverdueRefundsParams{
		UnknownSeconds: unknown.Seconds(), PendingSeconds: pending.Seconds(), Max: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("find overdue refunds: %w", err)
	}
	out := make([]Overdue, len(rows))
	for i, r := range rows {
		out[i] = Overdue(r)
	}
	return out, nil
}
