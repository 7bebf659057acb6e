package paypal

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// subject is the kind of object that an event is about. PayPal's ids do not tell.
type subject int

const (
	aCapture subject = iota // also what our own pointers name
	anOrder
	aRefund
	aDispute
)

const (
	eventApproved         = "CHECKOUT.ORDER.APPROVED"
	eventApprovalReversed = "CHECKOUT.PAYMENT-APPROVAL.REVERSED"
	eventReversed         = "PAYMENT.CAPTURE.REVERSED"
	eventResolved         = "CUSTOMER.DISPUTE.RESOLVED"
)

// event is what the type of an event says: what it is about, and which fact is
// at least how far.
type event struct {
	about  subject
	kind   payment.Kind
	status string
}

// events are the event types that are a reason to ask.
var events = map[string]event{
	// The page of a payer whose money was refused is open again: see fetchOrder.
	eventApproved:              {anOrder, payment.KindAttempt, payment.AttemptOpen},
	"CHECKOUT.ORDER.COMPLETED": {anOrder, payment.KindAttempt, payment.AttemptProcessing},
	eventApprovalReversed:      {anOrder, payment.KindAttempt, payment.AttemptOpen},

	"PAYMENT.CAPTURE.PENDING":   {aCapture, payment.KindPayment, payment.PaymentPending},
	"PAYMENT.CAPTURE.COMPLETED": {aCapture, payment.KindPayment, payment.PaymentSucceeded},
	"PAYMENT.CAPTURE.DENIED":    {aCapture, payment.KindPayment, payment.PaymentFailed},
	"PAYMENT.CAPTURE.DECLINED":  {aCapture, payment.KindPayment, payment.PaymentFailed},

	"PAYMENT.CAPTURE.REFUNDED": {aRefund, payment.KindRefund, payment.RefundSucceeded},
	"PAYMENT.REFUND.PENDING":   {aRefund, payment.KindRefund, payment.RefundPending},
	"PAYMENT.REFUND.FAILED":    {aRefund, payment.KindRefund, payment.RefundFailed},
	// PayPal makes a refund object for what it takes back.
	eventReversed: {aRefund, payment.KindPayment, payment.PaymentReversed},

	"CUSTOMER.DISPUTE.CREATED": {aDispute, payment.KindDispute, payment.DisputeWarning},
	"CUSTOMER.DISPUTE.UPDATED": {aDispute, payment.KindDispute, payment.DisputeWarning},
	eventResolved:              {aDispute, payment.KindDispute, payment.DisputeWarningClosed},
}

// Fetch implements payment.Provider. The event's type says what its object is:
//
//	CHECKOUT.*          the order, with its captures and refunds
//	PAYMENT.CAPTURE.*   the capture; for REFUNDED and REVERSED the refund
//	PAYMENT.REFUND.*    the refund, with its capture
//	CUSTOMER.DISPUTE.*  the dispute, with the money that it moved
//
// Any other type is a pointer of our own to a capture, with all its refunds.
func (c *Client) Fetch(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	ev, known := events[p.EventType]
	var facts []payment.Observation
	switch ev.about {
	case anOrder:
		facts, err = c.fetchOrder(ctx, p)
	case aRefund:
		facts, err = c.fetchRefund(ctx, p)
	case aDispute:
		facts, err = c.fetchDispute(ctx, p)
	default:
		facts, err = c.fetchCapture(ctx, p.ObjectID, !known)
	}
	if err != nil {
		return nil, err
	}
	if known && !ev.shownBy(facts) {
		return nil, fmt.Errorf("paypal: %s after %s: %w", p.ObjectID, p.EventType, payment.ErrBehind)
	}
	return facts, nil
}

// shownBy reports whether facts are as far as the event says.
func (ev event) shownBy(facts []payment.Observation) bool {
	for _, f := range facts {
		if f.Kind == ev.kind && payment.Rank(f.Kind, f.Status) >= payment.Rank(ev.kind, ev.status) {
			return true
		}
		if ev.about == aRefund && f.Status == payment.PaymentReversed {
			return true
		}
	}
	return false
}

func (c *Client) fetchOrder(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	o, err := c.order(ctx, p.ObjectID)
	if err != nil {
		return nil, err
	}
	facts, err := c.orderFacts(o)
	if err != nil {
		return nil, err
	}
	switch open := facts[0].Status == payment.AttemptOpen; {
	case p.EventType == eventApproved && open && !o.agreed():
		return nil, fmt.Errorf("paypal: the order %s does not show that anybody agreed to it: %w", o.ID, payment.ErrBehind)
	case p.EventType == eventApprovalReversed && o.Status == "APPROVED":
		return nil, fmt.Errorf("paypal: the order %s still shows the approval that was taken back: %w", o.ID, payment.ErrBehind)
	}
	return facts, nil
}

