package stripe_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/pgtest"
)

// shop is our client in front of a twin, over real HTTP.
type shop struct {
	*stripe.Client
	control *twin.Control
}

func open(t *testing.T, change ...func(*stripe.Config)) shop {
	t.Helper()
	tw := twin.New(twin.Config{})
	t.Cleanup(tw.Close)
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(srv.Close)
	c := client(t, append([]func(*stripe.Config){func(cfg *stripe.Config) {
		cfg.BaseURL, cfg.SecretKey = srv.URL, twin.DefaultSecretKey
	}}, change...)...)
	return shop{c, &twin.Control{Base: srv.URL}}
}

func checkout() payment.CheckoutRequest {
	return payment.CheckoutRequest{
		AttemptID: uuid.New(), OrderID: uuid.New(), Currency: "USD", Email: "ada@example.com", Description: "Spring run",
		Lines:      []payment.CheckoutLine{{Name: "DSC_0001", Price: 1200}, {Name: "DSC_0002", Price: 300}},
		SuccessURL: "https://shop.example/done", CancelURL: "https://shop.example/cart", ExpiresAt: time.Now().Add(time.Hour),
	}
}

func (s shop) create(t *testing.T, in payment.CheckoutRequest) payment.Checkout {
	t.Helper()
	page, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	return page
}

func (s shop) pay(t *testing.T, ref string, how twin.PayRequest) twin.PayResult {
	t.Helper()
	res, err := s.control.Pay(t.Context(), ref, how)
	require.NoError(t, err)
	return res
}

func (s shop) shoot(t *testing.T, fault twin.Fault) {
	t.Helper()
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: "*", Fault: fault}))
}

func (s shop) pages(t *testing.T) []twin.SessionView {
	t.Helper()
	all, err := s.control.Sessions(t.Context(), twin.SessionFilter{})
	require.NoError(t, err)
	return all
}

func fact(kind payment.Kind, status string) payment.Observation {
	return payment.Observation{Provider: "stripe", Account: "main", Kind: kind, Status: status, Amount: 1500, Currency: "USD"}
}

func attemptOf(in payment.CheckoutRequest, ref, status string) payment.Observation {
	o := fact(payment.KindAttempt, status)
	o.AttemptID, o.Ref = in.AttemptID, ref
	return o
}

func paymentOf(in payment.CheckoutRequest, id, status string) payment.Observation {
	o := fact(payment.KindPayment, status)
	o.AttemptID, o.PaymentID = in.AttemptID, id
	return o
}

func refundOf(id, of, status string, request uuid.UUID, amount int64) payment.Observation {
	o := fact(payment.KindRefund, status)
	o.RefundID, o.PaymentID, o.RequestID, o.Amount = id, of, request, amount
	return o
}

func TestCheckoutFromOpenToPaid(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	page := s.create(t, in)
	require.True(t, page.Open)
	require.Empty(t, page.Facts, "that a page is open is no fact")
	require.Equal(t, in.ExpiresAt.Truncate(time.Second).UTC(), page.ExpiresAt)
	v := s.pages(t)[0]
	require.Equal(t, page.Ref, v.ID)
	require.Equal(t, page.URL, v.URL)
	require.EqualValues(t, 1500, v.Amount)
	require.Equal(t, in.OrderID.String(), v.ClientReferenceID)
	require.Equal(t, map[string]string{"attempt_id": in.AttemptID.String(), "order_id": in.OrderID.String()}, v.Metadata)
	require.Equal(t, "https://shop.example/done?session_id={CHECKOUT_SESSION_ID}", v.SuccessURL)

	again := s.create(t, in)
	require.Equal(t, page, again, "the same attempt is the same page")
	require.Len(t, s.pages(t), 1)

	paid := s.pay(t, page.Ref, twin.PayRequest{})
	require.Equal(t, "https://shop.example/done?session_id="+page.Ref, paid.Redirect)
	want := payment.Checkout{
		Ref: page.Ref, ExpiresAt: page.ExpiresAt,
		Facts: []payment.Observation{attemptOf(in, page.Ref, "succeeded"), paymentOf(in, paid.Payment, "succeeded")},
	}
	found, err := s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, want, found)
	closed, err := s.CloseCheckout(t.Context(), page.Ref, "")
	require.NoError(t, err)
	require.Equal(t, want, closed, "closing a paid page tells that it is paid")
	require.Equal(t, want, s.create(t, in), "so does opening it again, although the stored answer says open")

	for _, id := range []string{page.Ref, paid.Payment} {
		facts, err := s.Fetch(t.Context(), payment.Pointer{ObjectID: id})
		require.NoError(t, err)
		require.Contains(t, facts, want.Facts[1], "every way states the same payment")
	}
}

