package flutterwave

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"proofroom/internal/core/payment"
)

const (
	// longest is the longest session_duration that Flutterwave takes.
	longest = 1440 * time.Minute
	// tries is how often a payer may fail on one page; more is somebody who
	// tries out card numbers.
	tries = 5
	// maxTitle is where the page's title is cut: nobody reads a longer one.
	maxTitle = 100
)

// pageRequest is the body of POST /v3/payments. What is not listed here, such as
// payment_options, is left to the dashboard's settings.
type pageRequest struct {
	TxRef          string            `json:"tx_ref"`
	Amount         json.Number       `json:"amount"`
	Currency       string            `json:"currency"` // NGN when left out
	RedirectURL    string            `json:"redirect_url"`
	Customer       customer          `json:"customer"`
	Meta           map[string]string `json:"meta"`
	Configurations configurations    `json:"configurations"`
	Customizations customizations    `json:"customizations"`
}

type customer struct {
	Email string `json:"email"`
}

type configurations struct {
	SessionDuration int64 `json:"session_duration"` // minutes
	MaxRetryAttempt int   `json:"max_retry_attempt"`
}

type customizations struct {
	Title string `json:"title"`
}

// CreateCheckout implements payment.Provider. Each call makes another page of
// the same attempt: all of them take money for it. The payer's browser always
// returns to SuccessURL, also after giving up.
func (c *Client) CreateCheckout(ctx context.Context, in payment.CheckoutRequest) (payment.Checkout, error) {
	now := c.now()
	body, err := newPage(in, now)
	if err != nil {
		return payment.Checkout{}, err
	}
	var page struct {
		Link string `json:"link"`
	}
	const what = "create a checkout page"
	if err := c.post(ctx, what, "/payments", body, &page); err != nil {
		return payment.Checkout{}, err
	}
	if !payment.OnTheWeb(page.Link) {
		return payment.Checkout{}, fmt.Errorf("flutterwave: %s: the outcome is unknown, the answer has no link", what)
	}
	return payment.Checkout{
		Ref: body.TxRef, URL: page.Link, Open: true,
		ExpiresAt: now.Add(time.Duration(body.Configurations.SessionDuration) * time.Minute).Truncate(time.Second).UTC(),
	}, nil
}

func newPage(in payment.CheckoutRequest, now time.Time) (pageRequest, error) {
	reject := func(code, why string) (pageRequest, error) {
		return pageRequest{}, &payment.RejectedError{Provider: Name, Code: code, Message: why}
	}
	if in.Email == "" {
		return reject("email", "a checkout page needs the payer's e-mail address")
	}
	var total int64
	for _, l := range in.Lines {
		if l.Price < 0 || l.Price > maximum-total {
			return reject("amount", "the lines' prices are no amount that can be charged")
		}
		total += l.Price
	}
	amount, err := toWire(in.Currency, total)
	if err != nil {
		return reject("amount", err.Error())
	}
	life := min(in.ExpiresAt.Sub(now), longest).Truncate(time.Minute)
	if life <= 0 {
		return reject("expired", "the checkout page would be over before it begins")
	}
	return pageRequest{
		TxRef: in.AttemptID.String(), Amount: amount, Currency: in.Currency, RedirectURL: in.SuccessURL,
		Customer:       customer{Email: in.Email},
		Meta:           map[string]string{"attempt_id": in.AttemptID.String(), "order_id": in.OrderID.String()},
		Configurations: configurations{SessionDuration: int64(life / time.Minute), MaxRetryAttempt: tries},
		Customizations: customizations{Title: title(in)},
	}, nil
}

// title is what the page is headed with: valid, not empty, not endless.
func title(in payment.CheckoutRequest) string {
	for _, s := range []string{in.Description, lineName(in.Lines)} {
		if s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")); s != "" {
			return payment.Clip(s, maxTitle)
		}
	}
	return "Order"
}

func lineName(lines []payment.CheckoutLine) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Name
}

