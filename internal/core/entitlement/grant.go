package entitlement

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement/internal/db"
)

var lineOnce = guard.Define("entitlement.line_once", guard.Claim,
	"a line that was granted is granted again by the next observation of its payment")

var accessLock = guard.Define("entitlement.access_lock", guard.Lock,
	"a photograph and its whole event are bought at once, and both are kept and paid")

// Store writes and reads grants. It has no pool; its zero value is ready.
type Store struct {
	q        db.Queries
	unlocked bool // a proof took the access lock away
}

// LockAccessTx takes the access locks, sorted, each once; exclusive wins.
func (s Store) LockAccessTx(ctx context.Context, tx pgx.Tx, locks []Access) error {
	return pg.Pipeline(ctx, tx, s.lockSteps(locks)...)
}

func (s Store) lockSteps(locks []Access) []pg.Step {
	if len(locks) == 0 || s.unlocked || !accessLock.On() {
		return nil
	}
	exclusive := map[int32]bool{}
	for _, l := range locks {
		k := accessKey(l.BuyerID, l.EventID)
		exclusive[k] = exclusive[k] || l.Exclusive
	}
	p := db.LockAccessParams{Namespace: pg.LockAccess}
	for k := range exclusive {
		p.Keys = append(p.Keys, k)
	}
	slices.Sort(p.Keys)
	for _, k := range p.Keys {
		p.Exclusives = append(p.Exclusives, exclusive[k])
	}
	return []pg.Step{func(ctx context.Context, q pg.DBTX) error {
		if err := s.q.LockAccess(ctx, q, p); err != nil {
			return fmt.Errorf("lock access: %w", err)
		}
		return nil
	}}
}

// accessKey is the second key of the advisory lock. Two pairs that share one
// only wait for each other needlessly.
func accessKey(buyerID, eventID uuid.UUID) int32 {
	h := sha256.Sum256(append(buyerID[:], eventID[:]...))
	return int32(binary.BigEndian.Uint32(h[:]))
}

// maxRounds bounds GrantTx. One round is usual, a few are needed when lines of
// one call depend on each other, and more only if other transactions grant and
// end the same thing all the time.
const maxRounds = 10

// GrantTx grants lines and returns where each stands, in the same order. The
// caller holds the row locks of the lines' orders. A line that stands already is
// left as it is; if it stands as something else, a *GrantError names it, and the
// caller undoes the transaction. The statements of ahead go first, in the round
// trip in which GrantTx locks and reads.
func (s Store) GrantTx(ctx context.Context, tx pgx.Tx, grants []Grant, ahead ...pg.Step) ([]Granted, error) {
	locks := make([]Access, len(grants))
	for i := range grants {
		g := &grants[i]
		if err := g.validate(); err != nil {
			return nil, err
		}
		locks[i] = Access{BuyerID: g.BuyerID, EventID: g.EventID, Exclusive: g.Kind == KindEvent}
	}
	ahead = append(ahead, s.lockSteps(locks)...)
	out := make([]Granted, len(grants))
	open := make([]int, len(grants)) // places in grants that are not settled yet
	for i := range grants {
		open[i] = i
	}
	for round := 0; len(open) > 0; round++ {
		if round == maxRounds {
			return nil, fmt.Errorf("grant: %d lines keep losing to other transactions", len(open))
		}
		// What was not inserted in the last round is read here, in the statement
		// after, and compared.
		var stands *picture
		if err := pg.Pipeline(ctx, tx, append(ahead, s.looking(&stands, grants, open))...); err != nil {
			return nil, err
		}
		ahead = nil
		fresh, later, err := settle(grants, open, stands, out)
		if err != nil {
			return nil, err
		}
		missed, err := s.insert(ctx, tx, grants, fresh, out)
		if err != nil {
			return nil, err
		}
		open = slices.Sorted(slices.Values(append(later, missed...)))
	}
	return out, nil
}

// picture is what stands of some lines and things.
type picture struct {
	lines map[uuid.UUID]*Standing // by line
	live  map[thing]*Standing
}

func newPicture(rows []db.StandingRow) *picture {
	p := &picture{lines: map[uuid.UUID]*Standing{}, live: map[thing]*Standing{}}
	for _, r := range rows {
		s := standing(r)
		p.lines[s.LineID] = s
		if s.Result() == Live {
			p.live[s.thing()] = s
		}
	}
	return p
}

