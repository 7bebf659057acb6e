package twin_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/proof/twin"
)

func (w *world) counters(t *testing.T) twin.Counters {
	t.Helper()
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	return c
}

func (w *world) rates(t *testing.T, seed uint64, r twin.Rates) {
	t.Helper()
	require.NoError(t, w.control.SetFaults(t.Context(), twin.FaultSettings{Seed: seed, Rates: r}))
}

func TestEventFaultsOnOrder(t *testing.T) {
	t.Parallel()
	t.Run("duplicate", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.pay(t, w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.Duplicate}})
		w.quiet(t)
		c := w.counters(t)
		require.Equal(t, len(w.hook.kinds()), c.Sent)
		require.Equal(t, c.Sent-4, c.Duplicates)
		require.GreaterOrEqual(t, c.Duplicates, 4, "each event at least twice")
		require.LessOrEqual(t, c.Duplicates, 12, "and at most four times")
	})
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		paid := w.pay(t, w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.Drop}})
		w.quiet(t)
		require.Empty(t, w.hook.kinds())
		require.Equal(t, 4, w.counters(t).Dropped)
		ev, err := w.control.Event(t.Context(), paid.Events[0])
		require.NoError(t, err)
		require.Equal(t, []twin.Fault{twin.Drop}, ev.Faults)
		require.False(t, ev.Arrived)
		ledger, err := w.control.Ledger(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1500, ledger.Totals["USD"].Charged, "the money moved all the same")

		// What was dropped can be sent later, and that is no duplicate.
		_, err = w.control.Redeliver(t.Context(), paid.Events[0], twin.Redelivery{})
		require.NoError(t, err)
		require.Zero(t, w.counters(t).Duplicates)
		_, err = w.control.Redeliver(t.Context(), paid.Events[0], twin.Redelivery{})
		require.NoError(t, err)
		require.Equal(t, 1, w.counters(t).Duplicates)
	})
	t.Run("reorder", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.pay(t, w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.Reorder}})
		w.quiet(t)
		kinds := w.hook.kinds()
		require.Len(t, kinds, 4)
		require.Equal(t, "checkout.session.completed", kinds[0], "the last goes first")
		c := w.counters(t)
		require.Equal(t, 3, c.Held)
		require.GreaterOrEqual(t, c.OutOfOrder, 3)
	})
	t.Run("reorder with nothing to overtake", func(t *testing.T) {
		t.Parallel()
		w := start(t, func(c *twin.Config) { c.Endpoints[0].Events = []string{"checkout.session.completed"} })
		w.pay(t, w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.Reorder}})
		w.quiet(t)
		require.Len(t, w.hook.kinds(), 1)
		require.Zero(t, w.counters(t).Held, "what could not be reordered is not said to be")
	})
	t.Run("a held event is let go in the end", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		// The endpoint hangs on what would release the others.
		hang := make(chan struct{})
		w.hook.slow = func(kind string) {
			if kind == "checkout.session.completed" {
				<-hang
			}
		}
		w.pay(t, w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.Reorder}})
		require.Eventually(t, func() bool { return len(w.hook.kinds()) == 3 }, patient, 5*time.Millisecond)
		close(hang)
		w.quiet(t)
		require.Len(t, w.hook.kinds(), 4)
	})
	t.Run("delay", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		s := w.open(t)
		paid := w.pay(t, s.ID, twin.PayRequest{Faults: []twin.Fault{twin.DelayEvent}})
		w.quiet(t)
		deliveries, err := w.control.Deliveries(t.Context(), twin.DeliveryFilter{Ref: s.ID})
		require.NoError(t, err)
		require.Len(t, deliveries, len(paid.Events))
		events, err := w.control.Events(t.Context(), twin.EventFilter{Ref: s.ID})
		require.NoError(t, err)
		for i, d := range deliveries {
			require.GreaterOrEqual(t, d.Attempts[0].At.Sub(events[i].Created).Milliseconds(), int64(29))
		}
		require.Equal(t, 4, w.counters(t).Delayed)
	})
	t.Run("a fault that is none of events", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		_, err := w.control.Pay(t.Context(), w.open(t).ID, twin.PayRequest{Faults: []twin.Fault{twin.CutReply}})
		require.Error(t, err)
		_, err = w.control.Pay(t.Context(), w.open(t).ID, twin.PayRequest{Method: "shells"})
		require.Error(t, err)
		require.Zero(t, w.counters(t).Events)
	})
}

