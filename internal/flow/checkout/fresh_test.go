package checkout

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// writers counts the transactions that wrote what stands of an order before and
// after its page was known.
func (d *desk) writers(orderID uuid.UUID) (before, after int) {
	before = d.Count(`SELECT count(DISTINCT x) FROM (
		SELECT xmin::text AS x FROM order_lines WHERE order_id = $1 UNION ALL SELECT xmin::text FROM reservations WHERE order_id = $1
		UNION ALL SELECT xmin::text FROM open_orders WHERE order_id = $1) t`, orderID)
	after = d.Count(`SELECT count(DISTINCT x) FROM (
		SELECT xmin::text AS x FROM orders WHERE id = $1 UNION ALL SELECT xmin::text FROM attempts WHERE order_id = $1
		UNION ALL SELECT xmin::text FROM order_history WHERE order_id = $1 UNION ALL SELECT xmin::text FROM idempotency_keys WHERE subject_id = $1) t`, orderID)
	return before, after
}

// What nothing disturbs is written whole, twice: before the call and after it.
func TestAnUndisturbedCheckoutIsTwoTransactions(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "keyed", 0, 1)
	before, after := d.writers(r.OrderID)
	require.Equal(t, [2]int{1, 1}, [2]int{before, after})
	f := d.Facts(r.OrderID)
	require.Equal(t, order.AwaitingPayment, f.Order.State)
	require.Equal(t, int32(1), f.Order.Version)
	require.Equal(t, f.Attempts[0].URL, r.URL)
	require.WithinDuration(t, *f.Attempts[0].ExpiresAt, *r.ExpiresAt, 0)
	again, err := d.service.Create(t.Context(), d.input("k", "keyed", 0, 1))
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, r, read(t, again))
}

// What happens while the provider is asked is seen, although nothing is read
// again: who takes the short way without looking would write over it.
func TestWhatHappensMeanwhileIsSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(*testing.T, *desk, uuid.UUID)
		after     func(*testing.T, *desk, uuid.UUID, Answer, error)
	}{
		"money": {
			func(t *testing.T, d *desk, o uuid.UUID) {
				d.say(t, "keyed", payment.Observation{
					Kind: payment.KindPayment, AttemptID: d.Facts(o).Attempts[0].ID, PaymentID: "p", Status: payment.PaymentSucceeded, Amount: 500, Currency: "EUR",
				})
			},
			func(t *testing.T, d *desk, o uuid.UUID, a Answer, err error) {
				require.NoError(t, err)
				require.Equal(t, order.Paid, d.state(o))
				require.Equal(t, "paid", read(t, a).State)
			},
		},
		"money on its way": {
			func(t *testing.T, d *desk, o uuid.UUID) {
				d.say(t, "keyed", payment.Observation{
					Kind: payment.KindPayment, AttemptID: d.Facts(o).Attempts[0].ID, PaymentID: "p", Status: payment.PaymentPending, Amount: 500, Currency: "EUR",
				})
			},
			func(t *testing.T, d *desk, o uuid.UUID, _ Answer, err error) {
				require.NoError(t, err)
				require.Len(t, d.Facts(o).Payments, 1)
				_, after := d.writers(o)
				require.Greater(t, after, 1, "it was looked at as a whole")
			},
		},
		"its end": {
			func(_ *testing.T, d *desk, o uuid.UUID) {
				d.Exec(`UPDATE attempts SET status = 'failed' WHERE order_id = $1`, o)
				d.Exec(`UPDATE orders SET state = 'canceled', version = 1 WHERE id = $1`, o)
			},
			func(t *testing.T, d *desk, o uuid.UUID, a Answer, err error) {
				require.NoError(t, err)
				require.Equal(t, 410, a.Status)
				require.Equal(t, order.Canceled, d.state(o))
			},
		},
		"another attempt": {
			func(_ *testing.T, d *desk, o uuid.UUID) {
				d.Exec(`INSERT INTO attempts (id, order_id, ordinal, provider, account) VALUES ($1, $2, 2, 'keyed', 'main')`, id.New(), o)
			},
			func(t *testing.T, d *desk, o uuid.UUID, _ Answer, err error) {
				require.ErrorIs(t, err, ErrUnknown, "somebody else asks for its page")
				f := d.Facts(o)
				require.NotEmpty(t, f.Attempts[0].Ref, "it is known all the same")
				require.Empty(t, f.Attempts[1].Ref)
			},
		},
		"its key is another's": {
			func(_ *testing.T, d *desk, _ uuid.UUID) {
				d.Exec(`UPDATE idempotency_keys SET term = term + 1`)
			},
			func(t *testing.T, d *desk, o uuid.UUID, _ Answer, err error) {
				require.ErrorIs(t, err, ErrRunning)
				require.Equal(t, 1, d.Count(`SELECT count(*) FROM idempotency_keys WHERE state = 'running' AND term = 2`))
				require.Equal(t, order.AwaitingPayment, d.state(o))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.keyed.Before = func(_ context.Context, call string) error {
				if call == "create" {
					c.meanwhile(t, d, d.onlyOrder(t))
				}
				return nil
			}
			a, err := d.service.Create(t.Context(), d.input("k", "keyed", 0))
			c.after(t, d, d.onlyOrder(t), a, err)
		})
	}
}

// What is not as it was when it was looked at makes the short way fail whole, and
// the long way says what it is: here, another request of the buyer's is quicker.
func TestOneOfTwoCartsWinsTheShortWay(t *testing.T) {
	t.Parallel()
	d := open(t)
	var at sync.WaitGroup
	for i := range 8 {
		at.Go(func() { // most are told to come back, and that is as it should be
			_, _ = d.service.Create(t.Context(), d.input(fmt.Sprint("k", i), "keyed", 0))
		})
	}
	at.Wait()
	require.Equal(t, 1, d.Count(`SELECT count(*) FROM reservations WHERE released_at IS NULL`))
	require.Equal(t, 1, d.Count(`SELECT count(*) FROM orders WHERE state IN ('created', 'awaiting_payment')`))
	require.Equal(t, d.Count(`SELECT count(*) FROM orders`), d.Count(`SELECT count(*) FROM order_lines`), "nothing was written in part")
	require.Zero(t, d.Count(`SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM idempotency_keys k WHERE k.subject_id = o.id)`))
}
