package webui

import (
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/checkout"
)

// What a buyer reads follows the facts: the money's way, not only the state.
func TestOrderWords(t *testing.T) {
	t.Parallel()
	const open, lost = payment.DisputeOpen, payment.DisputeLost
	key := order.PaymentKey{Provider: "stripe", Account: "main", ID: "pi_1"}
	paid := func(f *order.Facts, status string) {
		f.Payments = append(f.Payments, order.Payment{Key: key, AttemptID: f.Attempts[0].ID, Status: status, Amount: 1000, Currency: "EUR"})
	}
	bought := func(f *order.Facts) {
		f.Attempts[0].Status = payment.AttemptSucceeded
		f.Decisions[order.DecideKept] = key.String()
		paid(f, payment.PaymentSucceeded)
	}
	disputed := func(f *order.Facts, status, outcome string) {
		f.Disputes = append(f.Disputes, order.Dispute{Provider: key.Provider, Account: key.Account, ID: "dp_" + status, PaymentID: key.ID, Status: status, Outcome: outcome, Amount: 1000, Currency: "EUR"})
	}
	over := func(f *order.Facts, s order.State, attempt string) { f.Order.State, f.Attempts[0].Status = s, attempt }
	returned := func(f *order.Facts, status string) {
		over(f, order.Canceled, payment.AttemptSucceeded)
		paid(f, payment.PaymentSucceeded)
		f.Payments[0].Amount = 100
		f.Refunds = append(f.Refunds, order.Refund{Provider: key.Provider, Account: key.Account, ID: "re_1", PaymentID: key.ID, Status: status, Amount: 100, Currency: "EUR"})
	}
	for name, c := range map[string]struct {
		is         func(*order.Facts)
		turnedBack bool
		want       string
	}{
		"waiting":     {func(*order.Facts) {}, false, "We have not heard yet that it was paid."},
		"turned back": {func(*order.Facts) {}, true, "You came back without paying. Nothing was taken."},
		"refused":     {func(f *order.Facts) { paid(f, payment.PaymentFailed) }, false, "Nothing was taken; you can try again."},
		"refused and turned back": {func(f *order.Facts) {
			f.Attempts[0].Status = payment.AttemptApproved
			paid(f, payment.PaymentFailed)
		}, true, "Nothing was taken; you can try again."},
		"under way": {func(f *order.Facts) { paid(f, payment.PaymentPending) }, true, "The provider has your payment"},
		"dispute open": {func(f *order.Facts) {
			f.Order.State = order.Disputed
			bought(f)
			disputed(f, open, "")
		}, false, "Your bank or the provider was asked to take the money back. Until that is decided, downloads are paused."},
		"dispute lost": {func(f *order.Facts) {
			f.Order.State = order.Disputed
			bought(f)
			disputed(f, payment.DisputeClosed, lost)
		}, false, "The money went back to you; the photographs can no longer be downloaded."},
		"dispute of a second payment lost": {func(f *order.Facts) {
			f.Order.State = order.Disputed
			bought(f)
			disputed(f, payment.DisputeClosed, lost)
			f.Disputes[0].PaymentID = "pi_2"
		}, false, "What is yours can be downloaded."},
		"given up":       {func(f *order.Facts) { over(f, order.Canceled, payment.AttemptClosed) }, false, "It was given up before it was paid."},
		"expired":        {func(f *order.Facts) { over(f, order.Expired, payment.AttemptExpired) }, false, "It was not paid in time and nothing was charged."},
		"bank said no":   {func(f *order.Facts) { over(f, order.Canceled, payment.AttemptFailed) }, false, "Your bank did not send the money."},
		"coming back":    {func(f *order.Facts) { returned(f, payment.RefundPending) }, false, "€1.00 is on its way back to you."},
		"went back":      {func(f *order.Facts) { returned(f, payment.RefundSucceeded) }, false, "€1.00 went back to you."},
		"never got back": {func(f *order.Facts) { returned(f, payment.RefundFailed) }, false, "Ask the organiser about the money."},
		"asked back, too late": {func(f *order.Facts) {
			over(f, order.Expired, payment.AttemptSucceeded)
			paid(f, payment.PaymentSucceeded)
			f.Requests = append(f.Requests, order.Request{ID: id.New(), Payment: key, Amount: 1000, Currency: "EUR", Kind: order.RefundLate, State: order.RequestOpen})
		}, false, "€10.00 is on its way back to you."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &order.Facts{
				Order:     order.Order{ID: id.New(), Currency: "EUR", Gross: 1000, State: order.AwaitingPayment},
				Lines:     []order.Line{{ID: id.New(), Kind: order.LinePhoto, Price: 1000}},
				Attempts:  []order.Attempt{{ID: id.New(), Provider: "stripe", Account: "main", Ref: "cs_1", URL: "https://pay.test/", Status: payment.AttemptOpen}},
				Decisions: map[string]string{},
			}
			c.is(f)
			d := order.Derive(f)
			_, meaning := orderWords(f, &d, c.turnedBack)
			require.Contains(t, meaning, c.want)
		})
	}
}

func TestWayName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "PayPal", wayName(checkout.Way{Provider: "paypal", Methods: []string{"PayPal"}}))
	require.Equal(t, "Card, Bank (Stripe)", wayName(checkout.Way{Provider: "stripe", Methods: []string{"Card", "Bank"}}))
	require.Equal(t, "Stripe", wayName(checkout.Way{Provider: "stripe"}))
}
