package stripe_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

func receive(t *testing.T, body []byte) payment.Receipt {
	t.Helper()
	r, err := client(t).Verify(t.Context(), now, signed(body, secret, now), body)
	require.NoError(t, err)
	require.Equal(t, payment.ApplierOrder, r.Applier)
	return r
}

func attemptFact(status string) payment.Observation {
	return payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindAttempt, AttemptID: attempt, Ref: "cs_test_1",
		Status: status, Amount: 1500, Currency: "USD",
	}
}

func paymentFact(status string) payment.Observation {
	return payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindPayment, AttemptID: attempt, PaymentID: "pi_1",
		Status: status, Amount: 1500, Currency: "USD",
	}
}

func refundFact(status string) payment.Observation {
	return payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindRefund, PaymentID: "pi_1", RefundID: "re_1",
		RequestID: attempt, Status: status, Amount: 700, Currency: "USD",
	}
}

func TestEventTable(t *testing.T) {
	t.Parallel()
	const session, intent = "cs_test_1", "pi_1"
	for _, c := range []struct {
		kind, object string
		id           string
		want         []payment.Observation
	}{
		{
			"checkout.session.completed", sessionObject("complete", "paid", "pi_1"), session,
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")},
		},
		{
			"checkout.session.completed", sessionObject("complete", "unpaid", "pi_1"), session,
			[]payment.Observation{attemptFact("processing")},
		},
		{
			"checkout.session.async_payment_succeeded", sessionObject("complete", "paid", "pi_1"), session,
			[]payment.Observation{attemptFact("succeeded"), paymentFact("succeeded")},
		},
		{
			"checkout.session.async_payment_failed", sessionObject("complete", "unpaid", "pi_1"), session,
			[]payment.Observation{attemptFact("failed")},
		},
		{
			"checkout.session.expired", sessionObject("expired", "unpaid", "null"), session,
			[]payment.Observation{attemptFact("expired")},
		},
		{
			"payment_intent.succeeded", intentObject("succeeded", ""), intent,
			[]payment.Observation{paymentFact("succeeded")},
		},
		{
			"payment_intent.payment_failed", intentObject("requires_payment_method", `, "last_payment_error": {"code": "card_declined"}`),
			intent,
			[]payment.Observation{paymentFact("failed")},
		},
		{
			"payment_intent.payment_failed", intentObject("requires_payment_method", ""), intent,
			[]payment.Observation{paymentFact("failed")},
		},
		{"payment_intent.canceled", intentObject("canceled", ""), intent, []payment.Observation{paymentFact("failed")}},
		{"payment_intent.processing", intentObject("processing", ""), intent, []payment.Observation{paymentFact("pending")}},
		{"refund.created", refundObject("succeeded"), "re_1", []payment.Observation{refundFact("succeeded")}},
		{"refund.created", refundObject("pending"), "re_1", []payment.Observation{refundFact("pending")}},
		{"refund.updated", refundObject("requires_action"), "re_1", []payment.Observation{refundFact("pending")}},
		{"refund.failed", refundObject("failed"), "re_1", []payment.Observation{refundFact("failed")}},
		{"charge.refund.updated", refundObject("canceled"), "re_1", []payment.Observation{refundFact("canceled")}},
	} {
		r := receive(t, event(c.kind, c.object))
		require.Equal(t, payment.ClassFact, r.Class, c.kind)
		require.Equal(t, c.kind, r.EventType)
		require.Equal(t, c.id, r.ObjectID, c.kind)
		require.Equal(t, c.want, r.Facts, c.kind)
		require.Equal(t, time.Unix(1777636790, 0).UTC(), r.Created)
	}
}

func TestOnePaymentUnderOneID(t *testing.T) {
	t.Parallel()
	bySession := receive(t, event("checkout.session.completed", sessionObject("complete", "paid", "pi_1"))).Facts[1]
	byIntent := receive(t, event("payment_intent.succeeded", intentObject("succeeded", ""))).Facts[0]
	require.Equal(t, byIntent, bySession)
}

