package entitlement

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/core/entitlement/internal/db"
)

// RevokeTx ends grants. What gave way to one of them becomes live: the oldest,
// and the others give way to that. A line that has ended or was never granted is
// left as it is. The caller holds the row locks of the lines' orders.
func (s Store) RevokeTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	if _, err := s.lock(ctx, tx, changes); err != nil {
		return err
	}
	ended, err := s.q.Revoke(ctx, tx, arrays(changes))
	if err != nil {
		return fmt.Errorf("end grants: %w", err)
	}
	if len(ended) == 0 {
		return nil
	}
	if err := s.q.Promote(ctx, tx, ended); err != nil {
		return fmt.Errorf("let other grants take their place: %w", err)
	}
	return nil
}

// RestoreTx takes the end of grants back, each in its own row. A line is
// shadowed if the buyer owns the thing by another one now. A line that has not
// ended is left as it is.
func (s Store) RestoreTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	rows, err := s.lock(ctx, tx, changes)
	if err != nil || len(rows) == 0 {
		return err
	}
	var q db.StandingParams
	for _, r := range rows {
		t := r.thing()
		q.LineIds, q.BuyerIds = append(q.LineIds, r.LineID), append(q.BuyerIds, t.buyer)
		q.EventIds, q.PhotoIds = append(q.EventIds, t.event), append(q.PhotoIds, t.photo)
	}
	found, err := s.q.Standing(ctx, tx, q)
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	now := newPicture(found)
	var p db.RestoreParams
	for _, c := range changes {
		r := now.lines[c.LineID]
		if r == nil || r.RevokedAt == nil {
			continue
		}
		by := uuid.Nil
		if owner := now.live[r.thing()]; owner != nil {
			by = owner.ID
		} else {
			now.live[r.thing()] = r
		}
		r.RevokedAt = nil // the same line again has not ended any more
		p.LineIds, p.ShadowedBys = append(p.LineIds, c.LineID), append(p.ShadowedBys, by)
		p.CauseKinds, p.CauseIds = append(p.CauseKinds, c.CauseKind), append(p.CauseIds, c.CauseID)
	}
	if len(p.LineIds) == 0 {
		return nil
	}
	n, err := s.q.Restore(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("restore grants: %w", err)
	}
	if n != int64(len(p.LineIds)) {
		return fmt.Errorf("restore grants: %d of %d restored", n, len(p.LineIds))
	}
	return nil
}

// FreezeTx takes access away while a dispute is open, also from lines that have
// ended, which may come back.
func (s Store) FreezeTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	if _, err := s.lock(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.q.Freeze(ctx, tx, db.FreezeParams(arrays(changes))); err != nil {
		return fmt.Errorf("freeze grants: %w", err)
	}
	return nil
}

// ThawTx gives back what FreezeTx took.
func (s Store) ThawTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	if _, err := s.lock(ctx, tx, changes); err != nil {
		return err
	}
	if err := s.q.Thaw(ctx, tx, db.ThawParams(arrays(changes))); err != nil {
		return fmt.Errorf("thaw grants: %w", err)
	}
	return nil
}

// lock takes the access locks of the lines and reads their rows after it. A row
// that is shadowed needs only the shared lock, since nobody else's row changes
// with it: so a transaction that finds its own grant shadowed can end it at once
// without waiting for a stronger lock than it has. The row may have become live
// before the lock was there; then the exclusive one is taken as well.
func (s Store) lock(ctx context.Context, tx pgx.Tx, changes []Change) ([]*Standing, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	held := map[Access]bool{}
	for {
		found, err := s.q.ByLines(ctx, tx, arrays(changes).LineIds)
		if err != nil {
			return nil, fmt.Errorf("read grants: %w", err)
		}
		rows := make([]*Standing, len(found))
		var more []Access
		for i, r := range found {
			rows[i] = standing(db.StandingRow(r))
			a := Access{BuyerID: r.BuyerID, EventID: r.EventID, Exclusive: rows[i].Result() != Shadowed}
			if !held[a] {
				held[a] = true
				more = append(more, a)
			}
		}
		if len(more) == 0 {
			return rows, nil
		}
		if err := s.LockAccessTx(ctx, tx, more); err != nil {
			return nil, err
		}
	}
}

func arrays(changes []Change) (p db.RevokeParams) {
	for _, c := range changes {
		p.LineIds = append(p.LineIds, c.LineID)
		p.CauseKinds, p.CauseIds = append(p.CauseKinds, c.CauseKind), append(p.CauseIds, c.CauseID)
	}
	return p
}
