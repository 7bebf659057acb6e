package ratelimit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/testkit/pgtest"
)

var door = Rule{Name: "door", Burst: 3, Every: 10 * time.Second}

// at moves the database's clock to a time after the start.
func at(t *testing.T, db *pgtest.DB, after time.Duration) {
	t.Helper()
	_, err := db.Owner.Exec(t.Context(), fmt.Sprintf(
		`CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS
		 $$ SELECT timestamptz '2026-03-01 12:00:00+00' + interval '%d milliseconds' $$`, after.Milliseconds()))
	require.NoError(t, err)
}

func take(t *testing.T, db *pgtest.DB, uses ...Use) Decision {
	t.Helper()
	d, err := Take(t.Context(), db.Pool, uses...)
	require.NoError(t, err)
	return d
}

func TestBurstThenOneAtATime(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	at(t, db, 0)
	for left := 2; left >= 0; left-- {
		d := take(t, db, door.Of("a"))
		require.True(t, d.Allowed)
		require.Equal(t, left, d.Left)
	}
	d := take(t, db, door.Of("a"))
	require.False(t, d.Allowed)
	require.Equal(t, 10*time.Second, d.RetryAfter)
	require.Equal(t, 30*time.Second, d.Reset)
	require.True(t, take(t, db, door.Of("b")).Allowed, "another key has a limit of its own")

	at(t, db, 9999*time.Millisecond)
	require.False(t, take(t, db, door.Of("a")).Allowed)
	at(t, db, 10*time.Second)
	require.True(t, take(t, db, door.Of("a")).Allowed, "exactly when it said")
	require.False(t, take(t, db, door.Of("a")).Allowed)
	at(t, db, 10*time.Minute)
	for range 3 {
		require.True(t, take(t, db, door.Of("a")).Allowed, "rest saves up no more than the burst")
	}
	require.False(t, take(t, db, door.Of("a")).Allowed)
}

func TestAllOrNone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	at(t, db, 0)
	wide := Rule{Name: "wide", Burst: 100, Every: time.Second}
	for range 3 {
		require.Equal(t, "door", take(t, db, wide.Of("net"), door.Of("a")).Rule.Name, "the tighter one is told")
	}
	d := take(t, db, wide.Of("net"), door.Of("a"))
	require.False(t, d.Allowed)
	require.Equal(t, "door", d.Rule.Name)
	require.Equal(t, 96, take(t, db, wide.Of("net")).Left, "the refused one was not counted")
}

func TestGiveBack(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	at(t, db, 0)
	for range 10 {
		require.True(t, take(t, db, door.Of("a")).Allowed)
		require.NoError(t, GiveBack(t.Context(), db.Pool, door.Of("a")))
	}
	require.Equal(t, 2, take(t, db, door.Of("a")).Left)
}

// Three instances ask at once, while rows are purged under them: never more
// than the burst is allowed.
func TestNoMoreThanTheBurstTogether(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	at(t, db, 0)
	const askers = 48
	allowed := make(chan bool, askers)
	start := make(chan struct{})
	g, ctx := errgroup.WithContext(t.Context())
	for range askers {
		g.Go(func() error {
			<-start
			d, err := Take(ctx, db.Pool, door.Of("a"), Rule{Name: "wide", Burst: 1000, Every: time.Second}.Of("net"))
			allowed <- d.Allowed
			return err
		})
	}
	close(start)
	for range 5 {
		_, err := Purge(t.Context(), db.Pool, 100)
		require.NoError(t, err)
	}
	require.NoError(t, g.Wait())
	close(allowed)
	n := 0
	for ok := range allowed {
		if ok {
			n++
		}
	}
	require.Equal(t, door.Burst, n)
}

func TestPurge(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	at(t, db, 0)
	take(t, db, door.Of("a"))
	take(t, db, door.Of("b"))
	at(t, db, 5*time.Second)
	take(t, db, door.Of("b"))
	n, err := Purge(t.Context(), db.Pool, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	at(t, db, 11*time.Second)
	n, err = Purge(t.Context(), db.Pool, 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "only what is whole again")
	require.Equal(t, 1, take(t, db, door.Of("b")).Left)
}

func TestFailsClosed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err := Take(ctx, db.Pool, door.Of("a"))
	require.Error(t, err)
	require.False(t, d.Allowed)
}

func TestKeysAreHashed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	take(t, db, door.Of("someone@example.com"))
	var found int
	err := db.Pool.QueryRow(t.Context(), "SELECT count(*) FROM rate_limits WHERE position('someone'::bytea IN key) > 0").Scan(&found)
	require.NoError(t, err)
	require.Zero(t, found)
}
