package twin_test

import (
	"encoding/json"
	"hash/crc32"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

func TestPayPalSellsOnce(t *testing.T) {
	t.Parallel()
	s := sell(t)
	id := s.openOrder(t, "attempt-1")
	_, o := s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
	require.Equal(t, "PAYER_ACTION_REQUIRED", o["status"])
	unit := o["purchase_units"].([]any)[0].(jsonObject)
	require.Equal(t, "attempt-1", unit["custom_id"])
	links := o["links"].([]any)
	require.Equal(t, "payer-action", links[1].(jsonObject)["rel"])
	require.Equal(t, s.url+"/paypal/checkoutnow?token="+id, links[1].(jsonObject)["href"])

	status, no := s.capture(t, id)
	require.Equal(t, 422, status)
	require.Equal(t, "ORDER_NOT_APPROVED", issueOf(no))
	pages, err := s.control.Pages(t.Context(), twin.PageFilter{Provider: twin.PayPal, AttemptID: "attempt-1"})
	require.NoError(t, err)
	require.Equal(t, twin.PageOpen, pages[0].Status)
	require.EqualValues(t, 1500, pages[0].Amount)

	s.approve(t, id, twin.PayRequest{})
	_, o = s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
	require.Equal(t, "APPROVED", o["status"])
	ledger, err := s.control.Ledger(t.Context())
	require.NoError(t, err)
	require.Empty(t, ledger.Entries, "an approval moves no money")

	status, o = s.capture(t, id)
	require.Equal(t, 201, status)
	require.Equal(t, "COMPLETED", o["status"])
	p := capturesOf(o)[0]
	require.Equal(t, "COMPLETED", p["status"])
	require.Equal(t, "attempt-1", p["custom_id"])
	require.Equal(t, "attempt-1", p["invoice_id"])
	require.Equal(t, jsonObject{"currency_code": "USD", "value": "1.01"}, p["seller_receivable_breakdown"].(jsonObject)["paypal_fee"])
	status, again := s.capture(t, id)
	require.Equal(t, 200, status, "the same id is the same call")
	require.Equal(t, p["id"], capturesOf(again)[0]["id"])
	status, no = s.call(t, http.MethodPost, "/v2/checkout/orders/"+id+"/capture", "another", jsonObject{})
	require.Equal(t, 422, status)
	require.Equal(t, "ORDER_ALREADY_CAPTURED", issueOf(no))
	// Our attempt's id is the invoice's, which is paid once.
	status, no = s.call(t, http.MethodPost, "/v2/checkout/orders", "", jsonObject{
		"intent": "CAPTURE", "purchase_units": wants("attempt-1", "USD", "15.00")["purchase_units"],
	})
	require.Equal(t, 422, status)
	require.Equal(t, "DUPLICATE_INVOICE_ID", issueOf(no))

	ledger, err = s.control.Ledger(t.Context())
	require.NoError(t, err)
	require.Equal(t, twin.Totals{Charges: 1, Charged: 1500, Fees: 101, Net: 1399}, ledger.Providers[twin.PayPal]["USD"])
	require.Equal(t, p["id"], ledger.Payments[0].Payment)
	require.Equal(t, id, ledger.Payments[0].Ref)
	require.Equal(t, "attempt-1", ledger.Payments[0].AttemptID)
	require.Equal(t, "15.00", ledger.Entries[0].Wire)
	s.quiet(t)
	require.Empty(t, s.mail.bad)
	require.ElementsMatch(t, []string{"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.COMPLETED"}, s.mail.seen())
	require.Empty(t, s.hook.kinds(), "Stripe's endpoint gets Stripe's events only")
	require.Empty(t, s.hook.bad)
}

func TestPayPalsWaysToPay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method  string
		capture string // its status
		end     string // where it is moved afterwards
		last    string // and its status then
		page    string
		charges int
		events  []string
	}{
		"at once":            {"", "COMPLETED", "", "COMPLETED", twin.PagePaid, 1, []string{"PAYMENT.CAPTURE.COMPLETED"}},
		"pending, completed": {"delayed", "PENDING", "completed", "COMPLETED", twin.PagePaid, 1, []string{"PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.COMPLETED"}},
		"pending, denied":    {"delayed", "PENDING", "denied", "DECLINED", twin.PageExpired, 0, []string{"PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.DENIED"}},
		"pending, declined":  {"delayed", "PENDING", "declined", "DECLINED", twin.PageExpired, 0, []string{"PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.DECLINED"}},
		"denied":             {"denied", "DECLINED", "", "DECLINED", twin.PageExpired, 0, []string{"PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.DENIED"}},
		"declined":           {"declined", "DECLINED", "", "DECLINED", twin.PageExpired, 0, []string{"PAYMENT.CAPTURE.DECLINED"}},
		"reversed":           {"", "COMPLETED", "reversed", "REFUNDED", twin.PagePaid, 1, []string{"PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REVERSED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sell(t)
			id := s.openOrder(t, "a")
			s.approve(t, id, twin.PayRequest{Method: c.method})
			status, o := s.capture(t, id)
			require.Equal(t, 201, status)
			require.Equal(t, "COMPLETED", o["status"], "the order is done, whatever its capture is")
			p := capturesOf(o)[0]
			require.Equal(t, c.capture, p["status"])
			if c.end != "" {
				_, err := s.control.MovePayment(t.Context(), p["id"].(string), c.end)
				require.NoError(t, err)
			}
			_, p = s.call(t, http.MethodGet, "/v2/payments/captures/"+p["id"].(string), "", nil)
			require.Equal(t, c.last, p["status"])
			require.Equal(t, id, p["supplementary_data"].(jsonObject)["related_ids"].(jsonObject)["order_id"])
			_, again := s.capture(t, id)
			require.Equal(t, c.last, capturesOf(again)[0]["status"], "a repeated id shows the latest status")
			pages, err := s.control.Pages(t.Context(), twin.PageFilter{Ref: id})
			require.NoError(t, err)
			require.Equal(t, c.page, pages[0].Status)
			ledger, err := s.control.Ledger(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.charges, ledger.Totals["USD"].Charges)
			s.quiet(t)
			require.Empty(t, s.mail.bad)
			require.ElementsMatch(t, append(c.events, "CHECKOUT.ORDER.APPROVED", "CHECKOUT.ORDER.COMPLETED"), s.mail.seen())
		})
	}
}

