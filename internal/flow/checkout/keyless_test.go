package checkout

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// The reply of a provider that remembers no keys is lost: the call is not made
// again for the same attempt. The attempt is given up, its page is asked about
// all the same, and money on it counts. Without the claim on the call there are
// two pages for one attempt.
func TestKeylessProviderIsCalledOnceForAnAttempt(t *testing.T) {
	t.Parallel()
	for _, uncalled := range []bool{false, true} {
		t.Run(fmt.Sprintf("claim taken away %t", uncalled), func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.service.uncalled = uncalled
			d.keyless.After = func(_ context.Context, call string) error {
				if call == "create" && d.keyless.Calls("create") == 1 {
					return errLost
				}
				return nil
			}
			d.refused(t, ErrUnknown, "k", "keyless", 0)
			r := d.create(t, "k", "keyless", 0)
			pages := d.keyless.Pages()
			require.Len(t, pages, 2)
			if uncalled {
				require.Equal(t, pages[0].AttemptID, pages[1].AttemptID, "what the claim prevents")
				return
			}
			f := d.Facts(r.OrderID)
			require.Len(t, f.Attempts, 2)
			require.Equal(t, payment.AttemptAbandoned, f.Attempts[0].Status)
			require.Equal(t, pages[1].AttemptID, f.Attempts[1].ID)
			require.Equal(t, order.AwaitingPayment, f.Order.State)

			d.books.Asked()
			d.look(t, r.OrderID)
			require.Equal(t, []string{pages[0].Ref, pages[1].Ref}, d.books.Asked(), "both pages are asked about")
			d.keyless.Set(pages[0].Ref, "paid")
			d.look(t, r.OrderID)
			require.Equal(t, order.Paid, d.state(r.OrderID), "money on the page that was given up")
			require.True(t, d.watched(r.OrderID), "the other page may be paid too")
		})
	}
}

// Two requests of one key, the second while the first waits for its page: each
// attempt has one call, and the answer names the page of the newest one.
func TestKeylessTakenOver(t *testing.T) {
	t.Parallel()
	d := open(t)
	made, goOn := make(chan struct{}), make(chan struct{})
	d.keyless.After = func(_ context.Context, call string) error {
		if call == "create" && d.keyless.Calls("create") == 1 {
			close(made)
			<-goOn
		}
		return nil
	}
	type outcome struct {
		answer Answer
		err    error
	}
	first := make(chan outcome, 1)
	go func() {
		a, err := d.service.Create(context.WithoutCancel(t.Context()), d.input("k", "keyless", 0))
		first <- outcome{a, err}
	}()
	<-made
	d.takeOver()
	second := d.create(t, "k", "keyless", 0)
	close(goOn)
	got := <-first
	require.NoError(t, got.err)
	require.True(t, got.answer.Replayed, "it lost its key, and gives the answer that stands")
	require.Equal(t, second, read(t, got.answer))
	pages := d.keyless.Pages()
	require.Len(t, pages, 2)
	require.NotEqual(t, pages[0].AttemptID, pages[1].AttemptID)
	require.Equal(t, "https://keyless.test/"+pages[1].Ref, second.URL)
}

// A call that never left, or whose key was refused, is still to be made: the
// attempt goes on.
func TestKeylessNotReached(t *testing.T) {
	t.Parallel()
	d := open(t)
	answers := []error{payment.ErrNotSent, payment.ErrCredentials}
	d.keyless.Before = func(_ context.Context, call string) error {
		if n := d.keyless.Calls("create"); call == "create" && n <= len(answers) {
			return answers[n-1]
		}
		return nil
	}
	d.refused(t, ErrUnknown, "k", "keyless", 0)
	d.refused(t, ErrKey, "k", "keyless", 0)
	r := d.create(t, "k", "keyless", 0)
	require.Len(t, d.Facts(r.OrderID).Attempts, 1)
	require.Len(t, d.keyless.Pages(), 1)
}

// The client went away. A page whose address nobody was told is not made again
// only to be closed; it is asked about for as long as it could be paid.
func TestKeylessSwept(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.keyless.After = func(context.Context, string) error { return errLost }
	d.refused(t, ErrUnknown, "k", "keyless", 0)
	d.keyless.After = nil
	orderID := d.onlyOrder(t)
	d.Age(orderID, "3 minutes")
	d.look(t, orderID)
	require.Equal(t, order.Canceled, d.state(orderID))
	require.Equal(t, 1, d.keyless.Calls("create"))
	require.True(t, d.watched(orderID))
	d.books.Asked()
	d.look(t, orderID)
	require.Len(t, d.books.Asked(), 1)

	a, err := d.service.Create(t.Context(), d.input("k", "keyless", 0))
	require.NoError(t, err)
	require.Equal(t, 410, a.Status, "the client comes back too late and is told so")

	d.Age(orderID, "48 hours")
	d.look(t, orderID)
	require.False(t, d.watched(orderID), "now no money can come")
}

// The sweeper gives the order up while its client's request, which came back
// late, waits for the page: the client is not sent to pay for nothing.
func TestGivenUpWhileThePageIsAskedFor(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.keyless.After = func(_ context.Context, call string) error {
		if call == "create" {
			orderID := d.onlyOrder(t)
			d.Age(orderID, "3 minutes")
			d.look(t, orderID)
			require.Equal(t, order.Canceled, d.state(orderID))
		}
		return nil
	}
	a, err := d.service.Create(t.Context(), d.input("k", "keyless", 0))
	require.NoError(t, err)
	require.Equal(t, 410, a.Status)
	orderID := d.onlyOrder(t)
	require.True(t, d.watched(orderID), "its page is open, and asked about")
	d.keyless.Set(d.keyless.Pages()[0].Ref, "paid")
	d.look(t, orderID)
	require.Equal(t, order.Paid, d.state(orderID))
}
