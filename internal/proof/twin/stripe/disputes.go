package stripe

import (
	"slices"
	"time"

	"proofroom/internal/proof/twin/host"
)

// disputeFee is what Stripe keeps of an account for a dispute, in its units.
const disputeFee = 1500

// dispute contests a charge. The host's lock guards it.
type dispute struct {
	id       string
	created  time.Time
	amount   int64
	currency string
	status   string // in Stripe's words
	charge   *charge
	moves    []*balanceMove
	events   []string // of the last step
}

// balanceMove is a movement of disputed money on the account's balance.
type balanceMove struct {
	id      string
	created time.Time
	amount  int64 // below zero: taken
	fee     int64
}

// disputeWords are Stripe's words for the statuses that all providers have.
var disputeWords = map[string]string{
	host.DisputeWarning: "warning_needs_response", host.DisputeWarningClosed: "warning_closed",
	host.DisputeNeedsResponse: "needs_response", host.DisputeUnderReview: "under_review",
	host.DisputeWon: "won", host.DisputeLost: "lost", host.DisputePrevented: "prevented",
}

var disputeEndpoints = []endpoint{
	{route: "GET /v1/disputes/{id}", do: (*Twin).getDispute, schema: schema{fields: []string{"expand.*"}}},
	{route: "GET /v1/disputes", do: (*Twin).listDisputes, schema: schema{
		fields:  []string{"charge", "payment_intent", "limit", "starting_after", "ending_before", "expand.*"},
		stripes: []string{"created"},
	}},
}

func (t *Twin) getDispute(c *call) (object, *apiError) {
	d, ok := t.disputes[c.ID()]
	if !ok {
		return nil, noSuch("dispute", c.ID(), "dispute")
	}
	expand := c.params.expand()
	return t.renderDispute(d, expand), expand.check("charge", "payment_intent")
}

func (t *Twin) listDisputes(c *call) (object, *apiError) {
	return listOfCharges(t, c, "/v1/disputes", t.disputeSeq, func(d *dispute, below expansion) (string, *charge, object) {
		return d.id, d.charge, t.renderDispute(d, below)
	})
}

// warning reports whether a dispute is only an inquiry.
func (d *dispute) warning() bool {
	return d.status == "warning_needs_response" || d.status == "warning_closed"
}

func (d *dispute) open() bool {
	return slices.Contains([]string{"warning_needs_response", "needs_response", "under_review"}, d.status)
}

// held is what was taken and not given back.
func (d *dispute) held() int64 {
	var n int64
	for _, m := range d.moves {
		n -= m.amount
	}
	return n
}

// contested finds the charge of a payment that can be disputed.
func (t *Twin) contested(payment string) (*charge, error) {
	ch := t.charges[payment]
	if pi := t.intents[payment]; pi != nil {
		for _, c := range pi.charges {
			if c.status == "succeeded" {
				ch = c
			}
		}
	}
	switch {
	case ch == nil && t.intents[payment] == nil:
		return nil, host.Missing("payment", payment)
	case ch == nil || ch.status != "succeeded":
		return nil, host.Conflict("the payment %s took no money", payment)
	case ch.dispute != nil:
		return nil, host.Conflict("the payment %s was disputed already", payment)
	}
	return ch, nil
}

// OpenDispute contests a charge, as an inquiry or as a chargeback.
func (t *Twin) OpenDispute(o host.DisputeOrder) (host.DisputeView, error) {
	if err := host.CheckEventFaults(o.Faults); err != nil {
		return host.DisputeView{}, err
	}
	ch, err := t.contested(o.Payment)
	if err != nil {
		return host.DisputeView{}, err
	}
	amount := wire(ch.currency, o.Amount)
	if amount == 0 {
		amount = ch.amount
	}
	if amount < 1 || amount > ch.amount {
		return host.DisputeView{}, host.BadRequest("%d of %d cannot be disputed", amount, ch.amount)
	}
	d := &dispute{
		id: host.NewID("du_"), created: t.host.Now(), amount: amount, currency: ch.currency, status: "needs_response", charge: ch,
	}
	if o.Warning {
		d.status = "warning_needs_response"
	}
	t.disputes[d.id] = d
	t.disputeSeq = append(t.disputeSeq, d)
	ch.dispute = d
	step := t.begin(ch.intent.session, nil, o.Faults)
	step.emit("charge.dispute.created", t.renderDispute(d, nil))
	if !o.Warning {
		t.withdraw(d, step)
	}
	step.Send()
	d.events = step.IDs()
	return viewDispute(d), nil
}

// withdraw takes the disputed money, and a fee the first time.
func (t *Twin) withdraw(d *dispute, step *step) {
	m := &balanceMove{created: t.host.Now(), amount: -d.amount}
	if len(d.moves) == 0 {
		m.fee = disputeFee
	}
	m.id = t.post(host.EntryDispute, d.id, -d.amount, d.charge)
	if m.fee > 0 {
		t.post(host.EntryDisputeFee, d.id, -m.fee, d.charge)
	}
	d.moves = append(d.moves, m)
	step.emit("charge.dispute.funds_withdrawn", t.renderDispute(d, nil))
}

