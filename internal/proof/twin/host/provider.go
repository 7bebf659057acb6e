package host

import (
	"net/http"
	"time"
)

// Provider is the stand-in of one provider, as the machine and whoever steers it
// see it. The lock is held in every method but Mount, Name, Routes, Headers and
// Acknowledges. An id that it does not own is answered with Missing.
type Provider interface {
	// Name is one of Stripe, PayPal and Flutterwave.
	Name() string
	// Mount adds the provider's routes and its payment page, once.
	Mount(mux *http.ServeMux)
	// Routes lists its API routes as counters and shots name them.
	Routes() []string
	// Reset forgets everything but the configuration.
	Reset()
	// Tick does what the time has come for, such as expiry. It is called often.
	Tick()
	// ForgetKeys drops every remembered idempotency key and counts them.
	ForgetKeys() int
	// Owns reports whether an id is of one of its pages, payments, refunds or
	// disputes.
	Owns(id string) bool

	// Headers are those of one sending of a body to an endpoint, made anew for
	// each: content type, user agent, signature. at is the time to sign.
	Headers(at time.Time, e Endpoint, body []byte) http.Header
	// Acknowledges reports whether an answer with this status ends the delivery.
	Acknowledges(status int) bool

	// Pages lists its pages, oldest first.
	Pages() []PageView
	// Pay pays a page as its payer would.
	Pay(ref string, r PayRequest) (PayResult, error)
	// Finish ends a delayed payment on a page: with its money, or without.
	Finish(ref string, ok bool, faults []Fault) (PayResult, error)
	// Expire lets an open page expire now.
	Expire(ref string) (PageView, error)
	// MovePayment gives a payment another status of the provider's own.
	MovePayment(id, to string, faults []Fault) (PayResult, error)

	// Refunds lists its refunds, oldest first.
	Refunds() []RefundView
	// Refund gives money back from the provider's own dashboard.
	Refund(o RefundOrder) (RefundView, error)
	// MoveRefund gives a refund another status: succeeded, failed, canceled.
	MoveRefund(id, to string, faults []Fault) (RefundView, error)

	// Disputes lists its disputes, oldest first.
	Disputes() []DisputeView
	// OpenDispute contests a payment.
	OpenDispute(o DisputeOrder) (DisputeView, error)
	// MoveDispute gives a dispute another status, one of the Dispute constants.
	MoveDispute(id, to string, faults []Fault) (DisputeView, error)

	// Forgeries lists the kinds of webhooks that it can be asked to fake.
	Forgeries() []string
	// Forge makes a webhook that the provider never sent. at is the time to sign.
	Forge(f Forgery, e Endpoint, at time.Time) (Fake, error)
}

// Statuses of a page.
const (
	PageOpen       = "open"       // can be paid
	PageApproved   = "approved"   // the payer agreed, and no money was taken yet
	PageProcessing = "processing" // the payer is done, and the money is under way
	PagePaid       = "paid"
	PageExpired    = "expired" // takes no money any more
)

// PageFilter picks pages; an empty field picks all.
type PageFilter struct{ Provider, Ref, AttemptID, OrderID, Status string }

