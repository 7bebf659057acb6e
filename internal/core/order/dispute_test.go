package order_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

func disputed(status, outcome string, seq, amount int64) payment.Observation {
	return payment.Observation{
		InboxID: id.New(), Provider: "stripe", Account: "main", Kind: payment.KindDispute, PaymentID: "pi_1", DisputeID: "dp_1",
		Status: status, Outcome: outcome, Seq: seq, Amount: amount, Currency: "EUR",
	}
}

func moved(status, movementID string, amount int64) payment.Observation {
	return payment.Observation{
		InboxID: id.New(), Provider: "stripe", Account: "main", Kind: payment.KindDisputeMoney, PaymentID: "pi_1", DisputeID: "dp_1",
		MovementID: movementID, Status: status, Amount: amount, Currency: "EUR",
	}
}

func live(f *order.Facts, d order.Derived) (n int) {
	for _, l := range f.Lines {
		if d.Live[l.ID] {
			n++
		}
	}
	return n
}

// A dispute freezes, a lost one takes away, and one that is won after all gives
// back. An answer fetched before does not turn it around.
func TestDisputeLostAndLaterWon(t *testing.T) {
	t.Parallel()
	f := cart()
	d := learn(f, paid(f, "pi_1", 1000), disputed(payment.DisputeOpen, "", 1, 1000))
	require.Equal(t, order.Disputed, d.State)
	require.True(t, d.Frozen)
	require.Equal(t, 2, live(f, d), "frozen is not ended")
	require.False(t, d.Access(f.Lines[0].ID))

	d = learn(f, disputed(payment.DisputeClosed, payment.DisputeLost, 3, 1000))
	require.Equal(t, order.Disputed, d.State)
	require.Equal(t, 0, live(f, d))
	require.Equal(t, int64(0), f.SaleLeft(d.Kept), "what was lost is not there to give back")

	d = learn(f, disputed(payment.DisputeClosed, payment.DisputeWon, 2, 1000))
	require.Equal(t, 0, live(f, d), "an older answer")
	d = learn(f, disputed(payment.DisputeClosed, payment.DisputeWon, 4, 1000))
	require.Equal(t, order.Paid, d.State)
	require.Equal(t, 2, live(f, d))
	require.True(t, d.Access(f.Lines[0].ID))
}

// A warning contests nothing: access and refunds go on. What it becomes is
// another amount.
func TestWarningMovesNothing(t *testing.T) {
	t.Parallel()
	f := cart()
	d := learn(f, paid(f, "pi_1", 1000), disputed(payment.DisputeWarning, "", 1, 300))
	require.Equal(t, order.Paid, d.State)
	require.False(t, d.Frozen)
	require.False(t, f.Disputed(d.Kept))
	require.Equal(t, int64(1000), f.SaleLeft(d.Kept))
	require.Len(t, d.Entries, 1, "only the sale")
	d = learn(f, disputed(payment.DisputeOpen, "", 2, 1000))
	require.Contains(t, keys(d), "dispute:stripe:main:dp_1:opened dispute_opened 1000")
	require.Equal(t, "stripe:main:dp_1", d.Entries[1].Dispute)
}

// Disputed money is named movement by movement; what comes back waits until it
// is known what went.
func TestDisputedMoney(t *testing.T) {
	t.Parallel()
	f := cart()
	d := learn(f, paid(f, "pi_1", 1000), moved(payment.MoneyReinstated, "txn_2", 1000))
	require.Equal(t, []string{"sale:stripe:main:pi_1 sale 1000"}, keys(d), "the dispute itself is not known yet")
	d = learn(f, disputed(payment.DisputeClosed, payment.DisputeWon, 1, 1000))
	require.NotContains(t, keys(d), "dispute:stripe:main:dp_1:money:txn_2 dispute_reinstated 1000")
	d = learn(f, moved(payment.MoneyWithdrawn, "txn_1", 1000), moved(payment.MoneyFee, "txn_1:fee", 1500))
	require.Equal(t, []string{
		"dispute:stripe:main:dp_1:closed dispute_closed 1000",
		"dispute:stripe:main:dp_1:fee:txn_1:fee fee 1500",
		"dispute:stripe:main:dp_1:money:txn_1 dispute_withdrawn 1000",
		"dispute:stripe:main:dp_1:money:txn_2 dispute_reinstated 1000",
		"dispute:stripe:main:dp_1:opened dispute_opened 1000",
		"sale:stripe:main:pi_1 sale 1000",
	}, keys(d))
}

// A second payment that is disputed goes back by the dispute or by us, not by
// both; and the payment that was kept keeps the access.
func TestSurplusWaitsForItsDispute(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[string]int{payment.DisputeWon: 1, payment.DisputeLost: 0} {
		f := cart()
		f.Decisions[order.DecideKept] = "stripe:main:pi_2"
		d := learn(f, paid(f, "pi_1", 1000), disputed(payment.DisputeOpen, "", 1, 1000), paid(f, "pi_2", 1000))
		require.Equal(t, order.Disputed, d.State)
		require.False(t, d.Frozen, "the payment that bought the order is not contested")
		require.Empty(t, d.Refunds)
		d = learn(f, moved(payment.MoneyWithdrawn, "txn_1", 1000), disputed(payment.DisputeClosed, outcome, 2, 1000))
		require.Len(t, d.Refunds, want, outcome)
		require.Contains(t, keys(d), "dispute:stripe:main:dp_1:money:txn_1 surplus_withdrawn 1000")
		require.Equal(t, 2, live(f, d))
	}
}

