package account

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

func issue(t *testing.T, s *Service, l Link) string {
	t.Helper()
	secret, err := pg.InTx(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) (string, error) {
		secret, expires, err := Book{}.IssueLinkTx(ctx, tx, l, LinkLifetime)
		require.WithinDuration(t, time.Now().Add(LinkLifetime), expires, time.Minute)
		return secret, err
	})
	require.NoError(t, err)
	return secret
}

func use(t *testing.T, s *Service, b Book, secret string) (Link, error) {
	t.Helper()
	return pg.InTx(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) (Link, error) { return b.UseLinkTx(ctx, tx, secret) })
}

func prove(t *testing.T, s *Service, email string, keep Actor) (Account, error) {
	t.Helper()
	return pg.InTx(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) (Account, error) { return Book{}.ProveTx(ctx, tx, email, keep) })
}

func mailed() Link { return Link{ID: id.New(), Email: "ada@example.com"} }

// The copies of a mail are one link, which is looked at as often as one likes and
// used once.
func TestLinkIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := service(t)
	l := mailed()
	first, second := issue(t, s, l), issue(t, s, l)
	require.NotEqual(t, first, second)
	for range 3 {
		got, err := s.CheckLink(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	got, err := use(t, s, Book{}, second)
	require.NoError(t, err)
	require.Equal(t, l, got)
	for _, secret := range []string{first, second, issue(t, s, l)} {
		_, err = use(t, s, Book{}, secret)
		require.ErrorIs(t, err, ErrLinkUsed)
		_, err = s.CheckLink(t.Context(), secret)
		require.ErrorIs(t, err, ErrLinkUsed)
	}
	// Without the guard a mail found later signs in.
	_, err = use(t, s, Book{again: true}, first)
	require.NoError(t, err)
}

func TestLinksThatDoNotWork(t *testing.T) {
	t.Parallel()
	s := service(t)
	for _, secret := range []string{"", "lnk_", "lnk_unknown", "ses_x"} {
		_, err := s.CheckLink(t.Context(), secret)
		require.ErrorIs(t, err, ErrLinkUnknown)
		_, err = use(t, s, Book{}, secret)
		require.ErrorIs(t, err, ErrLinkUnknown)
	}
	secret := issue(t, s, mailed())
	exec(t, s, `UPDATE mail_links SET expires_at = app_now() - interval '1 second'`)
	_, err := use(t, s, Book{}, secret)
	require.ErrorIs(t, err, ErrLinkExpired)
	_, err = s.CheckLink(t.Context(), secret)
	require.ErrorIs(t, err, ErrLinkExpired)
	// Nothing in the database signs in.
	require.Zero(t, count(t, s, `SELECT count(*) FROM mail_link_tokens WHERE encode(token_hash, 'escape') LIKE '%' || $1 || '%'`, secret))
}

// Two uses at once: the second waits and is told; if the first is undone, the
// link still works.
func TestTwoUsesOfOneLink(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		database := pgtest.New(t)
		s := serviceOn(database)
		secret := issue(t, s, mailed())
		a, b := pgtest.StartTx(t, s.pool), pgtest.StartTx(t, s.pool)
		_, err := Book{}.UseLinkTx(t.Context(), a, secret)
		require.NoError(t, err)
		var second error
		var late errgroup.Group
		late.Go(func() error { _, second = Book{}.UseLinkTx(t.Context(), b, secret); return nil })
		waitBlocked(t, s, b)
		if commit {
			require.NoError(t, a.Commit(t.Context()))
		} else {
			require.NoError(t, a.Rollback(t.Context()))
		}
		require.NoError(t, late.Wait())
		if commit {
			require.ErrorIs(t, second, ErrLinkUsed)
		} else {
			require.NoError(t, second)
		}
		require.NoError(t, b.Commit(t.Context()))
	}
}

