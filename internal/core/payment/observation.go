package payment

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Observation is one fact that a provider stated about one of its objects. It
// is stored in the inbox row as JSON and is all that an Applier sees; amounts
// are minor units as our ledger counts them, whatever the provider's own unit.
type Observation struct {
	// InboxID is the row that carries the observation: the cause that every
	// effect names. It is filled in when the row is applied.
	InboxID uuid.UUID `json:"-"`

	Provider string `json:"provider"`
	Account  string `json:"account"`
	Kind     Kind   `json:"kind"`

	// AttemptID is our own id, as the provider carries it. Zero when the
	// object does not carry it (refunds).
	AttemptID uuid.UUID `json:"attempt_id,omitzero"`
	// Ref is the provider's id of the hosted page (kind attempt).
	Ref string `json:"ref,omitempty"`
	// PaymentID is the provider's id of the payment (kinds payment, refund).
	PaymentID string `json:"payment_id,omitempty"`
	// RefundID is the provider's id of the refund (kind refund).
	RefundID string `json:"refund_id,omitempty"`
	// RequestID is our own id of the refund request, when the refund carries it.
	RequestID uuid.UUID `json:"request_id,omitzero"`

	// Status is one of the statuses of the fact's kind; see below.
	Status   string `json:"status"`
	Amount   int64  `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"` // ISO 4217, upper case
}

// Kind is the kind of fact.
type Kind string

// The kinds of facts about orders.
const (
	KindAttempt Kind = "attempt" // a hosted payment page
	KindPayment Kind = "payment" // money taken, or tried
	KindRefund  Kind = "refund"  // money given back
)

// Statuses of an attempt. A fact's status moves only to a higher rank; of
// equal ranks the first stands.
const (
	AttemptOpen       = "open"
	AttemptProcessing = "processing"
	AttemptFailed     = "failed"
	AttemptExpired    = "expired"
	AttemptClosed     = "closed"
	AttemptAbandoned  = "abandoned"
	AttemptSucceeded  = "succeeded"
)

// Statuses of a payment.
const (
	PaymentPending   = "pending"
	PaymentFailed    = "failed"
	PaymentSucceeded = "succeeded"
	PaymentReversed  = "reversed"
)

// Statuses of a refund.
const (
	RefundPending   = "pending"
	RefundSucceeded = "succeeded"
	RefundFailed    = "failed"
	RefundCanceled  = "canceled"
)

// rank orders the statuses of each kind; a missing status has rank 0 and is
// refused where facts are read in.
var rank = map[Kind]map[string]int{
	KindAttempt: {
		AttemptOpen: 1, AttemptProcessing: 2,
		AttemptFailed: 3, AttemptExpired: 3, AttemptClosed: 3, AttemptAbandoned: 3,
		AttemptSucceeded: 4,
	},
	KindPayment: {PaymentPending: 1, PaymentFailed: 2, PaymentSucceeded: 3, PaymentReversed: 4},
	KindRefund:  {RefundPending: 1, RefundSucceeded: 2, RefundFailed: 3, RefundCanceled: 3},
}

// Rank is how far a status is in the life of its kind; 0 for an unknown one.
func Rank(k Kind, status string) int { return rank[k][status] }

// Advances reports whether a fact standing at status old moves to status next.
func Advances(k Kind, old, next string) bool { return Rank(k, next) > Rank(k, old) }

// Verdict is what became of one inbox row.
type Verdict string

// The verdicts of an Applier.
const (
	// Done: the row's facts stand in our tables, now or already.
	Done Verdict = "done"
	// Ignored: the row is not about anything of ours.
	Ignored Verdict = "ignored"
	// Retry: what the row needs is not here yet; ask again later.
	Retry Verdict = "retry"
)

// Outcome is an Applier's answer about one inbox row.
type Outcome struct {
	InboxID uuid.UUID
	Verdict Verdict
	Note    string // why, in words for an operator
	// Missing is the payment that a Retry waits for. It is fetched, and if it
	// turns out not to be ours, nor is what waits for it.
	Missing string
}

// Applier turns observations into effects. It is called with the inbox rows
// locked, once per transaction, and returns one Outcome per distinct InboxID.
// An error undoes the whole transaction; the caller then tries smaller groups.
type Applier interface {
	ApplyTx(ctx context.Context, tx pgx.Tx, obs []Observation) ([]Outcome, error)
}
