package app

import (
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/twin"
)

// These are stories that somebody found by attacking.

// clearing is what our book says the provider holds for us.
func (w *world) clearing() int {
	w.t.Helper()
	return w.count(`SELECT coalesce(sum(p.amount), 0) FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.kind = 'clearing'`)
}

// held is what the provider says it holds, before its fees.
func (w *world) held() int {
	w.t.Helper()
	ledger, err := w.twin.Ledger(w.t.Context())
	require.NoError(w.t, err)
	sum := 0
	for _, e := range ledger.Entries {
		if e.Kind != "fee" {
			sum += int(e.Amount)
		}
	}
	return sum
}

func (w *world) deliver(events ...string) {
	w.t.Helper()
	for _, e := range events {
		_, err := w.twin.Redeliver(w.t.Context(), e, twin.Redelivery{Times: 1})
		require.NoError(w.t, err)
	}
}

// eventsOf lists the ids of a session's events of a type, oldest first.
func (w *world) eventsOf(session, kind string) []string {
	w.t.Helper()
	all, err := w.twin.Events(w.t.Context(), twin.EventFilter{Ref: session})
	require.NoError(w.t, err)
	var out []string
	for _, e := range all {
		if e.Type == kind {
			out = append(out, e.ID)
		}
	}
	return out
}

// A refund that is heard of before the failure of the one it replaces has no
// room in the ledger at first; once the failure is heard, it has.
func TestRefundHeardBeforeTheOneThatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[:3]...)
	w.pay(page)
	w.reaches(orderID, "paid")
	require.NoError(t, w.twin.SetFaults(t.Context(), twin.FaultSettings{Seed: 1, Rates: twin.Rates{twin.RefundPending: 1}}))
	first, err := w.twin.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: page})
	require.NoError(t, err)
	w.until("the first refund is known", func() bool { return w.count(`SELECT count(*) FROM refunds`) == 1 })
	_, err = w.twin.MoveRefund(t.Context(), first.ID, "failed", twin.Drop)
	require.NoError(t, err)
	second, err := w.twin.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: page, Faults: []twin.Fault{twin.Drop}})
	require.NoError(t, err)
	created := w.eventsOf(page, "refund.created")
	require.Len(t, created, 2)
	w.deliver(created[1])
	w.until("the second refund is known", func() bool { return w.count(`SELECT count(*) FROM refunds`) == 2 })
	require.Equal(t, "review", w.state(orderID), "more is said to be given back than was taken")
	w.deliver(w.eventsOf(page, "refund.failed")...)
	_, err = w.twin.MoveRefund(t.Context(), second.ID, "succeeded")
	require.NoError(t, err)
	w.reaches(orderID, "refunded")
	w.quiet()
	require.Equal(t, w.held(), w.clearing())
	require.Equal(t, 0, w.count(`SELECT pending FROM wallets`))
}

// Money beyond the price, given back at the provider in one piece.
func TestExcessRefundedWholeAtTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[:3]...)
	_, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Amount: 2000, Faults: []twin.Fault{twin.Silence}})
	require.NoError(t, err)
	_, err = w.twin.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: page})
	require.NoError(t, err)
	w.reaches(orderID, "refunded")
	w.quiet()
	require.Equal(t, 0, w.held())
	require.Equal(t, 0, w.clearing())
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
}

// The provider refuses a refund because the money is back already, and nobody
// told us: it is asked, and the order ends refunded.
func TestRefusedRefundAsksWhatWentBack(t *testing.T) {
	t.Parallel()
	for name, amount := range map[string]int64{"all of it": 0, "a part": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			orderID, page := w.order(w.guest(), "k", w.photos[:3]...)
			w.pay(page)
			w.reaches(orderID, "paid")
			w.quiet()
			_, err := w.twin.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: page, Amount: amount, Faults: []twin.Fault{twin.Drop}})
			require.NoError(t, err)
			operator, reason := w.operator(), map[string]any{"reason": "test"}
			require.Equal(t, http.StatusAccepted, w.call("POST", "/api/v1/orders/"+orderID+"/refunds", operator, "back", reason).status)
			if amount > 0 {
				w.reaches(orderID, "review")
				r := w.call("POST", "/api/v1/orders/"+orderID+"/refunds", operator, "the rest", reason)
				require.Equal(t, http.StatusAccepted, r.status, "what is left can be asked for: %s", r.body)
				require.EqualValues(t, 700, r.json(t)["amount"])
			}
			w.reaches(orderID, "refunded")
			w.quiet()
			require.Equal(t, 0, w.held())
			require.Equal(t, 0, w.clearing())
			require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
		})
	}
}