func TestPayPalAsksThePayerAgain(t *testing.T) {
	t.Parallel()
	s := sell(t)
	id := s.openOrder(t, "a")
	s.approve(t, id, twin.PayRequest{Method: twin.MethodDecline})
	status, no := s.capture(t, id)
	require.Equal(t, 422, status)
	require.Equal(t, "INSTRUMENT_DECLINED", issueOf(no))
	_, o := s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
	require.Equal(t, "PAYER_ACTION_REQUIRED", o["status"])
	s.approve(t, id, twin.PayRequest{})
	status, o = s.capture(t, id)
	require.Equal(t, 201, status, "an error was not kept under the id")
	require.Equal(t, "COMPLETED", capturesOf(o)[0]["status"])
}

func TestPayPalCapturesSomethingElse(t *testing.T) {
	t.Parallel()
	s := sell(t)
	id := s.openOrder(t, "a")
	s.approve(t, id, twin.PayRequest{Amount: 1499, Currency: "EUR", AttemptID: "b"})
	_, o := s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
	unit := o["purchase_units"].([]any)[0].(jsonObject)
	require.Equal(t, "15.00", unit["amount"].(jsonObject)["value"], "the lie is the capture's")
	_, o = s.capture(t, id)
	p := capturesOf(o)[0]
	require.Equal(t, jsonObject{"currency_code": "EUR", "value": "14.99"}, p["amount"])
	require.Equal(t, "b", p["custom_id"])

	id = s.openOrder(t, "c")
	s.approve(t, id, twin.PayRequest{Amount: 100, Shown: true})
	_, o = s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
	unit = o["purchase_units"].([]any)[0].(jsonObject)
	require.Equal(t, "1.00", unit["amount"].(jsonObject)["value"], "and the order's own, where that is asked for")
}

func TestPayPalVoidsWhatNobodyFinishes(t *testing.T) {
	t.Parallel()
	s := sell(t)
	open, approved := s.openOrder(t, "a"), s.openOrder(t, "b")
	s.approve(t, approved, twin.PayRequest{})
	_, err := s.control.SetClock(t.Context(), 4*time.Hour, 0)
	require.NoError(t, err)
	for _, id := range []string{open, approved} {
		_, o := s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
		require.Equal(t, "VOIDED", o["status"])
		status, no := s.capture(t, id)
		require.Equal(t, 422, status)
		require.Equal(t, "ORDER_NOT_APPROVED", issueOf(no))
	}
	s.quiet(t)
	require.Equal(t, []string{"CHECKOUT.ORDER.APPROVED", "CHECKOUT.PAYMENT-APPROVAL.REVERSED"}, s.mail.seen())
	_, err = s.control.Pay(t.Context(), open, twin.PayRequest{})
	require.Error(t, err)
	s.approve(t, open, twin.PayRequest{Force: true})

	// The id of the first call is forgotten after six hours, and its token after nine.
	status, _ := s.call(t, http.MethodPost, "/v2/checkout/orders", "a", wants("a", "USD", "15.00"))
	require.Equal(t, 200, status)
	_, err = s.control.SetClock(t.Context(), 7*time.Hour, 0)
	require.NoError(t, err)
	status, o := s.call(t, http.MethodPost, "/v2/checkout/orders", "a", wants("a", "USD", "15.00"))
	require.Equal(t, 201, status)
	require.NotEqual(t, open, o["id"])
	_, err = s.control.SetClock(t.Context(), 10*time.Hour, 0)
	require.NoError(t, err)
	status, no := s.call(t, http.MethodGet, "/v2/checkout/orders/"+open, "", nil)
	require.Equal(t, 401, status)
	require.Equal(t, "AUTHENTICATION_FAILURE", no["name"])
}

