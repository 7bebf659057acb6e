package app

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/payment"
	"proofroom/internal/proof/twin"
)

// These are mistakes that others paid for, each as the story of one test.
// docs/mistakes.md lists them all, with what else shows them.

func (w *world) operator() string {
	w.t.Helper()
	token, _, err := w.srv.Accounts.Provision(w.t.Context(), "op-"+id.Short(6)+"@example.com", "", "test", []account.Role{account.Operator})
	require.NoError(w.t, err)
	return token
}

// order checks out and returns the order's id and its page at the twin.
func (w *world) order(token, key string, photos ...uuid.UUID) (orderID, session string) {
	w.t.Helper()
	r := w.checkout(token, key, photos...)
	require.Equal(w.t, http.StatusCreated, r.status, "%s", r.body)
	orderID = r.json(w.t)["order_id"].(string)
	return orderID, w.session(orderID).ID
}

func (w *world) pay(session string, faults ...twin.Fault) twin.PayResult {
	w.t.Helper()
	r, err := w.twin.Pay(w.t.Context(), session, twin.PayRequest{Faults: faults})
	require.NoError(w.t, err)
	require.Equal(w.t, "paid", r.Outcome)
	return r
}

func (w *world) reaches(orderID, state string) {
	w.t.Helper()
	w.until("order "+orderID+" becomes "+state, func() bool { return w.state(orderID) == state })
}

func (w *world) quiet() {
	w.t.Helper()
	require.NoError(w.t, w.twin.Quiet(w.t.Context(), 10*time.Second))
	w.until("the inbox is quiet", func() bool {
		return w.count(`SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored')`) == 0
	})
}

// 6.1 a: a crash must not leave a key running for ever.
func TestCrashedRequestIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions", Fault: twin.ErrorBefore}))
	require.Equal(t, http.StatusServiceUnavailable, w.checkout(buyer, "k", w.photos[0]).status)
	// As a crash leaves it: running, its lease not given back.
	_, err := w.db.Owner.Exec(t.Context(), `UPDATE idempotency_keys SET lease_until = app_now() + interval '20 s'`)
	require.NoError(t, err)
	busy := w.checkout(buyer, "k", w.photos[0])
	require.Equal(t, http.StatusConflict, busy.status)
	require.NotEmpty(t, busy.header.Get("Retry-After"))
	_, err = w.db.Owner.Exec(t.Context(), `UPDATE idempotency_keys SET lease_until = app_now()`)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, w.checkout(buyer, "k", w.photos[0]).status)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders`), "the retry continued the same order")
}

// 6.1 b: a failure of the moment is not the answer for ever.
func TestPassingFailureIsNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	for _, fault := range []twin.Fault{twin.ErrorBefore, twin.RateLimit, twin.LockTimeout} {
		require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions", Fault: fault}))
		r := w.checkout(buyer, "k", w.photos[0])
		require.Equal(t, http.StatusServiceUnavailable, r.status, "%s: %s", fault, r.body)
	}
	require.Equal(t, http.StatusCreated, w.checkout(buyer, "k", w.photos[0]).status)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders`))
}

// 6.1 c: a key and an e-mail address are no proof of who asks.
func TestSameKeyOfAnotherGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.checkout(w.guest(), "same-key", w.photos[0]).json(t)
	b := w.checkout(w.guest(), "same-key", w.photos[0]).json(t)
	require.NotEqual(t, a["order_id"], b["order_id"])
	require.NotEqual(t, a["url"], b["url"])
	r := w.call("GET", "/api/v1/orders/"+a["order_id"].(string), w.guest(), "", nil)
	require.Equal(t, http.StatusNotFound, r.status, "another guest's order is not to be seen")
}

// 6.1 d: the provider made the page and its reply was lost.
func TestLostReplyFindsTheSamePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions", Fault: twin.CutReply}))
	require.Equal(t, http.StatusServiceUnavailable, w.checkout(buyer, "k", w.photos[0]).status)
	r := w.checkout(buyer, "k", w.photos[0])
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	w.session(r.json(t)["order_id"].(string)) // exactly one
}

