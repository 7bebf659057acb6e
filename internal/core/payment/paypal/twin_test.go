package paypal_test

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/proof/twin"
)

// shop is our client in front of a twin, over real HTTP, with a receiver of its
// webhooks.
type shop struct {
	*paypal.Client
	control *twin.Control
	hook    string

	mu   sync.Mutex
	news []news
}

// news is a webhook that arrived, with what Verify said.
type news struct {
	payment.Receipt
	err error
}

func visit(t *testing.T, change ...func(*paypal.Config)) *shop {
	t.Helper()
	tw := twin.New(twin.Config{RetryUnit: 10 * time.Millisecond})
	t.Cleanup(tw.Close)
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(srv.Close)
	s := &shop{control: &twin.Control{Base: srv.URL}}
	ca, err := s.control.CA(t.Context())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca)))
	s.Client, err = paypal.New(config(append([]func(*paypal.Config){func(c *paypal.Config) {
		c.BaseURL, c.RootCAs = srv.URL+"/paypal", roots
		c.ClientID, c.ClientSecret = twin.DefaultPayPalClient, twin.DefaultPayPalSecret
	}}, change...)...))
	require.NoError(t, err)
	hook := httptest.NewServer(s)
	t.Cleanup(hook.Close)
	s.hook = hook.URL
	require.NoError(t, s.control.SetEndpoints(t.Context(), twin.Endpoint{URL: hook.URL, Provider: twin.PayPal, Secret: webhookID}))
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got, err := s.Verify(r.Context(), time.Now(), r.Header, body)
	s.mu.Lock()
	s.news = append(s.news, news{got, err})
	s.mu.Unlock()
	var refused *payment.VerifyError
	switch {
	case errors.As(err, &refused):
		w.WriteHeader(http.StatusBadRequest)
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// told waits for all webhooks and returns what arrived, each event once.
func (s *shop) told(t *testing.T) []payment.Receipt {
	t.Helper()
	require.NoError(t, s.control.Quiet(t.Context(), 10*time.Second))
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []payment.Receipt
	for _, n := range s.news {
		require.NoError(t, n.err)
		if !slices.ContainsFunc(out, func(r payment.Receipt) bool { return r.EventID == n.EventID }) {
			out = append(out, n.Receipt)
		}
	}
	s.news = nil
	return out
}

// fetched is what the events that arrived point at.
func (s *shop) fetched(t *testing.T) map[string][]payment.Observation {
	t.Helper()
	out := map[string][]payment.Observation{}
	for _, r := range s.told(t) {
		require.Equal(t, payment.ClassPointer, r.Class, r.EventType)
		facts, err := s.Fetch(t.Context(), payment.Pointer{EventType: r.EventType, ObjectID: r.ObjectID})
		require.NoError(t, err, r.EventType)
		out[r.EventType] = facts
	}
	return out
}

func order() payment.CheckoutRequest {
	in := checkout()
	in.AttemptID, in.OrderID = uuid.New(), uuid.New()
	return in
}

func (s *shop) create(t *testing.T, in payment.CheckoutRequest) payment.Checkout {
	t.Helper()
	page, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.True(t, page.Open)
	return page
}

func (s *shop) approve(t *testing.T, ref string, how twin.PayRequest) {
	t.Helper()
	_, err := s.control.Pay(t.Context(), ref, how)
	require.NoError(t, err)
}

func ask(in payment.CheckoutRequest, ref string) payment.CaptureRequest {
	total := int64(0)
	for _, l := range in.Lines {
		total += l.Price
	}
	return payment.CaptureRequest{AttemptID: in.AttemptID, Ref: ref, Amount: total, Currency: in.Currency}
}

// bought is an order that was approved and captured; it returns the capture's id.
func (s *shop) bought(t *testing.T, in payment.CheckoutRequest) string {
	t.Helper()
	page := s.create(t, in)
	s.approve(t, page.Ref, twin.PayRequest{})
	facts, err := s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	return facts[1].PaymentID
}

func (s *shop) pages(t *testing.T) []twin.PageView {
	t.Helper()
	all, err := s.control.Pages(t.Context(), twin.PageFilter{Provider: twin.PayPal})
	require.NoError(t, err)
	return all
}

func (s *shop) shoot(t *testing.T, route string, f twin.Fault) {
	t.Helper()
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: route, Fault: f}))
}

