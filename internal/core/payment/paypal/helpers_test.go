package paypal_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
)

var (
	attemptID = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000a")
	orderID   = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000b")
	requestID = uuid.MustParse("0199aaaa-0000-7000-8000-00000000000c")
)

const (
	pageID    = "5O190127TN364715T"
	captureID = "3C679366HH908993F"
	refundID  = "1JU08902781691411"
	disputeID = "PP-D-27803"
)

// call is a request as PayPal got it.
type call struct {
	route  string
	header http.Header
	body   string
}

// desk is our client in front of a server of literal answers.
type desk struct {
	*paypal.Client
	mu      sync.Mutex
	answers map[string][]reply
	calls   []call
}

type reply struct {
	status int
	body   string
}

func config(change ...func(*paypal.Config)) paypal.Config {
	cfg := paypal.Config{Account: "main", ClientID: "client", ClientSecret: "s3cret", WebhookID: "1JE4291016473214C"}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// open makes a desk that hands out tokens and nothing else.
func open(t *testing.T, change ...func(*paypal.Config)) *desk {
	t.Helper()
	d := &desk{answers: map[string][]reply{}}
	srv := httptest.NewServer(d)
	t.Cleanup(srv.Close)
	c, err := paypal.New(config(append([]func(*paypal.Config){func(c *paypal.Config) { c.BaseURL = srv.URL }}, change...)...))
	require.NoError(t, err)
	d.Client = c
	d.on("POST /v1/oauth2/token", 200, `{"scope":"x","access_token":"A21","token_type":"Bearer","app_id":"APP","expires_in":32400,"nonce":"n"}`)
	return d
}

// on sets the answer to a route; several are given one after the other, the last
// for ever.
func (d *desk) on(route string, status int, body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[route] = append(d.answers[route], reply{status, body})
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	route := r.Method + " " + r.URL.RequestURI()
	d.mu.Lock()
	d.calls = append(d.calls, call{route, r.Header, string(body)})
	queue := d.answers[route]
	if len(queue) > 1 {
		d.answers[route] = queue[1:]
	}
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if len(queue) == 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, problem("RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"))
		return
	}
	w.WriteHeader(queue[0].status)
	_, _ = io.WriteString(w, queue[0].body)
}

// made lists the routes called, without those for tokens.
func (d *desk) made() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []string{}
	for _, c := range d.calls {
		if !strings.HasSuffix(c.route, "/token") {
			out = append(out, c.route)
		}
	}
	return out
}

func (d *desk) last(route string) call {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.calls) - 1; i >= 0; i-- {
		if d.calls[i].route == route {
			return d.calls[i]
		}
	}
	return call{}
}

const (
	routeCreate  = "POST /v2/checkout/orders"
	routeOrder   = "GET /v2/checkout/orders/" + pageID
	routeTake    = "POST /v2/checkout/orders/" + pageID + "/capture"
	routeCapture = "GET /v2/payments/captures/" + captureID
	routeRefund  = "POST /v2/payments/captures/" + captureID + "/refund"
	routeBack    = "GET /v2/payments/refunds/" + refundID
	routeDispute = "GET /v1/customer/disputes/" + disputeID
)

func problem(name, issue string) string {
	return fmt.Sprintf(`{"name":%q,"message":"m","debug_id":"90957fca61718","details":[{"issue":%q,"description":"words"}],"links":[]}`, name, issue)
}

func unprocessable(issue string) string { return problem("UNPROCESSABLE_ENTITY", issue) }

const links = `"links":[{"href":"https://api-m.sandbox.paypal.com/v2/checkout/orders/` + pageID + `","rel":"self","method":"GET"},
	{"href":"https://www.sandbox.paypal.com/checkoutnow?token=` + pageID + `","rel":"payer-action","method":"GET"}]`

// orderBody is an order as PayPal describes it, with payments like
// `"captures":[...]`.
func orderBody(status, payments string) string {
	return orderOf(status, attemptID.String(), "USD", "15.00", payments)
}

