package entitlement

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
)

// claiming makes the orders of the grants another buyer's, as the flow does: the
// orders by id first, then their grants.
func (s *shop) claiming(from, to uuid.UUID, grants ...Grant) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		var orders []uuid.UUID
		for _, g := range grants {
			orders = append(orders, g.OrderID)
		}
		var moves []Move
		for _, orderID := range id.Sorted(orders) {
			if _, err := tx.Exec(background(), `UPDATE orders SET buyer_account = $1 WHERE id = $2`, to, orderID); err != nil {
				return err
			}
			moves = append(moves, Move{OrderID: orderID, EventID: s.event, From: from})
		}
		return s.store.ClaimTx(background(), tx, moves, to, id.New())
	}
}

// revokingOrder is revoking as settlement does it: the order's lock first.
func (s *shop) revokingOrder(g Grant) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		if _, err := tx.Exec(background(), `SELECT FROM orders WHERE id = $1 FOR NO KEY UPDATE`, g.OrderID); err != nil {
			return err
		}
		return s.store.RevokeTx(background(), tx, change(g))
	}
}

func (s *shop) run(t require.TestingT, f func(pgx.Tx) error) {
	require.NoError(t, pg.Exec(background(), s.pool, func(_ context.Context, tx pgx.Tx) error { return f(tx) }))
}

func TestClaimMovesAccess(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	guest, account, photo := s.buyer(t), s.buyer(t), id.New()
	single, ended := s.granted(t, guest, photo), s.granted(t, guest, id.New())
	event := s.granted(t, guest, whole)
	s.do(t, Store.RevokeTx, change(ended)...)
	s.run(t, s.claiming(guest, account, single, event, ended))
	require.True(t, s.access(t, account, photo))
	require.True(t, s.access(t, account, id.New()))
	require.False(t, s.access(t, guest, photo))
	require.Equal(t, []Result{Live, Live, Ended}, []Result{s.result(t, single), s.result(t, event), s.result(t, ended)})
	// What had ended comes back to whom it belongs now.
	s.do(t, Store.RestoreTx, change(ended)...)
	require.True(t, s.access(t, account, *ended.PhotoID))
	require.Empty(t, broken(t, s.pool))
	require.Equal(t, "audit", s.cause(t, ended))
	require.Equal(t, "claim", s.cause(t, single))
}

