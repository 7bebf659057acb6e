package refund

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// The access of exactly the lines that are given back ends, when that is asked
// for and not when the money moves.
func TestLinesEndWhenAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(23*time.Hour, true))
	require.Equal(t, []int{0, 1, 2}, w.live())
	q := w.mustAsk("photo", 1)
	require.Equal(t, []int{0, 2}, w.live())
	require.Equal(t, order.Paid, w.state(), "no money has moved")
	require.NoError(t, w.Send(t.Context(), q))
	require.Equal(t, order.PartiallyRefunded, w.state())
	q = w.mustAsk("whole event", 2)
	require.Equal(t, []int{0}, w.live())
	require.NoError(t, w.Send(t.Context(), q))
	require.Equal(t, int64(3500), w.facts().Order.Refunded)

	for name, lines := range map[string][]int{"given back": {1}, "one of them": {0, 1}} {
		_, err := w.ask(name, lines...)
		require.ErrorIs(t, err, ErrLines, name)
	}
	require.NoError(t, w.Send(t.Context(), w.mustAsk("rest")))
	require.Equal(t, order.Refunded, w.state())
	require.Empty(t, w.live())
	_, err := w.ask("more")
	require.ErrorIs(t, err, ErrNothing)
	require.Zero(t, w.balance("clearing"))
}

// E6: two equal partial refunds are both kept, whether the provider names them or
// not; the same one told by the answer and by two events counts once.
func TestTwoEqualPartials(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named %t", named), func(t *testing.T) {
			t.Parallel()
			b := newBank(0, named)
			w := newWorld(t, b)
			one, two := w.mustAsk("1", 0), w.mustAsk("2", 1)
			b.lose = func() error { return errLost }
			require.ErrorIs(t, w.Send(t.Context(), one), errLost)
			b.lose = nil
			require.NoError(t, w.Send(t.Context(), two))
			for range 2 {
				events, err := b.Fetch(t.Context(), payment.Pointer{ObjectID: "pay_1"})
				require.NoError(t, err)
				w.hear(events...)
			}
			require.NoError(t, w.Send(t.Context(), one))
			f := w.facts()
			require.Len(t, f.Refunds, 2)
			for _, q := range f.Requests {
				require.Equal(t, order.RequestAnswered, q.State)
			}
			require.Equal(t, order.PartiallyRefunded, f.Order.State, f.Order.Review)
			require.Equal(t, int64(1000), f.Order.Refunded)
			require.Equal(t, gross-1000, w.balance("clearing"))
			require.Equal(t, 2, b.calls)
		})
	}
}

// E6: what is asked back never exceeds what was taken, however many ask at once.
func TestRefundsNeverExceed(t *testing.T) {
	t.Parallel()
	race := func(w *world) (given int64) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { _, _ = w.ask(fmt.Sprint(i)) })
		}
		wg.Wait()
		for _, q := range w.facts().Requests {
			given += q.Amount
		}
		return given
	}
	require.Equal(t, int64(gross), race(newWorld(t, newBank(0, true))))

	w := newWorld(t, newBank(0, true))
	w.unsummed = true
	require.Greater(t, race(w), int64(gross), "without the sum the same money goes back again")
}

// E6: a refund that fails or is refused gives the same grant back.
func TestFailedRefundRestores(t *testing.T) {
	t.Parallel()
	for _, how := range []string{payment.RefundFailed, payment.RefundCanceled, "refused"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := newBank(23*time.Hour, true)
			b.status = payment.RefundPending
			w := newWorld(t, b)
			q := w.mustAsk("k", 0, 2)
			require.Equal(t, []int{1}, w.live())
			if how == "refused" {
				b.refuse = func() error { return &payment.RejectedError{Provider: "bank", Code: "no", Message: "no"} }
				require.NoError(t, w.Send(t.Context(), q))
			} else {
				require.NoError(t, w.Send(t.Context(), q))
				w.hear(payment.Observation{Kind: payment.KindRefund, RefundID: "re_1", RequestID: q, Status: how, Amount: 3500})
				require.Len(t, w.facts().Refunds, 1, "the fact stays recorded")
			}
			require.Equal(t, []int{0, 1, 2}, w.live())
			require.Equal(t, 3, w.shop.Count(`SELECT count(*) FROM entitlements`), "the same rows")
			require.Equal(t, gross, w.balance("clearing"))
			require.Equal(t, order.Review, w.state(), "whoever asked wants to know")
			b.refuse, b.status = nil, payment.RefundSucceeded
			require.NoError(t, w.Send(t.Context(), w.mustAsk("again", 0, 2)))
			require.Equal(t, order.PartiallyRefunded, w.state())
		})
	}
}

// E7: while a dispute is open nothing is given back by us; after a warning, or
// once it is won, it can be. What is begun at the provider meanwhile is booked.
func TestDisputedIsNotRefunded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(23*time.Hour, true))
	dispute := func(status, outcome string, seq int64) {
		w.hear(payment.Observation{Kind: payment.KindDispute, DisputeID: "dp_1", Status: status, Outcome: outcome, Amount: gross, Seq: seq})
	}
	dispute(payment.DisputeWarning, "", 1)
	w.mustAsk("warned", 0)
	dispute(payment.DisputeOpen, "", 2)
	_, err := w.ask("disputed", 1)
	require.ErrorIs(t, err, ErrDisputed)
	require.Empty(t, w.live(), "frozen")
	w.hear(payment.Observation{Kind: payment.KindRefund, RefundID: "elsewhere", Status: payment.RefundSucceeded, Amount: 100})
	require.Equal(t, gross-100, w.balance("clearing"))
	dispute(payment.DisputeClosed, payment.DisputeWon, 3)
	require.Equal(t, []int{1, 2}, w.live())
	w.mustAsk("won", 1)
	require.Equal(t, []int{2}, w.live())
}

// The same request with the same key gives back once and is answered with the
// same bytes, also by many at once; another request under the key is refused.
func TestOneKeyOneRefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(0, true))
	var wg sync.WaitGroup
	answers, errs := make([]Answer, 8), make([]error, 8)
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = w.ask("k", 0) })
	}
	wg.Wait()
	first := 0
	for i := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, answers[0].Body, answers[i].Body)
		if !answers[i].Replayed {
			first++
		}
	}
	require.Equal(t, 1, first)
	require.Len(t, w.facts().Requests, 1)
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM audit_log WHERE detail ->> 'reason' = 'test'`))
	_, err := w.ask("k", 1)
	require.ErrorIs(t, err, ErrKeyReused)
	_, err = w.ask("other")
	require.NoError(t, err, "a key that was refused is not used up")
}
