package pgtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
)

// victimEnv turns the test binary into a process that uses a server, is about to
// be killed, and has no TestMain that would clean up.
const victimEnv = "PROOFROOM_TEST_VICTIM"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(victimEnv); ok {
		s, err := Serve(context.Background())
		if err != nil {
			_, _ = fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintln(os.Stdout, s.dir)
		_, _ = fmt.Fprintln(os.Stdout, s.URL)
		select {}
	}
	os.Exit(m.Run())
}

// record is a test whose verdict is ours to choose.
type record struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
	failed   bool
	said     strings.Builder
}

func (r *record) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *record) Failed() bool     { return r.failed }

func (r *record) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *record) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

func (r *record) end() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
}

// counted is the product's schema under a name of its own, counting how often it
// is applied.
func counted(times *atomic.Int32) schema {
	hash := strings.ToLower(rand.Text()[:12])
	return schema{
		hash: func() (string, error) { return hash, nil },
		migrate: func(ctx context.Context, url string) error {
			times.Add(1)
			return pg.Migrate(ctx, url)
		},
	}
}

func ownServer(t *testing.T) (*Server, *pgx.Conn) {
	t.Helper()
	s, err := Serve(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return s, conn
}

func databases(t *testing.T, conn *pgx.Conn, prefix string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY oid", prefix)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestNewGivesAnOwnDatabaseAndDropsIt(t *testing.T) {
	t.Parallel()
	kept := New(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := New(t)
		name = db.Name
		var database, user string
		require.NoError(t, db.Pool.QueryRow(t.Context(), "SELECT current_database(), current_user").Scan(&database, &user))
		require.Equal(t, db.Name, database)
		require.Equal(t, pg.AppRole, user)
		require.NoError(t, pg.CheckSchema(t.Context(), db.Pool))
		_, err := db.Pool.Exec(t.Context(), "CREATE TABLE mine ()")
		require.Error(t, err, "the program's role may not change the schema")
		_, err = db.Owner.Exec(t.Context(), "CREATE TABLE mine ()")
		require.NoError(t, err)
	})
	var exists bool
	require.NoError(t, kept.Owner.QueryRow(t.Context(), "SELECT to_regclass('mine') IS NOT NULL").Scan(&exists))
	require.False(t, exists)
	require.NoError(t, kept.Owner.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists))
	require.False(t, exists)
}

func TestTemplateIsBuiltOnce(t *testing.T) {
	t.Parallel()
	server, conn := ownServer(t)
	var times atomic.Int32
	s := counted(&times)
	hash, err := s.hash()
	require.NoError(t, err)
	// A builder was killed half-way, here and with another schema.
	for _, name := range []string{"tmp_" + hash, "tmp_other"} {
		_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
		require.NoError(t, err)
	}
	errs := make(chan error)
	const clones = 8
	for range clones {
		go func() {
			_, err := clone(t.Context(), server.URL, s)
			errs <- err
		}()
	}
	for range clones {
		require.NoError(t, <-errs)
	}
	require.EqualValues(t, 1, times.Load())
	require.Len(t, databases(t, conn, "test_"), clones)
	require.Equal(t, []string{"tpl_" + hash}, databases(t, conn, "tpl_"))
	require.NoError(t, sweep(t.Context(), conn, time.Now()))
	require.Empty(t, databases(t, conn, "tmp_"))
	require.Len(t, databases(t, conn, "test_"), clones, "young databases are somebody's")

	// Dropped by another process: made again.
	require.NoError(t, drop(t.Context(), conn, "tpl_"+hash))
	name, err := clone(t.Context(), server.URL, s)
	require.NoError(t, err)
	require.EqualValues(t, 2, times.Load())

	// Two hours on, what nobody is connected to was left by killed runs.
	user, err := pgx.Connect(t.Context(), databaseURL(server.URL, name))
	require.NoError(t, err)
	defer func() { _ = user.Close(context.Background()) }()
	require.NoError(t, sweep(t.Context(), conn, time.Now().Add(abandoned+time.Minute)))
	require.Equal(t, []string{name}, databases(t, conn, "test_"))
}

