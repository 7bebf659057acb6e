package stripe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
)

const (
	secret    = "whsec_first"
	oldSecret = "whsec_second"
)

var (
	attempt = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000a")
	now     = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

func client(t testing.TB, change ...func(*stripe.Config)) *stripe.Client {
	t.Helper()
	cfg := stripe.Config{Account: "main", SecretKey: "sk_test_1", WebhookSecrets: []string{secret, oldSecret}}
	for _, f := range change {
		f(&cfg)
	}
	c, err := stripe.New(cfg)
	require.NoError(t, err)
	return c
}

// event is a body as Stripe lays it out: indented by two spaces.
func event(kind, object string) []byte {
	return eventWith(kind, object, `"livemode": false,`)
}

func eventWith(kind, object, middle string) []byte {
	return fmt.Appendf(nil, `{
  "id": "evt_1TestTestTest",
  "object": "event",
  "api_version": "2031-01-01.later",
  "created": 1777636790,
  %s
  "data": {
    "object": %s
  },
  "pending_webhooks": 1,
  "request": {"id": "req_1", "idempotency_key": "k"},
  "type": %q
}`, middle, object, kind)
}

func sessionObject(status, paid, pi string) string {
	if pi != "null" {
		pi = fmt.Sprintf("%q", pi)
	}
	return fmt.Sprintf(`{"id": "cs_test_1", "object": "checkout.session", "amount_total": 1500, "currency": "usd",
		"metadata": {"attempt_id": %q, "order_id": "0199aaaa-0000-7000-8000-00000000000b"}, "mode": "payment",
		"payment_intent": %s, "payment_status": %q, "status": %q, "expires_at": 1777640000}`, attempt, pi, paid, status)
}

func intentObject(status string, extra string) string {
	return fmt.Sprintf(`{"id": "pi_1", "object": "payment_intent", "amount": 1500, "amount_received": 1500,
		"currency": "usd", "metadata": {"attempt_id": %q}, "status": %q%s}`, attempt, status, extra)
}

func refundObject(status string) string {
	return fmt.Sprintf(`{"id": "re_1", "object": "refund", "amount": 700, "currency": "usd", "charge": "ch_1",
		"payment_intent": "pi_1", "metadata": {"refund_request_id": %q}, "status": %q}`, attempt, status)
}

// signed is the header that Stripe's own library makes.
func signed(body []byte, key string, at time.Time) http.Header {
	p := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: key, Timestamp: at})
	return http.Header{stripe.SignatureHeader: {p.Header}}
}

func TestVerifyAcceptsWhatStripeSigns(t *testing.T) {
	t.Parallel()
	body := event("checkout.session.completed", sessionObject("complete", "paid", "pi_1"))
	c := client(t)
	for name, h := range map[string]http.Header{
		"the first secret":  signed(body, secret, now),
		"the second secret": signed(body, oldSecret, now),
		"299 s ago":         signed(body, secret, now.Add(-299*time.Second)),
		"300 s ago":         signed(body, secret, now.Add(-300*time.Second)),
		"299 s ahead":       signed(body, secret, now.Add(299*time.Second)),
	} {
		r, err := c.Verify(t.Context(), now, h, body)
		require.NoError(t, err, name)
		require.Equal(t, "evt_1TestTestTest", r.EventID)
		require.Equal(t, payment.ClassFact, r.Class)
	}

	// While a secret is being replaced, Stripe signs under both.
	ours := signed(body, secret, now).Get(stripe.SignatureHeader)
	theirs := signed(body, "whsec_unknown", now).Get(stripe.SignatureHeader)
	_, after, _ := strings.Cut(ours, ",")
	both := http.Header{stripe.SignatureHeader: {theirs + "," + after + ",v0=" + strings.Repeat("ab", 32)}}
	_, err := c.Verify(t.Context(), now, both, body)
	require.NoError(t, err, "the second v1 fits")
}

