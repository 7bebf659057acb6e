package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/core/payment"
)

const (
	// Stripe takes at most 100 lines on a page.
	maxLines = 100
	// Longer names are cut: Stripe refuses very long ones, and nobody reads them.
	maxName = 200

	sessionIDPlaceholder = "{CHECKOUT_SESSION_ID}"
)

// CreateCheckout implements payment.Provider. Stripe wants ExpiresAt between 30
// minutes and 24 hours ahead when the request arrives, so leave slack for a
// repeated call: an hour is a good choice. SuccessURL gets the session's id as
// the query parameter session_id.
func (c *Client) CreateCheckout(ctx context.Context, in payment.CheckoutRequest) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	p, err := createParams(in)
	if err != nil {
		return payment.Checkout{}, &payment.RejectedError{Provider: Name, Code: "amount", Message: err.Error()}
	}
	c.address(&p.Params)
	p.SetIdempotencyKey(in.AttemptID.String())
	s, err := c.api.V1CheckoutSessions.Create(ctx, p)
	if err != nil {
		return payment.Checkout{}, outcome("create a checkout page", err)
	}
	if replayed(s.LastResponse) {
		// A replay is the answer of the first call, word for word. The page may
		// have been paid or have expired since.
		return c.retrieve(ctx, s.ID)
	}
	return c.checkout(s)
}

func createParams(in payment.CheckoutRequest) (*sdk.CheckoutSessionCreateParams, error) {
	lines, err := lineItems(in)
	if err != nil {
		return nil, err
	}
	meta := func() map[string]string {
		return map[string]string{metaAttempt: in.AttemptID.String(), metaOrder: in.OrderID.String()}
	}
	p := &sdk.CheckoutSessionCreateParams{
		Mode:              sdk.String("payment"),
		LineItems:         lines,
		ClientReferenceID: sdk.String(in.OrderID.String()),
		Metadata:          meta(),
		// Stripe copies the session's metadata nowhere; payment events need it too.
		PaymentIntentData: &sdk.CheckoutSessionCreatePaymentIntentDataParams{
			Metadata:      meta(),
			TransferGroup: sdk.String(in.OrderID.String()),
		},
		SuccessURL: sdk.String(withSessionID(in.SuccessURL)),
		CancelURL:  sdk.String(in.CancelURL),
		ExpiresAt:  sdk.Int64(in.ExpiresAt.Unix()),
	}
	if in.Description != "" {
		p.PaymentIntentData.Description = sdk.String(clean(in.Description))
	}
	if in.Email != "" {
		p.CustomerEmail = sdk.String(in.Email)
	}
	return p, nil
}

func lineItems(in payment.CheckoutRequest) ([]*sdk.CheckoutSessionCreateLineItemParams, error) {
	if len(in.Lines) == 0 {
		return nil, errors.New("a checkout page needs a line")
	}
	lines := in.Lines
	if len(lines) > maxLines {
		rest := payment.CheckoutLine{Name: fmt.Sprintf("%d more items", len(lines)-maxLines+1)}
		for _, l := range lines[maxLines-1:] {
			rest.Price += l.Price
		}
		lines = append(lines[:maxLines-1:maxLines-1], rest)
	}
	out := make([]*sdk.CheckoutSessionCreateLineItemParams, 0, len(lines))
	for _, l := range lines {
		wire, err := toWire(in.Currency, l.Price)
		if err != nil {
			return nil, err
		}
		out = append(out, &sdk.CheckoutSessionCreateLineItemParams{
			Quantity: sdk.Int64(1),
			PriceData: &sdk.CheckoutSessionCreateLineItemPriceDataParams{
				Currency:   sdk.String(strings.ToLower(in.Currency)),
				UnitAmount: sdk.Int64(wire),
				ProductData: &sdk.CheckoutSessionCreateLineItemPriceDataProductDataParams{
					Name: sdk.String(clean(l.Name)),
				},
			},
		})
	}
	return out, nil
}

// clean makes a text that Stripe takes: valid UTF-8, not empty, not endless.
func clean(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if s == "" {
		return "Item"
	}
	if r := []rune(s); len(r) > maxName {
		return string(r[:maxName-1]) + "…"
	}
	return s
}

// withSessionID makes the browser bring the session's id back. Stripe fills the
// placeholder in only when its braces are not escaped.
func withSessionID(url string) string {
	if strings.Contains(url, sessionIDPlaceholder) {
		return url
	}
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	return url + sep + "session_id=" + sessionIDPlaceholder
}

// FetchCheckout implements payment.Provider.
func (c *Client) FetchCheckout(ctx context.Context, ref string) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	return c.retrieve(ctx, ref)
}

func (c *Client) retrieve(ctx context.Context, ref string) (payment.Checkout, error) {
	s, err := c.session(ctx, ref)
	if err != nil {
		return payment.Checkout{}, err
	}
	return c.checkout(s)
}

func (c *Client) session(ctx context.Context, ref string) (*sdk.CheckoutSession, error) {
	p := &sdk.CheckoutSessionRetrieveParams{}
	// Only the payment intent tells a delayed payment that failed from one that
	// is still under way.
	p.AddExpand("payment_intent")
	c.address(&p.Params)
	s, err := c.api.V1CheckoutSessions.Retrieve(ctx, ref, p)
	if err != nil {
		return nil, outcome("fetch a checkout page", err)
	}
	return s, nil
}

// CloseCheckout implements payment.Provider: it expires the session.
func (c *Client) CloseCheckout(ctx context.Context, ref, _ string) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	p := &sdk.CheckoutSessionExpireParams{}
	c.address(&p.Params)
	s, err := c.api.V1CheckoutSessions.Expire(ctx, ref, p)
	if err == nil {
		return c.checkout(s)
	}
	err = outcome("expire a checkout page", err)
	var rejected *payment.RejectedError
	if !errors.As(err, &rejected) {
		return payment.Checkout{}, err
	}
	// Only an open session can be expired, so this one is complete or expired
	// already; what it became is the answer.
	found, fetchErr := c.retrieve(ctx, ref)
	if fetchErr != nil {
		return payment.Checkout{}, fetchErr
	}
	if found.Open {
		return payment.Checkout{}, err
	}
	return found, nil
}

// checkout reads the reply's own bytes, with the parser that reads events.
func (c *Client) checkout(s *sdk.CheckoutSession) (payment.Checkout, error) {
	got, err := reply[session](s.LastResponse)
	if err != nil {
		return payment.Checkout{}, err
	}
	facts, err := c.sessionFacts(got)
	if err != nil {
		return payment.Checkout{}, err
	}
	out := payment.Checkout{
		Ref: got.ID, ExpiresAt: time.Unix(got.ExpiresAt, 0).UTC(), Open: got.Status == "open", Facts: facts,
	}
	if out.Open {
		if out.URL = got.URL; out.URL != "" && !payment.OnTheWeb(out.URL) {
			return payment.Checkout{}, fmt.Errorf("stripe sent the session %s with an address that no browser opens", got.ID)
		}
		// That the page is open is said by Open; a fact says more than that.
		out.Facts = facts[1:]
	}
	return out, nil
}

func reply[T any](r *sdk.APIResponse) (T, error) {
	var out T
	if r == nil || r.StatusCode/100 != 2 {
		return out, errors.New("stripe: the answer is no success and no error; the outcome is unknown")
	}
	if err := json.Unmarshal(r.RawJSON, &out); err != nil {
		return out, fmt.Errorf("stripe: the answer cannot be read; the outcome is unknown: %w", err)
	}
	return out, nil
}
