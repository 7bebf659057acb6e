package account

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/testkit/pgtest"
)

const password = "correct horse battery"

// service is a Service on a database of its own, with hashing that costs little.
func service(t *testing.T) *Service {
	t.Helper()
	return serviceOn(pgtest.New(t))
}

func serviceOn(database *pgtest.DB) *Service {
	s := New(database.Pool)
	s.hasher = hasherOf(argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}, 4, time.Minute)
	return s
}

func signUp(t *testing.T, s *Service, email string) Account {
	t.Helper()
	a, err := s.SignUp(t.Context(), NewAccount{Email: email, Name: "Ada", Password: password})
	require.NoError(t, err)
	return a
}

func exec(t *testing.T, s *Service, sql string, args ...any) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func count(t *testing.T, s *Service, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func TestSignUpAndIn(t *testing.T) {
	t.Parallel()
	s := service(t)
	a, err := s.SignUp(t.Context(), NewAccount{Email: "  Ada@Example.COM ", Name: " Ada Lovelace ", Password: password, Creator: true})
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", a.Email)
	require.Equal(t, "Ada Lovelace", a.Name)
	require.Equal(t, []Role{Attendee, Creator}, a.Roles)
	require.WithinDuration(t, time.Now(), a.CreatedAt, time.Minute)

	again, err := s.Account(t.Context(), a.ID)
	require.NoError(t, err)
	require.Equal(t, a.Email, again.Email)

	var stored string
	require.NoError(t, s.pool.QueryRow(t.Context(), "SELECT password_hash FROM accounts").Scan(&stored))
	require.True(t, strings.HasPrefix(stored, "$argon2id$"), stored)

	secret, session, in, err := s.SignIn(t.Context(), "ADA@example.com", password, "a browser\x00\n")
	require.NoError(t, err)
	require.Equal(t, a.ID, in.ID)
	require.Equal(t, "a browser", session.UserAgent)
	require.WithinDuration(t, time.Now().Add(SessionLifetime), session.ExpiresAt, time.Minute)

	actor, err := s.Resolve(t.Context(), Credentials{Session: secret})
	require.NoError(t, err)
	require.Equal(t, Actor{
		Kind: KindAccount, ID: a.ID, AccountID: a.ID, Roles: []Role{Attendee, Creator},
		Name: "Ada Lovelace", Email: "ada@example.com", SessionID: session.ID,
	}, actor)
	require.True(t, actor.Has(Creator))
	require.False(t, actor.Has(Operator))
}

func TestOneAddressOneAccount(t *testing.T) {
	t.Parallel()
	s := service(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.SignUp(t.Context(), NewAccount{Email: []string{"ada@example.com", "ADA@EXAMPLE.COM"}[i%2], Name: "Ada", Password: password})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, ErrEmailTaken)
	}
	require.Equal(t, 1, won)
	require.Equal(t, 1, count(t, s, "SELECT count(*) FROM accounts"))
}

func TestSignUpNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	s := service(t)
	good := NewAccount{Email: "ada@example.com", Name: "Ada", Password: password}
	for name, tc := range map[string]struct {
		form   NewAccount
		fields []string
	}{
		"nothing":                 {NewAccount{}, []string{"email", "name", "password"}},
		"no at":                   {NewAccount{Email: "ada.example.com", Name: "A", Password: password}, []string{"email"}},
		"two ats":                 {NewAccount{Email: "a@b@example.com", Name: "A", Password: password}, []string{"email"}},
		"no dot":                  {NewAccount{Email: "a@example", Name: "A", Password: password}, []string{"email"}},
		"display name":            {NewAccount{Email: "Ada <a@example.com>", Name: "A", Password: password}, []string{"email"}},
		"header injection":        {NewAccount{Email: "a@example.com\r\nBcc: b@example.com", Name: "A", Password: password}, []string{"email"}},
		"letters that look alike": {NewAccount{Email: "аda@example.com", Name: "A", Password: password}, []string{"email"}},
		"long local part":         {NewAccount{Email: strings.Repeat("a", 65) + "@example.com", Name: "A", Password: password}, []string{"email"}},
		"long address":            {NewAccount{Email: "a@" + strings.Repeat("a.", 130) + "example.com", Name: "A", Password: password}, []string{"email"}},
		"NUL in the name":         {NewAccount{Email: good.Email, Name: "A\x00da", Password: password}, []string{"name"}},
		"broken UTF-8":            {NewAccount{Email: good.Email, Name: "A\xff", Password: password}, []string{"name"}},
		"long name":               {NewAccount{Email: good.Email, Name: strings.Repeat("ü", 101), Password: password}, []string{"name"}},
		"short password":          {NewAccount{Email: good.Email, Name: "A", Password: "ninechars"}, []string{"password"}},
		"long password":           {NewAccount{Email: good.Email, Name: "A", Password: strings.Repeat("x", 201)}, []string{"password"}},
		"the address as password": {NewAccount{Email: good.Email, Name: "A", Password: "Ada@Example.com"}, []string{"password"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.SignUp(t.Context(), tc.form)
			require.ErrorIs(t, err, ErrInvalid)
			var fields []string
			for _, f := range problem.As(err).Fields {
				fields = append(fields, f.Name)
			}
			require.Equal(t, tc.fields, fields)
		})
	}
	require.Zero(t, count(t, s, "SELECT count(*) FROM accounts"))
	for _, email := range []string{"o'brien+photos@mail.example.co.uk", "a@xn--bcher-kva.example", "{x}_y@1.example.com"} {
		_, err := ParseEmail(email)
		require.NoError(t, err, email)
	}
	for _, email := range []string{"\u212aate@example.com", "\u0130da@example.com"} {
		_, err := ParseEmail(email)
		require.ErrorIs(t, err, ErrInvalid, "its small letters are another address: %s", email)
	}
}