func TestCheckoutClosedAndExpired(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	page := s.create(t, in)
	for range 2 {
		closed, err := s.CloseCheckout(t.Context(), page.Ref, "")
		require.NoError(t, err)
		require.False(t, closed.Open)
		require.Empty(t, closed.URL)
		require.Equal(t, []payment.Observation{attemptOf(in, page.Ref, "expired")}, closed.Facts)
	}
	require.Equal(t, []payment.Observation{attemptOf(in, page.Ref, "expired")}, s.create(t, in).Facts)

	// It is paid all the same.
	paid := s.pay(t, page.Ref, twin.PayRequest{Force: true})
	found, err := s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{attemptOf(in, page.Ref, "succeeded"), paymentOf(in, paid.Payment, "succeeded")}, found.Facts)

	_, err = s.FetchCheckout(t.Context(), "cs_test_none")
	require.ErrorIs(t, err, payment.ErrNotFound)
	_, err = s.CloseCheckout(t.Context(), "cs_test_none", "")
	require.ErrorIs(t, err, payment.ErrNotFound)
}

func TestCheckoutByBankTransfer(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, arrives := range []bool{true, false} {
		in := checkout()
		page := s.create(t, in)
		begun := s.pay(t, page.Ref, twin.PayRequest{Method: "delayed"})
		found, err := s.FetchCheckout(t.Context(), page.Ref)
		require.NoError(t, err)
		require.False(t, found.Open)
		require.Equal(t, []payment.Observation{attemptOf(in, page.Ref, "processing"), paymentOf(in, begun.Payment, "pending")}, found.Facts)
		_, err = s.control.Finish(t.Context(), page.Ref, arrives)
		require.NoError(t, err)
		found, err = s.FetchCheckout(t.Context(), page.Ref)
		require.NoError(t, err)
		end := map[bool][2]string{true: {"succeeded", "succeeded"}, false: {"failed", "failed"}}[arrives]
		require.Equal(t, []payment.Observation{attemptOf(in, page.Ref, end[0]), paymentOf(in, begun.Payment, end[1])}, found.Facts,
			"the page looks the same; its payment tells the end")
	}
}

