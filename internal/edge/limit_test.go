package edge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/edge"
	"proofroom/internal/testkit/pgtest"
)

// limited serves requests that may be made as often as do lets.
func limited(do func(context.Context) error) http.Handler {
	return edge.Answering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.Context()); err != nil {
			edge.Write(w, r, nil, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

func ask(h http.Handler, from string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	h.ServeHTTP(w, r.WithContext(obs.WithClient(r.Context(), netip.MustParseAddr(from))))
	return w
}

func TestSignInIsLimited(t *testing.T) {
	t.Parallel()
	l := edge.Limits{DB: pgtest.New(t).Pool}
	h := limited(func(ctx context.Context) error { return l.SignIn(ctx, " Ann@Example.com") })
	for left := 9; left >= 0; left-- {
		w := ask(h, "192.0.2.1")
		require.Equal(t, http.StatusNoContent, w.Code)
	}
	w := ask(h, "192.0.2.1")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, `"sign-in";q=10;w=300`, w.Header().Get("RateLimit-Policy"))
	require.Regexp(t, `^"sign-in";r=0;t=(300|299)$`, w.Header().Get("RateLimit"))
	require.Regexp(t, `^(30|29)$`, w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "rate_limited")
	require.Equal(t, http.StatusNoContent, ask(h, "192.0.2.2").Code, "somebody else's address is not hers")
	require.Equal(t, http.StatusNoContent, ask(limited(func(ctx context.Context) error { return l.SignIn(ctx, "bob@example.com") }), "192.0.2.1").Code)
}

func TestOneCustomerHasOneNetwork(t *testing.T) {
	t.Parallel()
	l := edge.Limits{DB: pgtest.New(t).Pool}
	h := limited(func(ctx context.Context) error { return l.SignIn(ctx, "ann@example.com") })
	for range 10 {
		require.Equal(t, http.StatusNoContent, ask(h, "2001:db8::1").Code)
	}
	require.Equal(t, http.StatusTooManyRequests, ask(h, "2001:db8::2").Code, "the same /64")
	require.Equal(t, http.StatusNoContent, ask(h, "2001:db8:0:1::1").Code)
}

func TestTheRightCodeCostsNothing(t *testing.T) {
	t.Parallel()
	l := edge.Limits{DB: pgtest.New(t).Pool}
	event := id.New()
	enter := func(good bool) http.Handler {
		return limited(func(ctx context.Context) error {
			right, err := l.Code(ctx, event)
			if err == nil && good {
				right()
			}
			return err
		})
	}
	for range 100 {
		require.Equal(t, http.StatusNoContent, ask(enter(true), "192.0.2.1").Code)
	}
	for range 30 {
		require.Equal(t, http.StatusNoContent, ask(enter(false), "192.0.2.1").Code)
	}
	require.Equal(t, http.StatusTooManyRequests, ask(enter(false), "192.0.2.1").Code)
	require.Equal(t, http.StatusTooManyRequests, ask(enter(true), "192.0.2.1").Code, "or a guess would be told from its answer")
}

func TestWhoRetriesAsToldIsNotLimited(t *testing.T) {
	t.Parallel()
	l := edge.Limits{DB: pgtest.New(t).Pool}
	buyer := id.New()
	order := func(repeated bool) http.Handler {
		return limited(func(ctx context.Context) error {
			again, err := l.Checkout(ctx, buyer)
			if err == nil && repeated {
				again()
			}
			return err
		})
	}
	for range 300 {
		require.Equal(t, http.StatusNoContent, ask(order(true), "192.0.2.1").Code)
	}
	for range 100 {
		require.Equal(t, http.StatusNoContent, ask(order(false), "192.0.2.1").Code)
	}
	require.Equal(t, http.StatusTooManyRequests, ask(order(false), "192.0.2.1").Code)
}

func TestFreeReceiptsAreLimited(t *testing.T) {
	t.Parallel()
	l := edge.Limits{DB: pgtest.New(t).Pool}
	h := limited(func(ctx context.Context) error { return l.FreeReceipt(ctx, "victim@example.com") })
	for i := range 10 {
		require.Equal(t, http.StatusNoContent, ask(h, fmt.Sprintf("192.0.2.%d", i)).Code)
	}
	require.Equal(t, http.StatusTooManyRequests, ask(h, "192.0.2.99").Code, "from wherever it is asked for")
	require.NoError(t, l.FreeReceipt(t.Context(), ""), "nobody gets mail then")
}
