package paypal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// TestOrderFacts: what counts is the capture's status, never the order's.
func TestOrderFacts(t *testing.T) {
	t.Parallel()
	ours := refundBody("COMPLETED", requestID.String(), "")
	for name, c := range map[string]struct {
		order string
		want  []payment.Observation
	}{
		"created":           {orderBody("CREATED", ""), []payment.Observation{attemptFact("open")}},
		"saved":             {orderBody("SAVED", ""), []payment.Observation{attemptFact("open")}},
		"waiting for payer": {orderBody("PAYER_ACTION_REQUIRED", ""), []payment.Observation{attemptFact("open")}},
		"approved":          {orderBody("APPROVED", ""), []payment.Observation{attemptFact("approved")}},
		"voided":            {orderBody("VOIDED", ""), []payment.Observation{attemptFact("expired")}},
		"captured": {
			orderBody("COMPLETED", captures(captureBody("COMPLETED"))),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")},
		},
		"complete, and the money pending": {
			orderBody("COMPLETED", captures(captureBody("PENDING"))),
			[]payment.Observation{attemptFact("processing"), paymentFact("pending")},
		},
		"complete, and the money declined": {
			orderBody("COMPLETED", captures(captureBody("DECLINED"))),
			[]payment.Observation{attemptFact("failed"), paymentFact("failed")},
		},
		"a try that failed": {
			orderBody("APPROVED", captures(captureBody("FAILED"))),
			[]payment.Observation{attemptFact("approved"), paymentFact("failed")},
		},
		"denied later": {
			orderBody("COMPLETED", captures(captureBody("DENIED"))),
			[]payment.Observation{attemptFact("failed"), paymentFact("failed")},
		},
		"refunded in part": {
			orderBody("COMPLETED", captures(captureBody("PARTIALLY_REFUNDED"))+refunds(ours)),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded"), refundFact("succeeded", requestID)},
		},
		"refunded by the merchant, with the order's invoice": {
			orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(refundBody("PENDING", attemptID.String(), "sorry"))),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded"), refundFact("pending", uuid.Nil)},
		},
		"taken back by PayPal": {
			orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(refundBody("COMPLETED", "", "Payment reversed"))),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("reversed")},
		},
		"ours, whatever its note says": {
			orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(refundBody("FAILED", requestID.String(), "Payment reversed"))),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded"), refundFact("failed", requestID)},
		},
		"a capture that lacks our id": {
			orderBody("COMPLETED", captures(captureOf("COMPLETED", ""))),
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")},
		},
	} {
		d := open(t)
		d.on(routeOrder, 200, c.order)
		facts, err := d.Fetch(t.Context(), payment.Pointer{EventType: "CHECKOUT.PAYMENT-APPROVAL.REVERSED", ObjectID: pageID})
		if strings.Contains(name, "approved") || strings.Contains(name, "try") {
			require.ErrorIs(t, err, payment.ErrBehind, name)
			page, err := d.FetchCheckout(t.Context(), pageID)
			require.NoError(t, err, name)
			facts = page.Facts
		} else {
			require.NoError(t, err, name)
		}
		require.Equal(t, c.want, facts, name)
	}
}

func TestOrdersThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"an unknown status":         orderBody("DREAMING", ""),
		"complete, with no capture": orderBody("COMPLETED", ""),
		"an unknown capture":        orderBody("COMPLETED", captures(captureBody("LEVITATING"))),
		"an unknown refund":         orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(refundBody("LOST", "", ""))),
		"a refund of nothing":       orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(strings.ReplaceAll(refundBody("COMPLETED", "", ""), captureID, "OTHER"))),
		"ours, in another currency": orderOf("CREATED", attemptID.String(), "TND", "15.000", ""),
		"a fraction of a cent":      orderOf("CREATED", attemptID.String(), "USD", "15.001", ""),
		"no amount":                 orderOf("CREATED", attemptID.String(), "USD", "", ""),
		"another order":             strings.Replace(orderBody("CREATED", ""), pageID, "9XX", 1),
		"no purchase unit":          `{"id":"` + pageID + `","status":"CREATED","purchase_units":[]}`,
		"an open page nowhere":      strings.ReplaceAll(orderBody("CREATED", ""), "payer-action", "self"),
	} {
		d := open(t)
		d.on(routeOrder, 200, body)
		_, err := d.FetchCheckout(t.Context(), pageID)
		unknown(t, err)
		require.NotEmpty(t, name)
	}
}

