package entitlement

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
)

func TestGrant(t *testing.T) {
	t.Parallel()
	s := newShop(t)

	t.Run("each line once", func(t *testing.T) {
		t.Parallel()
		buyer, a, b := s.buyer(t), id.New(), id.New()
		gs := s.order(t, s.pool, buyer, a, b)
		want := []Granted{{LineID: gs[0].LineID, Result: Live}, {LineID: gs[1].LineID, Result: Live}}
		require.Equal(t, want, s.grant(t, gs...))
		before := s.standing(t, gs[0])
		require.Equal(t, want, s.grant(t, gs...), "again")
		require.Equal(t, []Granted{want[1], want[0], want[1]}, s.grant(t, gs[1], gs[0], gs[1]), "in another order, one of them twice")
		require.Equal(t, before, s.standing(t, gs[0]))
		require.True(t, s.access(t, buyer, a) && s.access(t, buyer, b))
		require.False(t, s.access(t, buyer, id.New()) || s.access(t, s.buyer(t), a))
		require.Equal(t, before.GrantedAt, *before.LiveSince)
		require.True(t, before.Allows())
		require.Empty(t, s.grant(t))
	})
	t.Run("the whole event covers what comes later", func(t *testing.T) {
		t.Parallel()
		buyer := s.buyer(t)
		event := s.granted(t, buyer, whole)
		require.True(t, s.access(t, buyer, id.New()))
		single := s.line(t, buyer, id.New())
		want := []Granted{{LineID: single.LineID, Result: Covered, By: s.standing(t, event).ID}}
		require.Equal(t, want, s.grant(t, single))
		require.Equal(t, want, s.grant(t, single), "again")
		require.Nil(t, s.standing(t, single))

		s.do(t, Store.RevokeTx, change(event)...)
		require.Equal(t, Live, s.grant(t, single)[0].Result, "once nothing covers it")
	})
	t.Run("a frozen event covers too, since it may thaw", func(t *testing.T) {
		t.Parallel()
		buyer := s.buyer(t)
		event := s.granted(t, buyer, whole)
		s.do(t, Store.FreezeTx, change(event)...)
		require.Equal(t, Covered, s.grant(t, s.line(t, buyer, id.New()))[0].Result)
	})
	t.Run("a photograph owned before its event stays", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		single := s.granted(t, buyer, photo)
		event := s.granted(t, buyer, whole)
		require.Equal(t, Live, s.result(t, single))
		require.Equal(t, Live, s.result(t, event))
		s.do(t, Store.RevokeTx, change(event)...)
		require.True(t, s.access(t, buyer, photo))
		require.False(t, s.access(t, buyer, id.New()))
	})
	t.Run("one order with the event and one of its photographs", func(t *testing.T) {
		t.Parallel()
		buyer := s.buyer(t)
		gs := s.order(t, s.pool, buyer, whole, id.New())
		out := s.grant(t, gs...)
		require.Equal(t, []Result{Live, Live}, []Result{out[0].Result, out[1].Result})
	})
	t.Run("the same photograph by a second order", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		first := s.granted(t, buyer, photo)
		second := s.line(t, buyer, photo)
		want := []Granted{{LineID: second.LineID, Result: Shadowed, By: s.standing(t, first).ID}}
		require.Equal(t, want, s.grant(t, second))
		require.Equal(t, want, s.grant(t, second), "again")
		require.Nil(t, s.standing(t, second).LiveSince)
		require.Equal(t, Live, s.grant(t, s.line(t, s.buyer(t), photo))[0].Result, "another buyer")
	})
	t.Run("one call with everything", func(t *testing.T) {
		t.Parallel()
		buyer, other, a, b := s.buyer(t), s.buyer(t), id.New(), id.New()
		before := s.granted(t, buyer, b)
		gs := []Grant{
			s.line(t, buyer, a),     // live
			s.line(t, buyer, a),     // shadowed by the one before
			s.line(t, buyer, b),     // shadowed by what stands
			s.line(t, buyer, whole), // live
			s.line(t, buyer, whole), // shadowed
			s.line(t, buyer, a),     // covered by the event before it
			s.line(t, other, a),     // live: another buyer
			s.line(t, buyer, id.New()),
		}
		out := s.grant(t, gs...)
		results := make([]Result, len(out))
		for i := range out {
			results[i] = out[i].Result
			require.Equal(t, gs[i].LineID, out[i].LineID)
		}
		require.Equal(t, []Result{Live, Shadowed, Shadowed, Live, Shadowed, Covered, Live, Covered}, results)
		require.Equal(t, s.standing(t, gs[0]).ID, out[1].By)
		require.Equal(t, s.standing(t, before).ID, out[2].By)
		require.Equal(t, s.standing(t, gs[3]).ID, out[4].By)
		require.Equal(t, s.standing(t, gs[3]).ID, out[5].By)
		require.Equal(t, out, s.grant(t, gs...), "again")
	})
	t.Run("after a refund one can buy again", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		first := s.granted(t, buyer, photo)
		s.do(t, Store.RevokeTx, change(first)...)
		require.False(t, s.access(t, buyer, photo))
		require.Equal(t, []Granted{{LineID: first.LineID, Result: Ended}}, s.grant(t, first), "a late success grants nothing again")
		require.False(t, s.access(t, buyer, photo))
		require.Equal(t, Live, s.grant(t, s.line(t, buyer, photo))[0].Result)
		require.True(t, s.access(t, buyer, photo))
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		buyer, photo, other := s.buyer(t), id.New(), id.New()
		g := s.granted(t, buyer, photo)
		stranger := s.line(t, buyer, other)
		change := func(f func(*Grant)) Grant { c := g; f(&c); return c }
		for name, c := range map[string]struct {
			g    Grant
			want error
		}{
			"another order":            {change(func(g *Grant) { g.OrderID = stranger.OrderID }), ErrGrantDiffers},
			"another buyer":            {change(func(g *Grant) { g.BuyerID = id.New() }), ErrGrantDiffers},
			"another photograph":       {change(func(g *Grant) { g.PhotoID = &other }), ErrGrantDiffers},
			"another event":            {change(func(g *Grant) { g.EventID = id.New() }), ErrGrantDiffers},
			"another kind":             {change(func(g *Grant) { g.Kind = KindBundle }), ErrGrantDiffers},
			"a kind that is none":      {change(func(g *Grant) { g.Kind = "gift" }), ErrInvalid},
			"an event of a photograph": {change(func(g *Grant) { g.Kind = KindEvent }), ErrInvalid},
			"a photograph of none":     {change(func(g *Grant) { g.PhotoID = nil }), ErrInvalid},
			"no line":                  {change(func(g *Grant) { g.LineID = uuid.Nil }), ErrInvalid},
			"no cause":                 {change(func(g *Grant) { g.InboxID = uuid.Nil }), ErrInvalid},
		} {
			tx, err := s.pool.Begin(t.Context())
			require.NoError(t, err)
			_, err = s.store.GrantTx(t.Context(), tx, []Grant{c.g})
			require.ErrorIs(t, err, c.want, name)
			var wrong *GrantError
			require.ErrorAs(t, err, &wrong, name)
			require.Equal(t, c.g.LineID, wrong.LineID)
			require.Equal(t, c.g.OrderID, wrong.OrderID)
			require.NoError(t, tx.Rollback(t.Context()))
		}
	})
	t.Cleanup(func() { require.Empty(t, broken(t, s.db.Owner)) })
}