func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	s := service(t)
	signUp(t, s, "ada@example.com")
	closed := signUp(t, s, "closed@example.com")
	exec(t, s, "UPDATE accounts SET closed_at = app_now() WHERE id = $1", closed.ID)

	attempts := map[string][2]string{
		"wrong password":      {"ada@example.com", "wrong horse battery"},
		"unknown address":     {"nobody@example.com", password},
		"no address at all":   {"not an address", password},
		"closed account":      {"closed@example.com", password},
		"empty password":      {"ada@example.com", ""},
		"NUL in the address":  {"ada@example.com\x00", password},
		"NUL in the password": {"ada@example.com", password + "\x00"},
	}
	for name, a := range attempts {
		_, _, _, err := s.SignIn(t.Context(), a[0], a[1], "")
		require.Equal(t, ErrWrongCredentials, err, name)
	}
	_, _, _, err := s.SignIn(t.Context(), "ada@example.com", strings.Repeat("x", 1<<20), "")
	require.Equal(t, ErrWrongCredentials, err)
	require.Zero(t, count(t, s, "SELECT count(*) FROM sessions"))

	// Each of them pays for a hash: with no slot free, none can answer.
	s.hasher = hasherOf(s.hasher.params, 1, time.Millisecond)
	s.hasher.slots <- struct{}{}
	for name, a := range attempts {
		_, _, _, err := s.SignIn(t.Context(), a[0], a[1], "")
		require.ErrorIs(t, err, ErrBusy, name)
	}
}

