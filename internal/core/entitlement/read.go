package entitlement

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement/internal/db"
)

// Access reports whether the buyer may have the photograph of the event now: by
// a live grant of it or of the whole event that no dispute has frozen.
func (s Store) Access(ctx context.Context, q pg.DBTX, buyerID, eventID, photoID uuid.UUID) (bool, error) {
	ok, err := s.q.HasAccess(ctx, q, db.HasAccessParams{PhotoID: &photoID, BuyerID: buyerID, EventID: eventID})
	if err != nil {
		return false, fmt.Errorf("look up access: %w", err)
	}
	return ok, nil
}

// LivePhotos says which photographs of an event a buyer owns singly, and whether
// the whole of it: what need not be bought again. What a dispute has frozen is
// owned.
func (s Store) LivePhotos(ctx context.Context, q pg.DBTX, buyerID, eventID uuid.UUID) (photos map[uuid.UUID]bool, wholeEvent bool, err error) {
	rows, err := s.q.Held(ctx, q, db.HeldParams{BuyerID: buyerID, EventID: eventID})
	if err != nil {
		return nil, false, fmt.Errorf("read what a buyer owns: %w", err)
	}
	photos = map[uuid.UUID]bool{}
	for _, photoID := range rows {
		if photoID == nil {
			wholeEvent = true
			continue
		}
		photos[*photoID] = true
	}
	return photos, wholeEvent, nil
}

// Item is one thing in a buyer's library.
type Item struct {
	ID        uuid.UUID
	LineID    uuid.UUID
	OrderID   uuid.UUID
	Kind      string
	EventID   uuid.UUID
	PhotoID   *uuid.UUID // nil: the whole event
	GrantedAt time.Time
	Frozen    bool // by a dispute
}

// Library lists what a buyer owns, newest first, below the id before (uuid.Max
// for the first page).
func (s Store) Library(ctx context.Context, q pg.DBTX, buyerID, before uuid.UUID, limit int) ([]Item, error) {
	rows, err := s.q.Library(ctx, q, db.LibraryParams{BuyerID: buyerID, Before: before, Max: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("read a library: %w", err)
	}
	out := make([]Item, len(rows))
	for i, r := range rows {
		out[i] = Item(r)
	}
	return out, nil
}

// LinesByOrder lists all grants of orders, ended ones too, by order.
func (s Store) LinesByOrder(ctx context.Context, q pg.DBTX, orderIDs []uuid.UUID) ([]Standing, error) {
	rows, err := s.q.ByOrders(ctx, q, orderIDs)
	if err != nil {
		return nil, fmt.Errorf("list the grants of orders: %w", err)
	}
	out := make([]Standing, len(rows))
	for i, r := range rows {
		out[i] = Standing(r)
	}
	return out, nil
}