// TestVerifyRefuses has the rejections of E9 that concern Stripe.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	body := event("checkout.session.completed", sessionObject("complete", "paid", "pi_1"))
	header := signed(body, secret, now).Get(stripe.SignatureHeader)
	at, mac, _ := strings.Cut(header, ",")
	mac = strings.TrimPrefix(mac, "v1=")
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, body))
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, body, "", "\t"))
	other := bytes.Replace(body, []byte("1500"), []byte("1501"), 1)
	live := eventWith("checkout.session.completed", sessionObject("complete", "paid", "pi_1"), `"livemode": true,`)
	foreign := eventWith("checkout.session.completed", sessionObject("complete", "paid", "pi_1"),
		`"livemode": false, "account": "acct_other",`)
	nul := append([]byte(nil), event("checkout.session.completed", "{\"id\": \"cs_\x00\"}")...)
	huge := append(bytes.Clone(body), bytes.Repeat([]byte(" "), 1<<20)...)
	bom := append([]byte("\xef\xbb\xbf"), body...)

	raw := func(values ...string) http.Header { return http.Header{stripe.SignatureHeader: values} }
	for _, c := range []struct {
		name   string
		header http.Header
		body   []byte
		reason string
	}{
		{"compacted", raw(header), compact.Bytes(), "signature"},
		{"pretty-printed", raw(header), pretty.Bytes(), "signature"},
		{"a BOM before it", raw(header), bom, "signature"},
		{"one byte more", raw(header), append(bytes.Clone(body), '\n'), "signature"},
		{"one byte altered", raw(header), other, "signature"},
		{"one byte less", raw(header), body[:len(body)-1], "signature"},
		{"empty", raw(header), nil, "signature"},
		{"too large", signed(huge, secret, now), huge, "malformed"},
		{"an unknown secret", signed(body, "whsec_unknown", now), body, "signature"},
		{"the empty secret", signed(body, "", now), body, "signature"},
		{"301 s ago", signed(body, secret, now.Add(-301*time.Second)), body, "stale"},
		{"301 s ahead", signed(body, secret, now.Add(301*time.Second)), body, "stale"},
		{"an hour ahead", signed(body, secret, now.Add(time.Hour)), body, "stale"},
		{"another time under the same signature", raw("t=1777636799,v1=" + mac), body, "signature"},
		{"no header", http.Header{}, body, "unsigned"},
		{"two headers", raw(header, header), body, "signature"},
		{"no time", raw("v1=" + mac), body, "malformed"},
		{"two times", raw(at + "," + header), body, "malformed"},
		{"a signed time", raw("t=+1777636800,v1=" + mac), body, "malformed"},
		{"a negative time", raw("t=-1,v1=" + mac), body, "malformed"},
		{"a time beyond all", raw("t=99999999999999999999,v1=" + mac), body, "malformed"},
		{"v0 only", raw(at + ",v0=" + mac), body, "signature"},
		{"V1 is no scheme", raw(at + ",V1=" + mac), body, "signature"},
		{"no hex", raw(at + ",v1=zz"), body, "signature"},
		{"half a signature", raw(at + ",v1=" + mac[:32]), body, "signature"},
		{"no signature", raw(at), body, "signature"},
		{"a part without a value", raw(header + ",x"), body, "malformed"},
		{"an empty header", raw(""), body, "malformed"},
		{"an endless header", raw(header + strings.Repeat(",v1="+mac, 200)), body, "malformed"},
		{"a live event in test mode", signed(live, secret, now), live, "mode"},
		{"another account's event", signed(foreign, secret, now), foreign, "account"},
		{"signed, with a NUL", signed(nul, secret, now), nul, "malformed"},
		{"signed, with a BOM", signed(bom, secret, now), bom, "malformed"},
	} {
		_, err := client(t).Verify(t.Context(), now, c.header, c.body)
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, c.name)
		require.Equal(t, c.reason, refused.Reason, "%s: %s", c.name, refused.Detail)
		require.NotContains(t, refused.Error(), "whsec", c.name)
	}
}

func TestVerifyRefusesSignedBodiesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	paid := sessionObject("complete", "paid", "pi_1")
	good := string(event("checkout.session.completed", paid))
	for name, body := range map[string]string{
		"no JSON":               "hello",
		"two values":            good + "{}",
		"a list":                "[]",
		"a thin event":          strings.Replace(good, `"object": "event"`, `"object": "v2.core.event"`, 1),
		"no livemode":           strings.Replace(good, `"livemode": false,`, ``, 1),
		"no object":             strings.Replace(good, `"object": `+paid, `"object_": 1`, 1),
		"an object of no kind":  string(event("checkout.session.completed", "7")),
		"an object without id":  string(event("checkout.session.completed", `{"object": "checkout.session"}`)),
		"no event id":           strings.Replace(good, "evt_1TestTestTest", "", 1),
		"an endless event id":   strings.Replace(good, "evt_1TestTestTest", strings.Repeat("e", 256), 1),
		"a control character":   strings.Replace(good, "evt_1TestTestTest", `evt_\u0000`, 1),
		"a letter beyond ASCII": strings.Replace(good, "evt_1TestTestTest", "evt_é", 1),
		"no type":               strings.Replace(good, "checkout.session.completed", "", 1),
		"a time before all":     strings.Replace(good, "1777636790", "-1000000000000000000", 1),
		"a time beyond all":     strings.Replace(good, "1777636790", "1000000000000000000", 1),
		"a fraction as a time":  strings.Replace(good, "1777636790", "1777636790.5", 1),
	} {
		b := []byte(body)
		_, err := client(t).Verify(t.Context(), now, signed(b, secret, now), b)
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, "malformed", refused.Reason, name)
	}
	longest := strings.Replace(good, "evt_1TestTestTest", strings.Repeat("e", 255), 1)
	_, err := client(t).Verify(t.Context(), now, signed([]byte(longest), secret, now), []byte(longest))
	require.NoError(t, err, "255 bytes are an id")
}

func TestVerifyForAConnectedAccount(t *testing.T) {
	t.Parallel()
	object := sessionObject("complete", "paid", "pi_1")
	c := client(t, func(cfg *stripe.Config) { cfg.ConnectedAccount = "acct_1" })
	ours := eventWith("checkout.session.completed", object, `"livemode": false, "account": "acct_1",`)
	_, err := c.Verify(t.Context(), now, signed(ours, secret, now), ours)
	require.NoError(t, err)
	platform := event("checkout.session.completed", object)
	_, err = c.Verify(t.Context(), now, signed(platform, secret, now), platform)
	var refused *payment.VerifyError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "account", refused.Reason)
}

func FuzzVerify(f *testing.F) {
	body := event("checkout.session.completed", sessionObject("complete", "paid", "pi_1"))
	good := signed(body, secret, now).Get(stripe.SignatureHeader)
	f.Add(good, body, false)
	f.Add(good, body, true)
	f.Add("t=1,v1=", []byte("{}"), true)
	f.Add("v1=00,t=", event("charge.refunded", `{"id": "ch_1"}`), true)
	f.Add("t=1777636800,v0=ab", event("refund.updated", refundObject("failed")), true)
	f.Add(good+","+good, event("payment_intent.succeeded", intentObject("succeeded", "")), true)
	f.Add("", event("customer.created", `{"id": null}`), true)
	f.Add(good, append([]byte("\xef\xbb\xbf"), body...), true)
	c := client(f)
	f.Fuzz(func(t *testing.T, header string, body []byte, sign bool) {
		h := http.Header{stripe.SignatureHeader: {header}}
		if sign {
			h = signed(body, secret, now)
		}
		r, err := c.Verify(t.Context(), now, h, body)
		if err != nil {
			var refused *payment.VerifyError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, []string{"malformed", "signature", "stale", "mode", "account"}, refused.Reason)
			require.Zero(t, r)
			return
		}
		// Whatever passes is signed, by the judgement of Stripe's own library.
		own := webhook.ValidatePayloadIgnoringTolerance(body, h.Get(stripe.SignatureHeader), secret)
		old := webhook.ValidatePayloadIgnoringTolerance(body, h.Get(stripe.SignatureHeader), oldSecret)
		require.True(t, own == nil || old == nil, "accepted and not signed")
		for _, id := range []string{r.EventID, r.EventType, r.ObjectID} {
			require.NotEmpty(t, id)
			require.LessOrEqual(t, len(id), 255)
			require.Equal(t, -1, strings.IndexFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }))
		}
		require.Equal(t, r.Class == payment.ClassFact, len(r.Facts) > 0)
		for _, o := range r.Facts {
			require.Positive(t, payment.Rank(o.Kind, o.Status))
			require.GreaterOrEqual(t, o.Amount, int64(0))
			require.Len(t, o.Currency, 3)
		}
	})
}
