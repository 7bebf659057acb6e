package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"proofroom/migrations"
)

// Migrate brings the database at url to this binary's schema and to the job
// queue's. It is safe to run from several processes at once and to run again.
func Migrate(ctx context.Context, url string) error {
	pool, err := Open(ctx, PoolConfig{URL: url, MaxConns: 4, Name: "proofroom migrate"})
	if err != nil {
		return err
	}
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	// The queue's own migrator has no lock; ours is held by its own key.
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockMigrateJobs); err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lockMigrateJobs) }()
	jobs, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	if _, err := jobs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	const grants = `
		DO $$ DECLARE t text; BEGIN
		  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema AND tablename LIKE 'river\_%' LOOP
		    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO proofroom_app', t);
		  END LOOP;
		  GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO proofroom_app;
		END $$`
	if _, err := conn.Exec(ctx, grants); err != nil {
		return fmt.Errorf("grant the job queue to %s: %w", AppRole, err)
	}
	return nil
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// ErrSchema says that this binary must not serve this database.
var ErrSchema = errors.New("pg: the database's schema does not fit this binary")

// Newest is the newest migration that this binary knows.
func Newest() (int64, error) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, f := range files {
		v, err := goose.NumericComponent(f)
		if err != nil {
			return 0, err
		}
		newest = max(newest, v)
	}
	return newest, nil
}

// CheckSchema refuses a schema older than this binary needs, and one so new
// that it no longer supports this binary, naming the command to run.
func CheckSchema(ctx context.Context, pool *pgxpool.Pool) error {
	binary, err := Newest()
	if err != nil {
		return err
	}
	var exists bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('schema_support') IS NOT NULL`).Scan(&exists); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if !exists {
		return fmt.Errorf("%w: it is empty; run: proofroom migrate", ErrSchema)
	}
	var schema, oldest int64
	err = pool.QueryRow(ctx, `SELECT max(migration), max(oldest_binary) FROM schema_support`).Scan(&schema, &oldest)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	switch {
	case schema < binary:
		return fmt.Errorf("%w: the schema is at %d and this binary needs %d; run: proofroom migrate", ErrSchema, schema, binary)
	case oldest > binary:
		return fmt.Errorf("%w: the schema is at %d, which supports binaries from %d on, and this one is %d; install a newer proofroom",
			ErrSchema, schema, oldest, binary)
	}
	return nil
}