func TestFailedMigrationLeavesNoTemplate(t *testing.T) {
	t.Parallel()
	server, conn := ownServer(t)
	var times atomic.Int32
	s := counted(&times)
	good := s.migrate
	s.migrate = func(ctx context.Context, url string) error {
		return errors.Join(good(ctx, url), errors.New("on purpose"))
	}
	_, err := clone(t.Context(), server.URL, s)
	require.ErrorContains(t, err, "on purpose")
	require.Empty(t, databases(t, conn, "tpl_"))
	require.Empty(t, databases(t, conn, "tmp_"))
	s.migrate = good
	_, err = clone(t.Context(), server.URL, s)
	require.NoError(t, err)
}

func TestFailedTestKeepsItsDatabase(t *testing.T) {
	t.Parallel()
	r := &record{TB: t}
	db := New(r)
	_, err := db.Owner.Exec(t.Context(), "CREATE TABLE evidence AS SELECT 42 AS n")
	require.NoError(t, err)
	r.failed = true
	r.end()
	_, url, ok := strings.Cut(r.said.String(), "psql '")
	require.True(t, ok, r.said.String())
	url, _, _ = strings.Cut(url, "'")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT n FROM evidence").Scan(&n))
	require.Equal(t, 42, n)
}

func TestKeptDatabasesAreBounded(t *testing.T) {
	t.Parallel()
	_, conn := ownServer(t)
	for i := range keep + 2 {
		_, err := conn.Exec(t.Context(), fmt.Sprintf("CREATE DATABASE kept_%02d", i))
		require.NoError(t, err)
	}
	require.NoError(t, sweep(t.Context(), conn, time.Now()))
	names := databases(t, conn, "kept_")
	require.Len(t, names, keep)
	require.Equal(t, "kept_02", names[0], "the oldest go first")
}

func TestLeakedConnectionFailsTheTest(t *testing.T) {
	t.Parallel()
	r := &record{TB: t}
	db := New(r)
	conn, err := db.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	r.end()
	require.True(t, r.failed)
	require.Contains(t, r.said.String(), "1 connections of pool")
}

func TestWaitBlocked(t *testing.T) {
	t.Parallel()
	db := New(t)
	_, err := db.Owner.Exec(t.Context(), "CREATE TABLE n AS SELECT 1 AS n")
	require.NoError(t, err)
	a, b := StartTx(t, db.Owner), StartTx(t, db.Owner)
	_, err = a.Exec(t.Context(), "UPDATE n SET n = n + 1")
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = WaitBlocked(short, db.Owner, b.PID)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	done := make(chan error)
	go func() {
		_, err := b.Exec(t.Context(), "UPDATE n SET n = n + 1")
		done <- err
	}()
	long, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	by, err := WaitBlocked(long, db.Owner, b.PID)
	require.NoError(t, err)
	require.Equal(t, []uint32{a.PID}, by)
	require.NoError(t, a.Commit(t.Context()))
	require.NoError(t, <-done)
	require.NoError(t, b.Commit(t.Context()))
	var n int
	require.NoError(t, db.Owner.QueryRow(t.Context(), "SELECT n FROM n").Scan(&n))
	require.Equal(t, 3, n)
}

func TestServerEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	victim := exec.CommandContext(t.Context(), self)
	victim.Env = append(os.Environ(), victimEnv+"=1")
	out, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	dir := lines.Text()
	require.True(t, lines.Scan())
	url := lines.Text()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err, dir)
	require.DirExists(t, dir)

	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	}, 20*time.Second, 20*time.Millisecond)
	require.Error(t, conn.Ping(t.Context()))
}

func TestServeStopsWaitingWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Serve(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]string{
		"postgres:///postgres?host=%2Frun%2Fx&user=u": "postgres:///d?host=%2Frun%2Fx&user=u",
		"postgres://u:p@h:5433/a?sslmode=disable":     "postgres://u:p@h:5433/d?sslmode=disable",
		"postgresql://h": "postgresql://h/d",
	} {
		require.Equal(t, want, databaseURL(server, "d"))
	}
}
