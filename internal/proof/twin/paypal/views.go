package paypal

import "proofroom/internal/proof/twin/host"

// page is an order in the words of all providers.
func (o *order) page() host.PageView {
	v := host.PageView{
		Provider: host.PayPal, Ref: o.id, URL: o.url, AttemptID: o.customID, Amount: o.amount, Currency: o.currency, Status: host.PageOpen,
		Payments: []string{}, SuccessURL: o.returnURL, CancelURL: o.cancelURL, Created: o.created, ExpiresAt: o.until(),
	}
	switch o.status {
	case orderApproved:
		v.Status = host.PageApproved
	case orderVoided:
		v.Status = host.PageExpired
	case orderCompleted:
		v.Payments = append(v.Payments, o.capture.id)
		switch o.capture.status {
		case capturePending:
			v.Status = host.PageProcessing
		case captureDeclined:
			v.Status = host.PageExpired
		default:
			v.Status = host.PagePaid
		}
	}
	return v
}

// Pages lists the orders, oldest first.
func (t *Twin) Pages() []host.PageView {
	out := make([]host.PageView, len(t.bySeq))
	for i, o := range t.bySeq {
		out[i] = o.page()
	}
	return out
}

func viewRefund(r *refund) host.RefundView {
	status := map[string]string{
		refundPending: "pending", refundCompleted: "succeeded", refundFailed: "failed", refundCancelled: "canceled",
	}[r.status]
	return host.RefundView{
		Provider: host.PayPal, ID: r.id, Status: status, Amount: r.amount, Currency: r.currency, Payment: r.capture.id,
		Ref: r.capture.order.id, RequestID: r.requestID, Created: r.created,
	}
}

// Refunds lists the refunds, oldest first; reversals are none.
func (t *Twin) Refunds() []host.RefundView {
	out := make([]host.RefundView, len(t.refundSeq))
	for i, r := range t.refundSeq {
		out[i] = viewRefund(r)
	}
	return out
}

func viewDispute(d *dispute) host.DisputeView {
	return host.DisputeView{
		Provider: host.PayPal, ID: d.id, Status: d.standing, Amount: d.amount, Currency: d.capture.currency, Payment: d.capture.id,
		Ref: d.capture.order.id, Events: d.events, Created: d.created,
	}
}

// Disputes lists the disputes, oldest first.
func (t *Twin) Disputes() []host.DisputeView {
	out := make([]host.DisputeView, len(t.disputeSeq))
	for i, d := range t.disputeSeq {
		out[i] = viewDispute(d)
	}
	return out
}
