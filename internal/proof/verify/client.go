package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
)

// Buyer is a guest session.
type Buyer struct {
	ID    uuid.UUID
	Token string
}

// Guest starts a guest session.
func (w *World) Guest(ctx context.Context) (Buyer, error) {
	secret, g, err := w.accounts.NewGuest(ctx)
	return Buyer{ID: g.ID, Token: secret}, err
}

// Cart is what a buyer wants, with the total that the buyer was shown.
type Cart struct {
	Photos   []uuid.UUID
	Whole    bool
	Total    int64
	Provider string // empty: the first that takes it
}

// By is the same cart, paid with a provider.
func (c Cart) By(provider string) Cart {
	c.Provider = provider
	return c
}

// Cart chooses n photographs of the event.
func (w *World) Cart(n int) Cart {
	photos := slices.Clone(w.Photos)
	w.mu.Lock()
	w.Rand.Shuffle(len(photos), func(i, j int) { photos[i], photos[j] = photos[j], photos[i] })
	w.mu.Unlock()
	return Cart{Photos: photos[:n], Total: int64(n/3)*priceThree + int64(n%3)*pricePhoto}
}

// Answer is what one request was answered.
type Answer struct {
	Status   int // 0: the connection broke
	Header   http.Header
	Body     []byte
	Err      error
	From, To time.Time
}

// Code is a problem's code.
func (a Answer) Code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.Body, &p)
	return p.Code
}

// Order is the order that a good answer names.
func (a Answer) Order() uuid.UUID {
	var r struct {
		OrderID uuid.UUID `json:"order_id"`
	}
	_ = json.Unmarshal(a.Body, &r)
	return r.OrderID
}

// Page is the provider's id of the page that a good answer sends the payer to:
// the end of its address. Empty: there is none to pay.
func (a Answer) Page() string {
	var r struct{ URL string }
	_ = json.Unmarshal(a.Body, &r)
	return r.URL[strings.LastIndex(r.URL, "/")+1:]
}

// Into reads a good answer.
func (a Answer) Into(v any) error {
	if !a.good() {
		return fmt.Errorf("answered %s", a)
	}
	return json.Unmarshal(a.Body, v)
}

func (a Answer) good() bool { return a.Status >= 200 && a.Status < 300 }

// unknown reports whether the answer leaves the client not knowing.
func (a Answer) unknown() bool { return a.Status == 0 || a.Status >= 500 }

func (a Answer) String() string {
	if a.Err != nil {
		return a.Err.Error()
	}
	return fmt.Sprintf("%d %s", a.Status, bytes.TrimSpace(a.Body))
}

// Call makes one request as whoever has the token.
func (w *World) Call(ctx context.Context, i *Instance, method, path, token, key string, body any) (a Answer) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Answer{Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, method, i.URL+path, bytes.NewReader(raw))
	if err != nil {
		return Answer{Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	// Each buyer comes from an address of their own, as in life.
	req.Header.Set("X-Forwarded-For", addressOf(token))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	a.From = time.Now()
	defer func() { a.To = time.Now() }()
	w.Count(Requests, 1)
	res, err := w.http.Do(req)
	if err != nil {
		a.Err = err
	} else {
		defer func() { _ = res.Body.Close() }()
		if a.Body, a.Err = io.ReadAll(res.Body); a.Err == nil {
			a.Status, a.Header = res.StatusCode, res.Header
		}
	}
	if a.unknown() {
		w.Count(Indeterminate, 1)
	}
	return a
}

// addressOf is the address of whoever has a token.
func addressOf(token string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(token))
	n := h.Sum32()
	return fmt.Sprintf("10.%d.%d.%d", byte(n>>16), byte(n>>8), byte(n))
}

// Checkout sends one checkout request and keeps what was answered.
func (w *World) Checkout(ctx context.Context, i *Instance, b Buyer, key string, c Cart) Answer {
	body := map[string]any{"event_id": w.Event, "total": c.Total, "currency": Currency, "email": "buyer@example.com"}
	if c.Whole {
		body["whole_event"] = true
	} else {
		body["photos"] = c.Photos
	}
	if c.Provider != "" {
		body["provider"] = c.Provider
	}
	a := w.Call(ctx, i, http.MethodPost, "/api/v1/checkouts", b.Token, key, body)
	w.clients.add(said{buyer: b.ID, key: key, cart: c, answer: a})
	w.Span(b.ID.String()+" "+key, a.From, a.To)
	return a
}

// Order sends a checkout request until it has an answer that stands: as a
// client does that is told to come back, or not told anything. It turns to the
// instances in order.
func (w *World) Order(ctx context.Context, b Buyer, key string, c Cart, to ...*Instance) (Answer, error) {
	var a Answer
	n := 0
	err := poll(ctx, w.Patience, "checkout "+key+" has an answer", func() (bool, error) {
		a = w.Checkout(ctx, to[n%len(to)], b, key, c)
		n++
		return !a.unknown() && a.Status != http.StatusConflict && a.Status != http.StatusTooManyRequests, nil
	})
	if err != nil {
		return a, fmt.Errorf("%w (last: %s)", err, a)
	}
	return a, nil
}