// TestOrdersOfOthers: another shop at the same account is no poison.
func TestOrdersOfOthers(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.on(routeOrder, 200, orderOf("APPROVED", "cart-77", "INR", "15.00", ""))
	facts, err := d.Fetch(t.Context(), payment.Pointer{EventType: "CHECKOUT.ORDER.APPROVED", ObjectID: pageID})
	require.NoError(t, err)
	want := attemptFact("approved")
	want.AttemptID, want.Amount, want.Currency = uuid.Nil, 0, ""
	require.Equal(t, []payment.Observation{want}, facts)

	d = open(t)
	d.on(routeOrder, 200, strings.Replace(orderBody("COMPLETED", ""), `"purchase_units":[`, `"purchase_units":[{"reference_id":"x"},`, 1))
	facts, err = d.Fetch(t.Context(), payment.Pointer{EventType: "CHECKOUT.ORDER.COMPLETED", ObjectID: pageID})
	require.NoError(t, err)
	require.Len(t, facts, 1)
	require.Equal(t, uuid.Nil, facts[0].AttemptID)
	_, err = d.Capture(t.Context(), captureRequest())
	require.NoError(t, err)
	require.Equal(t, []string{routeOrder, routeOrder}, d.made(), "and is not captured")
}

func TestPointers(t *testing.T) {
	t.Parallel()
	paid, refunded := paymentFact("succeeded"), refundFact("succeeded", requestID)
	ours := refundBody("COMPLETED", requestID.String(), "")
	full := orderBody("COMPLETED", captures(captureBody("REFUNDED"))+refunds(ours))
	for _, c := range []struct {
		event, object string
		answers       map[string]string
		want          []payment.Observation // nil: behind
		calls         int
	}{
		{"CHECKOUT.ORDER.APPROVED", pageID, map[string]string{routeOrder: orderBody("APPROVED", "")}, []payment.Observation{attemptFact("approved")}, 1},
		{"CHECKOUT.ORDER.APPROVED", pageID, map[string]string{routeOrder: orderBody("PAYER_ACTION_REQUIRED", "")}, nil, 1},
		{"CHECKOUT.ORDER.APPROVED", pageID, map[string]string{routeOrder: orderBody("VOIDED", "")}, []payment.Observation{attemptFact("expired")}, 1},
		// Agreed to, refused, and waiting for other money: the event came late.
		{
			"CHECKOUT.ORDER.APPROVED", pageID,
			map[string]string{routeOrder: strings.Replace(orderBody("PAYER_ACTION_REQUIRED", ""), `"intent"`, `"payment_source":{"paypal":{"account_id":"TW7N"}},"intent"`, 1)},
			[]payment.Observation{attemptFact("open")},
			1,
		},
		{"CHECKOUT.ORDER.COMPLETED", pageID, map[string]string{routeOrder: orderBody("APPROVED", "")}, nil, 1},
		{"CHECKOUT.ORDER.COMPLETED", pageID, map[string]string{routeOrder: orderBody("COMPLETED", "")}, nil, 1},
		{
			"CHECKOUT.ORDER.COMPLETED", pageID,
			map[string]string{routeOrder: orderBody("COMPLETED", captures(captureBody("PENDING")))},
			[]payment.Observation{attemptFact("processing"), paymentFact("pending")},
			1,
		},
		{"CHECKOUT.PAYMENT-APPROVAL.REVERSED", pageID, map[string]string{routeOrder: orderBody("APPROVED", "")}, nil, 1},

		{"PAYMENT.CAPTURE.COMPLETED", captureID, map[string]string{routeCapture: captureBody("COMPLETED")}, []payment.Observation{paid}, 1},
		{"PAYMENT.CAPTURE.COMPLETED", captureID, map[string]string{routeCapture: captureBody("REFUNDED")}, []payment.Observation{paid}, 1},
		{"PAYMENT.CAPTURE.COMPLETED", captureID, map[string]string{routeCapture: captureBody("PENDING")}, nil, 1},
		{"PAYMENT.CAPTURE.COMPLETED", captureID, map[string]string{routeCapture: captureBody("DECLINED")}, nil, 1},
		{"PAYMENT.CAPTURE.PENDING", captureID, map[string]string{routeCapture: captureBody("PENDING")}, []payment.Observation{paymentFact("pending")}, 1},
		{"PAYMENT.CAPTURE.PENDING", captureID, map[string]string{routeCapture: captureBody("COMPLETED")}, []payment.Observation{paid}, 1},
		{"PAYMENT.CAPTURE.DENIED", captureID, map[string]string{routeCapture: captureBody("DENIED")}, []payment.Observation{paymentFact("failed")}, 1},
		{"PAYMENT.CAPTURE.DECLINED", captureID, map[string]string{routeCapture: captureBody("DECLINED")}, []payment.Observation{paymentFact("failed")}, 1},
		{"PAYMENT.CAPTURE.DENIED", captureID, map[string]string{routeCapture: captureBody("PENDING")}, nil, 1},
		{"PAYMENT.CAPTURE.DENIED", captureID, map[string]string{routeCapture: captureBody("COMPLETED")}, []payment.Observation{paid}, 1},
		// The capture lacks our id: its order has it.
		{
			"PAYMENT.CAPTURE.COMPLETED", captureID,
			map[string]string{routeCapture: captureOf("COMPLETED", ""), routeOrder: orderBody("COMPLETED", captures(captureOf("COMPLETED", "")))},
			[]payment.Observation{paid},
			2,
		},

		{"PAYMENT.CAPTURE.REFUNDED", refundID, map[string]string{routeBack: ours, routeCapture: captureBody("REFUNDED")}, []payment.Observation{paid, refunded}, 2},
		{"PAYMENT.CAPTURE.REFUNDED", refundID, map[string]string{routeBack: refundBody("PENDING", "", ""), routeCapture: captureBody("COMPLETED")}, nil, 2},
		{
			"PAYMENT.REFUND.PENDING", refundID,
			map[string]string{routeBack: refundBody("PENDING", "", ""), routeCapture: captureBody("COMPLETED")},
			[]payment.Observation{paid, refundFact("pending", uuid.Nil)},
			2,
		},
		{
			"PAYMENT.REFUND.FAILED", refundID,
			map[string]string{routeBack: refundBody("CANCELLED", "", ""), routeCapture: captureBody("COMPLETED")},
			[]payment.Observation{paid, refundFact("canceled", uuid.Nil)},
			2,
		},
		{"PAYMENT.REFUND.FAILED", refundID, map[string]string{routeBack: ours, routeCapture: captureBody("COMPLETED")}, nil, 2},

		{
			"PAYMENT.CAPTURE.REVERSED", refundID,
			map[string]string{routeBack: refundBody("COMPLETED", "", "Payment reversed"), routeCapture: captureBody("REFUNDED")},
			[]payment.Observation{paymentFact("reversed")},
			2,
		},
		{
			"PAYMENT.CAPTURE.REVERSED", refundID,
			map[string]string{routeBack: refundBody("COMPLETED", attemptID.String(), ""), routeCapture: captureBody("REFUNDED")},
			[]payment.Observation{paymentFact("reversed")},
			2,
		},
		{
			"PAYMENT.CAPTURE.REFUNDED", refundID,
			map[string]string{routeBack: refundBody("COMPLETED", "", "Payment reversed"), routeCapture: captureBody("REFUNDED")},
			[]payment.Observation{paymentFact("reversed")},
			2,
		},
		{"PAYMENT.CAPTURE.REVERSED", refundID, map[string]string{routeBack: refundBody("PENDING", "", ""), routeCapture: captureBody("COMPLETED")}, nil, 2},
		// A refund of ours is none, whoever says so.
		{"PAYMENT.CAPTURE.REVERSED", refundID, map[string]string{routeBack: ours, routeCapture: captureBody("REFUNDED")}, nil, 2},
		// A reversal that names its capture.
		{"PAYMENT.CAPTURE.REVERSED", captureID, map[string]string{routeCapture: captureBody("REFUNDED")}, []payment.Observation{paymentFact("reversed")}, 2},
		{"PAYMENT.CAPTURE.REVERSED", captureID, map[string]string{routeCapture: captureBody("COMPLETED")}, nil, 2},

		// Pointers of our own want the refunds as well.
		{"missing", captureID, map[string]string{routeCapture: captureBody("REFUNDED"), routeOrder: full}, []payment.Observation{paid, refunded}, 2},
		{"refund.refused", captureID, map[string]string{routeCapture: captureBody("REFUNDED"), routeOrder: full}, []payment.Observation{paid, refunded}, 2},
		{"", captureID, map[string]string{routeCapture: captureBody("COMPLETED")}, []payment.Observation{paid}, 2},
		{"missing", captureID, map[string]string{routeCapture: captureBody("COMPLETED"), routeOrder: orderBody("COMPLETED", "")}, nil, 2},
	} {
		d := open(t)
		for route, body := range c.answers {
			d.on(route, 200, body)
		}
		facts, err := d.Fetch(t.Context(), payment.Pointer{EventType: c.event, ObjectID: c.object})
		if c.want == nil {
			require.ErrorIs(t, err, payment.ErrBehind, "%s %v", c.event, c.answers)
		} else {
			require.NoError(t, err, "%s %v", c.event, c.answers)
			require.Equal(t, c.want, facts, "%s %v", c.event, c.answers)
		}
		require.Len(t, d.made(), c.calls, "%s: %v", c.event, d.made())
	}
}

func TestWhatPayPalDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := open(t)
	for event, object := range map[string]string{
		"CHECKOUT.ORDER.APPROVED": pageID, "PAYMENT.CAPTURE.COMPLETED": captureID, "PAYMENT.CAPTURE.REFUNDED": refundID,
		"PAYMENT.CAPTURE.REVERSED": refundID, "CUSTOMER.DISPUTE.CREATED": disputeID, "missing": captureID,
	} {
		_, err := d.Fetch(t.Context(), payment.Pointer{EventType: event, ObjectID: object})
		require.ErrorIs(t, err, payment.ErrNotFound, event)
	}
	calls := len(d.made())
	for _, object := range []string{"", "../x", "a/b", "A?x", "%2e%2e", "a b", strings.Repeat("A", 256)} {
		for _, event := range []string{"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "CUSTOMER.DISPUTE.CREATED", "missing"} {
			_, err := d.Fetch(t.Context(), payment.Pointer{EventType: event, ObjectID: object})
			unknown(t, err)
		}
	}
	require.Len(t, d.made(), calls, "nothing was asked by an id that is none")

	// The refunds of a capture are lost with its order, and that is said.
	d.on(routeCapture, 200, captureBody("REFUNDED"))
	_, err := d.Fetch(t.Context(), payment.Pointer{EventType: "refund.refused", ObjectID: captureID})
	unknown(t, err)
}

