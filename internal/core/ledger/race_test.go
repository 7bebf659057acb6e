package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// race posts first in one transaction and second in another, which is seen to
// wait; then the first commits, or rolls back.
func (w *world) race(t *testing.T, first, second []Entry, commit bool) (out []Posted, err error) {
	t.Helper()
	a, b := pgtest.StartTx(t, w.pool), pgtest.StartTx(t, w.pool)
	_, err = w.store.PostTx(t.Context(), a, first)
	require.NoError(t, err)
	var late errgroup.Group
	late.Go(func() (err error) {
		out, err = w.store.PostTx(t.Context(), b, second)
		return err
	})
	_, err = pgtest.WaitBlocked(soon(t), w.pool, b.PID)
	require.NoError(t, err)
	if commit {
		require.NoError(t, a.Commit(t.Context()))
	} else {
		require.NoError(t, a.Rollback(t.Context()))
	}
	if err := late.Wait(); err != nil {
		return nil, err
	}
	return out, b.Commit(t.Context())
}

// soon bounds a wait for what must happen at once.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestSameKeyFromTwoTransactions(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]Kind{"with a wallet": Sale, "without one": Surplus, "of a dispute": SurplusWithdrawn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
			e := o.entry(kind, "", 10_00)
			if kind == SurplusWithdrawn {
				e.Dispute = "stripe:main:dp_1"
			}

			out, err := w.race(t, []Entry{e}, []Entry{e}, true)
			require.NoError(t, err)
			require.Equal(t, Already, out[0].Result)
			all, err := w.store.OrderEntries(t.Context(), w.pool, o.id)
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.Equal(t, all[0].ID, out[0].ID)
			require.Equal(t, map[Kind]Balance{Sale: {Pending: 8_50}, Surplus: {}}[kind], w.wallet(t, o.creator, "USD"))
			require.Empty(t, broken(t, w.pool))
		})
	}
}

// The first transaction is rolled back, and with it the accounts that it made.
// The same store must not remember their ids.
func TestRollbackLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	out, err := w.race(t, []Entry{o.sale()}, []Entry{o.sale()}, false)
	require.NoError(t, err)
	require.Equal(t, Inserted, out[0].Result)
	require.Equal(t, Balance{Pending: 8_50}, w.wallet(t, o.creator, "USD"))
	require.Empty(t, broken(t, w.pool))
}

func TestAccountsAreRememberedOnceCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	inner, err := tx.Begin(t.Context()) // a savepoint has a transaction id of its own
	require.NoError(t, err)
	for _, e := range []Entry{o.sale(), o.refund("1", 1_00)} { // the second finds what the first made
		_, err = w.store.PostTx(t.Context(), inner, []Entry{e})
		require.NoError(t, err)
	}
	require.NoError(t, inner.Commit(t.Context()))
	require.Empty(t, w.store.accounts.kept)
	require.NoError(t, tx.Rollback(t.Context()))

	w.mustPost(t, o.sale())
	require.Empty(t, w.store.accounts.kept)
	w.mustPost(t, o.refund("1", 1_00))
	require.Len(t, w.store.accounts.kept, 3)
	w.mustPost(t, o.refund("2", 1_00))
	require.Empty(t, broken(t, w.pool))

	w.store.accounts.put(Account{Kind: "full"}, 1)
	for i := range maxKept {
		w.store.accounts.put(Account{Kind: "x", CreatorID: uuid.UUID{byte(i), byte(i >> 8), byte(i >> 16)}}, int64(i))
	}
	require.LessOrEqual(t, len(w.store.accounts.kept), maxKept)
	w.mustPost(t, o.refund("3", 1_00))
	require.Empty(t, broken(t, w.pool))
}

func TestFirstTouchOfAWallet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		commit bool
		want   Balance
	}{"first commits": {true, Balance{Pending: 10_00}}, "first rolls back": {false, Balance{Pending: 1_50}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			creator := newCreator(t, w.pool)
			a, b := newSold(creator, "USD", 10_00, 8_50), newSold(creator, "USD", 2_00, 1_50)
			_, err := w.race(t, []Entry{a.sale()}, []Entry{b.sale()}, c.commit)
			require.NoError(t, err)
			require.Equal(t, c.want, w.wallet(t, creator, "USD"))
			require.Empty(t, broken(t, w.pool))
		})
	}
}

// claims are the entries that take from a creator what is available, for an
// order over 10.00, 9.00 of it net.
func claims() map[string]func(sold) Entry {
	return map[string]func(sold) Entry{
		"refund":            func(o sold) Entry { return o.refund("1", 10_00) },
		"dispute opened":    func(o sold) Entry { return o.opened(10_00) },
		"dispute withdrawn": func(o sold) Entry { return o.withdrawn(10_00) },
	}
}

