package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
)

// Provision is for whoever runs the machine, not for requests: it makes an API
// token for the account with this address and, where there is none, the account
// first, with any roles. An empty password becomes one that nobody knows. The
// password and roles of an account that exists stay as they are. It may run
// twice: each run makes one more token.
func (s *Service) Provision(ctx context.Context, email, password, tokenName string, roles []Role) (secret string, accountID uuid.UUID, _ error) {
	email, err := ParseEmail(email)
	if err != nil {
		return "", uuid.Nil, err
	}
	known, err := s.q.AccountByEmail(ctx, s.pool, email)
	accountID = known.ID
	if errors.Is(err, pgx.ErrNoRows) {
		accountID, err = s.provisionAccount(ctx, email, password, roles)
	}
	if errors.Is(err, ErrEmailTaken) { // by another run at the same moment
		known, err = s.q.AccountByEmail(ctx, s.pool, email)
		accountID = known.ID
	}
	if err != nil {
		return "", uuid.Nil, fmt.Errorf("provision %s: %w", email, err)
	}
	secret, _, err = s.NewToken(ctx, accountID, tokenName)
	return secret, accountID, err
}

func (s *Service) provisionAccount(ctx context.Context, email, password string, roles []Role) (uuid.UUID, error) {
	if password == "" {
		password, _ = id.Token("")
	}
	name, _, _ := strings.Cut(email, "@")
	n, err := NewAccount{Email: email, Name: name, Password: password}.parse()
	if err != nil {
		return uuid.Nil, err
	}
	stored := []string{string(Attendee)}
	for _, r := range roles {
		switch r {
		case Attendee, Creator, Operator:
		default:
			return uuid.Nil, ErrInvalid.WithFields(problem.Field{Name: "roles", Detail: "A role is attendee, creator or operator."})
		}
		if !slices.Contains(stored, string(r)) {
			stored = append(stored, string(r))
		}
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return uuid.Nil, err
	}
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (uuid.UUID, error) {
		a, err := s.insert(ctx, tx, n, hash, stored, true)
		if err != nil {
			return uuid.Nil, err
		}
		_, err = Book{}.AuditTx(ctx, tx, Audit{
			AccountID: a.ID, Action: "account.provision", Subject: "account:" + a.ID.String(), Detail: map[string]any{"roles": stored},
		})
		return a.ID, err
	})
}
