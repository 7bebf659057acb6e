package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account/internal/db"
)

// EnsureSetupLink returns the secret of a new link for the first operator, or
// nothing if there is or was an operator. Each call makes a link of its own,
// since only its hash is kept; a link lives SetupLifetime.
func (s *Service) EnsureSetupLink(ctx context.Context) (secret string, err error) {
	exists, err := s.q.HasOperator(ctx, s.pool)
	if err != nil {
		return "", fmt.Errorf("look for an operator: %w", err)
	}
	if exists {
		return "", nil
	}
	if err := s.q.DeleteStaleSetupLinks(ctx, s.pool); err != nil {
		return "", fmt.Errorf("delete stale setup links: %w", err)
	}
	secret, hash := id.Token(setupPrefix)
	if err := s.q.InsertSetupLink(ctx, s.pool, db.InsertSetupLinkParams{TokenHash: hash, LifetimeSeconds: SetupLifetime.Seconds()}); err != nil {
		return "", fmt.Errorf("make the setup link: %w", err)
	}
	return secret, nil
}

// CheckSetupLink says ErrSetupLink if the link could not be used now.
func (s *Service) CheckSetupLink(ctx context.Context, secret string) error {
	open, err := s.q.SetupLinkOpen(ctx, s.pool, id.Hash(secret))
	if err != nil {
		return fmt.Errorf("read the setup link: %w", err)
	}
	if !open {
		return ErrSetupLink
	}
	return nil
}

// UseSetupLink makes the first operator: a new account, or the existing one
// with this address if the password is its own. Exactly one use of one link
// succeeds; all others get ErrSetupLink. A link whose use fails stays usable.
func (s *Service) UseSetupLink(ctx context.Context, secret string, n NewAccount) (Account, error) {
	n, err := n.parse()
	if err != nil {
		return Account{}, err
	}
	// Strangers without a link are not worth a hash.
	if err := s.CheckSetupLink(ctx, secret); err != nil {
		return Account{}, err
	}
	known, err := s.q.AccountByEmail(ctx, s.pool, n.Email)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Account{}, fmt.Errorf("read the account: %w", err)
	}
	var existing *Account
	var hash string
	if known.ID != uuid.Nil {
		a, _, err := s.verify(ctx, n.Email, n.Password)
		if err != nil {
			return Account{}, err
		}
		existing = &a
	} else if hash, err = s.hasher.hash(ctx, n.Password); err != nil {
		return Account{}, err
	}

	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Account, error) {
		claimed, err := s.q.ClaimSetupLink(ctx, tx, id.Hash(secret))
		if pg.IsUnique(err, pg.UqSetupLinkUsed) {
			return Account{}, ErrSetupLink
		}
		if err != nil {
			return Account{}, fmt.Errorf("claim the setup link: %w", err)
		}
		exists, err := s.q.HasOperator(ctx, tx)
		if err != nil {
			return Account{}, fmt.Errorf("look for an operator: %w", err)
		}
		if claimed == 0 || exists {
			return Account{}, ErrSetupLink
		}
		a, err := s.makeOperator(ctx, tx, existing, n, hash)
		if err != nil {
			return Account{}, err
		}
		_, err = Book{}.AuditTx(ctx, tx, Audit{AccountID: a.ID, Action: "setup.first_operator", Subject: "account:" + a.ID.String()})
		return a, err
	})
}

func (s *Service) makeOperator(ctx context.Context, tx pgx.Tx, existing *Account, n NewAccount, hash string) (Account, error) {
	if existing == nil {
		return s.insert(ctx, tx, n, hash, []string{string(Attendee), string(Creator), string(Operator)}, true)
	}
	a := *existing
	rows, err := s.q.AddRole(ctx, tx, db.AddRoleParams{ID: a.ID, Role: string(Operator)})
	if err != nil {
		return Account{}, fmt.Errorf("make the account an operator: %w", err)
	}
	if rows == 0 {
		return Account{}, ErrNotFound // closed meanwhile
	}
	a.Roles = append(a.Roles, Operator)
	return a, nil
}
