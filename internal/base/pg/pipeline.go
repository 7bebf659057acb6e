package pg

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Batcher is a pool or a transaction that can take several statements at once.
type Batcher interface {
	DBTX
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Step is one statement of a Pipeline and what is made of its result: a function
// that calls q once, as the generated queries do.
type Step func(ctx context.Context, q DBTX) error

var (
	errAborted = errors.New("pg: a statement before this one failed")
	errOneCall = errors.New("pg: a step makes one call")
)

// Pipeline runs the statements of several steps in one round trip, in their
// order. Each sees what the ones before it did, and, in a READ COMMITTED
// transaction, what others committed meanwhile: a lock and what is read under it
// may be steps of one pipeline. What a step sends must not depend on the result
// of another. The first error ends it, and the transaction must be undone.
func Pipeline(ctx context.Context, conn Batcher, steps ...Step) error {
	var batch pgx.Batch
	var waiting []*station
	// Each step runs until it has a statement to send, and goes on when the
	// result is its turn to be read.
	for _, step := range steps {
		s := &station{}
		next, stop := iter.Pull(func(yield func(struct{}) bool) {
			s.yield = yield
			s.err = step(ctx, s)
		})
		defer stop()
		s.resume = next
		if _, sends := next(); sends {
			batch.Queue(s.sql, s.args...)
			waiting = append(waiting, s)
		} else if s.err != nil {
			return s.err
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	results := conn.SendBatch(ctx, &batch)
	for _, s := range waiting {
		s.results = results
		if _, again := s.resume(); again {
			s.err = errOneCall
		}
		if s.err != nil {
			_ = results.Close()
			return s.err
		}
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("end a pipeline: %w", err)
	}
	return nil
}

// station is the connection that a step sees.
type station struct {
	yield   func(struct{}) bool
	resume  func() (struct{}, bool)
	results pgx.BatchResults
	sql     string
	args    []any
	err     error
}

func (s *station) send(sql string, args []any) error {
	s.sql, s.args = sql, args
	if !s.yield(struct{}{}) {
		return errAborted
	}
	return nil
}

func (s *station) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := s.send(sql, args); err != nil {
		return pgconn.CommandTag{}, err
	}
	return s.results.Exec()
}

func (s *station) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := s.send(sql, args); err != nil {
		return nil, err
	}
	return s.results.Query()
}

func (s *station) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	if err := s.send(sql, args); err != nil {
		return failed{err}
	}
	return s.results.QueryRow()
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }
