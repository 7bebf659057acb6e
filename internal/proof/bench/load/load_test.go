package load

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/proof/twin"
)

// world is the stand-in behind real HTTP, with our adapters in front of it.
type world struct {
	dir, base string
	adapters  map[string]payment.Provider
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	require.NoError(t, MakeSeal(w.dir))
	srv := httptest.NewUnstartedServer(nil)
	w.base = "http://" + srv.Listener.Addr().String()
	h, err := StandIn(w.dir, w.base)
	require.NoError(t, err)
	srv.Config.Handler = h
	srv.Start()
	t.Cleanup(srv.Close)
	pem, err := os.ReadFile(RootCA(w.dir))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	s, err := stripe.New(stripe.Config{Account: Account, SecretKey: StripeKey, WebhookSecrets: []string{StripeSecret}, BaseURL: w.base})
	require.NoError(t, err)
	p, err := paypal.New(paypal.Config{
		Account: Account, ClientID: PayPalClient, ClientSecret: PayPalSecret, WebhookID: PayPalWebhook, BaseURL: w.base + "/paypal", RootCAs: roots,
	})
	require.NoError(t, err)
	f, err := flutterwave.New(flutterwave.Config{
		Account: Account, SecretKey: FlutterwaveKey, SecretHashes: []string{FlutterwaveSecret}, BaseURL: w.base + "/flutterwave",
	})
	require.NoError(t, err)
	w.adapters = map[string]payment.Provider{Stripe: s, PayPal: p, Flutterwave: f}
	return w
}

// Our adapters take the events for genuine, and what they state, or what the
// stand-in answers about them, pays the order.
func TestEventsPayTheirOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := Set{Batch: 3, Count: 30, Mixed: true}
	sign, err := newSigner(s, w.dir, w.base)
	require.NoError(t, err)
	now := time.Now()
	for _, n := range s.Numbers() {
		a := w.adapters[s.Provider(n)]
		body := s.Body(n, now, w.base)
		header, err := sign.headers(s, n, now, body)
		require.NoError(t, err)
		r, err := a.Verify(t.Context(), now, header, body)
		require.NoError(t, err, a.Name())
		require.Equal(t, s.Object(n), r.ObjectID)
		facts := r.Facts
		if a.Name() == Stripe {
			require.Equal(t, payment.ClassFact, r.Class)
			require.Equal(t, s.EventID(n), r.EventID)
		} else {
			require.Equal(t, payment.ClassPointer, r.Class)
			facts, err = a.Fetch(t.Context(), payment.Pointer{EventType: r.EventType, ObjectID: r.ObjectID})
			require.NoError(t, err, a.Name())
		}
		paid := facts[len(facts)-1]
		require.Equal(t, payment.KindPayment, paid.Kind)
		require.Equal(t, payment.PaymentSucceeded, paid.Status)
		require.Equal(t, Gross(n), paid.Amount)
		require.Equal(t, "EUR", paid.Currency)
		require.Equal(t, ID(KindAttempt, s.Batch, n), paid.AttemptID)
		require.Equal(t, s.PaymentID(n), paid.PaymentID)
		body[len(body)/2] ^= 1
		if _, err = a.Verify(t.Context(), now, header, body); a.Name() != Flutterwave {
			require.Error(t, err, "a body that was touched is no event of %s's", a.Name())
		}
	}
	_, err = w.adapters[PayPal].Fetch(t.Context(), payment.Pointer{EventType: "PAYMENT.CAPTURE.COMPLETED", ObjectID: "P0000000000000000"})
	require.ErrorIs(t, err, payment.ErrNotFound)
	_, err = w.adapters[Flutterwave].Fetch(t.Context(), payment.Pointer{EventType: "charge.completed.successful", ObjectID: "17"})
	require.ErrorIs(t, err, payment.ErrNotFound)
}

// paths are the names of all fields of a text, with how deep they are.
func paths(t *testing.T, text []byte) []string {
	t.Helper()
	var out []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				walk(at+"."+k, x)
			}
		case []any:
			for i, x := range v {
				walk(fmt.Sprint(at, "[", i, "]"), x)
			}
		default:
			out = append(out, fmt.Sprintf("%s %T", at, v))
		}
	}
	var v any
	require.NoError(t, json.Unmarshal(text, &v), "%s", text)
	walk("", v)
	slices.Sort(out)
	return out
}

