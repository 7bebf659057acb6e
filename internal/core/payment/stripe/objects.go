package stripe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// Only the fields that we use are parsed, so that a new API version of Stripe's
// changes nothing here.

type session struct {
	ID            string             `json:"id"`
	URL           string             `json:"url"`
	Mode          string             `json:"mode"`
	Status        string             `json:"status"`
	PaymentStatus string             `json:"payment_status"`
	PaymentIntent expandable[intent] `json:"payment_intent"`
	AmountTotal   *int64             `json:"amount_total"`
	Currency      string             `json:"currency"`
	ExpiresAt     int64              `json:"expires_at"`
	Metadata      map[string]string  `json:"metadata"`
}

type intent struct {
	ID               string            `json:"id"`
	Status           string            `json:"status"`
	Amount           int64             `json:"amount"`
	AmountReceived   int64             `json:"amount_received"`
	Currency         string            `json:"currency"`
	LastPaymentError *struct{}         `json:"last_payment_error"`
	Metadata         map[string]string `json:"metadata"`
}

type refund struct {
	ID            string               `json:"id"`
	Status        string               `json:"status"`
	Amount        int64                `json:"amount"`
	Currency      string               `json:"currency"`
	Charge        expandable[struct{}] `json:"charge"`
	PaymentIntent expandable[intent]   `json:"payment_intent"`
	Metadata      map[string]string    `json:"metadata"`
}

// expandable is an object that Stripe sends as its id or, when asked, whole.
type expandable[T any] struct {
	ID    string
	Whole *T
}

func (e *expandable[T]) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.ID)
	}
	var only struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &only); err != nil {
		return err
	}
	e.ID, e.Whole = only.ID, new(T)
	return json.Unmarshal(b, e.Whole)
}

// Names of our own ids in Stripe's metadata.
const (
	metaAttempt = "attempt_id"
	metaOrder   = "order_id"
	metaRefund  = "refund_request_id"
)

func ownID(metadata map[string]string, key string) uuid.UUID {
	id, err := uuid.Parse(metadata[key])
	if err != nil {
		return uuid.Nil
	}
	return id
}

func (c *Client) observation(kind payment.Kind, status, currency string, wire int64) (payment.Observation, error) {
	o := payment.Observation{
		Provider: Name, Account: c.cfg.Account, Kind: kind, Status: status,
		Currency: strings.ToUpper(currency),
	}
	var err error
	o.Amount, err = fromWire(o.Currency, wire)
	return o, err
}

// checkID refuses an id that could not be a key of ours.
func checkID(what, id string) error {
	if !payment.Printable(id) {
		return fmt.Errorf("stripe sent a %s with the unusable id %q", what, id)
	}
	return nil
}

// sessionFacts is what a session states: the attempt and, where money was
// taken, the payment. An open session states nothing but its being open.
func (c *Client) sessionFacts(s session) ([]payment.Observation, error) {
	if err := checkID("session", s.ID); err != nil {
		return nil, err
	}
	if s.AmountTotal == nil {
		return nil, fmt.Errorf("stripe sent the session %s without its total", s.ID)
	}
	status, err := s.attemptStatus()
	if err != nil {
		return nil, err
	}
	attempt, err := c.observation(payment.KindAttempt, status, s.Currency, *s.AmountTotal)
	if err != nil {
		return nil, err
	}
	attempt.AttemptID, attempt.Ref = ownID(s.Metadata, metaAttempt), s.ID
	facts := []payment.Observation{attempt}

	pi := s.PaymentIntent.Whole
	paid := s.PaymentStatus == "paid" && s.PaymentIntent.ID != ""
	switch {
	case pi != nil && (pi.Status == "succeeded" || (!paid && s.Status != "open")):
		more, err := c.intentFacts(*pi)
		if err != nil {
			return nil, err
		}
		facts = append(facts, more...)
	case paid && pi != nil:
		// The money is where the payment is. Whoever contradicts it is asked again.
		return nil, fmt.Errorf("stripe says that the session %s is paid and that its payment %s is %q", s.ID, pi.ID, pi.Status)
	case paid:
		if err := checkID("payment intent", s.PaymentIntent.ID); err != nil {
			return nil, err
		}
		o := attempt
		o.Kind, o.Status, o.Ref, o.PaymentID = payment.KindPayment, payment.PaymentSucceeded, "", s.PaymentIntent.ID
		facts = append(facts, o)
	}
	return facts, nil
}

