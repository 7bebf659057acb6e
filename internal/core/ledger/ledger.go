package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Kind is what happened to money.
type Kind string

// The kinds of entries; the package's comment has the postings of each.
const (
	Sale            Kind = "sale"
	Refund          Kind = "refund"
	RefundUndone    Kind = "refund_undone" // a refund failed or was canceled
	Surplus         Kind = "surplus"       // a second payment, an excess, late or mismatching money
	SurplusRefunded Kind = "surplus_refunded"
	Fee             Kind = "fee"
	Release         Kind = "release" // the creator may be paid

	DisputeOpened     Kind = "dispute_opened"     // the disputed amount is held
	DisputeWithdrawn  Kind = "dispute_withdrawn"  // the provider took money of the sale
	DisputeReinstated Kind = "dispute_reinstated" // the provider gave it back, or part of it
	DisputeClosed     Kind = "dispute_closed"     // what is still held is free again

	// The same two for a payment that bought nothing.
	SurplusWithdrawn  Kind = "surplus_withdrawn"
	SurplusReinstated Kind = "surplus_reinstated"
)

// Entry is what the caller knows of an entry; the ledger finds its postings.
// Amounts are minor units of Currency.
type Entry struct {
	Key       string // unique for ever: "sale:stripe:main:pi_1"
	Kind      Kind
	OrderID   uuid.UUID
	CreatorID uuid.UUID
	Provider  string // who holds the money
	Account   string // our account there
	Currency  string // ISO 4217, upper case
	// Gross is the entry's amount, above zero. Release and DisputeClosed ignore
	// it: theirs is what is still pending of the order, and what is still held.
	Gross int64
	// OrderGross and OrderNet are the order's, for the shares of sale and refund.
	OrderGross, OrderNet int64
	// Undoes is the key of the entry that this one takes back: of a refund for
	// RefundUndone, of a SurplusRefunded for a Surplus that came back.
	Undoes string
	// Dispute is the key of the dispute behind the entry: "stripe:main:dp_1".
	// Entries of disputes have it, and a fee may.
	Dispute   string
	CauseKind string // "inbox" or "audit"
	CauseID   uuid.UUID
}

// Result is what became of an entry in PostTx.
type Result string

// The results.
const (
	Inserted Result = "inserted" // it stands since this call
	Already  Result = "already"  // an equal entry stood under the key before
	// Nothing: there was nothing to release, to hold or to free. No entry is
	// made, and the same may be asked again later.
	Nothing Result = "nothing"
)

// Posted is the result of one entry.
type Posted struct {
	Key    string
	ID     uuid.UUID // zero when nothing was made
	Result Result
}

// The kinds of accounts.
const (
	clearing  = "clearing"
	revenue   = "revenue"
	fees      = "fees"
	suspense  = "suspense"
	pending   = "pending"
	available = "available"
	held      = "held"
	debt      = "debt"
	writeOff  = "write_off"
)

// Account is a place where money is or is owed. A creator's accounts have no
// provider; only clearing accounts have one.
type Account struct {
	Kind      string
	CreatorID uuid.UUID // zero for the platform's
	Provider  string
	Account   string
	Currency  string
}

// Posting moves Amount minor units: plus is a debit.
type Posting struct {
	To     Account
	Amount int64
}

// Standing is an entry as it stands.
type Standing struct {
	ID        uuid.UUID
	Key       string
	Kind      Kind
	OrderID   uuid.UUID
	Gross     int64
	Currency  string
	Undoes    string
	Dispute   string
	CauseKind string
	CauseID   uuid.UUID
	CreatedAt time.Time
	Postings  []Posting
}

// Balance is a creator's wallet in one currency, in minor units, never negative.
type Balance struct {
	Pending   int64 // sold, not yet to be paid out
	Available int64 // to be paid out
	Held      int64 // disputed
	Debt      int64 // owed to the platform, netted off what is released next
}

// What an EntryError wraps.
var (
	// ErrEntryDiffers says that an entry stands under the key, or in the place
	// of the entry (the order's sale, the undoing of a refund), that is not the
	// same. Money may have been counted for another order, so a person decides.
	ErrEntryDiffers = errors.New("ledger: another entry stands in its place")
	// ErrExceeds says that more would go back than came in: a refund of more
	// than is left of the sale, or of more than the order has in suspense.
	ErrExceeds = errors.New("ledger: more than the order has")
	// ErrNoBasis says that the entry that this one builds on does not stand: the
	// sale of a refund, release or dispute, or the refund to undo.
	ErrNoBasis = errors.New("ledger: the entry that it builds on does not stand")
	// ErrInvalid says that the entry makes no sense in itself.
	ErrInvalid = errors.New("ledger: not an entry")
)

// EntryError says which entry of which order could not be posted, and why. The
// transaction must be undone; the order goes to review.
type EntryError struct {
	OrderID uuid.UUID
	Key     string
	Detail  string
	Err     error // one of the sentinels above
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("%v: entry %q of order %s: %s", e.Err, e.Key, e.OrderID, e.Detail)
}

