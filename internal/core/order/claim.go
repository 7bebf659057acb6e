package order

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/order/internal/db"
)

// ErrGuestClaimed is the problem of an order that a guest is making while an
// account takes over what the guest bought.
var ErrGuestClaimed = problem.Define(problem.Conflict, "order.guest_claimed", "You have signed in meanwhile",
	"Nothing was ordered. What you bought as a guest is in your account now; send the order again from there.")

// claimed turns the refusal of trigger orders_of_open_guest into its problem.
func claimed(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "PR011" {
		return ErrGuestClaimed.Because(err)
	}
	return err
}

// Proof is what makes an order an account's.
type Proof string

// The proofs.
const (
	ProofMail  Proof = "mail"  // a link that was mailed to the order's address
	ProofGuest Proof = "guest" // the secret of the guest session that bought it
)

// Claim takes guests' orders over for an account.
type Claim struct {
	ID        uuid.UUID // names everything that moves at once
	AccountID uuid.UUID
	Proof     Proof
	ProofID   uuid.UUID // of the link or the guest session
}

// OfGuest lists the orders that a guest session still owns.
func (s Store) OfGuest(ctx context.Context, q pg.DBTX, guestID uuid.UUID) ([]uuid.UUID, error) {
	ids, err := s.q.OrdersOfGuest(ctx, q, guestID)
	if err != nil {
		return nil, fmt.Errorf("list a guest's orders: %w", err)
	}
	return ids, nil
}

// OfEmail lists the orders of guests whose receipt goes to the address.
func (s Store) OfEmail(ctx context.Context, q pg.DBTX, email string) ([]uuid.UUID, error) {
	ids, err := s.q.OrdersOfEmail(ctx, q, email)
	if err != nil {
		return nil, fmt.Errorf("list guests' orders: %w", err)
	}
	return ids, nil
}

// ClaimTx makes orders that LockTx locked the account's, with what they reserve.
// All of them must be guests' still. Their grants are the caller's to move.
func (s Store) ClaimTx(ctx context.Context, tx pgx.Tx, orders []Order, c Claim) error {
	p := db.InsertOrderClaimsParams{ClaimID: c.ID, AccountID: c.AccountID, Proof: string(c.Proof), ProofID: c.ProofID}
	for _, o := range orders {
		if o.BuyerGuest == nil {
			return fmt.Errorf("claim orders: %s is no guest's", o.ID)
		}
		p.OrderIds, p.GuestIds = append(p.OrderIds, o.ID), append(p.GuestIds, *o.BuyerGuest)
	}
	if err := s.q.InsertOrderClaims(ctx, tx, p); err != nil {
		return fmt.Errorf("record a claim: %w", err)
	}
	n, err := s.q.ClaimOrders(ctx, tx, db.ClaimOrdersParams{AccountID: &c.AccountID, Ids: p.OrderIds})
	if err != nil {
		return fmt.Errorf("claim orders: %w", err)
	}
	if n != int64(len(orders)) {
		return fmt.Errorf("claim orders: %d of %d claimed", n, len(orders))
	}
	if err := s.q.MoveReservations(ctx, tx, db.MoveReservationsParams{AccountID: c.AccountID, Ids: p.OrderIds}); err != nil {
		return fmt.Errorf("move reservations: %w", err)
	}
	return nil
}
