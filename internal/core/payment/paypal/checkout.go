package paypal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"proofroom/internal/core/payment"
)

const (
	// Nobody reads more lines; the rest is one line.
	maxLines = 100
	maxText  = 127
)

type createRequest struct {
	Intent  string        `json:"intent"`
	Units   []unitRequest `json:"purchase_units"`
	Payment struct {
		PayPal wallet `json:"paypal"`
	} `json:"payment_source"`
}

type unitRequest struct {
	ReferenceID string     `json:"reference_id"`
	CustomID    string     `json:"custom_id"`
	InvoiceID   string     `json:"invoice_id"`
	Description string     `json:"description,omitempty"`
	Amount      unitAmount `json:"amount"`
	Items       []item     `json:"items"`
}

type unitAmount struct {
	amount
	Breakdown struct {
		ItemTotal amount `json:"item_total"`
	} `json:"breakdown"`
}

type item struct {
	Name     string `json:"name"`
	Quantity string `json:"quantity"`
	Price    amount `json:"unit_amount"`
	Category string `json:"category"`
}

type wallet struct {
	Email   string     `json:"email_address,omitempty"`
	Context experience `json:"experience_context"`
}

type experience struct {
	ReturnURL  string `json:"return_url"`
	CancelURL  string `json:"cancel_url"`
	UserAction string `json:"user_action"`
	Shipping   string `json:"shipping_preference"`
	Preference string `json:"payment_method_preference"`
}

// CreateCheckout implements payment.Provider. PayPal's page has no end of its
// own: the one in the answer is ours, and holds because nothing is captured after
// it. PayPal appends token and PayerID to the return addresses.
func (c *Client) CreateCheckout(ctx context.Context, in payment.CheckoutRequest) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	req, err := createBody(in)
	if err != nil {
		return payment.Checkout{}, &payment.RejectedError{Provider: Name, Code: "amount", Message: err.Error()}
	}
	const what = "create a checkout page"
	var made order
	repeated, err := c.post(ctx, what, "/v2/checkout/orders", in.AttemptID.String(), req, &made)
	if refused(err) == issueDuplicate {
		// Only a captured order makes an invoice number used: PayPal forgot our key,
		// and an earlier page of this attempt was paid.
		return payment.Checkout{}, fmt.Errorf("paypal: %s: an earlier page of attempt %s was paid: %w", what, in.AttemptID, payment.ErrStored)
	}
	if err != nil {
		return payment.Checkout{}, err
	}
	found := made
	if repeated {
		// A repeated call may be answered with the order as it was.
		if found, err = c.order(ctx, made.ID); err != nil {
			return payment.Checkout{}, err
		}
		found.Links = append(found.Links, made.Links...)
	}
	out, err := c.checkout(found)
	out.ExpiresAt = in.ExpiresAt.UTC()
	return out, err
}

func createBody(in payment.CheckoutRequest) (createRequest, error) {
	total, ok := sum(in.Lines)
	if !ok || len(in.Lines) == 0 {
		return createRequest{}, errors.New("a checkout page needs lines with prices that can be added up")
	}
	wire, err := toWire(in.Currency, total)
	if err != nil {
		return createRequest{}, err
	}
	unit := unitRequest{
		ReferenceID: in.OrderID.String(), CustomID: in.AttemptID.String(), InvoiceID: in.AttemptID.String(),
		Amount: unitAmount{amount: wire},
	}
	unit.Amount.Breakdown.ItemTotal = wire
	if in.Description != "" {
		unit.Description = clean(in.Description)
	}
	for _, l := range fold(in.Lines) {
		price, err := toWire(in.Currency, l.Price)
		if err != nil {
			return createRequest{}, err
		}
		unit.Items = append(unit.Items, item{Name: clean(l.Name), Quantity: "1", Price: price, Category: "DIGITAL_GOODS"})
	}
	req := createRequest{Intent: "CAPTURE", Units: []unitRequest{unit}}
	req.Payment.PayPal = wallet{Email: in.Email, Context: experience{
		ReturnURL: in.SuccessURL, CancelURL: in.CancelURL,
		UserAction: "PAY_NOW", Shipping: "NO_SHIPPING",
		// A photograph is delivered at once, so money that takes days is not asked
		// for. Money can be pending all the same.
		Preference: "IMMEDIATE_PAYMENT_REQUIRED",
	}}
	return req, nil
}

