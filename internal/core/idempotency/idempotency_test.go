package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// desk is a database in which requests have an effect: a row in effects. What
// clients were told is in answers.
type desk struct {
	db    *pgtest.DB
	pool  *pgxpool.Pool // as the program works
	store Store
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{db: pgtest.New(t)}
	d.pool = d.db.Pool
	d.owner(t, `CREATE TABLE effects (key text, subject uuid); CREATE TABLE answers (key text, fingerprint bytea, body bytea);
		GRANT SELECT, INSERT ON effects, answers TO proofroom_app`)
	return d
}

func (d *desk) owner(t testing.TB, statement string) {
	t.Helper()
	_, err := d.db.Owner.Exec(t.Context(), statement)
	require.NoError(t, err)
}

// later moves the database's clock.
func (d *desk) later(t testing.TB, by time.Duration) {
	t.Helper()
	d.owner(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS 'SELECT clock_timestamp() + interval ''%d milliseconds'''`, by.Milliseconds()))
}

func newClaim(what string) Claim {
	h := sha256.Sum256([]byte(what))
	return Claim{ActorID: id.New(), Operation: "checkout", Key: id.New().String(), Fingerprint: h[:]}
}

func in[T any](t testing.TB, d *desk, f func(tx pgx.Tx) (T, error)) T {
	t.Helper()
	out, err := pg.InTx(t.Context(), d.pool, func(_ context.Context, tx pgx.Tx) (T, error) { return f(tx) })
	require.NoError(t, err)
	return out
}

func (d *desk) begin(t testing.TB, c Claim) Begun {
	t.Helper()
	return in(t, d, func(tx pgx.Tx) (Begun, error) { return d.store.BeginTx(t.Context(), tx, c) })
}

func (d *desk) complete(t testing.TB, c Claim, term int32, status int, body string) *Begun {
	t.Helper()
	return in(t, d, func(tx pgx.Tx) (*Begun, error) {
		return d.store.CompleteTx(t.Context(), tx, c, term, status, []byte(body))
	})
}

func (d *desk) subject(t testing.TB, c Claim, term int32, subject uuid.UUID) error {
	t.Helper()
	return pg.Exec(t.Context(), d.pool, func(ctx context.Context, tx pgx.Tx) error {
		return pg.Pipeline(ctx, tx, d.store.SubjectStep(c, term, subject))
	})
}

func (d *desk) release(t testing.TB, c Claim, term int32) error {
	t.Helper()
	return pg.Exec(t.Context(), d.pool, func(ctx context.Context, tx pgx.Tx) error { return d.store.ReleaseTx(ctx, tx, c, term) })
}

func (d *desk) forget(t testing.TB, c Claim, term int32) error {
	t.Helper()
	return pg.Exec(t.Context(), d.pool, func(ctx context.Context, tx pgx.Tx) error { return d.store.ForgetTx(ctx, tx, c, term) })
}

// row is all of a key's row, to see that nothing changed.
func (d *desk) row(t testing.TB, c Claim) string {
	t.Helper()
	var row string
	require.NoError(t, d.pool.QueryRow(t.Context(), `SELECT k::text FROM idempotency_keys k WHERE key = $1`, c.Key).Scan(&row))
	return row
}

func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	require.Equal(t, Begun{State: New, Term: 1}, d.begin(t, c))

	running := d.begin(t, c)
	require.Equal(t, Running, running.State)
	require.GreaterOrEqual(t, running.RetryAfter, time.Second)
	require.LessOrEqual(t, running.RetryAfter, 2*time.Second)
	other := c
	other.Fingerprint = newClaim("another cart").Fingerprint
	require.Equal(t, Begun{State: Mismatch}, d.begin(t, other))

	require.NoError(t, d.subject(t, c, 1, id.New()))
	require.Nil(t, d.complete(t, c, 1, 201, "{\"order\":1}\n"))
	done := Begun{State: Done, Status: 201, Body: []byte("{\"order\":1}\n")}
	require.Equal(t, done, d.begin(t, c))
	require.Equal(t, Begun{State: Mismatch}, d.begin(t, other))
	d.later(t, 34*24*time.Hour)
	require.Equal(t, done, d.begin(t, c), "after 34 days")
	require.Equal(t, &done, d.complete(t, c, 1, 201, "another answer"), "completed once")
	require.Equal(t, done, d.begin(t, c))
}

func TestKeysAreScoped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	d.begin(t, c)
	d.complete(t, c, 1, 201, "mine")
	somebody, elsewhere, another := c, c, c
	somebody.ActorID, elsewhere.Operation, another.Key = id.New(), "refund", "another"
	for _, c := range []Claim{somebody, elsewhere, another} {
		require.Equal(t, Begun{State: New, Term: 1}, d.begin(t, c))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for status, body := range map[int]string{200: "", 201: "{}", 400: "bad", 404: "none", 410: "gone", 422: "wrong"} {
		c := newClaim("x")
		d.begin(t, c)
		require.Nil(t, d.complete(t, c, 1, status, body))
		got := d.begin(t, c)
		require.Equal(t, Done, got.State)
		require.Equal(t, status, got.Status)
		require.Equal(t, body, string(got.Body))
	}
	c := newClaim("x")
	d.begin(t, c)
	before := d.row(t, c)
	for _, status := range []int{401, 403, 408, 409, 425, 429, 500, 502, 503, 301, 0} {
		_, err := pg.InTx(t.Context(), d.pool, func(ctx context.Context, tx pgx.Tx) (*Begun, error) {
			return d.store.CompleteTx(ctx, tx, c, 1, status, []byte("x"))
		})
		require.Error(t, err, status)
	}
	require.Equal(t, before, d.row(t, c))
	in(t, d, func(tx pgx.Tx) (*Begun, error) { return d.store.CompleteTx(t.Context(), tx, c, 1, 204, nil) })
	require.Equal(t, 204, d.begin(t, c).Status)
}

func TestStorable(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		want := status >= 200 && status <= 299 || status == 400 || status == 404 || status == 410 || status == 422
		require.Equal(t, want, Storable(status), status)
	}
}

// A crash: the lease runs out, the next request goes on with the same subject
// at a higher term, and whoever held the key before writes nothing any more.
func TestTakeover(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	subject := id.New()
	d.begin(t, c)
	require.NoError(t, d.subject(t, c, 1, subject))
	d.later(t, 29*time.Second)
	require.Equal(t, Running, d.begin(t, c).State, "the lease stands")
	d.later(t, 31*time.Second)
	require.Equal(t, Begun{State: Resume, Term: 2, SubjectID: subject}, d.begin(t, c))
	require.Equal(t, Running, d.begin(t, c).State, "the new lease stands")

	before := d.row(t, c)
	require.ErrorIs(t, d.subject(t, c, 1, subject), ErrLost)
	require.NoError(t, d.release(t, c, 1))
	require.ErrorIs(t, d.forget(t, c, 1), ErrLost)
	lost := d.complete(t, c, 1, 201, "of the stale owner")
	require.NotNil(t, lost)
	require.Equal(t, Running, lost.State)
	require.Equal(t, before, d.row(t, c), "nothing changed")

	require.Nil(t, d.complete(t, c, 2, 201, "of the new owner"))
	before = d.row(t, c)
	require.Equal(t, &Begun{State: Done, Status: 201, Body: []byte("of the new owner")}, d.complete(t, c, 1, 201, "of the stale owner"))
	require.ErrorIs(t, d.subject(t, c, 1, subject), ErrLost)
	require.NoError(t, d.release(t, c, 1))
	require.NoError(t, d.release(t, c, 2))
	require.ErrorIs(t, d.forget(t, c, 2), ErrLost)
	require.Equal(t, before, d.row(t, c))
}

func TestGivenBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	d.begin(t, c)
	require.NoError(t, d.release(t, c, 1))
	require.Equal(t, Begun{State: Resume, Term: 2}, d.begin(t, c), "at once, without a subject")
	subject := id.New()
	require.NoError(t, d.subject(t, c, 2, subject))
	require.NoError(t, d.subject(t, c, 2, subject))
	require.ErrorIs(t, d.subject(t, c, 2, id.New()), ErrLost, "a key has one subject")
	require.NoError(t, d.release(t, c, 2))
	require.Equal(t, Begun{State: Resume, Term: 3, SubjectID: subject}, d.begin(t, c))
	require.NoError(t, d.forget(t, c, 3))
	require.Equal(t, Begun{State: New, Term: 1}, d.begin(t, c))
	require.NoError(t, d.forget(t, c, 1))
	require.ErrorIs(t, d.forget(t, c, 1), ErrLost)
	require.NoError(t, d.release(t, c, 1))
	_, err := pg.InTx(t.Context(), d.pool, func(ctx context.Context, tx pgx.Tx) (*Begun, error) {
		return d.store.CompleteTx(ctx, tx, c, 1, 201, nil)
	})
	require.ErrorIs(t, err, ErrLost, "there is no row to complete")
}

func TestOldKeys(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var claims []Claim
	for range 5 {
		c := newClaim("a cart")
		d.begin(t, c)
		claims = append(claims, c)
	}
	d.complete(t, claims[0], 1, 201, "old")
	purge := func(limit int) int64 {
		n, err := d.store.Purge(t.Context(), d.pool, limit)
		require.NoError(t, err)
		return n
	}
	d.later(t, Kept-time.Minute)
	require.Zero(t, purge(10))
	d.later(t, Kept+time.Minute)
	require.Equal(t, Begun{State: New, Term: 1}, d.begin(t, claims[0]), "too old to answer, purged or not")
	require.Equal(t, int64(3), purge(3))
	require.Equal(t, int64(1), purge(3))
	require.Zero(t, purge(3))
	require.Equal(t, Running, d.begin(t, claims[0]).State)
}

// race runs first in one transaction and second in another, which is seen to
// wait; then the first commits, or rolls back. It returns what second found.
func race[T any](t *testing.T, d *desk, commit bool, first, second func(tx pgx.Tx) (T, error)) T {
	t.Helper()
	a, b := pgtest.StartTx(t, d.pool), pgtest.StartTx(t, d.pool)
	_, err := first(a)
	require.NoError(t, err)
	var out T
	var late errgroup.Group
	late.Go(func() (err error) {
		out, err = second(b)
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = pgtest.WaitBlocked(ctx, d.pool, b.PID)
	require.NoError(t, err)
	if commit {
		require.NoError(t, a.Commit(t.Context()))
	} else {
		require.NoError(t, a.Rollback(t.Context()))
	}
	require.NoError(t, late.Wait())
	require.NoError(t, b.Commit(t.Context()))
	return out
}

func TestRaces(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	lapsed := newDesk(t) // in which every lease has run out as soon as it is read
	beginning := func(d *desk, c Claim) func(pgx.Tx) (*Begun, error) {
		return func(tx pgx.Tx) (*Begun, error) {
			b, err := d.store.BeginTx(t.Context(), tx, c)
			return &b, err
		}
	}
	completing := func(d *desk, c Claim, term int32, body string) func(pgx.Tx) (*Begun, error) {
		return func(tx pgx.Tx) (*Begun, error) {
			return d.store.CompleteTx(t.Context(), tx, c, term, 201, []byte(body))
		}
	}
	begun := func(d *desk) Claim {
		c := newClaim("a cart")
		d.begin(t, c)
		return c
	}
	lapsing := func() Claim {
		c := newClaim("a cart")
		lapsed.begin(t, c)
		lapsed.owner(t, `UPDATE idempotency_keys SET lease_until = app_now() - interval '1 second' WHERE key = '`+c.Key+`'`)
		return c
	}

	c := newClaim("a cart")
	require.Equal(t, Running, race(t, d, true, beginning(d, c), beginning(d, c)).State, "two first requests")
	c = newClaim("a cart")
	require.Equal(t, &Begun{State: New, Term: 1}, race(t, d, false, beginning(d, c), beginning(d, c)), "the first is undone")

	c = lapsing()
	require.Equal(t, Running, race(t, lapsed, true, beginning(lapsed, c), beginning(lapsed, c)).State, "two takeovers")
	c = lapsing()
	require.Equal(t, &Begun{State: Resume, Term: 2}, race(t, lapsed, false, beginning(lapsed, c), beginning(lapsed, c)), "the first takeover is undone")

	c = lapsing()
	require.Equal(t, &Begun{State: Done, Status: 201, Body: []byte("in time")},
		race(t, lapsed, true, completing(lapsed, c, 1, "in time"), beginning(lapsed, c)), "a takeover meets the answer")
	c = lapsing()
	require.Equal(t, Running, race(t, lapsed, true, beginning(lapsed, c), completing(lapsed, c, 1, "too late")).State, "the answer meets a takeover")

	c = begun(d)
	forgetting := func(tx pgx.Tx) (*Begun, error) { return nil, d.store.ForgetTx(t.Context(), tx, c, 1) }
	require.Equal(t, &Begun{State: New, Term: 1}, race(t, d, true, forgetting, beginning(d, c)), "a key forgotten meanwhile")
	c = begun(d)
	require.Equal(t, Running, race(t, d, false, forgetting, beginning(d, c)).State, "not forgotten after all")
}

// The key is deleted while a second request waits for its row.
func TestKeyForgottenUnderTheLock(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	d.begin(t, c)
	owner, late := pgtest.StartTx(t, d.pool), pgtest.StartTx(t, d.pool)
	_, err := d.store.own(t.Context(), owner, c, 1)
	require.NoError(t, err)
	var found Begun
	var g errgroup.Group
	g.Go(func() (err error) {
		found, err = d.store.BeginTx(t.Context(), late, c)
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = pgtest.WaitBlocked(ctx, d.pool, late.PID)
	require.NoError(t, err)
	require.NoError(t, d.store.ForgetTx(t.Context(), owner, c, 1))
	require.NoError(t, owner.Commit(t.Context()))
	require.NoError(t, g.Wait())
	require.Equal(t, Begun{State: New, Term: 1}, found)
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := newClaim("a cart")
	d.begin(t, c)
	_, err := d.pool.Exec(t.Context(), `UPDATE idempotency_keys SET state = 'done' WHERE key = $1`, c.Key)
	require.True(t, pg.IsCheck(err, pg.IdempotencyDone), "%v", err)
	for _, key := range []string{"", strings.Repeat("k", 256)} {
		c.Key = key
		tx, err := d.pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = d.store.BeginTx(t.Context(), tx, c)
		require.Error(t, err)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

func TestValidKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"k": true, "a b": true, "0190b6f2-7c3c-7d4e-9f00-000000000000": true, "~!": true, strings.Repeat("k", 255): true,
		"": false, " ": false, " k": false, "k ": false, strings.Repeat("k", 256): false,
		"a\x00": false, "a\n": false, "a\tb": false, "a\x7f": false, "\u00e9": false, "a\xff": false,
	} {
		require.Equal(t, want, ValidKey(key), "%q", key)
	}
}

// FuzzValidKey: a valid key is its own header value and text of the database,
// so that what is stored is what was sent.
func FuzzValidKey(f *testing.F) {
	for _, seed := range []string{"", "k", " k", "a b", strings.Repeat("k", 255), strings.Repeat("k", 256), "a\x00b", "\u00e9", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		ok := len(key) >= 1 && len(key) <= MaxKey && strings.TrimSpace(key) == key &&
			len(bytes.TrimFunc([]byte(key), func(r rune) bool { return r >= 0x20 && r <= 0x7e })) == 0
		for _, b := range []byte(key) {
			ok = ok && b >= 0x20 && b <= 0x7e
		}
		if got := ValidKey(key); got != ok {
			t.Fatalf("ValidKey(%q) = %v", key, got)
		}
	})
}
