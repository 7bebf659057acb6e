package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account/internal/db"
)

var linkOnce = guard.Define("account.link_once", guard.Claim, "a link from a mail signs in whoever finds it later")

// How long links in mail live, from when their mail is sent.
const (
	LinkLifetime = 15 * time.Minute
	// ReceiptLifetime is longer: nobody waits for a receipt.
	ReceiptLifetime = 24 * time.Hour
)

const linkPrefix = "lnk_"

// Link is a link in a mail. Whoever uses it has read the mail, so the address is
// theirs.
type Link struct {
	ID    uuid.UUID // of the message that carries it
	Email string
	// AccountID is the account that asked for what was bought with the address;
	// nil: the address signs in for itself.
	AccountID *uuid.UUID
}

// IssueLinkTx returns a secret for the link and when it ends. Copies of one
// message have different secrets of one link, which is used once.
func (b Book) IssueLinkTx(ctx context.Context, tx pgx.Tx, l Link, lifetime time.Duration) (secret string, expires time.Time, _ error) {
	q := db.New()
	if err := q.InsertMailLink(ctx, tx, db.InsertMailLinkParams{ID: l.ID, Email: l.Email, AccountID: l.AccountID}); err != nil {
		return "", time.Time{}, fmt.Errorf("make a link: %w", err)
	}
	expires, err := q.ExtendMailLink(ctx, tx, db.ExtendMailLinkParams{ID: l.ID, LifetimeSeconds: lifetime.Seconds()})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("make a link: %w", err)
	}
	secret, hash := id.Token(linkPrefix)
	if err := q.InsertMailLinkToken(ctx, tx, db.InsertMailLinkTokenParams{TokenHash: hash, LinkID: l.ID}); err != nil {
		return "", time.Time{}, fmt.Errorf("make a link: %w", err)
	}
	return secret, expires, nil
}

// CheckLink returns a link that could be used now and changes nothing, so that
// whatever opens links in mail by itself does not use them up. Else ErrLinkUsed,
// ErrLinkExpired or ErrLinkUnknown.
func (s *Service) CheckLink(ctx context.Context, secret string) (Link, error) {
	return readLink(ctx, s.pool, secret, linkOnce.On())
}

func readLink(ctx context.Context, q db.DBTX, secret string, once bool) (Link, error) {
	r, err := db.New().GetMailLink(ctx, q, id.Hash(secret))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Link{}, ErrLinkUnknown
	case err != nil:
		return Link{}, fmt.Errorf("read a link: %w", err)
	case r.Used && once:
		return Link{}, ErrLinkUsed
	case r.Expired:
		return Link{}, ErrLinkExpired
	}
	return Link{ID: r.ID, Email: r.Email, AccountID: r.AccountID}, nil
}

// linkMemory is how long a link that ended is still told from one that never
// was. It is longer than any mail is tried to be sent, so that no copy of a mail
// makes a used link anew.
const linkMemory = 30 * 24 * time.Hour

// PurgeLinks forgets links that ended long ago, some at a time. Any number of
// instances may do it at once.
func (s *Service) PurgeLinks(ctx context.Context) error {
	const some = 1000
	if _, err := s.q.PurgeMailLinks(ctx, s.pool, db.PurgeMailLinksParams{AfterSeconds: linkMemory.Seconds(), Max: some}); err != nil {
		return fmt.Errorf("forget old links: %w", err)
	}
	return nil
}

// UseLinkTx uses a link up. Of several uses one succeeds; the others are told
// ErrLinkUsed. It is the transaction's first lock.
func (b Book) UseLinkTx(ctx context.Context, tx pgx.Tx, secret string) (Link, error) {
	once := linkOnce.On() && !b.again
	r, err := db.New().UseMailLink(ctx, tx, db.UseMailLinkParams{TokenHash: id.Hash(secret), Once: once})
	if err == nil {
		return Link{ID: r.ID, Email: r.Email, AccountID: r.AccountID}, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Link{}, fmt.Errorf("use a link: %w", err)
	}
	if _, err := readLink(ctx, tx, secret, once); err != nil {
		return Link{}, err
	}
	return Link{}, ErrLinkExpired // between the two statements
}

