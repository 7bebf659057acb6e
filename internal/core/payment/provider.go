package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Provider is one account at one payment provider.
//
// Every method but Verify makes network calls, so each refuses a context that
// is inside a database transaction. An error is one of: a *RejectedError (the
// provider decided, and repeating the call changes nothing), ErrNotFound,
// ErrBehind, ErrCredentials, or anything else, which means the outcome is
// unknown: the call may have taken effect, and only asking the provider tells.
type Provider interface {
	// Name is the provider's name in URLs and rows: "stripe".
	Name() string
	// Account is the configured account's name in URLs and rows.
	Account() string

	// CreateCheckout opens a hosted payment page. The attempt's id is the
	// idempotency key, so repeating the call within KeyMemory returns the same
	// page. A page found already expired or paid is returned with its Facts.
	CreateCheckout(ctx context.Context, in CheckoutRequest) (Checkout, error)
	// FetchCheckout asks what has become of a page.
	FetchCheckout(ctx context.Context, ref string) (Checkout, error)
	// CloseCheckout makes sure that the page takes no more money and returns
	// what it found: a page that was paid meanwhile comes back with that fact
	// and without an error. url is the page's address as CreateCheckout gave it.
	CloseCheckout(ctx context.Context, ref, url string) (Checkout, error)

	// Fetch resolves an inbox row of class pointer into observations. ErrBehind
	// when the object is not yet as far as the event says.
	Fetch(ctx context.Context, p Pointer) ([]Observation, error)
	// Refund asks for money to go back to the payer. The request's id is the
	// idempotency key.
	Refund(ctx context.Context, in RefundRequest) ([]Observation, error)

	// Verify checks a webhook over its raw bytes at the time now, and extracts
	// what it says. A *VerifyError means that the request is not from the
	// provider or not for this account. Any other error means that it could not
	// be found out (a certificate that was not reachable): the sender is asked
	// to send it again.
	Verify(ctx context.Context, now time.Time, header http.Header, body []byte) (Receipt, error)

	// Offer says how an amount can be paid, before anybody pays it. country is
	// the payer's (ISO 3166-1 alpha-2, upper case); empty asks what some country
	// can pay. A *CannotError says why the provider cannot take it. It makes no
	// call.
	Offer(currency string, minor int64, country string) (Offer, error)
	// Minimum is the smallest amount that can be charged in a currency, in minor
	// units; ok is false when the provider states none.
	Minimum(currency string) (minor int64, ok bool)

	// KeyMemory is how long the provider remembers an idempotency key, with
	// slack; past it a repeated call would be a new one. Zero: it remembers none,
	// and each call is a new one.
	KeyMemory() time.Duration
	// Lingers is how long after CloseCheckout money may still arrive on the page
	// without anybody telling us; zero when closing is final.
	Lingers() time.Duration
}

// Capturer is a Provider whose payers only agree to a payment: the money is
// taken by a call of ours. An attempt that waits for it is AttemptApproved.
type Capturer interface {
	// Capture takes the money of an approved page, once, whatever is repeated:
	// the attempt's id is the key. The page's own amount, currency and id of ours
	// are compared first; when they are not those of in, nothing is taken and
	// what was found is returned.
	Capture(ctx context.Context, in CaptureRequest) ([]Observation, error)
}

// Foreknower is a Provider that names a page by something of ours, so that the
// page can be asked about even if the reply that would have named it was lost.
type Foreknower interface {
	// RefOf is the Ref of the page of an attempt, whether or not there is one.
	RefOf(attemptID uuid.UUID) string
}

// DisputeLister is a Provider that tells nobody of its disputes: it is asked.
type DisputeLister interface {
	// Disputes lists the disputes that began at since or later, as they stand now,
	// with the money that each has moved. Like every call it is refused inside a
	// transaction.
	Disputes(ctx context.Context, since time.Time) ([]Observation, error)
}

// CaptureRequest names an approved page and what it should be worth.
type CaptureRequest struct {
	AttemptID uuid.UUID
	Ref       string
	Amount    int64 // minor units
	Currency  string
}

// Offer is how a provider can be paid an amount.
type Offer struct {
	// Methods are ways to pay in words for people: "Card", "Mobile money (Ghana)".
	Methods []string
	// NeedsEmail: the provider opens no page without the payer's address.
	NeedsEmail bool
}

