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
	// Unnamed: the provider's refunds carry no id of ours, so that one without
	// RequestID may be ours all the same: it is matched by payment and amount.
	Unnamed bool `json:"unnamed,omitempty"`
	// DisputeID is the provider's id of the dispute (kinds dispute and
	// dispute_money), Outcome how a closed one ended: won, lost or prevented.
	DisputeID string `json:"dispute_id,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	// MovementID is the provider's id of a movement of disputed money.
	MovementID string `json:"movement_id,omitempty"`

	// Status is one of the statuses of the fact's kind; see below.
	Status   string `json:"status"`
	Amount   int64  `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"` // ISO 4217, upper case
	// Fee is what the provider kept of a payment, in minor units of its
	// currency; zero: not known.
	Fee int64 `json:"fee,omitempty"`

	// Seq is drawn before the object was fetched: of two fetches the higher one
	// looked later. Zero for what was not fetched. It is filled in when the row
	// is applied.
	Seq int64 `json:"-"`
}

// Kind is the kind of fact.
type Kind string

// The kinds of facts about orders.
const (
	KindAttempt Kind = "attempt" // a hosted payment page
	KindPayment Kind = "payment" // money taken, or tried
	KindRefund  Kind = "refund"  // money given back
	KindDispute Kind = "dispute" // a payer's bank or the provider contests a payment
	// KindDisputeMoney is money moved by a dispute: taken, given back, or its fee.
	KindDisputeMoney Kind = "dispute_money"
)

// Statuses of an attempt. A fact's status moves only to a higher rank; of
// equal ranks the first stands.
const (
	AttemptOpen       = "open"
	AttemptApproved   = "approved" // the payer agreed; a Capturer takes the money
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

// Statuses of a dispute. A warning moves no money.
const (
	DisputeWarning       = "warning"
	DisputeWarningClosed = "warning_closed"
	DisputeOpen          = "open"
	DisputeClosed        = "closed"
)

// Outcomes of a closed dispute. The outcome may change: the newest fetch counts.
const (
	DisputeWon       = "won"
	DisputeLost      = "lost"
	DisputePrevented = "prevented"
)

// Statuses of disputed money: each movement happens once.
const (
	MoneyWithdrawn  = "withdrawn"
	MoneyReinstated = "reinstated"
	MoneyFee        = "fee"
)

// rank orders the statuses of each kind; a missing status has rank 0 and is
// refused where facts are read in.
var rank = map[Kind]map[string]int{
	KindAttempt: {
		AttemptOpen: 1, AttemptApproved: 2, AttemptProcessing: 3,
		AttemptFailed: 4, AttemptExpired: 4, AttemptClosed: 4, AttemptAbandoned: 4,
		AttemptSucceeded: 5,
	},
	KindPayment: {PaymentPending: 1, PaymentFailed: 2, PaymentSucceeded: 3, PaymentReversed: 4},
	KindRefund:  {RefundPending: 1, RefundSucceeded: 2, RefundFailed: 3, RefundCanceled: 3},
	KindDispute: {DisputeWarning: 1, DisputeWarningClosed: 2, DisputeOpen: 3, DisputeClosed: 4},

	KindDisputeMoney: {MoneyWithdrawn: 1, MoneyReinstated: 1, MoneyFee: 1},
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

// Fulfiller is an Applier that can do the plain case before the sender of an
// event has its answer: what waits for nobody and asks for nothing.
type Fulfiller interface {
	Applier
	// FulfilTx applies the plain ones and leaves the others for ApplyTx. It returns
	// the rows that are done: whether something came of them, or all of it was
	// known. The rows themselves are stored after it, in the same transaction; one
	// of which something came and that another transaction stored must undo it.
	FulfilTx(ctx context.Context, tx pgx.Tx, obs []Observation) (done map[uuid.UUID]bool, err error)
}
