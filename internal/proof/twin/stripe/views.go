package stripe

import (
	"time"

	"proofroom/internal/proof/twin/host"
)

// SessionView is a session as Stripe sees it. Amounts are Stripe's units.
type SessionView struct {
	ID                string            `json:"id"`
	Index             int               `json:"index"` // its place among all sessions, from 1
	Status            string            `json:"status"`
	PaymentStatus     string            `json:"payment_status"`
	Amount            int64             `json:"amount"`
	Currency          string            `json:"currency"` // lower case
	ClientReferenceID string            `json:"client_reference_id"`
	Metadata          map[string]string `json:"metadata"`
	PaymentIntent     string            `json:"payment_intent,omitempty"`
	IntentStatus      string            `json:"intent_status,omitempty"`
	Charge            string            `json:"charge,omitempty"` // the latest
	URL               string            `json:"url"`
	SuccessURL        string            `json:"success_url"`
	CancelURL         string            `json:"cancel_url"`
	Created           time.Time         `json:"created"`
	ExpiresAt         time.Time         `json:"expires_at"`
}

// SessionFilter picks sessions; an empty field picks all.
type SessionFilter struct {
	Status, ClientReferenceID, AttemptID string
}

// Sessions lists sessions, oldest first. The lock is held.
func (t *Twin) Sessions(f SessionFilter) []SessionView {
	out := []SessionView{}
	fits := func(want, is string) bool { return want == "" || want == is }
	for _, s := range t.bySeq {
		if fits(f.Status, s.status) && fits(f.ClientReferenceID, s.clientReference) && fits(f.AttemptID, s.metadata["attempt_id"]) {
			out = append(out, viewSession(s))
		}
	}
	return out
}

// Session is one session. The lock is held.
func (t *Twin) Session(id string) (SessionView, error) {
	s, ok := t.sessions[id]
	if !ok {
		return SessionView{}, host.Missing("session", id)
	}
	return viewSession(s), nil
}

func viewSession(s *session) SessionView {
	v := SessionView{
		ID: s.id, Index: s.seq, Status: s.status, PaymentStatus: s.paymentStatus, Amount: s.amount, Currency: s.currency,
		ClientReferenceID: s.clientReference, Metadata: s.metadata, URL: s.url, SuccessURL: s.successURL,
		CancelURL: s.cancelURL, Created: s.created, ExpiresAt: s.expiresAt,
	}
	if pi := s.intent; pi != nil {
		v.PaymentIntent, v.IntentStatus = pi.id, pi.status
		if n := len(pi.charges); n > 0 {
			v.Charge = pi.charges[n-1].id
		}
	}
	return v
}

// page is a session in the words of all providers.
func (s *session) page() host.PageView {
	v := host.PageView{
		Provider: host.Stripe, Ref: s.id, URL: s.url, AttemptID: s.metadata["attempt_id"], OrderID: s.clientReference,
		Amount: minor(s.currency, s.amount), Currency: upper(s.currency), Status: host.PageOpen, Payments: []string{},
		SuccessURL: s.successURL, CancelURL: s.cancelURL, Created: s.created, ExpiresAt: s.expiresAt,
	}
	for _, pi := range s.intents {
		v.Payments = append(v.Payments, pi.id)
	}
	switch {
	case s.paymentStatus == "paid":
		v.Status = host.PagePaid
	case s.status == "expired":
		v.Status = host.PageExpired
	case s.status == "complete":
		v.Status = host.PageProcessing
	}
	return v
}

// Pages lists the sessions, oldest first.
func (t *Twin) Pages() []host.PageView {
	out := make([]host.PageView, len(t.bySeq))
	for i, s := range t.bySeq {
		out[i] = s.page()
	}
	return out
}

// Expire lets an open session expire now.
func (t *Twin) Expire(id string) (host.PageView, error) {
	s, ok := t.sessions[id]
	if !ok {
		return host.PageView{}, host.Missing("session", id)
	}
	if s.status != "open" {
		return host.PageView{}, host.Conflict("the session %s is %s already", id, s.status)
	}
	t.expire(s, nil)
	return s.page(), nil
}

// MovePayment ends a delayed payment: succeeded or failed.
func (t *Twin) MovePayment(id, to string, faults []host.Fault) (host.PayResult, error) {
	pi, ok := t.intents[id]
	if !ok {
		return host.PayResult{}, host.Missing("payment intent", id)
	}
	if to != "succeeded" && to != "failed" {
		return host.PayResult{}, host.BadRequest("a delayed payment becomes succeeded or failed, not %q", to)
	}
	return t.Finish(pi.session.id, to == "succeeded", faults)
}

func viewRefund(r *refund) host.RefundView {
	return host.RefundView{
		Provider: host.Stripe, ID: r.id, Status: r.status, Amount: minor(r.currency, r.amount), Currency: upper(r.currency),
		Payment: r.charge.intent.id, Ref: r.charge.intent.session.id, RequestID: r.metadata["refund_request_id"],
		Metadata: r.metadata, Created: r.created,
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
