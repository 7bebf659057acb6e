package entitlement

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/entitlement/internal/db"
)

// The kinds of lines that grant something.
const (
	KindPhoto  = "photo"
	KindBundle = "bundle" // one photograph at a bundle's price
	KindEvent  = "event"  // all photographs of the event, later ones too
)

// Grant is an order line that its buyer paid for.
type Grant struct {
	LineID  uuid.UUID
	OrderID uuid.UUID
	BuyerID uuid.UUID
	EventID uuid.UUID
	Kind    string
	PhotoID *uuid.UUID // nil for the whole event
	InboxID uuid.UUID  // the observation behind it
}

func (g *Grant) photo() uuid.UUID {
	if g.PhotoID == nil {
		return uuid.Nil
	}
	return *g.PhotoID
}

// Result is where a line stands.
type Result string

// The results.
const (
	Live     Result = "live"     // it gives access, unless a dispute froze it
	Shadowed Result = "shadowed" // the buyer owns the thing by another line
	Covered  Result = "covered"  // a whole-event grant covers it: nothing was inserted
	Ended    Result = "ended"    // it was granted once and has ended
)

// Granted is the result of one line.
type Granted struct {
	LineID uuid.UUID
	Result Result
	By     uuid.UUID // the grant that it gives way to, or that covers it; else zero
}

// Change is a line whose grant changes, and why.
type Change struct {
	LineID    uuid.UUID
	CauseKind string // "inbox" or "audit"
	CauseID   uuid.UUID
}

// Access names an access lock.
type Access struct {
	BuyerID, EventID uuid.UUID
	// Exclusive is for granting a whole event, and for ending, restoring,
	// freezing or thawing anything. Photographs are granted under a shared lock.
	Exclusive bool
}

// Standing is a grant as it stands.
type Standing struct {
	ID         uuid.UUID
	LineID     uuid.UUID
	OrderID    uuid.UUID
	BuyerID    uuid.UUID
	Kind       string
	EventID    uuid.UUID
	PhotoID    *uuid.UUID // nil for the whole event
	GrantedAt  time.Time
	LiveSince  *time.Time // when it last became live; nil: never yet
	FrozenAt   *time.Time
	RevokedAt  *time.Time
	ShadowedBy *uuid.UUID
}

// Result is where the grant stands.
func (s *Standing) Result() Result {
	switch {
	case s.RevokedAt != nil:
		return Ended
	case s.ShadowedBy != nil:
		return Shadowed
	}
	return Live
}

// Allows reports whether the grant gives access.
func (s *Standing) Allows() bool { return s.Result() == Live && s.FrozenAt == nil }

func standing(r db.StandingRow) *Standing { s := Standing(r); return &s }

// thing is what a grant is for.
type thing struct{ buyer, event, photo uuid.UUID }

func (s *Standing) thing() thing {
	if s.PhotoID == nil {
		return thing{s.BuyerID, s.EventID, uuid.Nil}
	}
	return thing{s.BuyerID, s.EventID, *s.PhotoID}
}

func (g *Grant) thing() thing { return thing{g.BuyerID, g.EventID, g.photo()} }

// What a GrantError wraps.
var (
	// ErrGrantDiffers says that the line was granted before as something else,
	// or to somebody else. A person decides.
	ErrGrantDiffers = errors.New("entitlement: the line stands as another grant")
	// ErrInvalid says that the grant makes no sense in itself.
	ErrInvalid = errors.New("entitlement: not a grant")
)

// GrantError says which line of which order could not be granted, and why. The
// transaction must be undone; the order goes to review.
type GrantError struct {
	OrderID uuid.UUID
	LineID  uuid.UUID
	Detail  string
	Err     error // one of the sentinels above
}

func (e *GrantError) Error() string {
	return fmt.Sprintf("%v: line %s of order %s: %s", e.Err, e.LineID, e.OrderID, e.Detail)
}

// Unwrap returns the sentinel.
func (e *GrantError) Unwrap() error { return e.Err }

func (g *Grant) fail(err error, format string, args ...any) error {
	return &GrantError{OrderID: g.OrderID, LineID: g.LineID, Detail: fmt.Sprintf(format, args...), Err: err}
}

func (g *Grant) validate() error {
	switch {
	case g.LineID == uuid.Nil || g.OrderID == uuid.Nil || g.BuyerID == uuid.Nil || g.EventID == uuid.Nil || g.InboxID == uuid.Nil:
		return g.fail(ErrInvalid, "it lacks an id")
	case (g.Kind == KindEvent) != (g.photo() == uuid.Nil):
		return g.fail(ErrInvalid, "a grant of kind %q of photograph %s", g.Kind, g.photo())
	case g.Kind != KindEvent && g.Kind != KindPhoto && g.Kind != KindBundle:
		return g.fail(ErrInvalid, "no such kind as %q", g.Kind)
	}
	return nil
}

// same compares a grant with the one that stands for its line.
func (g *Grant) same(s *Standing) error {
	if s.OrderID != g.OrderID || s.thing() != g.thing() || s.Kind != g.Kind {
		return g.fail(ErrGrantDiffers, "it stands as %s %s of event %s to buyer %s by order %s",
			s.Kind, s.thing().photo, s.EventID, s.BuyerID, s.OrderID)
	}
	return nil
}
