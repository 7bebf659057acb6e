package twin_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"proofroom/internal/proof/twin"
)

func sorted(kinds ...string) []string { return slices.Sorted(slices.Values(kinds)) }

// TestEventsOfEachStep also lets Stripe's own library verify every webhook: the
// endpoint of the tests takes no other.
func TestEventsOfEachStep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(t *testing.T, w *world)
		want []string
	}{
		"paid by card": {
			func(t *testing.T, w *world) { w.pay(t, w.open(t).ID, payCard) },
			[]string{"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"},
		},
		"declined": {func(t *testing.T, w *world) {
			require.Equal(t, "declined", w.pay(t, w.open(t).ID, twin.PayRequest{Method: "decline"}).Outcome)
		}, []string{"payment_intent.created", "charge.failed", "payment_intent.payment_failed"}},
		"a transfer that arrives": {func(t *testing.T, w *world) {
			s := w.open(t).ID
			require.Equal(t, "processing", w.pay(t, s, twin.PayRequest{Method: "delayed"}).Outcome)
			res, err := w.control.Finish(t.Context(), s, true)
			require.NoError(t, err)
			require.Equal(t, "paid", res.Outcome)
		}, []string{
			"payment_intent.created", "charge.pending", "payment_intent.processing", "checkout.session.completed",
			"charge.succeeded", "payment_intent.succeeded", "checkout.session.async_payment_succeeded",
		}},
		"a transfer that fails": {func(t *testing.T, w *world) {
			s := w.open(t).ID
			w.pay(t, s, twin.PayRequest{Method: "delayed"})
			_, err := w.control.Finish(t.Context(), s, false)
			require.NoError(t, err)
		}, []string{
			"payment_intent.created", "charge.pending", "payment_intent.processing", "checkout.session.completed",
			"charge.failed", "payment_intent.payment_failed", "checkout.session.async_payment_failed",
		}},
		"expired by request": {func(t *testing.T, w *world) {
			_, err := w.api.V1CheckoutSessions.Expire(t.Context(), w.open(t).ID, nil)
			require.NoError(t, err)
		}, []string{"checkout.session.expired"}},
		"expired after a decline": {func(t *testing.T, w *world) {
			s := w.open(t).ID
			w.pay(t, s, twin.PayRequest{Method: "decline"})
			_, err := w.control.Expire(t.Context(), s)
			require.NoError(t, err)
		}, []string{"payment_intent.created", "charge.failed", "payment_intent.payment_failed", "payment_intent.canceled", "checkout.session.expired"}},
		"refunded": {func(t *testing.T, w *world) {
			paid := w.pay(t, w.open(t).ID, payCard)
			_, err := w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{Charge: sdk.String(paid.Charge)})
			require.NoError(t, err)
		}, []string{
			"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed",
			"refund.created", "charge.refunded", "refund.updated",
		}},
		"refunded from the dashboard, then failed": {func(t *testing.T, w *world) {
			s := w.open(t).ID
			w.pay(t, s, payCard)
			r, err := w.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Ref: s, Amount: 500})
			require.NoError(t, err)
			require.Empty(t, r.Metadata)
			r, err = w.control.MoveRefund(t.Context(), r.ID, "failed")
			require.NoError(t, err)
			require.Equal(t, "failed", r.Status)
		}, []string{
			"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed",
			"refund.created", "charge.refunded", "refund.updated", "refund.failed", "refund.updated", "charge.refund.updated",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			c.do(t, w)
			w.quiet(t)
			require.Empty(t, w.hook.bad)
			require.Equal(t, sorted(c.want...), sorted(w.hook.kinds()...))
			events, err := w.control.Events(t.Context(), twin.EventFilter{})
			require.NoError(t, err)
			made := []string{}
			for _, ev := range events {
				made = append(made, ev.Type)
				require.True(t, ev.Arrived)
			}
			require.Equal(t, c.want, made, "in the order in which they were made")
		})
	}
}