func (s *shop) charged(t *testing.T) twin.Totals {
	t.Helper()
	dump, err := s.control.Ledger(t.Context())
	require.NoError(t, err)
	return dump.Totals["USD"]
}

const (
	twinCreate  = "POST /paypal/v2/checkout/orders"
	twinCapture = "POST /paypal/v2/checkout/orders/{id}/capture"
	twinRefund  = "POST /paypal/v2/payments/captures/{id}/refund"
)

func statuses(facts []payment.Observation) []string {
	var out []string
	for _, f := range facts {
		out = append(out, string(f.Kind)+" "+f.Status)
	}
	return out
}

func TestTwinFromOpenToPaid(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	page := s.create(t, in)
	require.Equal(t, page, s.create(t, in), "the same attempt is the same page")
	require.Len(t, s.pages(t), 1)
	v := s.pages(t)[0]
	require.Equal(t, []any{page.Ref, page.URL, in.AttemptID.String(), int64(1500), "USD", in.SuccessURL, in.CancelURL},
		[]any{v.Ref, v.URL, v.AttemptID, v.Amount, v.Currency, v.SuccessURL, v.CancelURL})

	facts, err := s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.Equal(t, []string{"attempt open"}, statuses(facts), "nobody agreed yet")

	s.approve(t, page.Ref, twin.PayRequest{})
	require.Equal(t, []string{"attempt approved"}, statuses(s.fetched(t)["CHECKOUT.ORDER.APPROVED"]))
	found, err := s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, []string{"attempt approved"}, statuses(found.Facts))

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Capture(t.Context(), ask(in, page.Ref)); err != nil {
				var no *payment.RejectedError
				if errors.As(err, &no) {
					t.Errorf("one capture at a time is no refusal: %v", err)
				}
			}
		})
	}
	wg.Wait()
	facts, err = s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(facts))
	paid := facts[1]
	require.Equal(t, in.AttemptID, paid.AttemptID)
	require.EqualValues(t, 1500, paid.Amount)
	require.EqualValues(t, 101, paid.Fee)
	require.Equal(t, 1, s.charged(t).Charges, "once, whatever is repeated")

	news := s.fetched(t)
	require.Equal(t, []payment.Observation{paid}, news["PAYMENT.CAPTURE.COMPLETED"])
	require.Equal(t, facts, news["CHECKOUT.ORDER.COMPLETED"], "every way states the same payment")
	found, err = s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, payment.Checkout{Ref: page.Ref, Facts: facts}, found)
	closed, err := s.CloseCheckout(t.Context(), page.Ref, page.URL)
	require.NoError(t, err)
	require.Equal(t, found, closed, "closing a paid page tells that it is paid")
	again, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, facts, again.Facts, "so does opening it again")
}

func TestTwinEveryCurrency(t *testing.T) {
	t.Parallel()
	s := visit(t)
	for currency, price := range map[string]int64{"USD": 1999, "JPY": 1500, "HUF": 149_900, "TWD": 30_000, "EUR": 5} {
		in := order()
		in.Currency, in.Lines = currency, []payment.CheckoutLine{{Name: "A & B <C>", Price: price}}
		id := s.bought(t, in)
		facts, err := s.Fetch(t.Context(), payment.Pointer{EventType: "missing", ObjectID: id})
		require.NoError(t, err)
		require.Equal(t, price, facts[0].Amount, currency)
		require.Equal(t, currency, facts[0].Currency)
	}
	s.fetched(t) // their events verify as well, whatever is in their texts
	_, err := s.CreateCheckout(t.Context(), func() payment.CheckoutRequest { in := order(); in.Currency = "NGN"; return in }())
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no)
}