// 6.1 d again: the failure is stored at the provider; the attempt is given up.
func TestStoredFailureMakesAnotherAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions", Fault: twin.ErrorAfter}))
	require.Equal(t, http.StatusServiceUnavailable, w.checkout(buyer, "k", w.photos[0]).status)
	r := w.checkout(buyer, "k", w.photos[0])
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	require.Equal(t, 2, w.count(`SELECT count(*) FROM attempts`))
	// Money on the page of the attempt that was given up still counts.
	var orphan string
	all, err := w.twin.Sessions(t.Context(), twin.SessionFilter{Status: "open"})
	require.NoError(t, err)
	for _, s := range all {
		if s.URL != r.json(t)["url"] {
			orphan = s.ID
		}
	}
	w.pay(orphan)
	w.reaches(r.json(t)["order_id"].(string), "paid")
}

// 6.1 e: two keys for one cart are one page; another cart closes the older one;
// and when both are paid all the same, one is given back.
func TestOneCartIsPaidOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	first, page := w.order(buyer, "tab-1", w.photos[0])
	same := w.checkout(buyer, "tab-2", w.photos[0]).json(t)
	require.Equal(t, first, same["order_id"], "the open checkout of the same cart")

	second, page2 := w.order(buyer, "tab-3", w.photos[0], w.photos[1])
	require.NotEqual(t, first, second)
	w.reaches(first, "expired")
	require.Equal(t, "expired", w.session(first).Status)

	w.pay(page2)
	w.reaches(second, "paid")
	// A provider at fault takes money on the page that it said was closed.
	_, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Force: true})
	require.NoError(t, err)
	w.until("the surplus is back", func() bool {
		return w.count(`SELECT count(*) FROM refunds WHERE status = 'succeeded'`) == 1
	})
	w.quiet()
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements WHERE photo_id = $1 AND revoked_at IS NULL AND shadowed_by IS NULL`, w.photos[0]))
	require.Equal(t, "paid", w.state(second))
	ledger, err := w.twin.Ledger(t.Context())
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, e := range ledger.Entries {
		kinds[e.Kind]++
	}
	require.Equal(t, map[string]int{"charge": 2, "fee": 2, "refund": 1}, kinds)
}

// 6.1 f: the whole event covers its photographs.
func TestWholeEventCoversSingles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	single, page := w.order(buyer, "single", w.photos[0])
	require.NoError(t, w.twin.Shoot(t.Context(), twin.Shot{Route: "POST /v1/checkout/sessions/{id}/expire", Fault: twin.ErrorBefore}))
	whole := map[string]any{"event_id": w.event.ID, "whole_event": true, "total": 3000, "currency": "EUR"}
	r := w.call("POST", "/api/v1/checkouts", buyer, "whole", whole)
	require.Equal(t, http.StatusConflict, r.status, "the older page could not be closed: %s", r.body)
	r = w.call("POST", "/api/v1/checkouts", buyer, "whole", whole)
	require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
	wholeID := r.json(t)["order_id"].(string)
	w.pay(w.session(wholeID).ID)
	w.reaches(wholeID, "paid")

	_, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Force: true})
	require.NoError(t, err)
	w.reaches(single, "refunded")
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements`), "only the whole event was granted")
	more := w.checkout(buyer, "more", w.photos[3])
	require.Equal(t, "checkout.owned", more.json(t)["code"])
}

// 6.1 h: the price is pinned by the request, and an order keeps its own.
func TestPriceChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	orderID, page := w.order(buyer, "k1", w.photos[0])
	_, err := w.db.Owner.Exec(t.Context(), `UPDATE events SET price_photo = 700 WHERE id = $1`, w.event.ID)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, w.checkout(buyer, "k1", w.photos[0]).status, "the stored answer")
	r := w.checkout(buyer, "k2", w.photos[1])
	require.Equal(t, "checkout.price_changed", r.json(t)["code"])
	w.pay(page)
	w.reaches(orderID, "paid")
	require.Equal(t, 500, w.count(`SELECT gross FROM ledger_entries WHERE order_id = $1`, orderID))
}