// Two claims on one creator, who has enough for one of them: the second sees
// what the first left, and makes debt of the rest.
func TestTwoClaimsShareWhatIsAvailable(t *testing.T) {
	t.Parallel()
	for name, claim := range claims() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a, b := w.twoReleased(t)
			_, err := w.race(t, []Entry{claim(a)}, []Entry{claim(b)}, true)
			require.NoError(t, err)
			want := Balance{Debt: 6_00}
			if claim(a).Kind == DisputeOpened {
				want.Held = 18_00
			}
			require.Equal(t, want, w.wallet(t, a.creator, "USD"))
			require.Empty(t, broken(t, w.pool))
		})
	}
}

// Two disputes of one creator are won at once, and there is debt for one: it is
// paid once.
func TestTwoWonDisputesPayOneDebt(t *testing.T) {
	t.Parallel()
	won := func(t *testing.T, w *world) (sold, error) {
		t.Helper()
		a, b := w.twoReleased(t)
		w.mustPost(t, a.opened(10_00), b.opened(10_00))
		require.Equal(t, Balance{Held: 18_00, Debt: 6_00}, w.wallet(t, a.creator, "USD"))
		_, err := w.race(t, []Entry{a.closed()}, []Entry{b.closed()}, true)
		return a, err
	}
	t.Run("under the lock", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a, err := won(t, w)
		require.NoError(t, err)
		require.Equal(t, Balance{Available: 12_00}, w.wallet(t, a.creator, "USD"))
		require.Empty(t, broken(t, w.pool))
	})
	t.Run("without it the check stands in", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.unlocked = true
		_, err := won(t, w)
		require.True(t, pg.IsCheck(err, pg.WalletDebt), "%v", err)
		require.Empty(t, broken(t, w.pool))
	})
	t.Run("and without both debt is paid twice", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.unlocked = true
		_, err := w.db.Owner.Exec(t.Context(), "ALTER TABLE wallets DROP CONSTRAINT wallet_debt")
		require.NoError(t, err)
		a, err := won(t, w)
		require.NoError(t, err)
		require.Equal(t, Balance{Available: 6_00, Debt: -6_00}, w.wallet(t, a.creator, "USD"))
		require.Contains(t, broken(t, w.pool), "negative wallet")
	})
}

// twoReleased are two orders of one creator, released, and 12.00 of 18.00 left.
func (w *world) twoReleased(t *testing.T) (a, b sold) {
	t.Helper()
	creator := newCreator(t, w.pool)
	a, b = newSold(creator, "USD", 10_00, 9_00), newSold(creator, "USD", 10_00, 9_00)
	w.mustPost(t, a.sale(), b.sale(), a.release(), b.release())
	w.payOut(t, w.pool, creator, "USD", 6_00)
	return a, b
}

// crossing lets two calls come to what a third transaction holds, with what they
// took before in their hands, and lets that one go. If they took it in opposite
// orders, that is a deadlock.
func (w *world) crossing(t *testing.T, hold, forth, back []Entry) {
	t.Helper()
	holder := pgtest.StartTx(t, w.pool)
	_, err := w.store.PostTx(t.Context(), holder, hold)
	require.NoError(t, err)
	var late errgroup.Group
	for _, entries := range [][]Entry{forth, back} {
		tx := pgtest.StartTx(t, w.pool)
		late.Go(func() error {
			_, err := w.store.PostTx(t.Context(), tx, entries)
			return errors.Join(err, tx.Commit(background()))
		})
		_, err := pgtest.WaitBlocked(soon(t), w.pool, tx.PID)
		require.NoError(t, err)
	}
	require.NoError(t, holder.Rollback(t.Context()))
	require.NoError(t, late.Wait())
	require.Empty(t, broken(t, w.pool))
}

// Wallets at their first touch, entries without wallets, and accounts at theirs:
// each is taken sorted, whatever the order of the slice.
func TestCrossingCalls(t *testing.T) {
	t.Parallel()
	three := func(make func(i int) Entry) (hold, forth, back []Entry) {
		for i := range 3 {
			e := make(i)
			forth, back = append(forth, e), append([]Entry{e}, back...)
		}
		return forth[1:2], forth, back
	}
	t.Run("first touches of wallets", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		creators := []uuid.UUID{newCreator(t, w.pool), newCreator(t, w.pool), newCreator(t, w.pool)}
		hold, forth, back := three(func(i int) Entry { return newSold(creators[i], "USD", 10_00, 9_00).sale() })
		for i := range back { // other orders of the same creators
			back[i] = newSold(back[i].CreatorID, "USD", 10_00, 9_00).sale()
		}
		w.crossing(t, hold, forth, back)
	})
	t.Run("entries", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.mustPost(t, newSold(id.New(), "USD", 1, 1).entry(Surplus, "", 1)) // the accounts are there
		hold, forth, back := three(func(int) Entry { return newSold(id.New(), "USD", 1, 1).entry(Surplus, "", 1) })
		w.crossing(t, hold, forth, back)
	})
	t.Run("first touches of accounts", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		currencies := []string{"EUR", "JPY", "USD"}
		hold, forth, back := three(func(i int) Entry { return newSold(id.New(), currencies[i], 1, 1).entry(Surplus, "", 1) })
		for i := range back {
			back[i] = newSold(id.New(), back[i].Currency, 1, 1).entry(Surplus, "", 1)
		}
		w.crossing(t, hold, forth, back)
	})
}