// CannotError says why a provider cannot take an amount. Reason is one of
// "currency", "country", "minimum", "maximum" and "step" (the currency's smallest
// payable coin).
type CannotError struct {
	Provider string
	Reason   string
	// Limit is the minimum, maximum or step, in minor units; else 0.
	Limit int64
}

func (e *CannotError) Error() string {
	return fmt.Sprintf("payment: %s cannot take it: %s %d", e.Provider, e.Reason, e.Limit)
}

// CheckoutRequest describes a hosted payment page. Amounts are minor units.
type CheckoutRequest struct {
	AttemptID   uuid.UUID
	OrderID     uuid.UUID
	Currency    string
	Lines       []CheckoutLine
	Email       string    // prefilled for the payer, may be empty
	SuccessURL  string    // where the payer's browser returns after paying
	CancelURL   string    // where it returns otherwise
	ExpiresAt   time.Time // UTC; the provider's own limits apply
	Description string
}

// CheckoutLine is one thing on the page.
type CheckoutLine struct {
	Name  string
	Price int64 // minor units
}

// Checkout is a hosted payment page as the provider described it.
type Checkout struct {
	Ref       string // the provider's id of the page
	URL       string // where to send the payer; empty when it is not open
	ExpiresAt time.Time
	Open      bool
	// Facts is what the description proves beyond the page being open: that it
	// expired, or that money was taken.
	Facts []Observation
}

// RefundRequest asks for Amount minor units of a payment to go back.
type RefundRequest struct {
	RequestID uuid.UUID
	PaymentID string
	Amount    int64
	Currency  string
	// Again: the call was made before and its outcome is not known. A provider
	// that remembers no keys is then asked what there is, and never told twice.
	Again bool
}

// Pointer is what a row of class pointer points at.
type Pointer struct {
	EventType string
	ObjectID  string
}

// Receipt is a verified webhook, reduced to what the inbox stores.
type Receipt struct {
	EventID   string // printable ASCII, at most 255 bytes
	EventType string // printable ASCII
	ObjectID  string // the provider's id of the object that the event is about
	Class     Class
	Applier   string // which Applier takes it: ApplierOrder
	// Facts is what a row of class fact says. Empty for pointers, and for
	// event types outside the adapter's table (Class ignored).
	Facts []Observation
	// Created is the provider's own time of the event.
	Created time.Time
}

// Class says where a row's facts come from.
type Class string

// The classes of an inbox row.
const (
	ClassFact    Class = "fact"    // the signed body
	ClassPointer Class = "pointer" // fetched after receipt
	ClassReply   Class = "reply"   // an answer to a call of ours
	ClassIgnored Class = "ignored" // an event type that we have no use for
)

// ApplierOrder names the Applier of orders, attempts, payments and refunds.
const ApplierOrder = "order"

// ErrNotFound says that the provider does not know the object.
var ErrNotFound = errors.New("payment: the provider does not know this object")

// ErrBehind says that the provider's answer is older than the event that pointed
// to it. It is an answer all the same: the provider can be reached, and the same
// question is asked again later.
var ErrBehind = errors.New("payment: the provider does not show yet what its event says")

// ErrStored says that the provider keeps a failure of its own under the call's
// key and will repeat it for as long as it remembers the key. The call may have
// taken effect, so the attempt is abandoned, never forgotten.
var ErrStored = errors.New("payment: the provider repeats a stored failure for this key")

// ErrCredentials says that the provider does not accept our key: nothing was done,
// and nothing will be until the operator corrects the configuration.
var ErrCredentials = errors.New("payment: the provider does not accept the configured key")

// ErrNotSent says that no connection to the provider came about, so that a call
// was certainly not made: unlike an unknown outcome, it may be made anew.
var ErrNotSent = errors.New("payment: the provider was not reached, the call was not made")

// RejectedError is a provider's definite no. Nothing happened there, and the
// same call would be refused again.
type RejectedError struct {
	Provider string
	Code     string // the provider's own code
	Message  string // the provider's own words
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("payment: %s refused: %s (%s)", e.Provider, e.Message, e.Code)
}

// VerifyError says why a webhook is refused. Reason is a short fixed word for
// counters: "signature", "stale", "malformed", "account", "mode"; or Unsigned.
type VerifyError struct {
	Reason string
	Detail string
}

// Unsigned is the reason of a request that does not even claim to be from the
// provider: it has none of the headers that would prove it.
const Unsigned = "unsigned"

func (e *VerifyError) Error() string {
	return "payment: webhook refused: " + e.Reason + ": " + e.Detail
}