func TestAnEventLooksLikeStripes(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) { c.Account = "acct_1" })
	s := w.open(t)
	w.pay(t, s.ID, payCard)
	w.quiet(t)
	i := slices.Index(w.hook.kinds(), "checkout.session.completed")
	ev, body := w.hook.got[i], w.hook.bodies[i]
	require.Regexp(t, `^evt_[0-9A-Za-z]{24}$`, ev.ID)
	require.Equal(t, sdk.APIVersion, ev.APIVersion)
	require.False(t, ev.Livemode)
	require.Equal(t, "acct_1", ev.Account)
	require.EqualValues(t, 1, ev.PendingWebhooks)
	require.Equal(t, s.ID, ev.GetObjectValue("id"))
	require.Equal(t, "paid", ev.GetObjectValue("payment_status"))
	require.Greater(t, len(body), 1500, "about as large as a real one")
	require.True(t, strings.HasPrefix(string(body), "{\n  \""), "laid out as Stripe lays it out")
	kept, err := w.control.Event(t.Context(), ev.ID)
	require.NoError(t, err)
	require.Equal(t, string(body), kept.Body)

	p := &sdk.RefundCreateParams{PaymentIntent: sdk.String(ev.GetObjectValue("payment_intent"))}
	p.SetIdempotencyKey("refund-key")
	_, err = w.api.V1Refunds.Create(t.Context(), p)
	require.NoError(t, err)
	w.quiet(t)
	i = slices.Index(w.hook.kinds(), "refund.created")
	require.Equal(t, "refund-key", w.hook.got[i].Request.IdempotencyKey)
	require.Regexp(t, `^req_`, w.hook.got[i].Request.ID)
}

func TestDeliveriesAreRetriedUntilAcknowledged(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) { c.Endpoints[0].Events = []string{"checkout.session.completed"} })
	w.hook.set(func(n int, _ string) int {
		return []int{0, 500, 302, 404, 503, 204}[min(n, 5)]
	})
	s := w.open(t)
	w.pay(t, s.ID, payCard)
	w.quiet(t)
	require.Len(t, w.hook.got, 5, "one event, sent until a 2xx came; a redirect is none")
	deliveries, err := w.control.Deliveries(t.Context(), twin.DeliveryFilter{Ref: s.ID})
	require.NoError(t, err)
	require.Len(t, deliveries, 1, "the endpoint wants one type of event")
	require.Equal(t, "acknowledged", deliveries[0].State)
	var statuses []int
	for _, a := range deliveries[0].Attempts {
		statuses = append(statuses, a.Status)
	}
	require.Equal(t, []int{500, 302, 404, 503, 204}, statuses)
	require.Greater(t, deliveries[0].Attempts[4].At.Sub(deliveries[0].Attempts[3].At),
		deliveries[0].Attempts[1].At.Sub(deliveries[0].Attempts[0].At), "pauses grow")
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, c.Retries)
	require.Equal(t, 5, c.Sent)
	require.Zero(t, c.Duplicates)
}

func TestDeliveriesAreGivenUp(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) {
		c.MaxAttempts = 3
		c.Endpoints = append(c.Endpoints, twin.Endpoint{URL: "http://127.0.0.1:1/nobody", Secret: "x"},
			twin.Endpoint{URL: "http://127.0.0.1:1/once", Secret: "x", Attempts: 1})
	})
	_, err := w.control.Expire(t.Context(), w.open(t).ID)
	require.NoError(t, err)
	w.quiet(t)
	lost, err := w.control.Deliveries(t.Context(), twin.DeliveryFilter{State: "given_up"})
	require.NoError(t, err)
	require.Len(t, lost, 2)
	require.Len(t, lost[0].Attempts, 3)
	require.Len(t, lost[1].Attempts, 1, "an endpoint that wants no retries")
	require.NotEmpty(t, lost[0].Attempts[0].Error)
	require.Equal(t, []string{"checkout.session.expired"}, w.hook.kinds(), "the other endpoint got it")
}

