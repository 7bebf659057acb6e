package app

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"proofroom/internal/proof/twin"
)

func (w *world) hook(path, signature string, body []byte) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+path, bytes.NewReader(body))
	require.NoError(w.t, err)
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return reply{res.StatusCode, res.Header, out}
}

// What is not from the provider is refused with a problem, and nothing of it is
// kept under an event's id. Signatures are made by the provider's own library.
func TestWebhookRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sign := func(body []byte, secret string, at time.Time) string {
		return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at}).Header
	}
	event := []byte(`{"id":"evt_1","object":"event","api_version":"2026-03-25.dahlia","created":1,"livemode":false,"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","object":"payment_intent"}}}`)
	now := time.Now()
	good := sign(event, webhookSecret, now)
	const path = "/webhooks/stripe/main"
	for name, tt := range map[string]struct {
		path, signature string
		body            []byte
		status          int
	}{
		"unsigned":         {path, "", event, 400},
		"another secret":   {path, sign(event, "whsec_other", now), event, 400},
		"stale":            {path, sign(event, webhookSecret, now.Add(-301*time.Second)), event, 400},
		"from the future":  {path, sign(event, webhookSecret, now.Add(302*time.Second)), event, 400},
		"one byte more":    {path, good, append(bytes.Clone(event), ' '), 400},
		"empty":            {path, sign(nil, webhookSecret, now), nil, 400},
		"no JSON":          {path, sign([]byte("{"), webhookSecret, now), []byte("{"), 400},
		"too large":        {path, good, bytes.Repeat([]byte("x"), 2<<20), 413},
		"another account":  {"/webhooks/stripe/other", good, event, 404},
		"another provider": {"/webhooks/barter/main", good, event, 404},
		"no account":       {"/webhooks/stripe/", good, event, 404},
		"garbage header":   {path, "t=,v1=,,;=", event, 400},
	} {
		r := w.hook(tt.path, tt.signature, tt.body)
		require.Equal(t, tt.status, r.status, "%s: %s", name, r.body)
		require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), name)
	}
	require.Equal(t, 0, w.count(`SELECT count(*) FROM inbox`))

	// The genuine event still goes in, once.
	for range 2 {
		require.Equal(t, http.StatusOK, w.hook(path, good, event).status)
	}
	require.Equal(t, 1, w.count(`SELECT count(*) FROM inbox`))
}

// Every forgery that the stand-in knows is refused, and the genuine event that
// follows under the same id still applies.
func TestForgeries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, kind := range twin.Forgeries {
		photo := w.photos[i%len(w.photos)]
		orderID, page := w.order(w.guest(), fmt.Sprintf("k-%d", i), photo)
		forged, err := w.twin.Forge(t.Context(), twin.Forgery{Kind: kind, Ref: page})
		require.NoError(t, err, kind)
		require.GreaterOrEqual(t, forged.Status, 400, "%s was answered %d", kind, forged.Status)
		require.Less(t, forged.Status, 500, kind)
		require.Equal(t, "awaiting_payment", w.state(orderID), kind)
		w.pay(page)
		w.reaches(orderID, "paid")
	}
	w.quiet()
	require.Equal(t, len(twin.Forgeries), w.count(`SELECT count(*) FROM entitlements`))
}