// ask adds a request for a line that was sent to the provider at a time.
func ask(f *order.Facts, line int, sent time.Time) uuid.UUID {
	q := order.Request{
		ID: id.New(), OrderID: f.Order.ID, Payment: order.PaymentKey{Provider: "stripe", Account: "main", ID: "pi_1"}, Kind: order.RefundSale,
		Amount: 500, Currency: "EUR", LineIDs: []uuid.UUID{f.Lines[line].ID}, State: order.RequestOpen,
	}
	if !sent.IsZero() {
		q.SentAt = &sent
	}
	f.Requests = append(f.Requests, q)
	return q.ID
}

func unnamed(refundID string) payment.Observation {
	o := refunded("pi_1", refundID, payment.RefundSucceeded, 500)
	o.Unnamed = true
	return o
}

// E6: two equal partial refunds at a provider that names none are two refunds,
// each for one request, however the answers and the events about them come.
func TestEqualUnnamedRefunds(t *testing.T) {
	t.Parallel()
	f := cart()
	learn(f, paid(f, "pi_1", 1000))
	now := time.Now()
	first, second := ask(f, 0, now), ask(f, 1, now.Add(time.Second))
	learn(f, unnamed("b"), unnamed("b"))
	require.Equal(t, order.RequestAnswered, f.Request(first).State, "the one that was asked for first")
	require.Equal(t, order.RequestOpen, f.Request(second).State)

	reply := unnamed("a") // to the first request, whose place is taken
	reply.Unnamed, reply.RequestID = false, first
	learn(f, reply, unnamed("a"))
	require.Equal(t, order.RequestAnswered, f.Request(second).State)
	reply.RefundID, reply.RequestID = "b", second
	d := learn(f, reply)
	require.Len(t, f.Refunds, 2)
	require.NotEqual(t, *f.Refunds[0].RequestID, *f.Refunds[1].RequestID)
	require.Equal(t, order.Refunded, d.State)
	require.Empty(t, d.Reviews)
}

// What answers no request of ours was begun at the provider: a person is asked
// about its lines. So is one that carries a name elsewhere, and one that comes
// before ours was sent.
func TestRefundBegunElsewhere(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*order.Facts, *payment.Observation){
		"another amount":       func(_ *order.Facts, o *payment.Observation) { o.Amount = 499 },
		"another payment":      func(_ *order.Facts, o *payment.Observation) { o.PaymentID = "pi_0" },
		"it would carry names": func(_ *order.Facts, o *payment.Observation) { o.Unnamed = false },
		"ours was not sent":    func(f *order.Facts, _ *payment.Observation) { f.Requests[0].SentAt = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := cart()
			f.Decisions[order.DecideKept] = "stripe:main:pi_1"
			learn(f, paid(f, "pi_0", 1000), paid(f, "pi_1", 1000))
			ours := ask(f, 0, time.Now())
			o := unnamed("re_1")
			change(f, &o)
			learn(f, o)
			require.Equal(t, order.RequestOpen, f.Request(ours).State)
			require.Nil(t, f.Refunds[0].RequestID)
		})
	}
}

// A request that the provider refused, or that a person withdrew, is answered all
// the same by a refund that turns up with its name.
func TestWithdrawnRequestWasMade(t *testing.T) {
	t.Parallel()
	f := cart()
	learn(f, paid(f, "pi_1", 1000))
	q := ask(f, 0, time.Now())
	f.Request(q).State = order.RequestRejected
	d := order.Derive(f)
	require.Equal(t, 2, live(f, d))
	require.Equal(t, order.Unmet(q), d.Reviews[0].Subject)
	o := refunded("pi_1", "re_1", payment.RefundSucceeded, 500)
	o.RequestID = q
	d = learn(f, o)
	require.Equal(t, 1, live(f, d))
	require.Equal(t, order.PartiallyRefunded, d.State)
}

// What was overdue is no reason any more once it came, and a reason that a person
// has looked at holds nothing up.
func TestReasonsEnd(t *testing.T) {
	t.Parallel()
	f := cart()
	learn(f, paid(f, "pi_1", 1000), refunded("pi_1", "re_1", payment.RefundPending, 1000))
	f.Decisions[order.DecideReview+"overdue:refund:stripe:main:re_1"] = "where is it?"
	require.Equal(t, order.Review, order.Derive(f).State)
	d := learn(f, refunded("pi_1", "re_1", payment.RefundSucceeded, 1000))
	require.Equal(t, order.Refunded, d.State)

	f = cart()
	reversed := paid(f, "pi_1", 1000)
	reversed.Status = payment.PaymentReversed
	d = learn(f, reversed)
	require.Equal(t, []order.Reason{{Subject: "reversed:stripe:main:pi_1", Why: d.Words()}}, d.Reviews)
	require.True(t, f.Remedy(&d, d.Reviews[0]).Acknowledge)
	f.DecideBy(order.DecideSeen+d.Reviews[0].Subject, "the bank took it", order.Cause{Kind: order.CauseAudit, ID: id.New()}, order.NewDelta())
	require.Equal(t, order.Paid, order.Derive(f).State)
}
