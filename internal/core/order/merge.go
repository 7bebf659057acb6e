package order

import (
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

// Without the match a refund of ours counts as begun at the provider, and what it
// was asked for is never answered.
var matchUnnamed = guard.Define("order.refund_match", guard.Check, "a refund that carries no name is taken for another one than ours")

// Delta is what observations added to an order's facts: the rows to write.
type Delta struct {
	Attempts    map[uuid.UUID]bool  // changed
	NewPayments map[PaymentKey]bool // to insert
	Payments    map[PaymentKey]bool // to update
	NewRefunds  map[string]bool     // by Refund.Key, to insert
	Refunds     map[string]bool     // to update
	Requests    map[uuid.UUID]bool  // answered or rejected
	Decisions   map[string]Decision // to insert

	NewDisputes  map[string]bool // by Dispute.Key, to insert
	Disputes     map[string]bool // to update
	NewMovements map[string]bool // by Movement.Key, to insert
}

// Decision is a value and what made it necessary.
type Decision struct {
	Value string
	Cause Cause
}

// NewDelta returns an empty one.
func NewDelta() *Delta {
	return &Delta{
		Attempts: map[uuid.UUID]bool{}, NewPayments: map[PaymentKey]bool{}, Payments: map[PaymentKey]bool{},
		NewRefunds: map[string]bool{}, Refunds: map[string]bool{}, Requests: map[uuid.UUID]bool{},
		Decisions: map[string]Decision{}, NewDisputes: map[string]bool{}, Disputes: map[string]bool{}, NewMovements: map[string]bool{},
	}
}

// Empty reports whether nothing new was learned.
func (d *Delta) Empty() bool {
	return len(d.Attempts)+len(d.NewPayments)+len(d.Payments)+len(d.NewRefunds)+len(d.Refunds)+
		len(d.Requests)+len(d.Decisions)+len(d.NewDisputes)+len(d.Disputes)+len(d.NewMovements) == 0
}

// Merge adds one observation to the facts and notes in d what changed. The
// same observation twice, or an older one, changes nothing.
func (f *Facts) Merge(o payment.Observation, d *Delta) {
	switch o.Kind {
	case payment.KindAttempt:
		f.mergeAttempt(o.AttemptID, o.Ref, o.Status, o.InboxID, d)
	case payment.KindPayment:
		f.mergePayment(o, d)
	case payment.KindRefund:
		f.mergeRefund(o, d)
	case payment.KindDispute:
		f.mergeDispute(o, d)
	case payment.KindDisputeMoney:
		f.mergeMovement(o, d)
	}
}

func (f *Facts) mergeAttempt(id uuid.UUID, ref, status string, inboxID uuid.UUID, d *Delta) {
	for i := range f.Attempts {
		a := &f.Attempts[i]
		if a.ID != id {
			continue
		}
		switch {
		case ref == "" || ref == a.Ref:
		case a.Ref == "":
			// The reply to our own call was lost; the provider names its page here.
			a.Ref, d.Attempts[id] = ref, true
		default:
			f.Decide(DecideReview+"ref:"+ref, fmt.Sprintf("the provider names page %s for an attempt that has page %s", ref, a.Ref), inboxID, d)
			return
		}
		if payment.Advances(payment.KindAttempt, a.Status, status) {
			a.Status, d.Attempts[id] = status, true
		}
		return
	}
}

func (f *Facts) mergePayment(o payment.Observation, d *Delta) {
	key := PaymentKey{o.Provider, o.Account, o.PaymentID}
	p := f.Payment(key)
	switch {
	case p == nil:
		f.Payments = append(f.Payments, Payment{
			Key: key, OrderID: f.Order.ID, AttemptID: o.AttemptID, Status: o.Status,
			Amount: o.Amount, Currency: o.Currency, Fee: o.Fee, InboxID: o.InboxID,
		})
		d.NewPayments[key] = true
	case payment.Advances(payment.KindPayment, p.Status, o.Status):
		p.Status, p.InboxID = o.Status, o.InboxID
		if o.Amount != 0 {
			p.Amount, p.Currency = o.Amount, o.Currency
		}
		if !d.NewPayments[key] {
			d.Payments[key] = true
		}
	}
	if p != nil && p.Fee == 0 && o.Fee > 0 {
		p.Fee = o.Fee // what was charged once stands
		if !d.NewPayments[key] {
			d.Payments[key] = true
		}
	}
	// A payment says where its page stands. A failed try leaves it open.
	switch o.Status {
	case payment.PaymentSucceeded, payment.PaymentReversed:
		f.mergeAttempt(o.AttemptID, "", payment.AttemptSucceeded, o.InboxID, d)
	case payment.PaymentPending:
		f.mergeAttempt(o.AttemptID, "", payment.AttemptProcessing, o.InboxID, d)
	}
}

func (f *Facts) mergeRefund(o payment.Observation, d *Delta) {
	fresh := Refund{
		Provider: o.Provider, Account: o.Account, ID: o.RefundID, OrderID: f.Order.ID, PaymentID: o.PaymentID,
		Status: o.Status, Amount: o.Amount, Currency: o.Currency, InboxID: o.InboxID,
	}
	r := f.refund(fresh.Key())
	if r == nil {
		f.Refunds = append(f.Refunds, fresh)
		d.NewRefunds[fresh.Key()] = true
		r = &f.Refunds[len(f.Refunds)-1]
	} else if payment.Advances(payment.KindRefund, r.Status, o.Status) {
		r.Status, r.InboxID = o.Status, o.InboxID
		d.refund(r)
	}
	if r.RequestID != nil {
		return
	}
	if q := f.asked(r, o); q != nil {
		r.RequestID = &q.ID
		d.refund(r)
		if q.State != RequestAnswered {
			q.State, d.Requests[q.ID] = RequestAnswered, true
		}
	}
}

// refund notes that a refund changed.
func (d *Delta) refund(r *Refund) {
	if !d.NewRefunds[r.Key()] {
		d.Refunds[r.Key()] = true
	}
}

// asked finds the request that a refund answers: the one that it names, or, at a
// provider whose refunds carry no name, the one that was sent first of those for
// the same money that nothing has answered. Equal requests are as good as each
// other: each gets one refund, and each refund goes to one of them.
func (f *Facts) asked(r *Refund, o payment.Observation) *Request {
	named := f.Request(o.RequestID)
	if named != nil && f.answer(named.ID) == nil {
		return named
	}
	if named == nil && !o.Unnamed || !matchUnnamed.On() {
		return nil
	}
	var first *Request
	for i := range f.Requests {
		q := &f.Requests[i]
		fits := q.State == RequestOpen && q.SentAt != nil && q.Payment == r.Payment() && q.Amount == r.Amount && q.Currency == r.Currency
		if fits && f.answer(q.ID) == nil && (first == nil || q.SentAt.Before(*first.SentAt)) {
			first = q
		}
	}
	return first
}

func (f *Facts) refund(key string) *Refund {
	for i := range f.Refunds {
		if f.Refunds[i].Key() == key {
			return &f.Refunds[i]
		}
	}
	return nil
}

// Decide writes a decision that an observation made necessary, unless the subject
// has one.
func (f *Facts) Decide(subject, value string, inboxID uuid.UUID, d *Delta) {
	f.DecideBy(subject, value, Cause{Kind: CauseInbox, ID: inboxID}, d)
}

// DecideBy writes a decision of any cause, unless the subject has one.
func (f *Facts) DecideBy(subject, value string, cause Cause, d *Delta) {
	if _, ok := f.Decisions[subject]; ok {
		return
	}
	f.Decisions[subject] = value
	d.Decisions[subject] = Decision{Value: value, Cause: cause}
}

// PayURL is the page on which the order can still be paid: empty when there is
// none, or when it was filled in and the money is on its way. Whose money was
// refused, at once or after a while, may pay again there.
func (f *Facts) PayURL() string {
	if len(f.Attempts) == 0 {
		return ""
	}
	a := &f.Attempts[len(f.Attempts)-1]
	if a.Live() && !f.UnderWay(a) && (a.Status == payment.AttemptOpen || f.failed(a)) {
		return a.URL
	}
	return ""
}

// Payment finds a payment by key, nil if there is none.
func (f *Facts) Payment(key PaymentKey) *Payment {
	for i := range f.Payments {
		if f.Payments[i].Key == key {
			return &f.Payments[i]
		}
	}
	return nil
}

// Request finds a refund request by id, nil if there is none.
func (f *Facts) Request(id uuid.UUID) *Request {
	for i := range f.Requests {
		if f.Requests[i].ID == id {
			return &f.Requests[i]
		}
	}
	return nil
}