func TestEndAndRestore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	t.Cleanup(func() { require.Empty(t, broken(t, s.db.Owner)) })

	t.Run("the oldest shadow takes the place, once", func(t *testing.T) {
		t.Parallel()
		for _, thing := range []uuid.UUID{id.New(), whole} {
			buyer := s.buyer(t)
			a, b, c := s.granted(t, buyer, thing), s.granted(t, buyer, thing), s.granted(t, buyer, thing)
			end := change(a)
			s.do(t, Store.RevokeTx, end...)
			require.Equal(t, []Result{Ended, Live, Shadowed}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
			require.Equal(t, s.standing(t, b).ID, *s.standing(t, c).ShadowedBy)
			require.NotNil(t, s.standing(t, b).LiveSince)
			ended := s.standing(t, a)
			s.do(t, Store.RevokeTx, change(a)...)
			require.Equal(t, ended, s.standing(t, a), "the first end stands")
			require.Equal(t, []Result{Ended, Live, Shadowed}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
			var kind string
			var cause uuid.UUID
			require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT changed_kind, changed_id FROM entitlements WHERE line_id = $1`, b.LineID).Scan(&kind, &cause))
			require.Equal(t, end[0].CauseID, cause)
			require.Equal(t, "audit", kind)
			s.do(t, Store.RevokeTx, change(b, c)...)
			require.False(t, s.access(t, buyer, thing))
		}
	})
	t.Run("the live one and its heir end together", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		a, b, c := s.granted(t, buyer, photo), s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.do(t, Store.RevokeTx, change(b, a)...)
		require.Equal(t, []Result{Ended, Ended, Live}, []Result{s.result(t, a), s.result(t, b), s.result(t, c)})
	})
	t.Run("a shadow ends without a trace elsewhere", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.do(t, Store.RevokeTx, change(b)...)
		require.Equal(t, []Result{Live, Ended}, []Result{s.result(t, a), s.result(t, b)})
		s.do(t, Store.RevokeTx, change(a)...)
		require.Equal(t, Ended, s.result(t, b))
		require.False(t, s.access(t, buyer, photo))
	})
	t.Run("a failed refund brings the same row back", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		g := s.granted(t, buyer, photo)
		row := s.standing(t, g)
		s.do(t, Store.RevokeTx, change(g)...)
		s.do(t, Store.RestoreTx, change(g)...)
		back := s.standing(t, g)
		require.True(t, back.LiveSince.After(*row.LiveSince))
		back.LiveSince = row.LiveSince
		require.Equal(t, row, back)
		require.True(t, s.access(t, buyer, photo))
		s.do(t, Store.RestoreTx, change(g)...)
		require.Equal(t, Live, s.result(t, g))
	})
	t.Run("but not beside one that is live now", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		a := s.granted(t, buyer, photo)
		s.do(t, Store.RevokeTx, change(a)...)
		b := s.granted(t, buyer, photo)
		s.do(t, Store.RestoreTx, change(a)...)
		require.Equal(t, []Result{Shadowed, Live}, []Result{s.result(t, a), s.result(t, b)})
		s.do(t, Store.RevokeTx, change(b)...)
		require.Equal(t, []Result{Live, Ended}, []Result{s.result(t, a), s.result(t, b)})
	})
	t.Run("two of one thing restored together", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.do(t, Store.RevokeTx, change(a, b)...)
		s.do(t, Store.RestoreTx, append(change(b, a), change(b)...)...)
		require.Equal(t, []Result{Shadowed, Live}, []Result{s.result(t, a), s.result(t, b)})
	})
	t.Run("an event restored beside a photograph bought meanwhile", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		event := s.granted(t, buyer, whole)
		s.do(t, Store.RevokeTx, change(event)...)
		single := s.granted(t, buyer, photo)
		s.do(t, Store.RestoreTx, change(event)...)
		require.Equal(t, []Result{Live, Live}, []Result{s.result(t, event), s.result(t, single)})
	})
	t.Run("a dispute freezes, and thaws", func(t *testing.T) {
		t.Parallel()
		buyer, photo := s.buyer(t), id.New()
		a, b := s.granted(t, buyer, photo), s.granted(t, buyer, photo)
		s.do(t, Store.FreezeTx, change(a)...)
		frozen := s.standing(t, a)
		s.do(t, Store.FreezeTx, change(a)...)
		require.Equal(t, frozen, s.standing(t, a), "the first freeze stands")
		require.False(t, s.access(t, buyer, photo))
		require.False(t, frozen.Allows())
		owned, _, err := s.store.LivePhotos(t.Context(), s.pool, buyer, s.event)
		require.NoError(t, err)
		require.True(t, owned[photo], "it is not to be bought again")
		s.do(t, Store.ThawTx, change(a)...)
		require.True(t, s.access(t, buyer, photo))
		s.do(t, Store.ThawTx, change(a)...)

		s.do(t, Store.FreezeTx, change(b)...) // a shadow, and an ended one
		s.do(t, Store.RevokeTx, change(a)...)
		s.do(t, Store.FreezeTx, change(a)...)
		require.False(t, s.access(t, buyer, photo), "the heir is frozen itself")
		s.do(t, Store.RevokeTx, change(b)...)
		s.do(t, Store.RestoreTx, change(a)...)
		require.False(t, s.access(t, buyer, photo), "restored while the dispute is open")
		s.do(t, Store.ThawTx, change(a)...)
		require.True(t, s.access(t, buyer, photo))
	})
	t.Run("nothing to change", func(t *testing.T) {
		t.Parallel()
		for _, f := range []func(*testing.T, ...Change){
			func(t *testing.T, c ...Change) { s.do(t, Store.RevokeTx, c...) },
			func(t *testing.T, c ...Change) { s.do(t, Store.RestoreTx, c...) },
			func(t *testing.T, c ...Change) { s.do(t, Store.FreezeTx, c...) },
			func(t *testing.T, c ...Change) { s.do(t, Store.ThawTx, c...) },
		} {
			f(t)
			f(t, Change{LineID: id.New(), CauseKind: "audit", CauseID: id.New()}) // of a covered line
		}
	})
}

func TestReads(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyer, ended := s.buyer(t), id.New()
	photos := []uuid.UUID{id.New(), id.New(), id.New()}
	gs := s.order(t, s.pool, buyer, append(photos, ended)...)
	s.grant(t, gs...)
	event := s.granted(t, buyer, whole)
	shadow := s.granted(t, buyer, whole)
	s.granted(t, s.buyer(t), id.New())
	s.do(t, Store.RevokeTx, change(gs[3])...)
	s.do(t, Store.FreezeTx, change(gs[0])...)

	owned, all, err := s.store.LivePhotos(t.Context(), s.pool, buyer, s.event)
	require.NoError(t, err)
	require.True(t, all)
	require.Equal(t, map[uuid.UUID]bool{photos[0]: true, photos[1]: true, photos[2]: true}, owned)
	owned, all, err = s.store.LivePhotos(t.Context(), s.pool, buyer, id.New())
	require.NoError(t, err)
	require.False(t, all)
	require.Empty(t, owned)

	var got []Item
	before := uuid.Max
	for {
		page, err := s.store.Library(t.Context(), s.pool, buyer, before, 3)
		require.NoError(t, err)
		got = append(got, page...)
		if len(page) < 3 {
			break
		}
		before = page[len(page)-1].ID
	}
	require.Len(t, got, 4)
	require.Equal(t, event.LineID, got[0].LineID)
	lines := map[uuid.UUID]Item{}
	for i, item := range got {
		lines[item.LineID] = item
		if i > 0 {
			require.Negative(t, id.Compare(item.ID, got[i-1].ID))
		}
	}
	require.Contains(t, lines, gs[2].LineID)
	require.NotContains(t, lines, shadow.LineID)
	require.True(t, lines[gs[0].LineID].Frozen)
	require.False(t, lines[gs[1].LineID].Frozen)
	require.Equal(t, photos[1], *lines[gs[1].LineID].PhotoID)
	require.WithinDuration(t, time.Now(), lines[gs[1].LineID].GrantedAt, time.Hour)

	rows, err := s.store.LinesByOrder(t.Context(), s.pool, []uuid.UUID{gs[0].OrderID, shadow.OrderID})
	require.NoError(t, err)
	require.Len(t, rows, 5)
	results := map[Result]int{}
	for i := range rows {
		results[rows[i].Result()]++
	}
	require.Equal(t, map[Result]int{Live: 3, Ended: 1, Shadowed: 1}, results)
}
