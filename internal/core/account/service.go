package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account/internal/db"
)

// How long things last.
const (
	SessionLifetime = 30 * 24 * time.Hour
	// GuestLifetime is long, for a guest's purchases hang on it.
	GuestLifetime = 365 * 24 * time.Hour
	SetupLifetime = 24 * time.Hour
)

// Service is the accounts of one database.
type Service struct {
	pool   *pgxpool.Pool
	q      *db.Queries
	hasher *hasher
}

// New serves the accounts in pool's database.
func New(pool *pgxpool.Pool) *Service {
	return &Service{pool: pool, q: db.New(), hasher: newHasher()}
}

// Account is a person who signed up.
type Account struct {
	ID        uuid.UUID
	Email     string
	Name      string
	Roles     []Role
	CreatedAt time.Time
}

// SignUp makes an account. ErrInvalid names the fields that are wrong;
// ErrEmailTaken says that the address has an account already.
func (s *Service) SignUp(ctx context.Context, n NewAccount) (Account, error) {
	n, err := n.parse()
	if err != nil {
		return Account{}, err
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return Account{}, err
	}
	return s.insert(ctx, s.pool, n, hash, n.roles(), false)
}

// insert makes an account. proved says that the address is known to be its
// holder's without a mail.
func (s *Service) insert(ctx context.Context, q db.DBTX, n NewAccount, hash string, roles []string, proved bool) (Account, error) {
	a := Account{ID: id.New(), Email: n.Email, Name: n.Name, Roles: toRoles(roles)}
	var err error
	a.CreatedAt, err = s.q.InsertAccount(ctx, q, db.InsertAccountParams{
		ID: a.ID, Email: a.Email, Name: a.Name, PasswordHash: hash, Roles: roles, Proved: proved,
	})
	if pg.IsUnique(err, pg.UqAccountEmail) {
		return Account{}, ErrEmailTaken
	}
	if err != nil {
		return Account{}, fmt.Errorf("insert the account: %w", err)
	}
	return a, nil
}

// Account returns an account that is not closed, or ErrNotFound.
func (s *Service) Account(ctx context.Context, accountID uuid.UUID) (Account, error) {
	r, err := s.q.AccountByID(ctx, s.pool, accountID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, ErrNotFound
	}
	if err != nil {
		return Account{}, fmt.Errorf("read the account: %w", err)
	}
	return Account{ID: r.ID, Email: r.Email, Name: r.Name, Roles: toRoles(r.Roles), CreatedAt: r.CreatedAt}, nil
}

// Exists reports whether an address, in stored form, has an account that is not
// closed. Only the holder of the address may learn that.
func (s *Service) Exists(ctx context.Context, email string) (bool, error) {
	ok, err := s.q.AccountExists(ctx, s.pool, email)
	if err != nil {
		return false, fmt.Errorf("look for the account: %w", err)
	}
	return ok, nil
}

// SignIn checks a password and starts a session. ErrWrongCredentials takes the
// same time whether the address is known or not.
func (s *Service) SignIn(ctx context.Context, email, password, userAgent string) (secret string, _ Session, _ Account, _ error) {
	a, hash, err := s.verify(ctx, email, password)
	if err != nil {
		return "", Session{}, Account{}, err
	}
	secret, tokenHash := id.Token(sessionPrefix)
	session := Session{ID: id.New(), UserAgent: clip(userAgent)}
	r, err := s.q.InsertSessionOf(ctx, s.pool, db.InsertSessionOfParams{
		ID: session.ID, AccountID: a.ID, PasswordHash: hash, TokenHash: tokenHash, UserAgent: session.UserAgent,
		LifetimeSeconds: SessionLifetime.Seconds(),
	})
	if errors.Is(err, pgx.ErrNoRows) { // the password ended while it was checked
		return "", Session{}, Account{}, ErrWrongCredentials
	}
	if err != nil {
		return "", Session{}, Account{}, fmt.Errorf("start the session: %w", err)
	}
	session.CreatedAt, session.ExpiresAt = r.CreatedAt, r.ExpiresAt
	return secret, session, a, nil
}