// fold makes one line of those beyond what a page shows.
func fold(lines []payment.CheckoutLine) []payment.CheckoutLine {
	if len(lines) <= maxLines {
		return lines
	}
	rest := payment.CheckoutLine{Name: fmt.Sprintf("%d more items", len(lines)-maxLines+1)}
	for _, l := range lines[maxLines-1:] {
		rest.Price += l.Price
	}
	return append(slices.Clone(lines[:maxLines-1]), rest)
}

// clean makes a text that PayPal takes: valid UTF-8, not empty, not endless.
func clean(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if s == "" {
		return "Item"
	}
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText-1]) + "…"
	}
	return s
}

// FetchCheckout implements payment.Provider.
func (c *Client) FetchCheckout(ctx context.Context, ref string) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	found, err := c.order(ctx, ref)
	if err != nil {
		return payment.Checkout{}, err
	}
	return c.checkout(found)
}

// CloseCheckout implements payment.Provider. PayPal has nothing to close: a page
// takes no money until we capture, and what is closed is never captured. So the
// answer is our own mark, unless money was taken meanwhile.
func (c *Client) CloseCheckout(ctx context.Context, ref, _ string) (payment.Checkout, error) {
	ctx, cancel, err := c.begin(ctx)
	if err != nil {
		return payment.Checkout{}, err
	}
	defer cancel()
	found, err := c.order(ctx, ref)
	if err != nil {
		return payment.Checkout{}, err
	}
	facts, err := c.orderFacts(found)
	if err != nil {
		return payment.Checkout{}, err
	}
	if s := facts[0].Status; s == payment.AttemptOpen || s == payment.AttemptApproved {
		facts[0].Status = payment.AttemptClosed
	}
	return payment.Checkout{Ref: found.ID, Facts: facts}, nil
}

// order fetches an order.
func (c *Client) order(ctx context.Context, id string) (order, error) {
	if err := checkID("reference to an order", id); err != nil {
		return order{}, err
	}
	var o order
	if err := c.get(ctx, "fetch an order", "/v2/checkout/orders/"+id, &o); err != nil {
		return order{}, err
	}
	if o.ID != id {
		return order{}, fmt.Errorf("paypal: asked for the order %s, got %q", id, payment.Clip(o.ID, 200))
	}
	return o, nil
}

func (c *Client) checkout(o order) (payment.Checkout, error) {
	facts, err := c.orderFacts(o)
	if err != nil {
		return payment.Checkout{}, err
	}
	out := payment.Checkout{Ref: o.ID, Facts: facts}
	switch facts[0].Status {
	case payment.AttemptOpen:
		// That the page is open is said by Open; a fact says more than that.
		out.Open, out.URL, out.Facts = true, payerLink(o.Links), facts[1:]
		if out.URL == "" {
			return payment.Checkout{}, fmt.Errorf("paypal sent the open order %s without a page for the payer", o.ID)
		}
	case payment.AttemptApproved:
		// Where PayPal still names the page, the payer may choose another way to pay.
		out.URL = payerLink(o.Links)
		out.Open = out.URL != ""
	}
	return out, nil
}

// payerLink is the address of the page. It is called payer-action when the order
// names how it is to be paid, else approve.
func payerLink(links []link) string {
	for _, rel := range []string{"payer-action", "approve"} {
		for _, l := range links {
			if l.Rel == rel && payment.OnTheWeb(l.Href) {
				return l.Href
			}
		}
	}
	return ""
}
