package flutterwave_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/testkit/pgtest"
)

func other(t *testing.T, account string) *flutterwave.Client {
	t.Helper()
	return client(t, func(cfg *flutterwave.Config) { cfg.Account = account })
}

// unknown: neither a success, nor a definite no, nor certainly not made.
func unknown(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var rejected *payment.RejectedError
	require.False(t, errors.As(err, &rejected), "%v", err)
	for _, definite := range []error{payment.ErrNotFound, payment.ErrNotSent, payment.ErrCredentials} {
		require.NotErrorIs(t, err, definite)
	}
	require.NotContains(t, err.Error(), testKey)
}

// calls are all calls that there are, as fit for what a server answers to each.
func calls(c *flutterwave.Client) map[string]func(context.Context) error {
	const link = "https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-1"
	return map[string]func(context.Context) error{
		"create":  func(ctx context.Context) error { _, err := c.CreateCheckout(ctx, order()); return err },
		"fetch":   func(ctx context.Context) error { _, err := c.FetchCheckout(ctx, attempt.String()); return err },
		"close":   func(ctx context.Context) error { _, err := c.CloseCheckout(ctx, attempt.String(), link); return err },
		"refund":  func(ctx context.Context) error { _, err := c.Refund(ctx, refundRequest(false)); return err },
		"again":   func(ctx context.Context) error { _, err := c.Refund(ctx, refundRequest(true)); return err },
		"payment": func(ctx context.Context) error { _, err := c.Fetch(ctx, payment.Pointer{ObjectID: "1"}); return err },
		"a refund": func(ctx context.Context) error {
			_, err := c.Fetch(ctx, payment.Pointer{ObjectID: "refund:1"})
			return err
		},
		"chargeback": func(ctx context.Context) error {
			_, err := c.Fetch(ctx, payment.Pointer{ObjectID: "chargeback:1"})
			return err
		},
		"disputes": func(ctx context.Context) error { _, err := c.Disputes(ctx, now); return err },
	}
}

func serve(t *testing.T, h http.Handler) *flutterwave.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(srv.CloseClientConnections)
	return client(t, func(cfg *flutterwave.Config) { cfg.BaseURL, cfg.Timeout = srv.URL, 200*time.Millisecond })
}

// TestUnknownOutcomes: whatever may have taken effect is neither a success nor a
// rejection.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = w.Write([]byte(body)) }
	}
	for name, h := range map[string]http.HandlerFunc{
		"a failure":          say(500, `{"status":"error","message":"Something went wrong","data":null}`),
		"a proxy's failure":  say(502, "<html>Bad gateway</html>"),
		"a proxy's 400":      say(400, "<html>"),
		"a proxy's 403":      say(403, "<html>"),
		"a proxy's 404":      say(404, "404 page not found"),
		"a missing endpoint": say(404, `{"status":"error","message":"Cannot GET /v3/payments","data":null}`),
		"too many calls":     say(429, `{"status":"error","message":"Too many requests","data":null}`),
		"an empty answer":    say(200, ""),
		"half an answer":     say(200, `{"status":"success","data":{"id":1`),
		"no data":            say(200, `{"status":"success","message":"","data":null}`),
		"data of no kind":    say(200, `{"status":"success","data":"yes"}`),
		"an error with 200":  say(200, `{"status":"error","message":"Could not complete","data":null}`),
		"a success with 400": say(400, `{"status":"success","message":"","data":{"link":"https://x.example/"}}`),
		"a redirect with a body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
			_, _ = w.Write([]byte(`{"status":"success","data":{"link":"https://x.example/"}}`))
		},
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"success","message":"` + strings.Repeat("x", 5<<20) + `","data":{}}`))
		},
		"a cut answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"status":"success",`))
		},
		"no answer in time": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then is a client that went away noticed
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, call := range calls(serve(t, h)) {
				err := call(t.Context())
				require.Error(t, err, what)
				unknown(t, err)
			}
		})
	}
}

func TestDefiniteAnswers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"status":"error","message":"Invalid authorization key","data":null}`))
		}))
		for what, call := range calls(c) {
			require.ErrorIs(t, call(t.Context()), payment.ErrCredentials, what)
		}
	}
	for _, status := range []int{400, 422} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"status":"error","message":"Currency is not enabled on this account","data":null}`))
		}))
		for _, what := range []string{"create", "refund"} {
			var rejected *payment.RejectedError
			require.ErrorAs(t, calls(c)[what](t.Context()), &rejected, what)
			require.Equal(t, payment.RejectedError{
				Provider: "flutterwave", Code: fmt.Sprint(status), Message: "Currency is not enabled on this account",
			}, *rejected)
		}
	}
	for _, what := range []string{"refund", "payment", "a refund"} {
		require.ErrorIs(t, calls(scripted(t, nil).Client)[what](t.Context()), payment.ErrNotFound, what)
	}
	_, err := client(t).Refund(t.Context(), payment.RefundRequest{RequestID: request, PaymentID: "pi_1", Amount: 1, Currency: "NGN"})
	require.ErrorIs(t, err, payment.ErrNotFound)
	_, err = client(t).Refund(t.Context(), payment.RefundRequest{RequestID: request, PaymentID: "1", Amount: 1, Currency: "JPY"})
	var rejected *payment.RejectedError
	require.ErrorAs(t, err, &rejected)
}

// TestACallThatWasNotMade: only a connection that never came about proves it.
func TestACallThatWasNotMade(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	nobody := client(t, func(cfg *flutterwave.Config) { cfg.BaseURL = "http://" + l.Addr().String() })
	for what, call := range calls(nobody) {
		require.ErrorIs(t, call(t.Context()), payment.ErrNotSent, what)
	}
	cut := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	for _, call := range calls(cut) {
		unknown(t, call(t.Context()))
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	t.Cleanup(elsewhere.Close)
	c := serve(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	for _, call := range calls(c) {
		unknown(t, call(t.Context()))
	}
	require.Empty(t, seen, "the key was handed on")
}

func TestNoCallInsideATransaction(t *testing.T) {
	t.Parallel()
	s, db := scripted(t, nil), pgtest.New(t)
	for what, call := range calls(s.Client) {
		err := pg.Exec(t.Context(), db.Pool, func(ctx context.Context, _ pgx.Tx) error { return call(ctx) })
		require.ErrorIs(t, err, pg.ErrInTransaction, what)
	}
	require.Empty(t, s.asked)
}
