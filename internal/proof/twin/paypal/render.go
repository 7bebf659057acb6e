package paypal

import (
	"strconv"
	"time"

	"proofroom/internal/proof/twin/host"
)

func itoa(n int) string { return strconv.Itoa(n) }

func link(href, rel, method string) object { return object{"href": href, "rel": rel, "method": method} }

// put sets a field that has something to say.
func (o object) put(name, text string) {
	if text != "" {
		o[name] = text
	}
}

func payee() object { return object{"email_address": merchantEmail, "merchant_id": merchantID} }

func (o *order) payer() object {
	email := o.email
	if email == "" {
		email = "payer@example.com"
	}
	return object{
		"name": object{"given_name": "A", "surname": "Payer"}, "email_address": email, "payer_id": payerID,
		"address": object{"country_code": "DE"},
	}
}

// wallet is the payer's PayPal account, once somebody approved.
func (o *order) walletObject() object {
	if o.open() && !o.declined {
		return object{"paypal": object{}}
	}
	p := o.payer()
	return object{"paypal": object{
		"email_address": p["email_address"], "account_id": payerID, "account_status": "VERIFIED", "name": p["name"], "address": p["address"],
	}}
}

func (t *Twin) orderLinks(o *order) []object {
	self := t.base() + "/v2/checkout/orders/" + o.id
	out := []object{link(self, "self", "GET")}
	switch {
	case o.status == orderAction && o.wallet:
		out = append(out, link(o.url, "payer-action", "GET"))
	case o.open():
		out = append(out, link(o.url, "approve", "GET"), link(self, "update", "PATCH"), link(self+"/capture", "capture", "POST"))
	case o.status == orderApproved:
		out = append(out, link(self, "update", "PATCH"), link(self+"/capture", "capture", "POST"))
	}
	return out
}

// renderOrder shows an order whole, or as little as Prefer: return=minimal wants.
func (t *Twin) renderOrder(o *order, whole bool) object {
	out := object{"id": o.id, "status": o.status, "links": t.orderLinks(o)}
	if o.wallet || !o.open() {
		out["payment_source"] = o.walletObject()
	}
	if !whole {
		return out
	}
	out["intent"], out["create_time"] = "CAPTURE", stamp(o.created)
	if o.updated.After(o.created) {
		out["update_time"] = stamp(o.updated)
	}
	if !o.open() && o.status != orderVoided {
		out["payer"] = o.payer()
	}
	amount := money(o.currency, o.amount)
	unit := object{"reference_id": o.reference, "amount": amount, "payee": payee()}
	unit.put("custom_id", o.customID)
	unit.put("invoice_id", o.invoiceID)
	unit.put("description", o.about)
	if len(o.items) > 0 {
		amount["breakdown"] = object{"item_total": money(o.currency, o.amount)}
		unit["items"] = o.items
	}
	if o.capture != nil {
		unit["payments"] = t.renderPayments(o.capture)
	}
	out["purchase_units"] = []object{unit}
	return out
}

func (t *Twin) renderPayments(p *capture) object {
	// Within an order a capture need not say whose it is.
	shown := t.renderCapture(p)
	delete(shown, "payee")
	delete(shown, "supplementary_data")
	out := object{"captures": []object{shown}}
	var refunds []object
	for _, r := range t.refundSeq {
		if r.capture == p {
			refunds = append(refunds, t.renderRefund(r, true))
		}
	}
	if len(refunds) > 0 {
		out["refunds"] = refunds
	}
	return out
}

// renderCaptured is the answer to a capture.
func (t *Twin) renderCaptured(o *order, whole bool) object {
	out := t.renderOrder(o, whole)
	if !whole {
		out["payer"] = o.payer()
		out["purchase_units"] = []object{{"reference_id": o.reference, "payments": t.renderPayments(o.capture)}}
	}
	return out
}

