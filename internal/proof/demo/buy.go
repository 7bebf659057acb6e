package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"sync"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/twin"
)

const (
	buyersAtOnce = 8
	toldErrors   = 5
	settleTime   = 20 * time.Second
	eachShelf    = 5 // photographs of each event, so that an order can have five lines

	sales      = 216
	accounts   = 6 // each buys once in each event; everybody else is a guest
	perAccount = 3
)

// fault is what the provider does to one sale.
type fault string

const (
	none       fault = ""
	duplicate  fault = "duplicate"
	reorder    fault = "reorder"
	lostReturn fault = "lost, healed by the browser's return"
	lostPoll   fault = "lost, healed by the poller"
)

// faulty is how many sales suffer each fault, in this order after the accounts'.
var faulty = []struct {
	fault fault
	sales int
}{{duplicate, 24}, {reorder, 24}, {lostReturn, 12}, {lostPoll, 12}}

func (f fault) events() []twin.Fault {
	switch f {
	case duplicate:
		return []twin.Fault{twin.Duplicate}
	case reorder:
		return []twin.Fault{twin.Reorder}
	case lostReturn, lostPoll:
		return []twin.Fault{twin.Silence}
	default:
		return nil
	}
}

// sale is one order from the buyer's side. One goroutine at a time works on it.
type sale struct {
	n      int
	shelf  *shelf
	photos []stockPhoto // none: the whole event
	fault  fault
	token  string // the buyer's; empty: a guest to come

	orderID uuid.UUID
	session string // the provider's page
}

// first is a photograph that the sale is about.
func (s *sale) first() stockPhoto {
	if len(s.photos) == 0 {
		return s.shelf.Photos[0]
	}
	return s.photos[0]
}

// plan spreads sales over events, sizes and faults, the same way each time.
func plan(shelves []shelf, tokens []string) []*sale {
	var faults []fault
	for range len(tokens) * perAccount {
		faults = append(faults, none)
	}
	for _, f := range faulty {
		for range f.sales {
			faults = append(faults, f.fault)
		}
	}
	var out []*sale
	for n := range sales {
		s := &sale{n: n, shelf: &shelves[n%len(shelves)]}
		if n < len(faults) {
			s.fault = faults[n]
		}
		if n < len(tokens)*perAccount {
			s.token = tokens[n/perAccount]
		}
		round := n / len(shelves)
		if round%12 != 11 {
			size := 1 + round%eachShelf
			for i := range size {
				s.photos = append(s.photos, s.shelf.Photos[(round+i)%eachShelf])
			}
		}
		out = append(out, s)
	}
	return out
}

// order checks out, and for some sales once more with the same key, which must
// change nothing.
func (s *sale) order(ctx context.Context, shop *api) error {
	if s.token == "" {
		var guest struct{ Token string }
		if err := shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/guest-sessions", call{}, &guest); err != nil {
			return err
		}
		s.token = guest.Token
	}
	quote, err := catalog.QuoteFor(s.shelf.prices, len(s.photos), len(s.photos) == 0)
	if err != nil {
		return err
	}
	body := map[string]any{
		"event_id": s.shelf.ID, "total": quote.Total, "currency": quote.Currency,
		"email": fmt.Sprintf("buyer-%d@example.com", s.n),
	}
	if s.shelf.code != "" {
		body["access_code"] = s.shelf.code
	}
	if len(s.photos) == 0 {
		body["whole_event"] = true
	} else {
		ids := make([]uuid.UUID, len(s.photos))
		for i, p := range s.photos {
			ids[i] = p.ID
		}
		body["photos"] = ids
	}
	c := call{token: s.token, key: fmt.Sprintf("sale-%d", s.n), body: body}
	got, err := shop.do(ctx, http.MethodPost, "/api/v1/checkouts", c)
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated {
		return got.unexpected("check out")
	}
	var made struct {
		OrderID uuid.UUID `json:"order_id"`
		URL     string    `json:"url"`
	}
	if err := got.into(&made); err != nil {
		return err
	}
	page, err := url.Parse(made.URL)
	if err != nil || made.URL == "" {
		return fmt.Errorf("order %s has no page to pay on", made.OrderID)
	}
	s.orderID, s.session = made.OrderID, path.Base(page.Path)
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

// pay pays as a person on the provider's page would. Whose webhooks are lost may
// come back to the shop, which then asks the provider.
func (s *sale) pay(ctx context.Context, shop *api, provider *twin.Control) error {
	res, err := provider.Pay(ctx, s.session, twin.PayRequest{Faults: s.fault.events()})
	if err != nil {
		return err
	}
	if res.Outcome != "paid" {
		return fmt.Errorf("order %s: the payment is %s", s.orderID, res.Outcome)
	}
	if s.fault != lostReturn {
		return nil
	}
	state, err := s.state(ctx, shop, http.MethodPost, "/refresh")
	if err == nil && state != "paid" {
		err = fmt.Errorf("order %s is %s after the browser came back, not paid", s.orderID, state)
	}
	return err
}

// state asks the shop what state the order is in.
func (s *sale) state(ctx context.Context, shop *api, method, suffix string) (string, error) {
	var o struct{ State string }
	err := shop.want(ctx, http.StatusOK, method, "/api/v1/orders/"+s.orderID.String()+suffix, call{token: s.token}, &o)
	return o.State, err
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
	err := shop.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/accounts",
		call{body: map[string]any{"email": email, "name": fmt.Sprintf("Buyer %d", n), "password": password}}, nil)
	if err != nil {
		return "", err
	}
	signedIn, err := shop.do(ctx, http.MethodPost, "/api/v1/sessions", call{body: map[string]any{"email": email, "password": password}})
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
		call{cookie: cookie.Name + "=" + cookie.Value, body: map[string]any{"name": "demo"}}, &made)
	return made.Token, err
}
