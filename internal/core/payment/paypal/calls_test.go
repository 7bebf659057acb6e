package paypal_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/testkit/pgtest"
)

const approveURL = "https://www.sandbox.paypal.com/checkoutnow?token=" + pageID

func TestCreateCheckout(t *testing.T) {
	t.Parallel()
	d, in := open(t), checkout()
	d.on(routeCreate, 201, orderBody("PAYER_ACTION_REQUIRED", ""))
	page, err := d.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, payment.Checkout{Ref: pageID, URL: approveURL, Open: true, ExpiresAt: in.ExpiresAt, Facts: []payment.Observation{}}, page)

	sent := d.last(routeCreate)
	require.Equal(t, attemptID.String(), sent.header.Get("Paypal-Request-Id"))
	require.Equal(t, "return=representation", sent.header.Get("Prefer"))
	require.Equal(t, "Bearer A21", sent.header.Get("Authorization"))
	require.Equal(t, "application/json", sent.header.Get("Content-Type"))
	requireJSON(t, `{
		"intent": "CAPTURE",
		"purchase_units": [{
			"reference_id": "0199aaaa-0000-7000-8000-00000000000b",
			"custom_id": "0199aaaa-0000-7000-8000-00000000000a",
			"invoice_id": "0199aaaa-0000-7000-8000-00000000000a",
			"description": "Spring run",
			"amount": {"currency_code": "USD", "value": "15.00", "breakdown": {"item_total": {"currency_code": "USD", "value": "15.00"}}},
			"items": [
				{"name": "DSC_0001", "quantity": "1", "unit_amount": {"currency_code": "USD", "value": "12.00"}, "category": "DIGITAL_GOODS"},
				{"name": "DSC_0002", "quantity": "1", "unit_amount": {"currency_code": "USD", "value": "3.00"}, "category": "DIGITAL_GOODS"}
			]
		}],
		"payment_source": {"paypal": {
			"email_address": "ada@example.com",
			"experience_context": {
				"return_url": "https://shop.example/done", "cancel_url": "https://shop.example/cart",
				"user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING", "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED"
			}
		}}
	}`, sent.body)
	_, err = d.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, sent.body, d.last(routeCreate).body, "a repeated call sends the same bytes")
}

// TestCreateRepeated: an answer from PayPal's memory says how the page was.
func TestCreateRepeated(t *testing.T) {
	t.Parallel()
	d, in := open(t), checkout()
	d.on(routeCreate, 200, orderBody("PAYER_ACTION_REQUIRED", ""))
	d.on(routeOrder, 200, strings.ReplaceAll(orderBody("APPROVED", ""), "payer-action", "update"))
	page, err := d.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{attemptFact("approved")}, page.Facts)
	require.Equal(t, approveURL, page.URL)

	require.True(t, page.Open)
	page, err = d.FetchCheckout(t.Context(), pageID)
	require.NoError(t, err)
	require.Equal(t, payment.Checkout{Ref: pageID, Facts: []payment.Observation{attemptFact("approved")}}, page, "PayPal names no page any more")

	d = open(t)
	d.on(routeCreate, 200, orderBody("PAYER_ACTION_REQUIRED", ""))
	d.on(routeOrder, 200, orderBody("COMPLETED", captures(captureBody("COMPLETED"))))
	page, err = d.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.False(t, page.Open)
	require.Empty(t, page.URL)
	require.Equal(t, []payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")}, page.Facts)
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeCreate, 422, unprocessable("CURRENCY_NOT_SUPPORTED"))
	_, err := d.CreateCheckout(t.Context(), checkout())
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no)
	require.Equal(t, payment.RejectedError{Provider: "paypal", Code: "CURRENCY_NOT_SUPPORTED", Message: "words"}, *no)

	in := checkout()
	in.Currency = "NGN"
	calls := len(d.made())
	_, err = d.CreateCheckout(t.Context(), in)
	require.ErrorAs(t, err, &no)
	require.Equal(t, "amount", no.Code)
	require.Len(t, d.made(), calls, "what PayPal cannot take is not sent")

	// The invoice was paid under a page that PayPal has forgotten our key of.
	d = open(t)
	d.on(routeCreate, 422, unprocessable("DUPLICATE_INVOICE_ID"))
	_, err = d.CreateCheckout(t.Context(), checkout())
	unknown(t, err)
	require.ErrorIs(t, err, payment.ErrStored, "the attempt is abandoned and never forgotten")
}