// disputeBody is a dispute as PayPal describes it.
func disputeBody(status, stage, outcome, movements string) string {
	return fmt.Sprintf(`{"dispute_id":%q,"create_time":"2026-05-01T11:00:00.000Z","disputed_transactions":[{"buyer_transaction_id":"4DV78168SM660625N",
		"seller_transaction_id":%q,"transaction_status":"REFUNDED","gross_amount":{"currency_code":"USD","value":"15.00"}}],"reason":"UNAUTHORISED",
		"status":%q,"dispute_amount":{"currency_code":"USD","value":"15.00"},"dispute_life_cycle_stage":%q,"dispute_channel":"INTERNAL"%s%s}`,
		disputeID, captureID, status, stage, outcome, movements)
}

func outcome(code string, refunded ...string) string {
	if len(refunded) == 0 {
		return fmt.Sprintf(`,"dispute_outcome":{"outcome_code":%q}`, code)
	}
	return fmt.Sprintf(`,"dispute_outcome":{"outcome_code":%q,"amount_refunded":{"currency_code":"USD","value":%q}}`, code, refunded[0])
}

func moves(list ...string) string { return `,"money_movements":[` + strings.Join(list, ",") + `]` }

func move(party, kind, reason, value, at string) string {
	return fmt.Sprintf(`{"affected_party":%q,"amount":{"currency_code":"USD","value":%q},"initiated_time":"2026-05-0%sT17:42:21.219Z","type":%q,"reason":%q}`, party, value, at, kind, reason)
}