func (t *Twin) renderCapture(p *capture) object {
	self := t.base() + "/v2/payments/captures/" + p.id
	out := object{
		"id": p.id, "status": p.status, "amount": money(p.currency, p.amount), "final_capture": true, "disbursement_mode": "INSTANT",
		"seller_protection": object{"status": "ELIGIBLE", "dispute_categories": []string{"ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"}},
		"links": []object{
			link(self, "self", "GET"), link(self+"/refund", "refund", "POST"), link(t.base()+"/v2/checkout/orders/"+p.order.id, "up", "GET"),
		},
		"create_time": stamp(p.created), "update_time": stamp(p.updated),
		"supplementary_data": object{"related_ids": object{"order_id": p.order.id}}, "payee": payee(),
	}
	out.put("custom_id", p.customID)
	out.put("invoice_id", p.invoiceID)
	if p.reason != "" {
		out["status_details"] = object{"reason": p.reason}
	}
	if p.status != capturePending && p.status != captureDeclined {
		kept := fee(p.currency, p.amount)
		out["seller_receivable_breakdown"] = object{
			"gross_amount": money(p.currency, p.amount), "paypal_fee": money(p.currency, kept), "net_amount": money(p.currency, p.amount-kept),
		}
	}
	return out
}

func (t *Twin) renderRefund(r *refund, whole bool) object {
	self := t.base() + "/v2/payments/refunds/" + r.id
	out := object{"id": r.id, "status": r.status, "links": []object{
		link(self, "self", "GET"), link(t.base()+"/v2/payments/captures/"+r.capture.id, "up", "GET"),
	}}
	if r.status == refundPending {
		out["status_details"] = object{"reason": "ECHECK"}
	}
	if !whole {
		return out
	}
	out["amount"] = money(r.currency, r.amount)
	out["seller_payable_breakdown"] = object{
		"gross_amount": money(r.currency, r.amount), "paypal_fee": money(r.currency, 0), "net_amount": money(r.currency, r.amount),
		"total_refunded_amount": money(r.currency, r.capture.refunded),
	}
	out.put("custom_id", r.customID)
	out.put("invoice_id", r.invoiceID)
	out.put("note_to_payer", r.note)
	out["payer"], out["create_time"], out["update_time"] = payee(), stamp(r.created), stamp(r.updated)
	return out
}

func (t *Twin) renderDispute(d *dispute) object {
	p := d.capture
	out := t.renderDisputeItem(d)
	delete(out, "dispute_state")
	out["disputed_transactions"] = []object{{
		"buyer_transaction_id": "B" + p.id[1:], "seller_transaction_id": p.id, "create_time": stamp(p.created), "transaction_status": p.status,
		"gross_amount": money(p.currency, p.amount), "buyer": object{"name": "A Payer"},
		"seller": object{"email": merchantEmail, "merchant_id": merchantID, "name": "Twin Merchant"},
	}}
	if code := d.outcome(); code != "" {
		outcome := object{"outcome_code": code}
		if d.standing == host.DisputeLost {
			outcome["amount_refunded"] = money(p.currency, d.amount)
		}
		out["dispute_outcome"] = outcome
	}
	var moved []object
	for _, m := range d.movements {
		kind, amount := "CREDIT", m.amount
		if amount < 0 {
			kind, amount = "DEBIT", -amount
		}
		moved = append(moved, object{
			"affected_party": "SELLER", "amount": money(p.currency, amount), "initiated_time": stamp(m.at), "type": kind, "reason": m.reason,
		})
	}
	if len(moved) > 0 {
		out["money_movements"] = moved
	}
	out["messages"] = []object{{"posted_by": "BUYER", "time_posted": stamp(d.created), "content": "I did not get what I paid for."}}
	return out
}

// renderDisputeItem is a dispute as lists show it.
func (t *Twin) renderDisputeItem(d *dispute) object {
	out := object{
		"dispute_id": d.id, "create_time": stamp(d.created), "update_time": stamp(d.updated),
		"reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED", "status": d.status(), "dispute_state": d.state(),
		"dispute_amount": money(d.capture.currency, d.amount), "dispute_life_cycle_stage": d.stage, "dispute_channel": "INTERNAL",
		"links": []object{link(t.base()+"/v1/customer/disputes/"+d.id, "self", "GET")},
	}
	if d.open() {
		out["seller_response_due_date"] = stamp(d.created.Add(10 * 24 * time.Hour))
	}
	return out
}
