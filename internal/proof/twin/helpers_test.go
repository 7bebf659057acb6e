package twin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"proofroom/internal/proof/twin"
)

const (
	secret  = "whsec_current"
	patient = 20 * time.Second // how long a test waits for what must happen
)

// world is a twin behind real HTTP, Stripe's own client of it, and an endpoint
// that its webhooks reach.
type world struct {
	twin    *twin.Twin
	url     string
	control *twin.Control
	api     *sdk.Client
	hook    *hook
}

func start(t *testing.T, change ...func(*twin.Config)) *world {
	t.Helper()
	h := newHook(t)
	cfg := twin.Config{
		Endpoints: []twin.Endpoint{{URL: h.url, Secret: secret}},
		RetryUnit: 10 * time.Millisecond, Delay: 30 * time.Millisecond, Hold: 50 * time.Millisecond,
	}
	for _, f := range change {
		f(&cfg)
	}
	tw := twin.New(cfg)
	t.Cleanup(tw.Close)
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(srv.Close)
	return &world{twin: tw, url: srv.URL, control: &twin.Control{Base: srv.URL}, api: stripeClient(srv.URL, twin.DefaultSecretKey), hook: h}
}

func stripeClient(url, key string) *sdk.Client {
	return sdk.NewClient(key, sdk.WithBackends(sdk.NewBackendsWithConfig(&sdk.BackendConfig{
		URL: sdk.String(url), MaxNetworkRetries: sdk.Int64(0), EnableTelemetry: sdk.Bool(false),
		LeveledLogger: &sdk.LeveledLogger{Level: sdk.LevelNull},
		HTTPClient:    &http.Client{Timeout: patient},
	})))
}

// hook is an endpoint that verifies each webhook with Stripe's own library.
type hook struct {
	url string

	mu     sync.Mutex
	got    []sdk.Event
	bodies [][]byte
	bad    []error
	answer func(n int, kind string) int // the status for the nth webhook, from 1
	slow   func(kind string)            // called before anything is noted
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{answer: func(int, string) int { return http.StatusOK }}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if h.slow != nil {
			var ev sdk.Event
			_ = json.Unmarshal(body, &ev)
			h.slow(string(ev.Type))
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil {
			var ev sdk.Event
			ev, err = webhook.ConstructEventWithOptions(body, r.Header.Get("Stripe-Signature"), secret, webhook.ConstructEventOptions{})
			if err == nil {
				h.got = append(h.got, ev)
				h.bodies = append(h.bodies, body)
				w.WriteHeader(h.answer(len(h.got), string(ev.Type)))
				return
			}
		}
		h.bad = append(h.bad, err)
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL + "/webhooks/stripe/main"
	return h
}

func (h *hook) kinds() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []string{}
	for _, ev := range h.got {
		out = append(out, string(ev.Type))
	}
	return out
}

func (h *hook) set(answer func(n int, kind string) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (w *world) quiet(t *testing.T) {
	t.Helper()
	require.NoError(t, w.control.Quiet(t.Context(), patient))
}

// request is a valid request for a page; changes spoil or extend it.
func request(change ...func(*sdk.CheckoutSessionCreateParams)) *sdk.CheckoutSessionCreateParams {
	line := func(name string, price int64) *sdk.CheckoutSessionCreateLineItemParams {
		return &sdk.CheckoutSessionCreateLineItemParams{
			Quantity: sdk.Int64(1),
			PriceData: &sdk.CheckoutSessionCreateLineItemPriceDataParams{
				Currency: sdk.String("usd"), UnitAmount: sdk.Int64(price),
				ProductData: &sdk.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: sdk.String(name)},
			},
		}
	}
	p := &sdk.CheckoutSessionCreateParams{
		Mode:              sdk.String("payment"),
		LineItems:         []*sdk.CheckoutSessionCreateLineItemParams{line("DSC_0001", 1200), line("DSC_0002", 300)},
		ClientReferenceID: sdk.String("order-1"),
		CustomerEmail:     sdk.String("ada@example.com"),
		Metadata:          map[string]string{"attempt_id": "attempt-1", "only": "session"},
		PaymentIntentData: &sdk.CheckoutSessionCreatePaymentIntentDataParams{
			Metadata: map[string]string{"attempt_id": "attempt-1"}, TransferGroup: sdk.String("order-1"),
			Description: sdk.String("Spring run"),
		},
		SuccessURL: sdk.String("https://shop.example/done?session_id={CHECKOUT_SESSION_ID}"),
		CancelURL:  sdk.String("https://shop.example/cart"),
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func (w *world) open(t *testing.T, change ...func(*sdk.CheckoutSessionCreateParams)) *sdk.CheckoutSession {
	t.Helper()
	s, err := w.api.V1CheckoutSessions.Create(t.Context(), request(change...))
	require.NoError(t, err)
	return s
}

func (w *world) pay(t *testing.T, session string, r twin.PayRequest) twin.PayResult {
	t.Helper()
	res, err := w.control.Pay(t.Context(), session, r)
	require.NoError(t, err)
	return res
}

// post sends a form as it is.
func (w *world) post(t *testing.T, path, form, key string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+twin.DefaultSecretKey)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, string(raw)
}

func stripeError(t *testing.T, err error) *sdk.Error {
	t.Helper()
	var se *sdk.Error
	require.ErrorAs(t, err, &se)
	return se
}

var (
	payCard  = twin.PayRequest{}
	noFilter = twin.SessionFilter{}
)
