package app

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/account"
	"proofroom/internal/proof/twin"
)

// One photograph sold, and given back: the whole path once.
func TestOnePhotographSold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()

	r := w.checkout(buyer, "key-1", w.photos[0])
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	first := r.json(t)
	orderID := first["order_id"].(string)
	require.Equal(t, "awaiting_payment", first["state"])
	require.NotEmpty(t, first["url"])

	again := w.checkout(buyer, "key-1", w.photos[0])
	require.Equal(t, r.status, again.status)
	require.Equal(t, string(r.body), string(again.body), "the same bytes")
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))

	_, err := w.twin.Pay(t.Context(), w.session(orderID).ID, twin.PayRequest{})
	require.NoError(t, err)
	w.until("the order is paid", func() bool { return w.state(orderID) == "paid" })

	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements WHERE order_id = $1 AND revoked_at IS NULL`, orderID))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM ledger_entries WHERE order_id = $1`, orderID))
	require.Equal(t, 3, w.count(`SELECT count(*) FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id WHERE e.order_id = $1`, orderID))
	require.Equal(t, 425, w.count(`SELECT pending FROM wallets WHERE creator_id = $1`, w.creator))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM messages WHERE order_id = $1`, orderID))

	owned := w.checkout(buyer, "key-2", w.photos[0])
	require.Equal(t, http.StatusUnprocessableEntity, owned.status)
	require.Equal(t, "checkout.owned", owned.json(t)["code"])

	operator, _, err := w.srv.Accounts.Provision(t.Context(), "op@example.com", "", "test", []account.Role{account.Operator})
	require.NoError(t, err)
	refund := w.call("POST", "/api/v1/orders/"+orderID+"/refunds", operator, "back", map[string]any{"reason": "asked for it"})
	require.Equal(t, http.StatusAccepted, refund.status, "%s", refund.body)
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements WHERE order_id = $1 AND revoked_at IS NULL`, orderID), "access ends with the request")
	w.until("the money is back", func() bool { return w.state(orderID) == "refunded" })
	require.Equal(t, 0, w.count(`SELECT pending FROM wallets WHERE creator_id = $1`, w.creator))
	second := w.call("POST", "/api/v1/orders/"+orderID+"/refunds", operator, "back-2", map[string]any{"reason": "again"})
	require.Equal(t, http.StatusConflict, second.status)
	w.until("the inbox is quiet", func() bool {
		return w.count(`SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored')`) == 0
	})
	require.Equal(t, 1, w.count(`SELECT count(*) FROM refunds WHERE order_id = $1`, orderID))
}

// What costs nothing is granted without a provider, once.
func TestFreeOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.Owner.Exec(t.Context(), `UPDATE events SET free = true, price_photo = NULL, price_event = NULL WHERE id = $1`, w.event.ID)
	require.NoError(t, err)
	_, err = w.db.Owner.Exec(t.Context(), `DELETE FROM price_bundles WHERE event_id = $1`, w.event.ID)
	require.NoError(t, err)
	buyer := w.guest()
	body := w.cart(w.photos[0])
	body["total"] = 0
	r := w.call("POST", "/api/v1/checkouts", buyer, "free-1", body)
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	require.Equal(t, "paid", r.json(t)["state"])
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
	require.Equal(t, 0, w.count(`SELECT count(*) FROM ledger_entries`))
}

// Bad requests change nothing.
func TestCheckoutRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	tests := map[string]struct {
		token, key string
		change     func(map[string]any)
		status     int
		code       string
	}{
		"nobody":          {"", "k", nil, 401, ""},
		"no key":          {buyer, "", nil, 400, "idempotency.key_missing"},
		"another price":   {buyer, "k1", func(b map[string]any) { b["total"] = 499 }, 422, "checkout.price_changed"},
		"another money":   {buyer, "k2", func(b map[string]any) { b["currency"] = "USD" }, 422, "checkout.price_changed"},
		"no photos":       {buyer, "k3", func(b map[string]any) { delete(b, "photos") }, 422, "checkout.selection"},
		"a strange photo": {buyer, "k4", func(b map[string]any) { b["photos"] = []string{id.New().String()} }, 404, "photo.not_found"},
		"no such event":   {buyer, "k5", func(b map[string]any) { b["event_id"] = id.New() }, 404, "event.not_found"},
		"no such way":     {buyer, "k6", func(b map[string]any) { b["provider"] = "barter" }, 422, "checkout.provider_unknown"},
		"not an address":  {buyer, "k7", func(b map[string]any) { b["email"] = "nobody" }, 422, ""},
	}
	for name, tt := range tests {
		body := w.cart(w.photos[0])
		if tt.change != nil {
			tt.change(body)
		}
		r := w.call("POST", "/api/v1/checkouts", tt.token, tt.key, body)
		require.Equal(t, tt.status, r.status, "%s: %s", name, r.body)
		require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), name)
		if tt.code != "" {
			require.Equal(t, tt.code, r.json(t)["code"], name)
		}
	}
	require.Equal(t, 0, w.count(`SELECT count(*) FROM orders`))
	r := w.checkout(buyer, "k1", w.photos[1])
	require.Equal(t, 422, r.status)
	require.Equal(t, "checkout.key_reused", r.json(t)["code"], "a stored refusal keeps its key")
}

// A refund that is heard of before its payment fetches the payment; one whose
// payment is not ours is not ours.
func TestRefundBeforePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.checkout(w.guest(), "key-1", w.photos[0]).json(t)
	orderID := r["order_id"].(string)
	paid, err := w.twin.Pay(t.Context(), w.session(orderID).ID, twin.PayRequest{Faults: []twin.Fault{twin.Silence}})
	require.NoError(t, err)
	_, err = w.twin.RefundFromDashboard(t.Context(), twin.RefundOrder{Payment: paid.Payment})
	require.NoError(t, err)
	w.until("the order is refunded", func() bool { return w.state(orderID) == "refunded" })
	w.until("the inbox is quiet", func() bool {
		return w.count(`SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored')`) == 0
	})
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
	require.Equal(t, 2, w.count(`SELECT count(*) FROM ledger_entries`))
}
