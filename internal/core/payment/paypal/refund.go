package paypal

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

type refundRequest struct {
	Amount    amount `json:"amount"`
	InvoiceID string `json:"invoice_id"`
}

// Refund implements payment.Provider. PaymentID is a capture's id.
func (c *Client) Refund(ctx context.Context, in payment.RefundRequest) ([]payment.Observation, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	wire, err := toWire(in.Currency, in.Amount)
	if err != nil {
		return nil, &payment.RejectedError{Provider: Name, Code: "amount", Message: err.Error()}
	}
	if err := checkID("reference to a capture", in.PaymentID); err != nil {
		return nil, err
	}
	const what = "refund"
	key := in.RequestID.String()
	var made refund
	repeated, err := c.post(ctx, what, "/v2/payments/captures/"+in.PaymentID+"/refund", key, refundRequest{wire, key}, &made)
	switch {
	case refused(err) == issueDuplicate:
		// The request took effect before, and PayPal forgot its key since.
		return c.refundOf(ctx, in)
	case err != nil:
		return nil, err
	case repeated || made.Amount.Value == "":
		if made, err = c.refund(ctx, made.ID); err != nil {
			return nil, err
		}
	}
	if made.InvoiceID == "" {
		made.InvoiceID = key
	}
	f, err := c.refundFact(made, in.PaymentID, uuid.Nil)
	return []payment.Observation{f}, err
}

// refundOf finds the refund of a request among those of its capture.
func (c *Client) refundOf(ctx context.Context, in payment.RefundRequest) ([]payment.Observation, error) {
	facts, err := c.fetchCapture(ctx, in.PaymentID, true)
	if err != nil {
		return nil, err
	}
	for _, f := range facts {
		if f.Kind == payment.KindRefund && f.RequestID == in.RequestID {
			return []payment.Observation{f}, nil
		}
	}
	return nil, fmt.Errorf("paypal: the refund request %s is known and its capture %s shows no refund of it: %w", in.RequestID, in.PaymentID, payment.ErrBehind)
}

// refund fetches a refund.
func (c *Client) refund(ctx context.Context, id string) (refund, error) {
	if err := checkID("reference to a refund", id); err != nil {
		return refund{}, err
	}
	var r refund
	if err := c.get(ctx, "fetch a refund", "/v2/payments/refunds/"+id, &r); err != nil {
		return refund{}, err
	}
	if r.ID != id {
		return refund{}, fmt.Errorf("paypal: asked for the refund %s, got %q", id, payment.Clip(r.ID, 200))
	}
	return r, nil
}
