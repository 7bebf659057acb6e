package people

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
)

// ErrNoReceipt says that an order has no receipt to send again.
var ErrNoReceipt = problem.Define(problem.Conflict, "order.no_receipt", "There is no receipt to send",
	"A receipt goes out once an order is paid, to the address that was given with it. This one is not paid, or no address was given. Nothing was sent.")

var (
	afterOrders = faultpoint.Define("people.after_orders", "the orders are the account's, their grants are still the guest's")
	afterGrants = faultpoint.Define("people.after_grants", "orders and grants have moved, nothing is committed")
)

// Service signs people in by mail and moves what they bought.
type Service struct {
	pool     *pgxpool.Pool
	accounts account.Book
	orders   order.Store
	grants   entitlement.Store
	outbox   outbox.Store
}

// New returns a Service whose messages go out through o.
func New(pool *pgxpool.Pool, o outbox.Store) *Service { return &Service{pool: pool, outbox: o} }

// AskToSignIn has a link mailed that signs the address in. account.ErrInvalid if
// it is no address.
func (s *Service) AskToSignIn(ctx context.Context, email string) error {
	return s.ask(ctx, outbox.Message{Kind: outbox.MagicLink, Recipient: email})
}

// FindPurchases has a mail sent that says what was bought with the address, with
// a link to it. account.ErrInvalid.
func (s *Service) FindPurchases(ctx context.Context, email string) error {
	return s.ask(ctx, outbox.Message{Kind: outbox.FindPurchase, Recipient: email})
}

// AskToClaim has a link mailed to another address of the account's holder; used
// from the account, it moves there what guests bought with that address.
// account.ErrInvalid.
func (s *Service) AskToClaim(ctx context.Context, accountID uuid.UUID, email string) error {
	return s.ask(ctx, outbox.Message{Kind: outbox.Claim, Recipient: email, AccountID: &accountID})
}

func (s *Service) ask(ctx context.Context, m outbox.Message) error {
	email, err := account.ParseEmail(m.Recipient)
	if err != nil {
		return err
	}
	m.Recipient = email
	_, err = s.outbox.Queue(ctx, s.pool, m)
	return err
}

// SendReceipt has the receipt of an order mailed once more, to the address that
// it went to. Whose order it is, is the caller's to check. ErrNoReceipt.
func (s *Service) SendReceipt(ctx context.Context, o order.Order) error {
	if o.PaidAt == nil || o.Email == "" {
		return ErrNoReceipt
	}
	_, err := s.outbox.Queue(ctx, s.pool, outbox.Message{Kind: outbox.ReceiptAgain, OrderID: o.ID, Recipient: o.Email})
	return err
}

// Entered is what using a link led to.
type Entered struct {
	Account account.Account
	// Secret is that of the new session; empty when the link was one by which an
	// account claims purchases, whose session goes on.
	Secret  string
	Session account.Session
	Orders  int  // that moved to the account
	Guest   bool // the guest session was claimed: its cookie is of no more use
}

// UseLink uses a link from a mail: it signs in, or claims for who is signed in.
// guest is the secret of the browser's guest session, empty for none. Else
// account.ErrLinkUsed, ErrLinkExpired, ErrLinkUnknown, ErrLinkOther, ErrClosed.
func (s *Service) UseLink(ctx context.Context, secret, guest string, who account.Actor, userAgent string) (Entered, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Entered, error) {
		link, err := s.accounts.UseLinkTx(ctx, tx, secret)
		if err != nil {
			return Entered{}, err
		}
		var out Entered
		switch {
		case link.AccountID == nil:
			if out.Account, err = s.accounts.ProveTx(ctx, tx, link.Email, who); err != nil {
				return Entered{}, err
			}
			if out.Secret, out.Session, err = s.accounts.SessionTx(ctx, tx, out.Account.ID, userAgent); err != nil {
				return Entered{}, err
			}
		case who.SessionID == uuid.Nil || who.AccountID != *link.AccountID:
			return Entered{}, account.ErrLinkOther
		default:
			out.Account = account.Account{ID: who.AccountID, Email: who.Email, Name: who.Name, Roles: who.Roles}
		}
		out.Orders, out.Guest, err = s.move(ctx, tx, out.Account.ID, &link, guest)
		return out, err
	})
}

// ClaimGuest moves what a guest session bought to an account. guest is its
// secret, which is of no use afterwards. It returns how many orders moved, and
// whether the secret was that of a guest session at all: one that was claimed
// before moves nothing.
func (s *Service) ClaimGuest(ctx context.Context, accountID uuid.UUID, guest string) (orders int, claimed bool, err error) {
	if guest == "" {
		return 0, false, nil
	}
	type result struct {
		orders  int
		claimed bool
	}
	r, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (r result, err error) {
		r.orders, r.claimed, err = s.move(ctx, tx, accountID, nil, guest)
		return r, err
	})
	return r.orders, r.claimed, err
}

// move makes the account's what the link's address and the guest session bought.
func (s *Service) move(ctx context.Context, tx pgx.Tx, accountID uuid.UUID, link *account.Link, guest string) (orders int, claimed bool, err error) {
	var guestID uuid.UUID
	if guest != "" {
		if guestID, err = s.accounts.ClaimGuestTx(ctx, tx, guest, accountID); err != nil {
			return 0, false, err
		}
	}
	var ids []uuid.UUID
	if guestID != uuid.Nil {
		if ids, err = s.orders.OfGuest(ctx, tx, guestID); err != nil {
			return 0, false, err
		}
	}
	if link != nil {
		mailed, err := s.orders.OfEmail(ctx, tx, link.Email)
		if err != nil {
			return 0, false, err
		}
		ids = append(ids, mailed...)
	}
	claimed = guestID != uuid.Nil
	if len(ids) == 0 {
		return 0, claimed, nil
	}
	facts, err := s.orders.LockTx(ctx, tx, ids)
	if err != nil {
		return 0, false, err
	}
	var byMail, byGuest []order.Order
	for _, f := range facts {
		switch {
		case f.Order.BuyerGuest == nil: // claimed while we waited
		case guestID != uuid.Nil && f.Order.BuyerID == guestID:
			byGuest = append(byGuest, f.Order)
		default:
			byMail = append(byMail, f.Order)
		}
	}
	var moves []entitlement.Move
	claim := order.Claim{ID: id.New(), AccountID: accountID}
	for _, part := range []struct {
		orders []order.Order
		proof  order.Proof
	}{{byMail, order.ProofMail}, {byGuest, order.ProofGuest}} {
		if len(part.orders) == 0 {
			continue
		}
		claim.Proof, claim.ProofID = part.proof, guestID
		if part.proof == order.ProofMail {
			claim.ProofID = link.ID
		}
		if err := s.orders.ClaimTx(ctx, tx, part.orders, claim); err != nil {
			return 0, false, err
		}
		for _, o := range part.orders {
			moves = append(moves, entitlement.Move{OrderID: o.ID, EventID: o.EventID, From: o.BuyerID})
		}
	}
	if len(moves) == 0 {
		return 0, claimed, nil
	}
	if err := afterOrders.Hit(); err != nil {
		return 0, false, err
	}
	if err := s.grants.ClaimTx(ctx, tx, moves, accountID, claim.ID); err != nil {
		return 0, false, fmt.Errorf("move grants: %w", err)
	}
	return len(moves), claimed, afterGrants.Hit()
}