func TestTwinPendingDeclinedDenied(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]struct {
		now    []string
		events map[string][]string
	}{
		"delayed": {
			[]string{"attempt processing", "payment pending"},
			map[string][]string{"PAYMENT.CAPTURE.PENDING": {"payment pending"}, "CHECKOUT.ORDER.COMPLETED": {"attempt processing", "payment pending"}},
		},
		"declined": {
			[]string{"attempt failed", "payment failed"},
			map[string][]string{"PAYMENT.CAPTURE.DECLINED": {"payment failed"}, "CHECKOUT.ORDER.COMPLETED": {"attempt failed", "payment failed"}},
		},
		"denied": {
			[]string{"attempt failed", "payment failed"},
			map[string][]string{
				"PAYMENT.CAPTURE.PENDING": {"payment failed"}, "PAYMENT.CAPTURE.DENIED": {"payment failed"},
				"CHECKOUT.ORDER.COMPLETED": {"attempt failed", "payment failed"},
			},
		},
	} {
		s, in := visit(t), order()
		page := s.create(t, in)
		s.approve(t, page.Ref, twin.PayRequest{Method: method})
		s.told(t)
		facts, err := s.Capture(t.Context(), ask(in, page.Ref))
		require.NoError(t, err)
		require.Equal(t, want.now, statuses(facts), method)
		got := map[string][]string{}
		for event, facts := range s.fetched(t) {
			got[event] = statuses(facts)
		}
		require.Equal(t, want.events, got, method)
		if method != "delayed" {
			require.Zero(t, s.charged(t).Charges)
			continue
		}
		_, err = s.control.Finish(t.Context(), page.Ref, true)
		require.NoError(t, err)
		require.Equal(t, []string{"payment succeeded"}, statuses(s.fetched(t)["PAYMENT.CAPTURE.COMPLETED"]))
	}
}

// TestTwinDeclinedInstrument: the payer may go back and agree with other money.
func TestTwinDeclinedInstrument(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	page := s.create(t, in)
	s.approve(t, page.Ref, twin.PayRequest{Method: "decline"})
	facts, err := s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.Equal(t, []string{"attempt open", "payment failed"}, statuses(facts))
	require.Equal(t, page.Ref, facts[1].PaymentID)
	require.Equal(t, in.AttemptID, facts[1].AttemptID)
	require.Equal(t, []string{"attempt open"}, statuses(s.fetched(t)["CHECKOUT.ORDER.APPROVED"]), "the event comes late, and is no riddle")
	open, err := s.FetchCheckout(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, page.URL, open.URL)

	s.approve(t, page.Ref, twin.PayRequest{})
	facts, err = s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(facts), "the key of a refused capture is not spent")
	require.Equal(t, 1, s.charged(t).Charges)
}

func TestTwinNothingIsCapturedAgainstTheRequest(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]twin.PayRequest{
		"amount":   {Amount: 1400, Shown: true},
		"currency": {Currency: "EUR", Shown: true},
		"attempt":  {AttemptID: uuid.NewString(), Shown: true},
	} {
		s, in := visit(t), order()
		page := s.create(t, in)
		s.approve(t, page.Ref, lie)
		facts, err := s.Capture(t.Context(), ask(in, page.Ref))
		require.NoError(t, err, name)
		require.Equal(t, []string{"attempt approved"}, statuses(facts), name)
		require.Zero(t, s.charged(t).Charges, "%s: captured", name)
	}
	// What PayPal says only afterwards is stated as it is: others judge it.
	s, in := visit(t), order()
	page := s.create(t, in)
	s.approve(t, page.Ref, twin.PayRequest{Amount: 1400})
	facts, err := s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.EqualValues(t, 1400, facts[1].Amount)
}