func TestPayPalRefunds(t *testing.T) {
	t.Parallel()
	s := sell(t)
	_, p := s.sold(t, "a", twin.PayRequest{})
	refund := func(key, value string) (int, jsonObject) {
		in := jsonObject{}
		if value != "" {
			in = jsonObject{"amount": jsonObject{"currency_code": "USD", "value": value}, "custom_id": key}
		}
		return s.call(t, http.MethodPost, "/v2/payments/captures/"+p+"/refund", key, in)
	}
	status, first := refund("r1", "4.00")
	require.Equal(t, 201, status)
	require.Equal(t, "COMPLETED", first["status"])
	require.Equal(t, "r1", first["custom_id"])
	require.NotContains(t, first, "invoice_id", "a refund has nothing of its capture")
	status, again := refund("r1", "4.00")
	require.Equal(t, 200, status)
	require.Equal(t, first["id"], again["id"])
	_, equal := refund("r2", "4.00")
	require.NotEqual(t, first["id"], equal["id"], "two equal ones are two")
	_, c := s.call(t, http.MethodGet, "/v2/payments/captures/"+p, "", nil)
	require.Equal(t, "PARTIALLY_REFUNDED", c["status"])
	status, no := refund("r3", "7.01")
	require.Equal(t, 422, status)
	require.Equal(t, "REFUND_AMOUNT_EXCEEDED", issueOf(no))

	require.NoError(t, s.control.SetFaults(t.Context(), twin.FaultSettings{Rates: twin.Rates{twin.RefundPending: 1}}))
	_, pending := refund("r4", "7.00")
	require.Equal(t, "PENDING", pending["status"])
	moved, err := s.control.MoveRefund(t.Context(), pending["id"].(string), "failed")
	require.NoError(t, err)
	require.Equal(t, "failed", moved.Status)
	require.Equal(t, "r4", moved.RequestID)
	_, err = s.control.MoveRefund(t.Context(), pending["id"].(string), "succeeded")
	require.Error(t, err)
	require.NoError(t, s.control.SetFaults(t.Context(), twin.FaultSettings{}))
	given, err := s.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Payment: p})
	require.NoError(t, err)
	require.EqualValues(t, 700, given.Amount)
	require.Empty(t, given.RequestID)
	status, no = refund("r5", "")
	require.Equal(t, 422, status)
	require.Equal(t, "CAPTURE_FULLY_REFUNDED", issueOf(no))
	_, c = s.call(t, http.MethodGet, "/v2/payments/refunds/"+given.ID, "", nil)
	require.Equal(t, "COMPLETED", c["status"])
	ledger, err := s.control.Ledger(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1500, ledger.Totals["USD"].Refunded)
	require.Equal(t, 3, ledger.Totals["USD"].Refunds)
	s.quiet(t)
	require.Empty(t, s.mail.bad)
}

