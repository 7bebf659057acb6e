package pg_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// Answers come to the steps that asked, in their order; a step that asks nothing
// takes no answer of another.
func TestPipe(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	var one, three int
	var two []int32
	var changed int64
	calls := 0
	run := func(steps ...pg.Step) error {
		return pg.Exec(t.Context(), db.Owner, func(ctx context.Context, tx pgx.Tx) error { return pg.Pipe(ctx, tx, steps...) })
	}
	number := func(n int, into *int) pg.Step {
		return func(ctx context.Context, q pg.DBTX) error { return q.QueryRow(ctx, `SELECT $1::int`, n).Scan(into) }
	}
	require.NoError(t, run(
		number(1, &one),
		func(context.Context, pg.DBTX) error { calls++; return nil },
		func(ctx context.Context, q pg.DBTX) error {
			rows, err := q.Query(ctx, `SELECT generate_series(1, 2)`)
			if err != nil {
				return err
			}
			two, err = pgx.CollectRows(rows, pgx.RowTo[int32])
			return err
		},
		func(ctx context.Context, q pg.DBTX) error {
			tag, err := q.Exec(ctx, `CREATE TABLE piped AS SELECT generate_series(1, 3) AS n`)
			changed = tag.RowsAffected()
			return err
		},
		number(3, &three),
	))
	require.Equal(t, []any{1, []int32{1, 2}, int64(3), 3, 1}, []any{one, two, changed, three, calls})
	require.NoError(t, run())

	// An error of one undoes all, also of those before it.
	no := errors.New("no")
	err := run(
		func(ctx context.Context, q pg.DBTX) error { _, err := q.Exec(ctx, `DELETE FROM piped`); return err },
		func(ctx context.Context, q pg.DBTX) error {
			if err := number(1, &one)(ctx, q); err != nil {
				return err
			}
			return no
		},
		number(4, &three),
	)
	require.ErrorIs(t, err, no)
	require.Equal(t, 3, three, "a step after an error is not answered")
	require.ErrorContains(t, run(number(1, &one), func(ctx context.Context, q pg.DBTX) error { _, err := q.Exec(ctx, `SELECT 1/0`); return err }), "division by zero")
	require.NoError(t, db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM piped`).Scan(&one))
	require.Equal(t, 3, one)
}

// What is no step is refused before anything is sent.
func TestPipeRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for name, step := range map[string]pg.Step{
		"two statements": func(ctx context.Context, q pg.DBTX) error {
			_, _ = q.Exec(ctx, `CREATE TABLE a ()`)
			_, err := q.Exec(ctx, `CREATE TABLE b ()`)
			return err
		},
		"an error kept": func(ctx context.Context, q pg.DBTX) error { _, _ = q.Exec(ctx, `CREATE TABLE a ()`); return nil },
		"an own error":  func(context.Context, pg.DBTX) error { return errors.New("own") },
	} {
		err := pg.Exec(t.Context(), db.Owner, func(ctx context.Context, tx pgx.Tx) error { return pg.Pipe(ctx, tx, step) })
		require.ErrorContains(t, err, "a step of a pipe", name)
	}
	var n int
	require.NoError(t, db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b')`).Scan(&n))
	require.Zero(t, n)
}