func TestRetryNow(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) { c.RetryUnit = time.Hour })
	down := make(chan struct{}, 1)
	w.hook.set(func(n int, _ string) int {
		if n == 1 {
			down <- struct{}{}
			return 503
		}
		return 200
	})
	_, err := w.control.Expire(t.Context(), w.open(t).ID)
	require.NoError(t, err)
	<-down
	require.Error(t, w.control.Quiet(t.Context(), 50*time.Millisecond), "it waits for an hour")
	require.Eventually(t, func() bool {
		// The kick counts only once the delivery has begun to wait.
		return w.control.RetryNow(t.Context()) == nil && w.control.Quiet(t.Context(), 20*time.Millisecond) == nil
	}, patient, 10*time.Millisecond)
	require.Len(t, w.hook.kinds(), 2)
}

func TestCloseEndsWaitingDeliveries(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) { c.RetryUnit = time.Hour })
	w.hook.set(func(int, string) int { return 500 })
	_, err := w.control.Expire(t.Context(), w.open(t).ID)
	require.NoError(t, err)
	closed := make(chan struct{})
	go func() { w.twin.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patient):
		t.Fatal("Close waits for a delivery that waits for an hour")
	}
}

func TestAReplacedSecretSignsAsWell(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *twin.Config) { c.Endpoints[0].Secret, c.Endpoints[0].OldSecret = "whsec_next", secret })
	_, err := w.control.Expire(t.Context(), w.open(t).ID)
	require.NoError(t, err)
	w.quiet(t)
	require.Empty(t, w.hook.bad)
	require.Len(t, w.hook.got, 1, "an endpoint that knows only the old secret verifies")
}

func TestRedeliverManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	other := newHook(t)
	s := w.open(t)
	w.pay(t, s.ID, payCard)
	w.quiet(t)
	events, err := w.control.Events(t.Context(), twin.EventFilter{Ref: s.ID, Type: "checkout.session.completed"})
	require.NoError(t, err)
	answers, err := w.control.Redeliver(t.Context(), events[0].ID, twin.Redelivery{Times: 50, URLs: []string{w.hook.url, other.url}})
	require.NoError(t, err)
	require.Len(t, answers, 100)
	for _, a := range answers {
		require.Equal(t, 200, a.Status)
	}
	require.Len(t, other.got, 50)
	require.Len(t, w.hook.got, 54)
	require.Empty(t, other.bad)
	for _, ev := range other.got {
		require.Equal(t, events[0].ID, ev.ID)
	}
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	require.Equal(t, 100, c.Duplicates)
	_, err = w.control.Redeliver(t.Context(), "evt_none", twin.Redelivery{})
	var refused *twin.ControlError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusNotFound, refused.Status)
}

func TestSignaturesKeepTheMachinesTime(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	clock, err := w.control.SetClock(t.Context(), 25*time.Hour, 0)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(25*time.Hour), clock.Now, time.Minute)
	w.quiet(t)
	require.Equal(t, []string{"checkout.session.expired"}, w.hook.kinds(), "the page expired, and its webhook is fresh")
	require.Greater(t, w.hook.got[0].Created, time.Now().Add(24*time.Hour).Unix(), "the event states the twin's time")
	found, err := w.api.V1CheckoutSessions.Retrieve(t.Context(), s.ID, nil)
	require.NoError(t, err)
	require.Equal(t, sdk.CheckoutSessionStatusExpired, found.Status)

	_, err = w.control.SetClock(t.Context(), 25*time.Hour, -time.Hour)
	require.NoError(t, err)
	answers, err := w.control.Redeliver(t.Context(), w.hook.got[0].ID, twin.Redelivery{})
	require.NoError(t, err)
	require.Equal(t, 400, answers[0].Status)
	require.ErrorIs(t, w.hook.bad[0], webhook.ErrTooOld, fmt.Sprint(w.hook.bad))
}
