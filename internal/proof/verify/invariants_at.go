package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckInvariantsAt examines a database as if it were a time: a copy of one was
// at rest since then, and what it left unfinished is not late for that. It is
// for a database that nobody uses, and pool must belong to its owner: the clock
// is replaced in a transaction that is rolled back.
func CheckInvariantsAt(ctx context.Context, pool *pgxpool.Pool, at time.Time) ([]InvariantResult, error) {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("check the invariants: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// A whole copy is examined while nobody waits.
	_, err = tx.Exec(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = 0; CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz
		LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT timestamptz ''%s'''`, at.UTC().Format(time.RFC3339Nano)))
	if err != nil {
		return nil, fmt.Errorf("check the invariants as of %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return check(ctx, tx, false)
}