func (s session) attemptStatus() (string, error) {
	switch {
	case s.PaymentStatus == "paid", s.Status == "complete" && s.PaymentStatus == "no_payment_required":
		return payment.AttemptSucceeded, nil
	case s.Status == "open":
		return payment.AttemptOpen, nil
	case s.Status == "expired":
		return payment.AttemptExpired, nil
	case s.Status == "complete" && s.PaymentStatus == "unpaid":
		// A delayed method. The session never says that it failed; only the
		// payment intent, back at the start, does.
		if pi := s.PaymentIntent.Whole; pi != nil && (pi.Status == "requires_payment_method" || pi.Status == "canceled") {
			return payment.AttemptFailed, nil
		}
		return payment.AttemptProcessing, nil
	}
	return "", fmt.Errorf("stripe sent the session %s with the unknown status %q, %q", s.ID, s.Status, s.PaymentStatus)
}

// intentFacts is what a payment intent states: one payment.
func (c *Client) intentFacts(pi intent) ([]payment.Observation, error) {
	if err := checkID("payment intent", pi.ID); err != nil {
		return nil, err
	}
	var status string
	wire := pi.Amount
	switch pi.Status {
	case "succeeded":
		status, wire = payment.PaymentSucceeded, pi.AmountReceived
	case "canceled":
		status = payment.PaymentFailed
	case "requires_payment_method":
		status = payment.PaymentPending
		if pi.LastPaymentError != nil {
			status = payment.PaymentFailed
		}
	case "processing", "requires_action", "requires_confirmation", "requires_capture":
		status = payment.PaymentPending
	default:
		return nil, fmt.Errorf("stripe sent the payment intent %s with the unknown status %q", pi.ID, pi.Status)
	}
	o, err := c.observation(payment.KindPayment, status, pi.Currency, wire)
	if err != nil {
		return nil, err
	}
	o.AttemptID, o.PaymentID = ownID(pi.Metadata, metaAttempt), pi.ID
	return []payment.Observation{o}, nil
}

// refundFacts is what a refund states, after its payment where Stripe sent that
// along.
func (c *Client) refundFacts(r refund) ([]payment.Observation, error) {
	if err := checkID("refund", r.ID); err != nil {
		return nil, err
	}
	of := r.PaymentIntent.ID
	if of == "" {
		of = r.Charge.ID
	}
	if err := checkID("refund's payment", of); err != nil {
		return nil, err
	}
	var status string
	switch r.Status {
	case "pending", "requires_action":
		status = payment.RefundPending
	case "succeeded":
		status = payment.RefundSucceeded
	case "failed":
		status = payment.RefundFailed
	case "canceled":
		status = payment.RefundCanceled
	default:
		return nil, fmt.Errorf("stripe sent the refund %s with the unknown status %q", r.ID, r.Status)
	}
	o, err := c.observation(payment.KindRefund, status, r.Currency, r.Amount)
	if err != nil {
		return nil, err
	}
	o.PaymentID, o.RefundID, o.RequestID = of, r.ID, ownID(r.Metadata, metaRefund)
	if r.PaymentIntent.Whole == nil {
		return []payment.Observation{o}, nil
	}
	facts, err := c.intentFacts(*r.PaymentIntent.Whole)
	if err != nil {
		return nil, err
	}
	return append(facts, o), nil
}
