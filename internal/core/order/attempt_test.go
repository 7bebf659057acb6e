package order

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// What an attempt's status and its payments mean: whether it may take money,
// whether money is on its way, and whether its payer is sent to the page.
func TestAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status   string
		payments []string
		payable  bool
		underWay bool
		url      bool
		state    State
	}{
		"open":                    {payment.AttemptOpen, nil, true, false, true, AwaitingPayment},
		"a try failed":            {payment.AttemptOpen, []string{payment.PaymentFailed}, true, false, true, AwaitingPayment},
		"approved":                {payment.AttemptApproved, nil, true, false, false, AwaitingPayment},
		"approved and refused":    {payment.AttemptApproved, []string{payment.PaymentFailed}, true, false, true, AwaitingPayment},
		"captured and pending":    {payment.AttemptApproved, []string{payment.PaymentPending}, false, true, false, AwaitingPayment},
		"processing":              {payment.AttemptProcessing, nil, false, true, false, AwaitingPayment},
		"processing, then failed": {payment.AttemptProcessing, []string{payment.PaymentFailed}, true, false, true, AwaitingPayment},
		"two tries, one pending":  {payment.AttemptProcessing, []string{payment.PaymentFailed, payment.PaymentPending}, false, true, false, AwaitingPayment},
		"failed":                  {payment.AttemptFailed, nil, false, false, false, Canceled},
		"expired":                 {payment.AttemptExpired, nil, false, false, false, Expired},
		"closed":                  {payment.AttemptClosed, nil, false, false, false, Canceled},
		"closed, money pending":   {payment.AttemptClosed, []string{payment.PaymentPending}, false, true, false, Canceled},
		"abandoned":               {payment.AttemptAbandoned, nil, false, false, false, Canceled},
		"paid":                    {payment.AttemptSucceeded, []string{payment.PaymentSucceeded}, false, false, false, Paid},
	} {
		f := &Facts{Order: Order{State: AwaitingPayment, Gross: 500, Currency: "EUR"}, Decisions: map[string]string{}}
		f.Attempts = []Attempt{{ID: uuid.New(), Ref: "r", URL: "https://pay.test", Status: c.status}}
		a := &f.Attempts[0]
		for i, s := range c.payments {
			f.Payments = append(f.Payments, Payment{Key: PaymentKey{ID: string(rune('a' + i))}, AttemptID: a.ID, Status: s, Amount: 500, Currency: "EUR"})
		}
		require.Equal(t, c.payable, f.Payable(a.ID), name)
		require.Equal(t, c.underWay, f.UnderWay(a), name)
		require.Equal(t, c.url, f.PayURL() != "", name)
		require.Equal(t, c.state, Derive(f).State, name)
	}
	f := &Facts{Decisions: map[string]string{}}
	require.False(t, f.Payable(uuid.New()), "an attempt of another order")
	require.False(t, f.lingering())
	until := time.Now()
	f.Attempts = []Attempt{{}, {WatchUntil: &until}}
	require.True(t, f.lingering())
}
