package app

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

// threeWays runs a story with each of the three providers.
func threeWays(t *testing.T, story func(t *testing.T, w *world, provider string)) {
	t.Helper()
	for _, provider := range []string{"stripe", "paypal", "flutterwave"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			story(t, newWorld(t), provider)
		})
	}
}

// orderAt checks out at a provider and returns the order and the page's reference.
func (w *world) orderAt(provider, buyer, key string, photos ...uuid.UUID) (orderID, ref string) {
	w.t.Helper()
	body := w.cart(photos...)
	body["provider"] = provider
	r := w.call("POST", "/api/v1/checkouts", buyer, key, body)
	require.Equal(w.t, http.StatusCreated, r.status, "%s", r.body)
	orderID = r.json(w.t)["order_id"].(string)
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), `SELECT provider_ref FROM attempts WHERE order_id = $1`, orderID).Scan(&ref))
	return orderID, ref
}

// poll has each open order looked at now.
func (w *world) poll() {
	w.t.Helper()
	_, err := w.db.Owner.Exec(w.t.Context(), `UPDATE open_orders SET next_check_at = app_now()`)
	require.NoError(w.t, err)
}

// delivered checks that the order was paid once, and delivered once.
func (w *world) delivered(orderID string) {
	w.t.Helper()
	w.reaches(orderID, "paid")
	w.quiet()
	require.Equal(w.t, 1, w.count(`SELECT count(*) FROM payments WHERE status = 'succeeded' AND order_id = $1`, orderID))
	require.Equal(w.t, 1, w.count(`SELECT count(*) FROM entitlements WHERE order_id = $1 AND revoked_at IS NULL`, orderID))
}

// Each provider's money is heard of by its webhook, and where a payer has to agree
// first, it is taken.
func TestPaidAndTold(t *testing.T) {
	t.Parallel()
	threeWays(t, func(t *testing.T, w *world, provider string) {
		orderID, ref := w.orderAt(provider, w.guest(), "k", w.photos[0])
		_, err := w.twin.Pay(t.Context(), ref, twin.PayRequest{})
		require.NoError(t, err)
		w.delivered(orderID)
	})
}

// No provider tells anything: the poller finds out, also that somebody agreed
// whose money is still to be taken.
func TestPaidAndPolled(t *testing.T) {
	t.Parallel()
	threeWays(t, func(t *testing.T, w *world, provider string) {
		orderID, ref := w.orderAt(provider, w.guest(), "k", w.photos[0])
		_, err := w.twin.Pay(t.Context(), ref, twin.PayRequest{Faults: []twin.Fault{twin.Silence}})
		require.NoError(t, err)
		w.poll()
		w.delivered(orderID)
	})
}

// No provider tells anything: the buyer who comes back sees the order paid.
func TestPaidAndBack(t *testing.T) {
	t.Parallel()
	threeWays(t, func(t *testing.T, w *world, provider string) {
		buyer := w.guest()
		orderID, ref := w.orderAt(provider, buyer, "k", w.photos[0])
		_, err := w.twin.Pay(t.Context(), ref, twin.PayRequest{Faults: []twin.Fault{twin.Silence}})
		require.NoError(t, err)
		r := w.call("POST", "/api/v1/orders/"+orderID+"/refresh", buyer, "", nil)
		require.Equal(t, "paid", r.json(t)["state"], "%s", r.body)
		w.delivered(orderID)
	})
}

// Money that takes its time: the order waits, and nothing is delivered before.
func TestPaidSlowly(t *testing.T) {
	t.Parallel()
	threeWays(t, func(t *testing.T, w *world, provider string) {
		orderID, ref := w.orderAt(provider, w.guest(), "k", w.photos[0])
		_, err := w.twin.Pay(t.Context(), ref, twin.PayRequest{Method: twin.MethodDelayed})
		require.NoError(t, err)
		if provider == "flutterwave" {
			w.poll() // it tells nothing of money on its way
		}
		w.until("its money is on its way", func() bool { return w.count(`SELECT count(*) FROM attempts WHERE status = 'processing'`) == 1 })
		require.Equal(t, "awaiting_payment", w.state(orderID))
		require.Zero(t, w.count(`SELECT count(*) FROM entitlements`))
		_, err = w.twin.Finish(t.Context(), ref, true)
		require.NoError(t, err)
		w.delivered(orderID)
	})
}

// A page that was closed for a newer cart is paid all the same. Where a payer
// only agrees, nothing is taken; elsewhere the money is late, and is delivered for.
func TestPaidOnAClosedPage(t *testing.T) {
	t.Parallel()
	threeWays(t, func(t *testing.T, w *world, provider string) {
		buyer := w.guest()
		older, ref := w.orderAt(provider, buyer, "k1", w.photos[0])
		newer, newerRef := w.orderAt(provider, buyer, "k2", w.photos[0], w.photos[1])
		_, err := w.twin.Pay(t.Context(), ref, twin.PayRequest{Force: true})
		require.NoError(t, err)
		if provider == "paypal" {
			w.until("it is known who agreed", func() bool { return w.count(`SELECT count(*) FROM inbox WHERE state IN ('done', 'ignored')`) > 0 })
			w.quiet()
			require.Zero(t, w.count(`SELECT count(*) FROM payments`))
			require.Equal(t, "canceled", w.state(older))
		} else {
			w.delivered(older)
		}
		_, err = w.twin.Pay(t.Context(), newerRef, twin.PayRequest{})
		require.NoError(t, err)
		if provider == "paypal" {
			w.reaches(newer, "paid")
		} else {
			w.reaches(newer, "partially_refunded") // what the older one had brought already
		}
		w.quiet()
		require.Equal(t, 2, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL AND shadowed_by IS NULL`))
	})
}
