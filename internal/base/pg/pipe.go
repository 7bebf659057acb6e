package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Step is one statement of several that are sent together: it makes one call on
// q and looks at its answer, or makes none. It is called twice, first to hear its
// statement, for which every call fails, and then with the answer. So it must
// return the error of its call, and keep what it learns only when there is none.
type Step func(ctx context.Context, q DBTX) error

// Pipe runs the statements of the steps in their order, in one round trip. No
// statement can use what another one answers. It returns the first error; the
// steps after it are not called again, though their statements may have run, so
// that the transaction is to be undone.
func Pipe(ctx context.Context, tx pgx.Tx, steps ...Step) error {
	var batch pgx.Batch
	asked := make([]Step, 0, len(steps))
	for _, step := range steps {
		err := step(ctx, hearing{&batch})
		switch {
		case err == nil && batch.Len() == len(asked):
			continue // nothing to ask
		case !errors.Is(err, errHeard) || batch.Len() != len(asked)+1:
			return fmt.Errorf("pg: a step of a pipe sends one statement and returns its error, not: %v", err)
		}
		asked = append(asked, step)
	}
	if len(asked) == 0 {
		return nil
	}
	answers := tx.SendBatch(ctx, &batch)
	for _, step := range asked {
		if err := step(ctx, answering{answers}); err != nil {
			_ = answers.Close() // what follows an error is its consequence
			return err
		}
	}
	return answers.Close()
}

// errHeard is what every call answers while a pipe hears its statements.
var errHeard = errors.New("pg: the statement is heard, its answer comes with the second call")

// hearing notes statements and answers none.
type hearing struct{ batch *pgx.Batch }

func (h hearing) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	h.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, errHeard
}

func (h hearing) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	h.batch.Queue(sql, args...)
	return nil, errHeard
}

func (h hearing) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	h.batch.Queue(sql, args...)
	return heard{}
}

type heard struct{}

func (heard) Scan(...any) error { return errHeard }

// answering gives the answers in the order of the statements.
type answering struct{ answers pgx.BatchResults }

func (a answering) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.answers.Exec()
}

func (a answering) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return a.answers.Query()
}

func (a answering) QueryRow(context.Context, string, ...any) pgx.Row { return a.answers.QueryRow() }
