package entitlement

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/core/entitlement/internal/db"
)

// maxRounds bounds how often a grant is judged again because another
// transaction granted the same thing meanwhile.
const maxRounds = 3

// ErrConflict says that a grant was refused by a key and no row explains it.
var ErrConflict = errors.New("entitlement: a grant conflicts with a row that cannot be found")

// GrantTx grants lines, in their order, and says how each came out. A line that
// was granted before keeps its row. Locks: access locks, then unique keys.
func (s Store) GrantTx(ctx context.Context, tx pgx.Tx, grants []Grant) ([]Granted, error) {
	access := make([]Access, len(grants))
	for i, g := range grants {
		access[i] = Access{BuyerID: g.BuyerID, EventID: g.EventID, Exclusive: g.PhotoID == nil}
	}
	if err := s.LockAccessTx(ctx, tx, access); err != nil {
		return nil, err
	}
	results := make(map[uuid.UUID]Granted, len(grants))
	pending := grants
	for range maxRounds {
		// In the statement after the lock, so that it sees what the lock's last
		// holder did.
		around, err := s.around(ctx, tx, pending)
		if err != nil {
			return nil, err
		}
		rows := judge(pending, around, results)
		inserted, err := s.insert(ctx, tx, rows)
		if err != nil {
			return nil, err
		}
		var missed []Grant
		for _, g := range pending {
			if r, ok := rows[g.LineID]; ok && !inserted[r.grant.LineID] {
				delete(results, g.LineID)
				missed = append(missed, g)
			}
		}
		if len(missed) == 0 {
			out := make([]Granted, len(grants))
			for i, g := range grants {
				out[i] = results[g.LineID]
			}
			return out, nil
		}
		// Another transaction granted the same thing and has committed since, or
		// the insert would still wait for it: judge again with its row in view.
		pending = missed
	}
	return nil, fmt.Errorf("%w: line %s", ErrConflict, pending[0].LineID)
}

// fresh is a row to insert.
type fresh struct {
	id         uuid.UUID
	grant      Grant
	shadowedBy uuid.UUID
}

// judge decides each grant against what stands and what the grants before it
// become, and returns the rows to insert by line.
func judge(grants []Grant, around []row, results map[uuid.UUID]Granted) map[uuid.UUID]fresh {
	byLine := map[uuid.UUID]row{}
	alive := map[thing]row{}
	for _, r := range around {
		byLine[r.LineID] = r
		if live(r) {
			alive[thingOf(r.BuyerID, r.EventID, r.PhotoID)] = r
		}
	}
	rows := map[uuid.UUID]fresh{}
	for _, g := range grants {
		if r, ok := byLine[g.LineID]; ok {
			results[g.LineID] = standing(r)
			continue
		}
		whole, covered := alive[thing{buyer: g.BuyerID, event: g.EventID}]
		if covered && g.PhotoID != nil && whole.OrderID != g.OrderID {
			results[g.LineID] = Granted{LineID: g.LineID, Result: Covered, By: whole.ID}
			continue
		}
		f := fresh{id: id.New(), grant: g}
		results[g.LineID] = Granted{LineID: g.LineID, Result: Live}
		t := thingOf(g.BuyerID, g.EventID, g.PhotoID)
		if other, ok := alive[t]; ok {
			f.shadowedBy = other.ID
			results[g.LineID] = Granted{LineID: g.LineID, Result: Shadowed, By: other.ID}
		} else {
			alive[t] = row{ID: f.id, LineID: g.LineID, OrderID: g.OrderID}
		}
		rows[g.LineID] = f
	}
	return rows
}

func standing(r row) Granted {
	switch {
	case r.Revoked:
		return Granted{LineID: r.LineID, Result: Ended}
	case r.ShadowedBy != nil:
		return Granted{LineID: r.LineID, Result: Shadowed, By: *r.ShadowedBy}
	}
	return Granted{LineID: r.LineID, Result: Live}
}

func (s Store) around(ctx context.Context, tx pgx.Tx, grants []Grant) ([]row, error) {
	var p db.AroundParams
	for _, g := range grants {
		p.BuyerIds, p.EventIds = append(p.BuyerIds, g.BuyerID), append(p.EventIds, g.EventID)
	}
	rows, err := s.q.Around(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("read grants: %w", err)
	}
	out := make([]row, len(rows))
	for i, r := range rows {
		out[i] = row(r)
	}
	return out, nil
}

func (s Store) insert(ctx context.Context, tx pgx.Tx, rows map[uuid.UUID]fresh) (map[uuid.UUID]bool, error) {
	inserted := map[uuid.UUID]bool{}
	if len(rows) == 0 {
		return inserted, nil
	}
	var p db.InsertParams
	for _, f := range rows {
		g, photo := f.grant, uuid.Nil
		if g.PhotoID != nil {
			photo = *g.PhotoID
		}
		p.Ids, p.LineIds, p.OrderIds = append(p.Ids, f.id), append(p.LineIds, g.LineID), append(p.OrderIds, g.OrderID)
		p.BuyerIds, p.Kinds, p.EventIds = append(p.BuyerIds, g.BuyerID), append(p.Kinds, g.Kind), append(p.EventIds, g.EventID)
		p.PhotoIds, p.ShadowedBys, p.InboxIds = append(p.PhotoIds, photo), append(p.ShadowedBys, f.shadowedBy), append(p.InboxIds, g.InboxID)
	}
	lines, err := s.q.Insert(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("insert grants: %w", err)
	}
	for _, l := range lines {
		inserted[l] = true
	}
	return inserted, nil
}

