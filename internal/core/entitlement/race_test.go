package entitlement

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/testkit/pgtest"
)

// A single photograph and its whole event at the same moment: whoever comes
// second sees the first.
func TestPhotographMeetsItsEvent(t *testing.T) {
	t.Parallel()
	t.Run("event first", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer := s.buyer(t)
		event, single := s.line(t, buyer, whole), s.line(t, buyer, id.New())
		var out []Granted
		s.race(t, true, s.granting(t, nil, event), s.granting(t, &out, single))
		require.Equal(t, []Granted{{LineID: single.LineID, Result: Covered, By: s.standing(t, event).ID}}, out)
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("event first, rolled back", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer := s.buyer(t)
		event, single := s.line(t, buyer, whole), s.line(t, buyer, id.New())
		var out []Granted
		s.race(t, false, s.granting(t, nil, event), s.granting(t, &out, single))
		require.Equal(t, Live, out[0].Result)
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("photograph first", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer := s.buyer(t)
		event, single := s.line(t, buyer, whole), s.line(t, buyer, id.New())
		s.race(t, true, s.granting(t, nil, single), s.granting(t, nil, event))
		require.Equal(t, []Result{Live, Live}, []Result{s.result(t, single), s.result(t, event)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("without the lock the photograph is kept and paid", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.store.unlocked = true
		buyer := s.buyer(t)
		s.meet(t, s.granting(t, nil, s.line(t, buyer, whole)), s.granting(t, nil, s.line(t, buyer, id.New())))
		require.Contains(t, broken(t, s.pool), "photograph beside its event")
	})
	t.Run("two photographs do not wait for each other", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer := s.buyer(t)
		s.meet(t, s.granting(t, nil, s.line(t, buyer, id.New())), s.granting(t, nil, s.line(t, buyer, id.New())))
		require.Empty(t, broken(t, s.pool))
	})
}

// One photograph, or one event, by two orders of one buyer.
func TestSameThingByTwoOrders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		thing  uuid.UUID
		commit bool
		want   Result
	}{
		"photograph":              {id.New(), true, Shadowed},
		"photograph, rolled back": {id.New(), false, Live},
		"event":                   {whole, true, Shadowed},
		"event, rolled back":      {whole, false, Live},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			buyer := s.buyer(t)
			a, b, b2 := s.line(t, buyer, c.thing), s.line(t, buyer, c.thing), s.line(t, buyer, c.thing)
			var out []Granted
			s.race(t, c.commit, s.granting(t, nil, a), s.granting(t, &out, b, b2))
			require.Equal(t, c.want, out[0].Result)
			require.Equal(t, Shadowed, out[1].Result)
			owner := a
			if !c.commit {
				owner = b
			}
			require.Equal(t, s.standing(t, owner).ID, out[1].By, "never by a row that was not inserted")
			require.Empty(t, broken(t, s.pool))
		})
	}
}

func TestSameLineFromTwoTransactions(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	g := s.line(t, s.buyer(t), id.New())
	var out []Granted
	s.race(t, true, s.granting(t, nil, g), s.granting(t, &out, g))
	require.Equal(t, []Granted{{LineID: g.LineID, Result: Live}}, out)
	require.Empty(t, broken(t, s.pool))
}

// crossing lets two transactions come to what a third one holds, with what they
// took before in their hands, and lets that one go. If they took it in opposite
// orders, that is a deadlock.
func (s *shop) crossing(t *testing.T, hold, forth, back func(pgx.Tx) error) {
	t.Helper()
	holder := pgtest.StartTx(t, s.pool)
	require.NoError(t, hold(holder))
	var late errgroup.Group
	for _, f := range []func(pgx.Tx) error{forth, back} {
		tx := pgtest.StartTx(t, s.pool)
		late.Go(func() error { return errors.Join(f(tx), tx.Commit(context.WithoutCancel(t.Context()))) })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := pgtest.WaitBlocked(ctx, s.pool, tx.PID)
		require.NoError(t, err)
	}
	require.NoError(t, holder.Rollback(t.Context()))
	require.NoError(t, late.Wait())
}

// Three photographs by two orders whose lines come in opposite orders.
func TestCrossingGrants(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyer := s.buyer(t)
	a, b, c := id.New(), id.New(), id.New()
	forth, back := s.order(t, s.pool, buyer, a, b, c), s.order(t, s.pool, buyer, c, b, a)
	var first, second []Granted
	s.crossing(t, s.granting(t, nil, s.line(t, buyer, b)), s.granting(t, &first, forth...), s.granting(t, &second, back...))
	results := map[Result]int{}
	for _, g := range append(first, second...) {
		results[g.Result]++
	}
	require.Equal(t, map[Result]int{Live: 3, Shadowed: 3}, results)
	require.Empty(t, broken(t, s.pool))
}