func TestHashing(t *testing.T) {
	t.Parallel()
	h := newHasher()
	params, _, _, err := argon2id.DecodeHash(h.nobody)
	require.NoError(t, err)
	require.Equal(t, h.params, *params, "an unknown address costs what a known one costs")
	require.GreaterOrEqual(t, params.Memory, uint32(19*1024))

	stored, err := h.hash(t.Context(), password)
	require.NoError(t, err)
	for pw, want := range map[string]bool{password: true, "other": false} {
		ok, err := h.check(t.Context(), pw, stored)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	ok, err := h.check(t.Context(), password, "")
	require.NoError(t, err)
	require.False(t, ok)

	// All slots taken: a call waits, then says that it is busy; a caller that
	// goes away is let go.
	h = hasherOf(h.params, 2, time.Millisecond)
	h.slots <- struct{}{}
	h.slots <- struct{}{}
	_, err = h.hash(t.Context(), password)
	require.ErrorIs(t, err, ErrBusy)
	require.Positive(t, problem.As(err).RetryAfter)
	h.patience = time.Hour
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.check(gone, password, stored)
	require.ErrorIs(t, err, context.Canceled)
	<-h.slots
	_, err = h.hash(t.Context(), password)
	require.NoError(t, err)
	require.Len(t, h.slots, 1, "the slot was given back")
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := service(t)
	ada, bob := signUp(t, s, "ada@example.com"), signUp(t, s, "bob@example.com")
	var secrets []string
	var made []Session
	for range 3 {
		secret, session, err := s.NewSession(t.Context(), ada.ID, strings.Repeat("ü", 300))
		require.NoError(t, err)
		secrets, made = append(secrets, secret), append(made, session)
	}
	require.Zero(t, count(t, s, "SELECT count(*) FROM sessions WHERE token_hash = $1", []byte(secrets[0])))

	page, err := s.Sessions(t.Context(), ada.ID, uuid.Max, 2)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{made[2].ID, made[1].ID}, []uuid.UUID{page[0].ID, page[1].ID})
	page, err = s.Sessions(t.Context(), ada.ID, page[1].ID, 2)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, made[0], page[0])

	require.ErrorIs(t, s.RevokeSession(t.Context(), bob.ID, made[0].ID), ErrNotFound, "another account's")
	require.NoError(t, s.RevokeSession(t.Context(), ada.ID, made[0].ID))
	require.ErrorIs(t, s.RevokeSession(t.Context(), ada.ID, made[0].ID), ErrNotFound, "twice")
	exec(t, s, "UPDATE sessions SET expires_at = app_now() WHERE id = $1", made[1].ID)

	for i, want := range []bool{false, false, true} {
		a, err := s.Resolve(t.Context(), Credentials{Session: secrets[i]})
		require.NoError(t, err)
		require.Equal(t, want, a.Known(), i)
	}
	page, err = s.Sessions(t.Context(), ada.ID, uuid.Max, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := service(t)
	ada, bob := signUp(t, s, "ada@example.com"), signUp(t, s, "bob@example.com")
	_, _, err := s.NewToken(t.Context(), ada.ID, " ")
	require.ErrorIs(t, err, ErrInvalid)

	secret, token, err := s.NewToken(t.Context(), ada.ID, " laptop ")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, "prf_"))
	require.Equal(t, "laptop", token.Name)

	actor, err := s.Resolve(t.Context(), Credentials{Bearer: secret})
	require.NoError(t, err)
	require.Equal(t, ada.ID, actor.AccountID)
	require.Equal(t, uuid.Nil, actor.SessionID)

	page, err := s.Tokens(t.Context(), ada.ID, uuid.Max, 10)
	require.NoError(t, err)
	require.Equal(t, []Token{token}, page)
	page, err = s.Tokens(t.Context(), bob.ID, uuid.Max, 10)
	require.NoError(t, err)
	require.Empty(t, page)

	require.ErrorIs(t, s.RevokeToken(t.Context(), bob.ID, token.ID), ErrNotFound, "another account's")
	_, err = s.Resolve(t.Context(), Credentials{Bearer: secret})
	require.NoError(t, err)
	require.NoError(t, s.RevokeToken(t.Context(), ada.ID, token.ID))
	require.ErrorIs(t, s.RevokeToken(t.Context(), ada.ID, token.ID), ErrNotFound)
	_, err = s.Resolve(t.Context(), Credentials{Bearer: secret})
	require.ErrorIs(t, err, ErrBearer)
}

