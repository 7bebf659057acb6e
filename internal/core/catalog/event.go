package catalog

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/problem"
)

// Status is how far an event is. It never goes back.
type Status string

// The statuses of an event.
const (
	Draft  Status = "draft"   // only its creator sees it
	OnSale Status = "on_sale" // open, as its visibility says
	Closed Status = "closed"  // nothing is sold or added any more; what was sold stays
)

// Visibility is who may see an event that is no draft.
type Visibility string

// The visibilities of an event.
const (
	Public   Visibility = "public"   // listed for everybody
	Unlisted Visibility = "unlisted" // whoever has its address
	WithCode Visibility = "code"     // whoever has its address and its access code
)

// Event is one event.
type Event struct {
	ID            uuid.UUID
	CreatorID     uuid.UUID
	Slug          string
	Title         string
	Description   string
	Status        Status
	Visibility    Visibility
	AccessCode    string // empty unless Visibility is WithCode; for its creator only
	CommissionBps int    // the platform's share of each sale, in basis points
	Starts, Ends  Wall
	Prices        PriceList // with the event's currency
	CreatedAt     time.Time
	UpdatedAt     time.Time
	DeletedAt     *time.Time
}

// By is who asks.
type By struct {
	ID       uuid.UUID // the account; zero for nobody
	Operator bool
}

func (b By) owns(creator uuid.UUID) bool {
	return b.Operator || b.ID != uuid.Nil && b.ID == creator
}

// Problems of events.
var (
	ErrEventNotFound = problem.Define(problem.NotFound, "event.not_found", "No such event",
		"There is no such event, or it is not open to you.")
	ErrNotYours = problem.Define(problem.Forbidden, "event.not_yours", "Not your event",
		"Only the creator of this event may do this.")
	ErrCodeNeeded = problem.Define(problem.Forbidden, "event.code_needed", "An access code is needed",
		"Enter the code that the photographer gave out for this event.")
	ErrCodeWrong = problem.Define(problem.Forbidden, "event.code_wrong", "That is not the access code",
		"Check the code that the photographer gave out for this event and enter it again.")
	ErrEvent = problem.Define(problem.Unprocessable, "event.invalid", "The event cannot be saved",
		"Correct the fields named and save again.")
	ErrSlugTaken = problem.Define(problem.Conflict, "event.slug_taken", "That address is taken",
		"Another event has this slug; choose another.")
	ErrCurrencyFixed = problem.Define(problem.Conflict, "event.currency_fixed", "The currency can no longer change",
		"Orders were made in it. Put up another event for another currency.")
	ErrNoPrices = problem.Define(problem.Conflict, "event.no_prices", "The event has no price list",
		"Set a price, or say that it is free, and publish it then.")
	ErrNotDraft = problem.Define(problem.Conflict, "event.not_draft", "The event is closed",
		"A closed event cannot be published again; put up a new one.")
	ErrNotOnSale = problem.Define(problem.Conflict, "event.not_on_sale", "The event is not on sale",
		"Nothing can be bought in it now.")
	ErrStillOnSale = problem.Define(problem.Conflict, "event.on_sale", "The event is on sale",
		"Close it first, then delete it.")
	ErrEventClosed = problem.Define(problem.Conflict, "event.closed", "The event is closed",
		"No photographs can be added to a closed event.")
)

// Open reports with nil that by, who may bring a code, may see the event and
// its photographs. A draft and a deleted event are not found by others; an
// event with a code is ErrCodeNeeded or ErrCodeWrong.
func (e Event) Open(by By, code string) error {
	switch {
	case by.owns(e.CreatorID):
		return nil
	case e.DeletedAt != nil || e.Status == Draft:
		return ErrEventNotFound
	case e.Visibility != WithCode:
		return nil
	case strings.TrimSpace(code) == "":
		return ErrCodeNeeded
	case !sameCode(code, e.AccessCode):
		return ErrCodeWrong
	}
	return nil
}

// sameCode compares without regard to case, and in a time that depends neither
// on the code's length nor on how much of it is right.
func sameCode(given, want string) bool {
	g, w := sha256.Sum256([]byte(foldCode(given))), sha256.Sum256([]byte(foldCode(want)))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}

func foldCode(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }

// OwnedBy reports whether by may see all of the event and change it.
func (e Event) OwnedBy(by By) bool { return by.owns(e.CreatorID) }

// own reports with nil that by may change the event.
func (e Event) own(by By) error {
	switch {
	case by.owns(e.CreatorID) && e.DeletedAt == nil:
		return nil
	case e.DeletedAt != nil || e.Status == Draft:
		return ErrEventNotFound
	}
	return ErrNotYours
}

// NewEvent describes an event to put up. Times are wall times of the zone, as
// ParseWall reads them.
type NewEvent struct {
	CreatorID     uuid.UUID
	Slug          string // empty: made from the title
	Title         string
	Description   string
	Visibility    Visibility // empty: Public
	AccessCode    string     // for WithCode only
	CommissionBps int        // the platform's default
	Zone          string
	Starts, Ends  string
	Prices        PriceList
}

// EventEdit changes what is not nil.
type EventEdit struct {
	Slug         *string
	Title        *string
	Description  *string
	Visibility   *Visibility
	AccessCode   *string
	Zone         *string
	Starts, Ends *string
	// Prices replaces the whole price list. Its currency may differ from the
	// event's as long as there is no order; an empty one means the event's.
	Prices *PriceList
}

// check returns the event with its texts cleaned, or ErrEvent, ErrPrices or a
// problem of its times.
func (e Event) check(chargeable func(currency string, minor int64) error) (Event, error) {
	var wrong []problem.Field
	note := func(f *problem.Field) {
		if f != nil {
			wrong = append(wrong, *f)
		}
	}
	var f *problem.Field
	e.Title, f = cleanText("title", e.Title, 3, 100, false)
	note(f)
	e.Description, f = cleanText("description", e.Description, 0, 1000, true)
	note(f)
	note(checkSlug(e.Slug))
	switch e.Visibility {
	case Public, Unlisted:
		e.AccessCode = ""
	case WithCode:
		e.AccessCode, f = cleanText("access_code", e.AccessCode, 4, 32, false)
		note(f)
	default:
		note(&problem.Field{Name: "visibility", Detail: "It is one of public, unlisted and code."})
	}
	if e.CommissionBps < 0 || e.CommissionBps > 10_000 {
		note(&problem.Field{Name: "commission_bps", Detail: "It is between 0 and 10000."})
	}
	if wrong != nil {
		return Event{}, ErrEvent.WithFields(wrong...)
	}
	if !e.Ends.At.After(e.Starts.At) {
		return Event{}, ErrTimesOrder
	}
	var err error
	e.Prices, err = e.Prices.check(chargeable)
	return e, err
}

// times reads both ends of an event; the error names the field.
func times(zone, starts, ends string) (s, e Wall, err error) {
	if s, err = ParseWall(zone, starts); err != nil {
		return s, e, inField(err, "starts_local")
	}
	if e, err = ParseWall(zone, ends); err != nil {
		return s, e, inField(err, "ends_local")
	}
	return s, e, nil
}

// inField names the field that a problem of a time is about.
func inField(err error, name string) error {
	p := problem.As(err)
	if p.Is(ErrZone) {
		name = "timezone"
	}
	return p.WithFields(problem.Field{Name: name, Detail: p.Detail})
}
