package stripe_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/proof/twin"
)

// startMock runs Stripe's own mock server, which checks every request against
// Stripe's description of its API and remembers nothing.
func startMock(t *testing.T) *url.URL {
	t.Helper()
	root, err := filepath.Abs("../../../..")
	require.NoError(t, err)
	find := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/go.mod", "-n", "stripe-mock")
	find.Dir = root
	find.Stderr = os.Stderr
	path, err := find.Output()
	require.NoError(t, err, "stripe-mock is one of the tools: go mod download -modfile=tools/go.mod")

	mock := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), "-http-addr", "127.0.0.1:0",
		// Its own choice would be one fixed port, over which two mocks end each other.
		"-https-addr", "127.0.0.1:0")
	out, err := mock.StdoutPipe()
	require.NoError(t, err)
	mock.Stderr = mock.Stdout
	require.NoError(t, mock.Start())
	t.Cleanup(func() {
		_ = mock.Process.Kill()
		_ = mock.Wait()
	})
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		listening := regexp.MustCompile(`127\.0\.0\.1:\d+`)
		for lines.Scan() {
			if at := listening.FindString(lines.Text()); at != "" {
				address <- at
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case at := <-address:
		return &url.URL{Scheme: "http", Host: at}
	case <-time.After(time.Minute):
		t.Fatal("stripe-mock did not say where it listens")
		return nil
	}
}

// judged shows every request to Stripe's mock before it goes its way.
type judged struct {
	mock *url.URL

	mu    sync.Mutex
	calls map[string]int
	bad   []string
}

func (j *judged) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	shown := req.Clone(req.Context())
	shown.URL.Scheme, shown.URL.Host, shown.Host = j.mock.Scheme, j.mock.Host, j.mock.Host
	shown.Body = http.NoBody
	if len(body) > 0 {
		shown.Body = io.NopCloser(bytes.NewReader(body))
	}
	shown.Header.Set("Authorization", "Bearer sk_test_123")
	res, err := http.DefaultTransport.RoundTrip(shown)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.calls[req.Method+" "+regexp.MustCompile(`(cs_test|pi|ch|re)_\w+`).ReplaceAllString(req.URL.Path, "*")]++
	if res.StatusCode != http.StatusOK {
		j.bad = append(j.bad, req.Method+" "+req.URL.String()+" "+string(body)+": "+string(said))
	}
	j.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

func TestRequestsFitStripesDescription(t *testing.T) {
	t.Parallel()
	j := &judged{mock: startMock(t), calls: map[string]int{}}
	s := open(t, func(cfg *stripe.Config) { cfg.HTTPClient = &http.Client{Transport: j} })

	in := checkout()
	page := s.create(t, in)
	s.create(t, in)
	plain := checkout()
	plain.Email, plain.Description = "", ""
	closed := s.create(t, plain)
	_, err := s.CloseCheckout(t.Context(), closed.Ref, "")
	require.NoError(t, err)
	many := checkout()
	for range 200 {
		many.Lines = append(many.Lines, payment.CheckoutLine{Name: "DSC", Price: 100})
	}
	s.create(t, many)
	for _, currency := range []string{"UGX", "JPY", "TND"} {
		other := checkout()
		other.Currency = currency
		s.create(t, other)
	}
	paid := s.pay(t, page.Ref, twin.PayRequest{})
	_, err = s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	facts, err := s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 100, Currency: "USD"})
	require.NoError(t, err)
	_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Charge, Amount: 100, Currency: "USD"})
	require.NoError(t, err)
	for _, id := range []string{page.Ref, paid.Payment, paid.Charge, facts[0].RefundID} {
		_, err = s.Fetch(t.Context(), payment.Pointer{ObjectID: id})
		require.NoError(t, err)
	}

	require.Empty(t, j.bad)
	for _, call := range []string{
		"POST /v1/checkout/sessions", "GET /v1/checkout/sessions/*", "POST /v1/checkout/sessions/*/expire",
		"POST /v1/refunds", "GET /v1/refunds", "GET /v1/refunds/*", "GET /v1/payment_intents/*",
	} {
		require.Positive(t, j.calls[call], "%s was judged", call)
	}
	require.Len(t, j.calls, 7, "every call that we make is listed here: %v", j.calls)
}

// TestTheJudgeRefuses: a judge that passes everything judges nothing. It does
// not look into lists; the twin does, and its own tests compare what it takes
// with the same description.
func TestTheJudgeRefuses(t *testing.T) {
	t.Parallel()
	mock := startMock(t)
	for name, form := range map[string]string{
		"an unknown parameter":  "mode=payment&success_url=https://shop.example/&colour=red",
		"a number that is none": "mode=payment&success_url=https://shop.example/&expires_at=soon",
		"a mode that is none":   "mode=gift&success_url=https://shop.example/",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, mock.String()+"/v1/checkout/sessions", strings.NewReader(form))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer sk_test_123")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusBadRequest, res.StatusCode, name)
	}
}