// Unwrap returns the sentinel.
func (e *EntryError) Unwrap() error { return e.Err }

func (e *Entry) fail(err error, format string, args ...any) error {
	return &EntryError{OrderID: e.OrderID, Key: e.Key, Detail: fmt.Sprintf(format, args...), Err: err}
}

// maxGross bounds an amount far above any price, so that sums of a call fit 64 bits.
const maxGross = 1_000_000_000_000_000

func (e *Entry) validate() error {
	switch {
	case e.Key == "" || e.OrderID == uuid.Nil || len(e.Currency) != 3 || e.CauseID == uuid.Nil:
		return e.fail(ErrInvalid, "it lacks a key, an order, a currency or a cause")
	case e.direction() != 0 && (e.Provider == "" || e.Account == ""):
		return e.fail(ErrInvalid, "it does not say who holds the money")
	case e.ofCreator() && e.CreatorID == uuid.Nil:
		return e.fail(ErrInvalid, "it lacks the creator")
	case !e.findsGross() && (e.Gross <= 0 || e.Gross > maxGross):
		return e.fail(ErrInvalid, "its amount is %d", e.Gross)
	case (e.Kind == Sale || e.Kind == Refund) && (e.OrderNet < 0 || e.OrderNet > e.OrderGross):
		return e.fail(ErrInvalid, "the order's net %d is not within its gross %d", e.OrderNet, e.OrderGross)
	case e.Kind == Sale && e.Gross != e.OrderGross:
		return e.fail(ErrInvalid, "its amount %d is not the order's gross %d", e.Gross, e.OrderGross)
	case (e.Kind == RefundUndone) && e.Undoes == "", e.Undoes != "" && e.Kind != RefundUndone && e.Kind != Surplus:
		return e.fail(ErrInvalid, "a %s undoing %q", e.Kind, e.Undoes)
	case e.ofDispute() != (e.Dispute != "") && e.Kind != Fee:
		return e.fail(ErrInvalid, "a %s of dispute %q", e.Kind, e.Dispute)
	}
	switch e.Kind {
	case Sale, Refund, RefundUndone, Surplus, SurplusRefunded, Fee, Release,
		DisputeOpened, DisputeWithdrawn, DisputeReinstated, DisputeClosed, SurplusWithdrawn, SurplusReinstated:
		return nil
	}
	return e.fail(ErrInvalid, "no such kind as %q", e.Kind)
}

// direction is 1 when the provider holds more for us since, -1 when it holds
// less, and 0 when money only changes its place among us.
func (e *Entry) direction() int64 {
	switch e.Kind {
	case Release, DisputeOpened, DisputeClosed:
		return 0
	case Sale, RefundUndone, Surplus, DisputeReinstated, SurplusReinstated:
		return 1
	case Refund, SurplusRefunded, Fee, DisputeWithdrawn, SurplusWithdrawn:
		return -1
	}
	return -1 // of no kind: validate says so
}

func (e *Entry) ofDispute() bool {
	switch e.Kind {
	case DisputeOpened, DisputeWithdrawn, DisputeReinstated, DisputeClosed, SurplusWithdrawn, SurplusReinstated:
		return true
	case Sale, Refund, RefundUndone, Surplus, SurplusRefunded, Fee, Release:
	}
	return false
}

// findsGross reports whether the amount is the ledger's to find.
func (e *Entry) findsGross() bool { return e.Kind == Release || e.Kind == DisputeClosed }

// ofCreator reports whether the entry can move a creator's wallet.
func (e *Entry) ofCreator() bool {
	switch e.Kind {
	case Sale, Refund, RefundUndone, Release, DisputeOpened, DisputeWithdrawn, DisputeReinstated, DisputeClosed:
		return true
	case Surplus, SurplusRefunded, Fee, SurplusWithdrawn, SurplusReinstated:
	}
	return false
}

// ofHistory reports whether the postings depend on what stands of the order.
func (e *Entry) ofHistory() bool { return e.Kind != Sale && e.Kind != Fee }

// same compares an entry with the one that stands under its key.
func (e *Entry) same(s *Standing) error {
	switch {
	case s.Kind != e.Kind:
		return e.fail(ErrEntryDiffers, "the one that stands is a %s, not a %s", s.Kind, e.Kind)
	case s.OrderID != e.OrderID:
		return e.fail(ErrEntryDiffers, "the one that stands is of order %s", s.OrderID)
	case s.Currency != e.Currency:
		return e.fail(ErrEntryDiffers, "the one that stands is in %s, not %s", s.Currency, e.Currency)
	case s.Gross != e.Gross && !e.findsGross():
		return e.fail(ErrEntryDiffers, "the one that stands is over %d, not %d", s.Gross, e.Gross)
	case s.Undoes != e.Undoes:
		return e.fail(ErrEntryDiffers, "the one that stands undoes %q, not %q", s.Undoes, e.Undoes)
	case s.Dispute != e.Dispute:
		return e.fail(ErrEntryDiffers, "the one that stands is of dispute %q, not %q", s.Dispute, e.Dispute)
	}
	return nil
}