func TestTwinClosedExpiredReversed(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	page := s.create(t, in)
	for range 2 {
		closed, err := s.CloseCheckout(t.Context(), page.Ref, page.URL)
		require.NoError(t, err)
		require.Equal(t, []string{"attempt closed"}, statuses(closed.Facts))
		require.False(t, closed.Open)
	}
	s.approve(t, page.Ref, twin.PayRequest{})
	s.told(t)
	_, err := s.control.Expire(t.Context(), page.Ref)
	require.NoError(t, err)
	require.Equal(t, []string{"attempt expired"}, statuses(s.fetched(t)["CHECKOUT.PAYMENT-APPROVAL.REVERSED"]))
	facts, err := s.Capture(t.Context(), ask(in, page.Ref))
	require.NoError(t, err)
	require.Equal(t, []string{"attempt expired"}, statuses(facts))
	_, err = s.FetchCheckout(t.Context(), "NONE")
	require.ErrorIs(t, err, payment.ErrNotFound)

	id := s.bought(t, order())
	s.told(t)
	_, err = s.control.MovePayment(t.Context(), id, "reversed")
	require.NoError(t, err)
	require.Equal(t, []string{"payment reversed"}, statuses(s.fetched(t)["PAYMENT.CAPTURE.REVERSED"]))
}

func TestTwinRefunds(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	id := s.bought(t, in)
	s.told(t)
	half := payment.RefundRequest{RequestID: uuid.New(), PaymentID: id, Amount: 700, Currency: "USD"}
	first, err := s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, []string{"refund succeeded"}, statuses(first))
	require.Equal(t, half.RequestID, first[0].RequestID)
	again, err := s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, first, again, "the same request is the same refund")
	news := s.fetched(t)["PAYMENT.CAPTURE.REFUNDED"]
	require.Equal(t, []string{"payment succeeded", "refund succeeded"}, statuses(news))
	require.Equal(t, first[0], news[1])

	// Once PayPal forgot the key, the invoice number is the second net.
	_, err = s.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	again, err = s.Refund(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, s.charged(t).Refunds)

	equal := half
	equal.RequestID = uuid.New()
	second, err := s.Refund(t.Context(), equal)
	require.NoError(t, err)
	require.NotEqual(t, first[0].RefundID, second[0].RefundID, "two equal refunds are two")
	tooMuch := half
	tooMuch.RequestID = uuid.New()
	_, err = s.Refund(t.Context(), tooMuch)
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no)
	require.Equal(t, "REFUND_AMOUNT_EXCEEDED", no.Code)
	s.told(t)

	_, err = s.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Payment: id, Amount: 100})
	require.NoError(t, err)
	news = s.fetched(t)["PAYMENT.CAPTURE.REFUNDED"]
	require.Equal(t, uuid.Nil, news[1].RequestID)
	require.EqualValues(t, 100, news[1].Amount)

	all, err := s.Fetch(t.Context(), payment.Pointer{EventType: "refund.refused", ObjectID: id})
	require.NoError(t, err)
	require.Equal(t, []string{"payment succeeded", "refund succeeded", "refund succeeded", "refund succeeded"}, statuses(all))
	require.ElementsMatch(t, []payment.Observation{first[0], second[0], news[1]}, all[1:])
}

func TestTwinPendingRefund(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"succeeded": "refund succeeded", "failed": "refund failed", "canceled": "refund canceled"} {
		s := visit(t)
		require.NoError(t, s.control.SetFaults(t.Context(), twin.FaultSettings{Rates: twin.Rates{twin.RefundPending: 1}}))
		id := s.bought(t, order())
		request := payment.RefundRequest{RequestID: uuid.New(), PaymentID: id, Amount: 1500, Currency: "USD"}
		facts, err := s.Refund(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, []string{"refund pending"}, statuses(facts))
		s.told(t)
		_, err = s.control.MoveRefund(t.Context(), facts[0].RefundID, to)
		require.NoError(t, err)
		for event, news := range s.fetched(t) {
			require.Equal(t, []string{"payment succeeded", want}, statuses(news), event)
		}
		facts, err = s.Refund(t.Context(), request)
		require.NoError(t, err)
		require.Equal(t, []string{want}, statuses(facts), "a repeated request tells how the refund stands now")
	}
}