func TestPointersAndIgnoredEvents(t *testing.T) {
	t.Parallel()
	pointer := receive(t, event("charge.refunded", `{"id": "ch_1", "amount_refunded": 700}`))
	require.Equal(t, payment.ClassPointer, pointer.Class)
	require.Equal(t, "ch_1", pointer.ObjectID)
	require.Empty(t, pointer.Facts)

	for kind, id := range map[string]string{
		"charge.succeeded": "ch_1", "customer.created": "cus_1", "checkout.session.wondered": "cs_1",
	} {
		r := receive(t, event(kind, fmt.Sprintf(`{"id": %q}`, id)))
		require.Equal(t, payment.ClassIgnored, r.Class, kind)
		require.Equal(t, id, r.ObjectID)
		require.Empty(t, r.Facts)
	}
	// A balance has no id; the row still needs a key.
	require.Equal(t, "evt_1TestTestTest", receive(t, event("balance.available", `{"object": "balance"}`)).ObjectID)
	// A page that takes no payment is none of ours.
	subscription := strings.Replace(sessionObject("complete", "paid", "pi_1"), `"mode": "payment"`, `"mode": "subscription"`, 1)
	require.Equal(t, payment.ClassIgnored, receive(t, event("checkout.session.completed", subscription)).Class)
}

// TestSurprisesAreAskedAbout: what is signed and of our table, yet not
// understood, is neither dropped nor believed.
func TestSurprisesAreAskedAbout(t *testing.T) {
	t.Parallel()
	paid := sessionObject("complete", "paid", "pi_1")
	for name, body := range map[string][]byte{
		"an unknown session status":   event("checkout.session.completed", sessionObject("dreaming", "unpaid", "null")),
		"an unknown currency":         event("checkout.session.completed", strings.Replace(paid, `"usd"`, `"zzz"`, 1)),
		"no total":                    event("checkout.session.completed", strings.Replace(paid, "1500", "null", 1)),
		"a fraction of a cent":        event("checkout.session.completed", strings.Replace(paid, "1500", "1500.5", 1)),
		"half a shilling":             event("checkout.session.completed", strings.Replace(strings.Replace(paid, "usd", "ugx", 1), "1500", "150050", 1)),
		"a name against its object":   event("checkout.session.async_payment_succeeded", sessionObject("complete", "unpaid", "pi_1")),
		"expired, says only a name":   event("checkout.session.expired", sessionObject("open", "unpaid", "null")),
		"succeeded, says only a name": event("payment_intent.succeeded", intentObject("processing", "")),
		"an unknown intent status":    event("payment_intent.succeeded", intentObject("levitating", "")),
		"an unknown refund status":    event("refund.updated", refundObject("lost")),
		"a refund of nothing":         event("refund.updated", `{"id": "re_1", "amount": 1, "currency": "usd", "status": "succeeded"}`),
		"paid, says only the page":    event("checkout.session.completed", strings.Replace(paid, `"pi_1"`, intentObject("requires_payment_method", ""), 1)),
		"an unusable payment id":      event("checkout.session.completed", sessionObject("complete", "paid", "pi 1")),
	} {
		r := receive(t, body)
		require.Equal(t, payment.ClassPointer, r.Class, name)
		require.Empty(t, r.Facts, name)
	}
}

func TestObjectsWithoutOurIDStayVisible(t *testing.T) {
	t.Parallel()
	bare := strings.Replace(intentObject("succeeded", ""), attempt.String(), "not-an-id", 1)
	r := receive(t, event("payment_intent.succeeded", bare))
	require.Equal(t, payment.ClassFact, r.Class)
	require.Equal(t, uuid.Nil, r.Facts[0].AttemptID)

	dashboard := `{"id": "re_2", "amount": 5, "currency": "usd", "charge": "ch_1", "payment_intent": null, "metadata": null, "status": "succeeded"}`
	r = receive(t, event("refund.created", dashboard))
	require.Equal(t, uuid.Nil, r.Facts[0].RequestID)
	require.Equal(t, "ch_1", r.Facts[0].PaymentID)
}

func TestExpandedObjectsAreRead(t *testing.T) {
	t.Parallel()
	whole := strings.Replace(refundObject("succeeded"), `"pi_1"`, intentObject("succeeded", ""), 1)
	r := receive(t, event("refund.created", whole))
	require.Equal(t, []payment.Observation{paymentFact("succeeded"), refundFact("succeeded")}, r.Facts)
}