func (s Store) looking(to **picture, grants []Grant, open []int) pg.Step {
	var p db.StandingParams
	for _, i := range open {
		g := &grants[i]
		p.LineIds, p.BuyerIds = append(p.LineIds, g.LineID), append(p.BuyerIds, g.BuyerID)
		p.EventIds, p.PhotoIds = append(p.EventIds, g.EventID), append(p.PhotoIds, g.photo())
	}
	return func(ctx context.Context, q pg.DBTX) error {
		rows, err := s.q.Standing(ctx, q, p)
		if err != nil {
			return fmt.Errorf("read grants: %w", err)
		}
		*to = newPicture(rows)
		return nil
	}
}

// row is a grant about to be inserted.
type row struct {
	at         int // its place in grants
	id         uuid.UUID
	shadowedBy uuid.UUID
}

// settle says where lines stand and which are to be inserted now, as if each
// came after the ones before it. A line that depends on one that is not known to
// stand yet is left for later.
func settle(grants []Grant, open []int, stands *picture, out []Granted) (fresh []row, later []int, err error) {
	coming := map[thing]uuid.UUID{}                      // about to be live, and their orders
	lines := map[uuid.UUID]bool{}                        // about to be inserted
	photos, events := map[thing]bool{}, map[thing]bool{} // with photographs, or the whole, left for later
	for _, i := range open {
		g := &grants[i]
		out[i].LineID = g.LineID
		if had := stands.lines[g.LineID]; had != nil && lineOnce.On() {
			if err := g.same(had); err != nil {
				return nil, nil, err
			}
			out[i].Result = had.Result()
			if out[i].Result == Shadowed {
				out[i].By = *had.ShadowedBy
			}
			continue
		}
		event := thing{g.BuyerID, g.EventID, uuid.Nil}
		_, contested := coming[g.thing()]
		if g.Kind == KindEvent {
			if contested || lines[g.LineID] || photos[event] {
				later, events[event] = append(later, i), true
				continue
			}
		} else {
			wholeOrder, wholeComes := coming[event]
			if contested || lines[g.LineID] || events[event] || wholeComes && wholeOrder != g.OrderID {
				later, photos[event] = append(later, i), true
				continue
			}
			if whole := stands.live[event]; whole != nil && whole.OrderID != g.OrderID {
				out[i].Result, out[i].By = Covered, whole.ID
				continue
			}
		}
		r := row{at: i, id: id.New()}
		if owner := stands.live[g.thing()]; owner != nil {
			r.shadowedBy = owner.ID
		} else {
			coming[g.thing()] = g.OrderID
		}
		lines[g.LineID] = true
		fresh = append(fresh, r)
	}
	return fresh, later, nil
}

// insert writes the rows and returns the places of those that gave way to
// others'.
func (s Store) insert(ctx context.Context, tx pgx.Tx, grants []Grant, fresh []row, out []Granted) (missed []int, err error) {
	if len(fresh) == 0 {
		return nil, nil
	}
	var p db.AddGrantsParams
	for _, r := range fresh {
		g := &grants[r.at]
		p.Ids, p.LineIds, p.OrderIds = append(p.Ids, r.id), append(p.LineIds, g.LineID), append(p.OrderIds, g.OrderID)
		p.BuyerIds, p.Kinds, p.EventIds = append(p.BuyerIds, g.BuyerID), append(p.Kinds, g.Kind), append(p.EventIds, g.EventID)
		p.PhotoIds, p.ShadowedBys, p.InboxIds = append(p.PhotoIds, g.photo()), append(p.ShadowedBys, r.shadowedBy), append(p.InboxIds, g.InboxID)
	}
	rows, err := s.q.AddGrants(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("insert grants: %w", err)
	}
	inserted := make(map[uuid.UUID]bool, len(rows))
	for _, lineID := range rows {
		inserted[lineID] = true
	}
	for _, r := range fresh {
		if !inserted[grants[r.at].LineID] {
			missed = append(missed, r.at)
			continue
		}
		out[r.at].Result = Live
		if r.shadowedBy != uuid.Nil {
			out[r.at].Result, out[r.at].By = Shadowed, r.shadowedBy
		}
	}
	return missed, nil
}
