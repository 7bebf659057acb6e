package order

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

// Filter says which orders an operator looks for.
type Filter struct {
	State  State     // empty: any
	Email  string    // of the buyer, whole, in any case; empty: any
	Before uuid.UUID // starting below this id; uuid.Max for the first page
	Limit  int
}

// Found is an order in a list.
type Found struct {
	ID       uuid.UUID
	EventID  uuid.UUID
	Email    string
	Currency string
	Gross    int64 // minor units
	Refunded int64
	State    State
	Review   string // why a person must look at it
	// CreatedAt and PaidAt are UTC.
	CreatedAt time.Time
	PaidAt    *time.Time
}

// Search lists orders, newest first.
func (s Store) Search(ctx context.Context, q pg.DBTX, f Filter) ([]Found, error) {
	var rows []db.SearchNewestRow
	var err error
	switch email := strings.ToLower(strings.TrimSpace(f.Email)); {
	case email != "":
		var found []db.SearchOfEmailRow
		found, err = s.q.SearchOfEmail(ctx, q, db.SearchOfEmailParams{Email: email, Before: f.Before, State: string(f.State), Max: int32(f.Limit)})
		for _, r := range found {
			rows = append(rows, db.SearchNewestRow(r))
		}
	case f.State == Review || f.State == Disputed:
		var found []db.SearchRareRow
		found, err = s.q.SearchRare(ctx, q, db.SearchRareParams{State: string(f.State), Before: f.Before, Max: int32(f.Limit)})
		for _, r := range found {
			rows = append(rows, db.SearchNewestRow(r))
		}
	default:
		rows, err = s.q.SearchNewest(ctx, q, db.SearchNewestParams{Before: f.Before, State: string(f.State), Max: int32(f.Limit)})
	}
	if err != nil {
		return nil, fmt.Errorf("look for orders: %w", err)
	}
	out := make([]Found, len(rows))
	for i, r := range rows {
		out[i] = Found{
			ID: r.ID, EventID: r.EventID, Email: r.Email, Currency: r.Currency, Gross: r.Gross, Refunded: r.Refunded,
			State: State(r.State), Review: r.Review, CreatedAt: r.CreatedAt, PaidAt: r.PaidAt,
		}
	}
	return out, nil
}

// Waiting counts the orders in review and the disputes that are open.
func (s Store) Waiting(ctx context.Context, q pg.DBTX) (reviews, disputes int, err error) {
	r, err := s.q.CountWaiting(ctx, q)
	if err != nil {
		return 0, 0, fmt.Errorf("count what waits for a person: %w", err)
	}
	return int(r.Reviews), int(r.Disputes), nil
}

// PaymentsOf counts the payments of an account that were heard of in the time
// since.
func (s Store) PaymentsOf(ctx context.Context, q pg.DBTX, provider, account string, since time.Duration) (int, error) {
	n, err := s.q.CountPayments(ctx, q, db.CountPaymentsParams{Provider: provider, Account: account, Since: since.Seconds()})
	if err != nil {
		return 0, fmt.Errorf("count payments: %w", err)
	}
	return int(n), nil
}

// NewestPayment is when the last payment was heard of; the zero time says that
// there is none.
func (s Store) NewestPayment(ctx context.Context, q pg.DBTX) (time.Time, error) {
	newest, err := s.q.NewestPayment(ctx, q)
	if err != nil || len(newest) == 0 {
		return time.Time{}, err
	}
	return newest[0].UTC(), nil
}
