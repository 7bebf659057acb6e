package pg_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

func TestInTxRunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	_, err := db.Owner.Exec(t.Context(), `CREATE TABLE pair (id int PRIMARY KEY, n int NOT NULL); INSERT INTO pair VALUES (1, 0), (2, 0)`)
	require.NoError(t, err)
	var tries atomic.Int32
	both := make(chan struct{}, 2)
	ready := make(chan struct{})
	add := func(first, second int) error {
		met := false
		return pg.Exec(t.Context(), db.Owner, func(ctx context.Context, tx pgx.Tx) error {
			tries.Add(1)
			if _, err := tx.Exec(ctx, `UPDATE pair SET n = n + 1 WHERE id = $1`, first); err != nil {
				return err
			}
			if !met { // each holds one row before it asks for the other
				met = true
				both <- struct{}{}
				<-ready
			}
			_, err := tx.Exec(ctx, `UPDATE pair SET n = n + 1 WHERE id = $1`, second)
			return err
		})
	}
	done := make(chan error, 2)
	go func() { done <- add(1, 2) }()
	go func() { done <- add(2, 1) }()
	<-both
	<-both
	close(ready)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.EqualValues(t, 3, tries.Load(), "the victim ran again")
	var a, b int
	require.NoError(t, db.Owner.QueryRow(t.Context(), `SELECT min(n), max(n) FROM pair`).Scan(&a, &b))
	require.Equal(t, []int{2, 2}, []int{a, b})
}

func TestInTxGivesUp(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	tries := 0
	err := pg.Exec(t.Context(), db.Pool, func(context.Context, pgx.Tx) error {
		tries++
		return &pgconn.PgError{Code: "40001"}
	})
	require.Error(t, err)
	require.Equal(t, 5, tries)
	require.True(t, pg.IsTransient(err))
}

func TestInTxUndoes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	boom := errors.New("boom")
	insert := func(ctx context.Context, tx pgx.Tx) {
		_, err := tx.Exec(ctx, `INSERT INTO schedule_slots (kind, slot) VALUES ('x', now())`)
		require.NoError(t, err)
	}
	require.ErrorIs(t, pg.Exec(t.Context(), db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		insert(ctx, tx)
		return boom
	}), boom)
	ctx, cancel := context.WithCancel(t.Context())
	require.Error(t, pg.Exec(ctx, db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		insert(ctx, tx)
		cancel()
		return ctx.Err()
	}))
	require.Panics(t, func() {
		_ = pg.Exec(t.Context(), db.Pool, func(ctx context.Context, tx pgx.Tx) error {
			insert(ctx, tx)
			panic("boom")
		})
	})
	var n int
	require.NoError(t, db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM schedule_slots`).Scan(&n))
	require.Zero(t, n)
}

func TestInTxMarksItsContext(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	require.False(t, pg.InTransaction(t.Context()))
	require.NoError(t, pg.Exec(t.Context(), db.Pool, func(ctx context.Context, _ pgx.Tx) error {
		require.True(t, pg.InTransaction(ctx))
		require.Error(t, pg.Exec(ctx, db.Pool, func(context.Context, pgx.Tx) error { return nil }), "no nesting")
		return nil
	}))
}

// The reply to a commit is cut: whether it stands is not known, and it is not
// run again.
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	proxy := newProxy(t, db.URL)
	pool, err := pg.Open(t.Context(), pg.PoolConfig{URL: proxy.url, MaxConns: 1})
	require.NoError(t, err)
	defer pool.Close()
	runs := 0
	err = pg.Exec(t.Context(), pool, func(ctx context.Context, tx pgx.Tx) error {
		runs++
		if _, err := tx.Exec(ctx, `INSERT INTO schedule_slots (kind, slot) VALUES ('cut', now())`); err != nil {
			return err
		}
		proxy.cutReplies.Store(true)
		return nil
	})
	require.ErrorIs(t, err, pg.ErrCommitUnknown)
	require.True(t, pg.IsUnreachable(err))
	require.Equal(t, 1, runs)
	require.Eventually(t, func() bool {
		var n int
		return db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM schedule_slots WHERE kind = 'cut'`).Scan(&n) == nil && n == 1
	}, 5*time.Second, 10*time.Millisecond, "it did stand")
}

// proxy stands between a pool and PostgreSQL and can swallow replies.
type proxy struct {
	url        string
	cutReplies atomic.Bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
	require.NoError(t, err)
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), network, address)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() {
				buf := make([]byte, 32<<10)
				for {
					n, err := server.Read(buf)
					if err != nil || p.cutReplies.Load() {
						_ = client.Close()
						return
					}
					_, _ = client.Write(buf[:n])
				}
			}()
		}
	}()
	host, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: net.JoinHostPort(host, port), Path: "/" + cfg.Database, RawQuery: "sslmode=disable"}
	p.url = u.String()
	return p
}

func TestSchemaRange(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	newest, err := pg.Newest()
	require.NoError(t, err)
	require.NoError(t, pg.CheckSchema(t.Context(), db.Pool))

	// A newer schema that still supports this binary is served.
	_, err = db.Owner.Exec(t.Context(), `INSERT INTO schema_support VALUES ($1, $2)`, newest+1, newest)
	require.NoError(t, err)
	require.NoError(t, pg.CheckSchema(t.Context(), db.Pool))
	// One that does not is refused.
	_, err = db.Owner.Exec(t.Context(), `INSERT INTO schema_support VALUES ($1, $1)`, newest+2)
	require.NoError(t, err)
	require.ErrorIs(t, pg.CheckSchema(t.Context(), db.Pool), pg.ErrSchema)
	// An older one names the command.
	_, err = db.Owner.Exec(t.Context(), `DELETE FROM schema_support WHERE migration >= $1`, newest)
	require.NoError(t, err)
	err = pg.CheckSchema(t.Context(), db.Pool)
	require.ErrorIs(t, err, pg.ErrSchema)
	require.ErrorContains(t, err, "proofroom migrate")
}

func TestMigrateAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	done := make(chan error, 3)
	for range 3 {
		go func() { done <- pg.Migrate(t.Context(), db.URL) }()
	}
	for range 3 {
		require.NoError(t, <-done)
	}
}

// The application's role cannot rewrite what is append-only.
func TestAppRole(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for _, sql := range []string{
		`UPDATE ledger_postings SET amount = 1`, `DELETE FROM ledger_entries`, `TRUNCATE ledger_entries, ledger_postings`,
		`DELETE FROM orders`, `UPDATE order_lines SET price = 0`, `UPDATE decisions SET value = ''`, `DELETE FROM audit_log`,
		`DELETE FROM entitlements`, `DELETE FROM inbox`, `DROP TABLE orders`, `UPDATE schema_support SET migration = 1`,
	} {
		_, err := db.Pool.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql)
	}
	// Whoever may, is refused by a trigger.
	for _, sql := range []string{`DELETE FROM ledger_entries`, `UPDATE ledger_postings SET amount = 1`, `DELETE FROM orders`, `DELETE FROM entitlements`, `DELETE FROM photos`} {
		_, err := db.Owner.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "PR002", pgErr.Code, sql)
	}
}