// verify returns the account whose password this is, and the hash that said so.
func (s *Service) verify(ctx context.Context, email, password string) (_ Account, hash string, _ error) {
	// Longer than any password can be: hashing it would only be work.
	if len(password) > 4*maxPassword {
		return Account{}, "", ErrWrongCredentials
	}
	// An address of the wrong shape takes the same way as an unknown one.
	address, _ := parseEmail(email)
	r, err := s.q.AccountByEmail(ctx, s.pool, address)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Account{}, "", fmt.Errorf("read the account: %w", err)
	}
	ok, err := s.hasher.check(ctx, password, r.PasswordHash)
	if err != nil {
		return Account{}, "", err
	}
	if !ok || r.PasswordHash == "" {
		return Account{}, "", ErrWrongCredentials
	}
	return Account{ID: r.ID, Email: r.Email, Name: r.Name, Roles: toRoles(r.Roles), CreatedAt: r.CreatedAt}, r.PasswordHash, nil
}

// Resolve finds out who sends these credentials. A bearer token that is not
// valid is ErrBearer; a cookie that is not valid is no cookie.
func (s *Service) Resolve(ctx context.Context, c Credentials) (Actor, error) {
	switch {
	case strings.HasPrefix(c.Bearer, TokenPrefix):
		return orBearer(s.tokenActor(ctx, c.Bearer))
	case strings.HasPrefix(c.Bearer, GuestPrefix):
		return orBearer(s.guestActor(ctx, c.Bearer))
	case c.Bearer != "":
		return Actor{}, ErrBearer
	}
	if strings.HasPrefix(c.Session, sessionPrefix) {
		if a, err := s.sessionActor(ctx, c.Session); err != nil || a.Known() {
			return a, err
		}
	}
	if strings.HasPrefix(c.Guest, GuestPrefix) {
		return s.guestActor(ctx, c.Guest)
	}
	return Actor{}, nil
}

func orBearer(a Actor, err error) (Actor, error) {
	if err == nil && !a.Known() {
		return Actor{}, ErrBearer
	}
	return a, err
}

func (s *Service) sessionActor(ctx context.Context, secret string) (Actor, error) {
	r, err := s.q.SessionActor(ctx, s.pool, id.Hash(secret))
	if err != nil {
		return nobody(err)
	}
	a := accountActor(r.ID, r.Email, r.Name, r.Roles)
	a.SessionID = r.SessionID
	return a, nil
}

func (s *Service) tokenActor(ctx context.Context, secret string) (Actor, error) {
	r, err := s.q.TokenActor(ctx, s.pool, id.Hash(secret))
	if err != nil {
		return nobody(err)
	}
	return accountActor(r.ID, r.Email, r.Name, r.Roles), nil
}

func (s *Service) guestActor(ctx context.Context, secret string) (Actor, error) {
	guestID, err := s.q.GuestActor(ctx, s.pool, id.Hash(secret))
	if err != nil {
		return nobody(err)
	}
	return Actor{Kind: KindGuest, ID: guestID}, nil
}

func nobody(err error) (Actor, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return Actor{}, nil
	}
	return Actor{}, fmt.Errorf("find out who sends the request: %w", err)
}

func accountActor(accountID uuid.UUID, email, name string, roles []string) Actor {
	return Actor{Kind: KindAccount, ID: accountID, AccountID: accountID, Roles: toRoles(roles), Name: name, Email: email}
}

// Guest is a buyer without an account.
type Guest struct {
	ID        uuid.UUID
	ExpiresAt time.Time
}

// NewGuest starts a guest session; secret is its bearer token.
func (s *Service) NewGuest(ctx context.Context) (secret string, _ Guest, _ error) {
	secret, hash := id.Token(GuestPrefix)
	g := Guest{ID: id.New()}
	var err error
	g.ExpiresAt, err = s.q.InsertGuest(ctx, s.pool, db.InsertGuestParams{
		ID: g.ID, TokenHash: hash, LifetimeSeconds: GuestLifetime.Seconds(),
	})
	if err != nil {
		return "", Guest{}, fmt.Errorf("start the guest session: %w", err)
	}
	return secret, g, nil
}
