package stripe

import (
	"fmt"
	"slices"
	"time"

	"proofroom/internal/proof/twin/host"
)

// refund is money given back. The host's lock guards it.
type refund struct {
	seq      int
	id       string
	created  time.Time
	amount   int64
	currency string
	status   string // pending, requires_action, succeeded, failed, canceled
	reason   string
	metadata map[string]string
	charge   *charge
	txn      string
	// failureTxn is the movement that brought the money back.
	failureTxn string
}

var refundEndpoints = []endpoint{
	{route: "POST /v1/refunds", changes: true, do: (*Twin).createRefund, schema: schema{
		fields:  []string{"charge", "payment_intent", "amount", "reason", "metadata.?", "expand.*"},
		stripes: []string{"currency", "customer", "instructions_email", "origin", "refund_application_fee", "reverse_transfer"},
	}},
	{route: "GET /v1/refunds/{id}", do: (*Twin).getRefund, schema: schema{fields: []string{"expand.*"}}},
	{route: "GET /v1/refunds", do: (*Twin).listRefunds, schema: schema{
		fields:  []string{"charge", "payment_intent", "limit", "starting_after", "ending_before", "expand.*"},
		stripes: []string{"created"},
	}},
}

func (t *Twin) createRefund(c *call) (object, *apiError) {
	p := c.params
	charge, err := t.refundable(p)
	if err != nil {
		return nil, err
	}
	amount := charge.amount - charge.refunded
	if p.has("amount") {
		if amount, err = p.integer("amount"); err != nil {
			return nil, err
		}
	}
	reason, err := p.text("reason", 50)
	if err != nil {
		return nil, err
	}
	if reason != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer"}, reason) {
		return nil, invalid("reason", "", "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer")
	}
	metadata, err := p.metadata("metadata")
	if err != nil {
		return nil, err
	}
	expand := p.expand()
	if err := expand.check("charge", "payment_intent"); err != nil {
		return nil, err
	}
	r, err := t.refund(charge, amount, reason, metadata, c, nil)
	if err != nil {
		return nil, err
	}
	return t.renderRefund(r, expand), nil
}

// refundable finds the charge that a refund request names.
func (t *Twin) refundable(p params) (*charge, *apiError) {
	switch {
	case p.has("charge") && p.has("payment_intent"):
		return nil, invalid("charge", "parameters_exclusive", "Name a charge or a payment intent, not both.")
	case p.has("payment_intent"):
		pi, ok := t.intents[p.values["payment_intent"]]
		if !ok {
			return nil, inParam(noSuch("payment_intent", p.values["payment_intent"], "payment_intent"))
		}
		for _, ch := range slices.Backward(pi.charges) {
			if ch.status == "succeeded" {
				return ch, nil
			}
		}
		return nil, executed(invalid("payment_intent", "", "This payment intent has no successful charge to refund."))
	case p.has("charge"):
		ch, ok := t.charges[p.values["charge"]]
		if !ok {
			return nil, inParam(noSuch("charge", p.values["charge"], "charge"))
		}
		if ch.status != "succeeded" {
			return nil, executed(invalid("charge", "", "This charge took no money."))
		}
		return ch, nil
	}
	return nil, missing("payment_intent")
}

// inParam makes a missing object one of a parameter: 400, not 404.
func inParam(e *apiError) *apiError {
	e.Status = 400
	return e
}

func executed(e *apiError) *apiError {
	e.executed = true
	return e
}

// refund gives money back and says so. The lock is held.
func (t *Twin) refund(ch *charge, amount int64, reason string, metadata map[string]string, cause *call, forced []host.Fault) (*refund, *apiError) {
	left := ch.amount - ch.refunded
	switch {
	case ch.dispute != nil && !ch.dispute.warning() && ch.dispute.held() > 0:
		return nil, executed(invalid("", "charge_disputed", fmt.Sprintf("Charge %s has been charged back; cannot issue a refund.", ch.id)))
	case left == 0:
		return nil, executed(invalid("", "charge_already_refunded", fmt.Sprintf("Charge %s has already been refunded.", ch.id)))
	case amount < 1:
		return nil, invalid("amount", "parameter_invalid_integer", "This value must be greater than or equal to 1.")
	case amount > left:
		return nil, executed(invalid("amount", "", fmt.Sprintf("Refund amount (%d) is greater than unrefunded amount on charge (%d).", amount, left)))
	}
	if err := checkUnitAmount("amount", ch.currency, amount); err != nil {
		return nil, err
	}
	prefix := "re_"
	if ch.method != "card" {
		prefix = "pyr_"
	}
	r := &refund{
		seq: len(t.refundSeq) + 1, id: host.NewID(prefix), created: t.host.Now(), amount: amount, currency: ch.currency,
		status: "pending", reason: reason, metadata: metadata, charge: ch,
	}
	t.refunds[r.id] = r
	t.refundSeq = append(t.refundSeq, r)
	ch.refunds = append([]*refund{r}, ch.refunds...)
	ch.refunded += amount
	r.txn = t.post(host.EntryRefund, r.id, -amount, ch)
	pending := t.host.Hits(host.RefundPending, fmt.Sprintf("refund#%d", r.seq))
	if !pending {
		r.status = "succeeded"
	}
	step := t.begin(ch.intent.session, cause, forced)
	step.emit("refund.created", t.renderRefund(r, nil))
	step.emit("charge.refunded", t.renderCharge(ch, nil))
	if !pending {
		step.emit("refund.updated", t.renderRefund(r, nil))
	}
	step.Send()
	return r, nil
}

