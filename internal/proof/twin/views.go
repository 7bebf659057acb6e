package twin

import (
	"fmt"
	"net/http"
	"time"
)

// SessionView is a session as the control surface shows it. Amounts are
// Stripe's units.
type SessionView struct {
	ID                string            `json:"id"`
	Index             int               `json:"index"` // its place among all sessions, from 1
	Status            string            `json:"status"`
	PaymentStatus     string            `json:"payment_status"`
	Amount            int64             `json:"amount"`
	Currency          string            `json:"currency"` // lower case
	ClientReferenceID string            `json:"client_reference_id"`
	Metadata          map[string]string `json:"metadata"`
	PaymentIntent     string            `json:"payment_intent,omitempty"`
	IntentStatus      string            `json:"intent_status,omitempty"`
	Charge            string            `json:"charge,omitempty"` // the latest
	URL               string            `json:"url"`
	SuccessURL        string            `json:"success_url"`
	CancelURL         string            `json:"cancel_url"`
	Created           time.Time         `json:"created"`
	ExpiresAt         time.Time         `json:"expires_at"`
}

func (t *Twin) viewSession(s *session) SessionView {
	v := SessionView{
		ID: s.id, Index: s.seq, Status: s.status, PaymentStatus: s.paymentStatus, Amount: s.amount, Currency: s.currency,
		ClientReferenceID: s.clientReference, Metadata: s.metadata, URL: s.url, SuccessURL: s.successURL,
		CancelURL: s.cancelURL, Created: s.created, ExpiresAt: s.expiresAt,
	}
	if pi := s.intent; pi != nil {
		v.PaymentIntent, v.IntentStatus = pi.id, pi.status
		if n := len(pi.charges); n > 0 {
			v.Charge = pi.charges[n-1].id
		}
	}
	return v
}

// RefundOrder gives money back from the provider's own dashboard.
type RefundOrder struct {
	// One of Session, PaymentIntent and Charge says what to refund.
	Session       string `json:"session,omitempty"`
	PaymentIntent string `json:"payment_intent,omitempty"`
	Charge        string `json:"charge,omitempty"`
	// Amount in Stripe's units; 0 is all that is left.
	Amount int64   `json:"amount,omitempty"`
	Faults []Fault `json:"faults,omitempty"`
}

// RefundView is a refund as the control surface shows it.
type RefundView struct {
	ID            string            `json:"id"`
	Status        string            `json:"status"`
	Amount        int64             `json:"amount"`
	Currency      string            `json:"currency"`
	Charge        string            `json:"charge"`
	PaymentIntent string            `json:"payment_intent"`
	Session       string            `json:"session"`
	Metadata      map[string]string `json:"metadata"`
	Created       time.Time         `json:"created"`
}

func viewRefund(r *refund) RefundView {
	return RefundView{
		ID: r.id, Status: r.status, Amount: r.amount, Currency: r.currency, Charge: r.charge.id,
		PaymentIntent: r.charge.intent.id, Session: r.charge.intent.session.id, Metadata: r.metadata, Created: r.created,
	}
}

// EventView is an event as the control surface shows it.
type EventView struct {
	ID      string    `json:"id"`
	Index   int       `json:"index"`
	Type    string    `json:"type"`
	Object  string    `json:"object"`
	Session string    `json:"session"`
	Created time.Time `json:"created"`
	Faults  []Fault   `json:"faults,omitempty"` // what it was made to suffer
	Copies  int       `json:"copies"`
	Arrived bool      `json:"arrived"`        // an endpoint acknowledged it
	Body    string    `json:"body,omitempty"` // only where one event is asked for
}

func viewEvent(ev *event) EventView {
	return EventView{
		ID: ev.id, Index: ev.seq, Type: ev.kind, Object: ev.object, Session: ev.session.id, Created: ev.created,
		Faults: ev.faults, Copies: ev.copies, Arrived: ev.arrived,
	}
}

// DeliveryView is an event's way to one endpoint.
type DeliveryView struct {
	Event    string    `json:"event"`
	Type     string    `json:"type"`
	Session  string    `json:"session"`
	URL      string    `json:"url"`
	State    string    `json:"state"` // waiting, acknowledged, given_up
	Attempts []Attempt `json:"attempts"`
}

func viewDelivery(d *delivery) DeliveryView {
	return DeliveryView{
		Event: d.event.id, Type: d.event.kind, Session: d.event.session.id, URL: d.endpoint.URL, State: d.state,
		Attempts: append([]Attempt{}, d.attempts...),
	}
}

// Counters is what has happened since the start or the last reset.
type Counters struct {
	Requests map[string]int `json:"requests"` // API requests by route
	Answers  map[string]int `json:"answers"`  // by route and status

	Replays       int `json:"replays"`        // answers from the memory of a key
	KeyConflicts  int `json:"key_conflicts"`  // the first call was still running
	KeyMismatches int `json:"key_mismatches"` // the key came with other parameters
	ForgottenKeys int `json:"forgotten_keys"`
	CutReplies    int `json:"cut_replies"`
	ServerErrors  int `json:"server_errors"` // ordered ones, before and after effects

	Declined int `json:"declined"`
	PaidLate int `json:"paid_late"` // payments on closed sessions

	Events       int `json:"events"`
	Sent         int `json:"sent"` // webhooks put on the wire, whatever the answer
	Acknowledged int `json:"acknowledged"`
	Retries      int `json:"retries"`
	Duplicates   int `json:"duplicates"` // sent beyond the first, retries not counted
	Redelivered  int `json:"redelivered"`
	Dropped      int `json:"dropped"`
	Delayed      int `json:"delayed"`
	Held         int `json:"held"`
	OutOfOrder   int `json:"out_of_order"` // arrived after a later event of their session
	Forged       int `json:"forged"`
}

// Clock is the twin's time against the machine's.
type Clock struct {
	// OffsetSeconds moves sessions' expiry, the age of keys and all times stated.
	OffsetSeconds int64 `json:"offset_seconds"`
	// SignOffsetSeconds moves the time in signatures only. Leave it at 0 while
	// the servers keep the machine's time.
	SignOffsetSeconds int64     `json:"sign_offset_seconds"`
	Now               time.Time `json:"now"`
}

// FaultSettings is what is ordered at the moment.
type FaultSettings struct {
	Seed  uint64 `json:"seed"`
	Rates Rates  `json:"rates"`
	Shots []Shot `json:"shots,omitempty"`
}

// State is the twin at a glance.
type State struct {
	Clock     Clock         `json:"clock"`
	Faults    FaultSettings `json:"faults"`
	Endpoints []Endpoint    `json:"endpoints"`
	Sessions  int           `json:"sessions"`
	Refunds   int           `json:"refunds"`
	Pending   int           `json:"pending"` // deliveries not yet finished
	Counters  Counters      `json:"counters"`
}

// ControlError is an order that the control surface refuses.
type ControlError struct {
	Status  int    `json:"status"`
	Message string `json:"error"`
}

func (e *ControlError) Error() string { return "twin: " + e.Message }

func badRequest(format string, args ...any) error {
	return &ControlError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &ControlError{http.StatusConflict, fmt.Sprintf(format, args...)}
}

func missingObject(what, id string) error {
	return &ControlError{http.StatusNotFound, fmt.Sprintf("there is no %s %q", what, id)}
}
