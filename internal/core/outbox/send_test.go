package outbox

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/testkit/pgtest"
)

const lease = time.Minute

// later moves the database's clock.
func later(t require.TestingT, db *pgtest.DB, d time.Duration) {
	_, err := db.Owner.Exec(context.Background(), `CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
		AS 'SELECT clock_timestamp() + interval ''`+d.String()+`'''`)
	require.NoError(t, err)
}

func queue(t require.TestingT, db *pgtest.DB) uuid.UUID {
	messageID, err := store.Queue(context.Background(), db.Pool, Message{Kind: MagicLink, Recipient: "a@example.test"})
	require.NoError(t, err)
	return messageID
}

func claim(t require.TestingT, db *pgtest.DB) []Sending {
	out, err := store.Claim(context.Background(), db.Pool, 10, lease)
	require.NoError(t, err)
	return out
}

func claimOne(t require.TestingT, db *pgtest.DB) Sending {
	out := claim(t, db)
	require.Len(t, out, 1)
	return out[0]
}

func get(t require.TestingT, db *pgtest.DB, messageID uuid.UUID) Message {
	m, err := store.Get(context.Background(), db.Pool, messageID)
	require.NoError(t, err)
	return m
}

func TestEveryMessageThatIsAskedForIsOneOfItsOwn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	first, second := get(t, db, queue(t, db)), get(t, db, queue(t, db))
	require.NotEqual(t, first.MessageID, second.MessageID)
	require.Equal(t, "<magic_link."+first.ID.String()+"@photos.example>", first.MessageID)

	order, account := id.New(), id.New()
	for range 2 {
		_, err := store.Queue(t.Context(), db.Pool, Message{Kind: ReceiptAgain, OrderID: order, Recipient: "a@example.test"})
		require.NoError(t, err)
	}
	claimID, err := store.Queue(t.Context(), db.Pool, Message{Kind: Claim, AccountID: &account, Recipient: "b@example.test"})
	require.NoError(t, err)
	require.Equal(t, &account, get(t, db, claimID).AccountID)
	all, err := store.Of(t.Context(), db.Pool, order)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NotEqual(t, all[0].MessageID, all[1].MessageID)
	_, err = store.Get(t.Context(), db.Pool, id.New())
	require.ErrorIs(t, err, ErrNotFound)
	n, err := store.Waiting(t.Context(), db.Pool)
	require.NoError(t, err)
	require.Equal(t, 5, n)
}

// A message that nobody can get is no work, and no message is half of a kind.
func TestMessagesThatCannotBe(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	require.NoError(t, promise(t, db.Pool, store, receipt("")))
	require.Empty(t, claim(t, db))
	for name, m := range map[string]Message{
		"message_addressed": {Kind: MagicLink},
		"message_claimant":  {Kind: Claim, Recipient: "a@example.test"},
		"message_order":     {Kind: ReceiptAgain, Recipient: "a@example.test"},
		"message_cause":     {Kind: Receipt, OrderID: id.New(), Recipient: "a@example.test"},
	} {
		_, err := store.Queue(t.Context(), db.Pool, m)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, name, refused.ConstraintName)
	}
}

func TestClaimsOfSeveralInstances(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	const n = 40
	for range n {
		queue(t, db)
	}
	var lock sync.Mutex
	got := map[uuid.UUID]int{}
	var all errgroup.Group
	for range 4 {
		all.Go(func() error {
			for {
				ms, err := store.Claim(t.Context(), db.Pool, 3, lease)
				if err != nil || len(ms) == 0 {
					return err
				}
				lock.Lock()
				for _, m := range ms {
					got[m.ID]++
				}
				lock.Unlock()
			}
		})
	}
	require.NoError(t, all.Wait())
	require.Len(t, got, n)
	for _, times := range got {
		require.Equal(t, 1, times)
	}
}

func TestHowASendEnds(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	messageID := queue(t, db)

	// Refused for now, three times: not one copy can have arrived.
	for try := 1; try <= 3; try++ {
		m := claimOne(t, db)
		require.Equal(t, []int{try, 1}, []int{m.Tries, m.Copies})
		ok, err := store.Later(t.Context(), db.Pool, m, 0, "451 not\r\nnow")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "451 not  now", get(t, db, messageID).Note)
		require.Zero(t, get(t, db, messageID).Copies)
	}
	// The reply is lost: once more, not at once, with the same Message-ID.
	first := claimOne(t, db)
	ok, err := store.Lost(t.Context(), db.Pool, first, time.Hour, "EOF")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, Unknown, get(t, db, messageID).State)
	require.Empty(t, claim(t, db))
	later(t, db, 61*time.Minute)
	second := claimOne(t, db)
	require.Equal(t, first.MessageID, second.MessageID)
	require.Equal(t, 2, second.Copies)
	require.Greater(t, second.Age, time.Hour)
	_, err = store.Lost(t.Context(), db.Pool, second, 0, "EOF")
	require.NoError(t, err)
	later(t, db, 48*time.Hour)
	require.Empty(t, claim(t, db), "and then it is left unknown")
	require.Equal(t, Unknown, get(t, db, messageID).State)

	for name, end := range map[string]func(Sending) (bool, error){
		"sent":   func(m Sending) (bool, error) { return store.Sent(t.Context(), db.Pool, m) },
		"failed": func(m Sending) (bool, error) { return store.Failed(t.Context(), db.Pool, m, "550 no such user") },
	} {
		messageID := queue(t, db)
		ok, err := end(claimOne(t, db))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, State(name), get(t, db, messageID).State)
		require.Empty(t, claim(t, db))
	}
	n, err := store.Waiting(t.Context(), db.Pool)
	require.NoError(t, err)
	require.Zero(t, n)
}