func TestADeclinedCardEndsNothing(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	page := s.create(t, in)
	no := s.pay(t, page.Ref, twin.PayRequest{Method: "decline"})
	found, err := s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.True(t, found.Open)
	require.Empty(t, found.Facts)
	facts, err := s.Fetch(t.Context(), payment.Pointer{ObjectID: no.Payment})
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{paymentOf(in, no.Payment, "failed")}, facts)
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	paid := s.pay(t, s.create(t, in).Ref, twin.PayRequest{})
	half := payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 700, Currency: "USD"}
	facts, err := s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Len(t, facts, 1)
	first := facts[0].RefundID
	require.Equal(t, refundOf(first, paid.Payment, "succeeded", half.RequestID, 700), facts[0])

	again, err := s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Contains(t, again, facts[0], "the same request is the same refund")

	equal := half
	equal.RequestID = uuid.New()
	facts, err = s.Refund(t.Context(), equal)
	require.NoError(t, err)
	second := facts[0].RefundID
	require.NotEqual(t, first, second, "two equal refunds are two")

	tooMuch := half
	tooMuch.RequestID = uuid.New()
	_, err = s.Refund(t.Context(), tooMuch)
	var rejected *payment.RejectedError
	require.ErrorAs(t, err, &rejected)
	ledger, err := s.control.Ledger(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1400, ledger.Totals["USD"].Refunded)

	payer := paymentOf(in, paid.Payment, "succeeded")
	want := []payment.Observation{
		payer,
		refundOf(second, paid.Payment, "succeeded", equal.RequestID, 700),
		refundOf(first, paid.Payment, "succeeded", half.RequestID, 700),
	}
	for _, p := range []payment.Pointer{
		{EventType: "charge.refunded", ObjectID: paid.Charge}, {ObjectID: paid.Payment},
	} {
		facts, err = s.Fetch(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, want, facts, p.ObjectID)
	}
	facts, err = s.Fetch(t.Context(), payment.Pointer{EventType: "refund.updated", ObjectID: first})
	require.NoError(t, err)
	require.Equal(t, []payment.Observation{payer, want[2]}, facts)

	_, err = s.control.MoveRefund(t.Context(), first, "failed")
	require.NoError(t, err)
	again, err = s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, "failed", again[len(again)-1].Status, "a repeated request tells how the refund stands now")

	// By its charge, for a payment that has no payment intent's id with us.
	byCharge := payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Charge, Amount: 100, Currency: "USD"}
	facts, err = s.Refund(t.Context(), byCharge)
	require.NoError(t, err)
	require.Equal(t, paid.Payment, facts[0].PaymentID)

	for _, id := range []string{"pi_none", "ch_none", "re_none"} {
		_, err = s.Fetch(t.Context(), payment.Pointer{ObjectID: id})
		require.Error(t, err, id)
	}
	_, err = s.Fetch(t.Context(), payment.Pointer{ObjectID: "re_none"})
	require.ErrorIs(t, err, payment.ErrNotFound)
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: "customer.created", ObjectID: "cus_1"})
	require.Error(t, err)
}

func TestManyRefundsAreAllListed(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	in.Lines = []payment.CheckoutLine{{Name: "Album", Price: 25_000}}
	paid := s.pay(t, s.create(t, in).Ref, twin.PayRequest{})
	seen := map[string]bool{}
	for range 120 {
		v, err := s.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Payment: paid.Charge, Amount: 100})
		require.NoError(t, err)
		seen[v.ID] = true
	}
	facts, err := s.Fetch(t.Context(), payment.Pointer{EventType: "charge.refunded", ObjectID: paid.Charge})
	require.NoError(t, err)
	require.Len(t, facts, 121, "the payment once, and every refund over two pages")
	for _, o := range facts[1:] {
		require.True(t, seen[o.RefundID])
		require.Equal(t, uuid.Nil, o.RequestID)
		delete(seen, o.RefundID)
	}
}

func TestARefundThatTheListDoesNotShowYet(t *testing.T) {
	t.Parallel()
	s := open(t)
	paid := s.pay(t, s.create(t, checkout()).Ref, twin.PayRequest{})
	_, err := s.Fetch(t.Context(), payment.Pointer{EventType: "charge.refunded", ObjectID: paid.Charge})
	require.ErrorIs(t, err, payment.ErrBehind, "the event is ahead of the list")
}