func TestClose(t *testing.T) {
	t.Parallel()
	closed := []payment.Observation{attemptFact("closed")}
	for body, want := range map[string][]payment.Observation{
		orderBody("PAYER_ACTION_REQUIRED", ""):                   closed,
		orderBody("APPROVED", ""):                                closed,
		orderBody("VOIDED", ""):                                  {attemptFact("expired")},
		orderBody("COMPLETED", captures(captureBody("PENDING"))): {attemptFact("processing"), paymentFact("pending")},
		orderBody("COMPLETED", captures(captureBody("COMPLETED"))): {
			attemptFact("succeeded"), paymentFact("succeeded"),
		},
		orderBody("APPROVED", captures(captureBody("DECLINED"))): {attemptFact("closed"), paymentFact("failed")},
	} {
		d := open(t)
		d.on(routeOrder, 200, body)
		page, err := d.CloseCheckout(t.Context(), pageID, approveURL)
		require.NoError(t, err)
		require.Equal(t, payment.Checkout{Ref: pageID, Facts: want}, page)
		require.Equal(t, []string{routeOrder}, d.made(), "nothing can be closed at PayPal")
	}
	_, err := open(t).CloseCheckout(t.Context(), pageID, approveURL)
	require.ErrorIs(t, err, payment.ErrNotFound)
}

func TestCapture(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeOrder, 200, orderBody("APPROVED", ""))
	d.on(routeTake, 201, orderBody("COMPLETED", captures(captureBody("COMPLETED"))))
	facts, err := d.Capture(t.Context(), captureRequest())
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")}, facts)
	sent := d.last(routeTake)
	require.Equal(t, attemptID.String(), sent.header.Get("Paypal-Request-Id"))
	require.Equal(t, "return=representation", sent.header.Get("Prefer"))
	require.Equal(t, "{}", sent.body)
	require.Equal(t, []string{routeOrder, routeTake}, d.made())
}

// TestCaptureCountsTheCapture: an order that is complete is not yet money.
func TestCaptureCountsTheCapture(t *testing.T) {
	t.Parallel()
	for status, want := range map[string][]payment.Observation{
		"PENDING":  {attemptFact("processing"), paymentFact("pending")},
		"DECLINED": {attemptFact("failed"), paymentFact("failed")},
		"FAILED":   {attemptFact("failed"), paymentFact("failed")},
	} {
		d := open(t)
		d.on(routeOrder, 200, orderBody("APPROVED", ""))
		d.on(routeTake, 201, orderBody("COMPLETED", captures(captureBody(status))))
		facts, err := d.Capture(t.Context(), captureRequest())
		require.NoError(t, err)
		require.Equal(t, want, facts, status)
	}
}

// TestCaptureComparesFirst: nothing is taken for another attempt, amount or
// currency than was asked for.
func TestCaptureComparesFirst(t *testing.T) {
	t.Parallel()
	other := uuid.MustParse("0199aaaa-0000-7000-8000-0000000000ff")
	for name, body := range map[string]string{
		"a smaller amount":    orderOf("APPROVED", attemptID.String(), "USD", "14.99", ""),
		"a larger amount":     orderOf("APPROVED", attemptID.String(), "USD", "150.00", ""),
		"another currency":    orderOf("APPROVED", attemptID.String(), "EUR", "15.00", ""),
		"another attempt":     orderOf("APPROVED", other.String(), "USD", "15.00", ""),
		"nobody's":            orderOf("APPROVED", "cart-7", "USD", "15.00", ""),
		"only to be reserved": strings.Replace(orderBody("APPROVED", ""), `"CAPTURE"`, `"AUTHORIZE"`, 1),
	} {
		d := open(t)
		d.on(routeOrder, 200, body)
		facts, err := d.Capture(t.Context(), captureRequest())
		require.NoError(t, err, name)
		require.Equal(t, "approved", facts[0].Status, name)
		require.Equal(t, []string{routeOrder}, d.made(), "%s: captured", name)
	}
	for _, status := range []string{"VOIDED", "COMPLETED"} {
		d := open(t)
		d.on(routeOrder, 200, orderBody(status, captures(captureBody("COMPLETED"))))
		facts, err := d.Capture(t.Context(), captureRequest())
		require.NoError(t, err)
		require.Equal(t, "succeeded", facts[0].Status)
		require.Equal(t, []string{routeOrder}, d.made(), "there is nothing to take")
	}
}

