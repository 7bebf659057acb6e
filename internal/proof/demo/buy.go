package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/twin"
)

const (
	buyersAtOnce = 8
	toldErrors   = 5
	settleTime   = 30 * time.Second
	eachShelf    = 5 // photographs of each event that are sold, so that an order can have five lines

	sales      = 216
	accounts   = 6 // each buys once in each event; everybody else is a guest
	perAccount = 3
)

// as makes a call the buyer's own: each comes from an address of their own, as a
// proxy tells it.
func (s *sale) as(c call) call {
	c.token, c.from = s.token, address(s.n)
	return c
}

// address is where the nth buyer comes from.
func address(n int) string { return fmt.Sprintf("10.1.%d.%d", n/250, 1+n%250) }

// order checks out, and for some sales once more with the same key, which must
// change nothing.
func (s *sale) order(ctx context.Context, shop *api) error {
	if s.token == "" {
		var guest struct{ Token string }
		if err := shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/guest-sessions", s.as(call{}), &guest); err != nil {
			return err
		}
		s.token = guest.Token
	}
	body, err := s.cart()
	if err != nil {
		return err
	}
	c := s.as(call{key: fmt.Sprintf("sale-%d", s.n), body: body})
	got, err := shop.do(ctx, http.MethodPost, "/api/v1/checkouts", c)
	if err == nil && s.story == forked && got.status == http.StatusServiceUnavailable {
		got, err = shop.do(ctx, http.MethodPost, "/api/v1/checkouts", c) // as the answer says
	}
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated {
		return got.unexpected("check out")
	}
	var made struct {
		OrderID  uuid.UUID `json:"order_id"`
		Provider string    `json:"provider"`
		URL      string    `json:"url"`
	}
	if err := got.into(&made); err != nil {
		return err
	}
	s.orderID, s.page = made.OrderID, pageAt(made.URL)
	if s.page == "" || made.Provider != s.provider {
		return fmt.Errorf("order %s has no page to pay on at %s", made.OrderID, s.provider)
	}
	if s.n%8 != 0 {
		return nil
	}
	again, err := shop.do(ctx, http.MethodPost, "/api/v1/checkouts", c)
	if err != nil {
		return err
	}
	if again.status != got.status || !bytes.Equal(again.body, got.body) || again.header.Get("Idempotency-Replayed") != "true" {
		return fmt.Errorf("order %s: the same request with the same key got another answer", s.orderID)
	}
	return nil
}

// cart is the body of the sale's checkout.
func (s *sale) cart() (map[string]any, error) {
	quote, err := catalog.QuoteFor(s.shelf.prices, len(s.photos), len(s.photos) == 0)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"event_id": s.shelf.ID, "total": quote.Total, "currency": quote.Currency, "provider": s.provider,
		"email": fmt.Sprintf("buyer-%d@example.com", s.n),
	}
	if s.shelf.code != "" {
		body["access_code"] = s.shelf.code
	}
	if len(s.photos) == 0 {
		body["whole_event"] = true
		return body, nil
	}
	ids := make([]uuid.UUID, len(s.photos))
	for i, p := range s.photos {
		ids[i] = p.ID
	}
	body["photos"] = ids
	return body, nil
}

// pageAt is the page's id at its provider, by its address: PayPal's is a
// parameter, the others end with it.
func pageAt(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	if token := u.Query().Get("token"); token != "" {
		return token
	}
	return path.Base(u.Path)
}

// pay pays as a person on the provider's page would. Whose webhooks are lost may
// come back to the shop, which then asks the provider.
func (s *sale) pay(ctx context.Context, shop *api, provider *twin.Control) error {
	faults := s.story.faults()
	// At Flutterwave a payment has one message, which only another try overtakes.
	if s.story == declined || s.story == reorder && s.provider == twin.Flutterwave {
		if err := s.try(ctx, provider, twin.PayRequest{Method: twin.MethodDecline, Faults: faults}); err != nil {
			return err
		}
		if err := s.becomes(ctx, provider, twin.PageOpen); err != nil {
			return err
		}
	}
	if s.story == delayed {
		return s.payLater(ctx, provider)
	}
	if err := s.try(ctx, provider, twin.PayRequest{Faults: faults}, twin.PageApproved, twin.PagePaid); err != nil {
		return err
	}
	if s.story != lostReturn {
		return nil
	}
	state, err := s.state(ctx, shop, http.MethodPost, "/refresh")
	if err == nil && state != "paid" {
		err = fmt.Errorf("order %s is %s after the browser came back, not paid", s.orderID, state)
	}
	return err
}