func orderOf(status, custom, currency, value, payments string) string {
	return fmt.Sprintf(`{"id":%q,"intent":"CAPTURE","status":%q,"purchase_units":[{"reference_id":%q,"custom_id":%q,"invoice_id":%q,
		"amount":{"currency_code":%q,"value":%q,"breakdown":{"item_total":{"currency_code":%q,"value":%q}}},
		"payee":{"merchant_id":"3SQBR4YEWZ4BA"},"payments":{%s}}],"create_time":"2026-05-01T11:00:00Z",%s}`,
		pageID, status, orderID, custom, custom, currency, value, currency, value, payments, links)
}

func captureBody(status string) string {
	return captureOf(status, fmt.Sprintf(`"custom_id":%q,"invoice_id":%q,"supplementary_data":{"related_ids":{"order_id":%q}},`, attemptID, attemptID, pageID))
}

func captureOf(status, more string) string {
	return fmt.Sprintf(`{"id":%q,"status":%q,"amount":{"currency_code":"USD","value":"15.00"},"final_capture":true,%s
		"seller_receivable_breakdown":{"gross_amount":{"currency_code":"USD","value":"15.00"},"paypal_fee":{"currency_code":"USD","value":"0.82"},
		"net_amount":{"currency_code":"USD","value":"14.18"}},"links":[{"href":"https://api-m.sandbox.paypal.com/v2/checkout/orders/%s","rel":"up"}]}`,
		captureID, status, more, pageID)
}

func refundBody(status, invoice, note string) string {
	return fmt.Sprintf(`{"id":%q,"status":%q,"amount":{"currency_code":"USD","value":"7.00"},"invoice_id":%q,"note_to_payer":%q,
		"links":[{"href":"https://api-m.sandbox.paypal.com/v2/payments/refunds/%s","rel":"self"},
		{"href":"https://api-m.sandbox.paypal.com/v2/payments/captures/%s","rel":"up"}]}`, refundID, status, invoice, note, refundID, captureID)
}

func captures(list ...string) string { return `"captures":[` + strings.Join(list, ",") + `]` }

func refunds(list ...string) string { return `,"refunds":[` + strings.Join(list, ",") + `]` }

func fact(kind payment.Kind, status string) payment.Observation {
	return payment.Observation{Provider: "paypal", Account: "main", Kind: kind, Status: status, Amount: 1500, Currency: "USD"}
}

func attemptFact(status string) payment.Observation {
	o := fact(payment.KindAttempt, status)
	o.AttemptID, o.Ref = attemptID, pageID
	return o
}

func paymentFact(status string) payment.Observation {
	o := fact(payment.KindPayment, status)
	o.AttemptID, o.PaymentID, o.Fee = attemptID, captureID, 82
	return o
}

func refundFact(status string, request uuid.UUID) payment.Observation {
	o := fact(payment.KindRefund, status)
	o.PaymentID, o.RefundID, o.RequestID, o.Amount = captureID, refundID, request, 700
	return o
}

func checkout() payment.CheckoutRequest {
	return payment.CheckoutRequest{
		AttemptID: attemptID, OrderID: orderID, Currency: "USD", Email: "ada@example.com", Description: "Spring run",
		Lines:      []payment.CheckoutLine{{Name: "DSC_0001", Price: 1200}, {Name: "DSC_0002", Price: 300}},
		SuccessURL: "https://shop.example/done", CancelURL: "https://shop.example/cart", ExpiresAt: now.AddDate(0, 0, 1),
	}
}

func captureRequest() payment.CaptureRequest {
	return payment.CaptureRequest{AttemptID: attemptID, Ref: pageID, Amount: 1500, Currency: "USD"}
}

func refundRequest() payment.RefundRequest {
	return payment.RefundRequest{RequestID: requestID, PaymentID: captureID, Amount: 700, Currency: "USD"}
}

// unknown demands an error that is no decision of PayPal's.
func unknown(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var rejected *payment.RejectedError
	require.NotErrorAs(t, err, &rejected)
	require.NotErrorIs(t, err, payment.ErrNotFound)
}

func requireJSON(t *testing.T, want, got string) {
	t.Helper()
	require.True(t, json.Valid([]byte(got)), got)
	require.JSONEq(t, want, got)
}

// roundTrip answers every request with 200 and a body.
type roundTrip func(*http.Request) string

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(f(r))),
	}, nil
}