// NewOrder makes a new buyer's order of n photographs on some instance, to be
// paid with Stripe.
func (w *World) NewOrder(ctx context.Context, n int) (Buyer, uuid.UUID, error) {
	return w.NewOrderBy(ctx, twin.Stripe, n)
}

// NewOrderBy is NewOrder with another provider.
func (w *World) NewOrderBy(ctx context.Context, provider string, n int) (Buyer, uuid.UUID, error) {
	b, err := w.Guest(ctx)
	if err != nil {
		return b, uuid.Nil, err
	}
	a, err := w.Order(ctx, b, "order-"+id.Short(12), w.Cart(n).By(provider), w.alive()...)
	if err == nil && a.Status != http.StatusCreated {
		err = fmt.Errorf("a checkout was answered %s", a)
	}
	return b, a.Order(), err
}

// alive lists the instances of the start that still run.
func (w *World) alive() []*Instance {
	var out []*Instance
	for _, i := range w.Instances {
		if i.Alive() {
			out = append(out, i)
		}
	}
	return out
}

// Refund asks for an order's money to go back, as the operator.
func (w *World) Refund(ctx context.Context, i *Instance, orderID uuid.UUID) Answer {
	return w.Call(ctx, i, http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refunds", w.Operator, id.New().String(), map[string]any{"reason": "asked for it"})
}

// Page is the one page of an order at its provider.
func (w *World) Page(ctx context.Context, orderID uuid.UUID) (twin.PageView, error) {
	pages, err := w.Pages(ctx, orderID)
	if err != nil {
		return twin.PageView{}, err
	}
	if len(pages) == 0 {
		return twin.PageView{}, fmt.Errorf("order %s has no page at a provider", orderID)
	}
	w.Check(len(pages) == 1, "order %s has %d pages at its provider", orderID, len(pages))
	return pages[0], nil
}

// Pages are all pages of an order, by its attempts: not every provider is told
// the order.
func (w *World) Pages(ctx context.Context, orderID uuid.UUID) ([]twin.PageView, error) {
	rows, _ := w.DB.Query(ctx, `SELECT id::text FROM attempts WHERE order_id = $1 ORDER BY ordinal`, orderID)
	attempts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []twin.PageView
	for _, a := range attempts {
		pages, err := w.Twin.Pages(ctx, twin.PageFilter{AttemptID: a})
		if err != nil {
			return nil, err
		}
		out = append(out, pages...)
	}
	return out, nil
}

// PageAt is a page by the provider's name of it.
func (w *World) PageAt(ctx context.Context, ref string) (twin.PageView, error) {
	pages, err := w.Twin.Pages(ctx, twin.PageFilter{Ref: ref})
	if err != nil {
		return twin.PageView{}, err
	}
	if len(pages) != 1 {
		return twin.PageView{}, fmt.Errorf("there are %d pages %s at the providers", len(pages), ref)
	}
	return pages[0], nil
}

// Pay pays an order's page. Its webhooks suffer the faults.
func (w *World) Pay(ctx context.Context, orderID uuid.UUID, r twin.PayRequest) (twin.PayResult, error) {
	page, err := w.Page(ctx, orderID)
	if err != nil {
		return twin.PayResult{}, err
	}
	return w.Twin.Pay(ctx, page.Ref, r)
}

// PayAll pays every page that still can be paid, as payers do who were sent
// more than one.
func (w *World) PayAll(ctx context.Context) error {
	pages, err := w.Twin.Pages(ctx, twin.PageFilter{Status: twin.PageOpen})
	if err != nil {
		return err
	}
	for _, p := range pages {
		if _, err := w.Twin.Pay(ctx, p.Ref, twin.PayRequest{}); err != nil {
			return err
		}
	}
	return nil
}

// EventOf finds the event of a type that a payment made.
func (w *World) EventOf(ctx context.Context, session, kind string) (string, error) {
	events, err := w.Twin.Events(ctx, twin.EventFilter{Type: kind, Ref: session})
	if err != nil {
		return "", err
	}
	if len(events) == 0 {
		return "", fmt.Errorf("the provider made no %s for %s", kind, session)
	}
	return events[len(events)-1].ID, nil
}

// Redeliver sends an event to the instances, many times at once, and notes that
// these sendings overlapped.
func (w *World) Redeliver(ctx context.Context, event string, times int, to ...*Instance) ([]twin.Delivered, error) {
	ev, err := w.Twin.Event(ctx, event)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, i := range to {
		urls = append(urls, i.Webhooks(ev.Provider))
	}
	got, err := w.Twin.Redeliver(ctx, event, twin.Redelivery{Times: times, URLs: urls, Secret: Secret(ev.Provider)})
	w.Count(Deliveries, len(got))
	for _, d := range got {
		w.Span(event, d.At, d.At.Add(time.Duration(d.Millis)*time.Millisecond+time.Millisecond))
	}
	return got, err
}

// clientLog is what clients were answered, for I11: the truth is judged against
// what was said, not against what the server thinks that it said.
type clientLog struct {
	mu   sync.Mutex
	said []said
}

type said struct {
	buyer  uuid.UUID
	key    string
	cart   Cart
	answer Answer
}

func (l *clientLog) add(s said) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, s)
}

func (l *clientLog) all() []said {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.said)
}

// All runs n functions at once and returns when all have returned.
func All(n int, do func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

// Wait lets time pass, and reports whether it did before ctx ended.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
