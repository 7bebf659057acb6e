package refund

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// A provider that remembers no keys is called once for a request, however many
// jobs send it; without the claim it gives the money back twice.
func TestForgetfulProviderIsCalledOnce(t *testing.T) {
	t.Parallel()
	send := func(unclaimed bool) int {
		b := newBank(0, false)
		w := newWorld(t, b)
		w.unclaimed = unclaimed
		q := w.mustAsk("k", 0)
		both := make(chan struct{})
		var once sync.Once
		// The first job's answer is lost, and the second one comes then.
		b.lose = func() (err error) {
			once.Do(func() { close(both); err = errLost })
			return err
		}
		require.ErrorIs(t, w.Send(t.Context(), q), errLost)
		<-both
		require.NoError(t, w.Send(t.Context(), q))
		require.NoError(t, w.Send(t.Context(), q), "answered")
		return len(b.given)
	}
	require.Equal(t, 1, send(false))
	require.Equal(t, 2, send(true))
}

// A call that was certainly not made is made anew; one that may have been is not,
// and its refund is looked for until it shows.
func TestWhatWasNotSentIsSent(t *testing.T) {
	t.Parallel()
	b := newBank(0, false)
	w := newWorld(t, b)
	q := w.mustAsk("k", 0)
	for _, cause := range []error{payment.ErrNotSent, payment.ErrCredentials} {
		b.refuse = func() error { return cause }
		require.ErrorIs(t, w.Send(t.Context(), q), cause)
		require.Nil(t, w.facts().Requests[0].SentAt)
	}
	b.refuse = func() error { return errors.New("who knows") }
	require.Error(t, w.Send(t.Context(), q))
	b.refuse = nil
	require.ErrorIs(t, w.Send(t.Context(), q), payment.ErrBehind)
	require.Empty(t, b.given)
	require.Equal(t, 3, b.calls)
}

// A provider that remembers keys is asked with the same one while it does, and
// only looked at after that.
func TestKeyIsRepeatedWithinMemory(t *testing.T) {
	t.Parallel()
	b := newBank(23*time.Hour, true)
	w := newWorld(t, b)
	q := w.mustAsk("k", 0)
	b.lose = func() error { return errLost }
	require.ErrorIs(t, w.Send(t.Context(), q), errLost)
	require.ErrorIs(t, w.Send(t.Context(), q), errLost)
	require.Len(t, b.given, 1, "the same key, the same refund")
	w.shop.Exec(`UPDATE refund_requests SET sent_at = sent_at - interval '24 hours'`)
	require.NoError(t, w.Send(t.Context(), q))
	require.Equal(t, 2, b.calls)
	require.Equal(t, order.PartiallyRefunded, w.state())

	// Past its memory, and it shows nothing: nobody asks again.
	q = w.mustAsk("k2", 1)
	b.refuse, b.lose = func() error { return payment.ErrStored }, nil
	require.ErrorIs(t, w.Send(t.Context(), q), errUnanswered)
	w.shop.Exec(`UPDATE refund_requests SET sent_at = sent_at - interval '24 hours'`)
	b.refuse = nil
	require.ErrorIs(t, w.Send(t.Context(), q), errUnanswered)
	require.Len(t, b.given, 1)
}

// A refund whose answer and events were all lost is found by asking, and nobody
// is asked any more once it is over.
func TestPollFindsWhatNobodyTold(t *testing.T) {
	t.Parallel()
	b := newBank(23*time.Hour, true)
	b.status = payment.RefundPending
	w := newWorld(t, b)
	q := w.mustAsk("k", 0)
	b.lose = func() error { return errLost }
	require.ErrorIs(t, w.Send(t.Context(), q), errLost)
	b.lose = nil
	poll := func() int {
		n, err := w.Poll(t.Context())
		require.NoError(t, err)
		w.shop.Exec(`UPDATE open_refunds SET next_check_at = app_now() - interval '1 ms'`)
		return n
	}
	require.Equal(t, 0, poll(), "not due yet")
	require.Equal(t, 1, poll())
	require.Len(t, w.facts().Refunds, 1)
	require.True(t, w.facts().Refunds[0].Pending())
	b.given[0].Status = payment.RefundSucceeded
	require.Equal(t, 1, poll())
	require.Equal(t, order.PartiallyRefunded, w.state())
	require.Equal(t, 1, poll())
	require.Equal(t, 0, poll(), "it is over")
}

// What takes too long is handed to a person, once, and taken back when it comes.
func TestOverdue(t *testing.T) {
	t.Parallel()
	b := newBank(0, false)
	b.status = payment.RefundPending
	w := newWorld(t, b)
	overdue := func() int {
		n, err := w.Overdue(t.Context())
		require.NoError(t, err)
		return n
	}
	pending, unknown := w.mustAsk("1", 0), w.mustAsk("2", 1)
	require.NoError(t, w.Send(t.Context(), pending))
	b.refuse = func() error { return errors.New("who knows") }
	require.Error(t, w.Send(t.Context(), unknown))
	require.Equal(t, 0, overdue())

	w.shop.Exec(`UPDATE refund_requests SET created_at = created_at - interval '25 hours'`)
	require.Equal(t, 1, overdue())
	require.Equal(t, order.Review, w.state())
	require.Equal(t, 0, overdue(), "said once")
	w.shop.Exec(`UPDATE refunds SET created_at = created_at - interval '241 hours'`)
	require.Equal(t, 1, overdue())
	require.Len(t, w.reasons(), 2)

	w.hear(payment.Observation{Kind: payment.KindRefund, RefundID: "re_1", RequestID: pending, Status: payment.RefundSucceeded, Amount: 500})
	require.Len(t, w.reasons(), 1)
	// The person has seen at the provider that it was never made.
	act := Action{Kind: ActionWithdraw, Subject: w.reasons()[0].Subject, Note: "not there"}
	before, err := w.Preview(t.Context(), w.orderID, act)
	require.NoError(t, err)
	require.Len(t, w.reasons(), 1, "a preview changes nothing")
	after, err := w.Resolve(t.Context(), w.operator, w.orderID, act)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Equal(t, order.PartiallyRefunded, after.After)
	require.Equal(t, []int{1, 2}, w.live())
	_, err = w.Resolve(t.Context(), w.operator, w.orderID, act)
	require.ErrorIs(t, err, ErrNoReason)
	b.refuse = nil
	require.NoError(t, w.Send(t.Context(), w.mustAsk("3", 1)))
}

// Who withdraws a request has seen that it did not succeed: nothing is left to
// look at, and the access is back.
func TestWithdrawEndsTheReview(t *testing.T) {
	t.Parallel()
	b := newBank(0, false)
	w := newWorld(t, b)
	b.refuse = func() error { return errors.New("who knows") }
	require.Error(t, w.Send(t.Context(), w.mustAsk("k")))
	w.shop.Exec(`UPDATE refund_requests SET created_at = created_at - interval '25 hours'`)
	_, err := w.Overdue(t.Context())
	require.NoError(t, err)
	e := w.resolve(Action{Kind: ActionWithdraw, Subject: w.options()[ActionWithdraw].Subject})
	require.Equal(t, order.Paid, e.After)
	require.Len(t, e.Restored, 3)
	require.Equal(t, []int{0, 1, 2}, w.live())
}