// FetchCheckout implements payment.Provider. Flutterwave tells what was paid
// under a tx_ref and nothing about its pages: without a payment, or with failed
// ones only, the page is open as far as anybody can say, and its URL is not told.
func (c *Client) FetchCheckout(ctx context.Context, ref string) (payment.Checkout, error) {
	return c.found(ctx, ref, payment.AttemptOpen)
}

// CloseCheckout implements payment.Provider: it disables the link, then looks
// what was paid. A payment that is under way leaves the attempt processing.
func (c *Client) CloseCheckout(ctx context.Context, ref, link string) (payment.Checkout, error) {
	if link == "" {
		return payment.Checkout{}, fmt.Errorf("flutterwave: the address of the page %s is not known, so it cannot be closed", payment.Clip(ref, 64))
	}
	var off json.RawMessage
	err := c.post(ctx, "disable a checkout page", "/payments/link/disable", map[string]string{"link": link}, &off)
	var rejected *payment.RejectedError
	if errors.As(err, &rejected) && strings.Contains(strings.ToLower(rejected.Message), "inactive") {
		err = nil // it was closed before
	}
	if err != nil && rejected == nil {
		return payment.Checkout{}, err
	}
	page, fetchErr := c.found(ctx, ref, payment.AttemptClosed)
	if fetchErr != nil {
		return payment.Checkout{}, fetchErr
	}
	if err != nil && len(page.Facts) > 0 && page.Facts[0].Status == payment.AttemptClosed {
		// A page that may still be open, and nothing paid: nobody knows it closed.
		return payment.Checkout{}, err
	}
	return page, nil
}

// found describes a page by its payments; unpaid is the attempt's status when
// none of them succeeded or is under way.
func (c *Client) found(ctx context.Context, ref, unpaid string) (payment.Checkout, error) {
	payments, err := c.paidUnder(ctx, ref)
	if err != nil {
		return payment.Checkout{}, err
	}
	attempt := c.observation(payment.KindAttempt, unpaid, "")
	attempt.AttemptID, attempt.Ref = ownID(ref), ref
	for _, o := range payments {
		switch o.Status {
		case payment.PaymentSucceeded:
			attempt.Status = payment.AttemptSucceeded
		case payment.PaymentPending:
			if attempt.Status == unpaid {
				attempt.Status = payment.AttemptProcessing
			}
		}
	}
	out := payment.Checkout{Ref: ref, Open: attempt.Status == payment.AttemptOpen, Facts: payments}
	if !out.Open {
		// That the page is open is said by Open; a fact says more than that.
		out.Facts = append([]payment.Observation{attempt}, payments...)
	}
	return out, nil
}

// paidUnder finds every transaction of a tx_ref. One endpoint knows one of them
// at once, another all of them, perhaps later: together they leave none out.
func (c *Client) paidUnder(ctx context.Context, ref string) ([]payment.Observation, error) {
	const what = "fetch the payments of a page"
	var facts []payment.Observation
	at := map[string]int{}
	take := func(t transaction) (bool, error) {
		if guardAsked.On() && t.TxRef != ref {
			return false, nil
		}
		o, err := c.paymentFact(t)
		if err != nil {
			return false, err
		}
		switch i, known := at[o.PaymentID]; {
		case !known:
			at[o.PaymentID] = len(facts)
			facts = append(facts, o)
		case payment.Advances(payment.KindPayment, facts[i].Status, o.Status):
			facts[i] = o
		}
		return false, nil
	}
	var one transaction
	_, err := c.get(ctx, what, "/transactions/verify_by_reference", url.Values{"tx_ref": {ref}}, &one)
	if err == nil {
		_, err = take(one)
	}
	if err != nil && !errors.Is(err, payment.ErrNotFound) {
		return nil, err
	}
	if err := pages(ctx, c, what, "/transactions", url.Values{"tx_ref": {ref}}, take); err != nil {
		return nil, err
	}
	return facts, nil
}
