package flutterwave

import (
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"proofroom/internal/proof/twin/host"
)

// States of a refund.
const (
	refundCompleted = "completed"
	refundPending   = "pending-momo"
	refundFailed    = "failed"
)

const refundsPage = 20

// refund is money given back. The host's lock guards it.
type refund struct {
	seq     int
	id      string
	created time.Time
	status  string
	amount  int64
	comment string
	of      *transaction
}

// refundTransaction gives money back, each time that it is asked to.
func (t *Twin) refundTransaction(c *host.Call) host.Answer {
	var in struct {
		Amount   *amount `json:"amount"`
		Comments string  `json:"comments"`
	}
	if err := read(c, &in); err != nil {
		return bad("The request cannot be read: " + err.Error())
	}
	x, ok := t.transactions[c.ID()]
	if !ok {
		return noTransaction
	}
	minor := x.amount - x.refunded
	if in.Amount != nil {
		if minor, ok = in.Amount.minor(x.currency); !ok {
			return bad("amount is not valid")
		}
	}
	r, why := t.refund(x, minor, in.Comments, nil)
	if why != "" {
		return bad(why)
	}
	return good("Transaction refund initiated", refundReply{
		ID: json.RawMessage(r.id), AccountID: 73362, TxID: json.RawMessage(x.id), FlwRef: x.flwRef, WalletID: 74639,
		AmountRefunded: number(x.currency, r.amount), Status: r.status, Destination: "payment_source",
		Meta: map[string]string{"source": "availablebalance"}, CreatedAt: stamp(r.created),
	})
}

type refundReply struct {
	ID             json.RawMessage   `json:"id"`
	AccountID      int               `json:"account_id"`
	TxID           json.RawMessage   `json:"tx_id"`
	FlwRef         string            `json:"flw_ref"`
	WalletID       int               `json:"wallet_id"`
	AmountRefunded json.Number       `json:"amount_refunded"`
	Status         string            `json:"status"`
	Destination    string            `json:"destination"`
	Meta           map[string]string `json:"meta"`
	CreatedAt      string            `json:"created_at"`
}

// refund gives money back and says so; why says why it does not.
func (t *Twin) refund(x *transaction, minor int64, comment string, forced []host.Fault) (r *refund, why string) {
	switch {
	case x.status != statusSuccessful:
		return nil, "Only successful transactions can be refunded"
	case x.contested():
		return nil, "This transaction has an open chargeback"
	case minor < 1 || minor > x.amount-x.refunded:
		return nil, "Refund amount is more than what is left of the transaction"
	}
	r = &refund{seq: len(t.refundSeq) + 1, id: t.number(), created: t.host.Now(), status: refundCompleted, amount: minor, comment: comment, of: x}
	t.refunds[r.id] = r
	t.refundSeq = append(t.refundSeq, r)
	x.refunded += minor
	t.post(host.EntryRefund, r.id, -minor, x)
	if t.host.Hits(host.RefundPending, "flutterwave refund#"+r.id) {
		r.status = refundPending
		return r, ""
	}
	t.tellRefund(r, "refund.completed", forced)
	return r, ""
}

// refundView is a refund in a list and in an event.
type refundView struct {
	ID             json.RawMessage `json:"id"`
	AmountRefunded json.Number     `json:"amount_refunded"`
	Status         string          `json:"status"`
	FlwRef         string          `json:"flw_ref"`
	Comment        string          `json:"comment"`
	SettlementID   string          `json:"settlement_id"`
	Meta           string          `json:"meta"`
	CreatedAt      string          `json:"created_at"`
	AccountID      int             `json:"account_id"`
	TransactionID  json.RawMessage `json:"transaction_id"`
}

func (t *Twin) renderRefund(r *refund) refundView {
	v := refundView{
		ID: json.RawMessage(r.id), AmountRefunded: number(r.of.currency, r.amount), Status: r.status, FlwRef: r.of.flwRef,
		SettlementID: "NEW", CreatedAt: stamp(r.created), AccountID: 73362, TransactionID: json.RawMessage(r.of.id),
	}
	if t.cfg.ShowComments {
		v.Comment = r.comment
	}
	return v
}

