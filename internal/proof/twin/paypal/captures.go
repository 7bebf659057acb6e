package paypal

import (
	"net/http"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// States of a capture.
const (
	captureCompleted = "COMPLETED"
	capturePending   = "PENDING"
	captureDeclined  = "DECLINED"
	capturePartly    = "PARTIALLY_REFUNDED"
	captureRefunded  = "REFUNDED"
)

// capture is a payment. The host's lock guards it.
type capture struct {
	id        string
	created   time.Time
	updated   time.Time
	status    string
	reason    string // why it is pending or was declined
	amount    int64
	refunded  int64 // by refunds that did not fail, and reversals
	currency  string
	customID  string
	invoiceID string
	order     *order
	reversed  bool
	dispute   *dispute // the latest
}

const mostDeclines = 10

func (t *Twin) captureOrder(c *host.Call) host.Answer {
	o, ok := t.orders[c.ID()]
	if !ok {
		return missing
	}
	switch {
	case o.status == orderCompleted:
		return refuse(issue{"ORDER_ALREADY_CAPTURED", ""})
	case o.status != orderApproved:
		return refuse(issue{"ORDER_NOT_APPROVED", ""})
	case t.charged(o.invoiceID):
		return refuse(issue{"DUPLICATE_INVOICE_ID", ""})
	case o.declines >= mostDeclines:
		return refuse(issue{"MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", ""})
	}
	if o.method == host.MethodDecline {
		t.host.Counters().Declined++
		o.declines++
		o.status, o.declined, o.updated = orderAction, true, t.host.Now()
		return refuse(issue{"INSTRUMENT_DECLINED", ""}, object{"href": o.url, "rel": "redirect", "method": "GET"})
	}
	t.take(o)
	whole := of(c).whole
	of(c).now = func() object { return t.renderCaptured(o, whole) }
	return good(http.StatusCreated, t.renderCaptured(o, whole))
}

// take makes the capture of an approved order and says so.
func (t *Twin) take(o *order) {
	now := t.host.Now()
	p := &capture{
		id: transactionID(), created: now, updated: now, status: captureCompleted, amount: o.amount, currency: o.currency,
		customID: o.customID, invoiceID: o.invoiceID, order: o,
	}
	if o.lie.Currency != "" {
		p.currency = o.lie.Currency
	}
	if o.lie.Amount > 0 {
		p.amount = o.lie.Amount
	}
	if o.lie.AttemptID != "" {
		p.customID = o.lie.AttemptID
	}
	o.capture, o.status, o.updated = p, orderCompleted, now
	t.captures[p.id] = p
	step := t.host.Begin(o.source, o.forced)
	switch o.method {
	case host.MethodDelayed, host.MethodDenied:
		p.status, p.reason = capturePending, "ECHECK"
		t.emitCapture(step, "PENDING", "Payment pending for", p)
	case host.MethodDeclined:
		p.status = captureDeclined
		t.emitCapture(step, "DECLINED", "Payment declined for", p)
	default:
		t.settle(p)
		t.emitCapture(step, "COMPLETED", "Payment completed for", p)
	}
	t.emitOrder(step, "CHECKOUT.ORDER.COMPLETED", "Checkout Order Completed", o)
	if o.method == host.MethodDenied {
		p.status, p.reason = captureDeclined, "OTHER"
		t.emitCapture(step, "DENIED", "Payment denied for", p)
	}
	step.Send()
}

// settle moves the money of a capture.
func (t *Twin) settle(p *capture) {
	p.status, p.reason, p.updated = captureCompleted, "", t.host.Now()
	t.post(host.EntryCharge, p.id, p.amount, p)
	t.post(host.EntryFee, p.id, -fee(p.currency, p.amount), p)
}

// post appends a movement for a capture.
func (t *Twin) post(kind, obj string, minor int64, p *capture) {
	t.host.Post(host.Entry{
		Provider: host.PayPal, Kind: kind, Amount: minor, Currency: p.currency, Wire: value(p.currency, max(minor, -minor)),
		Object: obj, Payment: p.id, Ref: p.order.id, AttemptID: p.customID,
	})
}

func (t *Twin) getCapture(c *host.Call) host.Answer {
	p, ok := t.captures[c.ID()]
	if !ok {
		return missing
	}
	return good(http.StatusOK, t.renderCapture(p))
}

// Finish ends a pending capture: completed, or denied.
func (t *Twin) Finish(ref string, ok bool, faults []host.Fault) (host.PayResult, error) {
	o, known := t.orders[ref]
	if !known {
		return host.PayResult{}, host.Missing("order", ref)
	}
	if o.capture == nil {
		return host.PayResult{}, host.Conflict("the order %s was not captured", ref)
	}
	if ok {
		return t.MovePayment(o.capture.id, "completed", faults)
	}
	return t.MovePayment(o.capture.id, "denied", faults)
}

// MovePayment gives a capture another status: a pending one completed, denied or
// declined, a completed one reversed.
func (t *Twin) MovePayment(id, to string, faults []host.Fault) (host.PayResult, error) {
	p, ok := t.captures[id]
	if !ok {
		return host.PayResult{}, host.Missing("capture", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.PayResult{}, err
	}
	to = strings.ToLower(to)
	step := func() *host.Step { return t.host.Begin(p.order.source, faults) }
	var st *host.Step
	res := host.PayResult{Outcome: host.OutcomeDeclined, Payment: p.id}
	switch {
	case p.status == capturePending && to == "completed":
		st, res.Outcome = step(), host.OutcomePaid
		t.settle(p)
		t.emitCapture(st, "COMPLETED", "Payment completed for", p)
	case p.status == capturePending && (to == "denied" || to == "declined"):
		st = step()
		p.status, p.reason, p.updated = captureDeclined, "OTHER", t.host.Now()
		t.emitCapture(st, strings.ToUpper(to), "Payment "+to+" for", p)
	case (p.status == captureCompleted || p.status == capturePartly) && to == "reversed":
		st = step()
		t.reverse(st, p)
	default:
		return host.PayResult{}, host.Conflict("the capture %s is %s and cannot become %q", id, p.status, to)
	}
	st.Send()
	res.Page, res.Events = p.order.page(), st.IDs()
	return res, nil
}

// reverse takes back what is left of a capture.
func (t *Twin) reverse(st *host.Step, p *capture) {
	left := p.amount - p.refunded
	r := &refund{
		id: transactionID(), created: t.host.Now(), status: refundCompleted, amount: left, currency: p.currency, note: "Payment reversed",
		capture: p, reversal: true,
	}
	r.updated = r.created
	t.refunds[r.id] = r
	p.refunded += left
	p.status, p.reason, p.reversed, p.updated = captureRefunded, "BUYER_COMPLAINT", true, r.created
	t.post(host.EntryReversal, r.id, -left, p)
	t.emit(st, host.Event{Kind: "PAYMENT.CAPTURE.REVERSED", Object: r.id}, "refund", "2.0",
		"A "+written(p.currency, left)+" capture payment was reversed", t.renderRefund(r, true))
}
