package idempotency

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// What clients saw and what happened, judged in SQL alone.
const violations = `
SELECT 'two effects' AS broken FROM effects GROUP BY key HAVING count(*) > 1
UNION ALL
SELECT 'two answers' FROM answers GROUP BY key HAVING count(DISTINCT body) > 1
UNION ALL
SELECT 'an answer to another request' FROM answers GROUP BY key HAVING count(DISTINCT fingerprint) > 1
UNION ALL
SELECT 'not what is stored' FROM answers a JOIN idempotency_keys k USING (key) WHERE k.state = 'done' AND k.body <> a.body`

func (d *desk) broken(t testing.TB) []string {
	t.Helper()
	rows, err := d.pool.Query(t.Context(), `SELECT DISTINCT broken FROM (`+violations+`) v`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// work has the request's effect and answers it, all in tx, at its term, and
// commits. If it lost its key it undoes all that.
func (d *desk) work(t testing.TB, tx pgx.Tx, c Claim, term int32) {
	t.Helper()
	subject := id.New()
	_, err := tx.Exec(t.Context(), `INSERT INTO effects VALUES ($1, $2)`, c.Key, subject)
	require.NoError(t, err)
	stored, err := d.store.CompleteTx(t.Context(), tx, c, term, 201, []byte(subject.String()))
	require.NoError(t, err)
	if stored != nil {
		require.Equal(t, Done, stored.State)
		require.NoError(t, tx.Rollback(t.Context()))
		return
	}
	d.answer(t, tx, c, []byte(subject.String()))
	require.NoError(t, tx.Commit(t.Context()))
}

// answer notes what the client is told.
func (d *desk) answer(t testing.TB, q pg.DBTX, c Claim, body []byte) {
	t.Helper()
	_, err := q.Exec(t.Context(), `INSERT INTO answers VALUES ($1, $2, $3)`, c.Key, c.Fingerprint, body)
	require.NoError(t, err)
}

// request is a whole request: claim, effect and answer in one transaction, or
// the answer that is stored.
func (d *desk) request(t testing.TB, c Claim) State {
	t.Helper()
	tx := pgtest.StartTx(t, d.pool)
	b, err := d.store.BeginTx(t.Context(), tx, c)
	require.NoError(t, err)
	switch b.State {
	case New, Resume:
		d.work(t, tx, c, b.Term)
		return b.State
	case Done:
		d.answer(t, tx, c, b.Body)
	}
	require.NoError(t, tx.Commit(t.Context()))
	return b.State
}

// atOnce lets two requests begin before either works. With the key in place the
// second waits for the first and gets its answer.
func (d *desk) atOnce(t testing.TB, c Claim) {
	t.Helper()
	a, b := pgtest.StartTx(t, d.pool), pgtest.StartTx(t, d.pool)
	first, err := d.store.BeginTx(t.Context(), a, c)
	require.NoError(t, err)
	var second Begun
	var late errgroup.Group
	begun := make(chan struct{})
	late.Go(func() (err error) {
		defer close(begun)
		second, err = d.store.BeginTx(t.Context(), b, c)
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { // whichever comes: it is done, or it waits
		<-begun
		cancel()
	}()
	_, _ = pgtest.WaitBlocked(ctx, d.pool, b.PID)
	d.work(t, a, c, first.Term)
	require.NoError(t, late.Wait())
	if second.State == Done {
		d.answer(t, b, c, second.Body)
		require.NoError(t, b.Commit(t.Context()))
		return
	}
	d.work(t, b, c, second.Term)
}

// stale lets the owner of a lapsed key finish after its successor did.
func (d *desk) stale(t testing.TB, c Claim) {
	t.Helper()
	require.Equal(t, New, d.begin(t, c).State)
	d.later(t, 31*time.Second)
	require.Equal(t, Resume, d.request(t, c))
	d.work(t, pgtest.StartTx(t, d.pool), c, 1)
}

// Each guard: with it the same requests leave no trace, without it the rules
// see the damage.
func TestGuards(t *testing.T) {
	t.Parallel()
	c := newClaim("a cart")
	other := c
	other.Fingerprint = newClaim("another cart").Fingerprint
	for name, g := range map[string]struct {
		remove   func(*testing.T, *desk)
		requests func(*testing.T, *desk)
		broken   []string
	}{
		"idempotency.key": {
			func(_ *testing.T, d *desk) { d.store.unkeyed = true },
			func(t *testing.T, d *desk) { d.request(t, c); d.request(t, c) },
			[]string{"two effects", "two answers"},
		},
		"idempotency.fingerprint": {
			func(_ *testing.T, d *desk) { d.store.unmatched = true },
			func(t *testing.T, d *desk) { d.request(t, c); d.request(t, other) },
			[]string{"an answer to another request"},
		},
		"idempotency.term": {
			func(_ *testing.T, d *desk) { d.store.unfenced = true },
			func(t *testing.T, d *desk) { d.stale(t, c) },
			[]string{"two effects", "two answers", "not what is stored"},
		},
		"uq_idempotency_key": {
			func(t *testing.T, d *desk) {
				d.owner(t, `ALTER TABLE idempotency_keys DROP CONSTRAINT uq_idempotency_key`)
			},
			func(t *testing.T, d *desk) { d.atOnce(t, c) },
			[]string{"two effects", "two answers", "not what is stored"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := newDesk(t)
			g.requests(t, with)
			require.Empty(t, with.broken(t))
			var n int
			require.NoError(t, with.pool.QueryRow(t.Context(), `SELECT count(*) FROM answers`).Scan(&n))
			require.Positive(t, n, "something was answered")
			without := newDesk(t)
			g.remove(t, without)
			g.requests(t, without)
			require.ElementsMatch(t, g.broken, without.broken(t))
		})
	}
}
