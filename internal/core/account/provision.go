package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
)

// Provision makes sure, from the server's own machine, that an account exists,
// and makes an API token for it. A new account has the roles given; an existing
// one keeps its own. An empty password is one that nobody knows.
func (s *Service) Provision(ctx context.Context, email, password, tokenName string, roles []Role) (secret string, accountID uuid.UUID, _ error) {
	if password == "" {
		password, _ = id.Token("")
	}
	n, err := NewAccount{Email: email, Name: email, Password: password}.parse()
	if err != nil {
		return "", uuid.Nil, err
	}
	stored := []string{string(Attendee)}
	for _, r := range roles {
		if !slices.Contains(stored, string(r)) {
			stored = append(stored, string(r))
		}
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return "", uuid.Nil, err
	}
	a, err := s.insert(ctx, s.pool, n, hash, stored)
	switch {
	case errors.Is(err, ErrEmailTaken):
		row, err := s.q.AccountByEmail(ctx, s.pool, n.Email)
		if errors.Is(err, pgx.ErrNoRows) {
			return "", uuid.Nil, ErrNotFound
		}
		if err != nil {
			return "", uuid.Nil, fmt.Errorf("find the account: %w", err)
		}
		a.ID = row.ID
	case err != nil:
		return "", uuid.Nil, err
	}
	secret, _, err = s.NewToken(ctx, a.ID, tokenName)
	return secret, a.ID, err
}