// reinstate gives the disputed money back.
func (t *Twin) reinstate(d *dispute, step *step) {
	m := &balanceMove{created: t.host.Now(), amount: d.held()}
	m.id = t.post(host.EntryDisputeReversal, d.id, m.amount, d.charge)
	d.moves = append(d.moves, m)
	step.emit("charge.dispute.funds_reinstated", t.renderDispute(d, nil))
}

// MoveDispute gives a dispute another status. What was decided can still be
// decided otherwise.
func (t *Twin) MoveDispute(id, to string, faults []host.Fault) (host.DisputeView, error) {
	d, ok := t.disputes[id]
	if !ok {
		return host.DisputeView{}, host.Missing("dispute", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.DisputeView{}, err
	}
	allowed := map[string][]string{
		"warning_needs_response": {host.DisputeWarningClosed, host.DisputeNeedsResponse, host.DisputePrevented},
		"needs_response":         {host.DisputeUnderReview, host.DisputeWon, host.DisputeLost, host.DisputePrevented},
		"under_review":           {host.DisputeNeedsResponse, host.DisputeWon, host.DisputeLost, host.DisputePrevented},
		"lost":                   {host.DisputeWon, host.DisputeUnderReview},
		"won":                    {host.DisputeLost, host.DisputeUnderReview},
	}
	if !slices.Contains(allowed[d.status], to) {
		return host.DisputeView{}, host.Conflict("the dispute %s is %s and cannot become %q", id, d.status, to)
	}
	d.status = disputeWords[to]
	step := t.begin(d.charge.intent.session, nil, faults)
	if d.open() {
		step.emit("charge.dispute.updated", t.renderDispute(d, nil))
	}
	switch {
	case (to == host.DisputeNeedsResponse || to == host.DisputeLost) && d.held() == 0:
		t.withdraw(d, step)
	case (to == host.DisputeWon || to == host.DisputePrevented) && d.held() > 0:
		t.reinstate(d, step)
	}
	if !d.open() {
		step.emit("charge.dispute.closed", t.renderDispute(d, nil))
	}
	step.Send()
	d.events = step.IDs()
	return viewDispute(d), nil
}

func viewDispute(d *dispute) host.DisputeView {
	v := host.DisputeView{
		Provider: host.Stripe, ID: d.id, Amount: minor(d.currency, d.amount), Currency: upper(d.currency),
		Payment: d.charge.intent.id, Ref: d.charge.intent.session.id, Events: d.events, Created: d.created,
	}
	for word, theirs := range disputeWords {
		if theirs == d.status {
			v.Status = word
		}
	}
	return v
}

// Disputes lists the disputes, oldest first.
func (t *Twin) Disputes() []host.DisputeView {
	out := make([]host.DisputeView, len(t.disputeSeq))
	for i, d := range t.disputeSeq {
		out[i] = viewDispute(d)
	}
	return out
}

func (t *Twin) renderDispute(d *dispute, expand expansion) object {
	ch := d.charge
	kind := "chargeback"
	if d.warning() {
		kind = "inquiry"
	}
	moves := []object{}
	for _, m := range d.moves {
		moves = append(moves, m.render(d))
	}
	o := object{
		"id": d.id, "object": "dispute", "amount": d.amount, "balance_transactions": moves, "charge": ch.id, "created": d.created.Unix(),
		"currency": d.currency, "enhanced_eligibility_types": []string{}, "evidence": noEvidence(),
		"evidence_details": object{
			"due_by": d.created.Add(7 * 24 * time.Hour).Unix(), "enhanced_eligibility": object{}, "has_evidence": false,
			"past_due": false, "submission_count": 0,
		},
		"is_charge_refundable": d.warning(), "livemode": false, "metadata": object{}, "payment_intent": ch.intent.id,
		"payment_method_details": object{"type": "card", "card": object{
			"brand": "visa", "case_type": kind, "network": "visa", "network_reason_code": "83",
		}},
		"reason": "fraudulent", "status": d.status,
	}
	if below, ok := expand.below("charge"); ok {
		o["charge"] = t.renderCharge(ch, below)
	}
	if below, ok := expand.below("payment_intent"); ok {
		o["payment_intent"] = t.renderIntent(ch.intent, below)
	}
	return o
}

func (m *balanceMove) render(d *dispute) object {
	category, about := "dispute", "Chargeback withdrawal for "
	if m.amount > 0 {
		category, about = "dispute_reversal", "Chargeback reversal for "
	}
	fees := []object{}
	if m.fee > 0 {
		fees = append(fees, object{"amount": m.fee, "application": nil, "currency": d.currency, "description": "Dispute fee", "type": "stripe_fee"})
	}
	return object{
		"id": m.id, "object": "balance_transaction", "amount": m.amount, "available_on": m.created.Unix(), "balance_type": "payments",
		"created": m.created.Unix(), "currency": d.currency, "description": about + d.charge.id, "exchange_rate": nil, "fee": m.fee,
		"fee_details": fees, "net": m.amount - m.fee, "reporting_category": category, "source": d.id, "status": "available", "type": "adjustment",
	}
}

func noEvidence() object {
	o := object{"enhanced_evidence": object{}}
	for _, name := range []string{
		"access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal",
		"customer_communication", "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
		"duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt",
		"refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
		"shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
		"uncategorized_file", "uncategorized_text",
	} {
		o[name] = nil
	}
	return o
}