func TestTwinDisputes(t *testing.T) {
	t.Parallel()
	s := visit(t)
	id := s.bought(t, order())
	s.told(t)
	step := func(want ...string) []payment.Observation {
		t.Helper()
		var facts []payment.Observation
		for _, f := range s.fetched(t) {
			facts = f
		}
		require.Equal(t, want, statuses(facts))
		for _, f := range facts {
			require.Equal(t, id, f.PaymentID)
		}
		return facts
	}
	d, err := s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: id, Warning: true})
	require.NoError(t, err)
	step("dispute warning")
	move := func(to string) {
		t.Helper()
		_, err := s.control.MoveDispute(t.Context(), d.ID, to)
		require.NoError(t, err)
	}
	move(twin.DisputeNeedsResponse)
	taken := step("dispute open", "dispute_money withdrawn", "dispute_money fee")
	_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: id, Amount: 100, Currency: "USD"})
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no, "no refund while it is disputed")
	move(twin.DisputeLost)
	lost := step("dispute closed", "dispute_money withdrawn", "dispute_money fee")
	require.Equal(t, payment.DisputeLost, lost[0].Outcome)
	require.Equal(t, taken[1:], lost[1:], "each movement once, under the same id")
	move(twin.DisputeWon)
	won := step("dispute closed", "dispute_money withdrawn", "dispute_money fee", "dispute_money reinstated")
	require.Equal(t, payment.DisputeWon, won[0].Outcome)
	require.Equal(t, taken[1:], won[1:3])

	id = s.bought(t, order())
	s.told(t)
	d, err = s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: id, Warning: true})
	require.NoError(t, err)
	move(twin.DisputeWarningClosed)
	for _, facts := range s.fetched(t) {
		require.Equal(t, []string{"dispute warning_closed"}, statuses(facts))
	}
}

// TestTwinUnknownOutcomes: whatever may have taken effect is neither a success nor
// a rejection, and asking again under the same key heals it.
func TestTwinUnknownOutcomes(t *testing.T) {
	t.Parallel()
	for _, fault := range []twin.Fault{twin.CutReply, twin.ErrorAfter, twin.ErrorBefore, twin.RateLimit, twin.LockTimeout} {
		s, in := visit(t), order()
		s.shoot(t, twinCreate, fault)
		_, err := s.CreateCheckout(t.Context(), in)
		unknown(t, err)
		page := s.create(t, in)
		require.Len(t, s.pages(t), 1, "%s: one page for one attempt", fault)

		s.approve(t, page.Ref, twin.PayRequest{})
		s.shoot(t, twinCapture, fault)
		_, err = s.Capture(t.Context(), ask(in, page.Ref))
		unknown(t, err)
		facts, err := s.Capture(t.Context(), ask(in, page.Ref))
		require.NoError(t, err)
		require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(facts))

		refund := payment.RefundRequest{RequestID: uuid.New(), PaymentID: facts[1].PaymentID, Amount: 1500, Currency: "USD"}
		s.shoot(t, twinRefund, fault)
		_, err = s.Refund(t.Context(), refund)
		unknown(t, err)
		_, err = s.Refund(t.Context(), refund)
		require.NoError(t, err)
		totals := s.charged(t)
		require.Equal(t, 1, totals.Charges, fault)
		require.Equal(t, 1, totals.Refunds, fault)
	}
}

