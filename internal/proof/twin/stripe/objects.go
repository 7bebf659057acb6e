package stripe

import "time"

// How objects look on the wire. Every field that Stripe always sends is there,
// null where the twin has nothing to say.

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func unixOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.Unix()
}

func (t *Twin) renderSession(s *session, expand expansion) object {
	var address any
	if s.status == "open" {
		address = s.url
	}
	o := object{
		"id": s.id, "object": "checkout.session", "adaptive_pricing": object{"enabled": false},
		"after_expiration": nil, "allow_promotion_codes": nil, "amount_subtotal": s.amount, "amount_total": s.amount,
		"automatic_tax":              object{"enabled": false, "liability": nil, "provider": nil, "status": nil},
		"billing_address_collection": nil, "cancel_url": orNull(s.cancelURL),
		"client_reference_id": orNull(s.clientReference), "client_secret": nil, "collected_information": nil,
		"consent": nil, "consent_collection": nil, "created": s.created.Unix(), "currency": s.currency,
		"currency_conversion": nil, "custom_fields": []any{},
		"custom_text": object{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"customer":    nil, "customer_creation": "if_required", "customer_details": s.customer(),
		"customer_email": orNull(s.email), "discounts": []any{}, "expires_at": s.expiresAt.Unix(), "invoice": nil,
		"invoice_creation": object{"enabled": false, "invoice_data": object{
			"account_tax_ids": nil, "custom_fields": nil, "description": nil, "footer": nil, "issuer": nil,
			"metadata": object{}, "rendering_options": nil,
		}},
		"livemode": false, "locale": nil, "metadata": s.metadata, "mode": "payment", "origin_context": nil,
		"payment_intent": nil, "payment_link": nil, "payment_method_collection": "if_required",
		"payment_method_configuration_details": nil, "payment_method_options": object{"card": object{"request_three_d_secure": "automatic"}},
		"payment_method_types": []string{"card", "customer_balance"}, "payment_status": s.paymentStatus, "permissions": nil,
		"phone_number_collection": object{"enabled": false}, "recovered_from": nil, "saved_payment_method_options": nil,
		"setup_intent": nil, "shipping_address_collection": nil, "shipping_cost": nil, "shipping_options": []any{},
		"status": s.status, "submit_type": nil, "subscription": nil, "success_url": s.successURL,
		"total_details": object{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
		"ui_mode":       "hosted_page", "url": address, "wallet_options": nil,
	}
	if s.intent != nil {
		o["payment_intent"] = s.intent.id
		if below, ok := expand.below("payment_intent"); ok {
			o["payment_intent"] = t.renderIntent(s.intent, below)
		}
	}
	if expand["line_items"] {
		lines := []object{}
		for _, l := range s.lines {
			lines = append(lines, s.renderLine(l))
		}
		o["line_items"] = object{
			"object": "list", "data": lines, "has_more": false, "url": "/v1/checkout/sessions/" + s.id + "/line_items",
		}
	}
	return o
}

// customer is who paid, once somebody tried.
func (s *session) customer() any {
	if s.intent == nil && s.email == "" {
		return nil
	}
	email := s.email
	if email == "" {
		email = "payer@example.com"
	}
	return object{
		"address": object{"city": nil, "country": "DE", "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
		"email":   email, "name": "A Payer", "phone": nil, "tax_exempt": "none", "tax_ids": []any{},
		"business_name": nil, "individual_name": nil,
	}
}

func (s *session) renderLine(l line) object {
	total := l.unit * l.quantity
	return object{
		"id": l.id, "object": "item", "amount_discount": 0, "amount_subtotal": total, "amount_tax": 0,
		"amount_total": total, "currency": s.currency, "description": l.name, "metadata": nil, "quantity": l.quantity,
		"price": object{
			"id": l.price, "object": "price", "active": false, "billing_scheme": "per_unit", "created": s.created.Unix(),
			"currency": s.currency, "custom_unit_amount": nil, "livemode": false, "lookup_key": nil, "metadata": object{},
			"nickname": nil, "product": l.product, "recurring": nil, "tax_behavior": "unspecified", "tiers_mode": nil,
			"transform_quantity": nil, "type": "one_time", "unit_amount": l.unit, "unit_amount_decimal": itoa(l.unit),
		},
	}
}

func (t *Twin) renderIntent(pi *intent, expand expansion) object {
	o := object{
		"id": pi.id, "object": "payment_intent", "amount": pi.amount, "amount_capturable": 0,
		"amount_details": object{"tip": object{}}, "amount_received": pi.received, "application": nil,
		"application_fee_amount": nil, "automatic_payment_methods": nil, "canceled_at": unixOrNull(pi.canceledAt),
		"cancellation_reason": nil, "capture_method": "automatic_async", "client_secret": pi.id + "_secret_" + pi.id[3:],
		"confirmation_method": "automatic", "created": pi.created.Unix(), "currency": pi.currency, "customer": nil,
		"customer_account": nil, "description": orNull(pi.description), "excluded_payment_method_types": nil,
		"last_payment_error": nil, "latest_charge": nil, "livemode": false, "metadata": pi.metadata, "next_action": nil,
		"on_behalf_of": nil, "payment_method": nil, "payment_method_configuration_details": nil,
		"payment_method_options": object{"card": object{
			"installments": nil, "mandate_options": nil, "network": nil, "request_three_d_secure": "automatic",
		}},
		"payment_method_types": []string{"card", "customer_balance"}, "processing": nil, "receipt_email": nil,
		"review": nil, "setup_future_usage": nil, "shipping": nil, "statement_descriptor": nil,
		"statement_descriptor_suffix": nil, "status": pi.status, "transfer_data": nil,
		"transfer_group": orNull(pi.transferGroup),
	}
	if pi.status == "canceled" {
		o["cancellation_reason"] = "void_invoice"
	}
	if n := len(pi.charges); n > 0 {
		ch := pi.charges[n-1]
		o["latest_charge"] = ch.id
		if pi.status == "succeeded" || pi.status == "processing" {
			o["payment_method"] = "pm_" + ch.id[3:]
		}
		if below, ok := expand.below("latest_charge"); ok {
			o["latest_charge"] = t.renderCharge(ch, below)
		}
		if f := pi.failure; f != nil {
			o["last_payment_error"] = object{
				"type": "card_error", "code": f.code, "decline_code": f.declineCode, "message": f.message, "charge": ch.id,
			}
		}
	}
	return o
}

func (t *Twin) renderCharge(ch *charge, expand expansion) object {
	pi := ch.intent
	captured := int64(0)
	if ch.status == "succeeded" {
		captured = ch.amount
	}
	o := object{
		"id": ch.id, "object": "charge", "amount": ch.amount, "amount_captured": captured, "amount_refunded": ch.refunded,
		"application": nil, "application_fee": nil, "application_fee_amount": nil, "balance_transaction": orNull(ch.txn),
		"billing_details": object{
			"address": object{"city": nil, "country": "DE", "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
			"email":   orNull(pi.session.email), "name": "A Payer", "phone": nil, "tax_id": nil,
		},
		"calculated_statement_descriptor": "TWIN", "captured": captured > 0, "created": ch.created.Unix(),
		"currency": ch.currency, "customer": nil, "description": orNull(pi.description), "disputed": ch.dispute != nil,
		"failure_balance_transaction": nil, "failure_code": nil, "failure_message": nil, "fraud_details": object{},
		"livemode": false, "metadata": pi.metadata, "on_behalf_of": nil,
		"outcome": object{
			"advice_code": nil, "network_advice_code": nil, "network_decline_code": nil, "network_status": "approved_by_network",
			"reason": nil, "risk_level": "normal", "seller_message": "Payment complete.", "type": "authorized",
		},
		"paid": ch.status == "succeeded", "payment_intent": pi.id, "payment_method": "pm_" + ch.id[3:],
		"payment_method_details": ch.details(), "receipt_email": nil, "receipt_number": nil,
		"receipt_url": "https://pay.example/receipts/" + ch.id, "refunded": ch.refunded == ch.amount, "review": nil,
		"shipping": nil, "source_transfer": nil, "statement_descriptor": nil,
		"statement_descriptor_suffix": nil, "status": ch.status, "transfer_data": nil,
		"transfer_group": orNull(pi.transferGroup),
	}
	if f := ch.failure; f != nil {
		o["failure_code"], o["failure_message"], o["receipt_url"] = f.code, f.message, nil
		o["outcome"] = object{
			"advice_code": nil, "network_advice_code": nil, "network_decline_code": nil, "network_status": "declined_by_network",
			"reason": orNull(f.declineCode), "risk_level": "normal", "seller_message": f.message, "type": "issuer_declined",
		}
	}
	if below, ok := expand.below("payment_intent"); ok {
		o["payment_intent"] = t.renderIntent(pi, below)
	}
	if below, ok := expand.below("refunds"); ok {
		data := []object{}
		for _, r := range ch.refunds {
			data = append(data, t.renderRefund(r, below))
		}
		o["refunds"] = object{"object": "list", "data": data, "has_more": false, "url": "/v1/charges/" + ch.id + "/refunds"}
	}
	return o
}

func (ch *charge) details() object {
	if ch.method != "card" {
		return object{"type": "customer_balance", "customer_balance": object{}}
	}
	return object{"type": "card", "card": object{
		"amount_authorized": ch.amount, "authorization_code": nil, "brand": "visa",
		"checks":  object{"address_line1_check": nil, "address_postal_code_check": nil, "cvc_check": "pass"},
		"country": "US", "exp_month": 12, "exp_year": 2034, "fingerprint": "twinTwinTwin0001", "funding": "credit",
		"installments": nil, "last4": "4242", "mandate": nil, "network": "visa", "network_transaction_id": nil,
		"regulated_status": "unregulated", "three_d_secure": nil, "wallet": nil,
	}}
}

func (t *Twin) renderRefund(r *refund, expand expansion) object {
	ch := r.charge
	o := object{
		"id": r.id, "object": "refund", "amount": r.amount, "balance_transaction": orNull(r.txn), "charge": ch.id,
		"created": r.created.Unix(), "currency": r.currency,
		"destination_details": object{"type": "card", "card": object{
			"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund",
		}},
		"metadata": r.metadata, "payment_intent": ch.intent.id, "reason": orNull(r.reason), "receipt_number": nil,
		"source_transfer_reversal": nil, "status": r.status, "transfer_reversal": nil,
	}
	if ch.method != "card" {
		o["destination_details"] = object{"type": "customer_cash_balance", "customer_cash_balance": object{}}
	}
	if r.status == "failed" {
		o["failure_reason"], o["failure_balance_transaction"] = "expired_or_canceled_card", r.failureTxn
	}
	if below, ok := expand.below("payment_intent"); ok {
		o["payment_intent"] = t.renderIntent(ch.intent, below)
	}
	if below, ok := expand.below("charge"); ok {
		o["charge"] = t.renderCharge(ch, below)
	}
	return o
}
