package entitlement

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement/internal/db"
)

var guardAccess = guard.Define("entitlement.access_lock", guard.Lock,
	"a photograph is sold to a buyer whose whole-event purchase commits at the same moment")

// Grant asks for what one order line sells.
type Grant struct {
	LineID  uuid.UUID
	OrderID uuid.UUID
	BuyerID uuid.UUID
	Kind    string // photo, bundle, event
	EventID uuid.UUID
	PhotoID *uuid.UUID // nil for an event
	InboxID uuid.UUID  // the observation behind it
}

// Result is how a grant came out.
type Result string

// The results of a grant.
const (
	Live     Result = "live"     // the buyer has it by this line
	Shadowed Result = "shadowed" // the buyer had it by another line; this row waits behind
	Covered  Result = "covered"  // the buyer had the whole event by another order; no row
	Ended    Result = "ended"    // the line was granted before, and has ended
)

// Granted is the result for one line.
type Granted struct {
	LineID uuid.UUID
	Result Result
	By     uuid.UUID // the grant that it gives way to, or that covers it
}

// Change names a line whose access changes, and why.
type Change struct {
	LineID    uuid.UUID
	CauseKind string // inbox or audit
	CauseID   uuid.UUID
}

// Store reads and writes grants. It has no pool.
type Store struct{ q db.Queries }

// row is a grant as it stands.
type row = db.ByLinesRow

func live(r row) bool { return !r.Revoked && r.ShadowedBy == nil }

// thing is what a grant is of.
type thing struct{ buyer, event, photo uuid.UUID }

func thingOf(buyer, event uuid.UUID, photo *uuid.UUID) thing {
	t := thing{buyer: buyer, event: event}
	if photo != nil {
		t.photo = *photo
	}
	return t
}

// Access reports whether the buyer may download the photograph of the event
// now: by a live grant of it or of the whole event, not frozen by a dispute.
func (s Store) Access(ctx context.Context, q pg.DBTX, buyerID, eventID, photoID uuid.UUID) (bool, error) {
	ok, err := s.q.Access(ctx, q, db.AccessParams{BuyerID: buyerID, EventID: eventID, PhotoID: &photoID})
	if err != nil {
		return false, fmt.Errorf("look for access: %w", err)
	}
	return ok, nil
}

// LivePhotos says what a buyer has of an event: single photographs, and whether
// the whole.
func (s Store) LivePhotos(ctx context.Context, q pg.DBTX, buyerID, eventID uuid.UUID) (photos map[uuid.UUID]bool, whole bool, err error) {
	rows, err := s.q.LiveOf(ctx, q, db.LiveOfParams{BuyerID: buyerID, EventID: eventID})
	if err != nil {
		return nil, false, fmt.Errorf("read a buyer's grants: %w", err)
	}
	photos = map[uuid.UUID]bool{}
	for _, r := range rows {
		if r.PhotoID == nil {
			whole = true
			continue
		}
		photos[*r.PhotoID] = true
	}
	return photos, whole, nil
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
	Frozen    bool
}

// Library lists a buyer's live grants, newest first, below the id before.
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
