package paypal

import (
	"net/http"
	"slices"
	"time"

	"proofroom/internal/proof/twin/host"
)

// States of a refund.
const (
	refundPending   = "PENDING"
	refundCompleted = "COMPLETED"
	refundFailed    = "FAILED"
	refundCancelled = "CANCELLED"
)

// refund is money given back, or taken back by PayPal. The host's lock guards it.
type refund struct {
	seq       int
	id        string
	created   time.Time
	updated   time.Time
	status    string
	amount    int64
	currency  string
	customID  string
	invoiceID string
	note      string
	requestID string // the PayPal-Request-Id that it was made with
	capture   *capture
	reversal  bool
}

type refundRequest struct {
	Amount    *wireMoney `json:"amount"`
	CustomID  string     `json:"custom_id"`
	InvoiceID string     `json:"invoice_id"`
	Note      string     `json:"note_to_payer"`
}

func (t *Twin) refundCapture(c *host.Call) host.Answer {
	p, ok := t.captures[c.ID()]
	if !ok {
		return missing
	}
	var in refundRequest
	if is := read(c, &in); is != nil {
		return refuse(*is)
	}
	amount := p.amount - p.refunded
	if in.Amount != nil {
		n, code := in.Amount.minor()
		switch {
		case code != "":
			return refuse(issue{code, "/amount/value"})
		case in.Amount.Currency != p.currency:
			return refuse(issue{"REFUND_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code"})
		}
		amount = n
	}
	if len(in.CustomID) > 127 || len(in.InvoiceID) > 127 || len(in.Note) > 255 {
		return refuse(issue{"INVALID_STRING_LENGTH", ""})
	}
	if in.InvoiceID != "" && t.invoices[in.InvoiceID] {
		return refuse(issue{"REFUND_DUPLICATE_INVOICE_ID", "/invoice_id"})
	}
	r, code := t.refund(p, amount, in, nil)
	if code != "" {
		return refuse(issue{code, ""})
	}
	r.requestID = c.Key
	whole := of(c).whole
	of(c).now = func() object { return t.renderRefund(r, whole) }
	return good(http.StatusCreated, t.renderRefund(r, whole))
}

// refund gives money back and says so; code says why it does not.
func (t *Twin) refund(p *capture, amount int64, in refundRequest, forced []host.Fault) (r *refund, code string) {
	left := p.amount - p.refunded
	switch {
	case p.status == capturePending:
		return nil, "PENDING_CAPTURE"
	case p.status == captureDeclined || p.reversed:
		return nil, "REFUND_NOT_ALLOWED"
	case left == 0:
		return nil, "CAPTURE_FULLY_REFUNDED"
	case amount > left:
		return nil, "REFUND_AMOUNT_EXCEEDED"
	case p.dispute != nil && p.dispute.chargeback() && p.dispute.open():
		return nil, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
	case p.dispute != nil && p.dispute.open() && amount < left:
		return nil, "TRANSACTION_DISPUTED"
	}
	r = &refund{
		seq: len(t.refundSeq) + 1, id: transactionID(), created: t.host.Now(), status: refundCompleted, amount: amount, currency: p.currency,
		customID: in.CustomID, invoiceID: in.InvoiceID, note: in.Note, capture: p,
	}
	r.updated = r.created
	t.refunds[r.id] = r
	t.refundSeq = append(t.refundSeq, r)
	if r.invoiceID != "" {
		t.invoices[r.invoiceID] = true
	}
	p.refunded += amount
	p.restate()
	p.updated = r.created
	t.post(host.EntryRefund, r.id, -amount, p)
	if t.host.Hits(host.RefundPending, "paypal refund#"+itoa(r.seq)) {
		r.status = refundPending
		return r, "" // PayPal tells of a refund once the money is back
	}
	t.tellRefund(r, forced)
	return r, ""
}

// restate makes a capture's status fit what was given back.
func (p *capture) restate() {
	switch {
	case p.refunded == 0:
		p.status = captureCompleted
	case p.refunded < p.amount:
		p.status = capturePartly
	default:
		p.status = captureRefunded
	}
}

func (t *Twin) tellRefund(r *refund, forced []host.Fault) {
	st := t.host.Begin(r.capture.order.source, forced)
	t.emit(st, host.Event{Kind: "PAYMENT.CAPTURE.REFUNDED", Object: r.id}, "refund", "2.0",
		"A "+written(r.currency, r.amount)+" capture payment was refunded", t.renderRefund(r, true))
	st.Send()
}

func (t *Twin) getRefund(c *host.Call) host.Answer {
	r, ok := t.refunds[c.ID()]
	if !ok {
		return missing
	}
	return good(http.StatusOK, t.renderRefund(r, true))
}

// Refund gives money back from PayPal's own pages: nothing of the client's is on
// it.
func (t *Twin) Refund(o host.RefundOrder) (host.RefundView, error) {
	if err := host.CheckEventFaults(o.Faults); err != nil {
		return host.RefundView{}, err
	}
	p := t.captures[o.Payment]
	if o.Payment == "" && t.orders[o.Ref] != nil {
		p = t.orders[o.Ref].capture
	}
	if p == nil {
		return host.RefundView{}, host.Conflict("nothing was captured on %s%s", o.Payment, o.Ref)
	}
	amount := o.Amount
	if amount == 0 {
		amount = p.amount - p.refunded
	}
	if amount < 0 || amount%step(p.currency) != 0 {
		return host.RefundView{}, host.BadRequest("PayPal cannot write %d of %s", amount, p.currency)
	}
	r, code := t.refund(p, amount, refundRequest{}, o.Faults)
	if code != "" {
		return host.RefundView{}, host.Conflict("%s", issues[code])
	}
	return viewRefund(r), nil
}

// MoveRefund ends a pending refund: succeeded, failed or canceled.
func (t *Twin) MoveRefund(id, to string, faults []host.Fault) (host.RefundView, error) {
	r, ok := t.refunds[id]
	if !ok || r.reversal {
		return host.RefundView{}, host.Missing("refund", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.RefundView{}, err
	}
	if r.status != refundPending || !slices.Contains([]string{"succeeded", "failed", "canceled"}, to) {
		return host.RefundView{}, host.Conflict("the refund %s is %s and cannot become %q", id, r.status, to)
	}
	r.updated = t.host.Now()
	if to == "succeeded" {
		r.status = refundCompleted
		t.tellRefund(r, faults)
		return viewRefund(r), nil
	}
	r.status = refundFailed
	if to == "canceled" {
		r.status = refundCancelled
	}
	p := r.capture
	p.refunded -= r.amount
	p.restate()
	p.updated = r.updated
	t.post(host.EntryRefundFailure, r.id, r.amount, p)
	st := t.host.Begin(p.order.source, faults)
	t.emit(st, host.Event{Kind: "PAYMENT.REFUND.FAILED", Object: r.id}, "refund", "2.0",
		"A "+written(r.currency, r.amount)+" refund failed", t.renderRefund(r, true))
	st.Send()
	return viewRefund(r), nil
}