// PageView is a hosted payment page.
type PageView struct {
	Provider  string `json:"provider"`
	Ref       string `json:"ref"` // the provider's id of the page
	URL       string `json:"url"` // where payers go
	AttemptID string `json:"attempt_id"`
	OrderID   string `json:"order_id,omitempty"` // where the provider is told
	Amount    int64  `json:"amount"`             // minor units of ISO 4217
	Currency  string `json:"currency"`           // upper case
	Status    string `json:"status"`
	// Payments are the ids of the payments that were tried on it, oldest first.
	Payments   []string  `json:"payments"`
	SuccessURL string    `json:"success_url"`
	CancelURL  string    `json:"cancel_url"`
	Created    time.Time `json:"created"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

// Ways to pay.
const (
	MethodCard    = "card"    // succeeds at once; at PayPal once it is captured
	MethodDelayed = "delayed" // the money comes or fails later
	MethodDecline = "decline" // the payer's card is declined; one can try again
	// MethodDeclined: the provider declines the payment for good (PayPal: the
	// capture is DECLINED).
	MethodDeclined = "declined"
	// MethodDenied: the payment is taken up and then denied (PayPal: the capture is
	// PENDING, then DENIED).
	MethodDenied = "denied"
)

// PayRequest pays a page as its payer would.
type PayRequest struct {
	Method string `json:"method"` // default card
	// Force pays a page that is closed, as a provider at fault would.
	Force bool `json:"force,omitempty"`
	// Faults are suffered by all events of this step, and at PayPal by those of
	// the capture that follows.
	Faults []Fault `json:"faults,omitempty"`
	// Amount, Currency and AttemptID make the twin take and state something else
	// than the page says. Zero: as the page says. Minor units of ISO 4217.
	Amount    int64  `json:"amount,omitempty"`
	Currency  string `json:"currency,omitempty"`
	AttemptID string `json:"attempt_id,omitempty"`
	// Shown: a page that is only approved (PayPal) shows these lies itself.
	// Otherwise only the payment does, once it is captured.
	Shown bool `json:"shown,omitempty"`
}

// Outcomes of paying.
const (
	OutcomePaid       = "paid"
	OutcomeApproved   = "approved" // the merchant has to capture it
	OutcomeProcessing = "processing"
	OutcomeDeclined   = "declined"
)

// PayResult is what became of it.
type PayResult struct {
	Outcome string   `json:"outcome"`
	Page    PageView `json:"page"`
	Payment string   `json:"payment,omitempty"` // the provider's id of the payment
	Charge  string   `json:"charge,omitempty"`  // Stripe's charge of it
	Events  []string `json:"events"`
	// Redirect is where the payer's browser goes next; empty after a decline.
	Redirect string `json:"redirect,omitempty"`
}

// RefundOrder gives money back from the provider's own dashboard.
type RefundOrder struct {
	// Payment (at Stripe a charge as well) or the Ref of a page says what to
	// refund.
	Payment string `json:"payment,omitempty"`
	Ref     string `json:"ref,omitempty"`
	// Amount in minor units; 0 is all that is left.
	Amount int64   `json:"amount,omitempty"`
	Faults []Fault `json:"faults,omitempty"`
}

// RefundView is a refund.
type RefundView struct {
	Provider string `json:"provider"`
	ID       string `json:"id"`
	Status   string `json:"status"` // pending, requires_action, succeeded, failed, canceled
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Payment  string `json:"payment"`
	Ref      string `json:"ref"`
	// RequestID is the client's own id of it: Stripe's metadata refund_request_id,
	// PayPal's PayPal-Request-Id, whatever Flutterwave was told. Empty for one
	// that was begun at the provider.
	RequestID string            `json:"request_id,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"` // Stripe's
	Created   time.Time         `json:"created"`
}

// Statuses of a dispute, in words for all providers.
const (
	DisputeWarning       = "warning" // an inquiry; no money moved
	DisputeWarningClosed = "warning_closed"
	DisputeNeedsResponse = "needs_response"
	DisputeUnderReview   = "under_review"
	DisputeWon           = "won" // by the merchant
	DisputeLost          = "lost"
	DisputePrevented     = "prevented"
)

// DisputeOrder contests a payment.
type DisputeOrder struct {
	Payment string `json:"payment"`
	// Amount in minor units; 0 is the whole payment.
	Amount int64 `json:"amount,omitempty"`
	// Warning begins as an inquiry, which moves no money.
	Warning bool    `json:"warning,omitempty"`
	Faults  []Fault `json:"faults,omitempty"`
}

// DisputeView is a dispute.
type DisputeView struct {
	Provider string    `json:"provider"`
	ID       string    `json:"id"`
	Status   string    `json:"status"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency"`
	Payment  string    `json:"payment"`
	Ref      string    `json:"ref"`
	Events   []string  `json:"events"` // of the last step
	Created  time.Time `json:"created"`
}

// Forgery orders a webhook that the provider never made.
type Forgery struct {
	// Provider is whose; empty: of the event or page, else Stripe's.
	Provider string `json:"provider,omitempty"`
	Kind     string `json:"kind"`
	// Event is a genuine event to start from. Without it the forgery claims that
	// the page Ref was paid.
	Event string `json:"event,omitempty"`
	Ref   string `json:"ref,omitempty"`
	// Type is the event type claimed for a page, where the provider offers a
	// choice.
	Type string `json:"type,omitempty"`
	// URL is where it goes; empty: the provider's first endpoint.
	URL string `json:"url,omitempty"`
	// Secret is the endpoint's, where the URL is not one that the twin knows.
	Secret string `json:"secret,omitempty"`
}

// Fake is a forged webhook, ready to be sent.
type Fake struct {
	EventID string
	Body    []byte
	Header  http.Header
}

// Forged is what a forgery was answered.
type Forged struct {
	Kind  string `json:"kind"`
	Event string `json:"event"`
	Delivered
}
