package stripe_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
)

// answers gives the same answer to every request, as often as it is asked, and
// then no more: a list that never ends is the provider's, not ours.
type answers struct {
	status int
	body   string
	left   int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.left--; a.left < 0 {
		return nil, errors.New("no more answers")
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}

// stated checks what any reply may have led to.
func stated(t *testing.T, facts []payment.Observation) {
	t.Helper()
	for _, o := range facts {
		require.Positive(t, payment.Rank(o.Kind, o.Status))
		require.GreaterOrEqual(t, o.Amount, int64(0))
		require.GreaterOrEqual(t, o.Fee, int64(0))
		require.Len(t, o.Currency, 3)
		for _, key := range []string{o.Ref, o.PaymentID, o.RefundID, o.DisputeID, o.MovementID} {
			require.True(t, key == "" || payment.Printable(strings.TrimSuffix(key, ":fee")), "%q", key)
		}
	}
	stored, err := json.Marshal(facts)
	require.NoError(t, err)
	var again []payment.Observation
	require.NoError(t, json.Unmarshal(stored, &again))
	require.Equal(t, len(facts), len(again))
	for i := range facts {
		require.Equal(t, facts[i], again[i])
	}
}

// Whatever answers in Stripe's place, a call ends in facts that can be kept or in
// an error that the contract knows, and a page that is not understood is neither
// open nor paid.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		sessionObject("complete", "paid", "pi_1"), sessionObject("open", "unpaid", "null"), strings.Replace(sessionObject("complete", "paid", "x"), `"x"`, intentObject("succeeded", ""), 1),
		intentObject("requires_payment_method", `, "last_payment_error": {}`), refundObject("failed"), disputeObject("lost", taken+","+givenBak),
		disputeObject("won", `{"id":"txn_1","amount":-9223372036854775808,"fee":-1,"currency":"jpy"}`), disputeObject("prevented", "null"),
		`{"object":"list","data":[` + refundObject("succeeded") + `],"has_more":true}`, `{"object":"list","data":[null]}`, `{"error":{"code":"resource_missing"}}`,
		strings.Replace(sessionObject("open", "unpaid", "null"), "{", `{"url": "javascript:alert(1)", `, 1),
		"{}", "null", "", "<html>", `{"id":"cs_1","amount_total":1e3,"currency":"usd","status":"open"}`,
	} {
		f.Add(uint16(200), s)
		f.Add(uint16(404), s)
		f.Add(uint16(500), s)
	}
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		if status < 200 || status > 999 {
			return
		}
		a := &answers{int(status), body, 0}
		c := client(t, func(c *stripe.Config) { c.HTTPClient = &http.Client{Transport: a} })
		for object, kind := range map[string]string{
			"cs_test_1": "checkout.session.completed", "pi_1": "payment_intent.succeeded", "ch_1": "charge.refunded", "re_1": "refund.updated", "dp_1": "charge.dispute.closed",
		} {
			a.left = 3
			facts, err := c.Fetch(t.Context(), payment.Pointer{EventType: kind, ObjectID: object})
			if err == nil {
				require.Equal(t, 2, int(status)/100)
				stated(t, facts)
			}
		}
		a.left = 3
		facts, err := c.Refund(t.Context(), payment.RefundRequest{RequestID: attempt, PaymentID: "pi_1", Amount: 700, Currency: "USD"})
		if err == nil {
			stated(t, facts)
		}
		for _, call := range []func() (payment.Checkout, error){
			func() (payment.Checkout, error) { return c.FetchCheckout(t.Context(), "cs_test_1") },
			func() (payment.Checkout, error) { return c.CloseCheckout(t.Context(), "cs_test_1", "") },
			func() (payment.Checkout, error) {
				return c.CreateCheckout(t.Context(), payment.CheckoutRequest{
					AttemptID: attempt, OrderID: uuid.Max, Currency: "USD", Lines: []payment.CheckoutLine{{Name: "x", Price: 1500}},
					SuccessURL: "https://shop.example/done", CancelURL: "https://shop.example/cart", ExpiresAt: now.Add(time.Hour),
				})
			},
		} {
			a.left = 3
			page, err := call()
			if err != nil {
				require.Zero(t, page)
				continue
			}
			require.True(t, payment.Printable(page.Ref))
			require.True(t, page.URL == "" || strings.HasPrefix(page.URL, "https://") || strings.HasPrefix(page.URL, "http://"), page.URL)
			stated(t, page.Facts)
		}
	})
}