func TestPayPalWritesMoneyByCurrency(t *testing.T) {
	t.Parallel()
	s := sell(t)
	for _, c := range []struct {
		currency, value, issue string
		minor                  int64
	}{
		{"USD", "15.00", "", 1500},
		{"JPY", "1500", "", 1500},
		{"HUF", "1500", "", 150000}, // ISO 4217 has hundredths of it, PayPal has not
		{"TWD", "15", "", 1500},
		{"JPY", "15.00", "DECIMAL_PRECISION", 0},
		{"HUF", "15.00", "DECIMAL_PRECISION", 0},
		{"USD", "15.001", "DECIMAL_PRECISION", 0},
		{"USD", "0.00", "CANNOT_BE_ZERO_OR_NEGATIVE", 0},
		{"USD", "-1.00", "CANNOT_BE_NEGATIVE", 0},
		{"USD", "1,5", "INVALID_PARAMETER_SYNTAX", 0},
		{"USD", "1e3", "INVALID_PARAMETER_SYNTAX", 0},
		{"USD", "99999999999999999999.00", "MAX_VALUE_EXCEEDED", 0},
		{"NGN", "15.00", "INVALID_CURRENCY_CODE", 0},
		{"TND", "15.000", "INVALID_CURRENCY_CODE", 0},
	} {
		status, o := s.call(t, http.MethodPost, "/v2/checkout/orders", "k"+c.currency+c.value, wants(c.currency+c.value, c.currency, c.value))
		if c.issue != "" {
			require.Contains(t, []int{400, 422}, status)
			require.Equal(t, c.issue, issueOf(o), "%s %s", c.value, c.currency)
			continue
		}
		require.Equal(t, 201, status, "%v", o)
		pages, err := s.control.Pages(t.Context(), twin.PageFilter{Ref: o["id"].(string)})
		require.NoError(t, err)
		require.Equal(t, c.minor, pages[0].Amount, c.currency)
		require.Equal(t, c.value, o["purchase_units"].([]any)[0].(jsonObject)["amount"].(jsonObject)["value"])
	}
	spoilt := func(change func(jsonObject)) string {
		in := wants("x", "USD", "15.00")
		change(in)
		_, o := s.call(t, http.MethodPost, "/v2/checkout/orders", "x", in)
		return issueOf(o)
	}
	unit := func(in jsonObject) jsonObject { return in["purchase_units"].([]jsonObject)[0] }
	require.Equal(t, "INVALID_PARAMETER_VALUE", spoilt(func(in jsonObject) { in["intent"] = "AUTHORIZE" }))
	require.Equal(t, "ITEM_TOTAL_MISMATCH", spoilt(func(in jsonObject) { unit(in)["items"].([]jsonObject)[0]["quantity"] = "2" }))
	require.Equal(t, "ITEM_TOTAL_REQUIRED", spoilt(func(in jsonObject) { delete(unit(in)["amount"].(jsonObject), "breakdown") }))
	require.Equal(t, "INVALID_STRING_LENGTH", spoilt(func(in jsonObject) { unit(in)["custom_id"] = string(make([]byte, 128)) }))
	status, no := s.call(t, http.MethodPost, "/v2/checkout/orders", "", wants("x", "USD", "15.00"))
	require.Equal(t, 400, status)
	require.Equal(t, "PAYPAL_REQUEST_ID_REQUIRED", issueOf(no))
}

func TestPayPalSuffersOrderedFaults(t *testing.T) {
	t.Parallel()
	s := sell(t)
	const create = "POST /paypal/v2/checkout/orders"
	for _, fault := range []twin.Fault{twin.CutReply, twin.ErrorAfter} {
		require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: create, Fault: fault}))
		status, _, err := s.try(t, http.MethodPost, "/v2/checkout/orders", "key"+string(fault), wants("a"+string(fault), "USD", "15.00"))
		require.True(t, err != nil || status == 500)
		status, o := s.call(t, http.MethodPost, "/v2/checkout/orders", "key"+string(fault), wants("a"+string(fault), "USD", "15.00"))
		require.Equal(t, 200, status, "it was made all the same: %v", o)
	}
	for fault, want := range map[twin.Fault]int{twin.ErrorBefore: 500, twin.RateLimit: 429, twin.LockTimeout: 409} {
		require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: create, Fault: fault}))
		status, _ := s.call(t, http.MethodPost, "/v2/checkout/orders", "key"+string(fault), wants("a", "USD", "15.00"))
		require.Equal(t, want, status)
	}
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: create, Fault: twin.ForgetKey}))
	first := s.openOrder(t, "forgotten")
	require.NotEqual(t, first, s.openOrder(t, "forgotten"), "the key was forgotten")

	// Two captures of one order at the same time: the second one waits its turn.
	s.approve(t, first, twin.PayRequest{})
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: create + "/{id}/capture", Fault: twin.Slow, Millis: 400}))
	done := make(chan int, 1)
	go func() {
		status, _, _ := s.try(t, http.MethodPost, "/v2/checkout/orders/"+first+"/capture", "one", jsonObject{})
		done <- status
	}()
	require.Eventually(t, func() bool {
		state, err := s.control.State(t.Context())
		return err == nil && len(state.Faults.Shots) == 0
	}, patient, time.Millisecond, "the first is under way")
	status, no := s.call(t, http.MethodPost, "/v2/checkout/orders/"+first+"/capture", "two", jsonObject{})
	require.Equal(t, 422, status)
	require.Equal(t, "ORDER_COMPLETION_IN_PROGRESS", issueOf(no))
	status, no = s.call(t, http.MethodPost, "/v2/checkout/orders/"+first+"/capture", "one", jsonObject{})
	require.Equal(t, 409, status)
	require.Equal(t, "PREVIOUS_REQUEST_IN_PROGRESS", issueOf(no))
	require.Equal(t, 201, <-done)
}