// RevokeTx ends the access of lines. The oldest grant that was shadowed by one
// of them becomes live. A line without a grant, or whose grant has ended, is
// left alone. Locks: exclusive access locks of live grants, then rows by id.
func (s Store) RevokeTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	return s.change(ctx, tx, changes, func(around []row, of map[uuid.UUID]Change) []update {
		var out []update
		for _, r := range around {
			c, ok := of[r.LineID]
			if !ok || r.Revoked {
				continue
			}
			u := update{id: r.ID, revoked: true, cause: c}
			if r.ShadowedBy != nil {
				u.shadowedBy = *r.ShadowedBy // it stays behind what it gave way to
			}
			out = append(out, u)
			if r.ShadowedBy != nil {
				continue
			}
			heir := uuid.Nil
			for _, o := range around { // oldest first
				if o.ShadowedBy == nil || *o.ShadowedBy != r.ID || o.Revoked {
					continue
				}
				if _, ends := of[o.LineID]; ends {
					continue
				}
				if heir == uuid.Nil {
					heir = o.ID
					out = append(out, update{id: o.ID, cause: c})
				} else {
					out = append(out, update{id: o.ID, shadowedBy: heir, cause: c})
				}
			}
		}
		return out
	})
}

// RestoreTx gives back the access of lines whose refund failed: the same row
// becomes live, or waits behind the grant that is live now. A line without a
// row is left alone.
func (s Store) RestoreTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	return s.change(ctx, tx, changes, func(around []row, of map[uuid.UUID]Change) []update {
		alive := map[thing]uuid.UUID{}
		for _, r := range around {
			if live(r) {
				alive[thingOf(r.BuyerID, r.EventID, r.PhotoID)] = r.ID
			}
		}
		var out []update
		for _, r := range around {
			c, ok := of[r.LineID]
			if !ok || !r.Revoked {
				continue
			}
			t := thingOf(r.BuyerID, r.EventID, r.PhotoID)
			out = append(out, update{id: r.ID, shadowedBy: alive[t], cause: c})
			if alive[t] == uuid.Nil {
				alive[t] = r.ID
			}
		}
		return out
	})
}

// update is the new standing of a row.
type update struct {
	id         uuid.UUID
	revoked    bool
	shadowedBy uuid.UUID
	cause      Change
}

func (s Store) change(ctx context.Context, tx pgx.Tx, changes []Change, decide func(around []row, of map[uuid.UUID]Change) []update) error {
	of := make(map[uuid.UUID]Change, len(changes))
	lines := make([]uuid.UUID, 0, len(changes))
	for _, c := range changes {
		of[c.LineID] = c
		lines = append(lines, c.LineID)
	}
	// What a line is of never changes, so it may be read before the lock.
	mine, err := s.q.ByLines(ctx, tx, lines)
	if err != nil {
		return fmt.Errorf("read grants: %w", err)
	}
	if len(mine) == 0 {
		return nil
	}
	var access []Access
	grants := make([]Grant, len(mine))
	for i, r := range mine {
		grants[i] = Grant{BuyerID: r.BuyerID, EventID: r.EventID}
		if live(r) || r.Revoked {
			access = append(access, Access{BuyerID: r.BuyerID, EventID: r.EventID, Exclusive: true})
		}
	}
	if err := s.LockAccessTx(ctx, tx, access); err != nil {
		return err
	}
	around, err := s.around(ctx, tx, grants)
	if err != nil {
		return err
	}
	updates := decide(around, of)
	if len(updates) == 0 {
		return nil
	}
	// What ends comes first: a thing never has two live grants, not even between
	// two rows of one statement.
	slices.SortStableFunc(updates, func(a, b update) int { return boolInt(b.revoked) - boolInt(a.revoked) })
	var ends, begins []update
	for _, u := range updates {
		if u.revoked {
			ends = append(ends, u)
		} else {
			begins = append(begins, u)
		}
	}
	if err := s.lockRows(ctx, tx, updates); err != nil {
		return err
	}
	for _, part := range [][]update{ends, begins} {
		if err := s.set(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s Store) lockRows(ctx context.Context, tx pgx.Tx, updates []update) error {
	ids := make([]uuid.UUID, len(updates))
	for i, u := range updates {
		ids[i] = u.id
	}
	if err := s.q.LockRows(ctx, tx, ids); err != nil {
		return fmt.Errorf("lock grants: %w", err)
	}
	return nil
}

func (s Store) set(ctx context.Context, tx pgx.Tx, updates []update) error {
	if len(updates) == 0 {
		return nil
	}
	var p db.SetRowsParams
	for _, u := range updates {
		p.Ids, p.Revokeds, p.ShadowedBys = append(p.Ids, u.id), append(p.Revokeds, u.revoked), append(p.ShadowedBys, u.shadowedBy)
		p.ChangedKinds, p.ChangedIds = append(p.ChangedKinds, u.cause.CauseKind), append(p.ChangedIds, u.cause.CauseID)
	}
	n, err := s.q.SetRows(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("change grants: %w", err)
	}
	if n != int64(len(updates)) {
		return fmt.Errorf("change grants: %d of %d rows", n, len(updates))
	}
	return nil
}