// TestUnknownOutcomes: whatever may have taken effect is neither a success nor
// a rejection, and asking again under the same key heals it.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  twin.Fault
		effect bool
	}{
		{twin.CutReply, true}, {twin.ErrorBefore, false}, {twin.RateLimit, false}, {twin.LockTimeout, false},
	} {
		s, in := open(t), checkout()
		s.create(t, checkout())
		s.shoot(t, c.fault)
		_, err := s.CreateCheckout(t.Context(), in)
		unknown(t, err)
		require.Len(t, s.pages(t), map[bool]int{true: 2, false: 1}[c.effect], c.fault)
		page := s.create(t, in)
		require.True(t, page.Open)
		require.Len(t, s.pages(t), 2, "%s: one page for one attempt", c.fault)
		require.Equal(t, s.pages(t)[1].ID, page.Ref)

		paid := s.pay(t, page.Ref, twin.PayRequest{})
		refund := payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 1500, Currency: "USD"}
		s.shoot(t, c.fault)
		_, err = s.Refund(t.Context(), refund)
		unknown(t, err)
		_, err = s.Refund(t.Context(), refund)
		require.NoError(t, err)
		ledger, err := s.control.Ledger(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, ledger.Totals["USD"].Refunds, c.fault)

		for _, ask := range []func() error{
			func() error { _, err := s.FetchCheckout(t.Context(), page.Ref); return err },
			func() error { _, err := s.CloseCheckout(t.Context(), page.Ref, ""); return err },
			func() error {
				_, err := s.Fetch(t.Context(), payment.Pointer{ObjectID: paid.Payment})
				return err
			},
		} {
			if c.fault == twin.CutReply {
				// A rejection's reply is not cut, and closing a paid page is one.
				continue
			}
			s.shoot(t, c.fault)
			unknown(t, ask())
		}
	}
}

func unknown(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var rejected *payment.RejectedError
	require.False(t, errors.As(err, &rejected), err)
	require.NotErrorIs(t, err, payment.ErrNotFound)
}

func TestAStoredFailureIsToldApart(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	s.shoot(t, twin.ErrorAfter)
	_, err := s.CreateCheckout(t.Context(), in)
	unknown(t, err)
	require.NotErrorIs(t, err, payment.ErrStored, "the first answer may be followed by a better one")
	_, err = s.CreateCheckout(t.Context(), in)
	unknown(t, err)
	require.ErrorIs(t, err, payment.ErrStored)
	require.Len(t, s.pages(t), 1, "a page that nobody may forget")
}

func TestForgottenKeysMakeASecondPage(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	s.shoot(t, twin.ForgetKey)
	first := s.create(t, in)
	second := s.create(t, in)
	require.NotEqual(t, first.Ref, second.Ref, "which is why KeyMemory bounds repeated calls")
}

func TestOtherContentUnderOneKeyIsNoRejection(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	s.create(t, in)
	in.Lines[0].Price++
	_, err := s.CreateCheckout(t.Context(), in)
	unknown(t, err) // the first call did take effect
	require.ErrorContains(t, err, "idempotency_error")
}

func TestConcurrentCallsUnderOneKey(t *testing.T) {
	t.Parallel()
	s, in := open(t), checkout()
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: "*", Fault: twin.Slow, Millis: 200}))
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { _, err := s.CreateCheckout(t.Context(), in); errs <- err }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			unknown(t, err)
		}
	}
	require.Len(t, s.pages(t), 1)
	s.create(t, in)
	require.Len(t, s.pages(t), 1)
}

func TestRejections(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, c := range map[string]struct {
		spoil func(*payment.CheckoutRequest)
		code  string
	}{
		"less than the minimum":       {func(in *payment.CheckoutRequest) { in.Lines = []payment.CheckoutLine{{Name: "A", Price: 49}} }, "amount_too_small"},
		"no e-mail address":           {func(in *payment.CheckoutRequest) { in.Email = "ada" }, "email_invalid"},
		"no time left":                {func(in *payment.CheckoutRequest) { in.ExpiresAt = time.Now() }, "invalid_request_error"},
		"a currency that has no unit": {func(in *payment.CheckoutRequest) { in.Currency = "XXX" }, "amount"},
		"a digit too many":            {func(in *payment.CheckoutRequest) { in.Currency, in.Lines[0].Price = "TND", 10_001 }, "amount"},
		"nothing to pay for":          {func(in *payment.CheckoutRequest) { in.Lines = nil }, "amount"},
	} {
		in := checkout()
		c.spoil(&in)
		_, err := s.CreateCheckout(t.Context(), in)
		var rejected *payment.RejectedError
		require.ErrorAs(t, err, &rejected, name)
		require.Equal(t, c.code, rejected.Code, name)
		require.Equal(t, "stripe", rejected.Provider)
	}
	require.Empty(t, s.pages(t))
	_, err := s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: "pi_none", Amount: 1, Currency: "USD"})
	var rejected *payment.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, "resource_missing", rejected.Code)
	_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: "pi_none", Amount: 1, Currency: "TND"})
	require.ErrorAs(t, err, &rejected)
}

