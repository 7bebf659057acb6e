package settle

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
)

// grant brings the buyers' grants to what the facts call for: lines are granted,
// ended ones revoked, restored ones given back, and all are frozen while a
// dispute is open. Lines that the buyer turns out to have already are decided as
// such, so that their money goes back. What was learned is written first.
func (s *Settler) grant(ctx context.Context, tx pgx.Tx, work []*plan, learned []pg.Step) error {
	var fresh []entitlement.Grant
	var ended, restored, frozen, thawed []entitlement.Change
	var locks []entitlement.Access
	simple := true // the locks are those that the fresh ones take anyway
	of := map[uuid.UUID]*plan{}
	for _, p := range work {
		for i := range p.facts.Lines {
			l := &p.facts.Lines[i]
			was, is := p.before.Live[l.ID], p.after.Live[l.ID]
			chills := p.after.Frozen && (!p.before.Frozen || is && !was)
			thaws := p.before.Frozen && !p.after.Frozen
			if is != was || chills || thaws {
				simple = simple && is && !chills && !thaws && p.before.Kept == nil
				locks = append(locks, entitlement.Access{
					BuyerID: p.facts.Order.BuyerID, EventID: l.EventID,
					Exclusive: l.Kind == order.LineEvent || was || chills || thaws || p.before.Kept != nil,
				})
			}
			switch {
			case is && !was:
				fresh = append(fresh, grantOf(p, l))
				of[l.ID] = p
			case was && !is:
				ended = append(ended, p.change(l.ID))
			}
			if chills {
				frozen = append(frozen, p.change(l.ID))
			}
			if thaws {
				thawed = append(thawed, p.change(l.ID))
			}
		}
	}
	if !simple || len(fresh) == 0 {
		if err := pg.Pipeline(ctx, tx, learned...); err != nil {
			return err
		}
		if err := afterFacts.Hit(); err != nil {
			return err
		}
		learned = nil
		// All of them first and in one order: grants, ends and restorations of one
		// group must not take them piece by piece.
		if err := s.grants.LockAccessTx(ctx, tx, locks); err != nil {
			return err
		}
	}
	if len(fresh) > 0 {
		granted, err := s.grants.GrantTx(ctx, tx, fresh, learned...)
		if err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		for _, g := range granted {
			p := of[g.LineID]
			value := ""
			switch g.Result {
			case entitlement.Live:
			case entitlement.Ended: // it was granted before: the same row comes back
				restored = append(restored, p.change(g.LineID))
			case entitlement.Covered:
				value = order.LineCovered
			case entitlement.Shadowed:
				value = order.LineOwned
				ended = append(ended, p.change(g.LineID))
			}
			if value != "" {
				p.facts.DecideBy(order.DecideLine+g.LineID.String(), value, p.cause, p.delta)
				p.after = order.Derive(p.facts)
			}
		}
	}
	for _, step := range []struct {
		what    string
		changes []entitlement.Change
		do      func(context.Context, pgx.Tx, []entitlement.Change) error
	}{
		{"restore access", restored, s.grants.RestoreTx},
		{"end access", ended, s.grants.RevokeTx},
		{"freeze access", frozen, s.grants.FreezeTx},
		{"thaw access", thawed, s.grants.ThawTx},
	} {
		if len(step.changes) == 0 {
			continue
		}
		if err := step.do(ctx, tx, step.changes); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
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
