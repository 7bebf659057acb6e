package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"proofroom/internal/base/guard"
)

// DBTX is a pool or a transaction, for reads that need no more.
type DBTX interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

// ErrCommitUnknown says that the connection broke while a commit was under way:
// the transaction may stand or not. The caller looks its effect up by key.
var ErrCommitUnknown = errors.New("pg: the commit's reply was lost")

const (
	maxTries        = 5
	rollbackTimeout = 5 * time.Second
)

var guardRetry = guard.Define("pg.retry", guard.Check, "who met somebody else in the database is refused, instead of tried again at once")

// TxRetries counts transactions run again, by SQLSTATE.
var TxRetries = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "proofroom_tx_retries_total",
	Help: "Transactions run again after a deadlock or serialization failure.",
}, []string{"sqlstate"})

type txMark struct{}

// InTransaction reports whether ctx belongs to an open transaction. Transports
// to networks, blobs and children refuse such a context: a call of unknown
// length would hold locks.
func InTransaction(ctx context.Context) bool { return ctx.Value(txMark{}) != nil }

// ErrInTransaction is the refusal.
var ErrInTransaction = errors.New("pg: no network, blob or child process call is made inside a transaction")

// InTx runs fn in one READ COMMITTED transaction and commits it. fn may run
// again after a deadlock (40P01) or serialization failure (40001), so it must
// not change captured variables; it returns its result instead. A nested call
// is an error.
func InTx[T any](ctx context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, tx pgx.Tx) (T, error)) (T, error) {
	var zero T
	if InTransaction(ctx) {
		return zero, errors.New("pg: InTx inside InTx: join the open transaction with the Tx function")
	}
	for try := 1; ; try++ {
		out, err := once(ctx, pool, fn)
		code, again := retryable(err)
		if !again || try == maxTries {
			return out, err
		}
		TxRetries.WithLabelValues(code).Inc()
		// Full jitter, so that two that met do not meet again.
		pause := time.Duration(rand.Int64N(int64(5*time.Millisecond) << try))
		select {
		case <-ctx.Done():
			return zero, fmt.Errorf("%w (while waiting to run a transaction again: %w)", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// Exec is InTx for work without a result.
func Exec(ctx context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, tx pgx.Tx) error) error {
	_, err := InTx(ctx, pool, func(ctx context.Context, tx pgx.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	return err
}

func once[T any](ctx context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, tx pgx.Tx) (T, error)) (out T, err error) {
	var zero T
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return zero, fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// The rollback must reach the server also when ctx is over, or the
		// connection is lost to the pool. It runs on panics as well.
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(rctx)
	}()
	out, err = fn(context.WithValue(ctx, txMark{}, true), tx)
	if err != nil {
		return zero, err
	}
	committed = true // also when it fails: a failed commit is not rolled back
	if err := tx.Commit(ctx); err != nil {
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) || errors.Is(err, pgx.ErrTxCommitRollback) {
			return zero, fmt.Errorf("commit: %w", err)
		}
		return zero, fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	return out, nil
}

func retryable(err error) (code string, again bool) {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return "", false
	}
	return pgErr.Code, guardRetry.On() && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}