func TestTroubleOnTheWayIsUnknown(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	odd := map[string]http.HandlerFunc{
		"a proxy's 404":   func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"a proxy's 400":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadRequest) },
		"an empty answer": func(http.ResponseWriter, *http.Request) {},
		"a redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"a redirect with JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
			_, _ = w.Write([]byte(`{"id":"cs_1","status":"open","amount_total":1,"currency":"usd"}`))
		},
		"another object": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"x","object":"customer"}`)) },
		"a bad key": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}`))
		},
		"no permission": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"no"}}`))
		},
		"no answer in time": func(http.ResponseWriter, *http.Request) { <-hang },
	}
	for name, h := range odd {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(h)
			t.Cleanup(srv.CloseClientConnections)
			c := client(t, func(cfg *stripe.Config) { cfg.BaseURL, cfg.Timeout = srv.URL, 100*time.Millisecond })
			_, err := c.CreateCheckout(t.Context(), checkout())
			unknown(t, err)
			require.Equal(t, name == "a bad key" || name == "no permission", errors.Is(err, payment.ErrCredentials),
				"only the operator can help where the key is refused, and nowhere else")
			_, err = c.FetchCheckout(t.Context(), "cs_1")
			unknown(t, err)
			_, err = c.CloseCheckout(t.Context(), "cs_1", "")
			unknown(t, err)
			_, err = c.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: "pi_1", Amount: 100, Currency: "USD"})
			unknown(t, err)
			for _, id := range []string{"cs_1", "pi_1", "ch_1", "re_1"} {
				_, err = c.Fetch(t.Context(), payment.Pointer{ObjectID: id})
				unknown(t, err)
			}
		})
	}
}

func TestNoCallInsideATransaction(t *testing.T) {
	t.Parallel()
	s, db := open(t), pgtest.New(t)
	for _, call := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := s.CreateCheckout(ctx, checkout()); return err },
		func(ctx context.Context) error { _, err := s.FetchCheckout(ctx, "cs_1"); return err },
		func(ctx context.Context) error { _, err := s.CloseCheckout(ctx, "cs_1", ""); return err },
		func(ctx context.Context) error { _, err := s.Fetch(ctx, payment.Pointer{ObjectID: "cs_1"}); return err },
		func(ctx context.Context) error { _, err := s.Refund(ctx, payment.RefundRequest{}); return err },
	} {
		err := pg.Exec(t.Context(), db.Pool, func(ctx context.Context, _ pgx.Tx) error { return call(ctx) })
		require.ErrorIs(t, err, pg.ErrInTransaction)
	}
	state, err := s.control.State(t.Context())
	require.NoError(t, err)
	require.Empty(t, state.Counters.Requests)
}

func TestCallsForAConnectedAccount(t *testing.T) {
	t.Parallel()
	s := open(t, func(cfg *stripe.Config) { cfg.ConnectedAccount = "acct_elsewhere" })
	_, err := s.CreateCheckout(t.Context(), checkout())
	unknown(t, err)
	require.ErrorContains(t, err, "acct_elsewhere", "the twin serves no such account, so the call named it")
}
