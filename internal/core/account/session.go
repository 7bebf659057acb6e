package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account/internal/db"
)

// Session is a browser's sign-in.
type Session struct {
	ID        uuid.UUID
	UserAgent string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Token is an API token, without its secret.
type Token struct {
	ID        uuid.UUID
	Name      string
	CreatedAt time.Time
}

// NewSession signs an account in for whoever runs the machine, who asks nobody
// for a password. secret belongs into the session cookie.
func (s *Service) NewSession(ctx context.Context, accountID uuid.UUID, userAgent string) (secret string, _ Session, _ error) {
	return newSession(ctx, s.pool, accountID, userAgent)
}

func newSession(ctx context.Context, q db.DBTX, accountID uuid.UUID, userAgent string) (secret string, _ Session, _ error) {
	secret, hash := id.Token(sessionPrefix)
	out := Session{ID: id.New(), UserAgent: clip(userAgent)}
	r, err := db.New().InsertSession(ctx, q, db.InsertSessionParams{
		ID: out.ID, AccountID: accountID, TokenHash: hash, UserAgent: out.UserAgent, LifetimeSeconds: SessionLifetime.Seconds(),
	})
	if err != nil {
		return "", Session{}, fmt.Errorf("start the session: %w", err)
	}
	out.CreatedAt, out.ExpiresAt = r.CreatedAt, r.ExpiresAt
	return secret, out, nil
}

// Sessions lists at most limit live sessions made before the one named, newest
// first. uuid.Max begins.
func (s *Service) Sessions(ctx context.Context, accountID, before uuid.UUID, limit int) ([]Session, error) {
	rows, err := s.q.Sessions(ctx, s.pool, db.SessionsParams{AccountID: accountID, Before: before, Count: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	out := make([]Session, len(rows))
	for i, r := range rows {
		out[i] = Session(r)
	}
	return out, nil
}

// RevokeSession ends a session of the account, or says ErrNotFound.
func (s *Service) RevokeSession(ctx context.Context, accountID, sessionID uuid.UUID) error {
	return ended(s.q.RevokeSession(ctx, s.pool, db.RevokeSessionParams{ID: sessionID, AccountID: accountID}))
}

// NewTokenOf makes an API token for who has signed in. secret is shown once.
// ErrNotFound says that the session has ended meanwhile.
func (s *Service) NewTokenOf(ctx context.Context, who Actor, name string) (secret string, _ Token, _ error) {
	name, wrong := parseName(name, maxName)
	if wrong != "" {
		return "", Token{}, ErrInvalid.WithFields(problem.Field{Name: "name", Detail: wrong})
	}
	secret, hash := id.Token(TokenPrefix)
	t := Token{ID: id.New(), Name: name}
	var err error
	t.CreatedAt, err = s.q.InsertTokenOf(ctx, s.pool, db.InsertTokenOfParams{
		ID: t.ID, AccountID: who.AccountID, SessionID: who.SessionID, Name: name, TokenHash: hash,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", Token{}, ErrNotFound
	}
	if err != nil {
		return "", Token{}, fmt.Errorf("make the token: %w", err)
	}
	return secret, t, nil
}

// NewToken makes an API token for whoever runs the machine. secret is shown once.
func (s *Service) NewToken(ctx context.Context, accountID uuid.UUID, name string) (secret string, _ Token, _ error) {
	name, wrong := parseName(name, maxName)
	if wrong != "" {
		return "", Token{}, ErrInvalid.WithFields(problem.Field{Name: "name", Detail: wrong})
	}
	secret, hash := id.Token(TokenPrefix)
	t := Token{ID: id.New(), Name: name}
	var err error
	t.CreatedAt, err = s.q.InsertToken(ctx, s.pool, db.InsertTokenParams{ID: t.ID, AccountID: accountID, Name: name, TokenHash: hash})
	if err != nil {
		return "", Token{}, fmt.Errorf("make the token: %w", err)
	}
	return secret, t, nil
}

// Tokens lists at most limit live tokens made before the one named, newest
// first. uuid.Max begins.
func (s *Service) Tokens(ctx context.Context, accountID, before uuid.UUID, limit int) ([]Token, error) {
	rows, err := s.q.Tokens(ctx, s.pool, db.TokensParams{AccountID: accountID, Before: before, Count: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list the tokens: %w", err)
	}
	out := make([]Token, len(rows))
	for i, r := range rows {
		out[i] = Token(r)
	}
	return out, nil
}

// RevokeToken ends a token of the account, or says ErrNotFound.
func (s *Service) RevokeToken(ctx context.Context, accountID, tokenID uuid.UUID) error {
	return ended(s.q.RevokeToken(ctx, s.pool, db.RevokeTokenParams{ID: tokenID, AccountID: accountID}))
}

func ended(rows int64, err error) error {
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if rows == 0 {
		return ErrNotFound
	}
	return nil
}