// TestOneSeedOneCourse runs the same order of pages twice, the payments raced,
// and compares what each page suffered.
func TestOneSeedOneCourse(t *testing.T) {
	t.Parallel()
	const pages = 60
	rates := twin.Rates{
		twin.Drop: 0.2, twin.Silence: 0.1, twin.Duplicate: 0.3, twin.Reorder: 0.2, twin.DelayEvent: 0.1,
		twin.Decline: 0.2, twin.ErrorBefore: 0.1, twin.RefundPending: 0.5,
	}
	type suffered struct {
		Page   int
		Kind   string
		Faults []twin.Fault
		Copies int
	}
	course := func(seed uint64, workers int) (out []suffered, refused []int) {
		w := start(t, func(c *twin.Config) { c.Workers = 4 })
		w.rates(t, seed, rates)
		var ids []string
		for i := range pages {
			s, err := w.api.V1CheckoutSessions.Create(t.Context(), request())
			if err != nil {
				refused = append(refused, i)
				continue
			}
			ids = append(ids, s.ID)
		}
		work := make(chan string)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for id := range work {
					res, err := w.control.Pay(t.Context(), id, payCard)
					if err == nil && res.Outcome == "declined" {
						_, _ = w.control.Pay(t.Context(), id, payCard)
					}
				}
			})
		}
		for _, id := range ids {
			work <- id
		}
		close(work)
		wg.Wait()
		w.quiet(t)
		for _, id := range ids {
			s, err := w.control.Session(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, "paid", s.PaymentStatus)
			events, err := w.control.Events(t.Context(), twin.EventFilter{Ref: id})
			require.NoError(t, err)
			for _, ev := range events {
				out = append(out, suffered{s.Index, ev.Type, ev.Faults, ev.Copies})
			}
		}
		return out, refused
	}
	once, refusedOnce := course(7, 1)
	again, refusedAgain := course(7, 8)
	require.Equal(t, once, again)
	require.Equal(t, refusedOnce, refusedAgain)
	require.NotEmpty(t, refusedOnce)
	other, _ := course(8, 1)
	require.NotEqual(t, once, other)
	for _, f := range []twin.Fault{twin.Drop, twin.Silence, twin.Duplicate, twin.Reorder, twin.DelayEvent} {
		require.True(t, slices.ContainsFunc(once, func(s suffered) bool { return slices.Contains(s.Faults, f) }), f)
	}
}

func TestSilenceDropsAWholeStep(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.rates(t, 1, twin.Rates{twin.Silence: 1})
	paid := w.pay(t, w.open(t).ID, payCard)
	w.quiet(t)
	require.Empty(t, w.hook.kinds())
	require.Equal(t, len(paid.Events), w.counters(t).Dropped)
}

func TestDeclineThenPay(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.rates(t, 1, twin.Rates{twin.Decline: 1})
	s := w.open(t)
	no := w.pay(t, s.ID, payCard)
	require.Equal(t, "declined", no.Outcome)
	require.Empty(t, no.Redirect)
	require.Equal(t, "open", no.Page.Status)
	yes := w.pay(t, s.ID, payCard)
	require.Equal(t, "paid", yes.Outcome)
	require.Equal(t, no.Payment, yes.Payment, "one payment intent, two charges")
	require.NotEqual(t, no.Charge, yes.Charge)
}

func TestClosedPagesArePaidOnlyByFault(t *testing.T) {
	t.Parallel()
	w := start(t)
	closed := w.open(t).ID
	_, err := w.api.V1CheckoutSessions.Expire(t.Context(), closed, nil)
	require.NoError(t, err)
	_, err = w.control.Pay(t.Context(), closed, payCard)
	require.Error(t, err)
	late := w.pay(t, closed, twin.PayRequest{Force: true})
	require.Equal(t, twin.PagePaid, late.Page.Status)

	w.rates(t, 1, twin.Rates{twin.PayExpired: 1})
	second := w.open(t).ID
	_, err = w.control.Expire(t.Context(), second)
	require.NoError(t, err)
	w.pay(t, second, payCard)
	_, err = w.control.Pay(t.Context(), second, payCard)
	require.Error(t, err, "what is paid is paid")
	require.Equal(t, 2, w.counters(t).PaidLate)

	// Two payments on one page, each its own.
	again := w.pay(t, second, twin.PayRequest{Force: true})
	ledger, err := w.control.Ledger(t.Context())
	require.NoError(t, err)
	require.Len(t, ledger.Payments, 3)
	require.Equal(t, again.Payment, ledger.Payments[2].Payment)
	require.Equal(t, ledger.Payments[1].Ref, ledger.Payments[2].Ref)
}

func TestAPaymentThatDiffersFromThePage(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	paid := w.pay(t, s.ID, twin.PayRequest{Amount: 1499, Currency: "eur"})
	pi, err := w.api.V1PaymentIntents.Retrieve(t.Context(), paid.Payment, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1499, pi.AmountReceived)
	require.Equal(t, sdk.CurrencyEUR, pi.Currency)
	found, err := w.api.V1CheckoutSessions.Retrieve(t.Context(), s.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1499, found.AmountTotal)
}

