package stripe

import (
	"maps"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// intent is a payment intent. The host's lock guards it.
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

// charge is one try to take money. The host's lock guards it.
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
	dispute  *dispute  // nil: nobody contests it
	intent   *intent
}

type failure struct{ code, declineCode, message string }

var paymentEndpoints = []endpoint{
	{route: "GET /v1/payment_intents/{id}", do: (*Twin).getIntent, schema: schema{fields: []string{"expand.*"}}},
	{route: "GET /v1/charges/{id}", do: (*Twin).getCharge, schema: schema{fields: []string{"expand.*"}}},
}

func (t *Twin) getIntent(c *call) (object, *apiError) {
	pi, ok := t.intents[c.ID()]
	if !ok {
		return nil, noSuch("payment_intent", c.ID(), "intent")
	}
	expand := c.params.expand()
	return t.renderIntent(pi, expand), expand.check("latest_charge")
}

func (t *Twin) getCharge(c *call) (object, *apiError) {
	ch, ok := t.charges[c.ID()]
	if !ok {
		return nil, noSuch("charge", c.ID(), "charge")
	}
	expand := c.params.expand()
	return t.renderCharge(ch, expand), expand.check("payment_intent", "refunds")
}

// Pay takes a payment on a session.
func (t *Twin) Pay(id string, r host.PayRequest) (host.PayResult, error) {
	s, ok := t.sessions[id]
	if !ok {
		return host.PayResult{}, host.Missing("session", id)
	}
	if err := host.CheckEventFaults(r.Faults); err != nil {
		return host.PayResult{}, err
	}
	method := t.methodOf(s, r.Method)
	if method != host.MethodCard && method != host.MethodDelayed && method != host.MethodDecline {
		return host.PayResult{}, host.BadRequest("Stripe has no method %q; there are card, delayed and decline", method)
	}
	if s.status != "open" {
		if !r.Force && !t.paysLate(s) {
			return host.PayResult{}, host.Conflict("the session %s is %s and takes no money", id, s.status)
		}
		t.host.Counters().PaidLate++
	}
	s.lie(r)
	step := t.begin(s, nil, r.Faults)
	t.openIntent(s, step)
	res := host.PayResult{Payment: s.intent.id}
	var ch *charge
	switch method {
	case host.MethodCard:
		ch = t.newCharge(s.intent, "card", "succeeded")
		res.Outcome = host.OutcomePaid
		t.succeed(s, ch, step, "checkout.session.completed")
	case host.MethodDelayed:
		ch = t.newCharge(s.intent, "bank", "pending")
		res.Outcome = host.OutcomeProcessing
		s.status, s.intent.status, s.intent.failure = "complete", "processing", nil
		step.emit("charge.pending", t.renderCharge(ch, nil))
		step.emit("payment_intent.processing", t.renderIntent(s.intent, nil))
		step.emit("checkout.session.completed", t.renderSession(s, nil))
	case host.MethodDecline:
		s.declined = true
		t.host.Counters().Declined++
		ch = t.newCharge(s.intent, "card", "failed")
		res.Outcome = host.OutcomeDeclined
		t.fail(s, ch, step, &failure{"card_declined", "generic_decline", "Your card was declined."})
	}
	step.Send()
	res.Charge, res.Page, res.Events = ch.id, s.page(), step.IDs()
	if res.Outcome != host.OutcomeDeclined {
		res.Redirect = strings.ReplaceAll(s.successURL, "{CHECKOUT_SESSION_ID}", s.id)
	}
	return res, nil
}

// lie makes the page say something else than it was asked to.
func (s *session) lie(r host.PayRequest) {
	if r.Currency != "" {
		s.currency = strings.ToLower(r.Currency)
	}
	if r.Amount > 0 {
		s.amount = wire(s.currency, r.Amount)
	}
	if r.AttemptID != "" {
		s.metadata, s.intentMetadata = maps.Clone(s.metadata), maps.Clone(s.intentMetadata)
		s.metadata["attempt_id"], s.intentMetadata["attempt_id"] = r.AttemptID, r.AttemptID
	}
}

// methodOf is how the payer pays, where chance may decline the first card.
func (t *Twin) methodOf(s *session, asked string) string {
	if asked == "" {
		asked = host.MethodCard
	}
	if asked == host.MethodCard && !s.declined && t.host.Hits(host.Decline, s.name()) {
		return host.MethodDecline
	}
	return asked
}

func (t *Twin) paysLate(s *session) bool {
	return s.status == "expired" && t.host.Hits(host.PayExpired, s.name())
}

// openIntent makes the session's payment intent at the first try to pay, as
// Stripe does; a further payment on a page that is done gets another one.
func (t *Twin) openIntent(s *session, step *step) {
	if s.intent != nil && s.intent.status == "requires_payment_method" {
		s.intent.amount, s.intent.currency, s.intent.metadata = s.amount, s.currency, s.intentMetadata
		return
	}
	pi := &intent{
		id: host.NewID("pi_"), created: t.host.Now(), amount: s.amount, currency: s.currency, status: "requires_payment_method",
		metadata: s.intentMetadata, description: s.description, transferGroup: s.transferGroup, session: s,
	}
	t.intents[pi.id], s.intent = pi, pi
	s.intents = append(s.intents, pi)
	step.emit("payment_intent.created", t.renderIntent(pi, nil))
}

func (t *Twin) newCharge(pi *intent, method, status string) *charge {
	prefix := "ch_"
	if method != "card" {
		prefix = "py_"
	}
	ch := &charge{
		id: host.NewID(prefix), created: t.host.Now(), amount: pi.amount, currency: pi.currency,
		status: status, method: method, intent: pi,
	}
	pi.charges = append(pi.charges, ch)
	t.charges[ch.id] = ch
	return ch
}

// succeed moves the money and says so. The lock is held.
func (t *Twin) succeed(s *session, ch *charge, step *step, sessionEvent string) {
	pi := ch.intent
	ch.status, ch.failure = "succeeded", nil
	ch.txn = t.post(host.EntryCharge, ch.id, ch.amount, ch)
	t.post(host.EntryFee, ch.id, -fee(ch.currency, ch.amount), ch)
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

// Finish ends a delayed payment.
func (t *Twin) Finish(id string, ok bool, forced []host.Fault) (host.PayResult, error) {
	s, known := t.sessions[id]
	if !known {
		return host.PayResult{}, host.Missing("session", id)
	}
	if err := host.CheckEventFaults(forced); err != nil {
		return host.PayResult{}, err
	}
	if s.intent == nil || s.intent.status != "processing" {
		return host.PayResult{}, host.Conflict("the session %s has no delayed payment under way", id)
	}
	ch := s.intent.charges[len(s.intent.charges)-1]
	step := t.begin(s, nil, forced)
	res := host.PayResult{Outcome: host.OutcomePaid, Payment: s.intent.id, Charge: ch.id}
	if ok {
		t.succeed(s, ch, step, "checkout.session.async_payment_succeeded")
	} else {
		res.Outcome = host.OutcomeDeclined
		t.fail(s, ch, step, &failure{"payment_intent_payment_attempt_failed", "", "The bank did not pay."})
	}
	step.Send()
	res.Page, res.Events = s.page(), step.IDs()
	return res, nil
}