// 6.2 a, b: an event whose order is not there yet is kept and applied later.
func TestEventBeforeItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	// As if tx 1 were not committed yet: nobody knows the attempt.
	var attempt uuid.UUID
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), `SELECT id FROM attempts`).Scan(&attempt))
	_, err := w.db.Owner.Exec(t.Context(), `UPDATE attempts SET id = $1`, id.New())
	require.NoError(t, err)
	w.pay(page)
	w.until("the events wait", func() bool { return w.count(`SELECT count(*) FROM inbox WHERE state = 'failed'`) >= 2 })
	require.Equal(t, "awaiting_payment", w.state(orderID))
	_, err = w.db.Owner.Exec(t.Context(), `UPDATE attempts SET id = $1`, attempt)
	require.NoError(t, err)
	w.reaches(orderID, "paid")
	w.quiet()
}

// 6.2 c, 6.3: late news of a payment neither ends nor brings back anything.
func TestLateNewsChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	paid := w.pay(page)
	w.reaches(orderID, "paid")
	require.Equal(t, http.StatusAccepted, w.call("POST", "/api/v1/orders/"+orderID+"/refunds", w.operator(), "back", map[string]any{"reason": "test"}).status)
	w.reaches(orderID, "refunded")
	w.quiet()
	before := w.count(`SELECT count(*) FROM ledger_entries`)
	for _, status := range []string{payment.PaymentPending, payment.PaymentFailed, payment.PaymentSucceeded} {
		w.say(orderID, payment.Observation{Kind: payment.KindPayment, PaymentID: paid.Payment, Status: status, Amount: 500, Currency: "EUR"})
		require.Equal(t, "refunded", w.state(orderID), "after a late %s", status)
	}
	w.say(orderID, payment.Observation{Kind: payment.KindAttempt, Ref: page, Status: payment.AttemptExpired})
	require.Equal(t, "refunded", w.state(orderID))
	require.Equal(t, before, w.count(`SELECT count(*) FROM ledger_entries`))
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
}

// say applies an observation about an order's first attempt.
func (w *world) say(orderID string, o payment.Observation) {
	w.t.Helper()
	o.Provider, o.Account = "stripe", "main"
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), `SELECT id FROM attempts WHERE order_id = $1`, orderID).Scan(&o.AttemptID))
	require.NoError(w.t, w.srv.Asker.Say(w.t.Context(), payment.Reply(w.srv.providers[0], "test", "test", []payment.Observation{o})))
}

// 6.2 g: the payment's event may come before the page's, or alone.
func TestPaymentEventAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	paid := w.pay(page, twin.Silence)
	w.say(orderID, payment.Observation{Kind: payment.KindPayment, PaymentID: paid.Payment, Status: payment.PaymentSucceeded, Amount: 500, Currency: "EUR"})
	require.Equal(t, "paid", w.state(orderID))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM ledger_entries`))
	w.say(orderID, payment.Observation{Kind: payment.KindAttempt, Ref: page, Status: payment.AttemptSucceeded})
	require.Equal(t, 1, w.count(`SELECT count(*) FROM ledger_entries`))
}

// 6.2 k: nothing talks to a provider inside a transaction.
func TestProviderRefusesTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := pg.Exec(t.Context(), w.db.Pool, func(ctx context.Context, _ pgx.Tx) error {
		_, err := w.srv.providers[0].FetchCheckout(ctx, "cs_1")
		return err
	})
	require.ErrorIs(t, err, pg.ErrInTransaction)
}

// 6.3: one line that the buyer has already does not spoil the others.
func TestOneOwnedLineAmongMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	older, olderPage := w.order(buyer, "k1", w.photos[0])
	newer, newerPage := w.order(buyer, "k2", w.photos[0], w.photos[1])
	w.reaches(older, "expired")
	_, err := w.twin.Pay(t.Context(), olderPage, twin.PayRequest{Force: true})
	require.NoError(t, err)
	w.reaches(older, "paid")
	w.pay(newerPage)
	w.reaches(newer, "partially_refunded")
	w.quiet()
	require.Equal(t, 500, w.count(`SELECT refunded FROM orders WHERE id = $1`, newer))
	require.Equal(t, 2, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL AND shadowed_by IS NULL`))
}

