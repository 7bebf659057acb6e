package settle

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
)

// grant brings the buyers' grants to what the facts call for: new lines are
// granted, ended ones revoked, restored ones given back. Lines that the buyer
// turns out to have already are decided as such, so that their money goes back.
func (s *Settler) grant(ctx context.Context, tx pgx.Tx, work []*plan) error {
	var fresh []entitlement.Grant
	var ended, restored []entitlement.Change
	var locks []entitlement.Access
	of := map[uuid.UUID]*plan{}
	for _, p := range work {
		for i := range p.facts.Lines {
			l := &p.facts.Lines[i]
			was, is := p.before.Live[l.ID], p.after.Live[l.ID]
			if is != was {
				locks = append(locks, entitlement.Access{
					BuyerID: p.facts.Order.BuyerID, EventID: l.EventID,
					Exclusive: l.Kind == order.LineEvent || was || p.before.Kept != nil,
				})
			}
			switch {
			case is && !was && p.before.Kept == nil:
				fresh = append(fresh, grantOf(p, l))
				of[l.ID] = p
			case is && !was:
				restored = append(restored, p.change(l.ID))
			case was && !is:
				ended = append(ended, p.change(l.ID))
			}
		}
	}
	// All of them first and in one order: grants, ends and restorations of one
	// group must not take them piece by piece.
	if err := s.grants.LockAccessTx(ctx, tx, locks); err != nil {
		return err
	}
	if len(fresh) > 0 {
		granted, err := s.grants.GrantTx(ctx, tx, fresh)
		if err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		for _, g := range granted {
			if g.Result == entitlement.Live {
				continue
			}
			p := of[g.LineID]
			value := order.LineOwned
			if g.Result == entitlement.Covered {
				value = order.LineCovered
			} else {
				ended = append(ended, p.change(g.LineID))
			}
			p.facts.Decide(order.DecideLine+g.LineID.String(), value, p.last, p.delta)
			p.after = order.Derive(p.facts)
		}
	}
	if len(restored) > 0 {
		if err := s.grants.RestoreTx(ctx, tx, restored); err != nil {
			return fmt.Errorf("restore access: %w", err)
		}
	}
	if len(ended) > 0 {
		if err := s.grants.RevokeTx(ctx, tx, ended); err != nil {
			return fmt.Errorf("end access: %w", err)
		}
	}
	return nil
}

func grantOf(p *plan, l *order.Line) entitlement.Grant {
	return entitlement.Grant{
		LineID: l.ID, OrderID: l.OrderID, BuyerID: p.facts.Order.BuyerID, Kind: string(l.Kind),
		EventID: l.EventID, PhotoID: l.PhotoID, InboxID: p.after.Kept.InboxID,
	}
}

func (p *plan) change(lineID uuid.UUID) entitlement.Change {
	return entitlement.Change{LineID: lineID, CauseKind: p.cause.Kind, CauseID: p.cause.ID}
}
