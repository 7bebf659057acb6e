package paypal_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
)

// Whatever answers in PayPal's place, also when it is asked for a token, a call
// ends in facts that can be kept or in an error; no call goes elsewhere, and what
// a payer is sent to is an address of the web.
func FuzzAnswers(f *testing.F) {
	token := `{"access_token":"A21","expires_in":32400}`
	for _, s := range []string{
		orderBody("COMPLETED", captures(captureBody("COMPLETED"))), orderBody("APPROVED", ""), orderBody("CREATED", ""), captureBody("PENDING"), refundBody("PENDING", "", ""),
		strings.ReplaceAll(orderBody("CREATED", ""), "https://", "javascript:"), `{"name":"UNPROCESSABLE_ENTITY","details":[{"issue":"ORDER_ALREADY_CAPTURED"}]}`, "{}", "null", "", "<html>",
	} {
		f.Add(token, uint16(200), s)
		f.Add(token, uint16(201), s)
		f.Add(token, uint16(422), s)
	}
	for _, t := range []string{`{"access_token":"a\r\nX: y","expires_in":1}`, `{"access_token":"","expires_in":-1}`, `{"access_token":"\u0000","expires_in":1e30}`, `{"access_token":"A","expires_in":9223372036854775807}`, "[]", ""} {
		f.Add(t, uint16(200), orderBody("CREATED", ""))
	}
	f.Fuzz(func(t *testing.T, token string, status uint16, body string) {
		if status < 200 || status > 999 {
			return
		}
		left := 0
		c, err := paypal.New(config(func(c *paypal.Config) {
			c.HTTPClient = &http.Client{Transport: answering(func(r *http.Request) (int, string) {
				left--
				require.GreaterOrEqual(t, left, 0, "asked for ever")
				require.Equal(t, "api-m.sandbox.paypal.com", r.URL.Host)
				if strings.ContainsFunc(r.Header.Get("Authorization"), unicode.IsControl) {
					return http.StatusUnauthorized, "" // no real transport sends it
				}
				if strings.HasSuffix(r.URL.Path, "/oauth2/token") {
					return http.StatusOK, token
				}
				return int(status), body
			})}
		}))
		require.NoError(t, err)
		stated := func(facts []payment.Observation) {
			for _, o := range facts {
				require.Positive(t, payment.Rank(o.Kind, o.Status))
				require.True(t, o.Amount >= 0 && o.Fee >= 0)
				for _, key := range []string{o.Ref, o.PaymentID, o.RefundID, o.DisputeID, o.MovementID} {
					require.True(t, key == "" || payment.Printable(key), "%q", key)
				}
			}
		}
		for _, call := range []func() (payment.Checkout, error){
			func() (payment.Checkout, error) { return c.CreateCheckout(t.Context(), checkout()) },
			func() (payment.Checkout, error) { return c.FetchCheckout(t.Context(), pageID) },
			func() (payment.Checkout, error) { return c.CloseCheckout(t.Context(), pageID, "") },
		} {
			left = 20
			page, err := call()
			if err != nil {
				require.False(t, page.Open)
				continue
			}
			require.True(t, payment.Printable(page.Ref))
			require.True(t, page.URL == "" || strings.HasPrefix(page.URL, "https://") || strings.HasPrefix(page.URL, "http://"), page.URL)
			stated(page.Facts)
		}
		left = 20
		if facts, err := c.Capture(t.Context(), captureRequest()); err == nil {
			stated(facts)
		}
		left = 20
		if facts, err := c.Refund(t.Context(), refundRequest()); err == nil {
			stated(facts)
		}
	})
}

// answering is a transport that answers with a status and a body.
type answering func(*http.Request) (int, string)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := a(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body))}, nil
}