func TestPayPalsPage(t *testing.T) {
	t.Parallel()
	s := sell(t)
	id := s.openOrder(t, "a")
	address := s.url + "/paypal/checkoutnow?token=" + id
	status, page, _ := browse(t, http.MethodGet, address, nil)
	require.Equal(t, 200, status)
	require.Contains(t, page, "Pay 15.00 USD")
	require.Contains(t, page, `class="paypal"`)
	require.Contains(t, page, "No real money")
	status, _, to := press(t, address, "cancel")
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "https://shop.example/cart?token="+id, to)
	status, _, to = press(t, address, "card")
	require.Equal(t, http.StatusSeeOther, status)
	back, err := url.Parse(to)
	require.NoError(t, err)
	require.Equal(t, "1", back.Query().Get("order"), "our own parameters are kept")
	require.Equal(t, id, back.Query().Get("token"))
	status, page, _ = press(t, address, "card")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, page, "approved this payment")
	status, _, _ = browse(t, http.MethodGet, s.url+"/paypal/checkoutnow?token=none", nil)
	require.Equal(t, 404, status)
}

func TestPayPalForgeries(t *testing.T) {
	t.Parallel()
	s := sell(t)
	open := s.openOrder(t, "a")
	s.sold(t, "b", twin.PayRequest{})
	s.quiet(t)
	require.Empty(t, s.mail.bad)
	genuine := s.mail.seen()
	completed, err := s.control.Events(t.Context(), twin.EventFilter{Provider: twin.PayPal, Type: "PAYMENT.CAPTURE.COMPLETED"})
	require.NoError(t, err)
	for _, kind := range twin.PayPalForgeries {
		for _, f := range []twin.Forgery{{Kind: kind, Ref: open}, {Kind: kind, Event: completed[0].ID}} {
			got, err := s.control.Forge(t.Context(), f)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, got.Status, kind)
		}
	}
	require.Equal(t, genuine, s.mail.seen())

	// What PayPal's signature cannot tell apart.
	got, err := s.control.Forge(t.Context(), twin.Forgery{Kind: twin.ForgeSameCRC, Event: completed[0].ID})
	require.NoError(t, err)
	require.Equal(t, 200, got.Status)
	whole, err := s.control.Event(t.Context(), completed[0].ID)
	require.NoError(t, err)
	lie := s.mail.bodies[len(s.mail.bodies)-1]
	require.NotEqual(t, whole.Body, string(lie))
	require.Equal(t, crc32.ChecksumIEEE([]byte(whole.Body)), crc32.ChecksumIEEE(lie))
	var said struct {
		Resource struct{ Amount struct{ Value string } }
	}
	require.NoError(t, json.Unmarshal(lie, &said))
	require.Equal(t, "15.01", said.Resource.Amount.Value)
	_, err = s.control.Forge(t.Context(), twin.Forgery{Provider: twin.PayPal, Kind: "polite", Ref: open})
	require.Error(t, err)
}

func TestPayPalChangesItsCertificate(t *testing.T) {
	t.Parallel()
	s := sell(t)
	s.sold(t, "a", twin.PayRequest{})
	s.quiet(t)
	name, err := s.control.RotateCertificate(t.Context(), false)
	require.NoError(t, err)
	require.NotEmpty(t, name)
	s.sold(t, "b", twin.PayRequest{})
	s.quiet(t)
	require.Len(t, s.mail.seen(), 6, "the new one chains to the same root")
	require.Empty(t, s.mail.bad)
	_, err = s.control.RotateCertificate(t.Context(), true)
	require.NoError(t, err)
	_, p := s.sold(t, "c", twin.PayRequest{})
	require.Eventually(t, func() bool {
		s.mail.mu.Lock()
		defer s.mail.mu.Unlock()
		return len(s.mail.bad) > 2
	}, patient, 5*time.Millisecond, "an expired one convinces nobody")
	_, err = s.control.RotateCertificate(t.Context(), false)
	require.NoError(t, err)
	s.quiet(t)
	require.Len(t, s.mail.seen(), 9, "each sending is signed anew")
	events, err := s.control.Events(t.Context(), twin.EventFilter{Object: p})
	require.NoError(t, err)
	require.True(t, events[0].Arrived)
}