func TestPendingRefundsAndTheirEnds(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.rates(t, 1, twin.Rates{twin.RefundPending: 1})
	paid := w.pay(t, w.open(t).ID, payCard)
	var ids []string
	for range 3 {
		r, err := w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{PaymentIntent: sdk.String(paid.Payment), Amount: sdk.Int64(500)})
		require.NoError(t, err)
		require.Equal(t, sdk.RefundStatusPending, r.Status)
		ids = append(ids, r.ID)
	}
	for i, to := range []string{"succeeded", "failed", "canceled"} {
		r, err := w.control.MoveRefund(t.Context(), ids[i], to)
		require.NoError(t, err)
		require.Equal(t, to, r.Status)
	}
	_, err := w.control.MoveRefund(t.Context(), ids[2], "succeeded")
	require.Error(t, err, "an end is an end")
	ledger, err := w.control.Ledger(t.Context())
	require.NoError(t, err)
	sum := ledger.Totals["USD"]
	require.EqualValues(t, 1500, sum.Charged)
	require.EqualValues(t, 500, sum.Refunded, "two of three came back")
	require.Equal(t, 1, sum.Refunds)
	require.EqualValues(t, 73, sum.Fees)
	require.EqualValues(t, 1500-500-73, sum.Net)
	require.Equal(t, sum, ledger.Payments[0].Totals)
	require.Equal(t, "order-1", ledger.Payments[0].OrderID)
	require.Equal(t, "attempt-1", ledger.Payments[0].AttemptID)
	var net int64
	for _, e := range ledger.Entries {
		net += e.Amount
	}
	require.Equal(t, sum.Net, net)

	again, err := w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{PaymentIntent: sdk.String(paid.Payment)})
	require.NoError(t, err)
	require.EqualValues(t, 1000, again.Amount, "what came back can be refunded again")
	all, err := w.control.Refunds(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 4)
}

func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	bad := func(s twin.FaultSettings) error { return w.control.SetFaults(t.Context(), s) }
	require.Error(t, bad(twin.FaultSettings{Rates: twin.Rates{"rain": 0.1}}))
	require.Error(t, bad(twin.FaultSettings{Rates: twin.Rates{twin.Drop: 1.1}}))
	require.Error(t, bad(twin.FaultSettings{Rates: twin.Rates{twin.Slow: 0.1}}))
	require.Error(t, bad(twin.FaultSettings{Shots: []twin.Shot{{Route: "*", Fault: twin.Drop}}}))
	require.Error(t, w.control.SetEndpoints(t.Context(), twin.Endpoint{URL: "nowhere", Secret: "x"}))
	require.Error(t, w.control.SetEndpoints(t.Context(), twin.Endpoint{URL: "http://127.0.0.1:1/"}))
	_, err := w.control.Session(t.Context(), "cs_none")
	require.Error(t, err)
	_, err = w.control.Finish(t.Context(), w.open(t).ID, true)
	require.Error(t, err)
	_, err = w.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: w.open(t).ID})
	require.Error(t, err)
}

func TestResetForgets(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.pay(t, w.open(t).ID, payCard)
	w.rates(t, 3, twin.Rates{twin.Drop: 1})
	w.quiet(t)
	require.NoError(t, w.control.Reset(t.Context()))
	state, err := w.control.State(t.Context())
	require.NoError(t, err)
	require.Zero(t, state.Pages)
	require.Zero(t, state.Counters.Events)
	require.Empty(t, state.Faults.Rates)
	require.Len(t, state.Endpoints, 1)
	w.pay(t, w.open(t).ID, payCard)
	w.quiet(t)
	require.Len(t, w.hook.kinds(), 8)
}

// A question is answered as it was before, or as another one was, and only as
// often as that was ordered.
func TestOldAndOtherAnswers(t *testing.T) {
	t.Parallel()
	const route = "GET /paypal/v2/checkout/orders/{id}"
	s := sell(t)
	one, other := s.openOrder(t, "attempt-1"), s.openOrder(t, "attempt-2")
	look := func(id string) (string, string) {
		status, o := s.call(t, http.MethodGet, "/v2/checkout/orders/"+id, "", nil)
		require.Equal(t, http.StatusOK, status)
		return o["id"].(string), o["status"].(string)
	}
	shoot := func(f twin.Fault) {
		require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: route, Fault: f}))
	}
	shoot(twin.Stale)
	id, before := look(one)
	require.Equal(t, one, id, "there is no earlier answer")
	s.approve(t, one, twin.PayRequest{})
	shoot(twin.Stale)
	_, status := look(one)
	require.Equal(t, before, status)
	_, status = look(one)
	require.Equal(t, "APPROVED", status)
	shoot(twin.MixedUp)
	id, _ = look(other)
	require.Equal(t, one, id)
	id, _ = look(other)
	require.Equal(t, other, id)
	require.Error(t, s.control.SetFaults(t.Context(), twin.FaultSettings{Rates: twin.Rates{twin.Stale: 1}}), "chance has no part in it")
}
