package twin_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/proof/twin"
)

// TestForgeriesAreRefusedByOurAdapter sends each forgery to an endpoint that
// verifies as the server does.
func TestForgeriesAreRefusedByOurAdapter(t *testing.T) {
	t.Parallel()
	adapter, err := stripe.New(stripe.Config{Account: "main", SecretKey: twin.DefaultSecretKey, WebhookSecrets: []string{secret}})
	require.NoError(t, err)
	var mu sync.Mutex
	accepted := map[string]payment.Receipt{}
	var reason string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		got, err := adapter.Verify(t.Context(), time.Now(), r.Header, body)
		mu.Lock()
		defer mu.Unlock()
		var refused *payment.VerifyError
		if errors.As(err, &refused) {
			reason = refused.Reason
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		accepted[got.EventID] = got
	}))
	t.Cleanup(srv.Close)
	w := start(t, func(c *twin.Config) { c.Endpoints[0].URL = srv.URL })
	open, paid := w.open(t).ID, w.open(t).ID
	res := w.pay(t, paid, payCard)
	w.quiet(t)
	require.Len(t, accepted, 4, "what is genuine is accepted")
	completed := res.Events[3]
	require.Equal(t, payment.ClassFact, accepted[completed].Class)

	want := map[string]string{
		twin.ForgeWrongSecret: "signature", twin.ForgeUnsigned: "unsigned", twin.ForgeV0: "signature",
		twin.ForgeStale: "stale", twin.ForgeFuture: "stale", twin.ForgeAltered: "signature", twin.ForgeAppended: "signature",
		twin.ForgeReformatted: "signature", twin.ForgeBOM: "signature", twin.ForgeOtherAccount: "account",
		twin.ForgeLiveMode: "mode", twin.ForgeOtherBody: "signature",
	}
	require.Len(t, twin.Forgeries, len(want))
	for _, kind := range twin.Forgeries {
		for _, from := range []twin.Forgery{
			{Kind: kind, Ref: open}, {Kind: kind, Ref: open, Type: "payment_intent.succeeded"}, {Kind: kind, Event: completed},
		} {
			f, err := w.control.Forge(t.Context(), from)
			require.NoError(t, err, kind)
			require.Equal(t, http.StatusBadRequest, f.Status, kind)
			require.Equal(t, want[kind], reason, kind)
			if from.Event != "" {
				require.Equal(t, completed, f.Event)
			}
		}
	}
	require.Len(t, accepted, 4)
	require.Equal(t, 3*len(want), w.counters(t).Forged)
	session, err := w.control.Session(t.Context(), open)
	require.NoError(t, err)
	require.Equal(t, "open", session.Status, "a forgery touches nothing of the twin's")
	require.Empty(t, session.PaymentIntent)
	ledger, err := w.control.Ledger(t.Context())
	require.NoError(t, err)
	require.Len(t, ledger.Payments, 1)

	for _, bad := range []twin.Forgery{
		{Kind: "polite", Ref: open},
		{Kind: twin.ForgeStale},
		{Kind: twin.ForgeStale, Event: "evt_none"},
		{Kind: twin.ForgeStale, Ref: open, Type: "customer.created"},
	} {
		_, err := w.control.Forge(t.Context(), bad)
		require.Error(t, err)
	}
}