// payLater pays with money that is on its way first.
func (s *sale) payLater(ctx context.Context, provider *twin.Control) error {
	if err := s.try(ctx, provider, twin.PayRequest{Method: twin.MethodDelayed}, twin.PageApproved, twin.PageProcessing); err != nil {
		return err
	}
	// PayPal's is only begun once the server has captured it.
	if err := s.becomes(ctx, provider, twin.PageProcessing); err != nil {
		return err
	}
	_, err := provider.Finish(ctx, s.page, true)
	return err
}

// try pays once. Where the outcome is not one of these, it is an error.
func (s *sale) try(ctx context.Context, provider *twin.Control, r twin.PayRequest, outcomes ...string) error {
	res, err := provider.Pay(ctx, s.page, r)
	if err != nil {
		return err
	}
	s.page = res.Page.Ref // Flutterwave's address names the link, not the page
	if len(outcomes) > 0 && !slices.Contains(outcomes, res.Outcome) {
		return fmt.Errorf("order %s: the payment at %s is %s", s.orderID, s.provider, res.Outcome)
	}
	return nil
}

// view is the page as the provider has it.
func (s *sale) view(ctx context.Context, provider *twin.Control) (twin.PageView, error) {
	pages, err := provider.Pages(ctx, twin.PageFilter{Provider: s.provider, Ref: s.page})
	if err != nil {
		return twin.PageView{}, err
	}
	if len(pages) != 1 {
		return twin.PageView{}, fmt.Errorf("order %s: %s has %d pages %s", s.orderID, s.provider, len(pages), s.page)
	}
	return pages[0], nil
}

// becomes waits until the page has a status.
func (s *sale) becomes(ctx context.Context, provider *twin.Control, status string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return until(ctx, fmt.Sprintf("the page of order %s at %s is %s", s.orderID, s.provider, status), func(ctx context.Context) (bool, error) {
		v, err := s.view(ctx, provider)
		return v.Status == status, err
	})
}

// state asks the shop what state the order is in.
func (s *sale) state(ctx context.Context, shop *api, method, suffix string) (string, error) {
	var o struct{ State string }
	err := shop.want(ctx, http.StatusOK, method, "/api/v1/orders/"+s.orderID.String()+suffix, s.as(call{}), &o)
	return o.State, err
}

// reaches waits until the shop says that the order is in one of the states.
func (s *sale) reaches(ctx context.Context, shop *api, want ...string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	last := ""
	what := fmt.Sprintf("order %s (%s, %s) is %s", s.orderID, s.provider, s.story, strings.Join(want, " or "))
	err := until(ctx, what, func(ctx context.Context) (bool, error) {
		state, err := s.state(ctx, shop, http.MethodGet, "")
		if err == nil {
			last = state
		}
		return slices.Contains(want, state), err
	})
	if err != nil && last != "" {
		err = fmt.Errorf("%w; it is %s", err, last)
	}
	return err
}

// atOnce works on all items, some at a time, and tells of the first few that went
// wrong.
func atOnce[T any](ctx context.Context, items []T, work func(context.Context, T) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	queue := make(chan T)
	for range buyersAtOnce {
		wg.Go(func() {
			for it := range queue {
				if err := work(ctx, it); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, it := range items {
		queue <- it
	}
	close(queue)
	wg.Wait()
	if n := len(errs) - toldErrors; n > 0 {
		errs = append(errs[:toldErrors], fmt.Errorf("and %d more", n))
	}
	return errors.Join(errs...)
}

// signUp makes an account as a person would and returns a token of its API.
func signUp(ctx context.Context, shop *api, n int) (string, error) {
	email, password := fmt.Sprintf("account-%d@example.com", n), fmt.Sprintf("a long password %d", n)
	from := address(n * perAccount)
	err := shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/accounts",
		call{from: from, body: map[string]any{"email": email, "name": fmt.Sprintf("Buyer %d", n), "password": password}}, nil)
	if err != nil {
		return "", err
	}
	signedIn, err := shop.do(ctx, http.MethodPost, "/api/v1/sessions", call{from: from, body: map[string]any{"email": email, "password": password}})
	if err != nil {
		return "", err
	}
	if signedIn.status != http.StatusCreated {
		return "", signedIn.unexpected("sign in")
	}
	cookie, err := http.ParseSetCookie(signedIn.header.Get("Set-Cookie"))
	if err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	var made struct{ Token string }
	err = shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/tokens",
		call{from: from, cookie: cookie.Name + "=" + cookie.Value, body: map[string]any{"name": "demo"}}, &made)
	return made.Token, err
}