func TestCaptureRefused(t *testing.T) {
	t.Parallel()
	paid := orderBody("COMPLETED", captures(captureBody("COMPLETED")))
	done := []payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")}
	declined := fact(payment.KindPayment, "failed")
	declined.AttemptID, declined.PaymentID = attemptID, pageID
	for _, c := range []struct {
		issue, after string
		want         []payment.Observation
		kind         error // behind; nil with no want: rejected
	}{
		{"ORDER_ALREADY_CAPTURED", paid, done, nil},
		{"ORDER_ALREADY_CAPTURED", orderBody("APPROVED", ""), nil, payment.ErrBehind},
		{"ORDER_NOT_APPROVED", orderBody("PAYER_ACTION_REQUIRED", ""), []payment.Observation{attemptFact("open")}, nil},
		{"PAYER_ACTION_REQUIRED", orderBody("PAYER_ACTION_REQUIRED", ""), []payment.Observation{attemptFact("open")}, nil},
		{"INSTRUMENT_DECLINED", orderBody("APPROVED", ""), []payment.Observation{attemptFact("approved"), declined}, nil},
		{"INSTRUMENT_DECLINED", orderBody("PAYER_ACTION_REQUIRED", ""), []payment.Observation{attemptFact("open"), declined}, nil},
		{"INSTRUMENT_DECLINED", paid, done, nil},
		{"DUPLICATE_INVOICE_ID", paid, done, nil},
		{"DUPLICATE_INVOICE_ID", orderBody("APPROVED", ""), nil, nil},
		{"COMPLIANCE_VIOLATION", orderBody("APPROVED", ""), nil, nil},
		{"MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", orderBody("APPROVED", ""), nil, nil},
	} {
		d := open(t)
		d.on(routeOrder, 200, orderBody("APPROVED", ""))
		d.on(routeOrder, 200, c.after)
		d.on(routeTake, 422, unprocessable(c.issue))
		facts, err := d.Capture(t.Context(), captureRequest())
		switch {
		case c.kind != nil:
			unknown(t, err)
			require.ErrorIs(t, err, c.kind, c.issue)
		case c.want == nil:
			var no *payment.RejectedError
			require.ErrorAs(t, err, &no, c.issue)
			require.Equal(t, c.issue, no.Code)
		default:
			require.NoError(t, err, c.issue)
			require.Equal(t, c.want, facts, c.issue)
		}
	}
	d := open(t)
	d.on(routeOrder, 200, orderBody("APPROVED", ""))
	d.on(routeTake, 422, unprocessable("ORDER_COMPLETION_IN_PROGRESS"))
	_, err := d.Capture(t.Context(), captureRequest())
	unknown(t, err)
}

// TestCaptureAnsweredFromMemory: a repeated call, or a short answer, is followed
// by a question.
func TestCaptureAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]reply{
		"repeated": {200, orderBody("COMPLETED", captures(captureBody("PENDING")))},
		"short":    {201, `{"id":"` + pageID + `","status":"COMPLETED"}`},
	} {
		d := open(t)
		d.on(routeOrder, 200, orderBody("APPROVED", ""))
		d.on(routeOrder, 200, orderBody("COMPLETED", captures(captureBody("COMPLETED"))))
		d.on(routeTake, answer.status, answer.body)
		facts, err := d.Capture(t.Context(), captureRequest())
		require.NoError(t, err, name)
		require.Equal(t, []payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")}, facts, name)
	}
	d := open(t)
	d.on(routeOrder, 200, orderBody("APPROVED", ""))
	d.on(routeTake, 200, orderBody("COMPLETED", ""))
	_, err := d.Capture(t.Context(), captureRequest())
	require.ErrorIs(t, err, payment.ErrBehind, "captured, and nothing shows it yet")
}

