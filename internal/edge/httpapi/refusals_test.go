package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/edge/httpapi"
)

// A flood of forgeries is counted to the last one and written once a second.
func TestWebhookRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var down error
	var written []payment.Refusal
	refusals := httpapi.NewRefusals(slog.New(slog.DiscardHandler), func(_ context.Context, r payment.Refusal) error {
		if down == nil {
			written = append(written, r)
		}
		return down
	})
	handler := httpapi.Webhooks(httpapi.WebhookDeps{
		Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return now }, Refusals: refusals,
		Providers: payment.Providers{verifier{name: "counting", err: &payment.VerifyError{Reason: "signature", Detail: "it is forged"}}},
	})
	forge := func(n int) {
		for range n {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/counting/main", strings.NewReader(strings.Repeat("x", 1<<16))))
			require.Equal(t, http.StatusBadRequest, w.Code)
		}
	}
	counts := func() (out []int) {
		for _, r := range written {
			out = append(out, r.Count)
		}
		return out
	}
	forge(100)
	require.Equal(t, []int{1}, counts(), "the first at once, and the others not yet")
	require.Len(t, written[0].Body, payment.MaxRefused)
	now = now.Add(time.Second)
	forge(2)
	require.Equal(t, []int{1, 100}, counts())

	down = errors.New("the database is down")
	now = now.Add(time.Second)
	forge(3)
	require.Error(t, refusals.Flush(t.Context()))
	down = nil
	require.NoError(t, refusals.Flush(t.Context()))
	require.NoError(t, refusals.Flush(t.Context()))
	require.Equal(t, []int{1, 100, 4}, counts(), "nothing is lost, and nothing counted twice")
}
