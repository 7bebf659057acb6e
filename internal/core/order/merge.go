package order

import (
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// Delta is what observations added to an order's facts: the rows to write.
type Delta struct {
	Attempts    map[uuid.UUID]bool  // changed
	NewPayments map[PaymentKey]bool // to insert
	Payments    map[PaymentKey]bool // to update
	NewRefunds  map[string]bool     // by Refund.Key, to insert
	Refunds     map[string]bool     // to update
	Requests    map[uuid.UUID]bool  // answered
	Decisions   map[string]Decision // to insert
}

// Decision is a value and the observation that made it necessary.
type Decision struct {
	Value   string
	InboxID uuid.UUID
}

// NewDelta returns an empty one.
func NewDelta() *Delta {
	return &Delta{
		Attempts: map[uuid.UUID]bool{}, NewPayments: map[PaymentKey]bool{}, Payments: map[PaymentKey]bool{},
		NewRefunds: map[string]bool{}, Refunds: map[string]bool{}, Requests: map[uuid.UUID]bool{},
		Decisions: map[string]Decision{},
	}
}

// Empty reports whether nothing new was learned.
func (d *Delta) Empty() bool {
	return len(d.Attempts)+len(d.NewPayments)+len(d.Payments)+len(d.NewRefunds)+len(d.Refunds)+
		len(d.Requests)+len(d.Decisions) == 0
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
			Amount: o.Amount, Currency: o.Currency, InboxID: o.InboxID,
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
	if r := f.Request(o.RequestID); r != nil {
		fresh.RequestID = &r.ID
		if r.State == RequestOpen {
			r.State, d.Requests[r.ID] = RequestAnswered, true
		}
	}
	for i := range f.Refunds {
		r := &f.Refunds[i]
		if r.Key() != fresh.Key() {
			continue
		}
		if payment.Advances(payment.KindRefund, r.Status, o.Status) {
			r.Status, r.InboxID = o.Status, o.InboxID
			if !d.NewRefunds[r.Key()] {
				d.Refunds[r.Key()] = true
			}
		}
		return
	}
	f.Refunds = append(f.Refunds, fresh)
	d.NewRefunds[fresh.Key()] = true
}

// Decide writes a decision unless the subject has one.
func (f *Facts) Decide(subject, value string, inboxID uuid.UUID, d *Delta) {
	if _, ok := f.Decisions[subject]; ok {
		return
	}
	f.Decisions[subject] = value
	d.Decisions[subject] = Decision{Value: value, InboxID: inboxID}
}

// PayURL is the page on which the order can still be paid: empty when there is
// none, or when it was filled in and the money is on its way. Who agreed and
// whose money was refused may agree again there.
func (f *Facts) PayURL() string {
	if len(f.Attempts) == 0 {
		return ""
	}
	a := &f.Attempts[len(f.Attempts)-1]
	if a.Status == payment.AttemptOpen || a.Status == payment.AttemptApproved && f.failed(a) {
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
