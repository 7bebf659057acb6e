package twin

import (
	"fmt"
	"strings"
	"time"
)

// intent is a payment intent. Twin.mu guards it.
type intent struct {
	id            string
	created       time.Time
	amount        int64
	received      int64
	currency      string
	status        string
	metadata      map[string]string
	description   string
	transferGroup string
	canceledAt    time.Time
	failure       *failure
	charges       []*charge
	session       *session
}

// charge is one try to take money. Twin.mu guards it.
type charge struct {
	id       string
	created  time.Time
	amount   int64
	refunded int64 // by refunds that did not fail
	currency string
	status   string // succeeded, pending, failed
	method   string // card, bank
	failure  *failure
	txn      string
	refunds  []*refund // newest first
	intent   *intent
}

type failure struct{ code, declineCode, message string }

// Ways to pay.
const (
	MethodCard    = "card"    // succeeds at once
	MethodDelayed = "delayed" // a bank transfer whose money comes or fails later
	MethodDecline = "decline" // a card that is declined
)

// PayRequest pays a session as its payer would.
type PayRequest struct {
	Method string `json:"method"` // default card
	// Force pays a session that is closed, as a provider at fault would.
	Force bool `json:"force,omitempty"`
	// Faults are suffered by all events of this step.
	Faults []Fault `json:"faults,omitempty"`
	// Amount and Currency make the twin take and state something else than the
	// page says. Zero: as the page says. In Stripe's units.
	Amount   int64  `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// PayResult is what became of it.
type PayResult struct {
	Outcome       string      `json:"outcome"` // paid, processing, declined
	Session       SessionView `json:"session"`
	PaymentIntent string      `json:"payment_intent"`
	Charge        string      `json:"charge"`
	Events        []string    `json:"events"`
	// Redirect is where the payer's browser goes next; empty after a decline.
	Redirect string `json:"redirect,omitempty"`
}

var paymentEndpoints = []endpoint{
	{route: "GET /v1/payment_intents/{id}", do: (*Twin).getIntent, schema: schema{fields: []string{"expand.*"}}},
	{route: "GET /v1/charges/{id}", do: (*Twin).getCharge, schema: schema{fields: []string{"expand.*"}}},
}

func (t *Twin) getIntent(c *call) (object, *apiError) {
	pi, ok := t.intents[c.id]
	if !ok {
		return nil, noSuch("payment_intent", c.id, "intent")
	}
	expand := c.params.expand()
	return t.renderIntent(pi, expand), expand.check("latest_charge")
}

func (t *Twin) getCharge(c *call) (object, *apiError) {
	ch, ok := t.charges[c.id]
	if !ok {
		return nil, noSuch("charge", c.id, "charge")
	}
	expand := c.params.expand()
	return t.renderCharge(ch, expand), expand.check("payment_intent", "refunds")
}

// pay takes a payment on a session.
func (t *Twin) pay(id string, r PayRequest) (PayResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireDue()
	s, ok := t.sessions[id]
	if !ok {
		return PayResult{}, missingObject("session", id)
	}
	if err := checkEventFaults(r.Faults); err != nil {
		return PayResult{}, err
	}
	method := t.methodOf(s, r.Method)
	if method != MethodCard && method != MethodDelayed && method != MethodDecline {
		return PayResult{}, badRequest("there is no method %q; there are card, delayed and decline", method)
	}
	if s.status != "open" {
		if !r.Force && !t.paysLate(s) {
			return PayResult{}, conflict("the session %s is %s and takes no money", id, s.status)
		}
		t.counters.PaidLate++
	}
	if r.Amount > 0 {
		s.amount = r.Amount
	}
	if r.Currency != "" {
		s.currency = strings.ToLower(r.Currency)
	}
	step := t.begin(s, nil, r.Faults)
	t.openIntent(s, step)
	res := PayResult{PaymentIntent: s.intent.id}
	var ch *charge
	switch method {
	case MethodCard:
		ch = t.newCharge(s.intent, "card", "succeeded")
		res.Outcome = "paid"
		t.succeed(s, ch, step, "checkout.session.completed")
	case MethodDelayed:
		ch = t.newCharge(s.intent, "bank", "pending")
		res.Outcome = "processing"
		s.status, s.intent.status, s.intent.failure = "complete", "processing", nil
		step.emit("charge.pending", t.renderCharge(ch, nil))
		step.emit("payment_intent.processing", t.renderIntent(s.intent, nil))
		step.emit("checkout.session.completed", t.renderSession(s, nil))
	case MethodDecline:
		s.declined = true
		t.counters.Declined++
		ch = t.newCharge(s.intent, "card", "failed")
		res.Outcome = "declined"
		t.fail(s, ch, step, &failure{"card_declined", "generic_decline", "Your card was declined."})
	}
	step.send()
	res.Charge, res.Session, res.Events = ch.id, t.viewSession(s), step.ids()
	if res.Outcome != "declined" {
		res.Redirect = strings.ReplaceAll(s.successURL, "{CHECKOUT_SESSION_ID}", s.id)
	}
	return res, nil
}

// methodOf is how the payer pays, where chance may decline the first card.
func (t *Twin) methodOf(s *session, asked string) string {
	if asked == "" {
		asked = MethodCard
	}
	if asked == MethodCard && !s.declined && t.faults.hits(Decline, fmt.Sprintf("session#%d", s.seq)) {
		return MethodDecline
	}
	return asked
}

func (t *Twin) paysLate(s *session) bool {
	return s.status == "expired" && t.faults.hits(PayExpired, fmt.Sprintf("session#%d", s.seq))
}

// openIntent makes the session's payment intent at the first try to pay, as
// Stripe does; a further payment on a page that is done gets another one.
func (t *Twin) openIntent(s *session, step *step) {
	if s.intent != nil && s.intent.status == "requires_payment_method" {
		s.intent.amount, s.intent.currency = s.amount, s.currency
		return
	}
	pi := &intent{
		id: newID("pi_"), created: t.now(), amount: s.amount, currency: s.currency, status: "requires_payment_method",
		metadata: s.intentMetadata, description: s.description, transferGroup: s.transferGroup, session: s,
	}
	t.intents[pi.id], s.intent = pi, pi
	step.emit("payment_intent.created", t.renderIntent(pi, nil))
}

func (t *Twin) newCharge(pi *intent, method, status string) *charge {
	prefix := "ch_"
	if method != "card" {
		prefix = "py_"
	}
	ch := &charge{
		id: newID(prefix), created: t.now(), amount: pi.amount, currency: pi.currency,
		status: status, method: method, intent: pi,
	}
	pi.charges = append(pi.charges, ch)
	t.charges[ch.id] = ch
	return ch
}

// succeed moves the money and says so. t.mu is held.
func (t *Twin) succeed(s *session, ch *charge, step *step, sessionEvent string) {
	pi := ch.intent
	ch.status, ch.failure = "succeeded", nil
	ch.txn = t.post(EntryCharge, ch.id, ch.amount, ch)
	t.post(EntryFee, ch.id, -fee(ch.currency, ch.amount), ch)
	pi.status, pi.received, pi.failure = "succeeded", ch.amount, nil
	s.status, s.paymentStatus = "complete", "paid"
	step.emit("charge.succeeded", t.renderCharge(ch, nil))
	step.emit("payment_intent.succeeded", t.renderIntent(pi, nil))
	step.emit(sessionEvent, t.renderSession(s, nil))
}

func (t *Twin) fail(s *session, ch *charge, step *step, why *failure) {
	pi := ch.intent
	ch.status, ch.failure = "failed", why
	pi.status, pi.failure = "requires_payment_method", why
	step.emit("charge.failed", t.renderCharge(ch, nil))
	step.emit("payment_intent.payment_failed", t.renderIntent(pi, nil))
	if ch.method != "card" {
		step.emit("checkout.session.async_payment_failed", t.renderSession(s, nil))
	}
}

// finish ends a delayed payment.
func (t *Twin) finish(id string, ok bool, forced []Fault) (PayResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.sessions[id]
	if !known {
		return PayResult{}, missingObject("session", id)
	}
	if err := checkEventFaults(forced); err != nil {
		return PayResult{}, err
	}
	if s.intent == nil || s.intent.status != "processing" {
		return PayResult{}, conflict("the session %s has no delayed payment under way", id)
	}
	ch := s.intent.charges[len(s.intent.charges)-1]
	step := t.begin(s, nil, forced)
	res := PayResult{Outcome: "paid", PaymentIntent: s.intent.id, Charge: ch.id}
	if ok {
		t.succeed(s, ch, step, "checkout.session.async_payment_succeeded")
	} else {
		res.Outcome = "declined"
		t.fail(s, ch, step, &failure{"payment_intent_payment_attempt_failed", "", "The bank did not pay."})
	}
	step.send()
	res.Session, res.Events = t.viewSession(s), step.ids()
	return res, nil
}
