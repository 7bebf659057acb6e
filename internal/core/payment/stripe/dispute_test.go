package stripe_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
)

// answering is a client of an API that answers everything with one body.
func answering(t *testing.T, status int, body string) *stripe.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	c, err := stripe.New(stripe.Config{Account: "main", SecretKey: "sk_test_1", WebhookSecrets: []string{secret}, BaseURL: srv.URL})
	require.NoError(t, err)
	return c
}

func disputeObject(status, transactions string) string {
	return fmt.Sprintf(`{"id": "dp_1", "object": "dispute", "amount": 1500, "currency": "usd", "charge": "ch_1",
		"payment_intent": "pi_1", "status": %q, "balance_transactions": [%s]}`, status, transactions)
}

const (
	taken    = `{"id": "txn_1", "amount": -1500, "fee": 1500, "net": -3000, "currency": "usd", "reporting_category": "dispute"}`
	givenBak = `{"id": "txn_2", "amount": 1500, "fee": 0, "net": 1500, "currency": "usd", "reporting_category": "dispute_reversal"}`
)

func disputeFact(status, result string) payment.Observation {
	return payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindDispute, PaymentID: "pi_1", DisputeID: "dp_1",
		Status: status, Outcome: result, Amount: 1500, Currency: "USD",
	}
}

func moved(id, status string) payment.Observation {
	return payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindDisputeMoney, PaymentID: "pi_1", DisputeID: "dp_1",
		MovementID: id, Status: status, Amount: 1500, Currency: "USD",
	}
}

func TestDisputeEventsArePointers(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"created", "updated", "closed", "funds_withdrawn", "funds_reinstated"} {
		r := receive(t, event("charge.dispute."+kind, disputeObject("lost", "")))
		require.Equal(t, payment.ClassPointer, r.Class, kind)
		require.Equal(t, "dp_1", r.ObjectID)
		require.Empty(t, r.Facts, "the outcome may have changed since")
	}
}

func TestFetchDispute(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]payment.Observation{
		"warning_needs_response": disputeFact("warning", ""),
		"warning_under_review":   disputeFact("warning", ""),
		"warning_closed":         disputeFact("warning_closed", ""),
		"needs_response":         disputeFact("open", ""),
		"under_review":           disputeFact("open", ""),
		"won":                    disputeFact("closed", "won"),
		"lost":                   disputeFact("closed", "lost"),
		"prevented":              disputeFact("closed", "prevented"),
	} {
		facts, err := answering(t, 200, disputeObject(status, "")).Fetch(t.Context(), payment.Pointer{EventType: "charge.dispute.updated", ObjectID: "dp_1"})
		require.NoError(t, err, status)
		require.Equal(t, []payment.Observation{want}, facts, status)
	}
	facts, err := answering(t, 200, disputeObject("won", taken+","+givenBak)).
		Fetch(t.Context(), payment.Pointer{EventType: "charge.dispute.closed", ObjectID: "dp_1"})
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{
		disputeFact("closed", "won"), moved("txn_1", "withdrawn"), moved("txn_1:fee", "fee"), moved("txn_2", "reinstated"),
	}, facts)
}

// TestOldCopyOfADispute: the API may answer with a copy older than the event.
func TestOldCopyOfADispute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ event, object string }{
		{"charge.dispute.closed", disputeObject("under_review", taken)},
		{"charge.dispute.funds_withdrawn", disputeObject("needs_response", "")},
		{"charge.dispute.funds_reinstated", disputeObject("won", taken)},
	} {
		_, err := answering(t, 200, c.object).Fetch(t.Context(), payment.Pointer{EventType: c.event, ObjectID: "dp_1"})
		require.ErrorIs(t, err, payment.ErrBehind, c.event)
	}
}

func TestDisputesThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"unknown status": disputeObject("pondering", ""),
		"no payment":     strings.NewReplacer(`"ch_1"`, "null", `"pi_1"`, "null").Replace(disputeObject("lost", "")),
		"negative fee":   disputeObject("lost", strings.Replace(taken, `"fee": 1500`, `"fee": -1500`, 1)),
	} {
		_, err := answering(t, 200, body).Fetch(t.Context(), payment.Pointer{EventType: "charge.dispute.updated", ObjectID: "dp_1"})
		require.Error(t, err, name)
	}
	_, err := answering(t, 404, `{"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such dispute"}}`).
		Fetch(t.Context(), payment.Pointer{EventType: "charge.dispute.updated", ObjectID: "dp_1"})
	require.ErrorIs(t, err, payment.ErrNotFound)
}

// TestDisputeOfAnotherBalance: the account's balance may be in another currency
// than the sale. What left the sale is the dispute's own amount.
func TestDisputeOfAnotherBalance(t *testing.T) {
	t.Parallel()
	other := strings.NewReplacer(`"usd"`, `"eur"`, "-1500", "-1390").Replace(taken)
	facts, err := answering(t, 200, disputeObject("lost", other)).Fetch(t.Context(), payment.Pointer{EventType: "charge.dispute.closed", ObjectID: "dp_1"})
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{disputeFact("closed", "lost"), moved("txn_1", "withdrawn")}, facts)
}