// Links that ended are remembered for a month, to tell people what happened to
// them, and then forgotten with their secrets.
func TestOldLinksAreForgotten(t *testing.T) {
	t.Parallel()
	s := service(t)
	fresh, used, old := issue(t, s, mailed()), issue(t, s, mailed()), issue(t, s, mailed())
	_, err := use(t, s, Book{}, used)
	require.NoError(t, err)
	age := func(secret, by string) {
		exec(t, s, `UPDATE mail_links SET expires_at = app_now() - $2::interval WHERE id = (SELECT link_id FROM mail_link_tokens WHERE token_hash = $1)`,
			id.Hash(secret), by)
	}
	age(used, "29 days")
	age(old, "31 days")
	require.NoError(t, s.PurgeLinks(t.Context()))
	_, err = s.CheckLink(t.Context(), fresh)
	require.NoError(t, err)
	_, err = s.CheckLink(t.Context(), used)
	require.ErrorIs(t, err, ErrLinkUsed)
	_, err = s.CheckLink(t.Context(), old)
	require.ErrorIs(t, err, ErrLinkUnknown)
	age(used, "31 days")
	require.NoError(t, s.PurgeLinks(t.Context()))
	var left int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM mail_links) + (SELECT count(*) FROM mail_link_tokens)`).Scan(&left))
	require.Equal(t, 2, left, "the fresh one and its secret")
}

func waitBlocked(t *testing.T, s *Service, tx *pgtest.Tx) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pgtest.WaitBlocked(ctx, s.pool, tx.PID)
	require.NoError(t, err)
}

func TestProofMakesAnAccount(t *testing.T) {
	t.Parallel()
	s := service(t)
	a, err := prove(t, s, "new@example.com", Actor{})
	require.NoError(t, err)
	require.Equal(t, []string{"new@example.com", "new"}, []string{a.Email, a.Name})
	require.Equal(t, []Role{Attendee}, a.Roles)
	again, err := prove(t, s, "new@example.com", Actor{})
	require.NoError(t, err)
	require.Equal(t, a.ID, again.ID)
	ok, err := s.Exists(t.Context(), "new@example.com")
	require.NoError(t, err)
	require.True(t, ok)
	// It has no password, not even an empty one, until one is set.
	for _, password := range []string{"", password} {
		_, _, _, err = s.SignIn(t.Context(), "new@example.com", password, "")
		require.ErrorIs(t, err, ErrWrongCredentials)
	}
	require.NoError(t, s.SetPassword(t.Context(), accountActor(a.ID, a.Email, a.Name, nil), "", password))
	_, _, _, err = s.SignIn(t.Context(), "new@example.com", password, "")
	require.NoError(t, err)

	exec(t, s, `UPDATE accounts SET closed_at = app_now()`)
	_, err = prove(t, s, "new@example.com", Actor{})
	require.ErrorIs(t, err, ErrClosed)
	ok, err = s.Exists(t.Context(), "new@example.com")
	require.NoError(t, err)
	require.False(t, ok)
}

// Who made an account for somebody else's address has nothing left of it once
// the address is proved.
func TestProofEndsWhatAStrangerPrepared(t *testing.T) {
	t.Parallel()
	s := service(t)
	signUp(t, s, "ada@example.com")
	session, of, _, err := s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)
	stranger, err := s.Resolve(t.Context(), Credentials{Session: session})
	require.NoError(t, err)
	require.Equal(t, of.ID, stranger.SessionID)
	token, _, err := s.NewTokenOf(t.Context(), stranger, "mine")
	require.NoError(t, err)

	_, err = prove(t, s, "ada@example.com", Actor{})
	require.NoError(t, err)
	_, _, _, err = s.SignIn(t.Context(), "ada@example.com", password, "")
	require.ErrorIs(t, err, ErrWrongCredentials)
	who, err := s.Resolve(t.Context(), Credentials{Session: session})
	require.NoError(t, err)
	require.False(t, who.Known())
	_, err = s.Resolve(t.Context(), Credentials{Bearer: token})
	require.ErrorIs(t, err, ErrBearer)
	_, _, err = s.NewTokenOf(t.Context(), stranger, "another")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorIs(t, s.SetPassword(t.Context(), Actor{AccountID: id.New()}, "", password), ErrNotFound)

	// The second proof changes nothing.
	a, err := s.q.AccountByEmail(t.Context(), s.pool, "ada@example.com")
	require.NoError(t, err)
	require.NoError(t, s.SetPassword(t.Context(), Actor{AccountID: a.ID}, "", password))
	_, err = prove(t, s, "ada@example.com", Actor{})
	require.NoError(t, err)
	_, _, _, err = s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)
}

// Who proves the address from a session of the account made it themselves.
func TestProofFromAnOwnSession(t *testing.T) {
	t.Parallel()
	s := service(t)
	signUp(t, s, "ada@example.com")
	session, _, _, err := s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)
	me, err := s.Resolve(t.Context(), Credentials{Session: session})
	require.NoError(t, err)
	_, err = prove(t, s, "ada@example.com", me)
	require.NoError(t, err)
	who, err := s.Resolve(t.Context(), Credentials{Session: session})
	require.NoError(t, err)
	require.Equal(t, me, who)
	_, _, _, err = s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)

	// What the machine's owner made is proved from the start.
	_, _, err = s.Provision(t.Context(), "eve@example.com", password, "test", nil)
	require.NoError(t, err)
	_, err = prove(t, s, "eve@example.com", Actor{})
	require.NoError(t, err)
	_, _, _, err = s.SignIn(t.Context(), "eve@example.com", password, "")
	require.NoError(t, err)
}

// A sign-in whose password was right when it was checked does not slip past the
// proof that ends it.
func TestSignInMeetsProof(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	s := serviceOn(database)
	a := signUp(t, s, "ada@example.com")
	proof := pgtest.StartTx(t, s.pool)
	_, err := Book{}.ProveTx(t.Context(), proof, "ada@example.com", Actor{})
	require.NoError(t, err)
	// The sign-in read the account before: that is what its hash stands for.
	var signIn error
	var late errgroup.Group
	late.Go(func() error {
		_, _, _, signIn = s.SignIn(t.Context(), "ada@example.com", password, "")
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	waitForAnyBlocked(ctx, t, s)
	require.NoError(t, proof.Commit(t.Context()))
	require.NoError(t, late.Wait())
	require.ErrorIs(t, signIn, ErrWrongCredentials)
	require.Zero(t, count(t, s, `SELECT count(*) FROM sessions WHERE account_id = $1 AND revoked_at IS NULL`, a.ID))
}

// waitForAnyBlocked returns once some backend of the database waits for a lock.
func waitForAnyBlocked(ctx context.Context, t *testing.T, s *Service) {
	t.Helper()
	for {
		var pid uint32
		err := s.pool.QueryRow(ctx, `SELECT coalesce(max(w.pid), 0) FROM pg_locks w JOIN pg_locks h ON h.pid <> w.pid AND h.transactionid = w.transactionid
			WHERE NOT w.granted AND h.granted AND EXISTS (SELECT FROM pg_locks d JOIN pg_database b ON b.oid = d.database WHERE d.pid = w.pid AND b.datname = current_database())`).Scan(&pid)
		require.NoError(t, err)
		if pid != 0 {
			return
		}
	}
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	s := service(t)
	signUp(t, s, "ada@example.com")
	here, _, _, err := s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)
	there, _, _, err := s.SignIn(t.Context(), "ada@example.com", password, "")
	require.NoError(t, err)
	me, err := s.Resolve(t.Context(), Credentials{Session: here})
	require.NoError(t, err)
	require.ErrorIs(t, s.SetPassword(t.Context(), me, "wrong", "another password"), ErrWrongCredentials)
	require.ErrorIs(t, s.SetPassword(t.Context(), me, "", "another password"), ErrWrongCredentials)
	require.ErrorIs(t, s.SetPassword(t.Context(), me, password, "short"), ErrInvalid)
	require.NoError(t, s.SetPassword(t.Context(), me, password, "another password"))
	_, _, _, err = s.SignIn(t.Context(), "ada@example.com", password, "")
	require.ErrorIs(t, err, ErrWrongCredentials)
	_, _, _, err = s.SignIn(t.Context(), "ada@example.com", "another password", "")
	require.NoError(t, err)
	who, err := s.Resolve(t.Context(), Credentials{Session: here})
	require.NoError(t, err)
	require.True(t, who.Known())
	who, err = s.Resolve(t.Context(), Credentials{Session: there})
	require.NoError(t, err)
	require.False(t, who.Known())
}

// A guest session is claimed once, and stands for nobody afterwards.
func TestClaimedGuest(t *testing.T) {
	t.Parallel()
	s := service(t)
	a := signUp(t, s, "ada@example.com")
	secret, guest, err := s.NewGuest(t.Context())
	require.NoError(t, err)
	claim := func(secret string) uuid.UUID {
		got, err := pg.InTx(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) (uuid.UUID, error) {
			return Book{}.ClaimGuestTx(ctx, tx, secret, a.ID)
		})
		require.NoError(t, err)
		return got
	}
	require.Equal(t, uuid.Nil, claim("gst_unknown"))
	require.Equal(t, guest.ID, claim(secret))
	require.Equal(t, uuid.Nil, claim(secret))
	_, err = s.Resolve(t.Context(), Credentials{Bearer: secret})
	require.ErrorIs(t, err, ErrBearer)
	who, err := s.Resolve(t.Context(), Credentials{Guest: secret})
	require.NoError(t, err)
	require.False(t, who.Known())

	old, _, err := s.NewGuest(t.Context())
	require.NoError(t, err)
	exec(t, s, `UPDATE guest_sessions SET expires_at = app_now() WHERE account_id IS NULL`)
	require.Equal(t, uuid.Nil, claim(old))
}