// ProveTx returns the account of an address that was just proved, and makes it
// if there is none. Until an address is proved the first time, anybody may have
// made its account, with a password of their own and sessions that still live:
// so the first proof ends all of them, unless it comes from a session of that
// account itself (keep).
func (b Book) ProveTx(ctx context.Context, tx pgx.Tx, email string, keep Actor) (Account, error) {
	q := db.New()
	name, _, _ := strings.Cut(email, "@")
	err := q.InsertProvedAccount(ctx, tx, db.InsertProvedAccountParams{ID: id.New(), Email: email, Name: name})
	if err != nil {
		return Account{}, fmt.Errorf("make an account: %w", err)
	}
	r, err := q.LockAccount(ctx, tx, email)
	if err != nil {
		return Account{}, fmt.Errorf("read an account: %w", err)
	}
	if r.ClosedAt != nil {
		return Account{}, ErrClosed
	}
	a := Account{ID: r.ID, Email: r.Email, Name: r.Name, Roles: toRoles(r.Roles), CreatedAt: r.CreatedAt}
	if r.ProvedAt != nil {
		return a, nil
	}
	own := keep.SessionID != uuid.Nil && keep.AccountID == a.ID
	if err := q.Prove(ctx, tx, db.ProveParams{ID: a.ID, Keep: own}); err != nil {
		return Account{}, fmt.Errorf("prove an address: %w", err)
	}
	if own {
		return a, nil
	}
	if err := q.RevokeSessions(ctx, tx, db.RevokeSessionsParams{AccountID: a.ID}); err != nil {
		return Account{}, fmt.Errorf("end earlier sessions: %w", err)
	}
	if err := q.RevokeTokens(ctx, tx, a.ID); err != nil {
		return Account{}, fmt.Errorf("revoke earlier tokens: %w", err)
	}
	return a, nil
}

// SessionTx signs an account in whose address was proved in this transaction.
func (b Book) SessionTx(ctx context.Context, tx pgx.Tx, accountID uuid.UUID, userAgent string) (secret string, _ Session, _ error) {
	return newSession(ctx, tx, accountID, userAgent)
}

// ClaimGuestTx makes a guest session an account's: its secret stands for nobody
// from then on, and no order is made under it any more. The zero id says that
// there was nothing to claim. It waits for orders that are being made.
func (b Book) ClaimGuestTx(ctx context.Context, tx pgx.Tx, secret string, accountID uuid.UUID) (uuid.UUID, error) {
	guestID, err := db.New().ClaimGuest(ctx, tx, db.ClaimGuestParams{TokenHash: id.Hash(secret), AccountID: &accountID})
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("claim a guest session: %w", err)
	}
	return guestID, nil
}

// SetPassword gives who has signed in another password and ends their other
// sessions. current may be empty for an account that has none.
// ErrWrongCredentials, ErrInvalid.
func (s *Service) SetPassword(ctx context.Context, who Actor, current, next string) error {
	r, err := s.q.PasswordOf(ctx, s.pool, who.AccountID)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	if wrong := checkPassword(next, r.Email); wrong != "" {
		return ErrInvalid.WithFields(problem.Field{Name: "password", Detail: wrong})
	}
	if r.PasswordHash != "" {
		if _, _, err := s.verify(ctx, r.Email, current); err != nil {
			return err
		}
	}
	hash, err := s.hasher.hash(ctx, next)
	if err != nil {
		return err
	}
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		n, err := s.q.SetPassword(ctx, tx, db.SetPasswordParams{ID: who.AccountID, Current: r.PasswordHash, Next: hash})
		if err != nil {
			return fmt.Errorf("set the password: %w", err)
		}
		if n == 0 {
			return ErrWrongCredentials // it became another one meanwhile
		}
		if err := s.q.RevokeSessions(ctx, tx, db.RevokeSessionsParams{AccountID: who.AccountID, Keep: who.SessionID}); err != nil {
			return fmt.Errorf("end other sessions: %w", err)
		}
		return nil
	})
}
