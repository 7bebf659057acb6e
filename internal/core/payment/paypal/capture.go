package paypal

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

var guardCapture = guard.Define("paypal.capture", guard.Check,
	"an approval of another amount, or for another attempt, is taken for this one")

// Capture implements payment.Capturer. A payer whose instrument was declined is
// a failed payment under the page's own id, since PayPal makes no object of it:
// the page stays open for another try.
func (c *Client) Capture(ctx context.Context, in payment.CaptureRequest) ([]payment.Observation, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	found, err := c.order(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	facts, err := c.orderFacts(found)
	if err != nil {
		return nil, err
	}
	if guardCapture.On() && !asked(found, facts[0], in) {
		return facts, nil
	}
	if found.Status == "COMPLETED" || found.Status == "VOIDED" {
		return facts, nil
	}
	var taken order
	repeated, err := c.post(ctx, "capture", "/v2/checkout/orders/"+in.Ref+"/capture", in.AttemptID.String(), struct{}{}, &taken)
	var no *payment.RejectedError
	switch {
	case errors.As(err, &no):
		return c.uncaptured(ctx, in, no)
	case err != nil:
		return nil, err
	case repeated || taken.ID != in.Ref || len(taken.Units) != 1 || taken.Units[0].Amount.Value == "":
		// Answered from memory, or in short: what became of it is asked for.
		if taken, err = c.order(ctx, in.Ref); err != nil {
			return nil, err
		}
	}
	if facts, err = c.orderFacts(taken); err != nil {
		return nil, err
	}
	return facts, shown(facts)
}

// asked reports whether the page is what in says it should be worth.
func asked(o order, attempt payment.Observation, in payment.CaptureRequest) bool {
	return o.Intent == "CAPTURE" && in.AttemptID != uuid.Nil && attempt.AttemptID == in.AttemptID &&
		attempt.Amount == in.Amount && attempt.Currency == in.Currency
}

// shown demands that money was taken or tried.
func shown(facts []payment.Observation) error {
	for _, f := range facts {
		if f.Kind == payment.KindPayment {
			return nil
		}
	}
	return fmt.Errorf("paypal: the order %s was captured and shows no capture: %w", facts[0].Ref, payment.ErrBehind)
}

// uncaptured is what a refused capture means, by the order as it stands.
func (c *Client) uncaptured(ctx context.Context, in payment.CaptureRequest, no *payment.RejectedError) ([]payment.Observation, error) {
	found, err := c.order(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	facts, err := c.orderFacts(found)
	if err != nil {
		return nil, err
	}
	switch facts[0].Status {
	case payment.AttemptSucceeded, payment.AttemptProcessing:
		// Whatever the words of the refusal, the money was taken before.
		return facts, nil
	}
	switch no.Code {
	case issueAlreadyCaptured:
		return nil, fmt.Errorf("paypal: the order %s was captured before and does not show it: %w", in.Ref, payment.ErrBehind)
	case issueNotApproved, issuePayerAction:
		return facts, nil
	case issueDeclined, issueOtherFunding:
		try := facts[0]
		try.Kind, try.Status, try.Ref, try.PaymentID = payment.KindPayment, payment.PaymentFailed, "", in.Ref
		return append(facts, try), nil
	}
	return nil, no
}
