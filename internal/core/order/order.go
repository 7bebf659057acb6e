package order

import (
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// State is an order's state, as [Derive] finds it.
type State string

// The states of an order.
const (
	Created           State = "created"
	AwaitingPayment   State = "awaiting_payment"
	Paid              State = "paid"
	PartiallyRefunded State = "partially_refunded"
	Refunded          State = "refunded"
	Disputed          State = "disputed"
	Expired           State = "expired"
	Canceled          State = "canceled"
	Review            State = "review"
)

// Open reports whether the order still waits for money.
func (s State) Open() bool { return s == Created || s == AwaitingPayment }

// Order is the head of an order: what a buyer wants of one event, in one
// currency, at prices that are snapshots. Amounts are minor units.
type Order struct {
	ID           uuid.UUID
	EventID      uuid.UUID
	CreatorID    uuid.UUID
	BuyerAccount *uuid.UUID
	BuyerGuest   *uuid.UUID
	BuyerID      uuid.UUID // whichever of the two
	Email        string
	Currency     string
	Gross        int64 // what the buyer pays
	Commission   int64 // the platform's part of it
	Cart         []byte
	State        State
	Review       string
	Refunded     int64
	Version      int32
	CreatedAt    time.Time
	PaidAt       *time.Time
}

// Net is the creator's part.
func (o *Order) Net() int64 { return o.Gross - o.Commission }

// LineKind is what a line sells.
type LineKind string

// The kinds of lines.
const (
	LinePhoto  LineKind = "photo"  // one photograph at its own price
	LineBundle LineKind = "bundle" // one photograph at a bundle's price
	LineEvent  LineKind = "event"  // all photographs of the event, later ones too
)

// Line is one thing that an order sells, with its price of that day.
type Line struct {
	ID         uuid.UUID
	OrderID    uuid.UUID
	Ordinal    int32
	Kind       LineKind
	EventID    uuid.UUID
	PhotoID    *uuid.UUID
	Name       string
	Price      int64
	Commission int64
}

// Attempt is one try to have the order paid: one hosted page at one provider.
type Attempt struct {
	ID        uuid.UUID
	OrderID   uuid.UUID
	Ordinal   int32
	Provider  string
	Account   string
	Ref       string // the provider's id of the page; empty until it answered
	URL       string
	Status    string
	ExpiresAt *time.Time
	// CalledAt is when the provider was asked for the page, noted beforehand and
	// only where it remembers no keys, so that it is asked once.
	CalledAt *time.Time
	// WatchUntil is how long money may still come to the page of an attempt that
	// is over; nil: it is over for good, or not over.
	WatchUntil *time.Time
	CreatedAt  time.Time
}

// Live reports whether the attempt's page may be paid, as far as is known.
func (a *Attempt) Live() bool {
	switch a.Status {
	case payment.AttemptOpen, payment.AttemptApproved, payment.AttemptProcessing:
		return true
	}
	return false
}

// PaymentKey names a payment at a provider.
type PaymentKey struct{ Provider, Account, ID string }

func (k PaymentKey) String() string { return k.Provider + ":" + k.Account + ":" + k.ID }

// Payment is money that a provider says it took, or tried to.
type Payment struct {
	Key       PaymentKey
	OrderID   uuid.UUID
	AttemptID uuid.UUID
	Status    string
	Amount    int64
	Currency  string
	Fee       int64     // what the provider kept of it; zero: not known
	InboxID   uuid.UUID // the observation that set the status
}

// Refund is money given back, as the provider knows it.
type Refund struct {
	Provider, Account, ID string
	OrderID               uuid.UUID
	PaymentID             string
	RequestID             *uuid.UUID // ours, nil when begun at the provider
	Status                string
	Amount                int64
	Currency              string
	InboxID               uuid.UUID
}

// Payment is the key of the payment that the refund takes back.
func (r *Refund) Payment() PaymentKey { return PaymentKey{r.Provider, r.Account, r.PaymentID} }

// Pending reports whether the money is on its way back.
func (r *Refund) Pending() bool { return r.Status == payment.RefundPending }

// Key names the refund in ledger entries.
func (r *Refund) Key() string { return r.Provider + ":" + r.Account + ":" + r.ID }

// RequestKind says what a refund request gives back.
type RequestKind string

// The kinds of refund requests.
const (
	RefundSale    RequestKind = "sale"    // of what was sold
	RefundCovered RequestKind = "covered" // of lines that the buyer had already
	RefundSurplus RequestKind = "surplus" // a second payment
	RefundExcess  RequestKind = "excess"  // more than the price
	RefundLate    RequestKind = "late"    // money for what can no longer be delivered
)

// ofSale reports whether the money had bought something.
func (k RequestKind) ofSale() bool { return k == RefundSale || k == RefundCovered }

// Request is money that we want to give back.
type Request struct {
	ID        uuid.UUID
	OrderID   uuid.UUID
	Payment   PaymentKey
	Amount    int64
	Currency  string
	Kind      RequestKind
	LineIDs   []uuid.UUID // the lines whose access it ends
	CauseKind string      // "inbox" or "audit"
	CauseID   uuid.UUID
	State     string // requested, answered, rejected
	Note      string
	SentAt    *time.Time // when the provider was first asked; nil: not yet
}

// States of a refund request.
const (
	RequestOpen     = "requested"
	RequestAnswered = "answered"
	RequestRejected = "rejected"
)

// Facts is all that is known about one order.
type Facts struct {
	Order     Order
	Lines     []Line
	Attempts  []Attempt
	Payments  []Payment
	Refunds   []Refund
	Requests  []Request
	Disputes  []Dispute
	Movements []Movement
	Decisions map[string]string
}

// Subjects of decisions. Some take the name of what they decide about.
const (
	DecideKept   = "kept"    // value: the key of the payment that bought the order
	DecideLate   = "late"    // value: accept or refund
	DecideLine   = "line:"   // + line id; value: owned or covered
	DecideReview = "review:" // + what; value: the reason, in words
	DecideSeen   = "seen:"   // + a reason's subject; value: what the person who looked at it noted
	DecideEnded  = "ended:"  // + key of a refund begun at the provider; value: see LinesValue

	LateAccept  = "accept"
	LateRefund  = "refund"
	LineOwned   = "owned"
	LineCovered = "covered"
)
