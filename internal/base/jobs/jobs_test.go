package jobs_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/testkit/pgtest"
)

type ping struct {
	N int `json:"n"`
}

func (ping) Kind() string { return "ping" }

type worker struct {
	river.WorkerDefaults[ping]
	done chan int
}

func (w *worker) Work(_ context.Context, job *river.Job[ping]) error {
	w.done <- job.Args.N
	return nil
}

// A job is there if its transaction is, and nothing is notified inside it.
func TestEnqueue(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	w := &worker{done: make(chan int, 2)}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	c, err := jobs.New(jobs.Config{Pool: db.Pool, Workers: workers, Queues: map[string]int{"q": 1}})
	require.NoError(t, err)

	listener, err := db.Owner.Acquire(t.Context())
	require.NoError(t, err)
	defer listener.Release()
	_, err = listener.Exec(t.Context(), `SELECT 1`)
	require.NoError(t, err)
	_, err = listener.Exec(t.Context(), `LISTEN "public.river_insert"`) // the queue's own name of it
	require.NoError(t, err)

	require.NoError(t, pg.Exec(t.Context(), db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		return c.EnqueueTx(ctx, tx, "q", ping{2})
	}))
	undone := errors.New("undone")
	require.ErrorIs(t, pg.Exec(t.Context(), db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		require.NoError(t, c.EnqueueTx(ctx, tx, "q", ping{1}))
		return undone
	}), undone)
	require.NoError(t, c.Start(t.Context()))
	require.Equal(t, 2, <-w.done, "only the job of the transaction that stands")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	require.NoError(t, c.Stop(ctx))
	require.Empty(t, w.done)

	quick, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = listener.Conn().WaitForNotification(quick)
	require.ErrorIs(t, err, context.DeadlineExceeded, "nobody was notified")
}

func TestResult(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	require.NoError(t, jobs.Result(nil))
	require.ErrorIs(t, jobs.Result(plain), plain)
	require.True(t, jobs.Canceled(jobs.Result(problem.Define(problem.NotFound, "x", "x", "x"))))
	var snooze *river.JobSnoozeError
	require.ErrorAs(t, jobs.Result(problem.Define(problem.RateLimited, "x", "x", "x").After(time.Minute)), &snooze)
	require.Equal(t, time.Minute, snooze.Duration)
}
