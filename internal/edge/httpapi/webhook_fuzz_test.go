package httpapi_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/clock"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/edge/httpapi"
)

// keeper keeps the row that it was given.
type keeper struct{ row *payment.Row }

func (k *keeper) Receive(_ context.Context, row payment.Row) (bool, error) {
	k.row = &row
	return true, nil
}

// What is stored was sent by who knows the secret, byte for byte and to its own
// account, without the secret itself; all else is refused, and nothing of it kept.
func FuzzWebhook(f *testing.F) {
	const secret, hash = "whsec_1", "a hash that nobody guesses"
	card, err := stripe.New(stripe.Config{Account: "main", SecretKey: "sk_test_1", WebhookSecrets: []string{secret}})
	require.NoError(f, err)
	mobile, err := flutterwave.New(flutterwave.Config{Account: "main", SecretKey: "FLWSECK_TEST-x", SecretHashes: []string{hash}})
	require.NoError(f, err)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	log := slog.New(slog.DiscardHandler)
	kept := &keeper{}
	handler := httpapi.Webhooks(httpapi.WebhookDeps{
		Log: log, Clock: clock.Clock(func() time.Time { return now }), Receiver: kept, Providers: payment.Providers{card, mobile},
		Refusals: httpapi.NewRefusals(log, func(context.Context, payment.Refusal) error { return nil }),
	})
	mac := func(body string) string {
		h := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(h, "%d.%s", now.Unix(), body)
		return hex.EncodeToString(h.Sum(nil))
	}
	event := `{"id":"evt_1","object":"event","created":1,"livemode":false,"type":"charge.refunded","data":{"object":{"id":"ch_1"}}}`
	paid := `{"event":"charge.completed","data":{"id":1,"status":"successful"}}`
	signed := fmt.Sprintf("t=%d,v1=%s", now.Unix(), mac(event))
	for _, s := range [][4]string{
		{"stripe/main", "Stripe-Signature", signed, event},
		{"stripe/main", "Stripe-Signature", signed, event + " "},
		{"flutterwave/main", "Stripe-Signature", signed, event},
		{"flutterwave/main", "Verif-Hash", hash, paid},
		{"flutterwave/main", "verif-hash", "", paid},
		{"stripe/main/", "Stripe-Signature", signed, event},
		{"stripe/%6dain", "Stripe-Signature", signed, event},
		{"stripe/../stripe/main", "User-Agent", strings.Repeat("x", 1<<10), ""},
		{"paypal/main", "Paypal-Cert-Url", "https://evil.example", "{}"},
	} {
		f.Add(s[0], s[1], s[2], s[3], false)
		f.Add(s[0], s[1], s[2], s[3], true)
	}
	f.Fuzz(func(t *testing.T, account, name, value, body string, sign bool) {
		name = textproto.CanonicalMIMEHeaderKey(name)
		header := http.Header{name: {value}, "Cookie": {"session=ses_x"}, "Content-Type": {"application/json"}}
		if sign {
			header.Add("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", now.Unix(), mac(body)))
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/"+account, io.NopCloser(strings.NewReader(body)))
		if err != nil {
			return
		}
		r.Header = header
		kept.row = nil
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			require.Contains(t, []int{400, 404, 405, 413}, w.Code, "%s", w.Body)
			require.Nil(t, kept.row)
			return
		}
		require.NotNil(t, kept.row)
		require.Equal(t, body, string(kept.row.Body))
		switch kept.row.Provider {
		case "stripe":
			require.True(t, slices.ContainsFunc(header["Stripe-Signature"], func(s string) bool { return strings.Contains(strings.ToLower(s), mac(body)) }), "accepted and not signed")
		case "flutterwave":
			require.Equal(t, []string{hash}, header["Verif-Hash"], "accepted and not signed")
		default:
			require.Fail(t, "nobody could have signed it")
		}
		for name, values := range kept.row.Header {
			require.NotContains(t, []string{"Cookie", "Verif-Hash", "Authorization"}, name)
			require.NotContains(t, values, hash)
		}
		for _, key := range []string{kept.row.Receipt.EventID, kept.row.Receipt.EventType, kept.row.Receipt.ObjectID} {
			require.True(t, payment.Printable(key), "%q", key)
		}
	})
}