// The bodies have every field that the twins of the providers send and answer for
// a paid checkout, of the same type, and no other.
func TestBodiesAreThoseOfTheTwins(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	said := map[string][]byte{}
	note := func(name string, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		said[name] = body
	}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var ev struct {
			Type  string `json:"type"`
			Kind  string `json:"event_type"`
			Event string `json:"event"`
		}
		_ = json.Unmarshal(body, &ev)
		note(ev.Type+ev.Kind+ev.Event, body)
	}))
	t.Cleanup(hook.Close)
	tw := twin.New(twin.Config{})
	t.Cleanup(tw.Close)
	inner := tw.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		if r.Method == http.MethodGet {
			note(strings.Join(strings.Split(r.URL.Path, "/")[:4], "/"), rec.Body.Bytes())
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	t.Cleanup(srv.Close)
	c := &twin.Control{Base: srv.URL}
	require.NoError(t, c.SetEndpoints(t.Context(), twin.Endpoint{URL: hook.URL, Secret: "s"},
		twin.Endpoint{URL: hook.URL, Provider: twin.PayPal, Secret: "w"}, twin.Endpoint{URL: hook.URL, Provider: twin.Flutterwave, Secret: "h"}))
	s, err := stripe.New(stripe.Config{Account: Account, SecretKey: twin.DefaultSecretKey, WebhookSecrets: []string{"s"}, BaseURL: srv.URL})
	require.NoError(t, err)
	p, err := paypal.New(paypal.Config{Account: Account, ClientID: twin.DefaultPayPalClient, ClientSecret: twin.DefaultPayPalSecret, WebhookID: "w", BaseURL: srv.URL + "/paypal"})
	require.NoError(t, err)
	f, err := flutterwave.New(flutterwave.Config{Account: Account, SecretKey: twin.DefaultFlutterwaveKey, SecretHashes: []string{"h"}, BaseURL: srv.URL + "/flutterwave"})
	require.NoError(t, err)
	for _, a := range []payment.Provider{s, p, f} {
		in := payment.CheckoutRequest{
			AttemptID: uuid.New(), OrderID: uuid.New(), Currency: "EUR", Email: "b@example.com", Description: "Harbour run",
			Lines:      []payment.CheckoutLine{{Name: "photo-1.jpg", Price: 500}, {Name: "photo-2.jpg", Price: 500}},
			SuccessURL: "http://localhost:1/o/x?from=paid", CancelURL: "http://localhost:1/o/x?from=canceled", ExpiresAt: time.Now().Add(23 * time.Hour),
		}
		page, err := a.CreateCheckout(t.Context(), in)
		require.NoError(t, err)
		_, err = c.Pay(t.Context(), page.Ref, twin.PayRequest{})
		require.NoError(t, err)
		if taker, ok := a.(payment.Capturer); ok {
			_, err := taker.Capture(t.Context(), payment.CaptureRequest{AttemptID: in.AttemptID, Ref: page.Ref, Amount: 1000, Currency: "EUR"})
			require.NoError(t, err)
		}
		require.NoError(t, c.Quiet(t.Context(), 10*time.Second))
		paid, err := a.FetchCheckout(t.Context(), page.Ref)
		require.NoError(t, err)
		_, err = a.Fetch(t.Context(), payment.Pointer{EventType: "PAYMENT.CAPTURE.COMPLETED", ObjectID: paid.Facts[len(paid.Facts)-1].PaymentID})
		if a.Name() != Stripe {
			require.NoError(t, err)
		}
	}
	words := Set{Batch: 1, Mixed: true}.words(1, time.Now(), "http://x")
	words["payment"] = "17" // a number at Flutterwave's
	mu.Lock()
	defer mu.Unlock()
	for twins, ours := range map[string]gaps{
		"checkout.session.completed": stripeEvent, "PAYMENT.CAPTURE.COMPLETED": paypalEvent, "/paypal/v2/payments": paypalCapture,
		"charge.completed": flutterwaveEvent, "/flutterwave/v3/transactions": flutterwaveTransaction, "/flutterwave/v3/refunds": flutterwaveNone,
	} {
		require.NotEmpty(t, said[twins], twins)
		require.Equal(t, paths(t, said[twins]), paths(t, ours.fill(words)), twins)
	}
}