// 6.4: money with another amount or currency is kept aside and buys nothing.
func TestWrongMoneyBuysNothing(t *testing.T) {
	t.Parallel()
	for name, pay := range map[string]twin.PayRequest{
		"less":             {Amount: 499},
		"another currency": {Currency: "usd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			orderID, page := w.order(w.guest(), "k", w.photos[0])
			_, err := w.twin.Pay(t.Context(), page, pay)
			require.NoError(t, err)
			w.reaches(orderID, "review")
			w.quiet()
			require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements`))
			require.Equal(t, 1, w.count(`SELECT count(*) FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.kind = 'suspense'`))
		})
	}
}

// More than the price: the price is the sale, the rest goes back once.
func TestExcessGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	_, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Amount: 650})
	require.NoError(t, err)
	w.until("the rest is back", func() bool {
		return w.count(`SELECT count(*) FROM refunds WHERE amount = 150 AND status = 'succeeded'`) == 1
	})
	w.quiet()
	require.Equal(t, "paid", w.state(orderID))
	require.Equal(t, 0, w.count(`SELECT coalesce(sum(p.amount), 0) FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.kind = 'suspense'`))
}

// One key sent by many at once, and one event by many at once.
func TestParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	var wg sync.WaitGroup
	answers := make([]reply, 16)
	for i := range answers {
		wg.Go(func() { answers[i] = w.checkout(buyer, "k", w.photos[0]) })
	}
	wg.Wait()
	var bodies []string
	for _, a := range answers {
		if a.status == http.StatusCreated {
			bodies = append(bodies, string(a.body))
			continue
		}
		require.Equal(t, http.StatusConflict, a.status, "%s", a.body)
	}
	require.NotEmpty(t, bodies)
	for _, b := range bodies {
		require.Equal(t, bodies[0], b)
	}
	require.Equal(t, 1, w.count(`SELECT count(*) FROM orders`))
	orderID := w.checkout(buyer, "k", w.photos[0]).json(t)["order_id"].(string)
	paid := w.pay(w.session(orderID).ID)
	for _, e := range paid.Events {
		_, err := w.twin.Redeliver(t.Context(), e, twin.Redelivery{Times: 10})
		require.NoError(t, err)
	}
	w.reaches(orderID, "paid")
	w.quiet()
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements`))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM messages`))
	require.Equal(t, 425, w.count(`SELECT pending FROM wallets WHERE creator_id = $1`, w.creator))
}

// Two refunds pressed at once give the money back once.
func TestTwoOperatorsRefundAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	w.pay(page)
	w.reaches(orderID, "paid")
	a, b := w.operator(), w.operator()
	var wg sync.WaitGroup
	statuses := make([]int, 2)
	for i, token := range []string{a, b} {
		wg.Go(func() {
			statuses[i] = w.call("POST", "/api/v1/orders/"+orderID+"/refunds", token, "back", map[string]any{"reason": "test"}).status
		})
	}
	wg.Wait()
	require.ElementsMatch(t, []int{http.StatusAccepted, http.StatusConflict}, statuses)
	w.reaches(orderID, "refunded")
	w.quiet()
	require.Equal(t, 1, w.count(`SELECT count(*) FROM refund_requests`))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM audit_log WHERE action = 'refund'`))
}

// News that contradicts the ledger is kept and shown to a person; it does not
// stop the queue.
func TestContradictionGoesToReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orderID, page := w.order(w.guest(), "k", w.photos[0])
	paid, err := w.twin.Pay(t.Context(), page, twin.PayRequest{Amount: 650})
	require.NoError(t, err)
	w.until("the excess is back", func() bool { return w.count(`SELECT count(*) FROM refunds`) == 1 })
	w.quiet()
	// More is said to be refunded than the order was sold for.
	w.say(orderID, payment.Observation{
		Kind: payment.KindRefund, PaymentID: paid.Payment, RefundID: "re_strange", Status: payment.RefundSucceeded, Amount: 650, Currency: "EUR",
	})
	require.Equal(t, "review", w.state(orderID))
	w.quiet()
	require.Equal(t, 2, w.count(`SELECT count(*) FROM refunds`), "the news is kept")
}
