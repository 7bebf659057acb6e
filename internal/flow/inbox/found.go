package inbox

import (
	"context"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// found is what was fetched, on its way to the database.
type found struct {
	payment.Fetched
	stored func() // called when it is there, or could not be stored
}

// keep stores what was fetched. Who comes while another stores leaves it to that
// one, so that groups form by themselves.
func (f *Fetcher) keep(ctx context.Context, r *found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, r)
	if f.storing {
		return
	}
	f.storing = true
	for len(f.waiting) > 0 {
		group := f.waiting[:min(len(f.waiting), maxGroupRows)]
		f.waiting = f.waiting[len(group):]
		f.mu.Unlock()
		f.storeGroup(ctx, group)
		f.mu.Lock()
	}
	f.waiting, f.storing = nil, false
}

func (f *Fetcher) storeGroup(ctx context.Context, group []*found) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rows := make([]payment.Fetched, len(group))
	for i, r := range group {
		rows[i] = r.Fetched
	}
	left, err := f.fulfil(ctx, rows)
	if err != nil {
		Facts.WithLabelValues("failed").Add(float64(len(rows)))
		f.log.Warn("what was fetched was not fulfilled at once: it is stored for the drain", "rows", len(rows), "error", err)
		left = len(rows)
		_, err = f.inbox.StoreFetched(ctx, f.pool, rows)
	}
	if err != nil {
		// Their leases end, and another fetches.
		f.log.Error("what was fetched was not stored", "rows", len(rows), "first", rows[0].ID, "error", err)
	}
	for _, r := range group {
		r.stored()
	}
	if err == nil && left > 0 {
		f.ready()
	}
}

// fulfil stores what was fetched and, in the same transaction, the effects of what
// is plain. It returns how many rows are left to the drain. If it fails nothing is
// stored.
func (f *Fetcher) fulfil(ctx context.Context, rows []payment.Fetched) (left int, err error) {
	if !f.atOnce.on() {
		_, err := f.inbox.StoreFetched(ctx, f.pool, rows)
		return len(rows), err
	}
	left, err = pg.InTx(ctx, f.atOnce.Pool, func(ctx context.Context, tx pgx.Tx) (int, error) {
		said := map[string][]payment.Observation{}
		for _, r := range rows {
			collect(said, r.Applier, r.ID, r.Seq, r.Facts)
		}
		done, err := f.atOnce.fulfilTx(ctx, tx, said)
		if err != nil {
			return 0, err
		}
		left := 0
		fetched := make([]payment.Fetched, len(rows))
		for i, r := range rows {
			if _, r.Done = done[r.ID]; !r.Done {
				left++
			}
			fetched[i] = r
		}
		// A lost lease loses nothing: what came of the row stands, and its next
		// fetch finds it known.
		_, err = f.inbox.StoreFetched(ctx, tx, fetched)
		return left, err
	})
	if err != nil {
		return 0, err
	}
	Facts.WithLabelValues("fulfilled").Add(float64(len(rows) - left))
	Facts.WithLabelValues("left").Add(float64(left))
	return left, afterFulfil.Hit()
}
