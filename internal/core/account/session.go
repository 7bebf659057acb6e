package account

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

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

// NewSession signs an account in without asking for its password: right after
// it was made. secret belongs into the session cookie.
func (s *Service) NewSession(ctx context.Context, accountID uuid.UUID, userAgent string) (secret string, _ Session, _ error) {
	secret, hash := id.Token(sessionPrefix)
	out := Session{ID: id.New(), UserAgent: clip(userAgent)}
	r, err := s.q.InsertSession(ctx, s.pool, db.InsertSessionParams{
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

// NewToken makes an API token. secret is shown once.
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