func disputeFact(status, result string) payment.Observation {
	o := fact(payment.KindDispute, status)
	o.DisputeID, o.PaymentID, o.Outcome = disputeID, captureID, result
	return o
}

func moneyFact(status string, n string, minor int64) payment.Observation {
	o := fact(payment.KindDisputeMoney, status)
	o.DisputeID, o.PaymentID, o.Amount, o.MovementID = disputeID, captureID, minor, disputeID+":"+status+":"+n
	return o
}

func TestDisputes(t *testing.T) {
	t.Parallel()
	taken := move("SELLER", "DEBIT", "DISPUTE_SETTLEMENT", "15.00", "3")
	toBuyer := move("BUYER", "CREDIT", "DISPUTE_SETTLEMENT", "15.00", "3")
	back := move("SELLER", "CREDIT", "DISPUTE_SETTLEMENT", "15.00", "5")
	fee := move("SELLER", "DEBIT", "CHARGEBACK_FEE", "20.00", "4")
	for name, c := range map[string]struct {
		body string
		want []payment.Observation
	}{
		"an inquiry is a warning": {disputeBody("WAITING_FOR_SELLER_RESPONSE", "INQUIRY", "", ""), []payment.Observation{disputeFact("warning", "")}},
		"an inquiry ends":         {disputeBody("RESOLVED", "INQUIRY", outcome("CANCELED_BY_BUYER"), ""), []payment.Observation{disputeFact("warning_closed", "")}},
		"a claim":                 {disputeBody("UNDER_REVIEW", "CHARGEBACK", "", ""), []payment.Observation{disputeFact("open", "")}},
		"no stage stated":         {disputeBody("OPEN", "", "", ""), []payment.Observation{disputeFact("open", "")}},
		"before arbitration":      {disputeBody("OTHER", "PRE_ARBITRATION", "", ""), []payment.Observation{disputeFact("open", "")}},
		"an inquiry in which money was taken": {
			disputeBody("OPEN", "INQUIRY", "", moves(taken)), []payment.Observation{disputeFact("open", ""), moneyFact("withdrawn", "1", 1500)},
		},
		"lost": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_BUYER_FAVOUR", "15.00"), moves(toBuyer, taken)),
			[]payment.Observation{disputeFact("closed", "lost"), moneyFact("withdrawn", "1", 1500)},
		},
		"lost, and its movements not shown": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_BUYER_FAVOUR", "9.50"), ""),
			[]payment.Observation{disputeFact("closed", "lost"), moneyFact("withdrawn", "1", 950)},
		},
		"lost, and nothing shown": {
			disputeBody("RESOLVED", "ARBITRATION", outcome("ACCEPTED"), ""),
			[]payment.Observation{disputeFact("closed", "lost"), moneyFact("withdrawn", "1", 1500)},
		},
		"taken, given back, with a fee, in whatever order": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_SELLER_FAVOUR"), moves(back, fee, taken, toBuyer)),
			[]payment.Observation{
				disputeFact("closed", "won"), moneyFact("withdrawn", "1", 1500), moneyFact("fee", "1", 2000), moneyFact("reinstated", "1", 1500),
			},
		},
		"taken twice": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_BUYER_FAVOUR"), moves(move("SELLER", "DEBIT", "DISPUTE_SETTLEMENT", "15.00", "7"), back, taken)),
			[]payment.Observation{
				disputeFact("closed", "lost"), moneyFact("withdrawn", "1", 1500), moneyFact("reinstated", "1", 1500), moneyFact("withdrawn", "2", 1500),
			},
		},
		"denied":                  {disputeBody("RESOLVED", "CHARGEBACK", outcome("DENIED"), ""), []payment.Observation{disputeFact("closed", "won")}},
		"taken back by the buyer": {disputeBody("RESOLVED", "CHARGEBACK", outcome("CANCELED_BY_BUYER"), ""), []payment.Observation{disputeFact("closed", "won")}},
		"PayPal pays itself":      {disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_WITH_PAYOUT", "15.00"), moves(toBuyer)), []payment.Observation{disputeFact("closed", "won")}},
		"PayPal pays, and we too": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("RESOLVED_WITH_PAYOUT"), moves(taken)),
			[]payment.Observation{disputeFact("closed", "lost"), moneyFact("withdrawn", "1", 1500)},
		},
		"nothing decided": {disputeBody("RESOLVED", "CHARGEBACK", outcome("NONE"), ""), []payment.Observation{disputeFact("closed", "won")}},
		"a fee in our own currency": {
			disputeBody("UNDER_REVIEW", "CHARGEBACK", "", moves(strings.Replace(fee, "USD", "EUR", 1))), []payment.Observation{disputeFact("open", "")},
		},
		"converted": {
			disputeBody("UNDER_REVIEW", "CHARGEBACK", "", moves(strings.Replace(taken, "USD", "EUR", 1))),
			[]payment.Observation{disputeFact("open", ""), moneyFact("withdrawn", "1", 1500)},
		},
		"a fee that comes back": {
			disputeBody("RESOLVED", "CHARGEBACK", outcome("DENIED"), moves(move("SELLER", "CREDIT", "DISPUTE_FEE", "20.00", "6"))),
			[]payment.Observation{disputeFact("closed", "won")},
		},
	} {
		d := open(t)
		d.on(routeDispute, 200, c.body)
		facts, err := d.Fetch(t.Context(), payment.Pointer{EventType: "CUSTOMER.DISPUTE.UPDATED", ObjectID: disputeID})
		require.NoError(t, err, name)
		require.Equal(t, c.want, facts, name)
		_, err = d.Fetch(t.Context(), payment.Pointer{EventType: "CUSTOMER.DISPUTE.RESOLVED", ObjectID: disputeID})
		if strings.Contains(c.body, "RESOLVED\"") {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, payment.ErrBehind, name)
		}
	}
	for name, body := range map[string]string{
		"an unknown status":   disputeBody("SLEEPING", "CHARGEBACK", "", ""),
		"an unknown outcome":  disputeBody("RESOLVED", "CHARGEBACK", outcome("TOSSED_A_COIN"), ""),
		"an unknown movement": disputeBody("OPEN", "CHARGEBACK", "", moves(move("SELLER", "DEBIT", "BECAUSE", "1.00", "1"))),
		"an odd amount":       disputeBody("OPEN", "CHARGEBACK", "", moves(move("SELLER", "DEBIT", "DISPUTE_FEE", "1e2", "1"))),
		"two transactions":    strings.Replace(disputeBody("OPEN", "CHARGEBACK", "", ""), `"disputed_transactions":[`, `"disputed_transactions":[{"seller_transaction_id":"A"},`, 1),
		"no transaction":      strings.Replace(disputeBody("OPEN", "CHARGEBACK", "", ""), "disputed_transactions", "x", 1),
		"another dispute":     strings.Replace(disputeBody("OPEN", "CHARGEBACK", "", ""), disputeID, "PP-D-1", 1),
	} {
		d := open(t)
		d.on(routeDispute, 200, body)
		_, err := d.Fetch(t.Context(), payment.Pointer{EventType: "CUSTOMER.DISPUTE.UPDATED", ObjectID: disputeID})
		unknown(t, err)
		require.NotErrorIs(t, err, payment.ErrBehind, name)
	}
}
