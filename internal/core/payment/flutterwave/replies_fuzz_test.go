package flutterwave_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
)

// answers gives the same answer to every request, so often and then no more.
type answers struct {
	status int
	body   string
	left   int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.left--; a.left < 0 {
		return nil, errors.New("no more answers")
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// stated checks what any reply may have led to.
func stated(t *testing.T, facts []payment.Observation) {
	t.Helper()
	for _, o := range facts {
		require.Positive(t, payment.Rank(o.Kind, o.Status))
		require.GreaterOrEqual(t, o.Amount, int64(0))
		require.GreaterOrEqual(t, o.Fee, int64(0))
		for _, key := range []string{o.Ref, o.PaymentID, o.RefundID, o.DisputeID, o.MovementID} {
			require.True(t, key == "" || payment.Printable(key), "%q", key)
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

// Whatever answers in Flutterwave's place, a call ends in facts that can be kept,
// about what was asked, or in an error.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		verified("288200108", "100", "successful"), verified("288200108", "0.0001", "failed"), hostedLink,
		`{"status":"success","message":"","data":{"link":"javascript:alert(1)"}}`, `{"status":"success","message":"","data":{"link":"https://evil.example/"}}`,
		list("", 3, transaction("288200108", "100", "pending")), list("", 1<<30, `{"id":1390,"transaction_id":288200108,"amount":100,"status":"lost"}`),
		list("", 1, `{"id":75923,"tx_id":288200108,"amount_refunded":100,"status":"completed-mpgs","comment":"refund `+request.String()+`"}`),
		`{"status":"success","message":"","data":{"id":75923,"transaction_id":"288200108","amount_refunded":1e2,"status":"new"}}`,
		`{"status":"error","message":"No transaction was found for this id","data":null}`, `{"status":"success","data":[null]}`, "{}", "null", "", "<html>",
	} {
		f.Add(uint16(200), s)
		f.Add(uint16(400), s)
		f.Add(uint16(503), s)
	}
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		if status < 200 || status > 999 {
			return
		}
		a := &answers{int(status), body, 0}
		c := client(t, func(c *flutterwave.Config) { c.HTTPClient = &http.Client{Transport: a} })
		for object, about := range map[string]string{"288200108": "288200108", "refund:75923": "", "chargeback:1390:288200108": "288200108"} {
			a.left = 6
			facts, err := c.Fetch(t.Context(), payment.Pointer{EventType: "missing", ObjectID: object})
			if err != nil {
				continue
			}
			stated(t, facts)
			for _, o := range facts {
				require.True(t, about == "" || o.PaymentID == about, "asked about %s, told about %s", about, o.PaymentID)
			}
		}
		a.left = 6
		if facts, err := c.Disputes(t.Context(), now); err == nil {
			stated(t, facts)
		}
		a.left = 6
		if facts, err := c.Refund(t.Context(), payment.RefundRequest{RequestID: request, PaymentID: "288200108", Amount: 700, Currency: "NGN"}); err == nil {
			stated(t, facts)
		}
		in := order()
		in.ExpiresAt = time.Now().Add(time.Hour)
		for _, call := range []func() (payment.Checkout, error){
			func() (payment.Checkout, error) { return c.FetchCheckout(t.Context(), attempt.String()) },
			func() (payment.Checkout, error) {
				return c.CloseCheckout(t.Context(), attempt.String(), "https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-1")
			},
			func() (payment.Checkout, error) { return c.CreateCheckout(t.Context(), in) },
		} {
			a.left = 6
			page, err := call()
			if err != nil {
				require.Zero(t, page)
				continue
			}
			require.Equal(t, attempt.String(), page.Ref)
			require.True(t, page.URL == "" || strings.HasPrefix(page.URL, "https://") || strings.HasPrefix(page.URL, "http://"), page.URL)
			stated(t, page.Facts)
		}
	})
}