// Many transactions touch a few wallets in all orders. Nothing deadlocks, for
// each locks them sorted; no transaction is run again here, so none may fail.
func TestNoDeadlockBetweenWallets(t *testing.T) {
	t.Parallel()
	const workers, rounds, wallets = 8, 15, 10
	w := newWorld(t)
	creators := make([]uuid.UUID, wallets)
	for i := range creators {
		creators[i] = newCreator(t, w.pool)
	}
	g, ctx := errgroup.WithContext(t.Context())
	for range workers {
		g.Go(func() error {
			for range rounds {
				var entries []Entry
				for _, i := range rand.Perm(wallets)[:6] {
					o := newSold(creators[i], "USD", 10_00, 9_00)
					entries = append(entries, o.sale(), o.refund("1", 4_00), o.release())
				}
				err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
					_, err := w.store.PostTx(ctx, tx, entries)
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Empty(t, broken(t, w.pool))
	var available, released int64
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT sum(available) FROM wallets`).Scan(&available))
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM ledger_entries WHERE kind = 'release'`).Scan(&released))
	require.EqualValues(t, workers*rounds*6, released)
	require.Equal(t, released*5_40, available)
}

// The same two wallets locked in opposite orders, as unsorted code would: one of
// the two is a deadlock's victim every time.
func TestUnsortedWalletsDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var creators [2]uuid.UUID
	for i := range creators {
		creators[i] = newCreator(t, w.pool)
		w.mustPost(t, newSold(creators[i], "USD", 10_00, 9_00).sale())
	}
	lock := func(tx pgx.Tx, creator uuid.UUID) error {
		_, err := tx.Exec(t.Context(), `SELECT FROM wallets WHERE creator_id = $1 FOR UPDATE`, creator)
		return err
	}
	a, b := pgtest.StartTx(t, w.db.Owner), pgtest.StartTx(t, w.db.Owner)
	for _, tx := range []pgx.Tx{a, b} {
		_, err := tx.Exec(t.Context(), `SET LOCAL deadlock_timeout = '20ms'`)
		require.NoError(t, err)
	}
	require.NoError(t, lock(a, creators[0]))
	require.NoError(t, lock(b, creators[1]))
	var second errgroup.Group
	second.Go(func() error { return lock(b, creators[0]) })
	_, err := pgtest.WaitBlocked(soon(t), w.pool, b.PID)
	require.NoError(t, err)
	errA := lock(a, creators[1])
	if errA != nil {
		require.NoError(t, a.Rollback(t.Context()))
	}
	errB := second.Wait()
	var failed *pgconn.PgError
	require.ErrorAs(t, errors.Join(errA, errB), &failed)
	require.Equal(t, "40P01", failed.Code)
}

// Without the wallet's lock both claims spend the same money. The table's check
// is the backup; without it, too, the wallet goes below zero.
func TestWithoutTheWalletLock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drop string
		then func(*testing.T, *world, error)
	}{
		"the check stands in": {"", func(t *testing.T, w *world, err error) {
			require.True(t, pg.IsCheck(err, pg.WalletAvailable), "%v", err)
			require.Empty(t, broken(t, w.pool))
		}},
		"and without the check": {"ALTER TABLE wallets DROP CONSTRAINT wallet_available", func(t *testing.T, w *world, err error) {
			require.NoError(t, err)
			require.Contains(t, broken(t, w.pool), "negative wallet")
		}},
	} {
		for kind, claim := range claims() {
			t.Run(kind+": "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.store.unlocked = true
				a, b := w.twoReleased(t)
				_, err := w.db.Owner.Exec(t.Context(), c.drop)
				require.NoError(t, err)
				_, err = w.race(t, []Entry{claim(a)}, []Entry{claim(b)}, true)
				c.then(t, w, err)
			})
		}
	}
}

// A retry after a deadlock runs the same entries in a new transaction.
func TestPostedByARetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 9_00)
	tries := 0
	out, err := pg.InTx(t.Context(), w.pool, func(ctx context.Context, tx pgx.Tx) ([]Posted, error) {
		out, err := w.store.PostTx(ctx, tx, []Entry{o.sale()})
		if tries++; tries == 1 && err == nil {
			err = &pgconn.PgError{Code: "40P01"}
		}
		return out, err
	})
	require.NoError(t, err)
	require.Equal(t, Inserted, out[0].Result)
	require.Equal(t, Balance{Pending: 9_00}, w.wallet(t, o.creator, "USD"))
	require.Empty(t, broken(t, w.pool))
}
