package pgtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is one side of an interleaving: an open transaction and the number of its
// server process.
type Tx struct {
	pgx.Tx
	PID uint32
}

// StartTx opens a transaction that is rolled back when the test ends, unless the
// test ends it before. Waits in it are bounded only by the pool's own limits.
func StartTx(t testing.TB, pool *pgxpool.Pool) *Tx {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		conn.Release()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Logf("roll back: %v", err) // the server ended it; that may be the test's very point
		}
		conn.Release()
	})
	return &Tx{Tx: tx, PID: tx.Conn().PgConn().PID()}
}

// WaitBlocked waits until server process pid waits for a lock, and returns the
// processes that it waits for. It asks through pool, so that needs a free
// connection. ctx bounds it: bound it, since a process that never blocks is the
// failure to be found.
func WaitBlocked(ctx context.Context, pool *pgxpool.Pool, pid uint32) ([]uint32, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var by []int32
		if err := pool.QueryRow(ctx, "SELECT pg_blocking_pids($1)", int32(pid)).Scan(&by); err != nil {
			return nil, fmt.Errorf("process %d was not seen waiting for a lock: %w", pid, err)
		}
		if len(by) > 0 {
			pids := make([]uint32, len(by))
			for i, p := range by {
				pids[i] = uint32(p)
			}
			return pids, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("process %d was not seen waiting for a lock: %w", pid, ctx.Err())
		}
	}
}