// A sender that disappears leaves a copy that may have arrived, and twice leaves
// it at that.
func TestSendersThatDisappear(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	messageID := queue(t, db)
	claimOne(t, db)
	require.Empty(t, claim(t, db), "while the lease lasts")
	later(t, db, 2*lease)
	require.Equal(t, 2, claimOne(t, db).Copies)
	later(t, db, 4*lease)
	require.Empty(t, claim(t, db))
	require.Equal(t, Unknown, get(t, db, messageID).State)
}

// Who lost the lease can neither take back the copy of its successor nor have
// the message sent again.
func TestLateRecord(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	messageID := queue(t, db)
	slow := claimOne(t, db)
	later(t, db, 2*lease)
	quick := claimOne(t, db)
	for _, record := range []func() (bool, error){
		func() (bool, error) { return store.Later(t.Context(), db.Pool, slow, 0, "") },
		func() (bool, error) { return store.Failed(t.Context(), db.Pool, slow, "") },
	} {
		ok, err := record()
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, InSending, get(t, db, messageID).State)
	}
	ok, err := store.Sent(t.Context(), db.Pool, quick)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = store.Later(t.Context(), db.Pool, slow, 0, "")
	require.NoError(t, err)
	require.False(t, ok)
	require.Empty(t, claim(t, db))
}

// What each guard prevents, once it is taken away.
func TestWithoutGuards(t *testing.T) {
	t.Parallel()
	without := func(g ...*guard.Guard) Store {
		s := Store{Host: "photos.example", off: map[*guard.Guard]bool{}}
		for _, g := range g {
			s.off[g] = true
		}
		return s
	}
	t.Run("lease", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		queue(t, db)
		claimOne(t, db)
		again, err := without(guardLease).Claim(t.Context(), db.Pool, 10, lease)
		require.NoError(t, err)
		require.Len(t, again, 1, "two send it at the same time")
	})
	t.Run("term", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		queue(t, db)
		slow := claimOne(t, db)
		later(t, db, 2*lease)
		_, err := store.Sent(t.Context(), db.Pool, claimOne(t, db))
		require.NoError(t, err)
		_, err = without(guardTerm).Later(t.Context(), db.Pool, slow, 0, "")
		require.NoError(t, err)
		require.Len(t, claim(t, db), 1, "what was sent is sent again")
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		db := pgtest.New(t)
		queue(t, db)
		for range 3 {
			_, err := without(guardLost).Lost(t.Context(), db.Pool, claimOne(t, db), 0, "")
			require.NoError(t, err)
		}
		claimOne(t, db) // a fourth copy
	})
}

// The database's own guard, for when the claim's condition is gone.
func TestThirdCopyIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	messageID := queue(t, db)
	third := func() error {
		_, err := db.Pool.Exec(t.Context(), `UPDATE messages SET copies = 3 WHERE id = $1`, messageID)
		return err
	}
	var refused *pgconn.PgError
	require.ErrorAs(t, third(), &refused)
	require.Equal(t, "message_copies", refused.ConstraintName)
	_, err := db.Owner.Exec(t.Context(), `ALTER TABLE messages DROP CONSTRAINT message_copies`)
	require.NoError(t, err)
	require.NoError(t, third())
}

// Whatever ends sends have, and whatever senders disappear: at most two copies
// can have arrived, all with one Message-ID, and what was sent is never sent
// again.
func TestCopiesWhateverHappens(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	offset := time.Duration(0)
	rapid.Check(t, func(t *rapid.T) {
		messageID := queue(t, db)
		arrived, sent, ids := 0, false, map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			offset += 2 * time.Hour
			later(t, db, offset)
			got := claim(t, db)
			if len(got) == 0 {
				break
			}
			require.Len(t, got, 1)
			m := got[0]
			require.False(t, sent)
			ids[m.MessageID] = true
			var err error
			switch rapid.SampledFrom([]string{"temporary", "lost, not taken", "lost, taken", "dies before", "dies after", "sent", "refused"}).Draw(t, "end") {
			case "temporary":
				_, err = store.Later(context.Background(), db.Pool, m, time.Minute, "")
			case "lost, not taken":
				_, err = store.Lost(context.Background(), db.Pool, m, time.Minute, "")
			case "lost, taken":
				arrived++
				_, err = store.Lost(context.Background(), db.Pool, m, time.Minute, "")
			case "dies before":
			case "dies after":
				arrived++
			case "sent":
				arrived, sent = arrived+1, true
				_, err = store.Sent(context.Background(), db.Pool, m)
			case "refused":
				_, err = store.Failed(context.Background(), db.Pool, m, "")
			}
			require.NoError(t, err)
		}
		require.LessOrEqual(t, arrived, 2)
		require.Len(t, ids, 1)
		_, err := db.Owner.Exec(context.Background(), `UPDATE messages SET state = 'sent', lease_until = NULL WHERE id = $1`, messageID)
		require.NoError(t, err)
	})
}