// MoveRefund gives a refund its end: succeeded, failed or canceled. A refund
// that failed or was canceled brings the money back; one that had succeeded can
// still fail, as a closed account shows only later.
func (t *Twin) MoveRefund(id, to string, forced []host.Fault) (host.RefundView, error) {
	r, ok := t.refunds[id]
	if !ok {
		return host.RefundView{}, host.Missing("refund", id)
	}
	if err := host.CheckEventFaults(forced); err != nil {
		return host.RefundView{}, err
	}
	allowed := map[string][]string{
		"pending":         {"succeeded", "failed", "canceled", "requires_action"},
		"requires_action": {"succeeded", "failed", "canceled"},
		"succeeded":       {"failed"},
	}
	if !slices.Contains(allowed[r.status], to) {
		return host.RefundView{}, host.Conflict("the refund %s is %s and cannot become %q", id, r.status, to)
	}
	r.status = to
	ch := r.charge
	if to == "failed" || to == "canceled" {
		ch.refunded -= r.amount
		r.failureTxn = t.post(host.EntryRefundFailure, r.id, r.amount, ch)
	}
	step := t.begin(ch.intent.session, nil, forced)
	if to == "failed" {
		step.emit("refund.failed", t.renderRefund(r, nil))
	}
	step.emit("refund.updated", t.renderRefund(r, nil))
	step.emit("charge.refund.updated", t.renderRefund(r, nil))
	step.Send()
	return viewRefund(r), nil
}

// Refund gives money back from Stripe's side: nobody asked through the API, so
// nothing of the client's is on it.
func (t *Twin) Refund(q host.RefundOrder) (host.RefundView, error) {
	if err := host.CheckEventFaults(q.Faults); err != nil {
		return host.RefundView{}, err
	}
	name, id := "payment_intent", q.Payment
	if t.charges[id] != nil {
		name = "charge"
	}
	if id == "" {
		s, ok := t.sessions[q.Ref]
		if !ok {
			return host.RefundView{}, host.Missing("session", q.Ref)
		}
		if s.intent == nil {
			return host.RefundView{}, host.Conflict("the session %s was never paid", q.Ref)
		}
		id = s.intent.id
	}
	ch, err := t.refundable(params{values: map[string]string{name: id}})
	if err != nil {
		return host.RefundView{}, host.Conflict("%s", err.Message)
	}
	amount := wire(ch.currency, q.Amount)
	if amount == 0 {
		amount = ch.amount - ch.refunded
	}
	r, err := t.refund(ch, amount, "", map[string]string{}, nil, q.Faults)
	if err != nil {
		return host.RefundView{}, host.Conflict("%s", err.Message)
	}
	return viewRefund(r), nil
}

func (t *Twin) getRefund(c *call) (object, *apiError) {
	r, ok := t.refunds[c.ID()]
	if !ok {
		return nil, noSuch("refund", c.ID(), "refund")
	}
	expand := c.params.expand()
	return t.renderRefund(r, expand), expand.check("charge", "payment_intent")
}

func (t *Twin) listRefunds(c *call) (object, *apiError) {
	return listOfCharges(t, c, "/v1/refunds", t.refundSeq, func(r *refund, below expansion) (string, *charge, object) {
		return r.id, r.charge, t.renderRefund(r, below)
	})
}

// listOfCharges lists what belongs to charges, the newest first, by charge or
// payment intent if asked.
func listOfCharges[T any](t *Twin, c *call, path string, all []T, of func(T, expansion) (id string, ch *charge, o object)) (object, *apiError) {
	p := c.params
	expand := p.expand()
	if err := expand.check("data.charge", "data.payment_intent"); err != nil {
		return nil, err
	}
	below, _ := expand.below("data")
	if ch := p.values["charge"]; ch != "" && t.charges[ch] == nil {
		return nil, inParam(noSuch("charge", ch, "charge"))
	}
	if pi := p.values["payment_intent"]; pi != "" && t.intents[pi] == nil {
		return nil, inParam(noSuch("payment_intent", pi, "payment_intent"))
	}
	var items []listed
	for _, it := range slices.Backward(all) {
		id, ch, o := of(it, below)
		if p.has("charge") && ch.id != p.values["charge"] || p.has("payment_intent") && ch.intent.id != p.values["payment_intent"] {
			continue
		}
		items = append(items, listed{id, o})
	}
	return page(p, path, items)
}