// A grant that is about to be shadowed meets the end of what shadows it.
func TestGrantMeetsRevoke(t *testing.T) {
	t.Parallel()
	t.Run("the end first", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.line(t, buyer, photo)
		s.race(t, true, s.revoking(t, a), s.granting(t, nil, b))
		require.Equal(t, []Result{Ended, Live}, []Result{s.result(t, a), s.result(t, b)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("the grant first", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.line(t, buyer, photo)
		s.race(t, true, s.granting(t, nil, b), s.revoking(t, a))
		require.Equal(t, []Result{Ended, Live}, []Result{s.result(t, a), s.result(t, b)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("without the lock somebody paid for nothing", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.store.unlocked = true
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.line(t, buyer, photo)
		s.meet(t, s.granting(t, nil, b), s.revoking(t, a))
		require.Contains(t, broken(t, s.pool), "shadowed by nothing")
	})
	// What settlement does with a photograph paid twice: granted, found shadowed,
	// ended, in one transaction, while the other order is refunded.
	t.Run("granted and ended at once", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.line(t, buyer, photo)
		s.race(t, true, func(tx pgx.Tx) error {
			if err := s.granting(t, nil, b)(tx); err != nil {
				return err
			}
			return s.revoking(t, b)(tx)
		}, s.revoking(t, a))
		require.Equal(t, []Result{Ended, Ended}, []Result{s.result(t, a), s.result(t, b)})
		require.Empty(t, broken(t, s.pool))
	})
}

func TestTwoEnds(t *testing.T) {
	t.Parallel()
	t.Run("of one line", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b, c := s.granted(t, buyer, photo), s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.race(t, true, s.revoking(t, a), s.revoking(t, a))
		require.Equal(t, []Result{Ended, Live, Shadowed}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("of the live one and of its heir", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b, c := s.granted(t, buyer, photo), s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.race(t, true, s.revoking(t, a), s.revoking(t, b)) // b is shadowed when its end begins
		require.Equal(t, []Result{Ended, Ended, Live}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("of a shadow and of the live one", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		buyer, photo := s.buyer(t), id.New()
		a, b, c := s.granted(t, buyer, photo), s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.race(t, true, s.revoking(t, b), s.revoking(t, a))
		require.Equal(t, []Result{Ended, Ended, Live}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("without the lock a paid shadow is lost", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.store.unlocked = true
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.granted(t, buyer, photo)
		s.race(t, true, s.revoking(t, b), s.revoking(t, a))
		require.Contains(t, broken(t, s.pool), "shadowed by nothing")
	})
}

func TestRestoreMeetsGrant(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyer, photo := s.buyer(t), id.New()
	a, b := s.granted(t, buyer, photo), s.line(t, buyer, photo)
	s.do(t, Store.RevokeTx, change(a)...)
	restoring := func(tx pgx.Tx) error { return s.store.RestoreTx(t.Context(), tx, change(a)) }
	s.race(t, true, s.granting(t, nil, b), restoring)
	require.Equal(t, []Result{Shadowed, Live}, []Result{s.result(t, a), s.result(t, b)})
	require.Empty(t, broken(t, s.pool))
}

// A shadow's end that becomes a live one's end while it waits takes the stronger
// lock, so that nobody is shadowed by it meanwhile.
func TestEndOfAnHeirExcludesGrants(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyer, photo := s.buyer(t), id.New()
	a, b, c := s.granted(t, buyer, photo), s.granted(t, buyer, photo), s.line(t, buyer, photo)
	first, second := pgtest.StartTx(t, s.pool), pgtest.StartTx(t, s.pool)
	require.NoError(t, s.revoking(t, a)(first))
	var late errgroup.Group
	late.Go(func() error { return s.revoking(t, b)(second) }) // b is shadowed when this begins
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pgtest.WaitBlocked(ctx, s.pool, second.PID)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))
	require.NoError(t, late.Wait())

	third := pgtest.StartTx(t, s.pool)
	late.Go(func() error { return s.granting(t, nil, c)(third) })
	_, err = pgtest.WaitBlocked(ctx, s.pool, third.PID)
	require.NoError(t, err)
	require.NoError(t, second.Commit(t.Context()))
	require.NoError(t, late.Wait())
	require.NoError(t, third.Commit(t.Context()))
	require.Equal(t, []Result{Ended, Ended, Live}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
	require.Empty(t, broken(t, s.pool))
}

// Locks are taken sorted whatever order they are asked in, and exclusive wins
// over shared for one pair.
func TestAccessLocks(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	lock := func(l ...Access) func(pgx.Tx) error {
		return func(tx pgx.Tx) error { return s.store.LockAccessTx(t.Context(), tx, l) }
	}
	var keys []Access
	for range 3 {
		keys = append(keys, Access{BuyerID: id.New(), EventID: id.New(), Exclusive: true})
	}
	slices.SortFunc(keys, func(a, b Access) int {
		return cmp.Compare(accessKey(a.BuyerID, a.EventID), accessKey(b.BuyerID, b.EventID))
	})
	s.crossing(t, lock(keys[1]), lock(keys[0], keys[1], keys[2]), lock(keys[2], keys[1], keys[0]))

	shared := keys[0]
	shared.Exclusive = false
	s.race(t, true, lock(shared, keys[0]), lock(shared))
	s.race(t, true, lock(keys[0], shared), lock(shared))
	s.race(t, true, lock(shared), lock(keys[0]))
	s.meet(t, lock(shared), lock(shared))
}