// Money that comes too late for what is gone goes back, and the order is over.
func TestLateMoneyForWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[:2]...)
	_, err := w.twin.Expire(t.Context(), page)
	require.NoError(t, err)
	w.reaches(orderID, "expired")
	_, err = w.srv.Catalog.DeletePhotos(t.Context(), catalog.By{ID: w.creator}, []uuid.UUID{w.photos[0]})
	require.NoError(t, err)
	_, err = w.twin.Pay(t.Context(), page, twin.PayRequest{Force: true})
	require.NoError(t, err)
	w.until("the money is back", func() bool { return w.count(`SELECT count(*) FROM refunds WHERE status = 'succeeded'`) == 1 })
	w.quiet()
	require.Equal(t, "expired", w.state(orderID))
	require.Equal(t, 0, w.clearing())
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements`))
}

// Late money for what is still there buys it.
func TestLateMoneyForWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[:2]...)
	_, err := w.twin.Expire(t.Context(), page)
	require.NoError(t, err)
	w.reaches(orderID, "expired")
	_, err = w.twin.Pay(t.Context(), page, twin.PayRequest{Force: true})
	require.NoError(t, err)
	w.reaches(orderID, "paid")
	w.quiet()
	require.Equal(t, 2, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
}

// The same cart with a corrected address is another order: the receipt must not
// go to the wrong one.
func TestSameCartOtherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	first, _ := w.order(buyer, "k1", w.photos[0])
	body := w.cart(w.photos[0])
	body["email"] = "right@example.com"
	r := w.call("POST", "/api/v1/checkouts", buyer, "k2", body)
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	second := r.json(t)["order_id"].(string)
	require.NotEqual(t, first, second)
	w.reaches(first, "expired")
	w.pay(w.session(second).ID)
	w.reaches(second, "paid")
	require.Equal(t, 1, w.count(`SELECT count(*) FROM messages WHERE recipient = 'right@example.com'`))
}

// Clicking twice at once never answers with a page that was closed by the other
// click.
func TestDoubleClickIsOnePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	var wg sync.WaitGroup
	answers := make([]reply, 12)
	for i := range answers {
		wg.Go(func() { answers[i] = w.checkout(buyer, "click-"+string(rune('a'+i)), w.photos[0]) })
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != http.StatusConflict {
			require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
			require.Equal(t, "open", w.session(a.json(t)["order_id"].(string)).Status)
		}
	}
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders`))
}

// An excess whose refund failed at the provider is for a person, also once the
// sale itself was given back.
func TestFailedRefundIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	_, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Amount: 1100})
	require.NoError(t, err)
	given, err := w.twin.Refunds(t.Context())
	require.NoError(t, err)
	w.until("the excess is back", func() bool {
		given, err = w.twin.Refunds(t.Context())
		return err == nil && len(given) == 1
	})
	_, err = w.twin.MoveRefund(t.Context(), given[0].ID, "failed")
	require.NoError(t, err)
	w.until("the failure is known", func() bool { return w.count(`SELECT count(*) FROM refunds WHERE status = 'failed'`) == 1 })
	none := w.call("POST", "/api/v1/orders/"+orderID+"/refunds", w.operator(), "none", map[string]any{"reason": "test", "lines": []string{}})
	require.Equal(t, http.StatusUnprocessableEntity, none.status, "an empty selection is not all: %s", none.body)
	require.Equal(t, http.StatusAccepted, w.call("POST", "/api/v1/orders/"+orderID+"/refunds", w.operator(), "back", map[string]any{"reason": "test"}).status)
	w.until("the sale is back", func() bool { return w.count(`SELECT refunded FROM orders WHERE id = $1`, orderID) == 500 })
	w.quiet()
	require.Equal(t, "review", w.state(orderID))
	require.Equal(t, w.held(), w.clearing())
}
