package stripe

import (
	"context"
	"fmt"
	"strings"

	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/core/payment"
)

// Refund implements payment.Provider. PaymentID is a payment intent's id, or a
// charge's.
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
	p := &sdk.RefundCreateParams{
		Amount:   sdk.Int64(wire),
		Metadata: map[string]string{metaRefund: in.RequestID.String()},
	}
	if isCharge(in.PaymentID) {
		p.Charge = sdk.String(in.PaymentID)
	} else {
		p.PaymentIntent = sdk.String(in.PaymentID)
	}
	c.address(&p.Params)
	p.SetIdempotencyKey(in.RequestID.String())
	r, err := c.api.V1Refunds.Create(ctx, p)
	if err != nil {
		return nil, outcome("refund", err)
	}
	if replayed(r.LastResponse) {
		// The stored answer is the refund's first state; it may have moved on.
		return c.fetchRefund(ctx, r.ID)
	}
	got, err := reply[refund](r.LastResponse)
	if err != nil {
		return nil, err
	}
	return c.refundFacts(got)
}

func isCharge(id string) bool { return strings.HasPrefix(id, "ch_") || strings.HasPrefix(id, "py_") }

// Fetch implements payment.Provider. What is fetched follows from the object:
//
//	cs_        the page, with its payment
//	pi_        the payment and all its refunds
//	ch_, py_   all refunds of the charge, with their payment
//	re_, pyr_  the refund, with its payment
//	dp_, du_   the dispute, with the money that it moved
func (c *Client) Fetch(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	switch id := p.ObjectID; {
	case strings.HasPrefix(id, "cs_"):
		s, err := c.session(ctx, id)
		if err != nil {
			return nil, err
		}
		got, err := reply[session](s.LastResponse)
		if err != nil {
			return nil, err
		}
		return c.sessionFacts(got)
	case strings.HasPrefix(id, "pi_"):
		facts, err := c.fetchIntent(ctx, id)
		if err != nil {
			return nil, err
		}
		list := &sdk.RefundListParams{PaymentIntent: sdk.String(id)}
		refunds, err := c.listRefunds(ctx, list)
		return append(facts, refunds...), err
	case isCharge(id):
		list := &sdk.RefundListParams{Charge: sdk.String(id)}
		list.AddExpand("data.payment_intent")
		facts, err := c.listRefunds(ctx, list)
		if err == nil && len(facts) == 0 && p.EventType == eventChargeRefunded {
			// The event says that there is a refund, so this list is older.
			return nil, fmt.Errorf("stripe: charge %s has no refund yet: %w", id, payment.ErrBehind)
		}
		return facts, err
	case strings.HasPrefix(id, "re_"), strings.HasPrefix(id, "pyr_"):
		return c.fetchRefund(ctx, id)
	case isDispute(id):
		return c.fetchDispute(ctx, p)
	}
	return nil, fmt.Errorf("stripe: nothing is known about objects like %q of event type %q", p.ObjectID, p.EventType)
}

func (c *Client) fetchIntent(ctx context.Context, id string) ([]payment.Observation, error) {
	p := &sdk.PaymentIntentRetrieveParams{}
	c.address(&p.Params)
	pi, err := c.api.V1PaymentIntents.Retrieve(ctx, id, p)
	if err != nil {
		return nil, outcome("fetch a payment", err)
	}
	got, err := reply[intent](pi.LastResponse)
	if err != nil {
		return nil, err
	}
	return c.intentFacts(got)
}

func (c *Client) fetchRefund(ctx context.Context, id string) ([]payment.Observation, error) {
	p := &sdk.RefundRetrieveParams{}
	p.AddExpand("payment_intent")
	c.address(&p.Params)
	r, err := c.api.V1Refunds.Retrieve(ctx, id, p)
	if err != nil {
		return nil, outcome("fetch a refund", err)
	}
	got, err := reply[refund](r.LastResponse)
	if err != nil {
		return nil, err
	}
	return c.refundFacts(got)
}

// refundsPage asks for one page. The SDK panics over a list that has null in it,
// which is an answer that cannot be read like any other.
func (c *Client) refundsPage(ctx context.Context, p *sdk.RefundListParams) (answer *sdk.APIResponse, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the answer cannot be read: %v", cause)
		}
	}()
	list := c.api.V1Refunds.List(ctx, p)
	return list.LastResponse(), list.Err()
}

// listRefunds reads every page. The payment that each refund carries is stated
// once.
func (c *Client) listRefunds(ctx context.Context, p *sdk.RefundListParams) ([]payment.Observation, error) {
	if c.cfg.ConnectedAccount != "" {
		p.SetStripeAccount(c.cfg.ConnectedAccount)
	}
	p.Limit = sdk.Int64(100)
	p.Single = true
	var facts []payment.Observation
	stated := map[string]bool{}
	for {
		answer, err := c.refundsPage(ctx, p)
		if err != nil {
			return nil, outcome("list refunds", err)
		}
		page, err := reply[struct {
			Object  string   `json:"object"`
			Data    []refund `json:"data"`
			HasMore bool     `json:"has_more"`
		}](answer)
		if err != nil {
			return nil, err
		}
		if page.Object != "list" {
			// An empty list says that nothing was refunded; anything else does not.
			return nil, fmt.Errorf("stripe: asked for refunds, got a %q", page.Object)
		}
		for _, r := range page.Data {
			more, err := c.refundFacts(r)
			if err != nil {
				return nil, err
			}
			for _, o := range more {
				if o.Kind == payment.KindPayment && stated[o.PaymentID] {
					continue
				}
				stated[o.PaymentID] = stated[o.PaymentID] || o.Kind == payment.KindPayment
				facts = append(facts, o)
			}
		}
		if !page.HasMore || len(page.Data) == 0 {
			return facts, nil
		}
		p.StartingAfter = sdk.String(page.Data[len(page.Data)-1].ID)
	}
}
