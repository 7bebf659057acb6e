package twin_test

import (
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/proof/twin"
)

const (
	createRoute = "POST /v1/checkout/sessions"
	refundRoute = "POST /v1/refunds"
)

func withKey(key string) func(*sdk.CheckoutSessionCreateParams) {
	return func(p *sdk.CheckoutSessionCreateParams) { p.SetIdempotencyKey(key) }
}

// count asserts how many pages there are: effects, not answers, are judged.
func (w *world) count(t *testing.T, want int) {
	t.Helper()
	sessions, err := w.control.Sessions(t.Context(), noFilter)
	require.NoError(t, err)
	require.Len(t, sessions, want)
}

func (w *world) shoot(t *testing.T, s twin.Shot) {
	t.Helper()
	require.NoError(t, w.control.Shoot(t.Context(), s))
}

func TestAKeyReplaysTheFirstAnswer(t *testing.T) {
	t.Parallel()
	w := start(t)
	first := w.open(t, withKey("k"))
	require.Empty(t, first.LastResponse.Header.Get("Idempotent-Replayed"))
	w.pay(t, first.ID, payCard)
	second := w.open(t, withKey("k"))
	require.Equal(t, first.LastResponse.RawJSON, second.LastResponse.RawJSON, "word for word, although it is paid by now")
	require.Equal(t, "true", second.LastResponse.Header.Get("Idempotent-Replayed"))
	require.Equal(t, first.LastResponse.RequestID, second.LastResponse.Header.Get("Original-Request"))
	require.NotEqual(t, first.LastResponse.RequestID, second.LastResponse.RequestID)
	w.count(t, 1)

	w.open(t, withKey("other"))
	w.open(t)
	w.count(t, 3)
}

func TestAKeyWithOtherParameters(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t, withKey("k"))
	_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k"), func(p *sdk.CheckoutSessionCreateParams) {
		p.LineItems[0].PriceData.UnitAmount = sdk.Int64(1201)
	}))
	se := stripeError(t, err)
	require.Equal(t, 400, se.HTTPStatusCode)
	require.Equal(t, sdk.ErrorTypeIdempotency, se.Type)

	// Another address with the same key is another request as well.
	p := &sdk.CheckoutSessionExpireParams{}
	p.SetIdempotencyKey("k")
	_, err = w.api.V1CheckoutSessions.Expire(t.Context(), s.ID, p)
	require.Equal(t, sdk.ErrorTypeIdempotency, stripeError(t, err).Type)

	status, _ := w.post(t, "/v1/checkout/sessions", "mode=payment", strings.Repeat("k", 256))
	require.Equal(t, 400, status, "Stripe's client would not even send it")
	w.count(t, 1)
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, c.KeyMismatches)
}

func TestAKeyInUseConflicts(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.Slow, Millis: 300})
	var wg sync.WaitGroup
	results := make([]error, 8)
	ids := make([]string, 8)
	for i := range results {
		wg.Go(func() {
			s, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k")))
			results[i], ids[i] = err, s.ID
		})
	}
	wg.Wait()
	created := 0
	for i, err := range results {
		if err == nil {
			created++
			require.NotEmpty(t, ids[i])
			continue
		}
		se := stripeError(t, err)
		require.Equal(t, 409, se.HTTPStatusCode)
		require.Equal(t, sdk.ErrorCodeIdempotencyKeyInUse, se.Code)
	}
	require.Positive(t, created)
	w.count(t, 1)
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	require.Equal(t, 8-created, c.KeyConflicts)
	require.Positive(t, c.KeyConflicts, "the first call was under way while others came")
	w.open(t, withKey("k")) // a conflict is not kept
	w.count(t, 1)
}

func TestServerErrorsUnderAKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.ErrorAfter})
	for range 3 {
		_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("after")))
		require.Equal(t, 500, stripeError(t, err).HTTPStatusCode)
	}
	w.count(t, 1) // it happened once, and its 500 is kept

	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.ErrorBefore})
	_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("before")))
	require.Equal(t, 500, stripeError(t, err).HTTPStatusCode)
	w.count(t, 1)
	w.open(t, withKey("before"))
	w.count(t, 2)
}

func TestWhatIsNotKeptUnderAKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k"), func(p *sdk.CheckoutSessionCreateParams) { p.Mode = nil }))
	require.Equal(t, 400, stripeError(t, err).HTTPStatusCode)
	for _, f := range []twin.Fault{twin.RateLimit, twin.LockTimeout} {
		w.shoot(t, twin.Shot{Route: "*", Fault: f})
		_, err = w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k")))
		require.Equal(t, 429, stripeError(t, err).HTTPStatusCode)
	}
	w.open(t, withKey("k")) // neither a failed validation nor a 429 is in the way
	w.count(t, 1)
}

