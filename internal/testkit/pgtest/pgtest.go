package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg"
)

const (
	// lockKey is the advisory lock under which templates are built and old
	// databases dropped.
	lockKey = 0x70677465
	// keep is how many databases of failed tests, and how many templates, stay.
	keep = 10
	// abandoned is the age at which a test's database belongs to nobody.
	abandoned = 2 * time.Hour
	// patience bounds every step against the server.
	patience = time.Minute
)

// DB is a database of one test.
type DB struct {
	Name string
	URL  string        // as superuser
	Pool *pgxpool.Pool // as the program works: role proofroom_app
	// Owner works as superuser, for what the program itself may not do.
	Owner *pgxpool.Pool
}

// New makes a database with the program's schema and drops it when the test
// ends. When the test failed, it keeps the database and logs its URL.
func New(t testing.TB) *DB {
	t.Helper()
	return newFrom(t, product)
}

func newFrom(t testing.TB, s schema) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := serverURL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name, err := clone(ctx, server, s)
	if err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	db := &DB{Name: name, URL: databaseURL(server, name)}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		dispose(ctx, t, server, name)
	})
	db.Pool = open(ctx, t, pg.PoolConfig{URL: db.URL, Role: pg.AppRole, Name: "test"})
	db.Owner = open(ctx, t, pg.PoolConfig{URL: db.URL, MaxConns: 4, Name: "test owner"})
	return db
}

// open opens a pool that is closed when the test ends. A test that holds on to a
// connection fails instead of hanging.
func open(ctx context.Context, t testing.TB, cfg pg.PoolConfig) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(2 * time.Second):
			t.Errorf("%d connections of pool %q were never given back", pool.Stat().AcquiredConns(), cfg.Name)
		}
	})
	return pool
}

// dispose drops the test's database, or keeps it for whoever looks into it.
func dispose(ctx context.Context, t testing.TB, server, name string) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Errorf("drop the test's database: %v", err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	if !t.Failed() {
		if err := drop(ctx, conn, name); err != nil {
			t.Error(err)
		}
		return
	}
	kept := strings.Replace(name, "test_", "kept_", 1)
	if err := alone(ctx, conn, name, "ALTER DATABASE "+ident(name)+" RENAME TO "+ident(kept)); err != nil {
		t.Logf("the test's database could not be kept: %v", err)
		return
	}
	t.Logf("kept while its server runs (go run ./internal/testkit/pgtest/withpg holds one): psql '%s'", databaseURL(server, kept))
	if err := locked(ctx, conn, func() error { return dropBeyond(ctx, conn, "kept_", keep) }); err != nil {
		t.Logf("older kept databases: %v", err)
	}
}

// clone makes a database from the schema's template, building that first if
// there is none.
func clone(ctx context.Context, server string, s schema) (string, error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	hash, err := s.hash()
	if err != nil {
		return "", err
	}
	tpl := "tpl_" + hash
	if err := sweepOnce(ctx, conn); err != nil {
		return "", err
	}
	name := fmt.Sprintf("test_%s_%s", strconv.FormatInt(time.Now().UnixMilli(), 36), strings.ToLower(rand.Text()[:8]))
	copyTemplate := "CREATE DATABASE " + ident(name) + " TEMPLATE " + ident(tpl) + " STRATEGY FILE_COPY"
	_, err = conn.Exec(ctx, copyTemplate)
	// There is no such template yet, or another process has dropped it since.
	for try := 0; hasCode(err, "3D000") && try < 3; try++ {
		if err = build(ctx, conn, server, hash, s); err == nil {
			_, err = conn.Exec(ctx, copyTemplate)
		}
	}
	return name, err
}

// build makes the template under the lock: whoever comes second finds it made.
func build(ctx context.Context, conn *pgx.Conn, server, hash string, s schema) error {
	return locked(ctx, conn, func() error {
		var exists bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", "tpl_"+hash).Scan(&exists); err != nil || exists {
			return err
		}
		tmp := "tmp_" + hash
		if err := drop(ctx, conn, tmp); err != nil { // of a builder that was killed
			return err
		}
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+ident(tmp)); err != nil {
			return err
		}
		if err := s.migrate(ctx, databaseURL(server, tmp)); err != nil {
			return errors.Join(fmt.Errorf("migrate the template: %w", err), drop(ctx, conn, tmp))
		}
		// A template that somebody is connected to cannot be copied.
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+ident(tmp)+" ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
		if err := alone(ctx, conn, tmp, "ALTER DATABASE "+ident(tmp)+" RENAME TO "+ident("tpl_"+hash)); err != nil {
			return err
		}
		return dropBeyond(ctx, conn, "tpl_", keep)
	})
}

var swept struct {
	sync.Mutex
	done bool
}

// sweepOnce drops what earlier runs left, once per process.
func sweepOnce(ctx context.Context, conn *pgx.Conn) error {
	swept.Lock()
	defer swept.Unlock()
	if swept.done {
		return nil
	}
	err := locked(ctx, conn, func() error { return sweep(ctx, conn, time.Now()) })
	swept.done = err == nil
	return err
}

// sweep drops databases of killed runs: unfinished templates, since their
// builder would hold the lock, and old databases of tests that nobody uses.
func sweep(ctx context.Context, conn *pgx.Conn, now time.Time) error {
	rows, err := conn.Query(ctx, `
		SELECT datname FROM pg_database d
		WHERE (datname LIKE 'tmp\_%' OR datname LIKE 'test\_%')
		  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if made, ok := madeAt(name); ok && now.Sub(made) < abandoned {
			continue
		}
		if err := drop(ctx, conn, name); err != nil {
			return err
		}
	}
	return dropBeyond(ctx, conn, "kept_", keep)
}

// madeAt reads the time from the name of a test's database.
func madeAt(name string) (time.Time, bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 || parts[0] != "test" {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(parts[1], 36, 64)
	return time.UnixMilli(ms), err == nil
}

// dropBeyond drops all but the newest n databases of a prefix; numbers of
// databases grow.
func dropBeyond(ctx context.Context, conn *pgx.Conn, prefix string, n int) error {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY oid DESC OFFSET $2`, prefix, n)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := drop(ctx, conn, name); err != nil {
			return err
		}
	}
	return nil
}

func drop(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+ident(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// alone runs a statement that needs the database to itself: sessions end a
// little after their clients, and vacuum comes when it likes.
func alone(ctx context.Context, conn *pgx.Conn, name, statement string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, statement)
		if !hasCode(err, "55006") {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// locked runs f as the only one on this server.
func locked(ctx context.Context, conn *pgx.Conn, f func() error) error {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey); err != nil {
		return err
	}
	err := f()
	_, unlockErr := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", lockKey)
	return errors.Join(err, unlockErr)
}

func hasCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// databaseURL is the server's URL with another database.
func databaseURL(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server // connecting to the server has failed before this
	}
	u.Path = "/" + name
	return u.String()
}
