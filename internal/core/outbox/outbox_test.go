package outbox

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

var store = Store{Host: "photos.example"}

func receipt(recipient string) Message {
	return Message{OrderID: id.New(), Kind: Receipt, Recipient: recipient, InboxID: id.New()}
}

func promise(t *testing.T, pool *pgxpool.Pool, s Store, messages ...Message) error {
	t.Helper()
	return pg.Exec(t.Context(), pool, func(ctx context.Context, tx pgx.Tx) error { return s.MessagesTx(ctx, tx, messages) })
}

func TestOneMessageForEachOrderAndKind(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool
	a, b := receipt("a@example.test"), receipt("")
	require.NoError(t, promise(t, pool, store, a, b, a))
	first, err := store.Of(t.Context(), pool, a.OrderID)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Equal(t, "<receipt."+a.OrderID.String()+"@photos.example>", first[0].MessageID)
	require.Equal(t, Queued, first[0].State)
	require.Equal(t, a.InboxID, first[0].InboxID)
	nobody, err := store.Of(t.Context(), pool, b.OrderID)
	require.NoError(t, err)
	require.Equal(t, Unaddressed, nobody[0].State)

	// Again: by another observation, to another address, under another name.
	again, c := a, receipt("c@example.test")
	again.InboxID, again.Recipient = id.New(), "other@example.test"
	require.NoError(t, promise(t, pool, Store{Host: "moved.example"}, again, c))
	second, err := store.Of(t.Context(), pool, a.OrderID)
	require.NoError(t, err)
	require.Equal(t, first, second)
	third, err := store.Of(t.Context(), pool, c.OrderID)
	require.NoError(t, err)
	require.Len(t, third, 1)
	require.NoError(t, promise(t, pool, store))
}

func TestMessageIDIsMadeFromOrderAndKind(t *testing.T) {
	t.Parallel()
	about := id.New()
	want := regexp.MustCompile(`^<receipt\.[0-9a-f-]{36}@photos\.example>$`)
	require.Regexp(t, want, store.messageID(Receipt, about))
	require.Equal(t, store.messageID(Receipt, about), store.messageID(Receipt, about))
	require.NotEqual(t, store.messageID(Receipt, about), store.messageID(Receipt, id.New()))
	require.NotContains(t, Store{}.messageID(Receipt, about), "@>")
}

// The Message-ID of one message is taken by another: nothing is promised
// silently that does not stand.
func TestForeignMessageID(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	m := receipt("a@example.test")
	_, err := db.Owner.Exec(t.Context(), `INSERT INTO messages (id, order_id, kind, recipient, message_id, inbox_id) VALUES ($1, $1, 'receipt', 'a@example.test', $2, $1)`,
		id.New(), store.messageID(m.Kind, m.OrderID))
	require.NoError(t, err)
	require.ErrorIs(t, promise(t, db.Pool, store, receipt(""), m), ErrMessageDiffers)
}

const twice = `SELECT count(*) FROM (SELECT FROM messages GROUP BY order_id, kind HAVING count(*) > 1) d`

func TestSameMessageFromTwoTransactions(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	m, other := receipt("a@example.test"), receipt("b@example.test")
	a, b := pgtest.StartTx(t, db.Pool), pgtest.StartTx(t, db.Pool)
	require.NoError(t, store.MessagesTx(t.Context(), a, []Message{m, other}))
	var late errgroup.Group
	late.Go(func() error { return store.MessagesTx(t.Context(), b, []Message{other, m}) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pgtest.WaitBlocked(ctx, db.Pool, b.PID)
	require.NoError(t, err)
	require.NoError(t, a.Commit(t.Context()))
	require.NoError(t, late.Wait())
	require.NoError(t, b.Commit(t.Context()))
	var n int
	require.NoError(t, db.Pool.QueryRow(t.Context(), twice).Scan(&n))
	require.Zero(t, n)
}

// Messages of two transactions in opposite orders come to one that a third holds.
// They are inserted sorted, so nothing deadlocks.
func TestCrossingMessages(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool
	a, b, c := receipt(""), receipt(""), receipt("")
	holder := pgtest.StartTx(t, pool)
	require.NoError(t, store.MessagesTx(t.Context(), holder, []Message{b}))
	var late errgroup.Group
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, messages := range [][]Message{{a, b, c}, {c, b, a}} {
		tx := pgtest.StartTx(t, pool)
		late.Go(func() error {
			return errors.Join(store.MessagesTx(ctx, tx, messages), tx.Commit(ctx))
		})
		_, err := pgtest.WaitBlocked(ctx, pool, tx.PID)
		require.NoError(t, err)
	}
	require.NoError(t, holder.Rollback(t.Context()))
	require.NoError(t, late.Wait())
}

// Without uq_message the Message-ID is the backup, while the host keeps its
// name; without both there are two receipts.
func TestWithoutUniqueKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		remove string
		want   int
	}{
		"the Message-ID stands in": {"DROP INDEX uq_message", 0},
		"nothing does":             {"DROP INDEX uq_message; ALTER TABLE messages DROP CONSTRAINT uq_message_id", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			_, err := db.Owner.Exec(t.Context(), c.remove)
			require.NoError(t, err)
			m := receipt("a@example.test")
			require.NoError(t, promise(t, db.Pool, store, m))
			require.NoError(t, promise(t, db.Pool, store, m))
			var n int
			require.NoError(t, db.Pool.QueryRow(t.Context(), twice).Scan(&n))
			require.Equal(t, c.want, n)
		})
	}
}
