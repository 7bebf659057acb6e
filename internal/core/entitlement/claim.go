package entitlement

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/core/entitlement/internal/db"
)

// Move is an order that changes its buyer, with all of its grants.
type Move struct {
	OrderID uuid.UUID
	EventID uuid.UUID
	From    uuid.UUID // its buyer so far
}

// ClaimTx makes the grants of orders another buyer's. Of a thing that the buyer
// owns already the older grant stays and the newer one is shadowed by it; one
// that a dispute has frozen gives way to one that gives access. What gave way to
// a grant that moves, and stays behind, is promoted. A photograph moves also
// beside a live grant of its whole event, and the other way round: both were
// paid for, by somebody who could not know, and either is given back only when
// its buyer asks. cause names the claim.
//
// The caller holds the row locks of the orders and has changed their buyer.
func (s Store) ClaimTx(ctx context.Context, tx pgx.Tx, moves []Move, to, cause uuid.UUID) error {
	var locks []Access
	var orders, events []uuid.UUID
	for _, m := range moves {
		locks = append(locks, Access{BuyerID: m.From, EventID: m.EventID, Exclusive: true}, Access{BuyerID: to, EventID: m.EventID, Exclusive: true})
		orders, events = append(orders, m.OrderID), append(events, m.EventID)
	}
	if err := s.LockAccessTx(ctx, tx, locks); err != nil {
		return err
	}
	moving, err := s.LinesByOrder(ctx, tx, orders)
	if err != nil {
		return err
	}
	if len(moving) == 0 {
		return nil
	}
	rows, err := s.q.OwnedOf(ctx, tx, db.OwnedOfParams{BuyerID: to, EventIds: id.Sorted(events)})
	if err != nil {
		return fmt.Errorf("read what a buyer owns: %w", err)
	}
	owned := make([]Standing, len(rows))
	for i, r := range rows {
		owned[i] = Standing(r)
	}

	giveWay, move := arrange(owned, moving, to)
	// First those that give way, so that nothing is live twice at any moment.
	if len(giveWay) > 0 {
		p := db.GiveWayParams{CauseID: cause}
		p.Ids, p.ShadowedBys = columns(giveWay)
		n, err := s.q.GiveWay(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("let grants give way: %w", err)
		}
		if n != int64(len(giveWay)) {
			return fmt.Errorf("let grants give way: %d of %d did", n, len(giveWay))
		}
	}
	p := db.MoveGrantsParams{BuyerID: to, CauseID: cause}
	p.Ids, p.ShadowedBys = columns(move)
	n, err := s.q.MoveGrants(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("move grants: %w", err)
	}
	if n != int64(len(move)) {
		return fmt.Errorf("move grants: %d of %d moved", n, len(move))
	}
	if err := s.q.PromoteLeft(ctx, tx, db.PromoteLeftParams{MovedIds: p.Ids, BuyerID: to}); err != nil {
		return fmt.Errorf("let other grants take their place: %w", err)
	}
	return nil
}

// place is where a grant stands after a claim: live, or shadowed by another.
type place struct{ grant, shadowedBy uuid.UUID }

// arrange finds the one live grant of each thing that moves to a buyer, and what
// gives way to it.
func arrange(owned, moving []Standing, to uuid.UUID) (giveWay, move []place) {
	of := map[thing]*Standing{} // the best so far
	own := func(s *Standing) thing {
		t := s.thing()
		t.buyer = to
		return t
	}
	for _, rows := range [][]Standing{owned, moving} {
		for i := range rows {
			s := &rows[i]
			if s.RevokedAt == nil && (of[own(s)] == nil || better(s, of[own(s)])) {
				of[own(s)] = s
			}
		}
	}
	shadow := func(s *Standing) uuid.UUID {
		if best := of[own(s)]; best != nil && best.ID != s.ID {
			return best.ID
		}
		return uuid.Nil
	}
	for i := range owned {
		s := &owned[i]
		by := uuid.Nil
		if s.ShadowedBy != nil {
			by = *s.ShadowedBy
		}
		if want := shadow(s); want != by {
			giveWay = append(giveWay, place{s.ID, want})
		}
	}
	for i := range moving {
		move = append(move, place{moving[i].ID, shadow(&moving[i])})
	}
	return giveWay, move
}

// better reports whether a is to be the live grant rather than b.
func better(a, b *Standing) bool {
	rank := func(s *Standing) int {
		switch {
		case s.ShadowedBy != nil:
			return 2
		case s.FrozenAt != nil:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.GrantedAt.Compare(b.GrantedAt), slices.Compare(a.ID[:], b.ID[:])) < 0
}

func columns(places []place) (grants, shadowedBys []uuid.UUID) {
	for _, p := range places {
		grants, shadowedBys = append(grants, p.grant), append(shadowedBys, p.shadowedBy)
	}
	return grants, shadowedBys
}
