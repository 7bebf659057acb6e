package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/pgtest"
)

// A stop answers what is under way, refuses readiness, and ends in time.
func TestDrain(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	tw := twin.New(twin.Config{})
	stand := httptest.NewServer(tw.Handler())
	defer func() { stand.Close(); tw.Close() }()
	srv, err := New(t.Context(), Config{
		DatabaseURL: db.URL, DataDir: t.TempDir(), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", PublicURL: "http://localhost:1",
		StripeAccount: "main", StripeSecretKey: twin.DefaultSecretKey, StripeWebhookSecrets: []string{webhookSecret}, StripeURL: stand.URL,
		PollWaits: []time.Duration{time.Hour}, GiveUp: time.Hour, Darkroom: "/nowhere",
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	w := &world{t: t, db: pools{db.Pool, db.Owner}, srv: srv, url: "http://" + srv.Addr(), twin: &twin.Control{Base: stand.URL}}
	w.stock(1)
	buyer := w.guest()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()

	status := func() (int, map[string]string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+srv.AdminAddr()+"/readyz", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil
		}
		defer func() { _ = res.Body.Close() }()
		out := map[string]string{}
		require.NoError(t, json.NewDecoder(res.Body).Decode(&out))
		return res.StatusCode, out
	}
	require.Eventually(t, func() bool { s, _ := status(); return s == http.StatusOK }, 10*time.Second, 10*time.Millisecond)

	require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions", Fault: twin.Slow, Millis: 1500}))
	answered := make(chan reply, 1)
	go func() { answered <- w.checkout(buyer, "k", w.photos[0]) }()
	require.Eventually(t, func() bool { return w.count(`SELECT count(*) FROM orders`) == 1 }, 5*time.Second, 5*time.Millisecond)
	start := time.Now()
	stop()
	require.Eventually(t, func() bool { s, out := status(); return s == http.StatusServiceUnavailable && out["draining"] != "" }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, http.StatusCreated, (<-answered).status, "the request under way was answered")
	require.NoError(t, <-ended)
	require.Less(t, time.Since(start), drainTime)
}
