package stripe

import (
	"encoding/json"
	"errors"
	"fmt"

	"proofroom/internal/core/payment"
)

const eventChargeRefunded = "charge.refunded"

// A reader turns the object of one event type into what the event states.
type reader func(c *Client, object []byte) ([]payment.Observation, error)

// factEvents are the event types whose signed body is the fact.
var factEvents = map[string]reader{
	"checkout.session.completed":               sessionEvent(""),
	"checkout.session.async_payment_succeeded": sessionEvent(payment.AttemptSucceeded),
	"checkout.session.async_payment_failed":    sessionEvent(payment.AttemptFailed),
	"checkout.session.expired":                 sessionEvent(payment.AttemptExpired),

	"payment_intent.succeeded":      intentEvent(payment.PaymentSucceeded),
	"payment_intent.payment_failed": intentEvent(payment.PaymentFailed),
	"payment_intent.canceled":       intentEvent(payment.PaymentFailed),
	"payment_intent.processing":     intentEvent(payment.PaymentPending),

	"refund.created":        refundEvent,
	"refund.updated":        refundEvent,
	"refund.failed":         refundEvent,
	"charge.refund.updated": refundEvent,
}

// pointers are the event types that are only a reason to ask: a charge's body
// names no refund, and a dispute's outcome may have changed since.
var pointers = map[string]bool{
	eventChargeRefunded:                true,
	disputeEvents + "created":          true,
	disputeEvents + "updated":          true,
	disputeEvents + "closed":           true,
	disputeEvents + "funds_withdrawn":  true,
	disputeEvents + "funds_reinstated": true,
}

// errNotOurs says that an event is certainly about nothing that we made.
var errNotOurs = errors.New("not a page of ours")

// sessionEvent reads a session. want is what the event's own name claims; empty
// where the name claims nothing beyond the object.
func sessionEvent(want string) reader {
	return func(c *Client, object []byte) ([]payment.Observation, error) {
		var s session
		if err := json.Unmarshal(object, &s); err != nil {
			return nil, err
		}
		if s.Mode != "" && s.Mode != "payment" {
			// Subscriptions and saved cards: we open no such page.
			return nil, errNotOurs
		}
		found, err := c.sessionFacts(s)
		if err != nil {
			return nil, err
		}
		attempt := &found[0]
		switch {
		case want == "" || attempt.Status == want:
		case want == payment.AttemptFailed && attempt.Status == payment.AttemptProcessing:
			// The session looks the same before and after a delayed payment
			// failed; the name of the event is what says so.
			attempt.Status = want
		default:
			return nil, fmt.Errorf("the event claims %s and its session %s", want, attempt.Status)
		}
		return found, nil
	}
}

func intentEvent(want string) reader {
	return func(c *Client, object []byte) ([]payment.Observation, error) {
		var pi intent
		if err := json.Unmarshal(object, &pi); err != nil {
			return nil, err
		}
		found, err := c.intentFacts(pi)
		if err != nil {
			return nil, err
		}
		if want == payment.PaymentFailed && found[0].Status == payment.PaymentPending {
			// Back at the start without a word of the error: the name says it.
			found[0].Status = want
		}
		if found[0].Status != want {
			return nil, fmt.Errorf("the event claims %s and its payment intent %s", want, found[0].Status)
		}
		return found, nil
	}
}

func refundEvent(c *Client, object []byte) ([]payment.Observation, error) {
	var r refund
	if err := json.Unmarshal(object, &r); err != nil {
		return nil, err
	}
	return c.refundFacts(r)
}

// classify reduces a verified event to what the inbox stores.
func (c *Client) classify(r payment.Receipt, object []byte) payment.Receipt {
	r.Applier = payment.ApplierOrder
	if pointers[r.EventType] {
		r.Class = payment.ClassPointer
		return r
	}
	read, known := factEvents[r.EventType]
	if !known {
		r.Class = payment.ClassIgnored
		return r
	}
	found, err := read(c, object)
	switch {
	case errors.Is(err, errNotOurs):
		r.Class = payment.ClassIgnored
	case err != nil:
		// Signed, ours by its type, and not understood: ask about the object
		// instead. If that is not understood either, a person sees the row.
		r.Class = payment.ClassPointer
	default:
		r.Class, r.Facts = payment.ClassFact, found
	}
	return r
}
