package entitlement

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
)

// model says who owns what in the plainest Go: for each buyer and thing, the
// paid lines in the order in which they came, of which the owner is one.
type model struct {
	lines []*modelLine
}

type modelLine struct {
	Grant
	live, ended, frozen bool
}

func (m *model) owner(g *Grant) *modelLine {
	for _, l := range m.lines {
		if l.live && l.thing() == g.thing() {
			return l
		}
	}
	return nil
}

func (m *model) grant(g Grant) Result {
	for _, l := range m.lines {
		if l.LineID == g.LineID {
			return l.result()
		}
	}
	if g.PhotoID != nil {
		event := g
		event.PhotoID = nil
		if w := m.owner(&event); w != nil && w.OrderID != g.OrderID {
			return Covered
		}
	}
	l := &modelLine{Grant: g, live: m.owner(&g) == nil}
	m.lines = append(m.lines, l)
	return l.result()
}

func (l *modelLine) result() Result {
	switch {
	case l.ended:
		return Ended
	case l.live:
		return Live
	}
	return Shadowed
}

// revoke ends lines one after another, then finds heirs: the oldest line of the
// thing that has not ended.
func (m *model) revoke(lines []*modelLine) {
	orphaned := map[thing]bool{}
	for _, l := range lines {
		if l.live {
			orphaned[l.thing()] = true
		}
		l.live, l.ended = false, true
	}
	for _, l := range m.lines {
		if orphaned[l.thing()] && !l.ended {
			l.live = true
			delete(orphaned, l.thing())
		}
	}
}

func (m *model) restore(lines []*modelLine) {
	for _, l := range lines {
		if l.ended {
			l.ended, l.live = false, m.owner(&l.Grant) == nil
		}
	}
}

func (m *model) access(buyer, event, photo uuid.UUID) bool {
	return slices.ContainsFunc(m.lines, func(l *modelLine) bool {
		return l.live && !l.frozen && l.BuyerID == buyer && l.EventID == event && (l.PhotoID == nil || *l.PhotoID == photo)
	})
}

// Whatever is granted, ended, restored, frozen and thawed, in whatever groups,
// the table agrees with the model and every rule holds after each step.
func TestGrantsAgreeWithModel(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyers := []uuid.UUID{s.buyer(t), s.buyer(t)}
	things := []uuid.UUID{whole, id.New(), id.New()}
	rapid.Check(t, func(rt *rapid.T) {
		tx, err := s.pool.Begin(t.Context()) // rolled back, so that each run begins with nothing
		require.NoError(rt, err)
		defer func() { _ = tx.Rollback(background()) }()
		m := &model{}
		var paid []Grant
		some := func(rt *rapid.T) (lines []*modelLine, changes []Change) {
			if len(m.lines) == 0 {
				rt.Skip("nothing is granted")
			}
			lines = rapid.SliceOfNDistinct(rapid.SampledFrom(m.lines), 1, min(3, len(m.lines)), func(l *modelLine) uuid.UUID { return l.LineID }).Draw(rt, "lines")
			for _, l := range lines {
				changes = append(changes, change(l.Grant)...)
			}
			return lines, changes
		}
		rt.Repeat(map[string]func(*rapid.T){
			"grant": func(rt *rapid.T) {
				var grants []Grant
				for range rapid.IntRange(1, 3).Draw(rt, "orders") {
					if len(paid) > 0 && rapid.IntRange(0, 4).Draw(rt, "again") == 0 {
						grants = append(grants, rapid.SampledFrom(paid).Draw(rt, "paid"))
						continue
					}
					bought := rapid.SliceOfNDistinct(rapid.SampledFrom(things), 1, 3, rapid.ID).Draw(rt, "things")
					fresh := s.order(rt, tx, rapid.SampledFrom(buyers).Draw(rt, "buyer"), bought...)
					grants, paid = append(grants, fresh...), append(paid, fresh...)
				}
				out, err := s.store.GrantTx(t.Context(), tx, grants)
				require.NoError(rt, err)
				for i, g := range grants {
					require.Equal(rt, m.grant(g), out[i].Result, "line %d of %d", i+1, len(grants))
				}
			},
			"revoke": func(rt *rapid.T) {
				lines, changes := some(rt)
				require.NoError(rt, s.store.RevokeTx(t.Context(), tx, changes))
				m.revoke(lines)
			},
			"restore": func(rt *rapid.T) {
				lines, changes := some(rt)
				require.NoError(rt, s.store.RestoreTx(t.Context(), tx, changes))
				m.restore(lines)
			},
			"freeze": func(rt *rapid.T) {
				lines, changes := some(rt)
				require.NoError(rt, s.store.FreezeTx(t.Context(), tx, changes))
				for _, l := range lines {
					l.frozen = true
				}
			},
			"thaw": func(rt *rapid.T) {
				lines, changes := some(rt)
				require.NoError(rt, s.store.ThawTx(t.Context(), tx, changes))
				for _, l := range lines {
					l.frozen = false
				}
			},
			"": func(rt *rapid.T) {
				require.Empty(rt, broken(rt, tx))
				for _, buyer := range buyers {
					for _, photo := range things[1:] {
						ok, err := s.store.Access(t.Context(), tx, buyer, s.event, photo)
						require.NoError(rt, err)
						require.Equal(rt, m.access(buyer, s.event, photo), ok)
					}
				}
				var orders []uuid.UUID
				want, got := map[uuid.UUID]Result{}, map[uuid.UUID]Result{}
				for _, l := range m.lines {
					orders = append(orders, l.OrderID)
					want[l.LineID] = l.result()
				}
				rows, err := s.store.LinesByOrder(t.Context(), tx, orders)
				require.NoError(rt, err)
				for i := range rows {
					got[rows[i].LineID] = rows[i].Result()
				}
				require.Equal(rt, want, got)
			},
		})
	})
}