func (s *shop) cause(t *testing.T, g Grant) (kind string) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT changed_kind FROM entitlements WHERE line_id = $1`, g.LineID).Scan(&kind))
	return kind
}

// Of a thing that both own the older grant stays, whoever had it, and the newer
// one becomes live when that ends.
func TestClaimOfWhatIsOwned(t *testing.T) {
	t.Parallel()
	for name, thing := range map[string]uuid.UUID{"photograph": id.New(), "event": whole} {
		for _, guestFirst := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newShop(t)
				guest, account := s.buyer(t), s.buyer(t)
				first, second := guest, account
				if !guestFirst {
					first, second = account, guest
				}
				older := s.granted(t, first, thing)
				newer := s.granted(t, second, thing)
				third := s.granted(t, account, thing) // gave way to the account's own
				claimed := older
				if !guestFirst {
					claimed = newer
				}
				s.run(t, s.claiming(guest, account, claimed))
				require.Equal(t, []Result{Live, Shadowed, Shadowed}, []Result{s.result(t, older), s.result(t, newer), s.result(t, third)})
				require.Empty(t, broken(t, s.pool))

				s.do(t, Store.RevokeTx, change(older)...)
				require.Equal(t, []Result{Ended, Live, Shadowed}, []Result{s.result(t, older), s.result(t, newer), s.result(t, third)})
				s.do(t, Store.RevokeTx, change(newer)...)
				require.Equal(t, Live, s.result(t, third))
				require.Empty(t, broken(t, s.pool))
			})
		}
	}
}

// Nobody loses access by a claim: a frozen grant gives way.
func TestClaimOfWhatIsFrozen(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	guest, account, photo := s.buyer(t), s.buyer(t), id.New()
	frozen := s.granted(t, guest, photo)
	good := s.granted(t, account, photo)
	s.do(t, Store.FreezeTx, change(frozen)...)
	s.run(t, s.claiming(guest, account, frozen))
	require.True(t, s.access(t, account, photo))
	require.Equal(t, []Result{Shadowed, Live}, []Result{s.result(t, frozen), s.result(t, good)})
	require.Empty(t, broken(t, s.pool))
}

// A claim by address takes some of a guest's orders and leaves others.
func TestClaimOfSome(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	guest, account, photo := s.buyer(t), s.buyer(t), id.New()
	a, b, c, d := s.granted(t, guest, photo), s.granted(t, guest, photo), s.granted(t, guest, photo), s.granted(t, guest, photo)
	s.run(t, s.claiming(guest, account, a, c))
	require.Equal(t, []Result{Live, Live, Shadowed, Shadowed},
		[]Result{s.result(t, a), s.result(t, b), s.result(t, c), s.result(t, d)})
	require.True(t, s.access(t, guest, photo))
	require.True(t, s.access(t, account, photo))
	require.Empty(t, broken(t, s.pool))

	// A shadow alone leaves its live one and becomes live itself.
	other := s.buyer(t)
	s.run(t, s.claiming(guest, other, d))
	require.Equal(t, Live, s.result(t, d))
	require.Empty(t, broken(t, s.pool))
}

// Both ways round nothing is taken away: the photograph and its event were both
// paid for.
func TestClaimBesideTheEvent(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	guest, account := s.buyer(t), s.buyer(t)
	event := s.granted(t, account, whole)
	photo := s.granted(t, guest, id.New())
	s.run(t, s.claiming(guest, account, photo))
	require.Equal(t, []Result{Live, Live}, []Result{s.result(t, event), s.result(t, photo)})
	s.do(t, Store.RevokeTx, change(event)...)
	require.True(t, s.access(t, account, *photo.PhotoID))
}

// A claim meets whatever else can happen to the same grants, each first once.
func TestClaimMeetsOthers(t *testing.T) {
	t.Parallel()
	type others struct {
		s               *shop
		guest, account  uuid.UUID
		a, b            Grant // of one photograph: the guest's, the account's older one
		claim, endOwned func(pgx.Tx) error
	}
	meet := func(t *testing.T) others {
		s := newShop(t)
		o := others{s: s, guest: s.buyer(t), account: s.buyer(t)}
		photo := id.New()
		o.b = s.granted(t, o.account, photo)
		o.a = s.granted(t, o.guest, photo)
		o.claim, o.endOwned = s.claiming(o.guest, o.account, o.a), s.revokingOrder(o.b)
		return o
	}
	t.Run("the end of the account's own", func(t *testing.T) {
		t.Parallel()
		for _, claimFirst := range []bool{true, false} {
			o := meet(t)
			if claimFirst {
				o.s.race(t, true, o.claim, o.endOwned)
			} else {
				o.s.race(t, true, o.endOwned, o.claim)
			}
			require.Equal(t, []Result{Live, Ended}, []Result{o.s.result(t, o.a), o.s.result(t, o.b)})
			require.True(t, o.s.access(t, o.account, *o.a.PhotoID))
			require.Empty(t, broken(t, o.s.pool))
		}
	})
	t.Run("the end of what is claimed", func(t *testing.T) {
		t.Parallel()
		for _, claimFirst := range []bool{true, false} {
			o := meet(t)
			if claimFirst {
				o.s.race(t, true, o.claim, o.s.revokingOrder(o.a))
			} else {
				o.s.race(t, true, o.s.revokingOrder(o.a), o.claim)
			}
			require.Equal(t, []Result{Ended, Live}, []Result{o.s.result(t, o.a), o.s.result(t, o.b)})
			require.Empty(t, broken(t, o.s.pool))
		}
	})
	t.Run("a purchase of the same by the account", func(t *testing.T) {
		t.Parallel()
		for _, claimFirst := range []bool{true, false} {
			o := meet(t)
			photo := id.New()
			first := o.s.granted(t, o.guest, photo)
			bought := o.s.line(t, o.account, photo)
			claim, buy := o.s.claiming(o.guest, o.account, first), o.s.granting(t, nil, bought)
			if claimFirst {
				o.s.race(t, true, claim, buy)
			} else {
				o.s.race(t, true, buy, claim)
			}
			require.Equal(t, []Result{Live, Shadowed}, []Result{o.s.result(t, first), o.s.result(t, bought)})
			require.Empty(t, broken(t, o.s.pool))
		}
	})
	t.Run("another claim of the same photograph", func(t *testing.T) {
		t.Parallel()
		o := meet(t)
		second := o.s.buyer(t)
		c := o.s.granted(t, second, *o.a.PhotoID)
		o.s.race(t, true, o.claim, o.s.claiming(second, o.account, c))
		require.Equal(t, []Result{Shadowed, Live, Shadowed}, []Result{o.s.result(t, o.a), o.s.result(t, o.b), o.s.result(t, c)})
		require.Empty(t, broken(t, o.s.pool))
	})
	t.Run("without the lock somebody paid for nothing", func(t *testing.T) {
		t.Parallel()
		o := meet(t)
		o.s.store.unlocked = true
		o.s.meet(t, o.s.claiming(o.guest, o.account, o.a), o.s.revokingOrder(o.b))
		require.Contains(t, broken(t, o.s.pool), "shadowed by nothing")
	})
}

// Purchases, ends, restorations, disputes and claims in any order leave the
// rules whole, and lose nothing that was paid for.
func TestClaimsInAnyOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	rapid.Check(t, func(r *rapid.T) {
		account := s.buyer(t)
		guests := []uuid.UUID{s.buyer(t), s.buyer(t)}
		photos := []uuid.UUID{id.New(), id.New()}
		owner, ended := map[uuid.UUID]uuid.UUID{}, map[uuid.UUID]bool{} // by line
		var all []Grant
		for range rapid.IntRange(3, 12).Draw(r, "steps") {
			pick := func() Grant { return all[rapid.IntRange(0, len(all)-1).Draw(r, "grant")] }
			step := rapid.SampledFrom([]string{"buy", "buy", "end", "restore", "freeze", "thaw", "claim", "claim all"}).Draw(r, "step")
			switch {
			case step == "buy" || len(all) == 0:
				buyer := rapid.SampledFrom(append(guests, account)).Draw(r, "buyer")
				g := s.order(r, s.pool, buyer, rapid.SampledFrom(photos).Draw(r, "photo"))[0]
				s.run(r, func(tx pgx.Tx) error {
					_, err := s.store.GrantTx(background(), tx, []Grant{g})
					return err
				})
				all, owner[g.LineID] = append(all, g), buyer
			case step == "claim":
				if g := pick(); owner[g.LineID] != account {
					s.run(r, s.claiming(owner[g.LineID], account, g))
					owner[g.LineID] = account
				}
			case step == "claim all":
				guest := rapid.SampledFrom(guests).Draw(r, "guest")
				var theirs []Grant
				for _, g := range all {
					if owner[g.LineID] == guest {
						theirs, owner[g.LineID] = append(theirs, g), account
					}
				}
				s.run(r, s.claiming(guest, account, theirs...))
			default:
				g := pick()
				f := map[string]func(Store, context.Context, pgx.Tx, []Change) error{
					"end": Store.RevokeTx, "restore": Store.RestoreTx, "freeze": Store.FreezeTx, "thaw": Store.ThawTx,
				}[step]
				ended[g.LineID] = step == "end" || ended[g.LineID] && step != "restore"
				s.run(r, func(tx pgx.Tx) error { return f(s.store, background(), tx, change(g)) })
			}
			require.Empty(r, broken(r, s.pool))
		}
		for _, g := range all {
			stands, err := s.store.LinesByOrder(background(), s.pool, []uuid.UUID{g.OrderID})
			require.NoError(r, err)
			require.Equal(r, owner[g.LineID], stands[0].BuyerID)
			require.Equal(r, ended[g.LineID], stands[0].Result() == Ended)
		}
	})
}