func TestARefusalAfterWorkBeganIsKept(t *testing.T) {
	t.Parallel()
	w := start(t)
	paid := w.pay(t, w.open(t).ID, payCard)
	tooMuch := func() *sdk.RefundCreateParams {
		p := &sdk.RefundCreateParams{PaymentIntent: sdk.String(paid.Payment), Amount: sdk.Int64(9999)}
		p.SetIdempotencyKey("k")
		return p
	}
	_, err := w.api.V1Refunds.Create(t.Context(), tooMuch())
	require.Equal(t, 400, stripeError(t, err).HTTPStatusCode)
	_, err = w.api.V1Refunds.Create(t.Context(), tooMuch())
	require.Equal(t, "true", stripeError(t, err).LastResponse.Header.Get("Idempotent-Replayed"))
}

func TestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	w := start(t)
	old := w.open(t, withKey("k"))
	_, err := w.control.SetClock(t.Context(), 24*time.Hour-time.Minute, 0)
	require.NoError(t, err)
	require.Equal(t, old.ID, w.open(t, withKey("k")).ID)
	_, err = w.control.SetClock(t.Context(), 24*time.Hour+time.Second, 0)
	require.NoError(t, err)
	require.NotEqual(t, old.ID, w.open(t, withKey("k")).ID, "a day later the key is a new one")

	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.ForgetKey})
	a := w.open(t, withKey("f"))
	require.NotEqual(t, a.ID, w.open(t, withKey("f")).ID)

	n, err := w.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

func TestACutReplyHasItsEffect(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.open(t) // so that the connection is not a fresh one, which clients may repeat on unasked
	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.CutReply})
	_, err := w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k")))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	w.count(t, 2)
	again := w.open(t, withKey("k"))
	w.count(t, 2)
	sessions, err := w.control.Sessions(t.Context(), noFilter)
	require.NoError(t, err)
	require.Equal(t, sessions[1].ID, again.ID)

	// A replay and a fetch can be cut as well.
	w.shoot(t, twin.Shot{Route: "*", Fault: twin.CutReply, Times: 2})
	_, err = w.api.V1CheckoutSessions.Create(t.Context(), request(withKey("k")))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = w.api.V1CheckoutSessions.Retrieve(t.Context(), again.ID, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	c, err := w.control.Counters(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, c.CutReplies)
	require.Equal(t, 2, c.Replays)
	require.Equal(t, 4, c.Requests[createRoute])
	require.Equal(t, 4, c.Answers[createRoute+" 200"])
}

func TestShotsSkipAndRepeat(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.shoot(t, twin.Shot{Route: refundRoute, Fault: twin.ErrorBefore})
	w.shoot(t, twin.Shot{Route: createRoute, Fault: twin.ErrorBefore, Skip: 1, Times: 2})
	var got []bool
	for range 5 {
		_, err := w.api.V1CheckoutSessions.Create(t.Context(), request())
		got = append(got, err == nil)
	}
	require.Equal(t, []bool{true, false, false, true, true}, got)
	require.Error(t, w.control.Shoot(t.Context(), twin.Shot{Route: "*", Fault: twin.Drop}), "no fault of a request")
	require.Error(t, w.control.Shoot(t.Context(), twin.Shot{Fault: twin.CutReply}), "no route")
}

func TestFormsOfOddShapes(t *testing.T) {
	t.Parallel()
	w := start(t)
	for body, want := range map[string]int{
		"mode=%zz":                    400,
		"mode=payment&=x":             400,
		"[]=1":                        400,
		"line_items[=1":               400,
		"line_items[0]]=1":            400,
		"metadata[a][b]=1":            400,
		"%ff=1":                       400,
		strings.Repeat("a=1&", 1<<19): 400,
	} {
		status, _ := w.post(t, "/v1/checkout/sessions", body, "")
		require.Equal(t, want, status, "%.40s", body)
	}
	// Arrays without indexes, as other clients write them.
	form := url.Values{
		"mode": {"payment"}, "success_url": {"https://shop.example/"}, "expand[]": {"line_items", "payment_intent"},
		"line_items[0][quantity]": {"2"}, "line_items[0][price_data][currency]": {"USD"},
		"line_items[0][price_data][unit_amount]": {"500"}, "line_items[0][price_data][product_data][name]": {"A"},
	}
	status, answer := w.post(t, "/v1/checkout/sessions", form.Encode(), "")
	require.Equal(t, 200, status, answer)
	require.Contains(t, answer, `"line_items"`)
	require.Contains(t, answer, `"amount_total": 1000`)
}
