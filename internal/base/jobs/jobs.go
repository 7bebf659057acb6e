package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"proofroom/internal/base/problem"
)

const (
	// Timeout is the longest that a job may run; kinds may ask for less.
	Timeout = 2 * time.Minute
	// poll is how often an idle queue is looked at.
	poll = 250 * time.Millisecond
)

// Client inserts jobs and, when it has workers, runs them.
type Client struct{ *river.Client[pgx.Tx] }

// Enqueuer inserts jobs in the transaction of their cause; *Client does.
type Enqueuer interface {
	EnqueueTx(ctx context.Context, tx pgx.Tx, queue string, args ...river.JobArgs) error
}

// Config says what a client does.
type Config struct {
	Pool    *pgxpool.Pool
	Workers *river.Workers // nil: only insert
	Queues  map[string]int // workers at once, by queue
	Log     *slog.Logger
}

// quietDriver reports that notifications are not supported, so that inserting
// a job never runs NOTIFY in the caller's transaction.
type quietDriver struct{ *riverpgxv5.Driver }

func (quietDriver) SupportsListener() bool     { return false }
func (quietDriver) SupportsListenNotify() bool { return false }

// New makes a client. It does nothing before Start.
func New(c Config) (*Client, error) {
	cfg := &river.Config{
		FetchPollInterval:    poll,
		FetchCooldown:        poll / 2,
		JobTimeout:           Timeout,
		RescueStuckJobsAfter: 2 * Timeout,
		Logger:               warnings(c.Log),
		Workers:              c.Workers,
	}
	if c.Workers != nil {
		cfg.Queues = map[string]river.QueueConfig{}
		for name, n := range c.Queues {
			cfg.Queues[name] = river.QueueConfig{MaxWorkers: n}
		}
	}
	client, err := river.NewClient(quietDriver{riverpgxv5.New(c.Pool)}, cfg)
	if err != nil {
		return nil, fmt.Errorf("configure the job queue: %w", err)
	}
	return &Client{client}, nil
}

// warnings drops what the queue says of its own ordinary work.
func warnings(log *slog.Logger) *slog.Logger {
	if log == nil {
		return nil
	}
	return slog.New(atLeast{log.Handler()})
}

type atLeast struct{ slog.Handler }

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler { return atLeast{h.Handler.WithAttrs(a)} }
func (h atLeast) WithGroup(name string) slog.Handler   { return atLeast{h.Handler.WithGroup(name)} }

// EnqueueTx inserts jobs in the caller's transaction.
func (c *Client) EnqueueTx(ctx context.Context, tx pgx.Tx, queue string, args ...river.JobArgs) error {
	params := make([]river.InsertManyParams, len(args))
	for i, a := range args {
		params[i] = river.InsertManyParams{Args: a, InsertOpts: &river.InsertOpts{Queue: queue}}
	}
	if _, err := c.InsertManyFastTx(ctx, tx, params); err != nil {
		return fmt.Errorf("enqueue a job: %w", err)
	}
	return nil
}

// Result maps an error of a flow to what River does with the job: what can
// never succeed is canceled, what is asked to wait is put off, the rest is
// retried with backoff.
func Result(err error) error {
	if err == nil {
		return nil
	}
	p := problem.As(err)
	switch {
	case p == nil:
		return err
	case p.Kind == problem.RateLimited, p.Kind == problem.Unavailable:
		wait := p.RetryAfter
		if wait == 0 {
			wait = 10 * time.Second
		}
		return river.JobSnooze(wait)
	case p.Kind == problem.Invalid, p.Kind == problem.NotFound, p.Kind == problem.Unprocessable, p.Kind == problem.Gone:
		return river.JobCancel(err)
	}
	return err
}

// Canceled reports whether the job will not run again.
func Canceled(err error) bool {
	var c *river.JobCancelError
	return errors.As(err, &c)
}