func TestRefund(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeRefund, 201, refundBody("COMPLETED", requestID.String(), ""))
	facts, err := d.Refund(t.Context(), refundRequest())
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{refundFact("succeeded", requestID)}, facts)
	sent := d.last(routeRefund)
	require.Equal(t, requestID.String(), sent.header.Get("Paypal-Request-Id"))
	requireJSON(t, `{"amount":{"currency_code":"USD","value":"7.00"},"invoice_id":"0199aaaa-0000-7000-8000-00000000000c"}`, sent.body)

	// Answered from memory, the refund may have moved on.
	d = open(t)
	d.on(routeRefund, 200, refundBody("PENDING", requestID.String(), ""))
	d.on(routeBack, 200, refundBody("FAILED", requestID.String(), ""))
	facts, err = d.Refund(t.Context(), refundRequest())
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{refundFact("failed", requestID)}, facts)

	// An answer that leaves our own number out is the answer to our own call.
	d = open(t)
	d.on(routeRefund, 201, refundBody("PENDING", "", ""))
	facts, err = d.Refund(t.Context(), refundRequest())
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{refundFact("pending", requestID)}, facts)
}

// TestRefundWhoseKeyWasForgotten: the invoice number is the second net.
func TestRefundWhoseKeyWasForgotten(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeRefund, 422, unprocessable("DUPLICATE_INVOICE_ID"))
	d.on(routeCapture, 200, captureBody("PARTIALLY_REFUNDED"))
	d.on(routeOrder, 200, orderBody("COMPLETED", captures(captureBody("PARTIALLY_REFUNDED"))+refunds(refundBody("COMPLETED", requestID.String(), ""))))
	facts, err := d.Refund(t.Context(), refundRequest())
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{refundFact("succeeded", requestID)}, facts)

	other := refundRequest()
	other.RequestID = uuid.New()
	_, err = d.Refund(t.Context(), other)
	unknown(t, err)
	require.ErrorIs(t, err, payment.ErrBehind)
}

func TestRefundRefused(t *testing.T) {
	t.Parallel()
	for _, issue := range []string{"CAPTURE_FULLY_REFUNDED", "REFUND_AMOUNT_EXCEEDED", "TRANSACTION_DISPUTED", "REFUND_TIME_LIMIT_EXCEEDED"} {
		d := open(t)
		d.on(routeRefund, 422, unprocessable(issue))
		_, err := d.Refund(t.Context(), refundRequest())
		var no *payment.RejectedError
		require.ErrorAs(t, err, &no)
		require.Equal(t, issue, no.Code)
	}
	d := open(t)
	d.on(routeRefund, 422, unprocessable("PENDING_CAPTURE"))
	_, err := d.Refund(t.Context(), refundRequest())
	unknown(t, err) // it passes
	_, err = open(t).Refund(t.Context(), refundRequest())
	require.ErrorIs(t, err, payment.ErrNotFound)
	in := refundRequest()
	in.Currency, in.Amount = "HUF", 150
	_, err = d.Refund(t.Context(), in)
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no)
	require.Equal(t, "amount", no.Code)
}

// every calls each method that makes a call, with what it would need.
func every(ctx context.Context, c *paypal.Client) map[string]error {
	_, create := c.CreateCheckout(ctx, checkout())
	_, fetch := c.FetchCheckout(ctx, pageID)
	_, closed := c.CloseCheckout(ctx, pageID, "")
	_, capture := c.Capture(ctx, captureRequest())
	_, refund := c.Refund(ctx, refundRequest())
	out := map[string]error{"create": create, "fetch": fetch, "close": closed, "capture": capture, "refund": refund}
	for _, event := range []string{"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REVERSED", "CUSTOMER.DISPUTE.CREATED"} {
		_, out[event] = c.Fetch(ctx, payment.Pointer{EventType: event, ObjectID: "X"})
	}
	return out
}