// TestTwinForgottenKeys: past PayPal's memory a repeated call makes a second page,
// which is why KeyMemory bounds it; a page that was paid shows itself by its
// invoice number.
func TestTwinForgottenKeys(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	first := s.create(t, in)
	_, err := s.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	second := s.create(t, in)
	require.NotEqual(t, first.Ref, second.Ref)
	s.approve(t, first.Ref, twin.PayRequest{})
	s.approve(t, second.Ref, twin.PayRequest{})
	_, err = s.Capture(t.Context(), ask(in, first.Ref))
	require.NoError(t, err)
	_, err = s.Capture(t.Context(), ask(in, second.Ref))
	var no *payment.RejectedError
	require.ErrorAs(t, err, &no)
	require.Equal(t, "DUPLICATE_INVOICE_ID", no.Code)
	_, err = s.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	_, err = s.CreateCheckout(t.Context(), in)
	require.ErrorIs(t, err, payment.ErrStored)
	require.Equal(t, 1, s.charged(t).Charges)
}

func TestTwinForgeries(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	page := s.create(t, in)
	s.approve(t, page.Ref, twin.PayRequest{})
	event := s.told(t)[0].EventID
	for _, kind := range twin.PayPalForgeries {
		for _, f := range []twin.Forgery{{Kind: kind, Event: event}, {Kind: kind, Ref: page.Ref, Provider: twin.PayPal}} {
			res, err := s.control.Forge(t.Context(), f)
			require.NoError(t, err, kind)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusServiceUnavailable}, res.Status, kind)
		}
	}
	s.mu.Lock()
	for _, n := range s.news {
		require.Error(t, n.err)
		require.Zero(t, n.Receipt)
	}
	s.news = nil
	s.mu.Unlock()

	// PayPal's signature cannot tell this one. It says that the page was paid.
	res, err := s.control.Forge(t.Context(), twin.Forgery{Kind: twin.ForgeSameCRC, Ref: page.Ref, Provider: twin.PayPal})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.Status)
	claim := s.told(t)[0]
	require.Empty(t, claim.Facts)
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: claim.EventType, ObjectID: claim.ObjectID})
	require.ErrorIs(t, err, payment.ErrNotFound, "PayPal knows no such payment")
}

func TestTwinRotation(t *testing.T) {
	t.Parallel()
	s := visit(t)
	s.bought(t, order())
	old := s.told(t)
	_, err := s.control.RotateCertificate(t.Context(), false)
	require.NoError(t, err)
	s.bought(t, order())
	require.Len(t, s.told(t), len(old), "a new certificate needs nothing")

	_, err = s.control.RotateCertificate(t.Context(), true)
	require.NoError(t, err)
	got, err := s.control.Redeliver(t.Context(), old[0].EventID, twin.Redelivery{Times: 1})
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, got[0].Status, "it has run out")
}

func TestTwinTokens(t *testing.T) {
	t.Parallel()
	s := visit(t)
	page := s.create(t, order())
	require.NoError(t, s.control.Reset(t.Context())) // and its tokens are void
	_, err := s.FetchCheckout(t.Context(), page.Ref)
	require.ErrorIs(t, err, payment.ErrNotFound, "with a new token")

	s = visit(t, func(c *paypal.Config) { c.ClientSecret = "wrong" })
	_, err = s.CreateCheckout(t.Context(), order())
	require.ErrorIs(t, err, payment.ErrCredentials)
	require.Empty(t, s.pages(t))
}

// TestTwinReturnAddress: the payer's browser brings the page's id back.
func TestTwinReturnAddress(t *testing.T) {
	t.Parallel()
	s, in := visit(t), order()
	in.SuccessURL = "https://shop.example/return?o=7"
	page := s.create(t, in)
	res, err := s.control.Pay(t.Context(), page.Ref, twin.PayRequest{})
	require.NoError(t, err)
	u, err := url.Parse(res.Redirect)
	require.NoError(t, err)
	require.Equal(t, page.Ref, u.Query().Get("token"))
	require.Equal(t, "7", u.Query().Get("o"))
}