// Ids can be taken back, and others are nobody's.
func TestPaymentsNameTheirOrders(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2, 999} {
		s := Set{Batch: batch, Mixed: true}
		for _, n := range []int{1, 2, 4, 59_999, 1_000_001} {
			if s.Provider(n) == Stripe {
				continue
			}
			of, m, ok := orderOf(s.PaymentID(n))
			require.True(t, ok)
			require.Equal(t, n, m)
			require.Equal(t, batch, of.Batch)
		}
	}
	for _, other := range []string{"", "P", "P123", "PZZZZZZZZZZZZZZZZ", "17", "abc"} {
		_, _, ok := orderOf(other)
		require.False(t, ok, other)
	}
	require.EqualValues(t, 7, ID(KindOrder, 5, 17).Version())
	require.Equal(t, uuid.RFC4122, ID(KindOrder, 5, 17).Variant())
}

// Every order is paid once, and a tenth of the events repeat what was said before.
func TestSchedule(t *testing.T) {
	t.Parallel()
	j := Job{Events: 5000, Set: Set{Batch: 1, First: 10, Count: Orders(5000)}, Seed: 3}
	said, repeated := map[int]bool{}, 0
	for _, n := range j.schedule() {
		if said[n] {
			repeated++
		}
		said[n] = true
	}
	require.Equal(t, 500, repeated)
	require.Len(t, said, 4500)
	require.True(t, said[10])
	require.True(t, said[4509])
	require.Equal(t, j.schedule(), j.schedule())
}

// The generator sends everything over connections that it keeps, repeats what the
// server had no room for, and tells what was acknowledged.
func TestGenerator(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	bodies, from := map[string]int{}, map[string]bool{}
	put := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		if put++; put%7 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		bodies[r.URL.Path+string(body)]++
		_, _ = io.WriteString(w, `{"received":true}`)
	}))
	t.Cleanup(srv.Close)
	for name, rate := range map[string]float64{"closed": 0, "open": 20_000} {
		mu.Lock()
		clear(bodies)
		clear(from)
		mu.Unlock()
		j := Job{Addr: srv.Listener.Addr().String(), Set: Set{Batch: 1, Count: 180}, Events: 200, Clients: 4, Rate: rate, Seed: 1}
		text, err := json.Marshal(j)
		require.NoError(t, err)
		in, feed := io.Pipe()
		listen, out := io.Pipe()
		failed := make(chan error, 1)
		go func() { failed <- Serve(t.Context(), in, out); _ = out.Close() }()
		lines := bufio.NewReader(listen)
		_, err = feed.Write(append(text, '\n'))
		require.NoError(t, err)
		ready, err := lines.ReadBytes('\n')
		require.NoError(t, err)
		require.JSONEq(t, `{"ready":true}`, string(ready))
		_, err = feed.Write([]byte("go\n"))
		require.NoError(t, err)
		var r Result
		require.NoError(t, json.NewDecoder(lines).Decode(&r))
		require.NoError(t, <-failed)
		require.Equal(t, j.Set.Numbers(), r.Acked(j.Set), name)
		require.Equal(t, 200, r.Replies[200])
		require.Equal(t, r.Retries, r.Replies[503])
		require.Positive(t, r.Retries)
		require.Positive(t, r.P50Millis)
		require.GreaterOrEqual(t, r.MaxMillis, r.P99Millis)
		mu.Lock()
		require.Len(t, bodies, 180, name)
		require.Len(t, from, 4, "each client keeps its connection")
		for path := range bodies {
			require.True(t, strings.HasPrefix(path, "/webhooks/stripe/main{"), path)
		}
		mu.Unlock()
	}
}

// An order whose event was refused is not acknowledged, and the run fails.
func TestGeneratorTellsRefusals(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	t.Cleanup(srv.Close)
	d, err := prepare(Job{Addr: srv.Listener.Addr().String(), Set: Set{Batch: 1, Count: 9}, Events: 10, Clients: 1}, time.Now())
	require.NoError(t, err)
	require.NoError(t, d.dial(t.Context()))
	r, err := d.run()
	require.ErrorContains(t, err, "status 400")
	require.Empty(t, r.Acked(d.Set))
	_, err = prepare(Job{Set: Set{Batch: 1, Count: 8}, Events: 10}, time.Now())
	require.ErrorContains(t, err, "pay for 9 orders")
	require.False(t, bytes.Contains(stripeEvent.fill(Set{Batch: 1}.words(0, time.Now(), "")), []byte("{{")))
}
