package flutterwave

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

var guardOnce = guard.Define("flutterwave.refund_once", guard.Key,
	"a refund whose answer was lost is given a second time")

type refundRequest struct {
	Amount   json.Number `json:"amount"`
	Comments string      `json:"comments"`
}

// Refund implements payment.Provider. Flutterwave would refund again whatever is
// sent again, so a repeated request only looks at the refunds that there are. If
// one of them is the request's, by its note or, where notes are not shown, by its
// amount, all are returned; else the answer is payment.ErrBehind, since it may
// still come up. An error that is payment.ErrNotSent, and only that one, leaves
// the caller free to make the first call anew.
func (c *Client) Refund(ctx context.Context, in payment.RefundRequest) ([]payment.Observation, error) {
	amount, err := toWire(in.Currency, in.Amount)
	if err != nil {
		return nil, &payment.RejectedError{Provider: Name, Code: "amount", Message: err.Error()}
	}
	if !goodID(in.PaymentID) {
		return nil, fmt.Errorf("flutterwave: refund %q: %w", payment.Clip(in.PaymentID, 40), payment.ErrNotFound)
	}
	if in.Again && guardOnce.On() {
		return c.given(ctx, in)
	}
	var got refund
	body := refundRequest{Amount: amount, Comments: note(in.RequestID)}
	if err := c.post(ctx, "refund", "/transactions/"+in.PaymentID+"/refund", body, &got); err != nil {
		return nil, err
	}
	if of := got.of(); guardAsked.On() && of != "" && of != in.PaymentID {
		return nil, fmt.Errorf("flutterwave: refund: the outcome is unknown, the answer is about the transaction %q", payment.Clip(of, 40))
	}
	o, err := c.refundFact(got, in.PaymentID, in.Currency)
	if err != nil {
		return nil, fmt.Errorf("refund: the outcome is unknown: %w", err)
	}
	// The answer to our own request is its refund, whatever it shows of the note.
	o.RequestID, o.Unnamed = in.RequestID, false
	return []payment.Observation{o}, nil
}

func (c *Client) given(ctx context.Context, in payment.RefundRequest) ([]payment.Observation, error) {
	facts, err := c.refundsOf(ctx, in.PaymentID, in.Currency)
	if err != nil {
		return nil, err
	}
	for _, o := range facts {
		if o.RequestID == in.RequestID || o.RequestID == uuid.Nil && o.Amount == in.Amount {
			return facts, nil
		}
	}
	return nil, fmt.Errorf("flutterwave: refund of %s: it was asked for and is not there: %w", in.PaymentID, payment.ErrBehind)
}

// refundsOf lists the refunds of a transaction, in its currency.
func (c *Client) refundsOf(ctx context.Context, transactionID, currency string) ([]payment.Observation, error) {
	var facts []payment.Observation
	err := pages(ctx, c, "list refunds", "/refunds", url.Values{"id": {transactionID}}, func(r refund) (bool, error) {
		if guardAsked.On() && r.of() != transactionID {
			return false, nil
		}
		o, err := c.refundFact(r, transactionID, currency)
		if err == nil {
			facts = append(facts, o)
		}
		return false, err
	})
	return facts, err
}