// capture fetches a capture.
func (c *Client) capture(ctx context.Context, id string) (capture, error) {
	if err := checkID("reference to a capture", id); err != nil {
		return capture{}, err
	}
	var got capture
	if err := c.get(ctx, "fetch a capture", "/v2/payments/captures/"+id, &got); err != nil {
		return capture{}, err
	}
	if got.ID != id {
		return capture{}, fmt.Errorf("paypal: asked for the capture %s, got %q", id, payment.Clip(got.ID, 200))
	}
	return got, nil
}

// fetchCapture reads a capture and, if refunds is set, those of it. Only its
// order lists them; the order is also asked when the capture lacks our id.
func (c *Client) fetchCapture(ctx context.Context, id string, refunds bool) ([]payment.Observation, error) {
	got, err := c.capture(ctx, id)
	if err != nil {
		return nil, err
	}
	fact, err := c.captureFact(got, uuid.Nil)
	if err != nil {
		return nil, err
	}
	alone := []payment.Observation{fact}
	if !refunds && fact.AttemptID != uuid.Nil {
		return alone, nil
	}
	shows := refunds && (got.Status == "REFUNDED" || got.Status == "PARTIALLY_REFUNDED")
	orderID := got.Supplementary.RelatedIDs.OrderID
	if orderID == "" {
		orderID = up(got.Links, "orders")
	}
	if orderID == "" && !shows {
		return alone, nil
	}
	if orderID == "" {
		return nil, fmt.Errorf("paypal: the capture %s was refunded and names no order that would list how", id)
	}
	o, err := c.order(ctx, orderID)
	if errors.Is(err, payment.ErrNotFound) && !shows {
		return alone, nil
	}
	if errors.Is(err, payment.ErrNotFound) {
		// The capture is known: that its order is not must not deny it.
		return nil, fmt.Errorf("paypal: the capture %s was refunded and its order %s, which would list how, is gone", id, payment.Clip(orderID, 200))
	}
	if err != nil {
		return nil, err
	}
	all, err := c.orderFacts(o)
	if err != nil {
		return nil, err
	}
	var of []payment.Observation
	for _, f := range all {
		if f.PaymentID == id && (refunds || f.Kind == payment.KindPayment) {
			of = append(of, f)
		}
	}
	if len(of) == 0 {
		return nil, fmt.Errorf("paypal: the order %s does not show its capture %s: %w", o.ID, id, payment.ErrBehind)
	}
	return of, nil
}

// fetchRefund reads a refund with its capture, or what PayPal took back.
func (c *Client) fetchRefund(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	reversed := p.EventType == eventReversed
	r, err := c.refund(ctx, p.ObjectID)
	if reversed && errors.Is(err, payment.ErrNotFound) {
		return c.fetchReversed(ctx, p.ObjectID)
	}
	if err != nil {
		return nil, err
	}
	of := up(r.Links, "captures")
	if of == "" {
		return nil, fmt.Errorf("paypal sent the refund %s without its capture", r.ID)
	}
	got, err := c.capture(ctx, of)
	if err != nil {
		return nil, err
	}
	paid, err := c.captureFact(got, uuid.Nil)
	if err != nil {
		return nil, err
	}
	if reversed && requestID(r, paid.AttemptID) == uuid.Nil || isReversal(r, paid.AttemptID) {
		if r.Status != "COMPLETED" {
			return nil, fmt.Errorf("paypal: the reversal %s is %q: %w", r.ID, payment.Clip(r.Status, 200), payment.ErrBehind)
		}
		paid.Status = payment.PaymentReversed
		return []payment.Observation{paid}, nil
	}
	f, err := c.refundFact(r, of, paid.AttemptID)
	return []payment.Observation{paid, f}, err
}

// fetchReversed is for a reversal that names its capture. A capture has no status
// for it: it shows that money went back.
func (c *Client) fetchReversed(ctx context.Context, id string) ([]payment.Observation, error) {
	got, err := c.capture(ctx, id)
	if err != nil {
		return nil, err
	}
	paid, err := c.captureFact(got, uuid.Nil)
	if err != nil {
		return nil, err
	}
	if got.Status == "REFUNDED" || got.Status == "PARTIALLY_REFUNDED" {
		paid.Status = payment.PaymentReversed
	}
	return []payment.Observation{paid}, nil
}