func TestResolve(t *testing.T) {
	t.Parallel()
	s := service(t)
	ada := signUp(t, s, "ada@example.com")
	token, _, err := s.NewToken(t.Context(), ada.ID, "t")
	require.NoError(t, err)
	session, _, err := s.NewSession(t.Context(), ada.ID, "")
	require.NoError(t, err)
	guest, g, err := s.NewGuest(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(GuestLifetime), g.ExpiresAt, time.Minute)

	for name, tc := range map[string]struct {
		c    Credentials
		want uuid.UUID // Nil: nobody
		err  error
	}{
		"nothing":                         {Credentials{}, uuid.Nil, nil},
		"a token":                         {Credentials{Bearer: token}, ada.ID, nil},
		"a guest's bearer":                {Credentials{Bearer: guest}, g.ID, nil},
		"bearer before cookies":           {Credentials{Bearer: guest, Session: session}, g.ID, nil},
		"session before guest":            {Credentials{Session: session, Guest: guest}, ada.ID, nil},
		"a dead session leaves the guest": {Credentials{Session: "ses_dead", Guest: guest}, g.ID, nil},
		"a dead session":                  {Credentials{Session: "ses_dead"}, uuid.Nil, nil},
		"a wrong bearer, good cookie":     {Credentials{Bearer: "prf_wrong", Session: session}, uuid.Nil, ErrBearer},
		"a wrong guest bearer":            {Credentials{Bearer: "gst_wrong"}, uuid.Nil, ErrBearer},
		"a bearer of no kind":             {Credentials{Bearer: "wrong"}, uuid.Nil, ErrBearer},
		"a session as bearer":             {Credentials{Bearer: session}, uuid.Nil, ErrBearer},
		"a token as session":              {Credentials{Session: token}, uuid.Nil, nil},
		"a token as guest":                {Credentials{Guest: token}, uuid.Nil, nil},
		"NUL":                             {Credentials{Bearer: "prf_\x00"}, uuid.Nil, ErrBearer},
	} {
		a, err := s.Resolve(t.Context(), tc.c)
		require.ErrorIs(t, err, tc.err, name)
		require.Equal(t, tc.want, a.ID, name)
		require.Equal(t, tc.want != uuid.Nil, a.Known(), name)
	}

	exec(t, s, "UPDATE accounts SET closed_at = app_now()")
	exec(t, s, "UPDATE guest_sessions SET expires_at = app_now()")
	for _, bearer := range []string{token, guest} {
		_, err = s.Resolve(t.Context(), Credentials{Bearer: bearer})
		require.ErrorIs(t, err, ErrBearer, "a closed account's token, an expired guest")
	}
	a, err := s.Resolve(t.Context(), Credentials{Session: session, Guest: guest})
	require.NoError(t, err)
	require.False(t, a.Known())
	_, err = s.Account(t.Context(), ada.ID)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestResolveWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := service(t)
	s.pool.Close()
	_, err := s.Resolve(t.Context(), Credentials{Session: "ses_x"})
	require.Error(t, err, "an unreachable database is no stranger")
	require.NotErrorIs(t, err, ErrBearer)
	_, err = s.Resolve(t.Context(), Credentials{Bearer: "prf_x"})
	require.NotErrorIs(t, err, ErrBearer)
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := service(t)
	ada := signUp(t, s, "ada@example.com")
	ctx := obs.WithRequestID(t.Context(), "request-1")
	auditID, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (uuid.UUID, error) {
		return Book{}.AuditTx(ctx, tx, Audit{AccountID: ada.ID, Action: "refund.request", Subject: "order:1", Detail: map[string]int{"amount": 5}})
	})
	require.NoError(t, err)
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM audit_log WHERE id = $1 AND account_id = $2 AND action = 'refund.request'
		AND subject = 'order:1' AND detail = '{"amount": 5}' AND request_id = 'request-1'`, auditID, ada.ID))

	_, err = s.pool.Exec(t.Context(), "UPDATE audit_log SET action = 'nothing'")
	require.Error(t, err)
	_, err = s.pool.Exec(t.Context(), "DELETE FROM audit_log")
	require.Error(t, err)
}

func TestProvision(t *testing.T) {
	t.Parallel()
	s := service(t)
	secret, accountID, err := s.Provision(t.Context(), "Op@Example.com", "", "cli", []Role{Operator, Attendee})
	require.NoError(t, err)
	actor, err := s.Resolve(t.Context(), Credentials{Bearer: secret})
	require.NoError(t, err)
	require.Equal(t, accountID, actor.AccountID)
	require.Equal(t, "op@example.com", actor.Email)
	require.Equal(t, []Role{Attendee, Operator}, actor.Roles)
	_, _, _, err = s.SignIn(t.Context(), "op@example.com", "", "")
	require.ErrorIs(t, err, ErrWrongCredentials, "an empty password became one that nobody knows")

	// Again: another token, and nothing else changes.
	again, sameID, err := s.Provision(t.Context(), "op@example.com", password, "cli", []Role{Creator})
	require.NoError(t, err)
	require.Equal(t, accountID, sameID)
	require.NotEqual(t, secret, again)
	actor, err = s.Resolve(t.Context(), Credentials{Bearer: again})
	require.NoError(t, err)
	require.Equal(t, []Role{Attendee, Operator}, actor.Roles)
	_, _, _, err = s.SignIn(t.Context(), "op@example.com", password, "")
	require.ErrorIs(t, err, ErrWrongCredentials)

	_, _, err = s.Provision(t.Context(), "cre@example.com", password, "cli", []Role{Creator})
	require.NoError(t, err)
	_, _, in, err := s.SignIn(t.Context(), "cre@example.com", password, "")
	require.NoError(t, err)
	require.Equal(t, []Role{Attendee, Creator}, in.Roles)

	_, _, err = s.Provision(t.Context(), "x@example.com", password, "cli", []Role{"king"})
	require.ErrorIs(t, err, ErrInvalid)
	_, _, err = s.Provision(t.Context(), "not an address", password, "cli", nil)
	require.ErrorIs(t, err, ErrInvalid)
	require.Equal(t, 2, count(t, s, "SELECT count(*) FROM audit_log WHERE action = 'account.provision'"))
}