func TestTroubleOnTheWayIsUnknown(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"a proxy's 404":         func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"a proxy's 400":         answer(400, "<html>"),
		"a proxy's JSON":        answer(404, `{"error":"no route"}`),
		"an empty answer":       answer(200, ""),
		"no JSON":               answer(200, "<html>"),
		"another object":        answer(200, `{"id":"x"}`),
		"a list":                answer(200, `[]`),
		"a redirect":            func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"a failure of PayPal's": answer(500, problem("INTERNAL_SERVER_ERROR", "INTERNAL_SERVICE_ERROR")),
		"a limit":               answer(429, problem("RATE_LIMIT_REACHED", "RATE_LIMIT_REACHED")),
		"a call under way":      answer(409, problem("RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS")),
		"a key used otherwise":  answer(422, unprocessable("DUPLICATE_REQUEST_ID")),
		"too much":              answer(200, `{"id":"`+strings.Repeat("x", 5<<20)+`"}`),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"id":`))
		},
		"no answer in time": func(http.ResponseWriter, *http.Request) { <-hang },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/token") {
					_, _ = w.Write([]byte(`{"access_token":"A21","expires_in":32400}`))
					return
				}
				h(w, r)
			}))
			t.Cleanup(srv.CloseClientConnections)
			c, err := paypal.New(config(func(c *paypal.Config) { c.BaseURL, c.Timeout = srv.URL, 100*time.Millisecond }))
			require.NoError(t, err)
			for what, err := range every(t.Context(), c) {
				unknown(t, err)
				require.NotErrorIs(t, err, payment.ErrNotSent, what)
				require.NotErrorIs(t, err, payment.ErrCredentials, what)
			}
		})
	}
}

func TestACallThatWasNeverMade(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(nil)
	srv.Close()
	c, err := paypal.New(config(func(c *paypal.Config) { c.BaseURL = srv.URL }))
	require.NoError(t, err)
	for what, err := range every(t.Context(), c) {
		unknown(t, err)
		require.ErrorIs(t, err, payment.ErrNotSent, what)
	}
}

func TestNoCallInsideATransaction(t *testing.T) {
	t.Parallel()
	d, db := open(t), pgtest.New(t)
	require.NoError(t, pg.Exec(t.Context(), db.Pool, func(ctx context.Context, _ pgx.Tx) error {
		for what, err := range every(ctx, d.Client) {
			require.ErrorIs(t, err, pg.ErrInTransaction, what)
		}
		return nil
	}))
	require.Empty(t, d.calls)
}

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeOrder, 200, orderBody("CREATED", ""))
	for range 5 {
		_, err := d.FetchCheckout(t.Context(), pageID)
		require.NoError(t, err)
	}
	require.Len(t, d.calls, 6, "one token for five calls")
	first := d.calls[0]
	require.Equal(t, "POST /v1/oauth2/token", first.route)
	require.Equal(t, "grant_type=client_credentials", first.body)
	require.Equal(t, "application/x-www-form-urlencoded", first.header.Get("Content-Type"))
	require.Equal(t, "Basic Y2xpZW50OnMzY3JldA==", first.header.Get("Authorization"))
}

func TestTokenThatRunsOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.answers = map[string][]reply{}
	d.on("POST /v1/oauth2/token", 200, `{"access_token":"A21","expires_in":0}`)
	d.on(routeOrder, 200, orderBody("CREATED", ""))
	for range 3 {
		_, err := d.FetchCheckout(t.Context(), pageID)
		require.NoError(t, err)
	}
	require.Len(t, d.calls, 6, "a token that has run out is not used again")
}

// TestTokenRefused: a 401 is followed by one new token; a second is the operator's
// business, and reads like it.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on("POST /v1/oauth2/token", 200, `{"access_token":"A22","expires_in":32400}`)
	d.on(routeTake, 401, problem("AUTHENTICATION_FAILURE", ""))
	d.on(routeTake, 201, orderBody("COMPLETED", captures(captureBody("COMPLETED"))))
	d.on(routeOrder, 200, orderBody("APPROVED", ""))
	_, err := d.Capture(t.Context(), captureRequest())
	require.NoError(t, err)
	require.Equal(t, "Bearer A22", d.last(routeTake).header.Get("Authorization"))
	require.Equal(t, attemptID.String(), d.last(routeTake).header.Get("Paypal-Request-Id"))
	require.Equal(t, "{}", d.last(routeTake).body)

	for _, body := range []string{problem("AUTHENTICATION_FAILURE", "INVALID_ACCOUNT_STATUS"), "", `{"error":"invalid_token"}`} {
		d = open(t)
		d.on(routeOrder, 401, body)
		_, err = d.FetchCheckout(t.Context(), pageID)
		unknown(t, err)
		require.ErrorIs(t, err, payment.ErrCredentials)
		require.Len(t, d.calls, 4, "a token, a call, a token, a call")
	}
	d = open(t)
	d.on(routeDispute, 403, problem("NOT_AUTHORIZED", "PERMISSION_DENIED"))
	_, err = d.Fetch(t.Context(), payment.Pointer{EventType: "CUSTOMER.DISPUTE.CREATED", ObjectID: disputeID})
	require.ErrorIs(t, err, payment.ErrCredentials, "the app lacks a permission")
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	for body, credentials := range map[string]bool{
		`{"error":"invalid_client","error_description":"Client Authentication failed"}`: true,
		`{"error":"unauthorized_client"}`:                                               true,
		`{"error":"temporarily_unavailable"}`:                                           false,
		`<html>`:                                                                        false,
		``:                                                                              false,
	} {
		d := open(t)
		d.answers = map[string][]reply{}
		d.on("POST /v1/oauth2/token", 401, body)
		for what, err := range every(t.Context(), d.Client) {
			unknown(t, err)
			require.Equal(t, credentials, errors.Is(err, payment.ErrCredentials), "%s: %v", what, err)
			require.Equal(t, !credentials, errors.Is(err, payment.ErrNotSent), "%s: %v", what, err)
			require.NotContains(t, err.Error(), "s3cret")
		}
		require.Empty(t, d.made())
	}
}

// TestOneTokenForAllWhoWait: who comes while a token is fetched waits for it, and
// who goes away takes it from nobody.
func TestOneTokenForAllWhoWait(t *testing.T) {
	t.Parallel()
	entered, gate := make(chan struct{}, 64), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			entered <- struct{}{}
			<-gate
			_, _ = w.Write([]byte(`{"access_token":"A21","expires_in":32400}`))
			return
		}
		_, _ = w.Write([]byte(orderBody("CREATED", "")))
	}))
	t.Cleanup(srv.Close)
	c, err := paypal.New(config(func(c *paypal.Config) { c.BaseURL = srv.URL }))
	require.NoError(t, err)
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := c.FetchCheckout(gone, pageID); left <- err }()
	<-entered
	errs := make(chan error, 16)
	for range cap(errs) {
		go func() { _, err := c.FetchCheckout(t.Context(), pageID); errs <- err }()
	}
	leave()
	require.ErrorIs(t, <-left, payment.ErrNotSent)
	close(gate)
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Empty(t, entered, "one token")
}

func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(refundBody("COMPLETED", "", ""))), captureBody("PENDING"),
		refundBody("FAILED", "", ""), disputeBody("RESOLVED", "CHARGEBACK", outcome("NONE"), ""), "{}", "null", `{"purchase_units":[null]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		rt := roundTrip(func(r *http.Request) string {
			if strings.HasSuffix(r.URL.Path, "/token") {
				return `{"access_token":"A21","expires_in":32400}`
			}
			return body
		})
		c, err := paypal.New(config(func(c *paypal.Config) { c.HTTPClient = &http.Client{Transport: rt} }))
		require.NoError(t, err)
		for event, object := range map[string]string{
			"CHECKOUT.ORDER.COMPLETED": pageID, "PAYMENT.CAPTURE.COMPLETED": captureID, "PAYMENT.CAPTURE.REFUNDED": refundID, "CUSTOMER.DISPUTE.UPDATED": disputeID,
		} {
			facts, err := c.Fetch(t.Context(), payment.Pointer{EventType: event, ObjectID: object})
			if err != nil {
				continue
			}
			require.NotEmpty(t, facts)
			for _, o := range facts {
				require.Positive(t, payment.Rank(o.Kind, o.Status))
				require.GreaterOrEqual(t, o.Amount, int64(0))
				require.GreaterOrEqual(t, o.Fee, int64(0))
			}
			_, err = json.Marshal(facts)
			require.NoError(t, err)
		}
	})
}
