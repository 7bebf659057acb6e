package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	var inserted int64
	var sum, last int
	conn, err := db.Owner.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `CREATE TEMP TABLE figures (n int)`)
	require.NoError(t, err)
	steps := []pg.Step{
		func(context.Context, pg.DBTX) error { return nil }, // nothing to say
		func(ctx context.Context, q pg.DBTX) error {
			tag, err := q.Exec(ctx, `INSERT INTO figures SELECT generate_series(1, $1::int)`, 4)
			inserted = tag.RowsAffected()
			return err
		},
		func(ctx context.Context, q pg.DBTX) error { // sees what the first did
			return q.QueryRow(ctx, `SELECT sum(n) FROM figures`).Scan(&sum)
		},
		func(ctx context.Context, q pg.DBTX) error {
			rows, err := q.Query(ctx, `SELECT n FROM figures ORDER BY n`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&last); err != nil {
					return err
				}
			}
			return rows.Err()
		},
	}
	require.NoError(t, pg.Pipeline(t.Context(), conn, steps...))
	require.EqualValues(t, 4, inserted)
	require.Equal(t, []int{10, 4}, []int{sum, last})
}

func TestPipeEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ask := func(sql string, seen *int) pg.Step {
		return func(ctx context.Context, q pg.DBTX) error {
			if err := q.QueryRow(ctx, sql).Scan(seen); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
			return nil
		}
	}
	var a, b, c int
	err := pg.Pipeline(t.Context(), db.Owner, ask(`SELECT 1`, &a), ask(`SELECT 1 / 0`, &b), ask(`SELECT 3`, &c))
	require.ErrorContains(t, err, "division by zero")
	require.ErrorContains(t, err, "SELECT 1 / 0")
	require.Equal(t, []int{1, 0, 0}, []int{a, b, c})

	wrong := errors.New("not what was expected")
	err = pg.Pipeline(t.Context(), db.Owner, ask(`SELECT 1`, &a), func(ctx context.Context, q pg.DBTX) error {
		if _, err := q.Exec(ctx, `SELECT 2`); err != nil {
			return err
		}
		return wrong
	}, ask(`SELECT 3`, &c))
	require.ErrorIs(t, err, wrong)
	require.Zero(t, c)

	// A step that fails before it asks: nothing is sent.
	require.ErrorIs(t, pg.Pipeline(t.Context(), db.Owner, func(context.Context, pg.DBTX) error { return wrong }), wrong)
	// And one that asks twice: the second would be of another round trip.
	err = pg.Pipeline(t.Context(), db.Owner, func(ctx context.Context, q pg.DBTX) error {
		_, err := q.Exec(ctx, `SELECT 1`)
		return errors.Join(err, ask(`SELECT 1`, &a)(ctx, q))
	})
	require.ErrorContains(t, err, "one call")
	require.NoError(t, pg.Pipeline(t.Context(), db.Owner, ask(`SELECT 1`, &a)), "the connection is as good as before")
}