func (t *Twin) tellRefund(r *refund, kind string, forced []host.Fault) {
	st := t.host.Begin(r.of.page.source, forced)
	t.emit(st, kind, r.id, map[string]any{"event": kind, "event.type": "Refund", "data": t.renderRefund(r)})
	st.Send()
}

func (t *Twin) getRefund(c *host.Call) host.Answer {
	r, ok := t.refunds[c.ID()]
	if !ok {
		return bad("Refund not found")
	}
	return good("Refund fetched", t.renderRefund(r))
}

// listRefunds lists by transaction, which Flutterwave calls id.
func (t *Twin) listRefunds(c *host.Call) host.Answer {
	within, ok := days(c)
	if !ok {
		return bad("from and to must be dates, YYYY-MM-DD")
	}
	q := c.Request.URL.Query()
	var found []*refund
	for _, r := range t.refundSeq {
		if within(r.created) && (!q.Has("id") || q.Get("id") == r.of.id) {
			found = append(found, r)
		}
	}
	return listed(c, "Refunds fetched", refundsPage, found, func(r *refund) any { return t.renderRefund(r) })
}

// Refund gives money back from the dashboard: nothing of the client's is on it.
func (t *Twin) Refund(o host.RefundOrder) (host.RefundView, error) {
	if err := host.CheckEventFaults(o.Faults); err != nil {
		return host.RefundView{}, err
	}
	x := t.transactions[o.Payment]
	if p := t.pages[o.Ref]; o.Payment == "" && p != nil {
		for _, each := range p.paid {
			if each.status == statusSuccessful {
				x = each
			}
		}
	}
	if x == nil {
		return host.RefundView{}, host.Conflict("nothing was paid on %s%s", o.Payment, o.Ref)
	}
	minor := o.Amount
	if minor == 0 {
		minor = x.amount - x.refunded
	}
	r, why := t.refund(x, minor, "", o.Faults)
	if why != "" {
		return host.RefundView{}, host.Conflict("%s", why)
	}
	return viewRefund(r), nil
}

// MoveRefund ends a pending refund: succeeded or failed. A completed one can come
// back too.
func (t *Twin) MoveRefund(id, to string, faults []host.Fault) (host.RefundView, error) {
	r, ok := t.refunds[id]
	if !ok {
		return host.RefundView{}, host.Missing("refund", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.RefundView{}, err
	}
	if r.status == refundFailed || !slices.Contains([]string{"succeeded", "failed"}, to) || r.status == refundCompleted && to == "succeeded" {
		return host.RefundView{}, host.Conflict("the refund %s is %s and cannot become %q", id, r.status, to)
	}
	if to == "succeeded" {
		r.status = "completed-momo"
		t.tellRefund(r, "refund.completed", faults)
		return viewRefund(r), nil
	}
	r.status = refundFailed
	r.of.refunded -= r.amount
	t.post(host.EntryRefundFailure, r.id, r.amount, r.of)
	t.tellRefund(r, "refund.failed", faults)
	return viewRefund(r), nil
}

// anID is a client's own id somewhere in a text.
var anID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func viewRefund(r *refund) host.RefundView {
	status := "succeeded"
	switch r.status {
	case refundPending:
		status = "pending"
	case refundFailed:
		status = "failed"
	}
	return host.RefundView{
		Provider: host.Flutterwave, ID: r.id, Status: status, Amount: r.amount, Currency: r.of.currency, Payment: r.of.id,
		Ref: r.of.page.ref, RequestID: anID.FindString(r.comment), Created: r.created,
	}
}

// Refunds lists the refunds, oldest first.
func (t *Twin) Refunds() []host.RefundView {
	out := make([]host.RefundView, len(t.refundSeq))
	for i, r := range t.refundSeq {
		out[i] = viewRefund(r)
	}
	return out
}
