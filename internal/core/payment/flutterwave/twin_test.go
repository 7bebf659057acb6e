package flutterwave_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/proof/twin"
)

// shop is our client in front of a twin, over real HTTP, with an endpoint that
// verifies what the twin sends and asks about it.
type shop struct {
	*flutterwave.Client
	control *twin.Control

	mu       sync.Mutex
	receipts []payment.Receipt
	refused  []error
	status   int // answered to what is verified
}

func open(t *testing.T, change ...func(*twin.Config)) *shop {
	t.Helper()
	s := &shop{status: http.StatusOK}
	mail := httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(mail.Close)
	cfg := twin.Config{
		Endpoints: []twin.Endpoint{{URL: mail.URL, Provider: twin.Flutterwave, Secret: hash, Attempts: 4}}, RetryUnit: time.Millisecond,
	}
	for _, f := range change {
		f(&cfg)
	}
	tw := twin.New(cfg)
	t.Cleanup(tw.Close)
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(srv.Close)
	s.Client = client(t, func(cfg *flutterwave.Config) {
		cfg.BaseURL, cfg.SecretKey = srv.URL+"/flutterwave", twin.DefaultFlutterwaveKey
	})
	s.control = &twin.Control{Base: srv.URL}
	return s
}

func (s *shop) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got, err := s.Verify(r.Context(), now, r.Header, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused = append(s.refused, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.receipts = append(s.receipts, got)
	w.WriteHeader(s.status)
}

// said are the webhooks that came since the last time, as they were verified.
func (s *shop) said(t *testing.T) []payment.Receipt {
	t.Helper()
	require.NoError(t, s.control.Quiet(t.Context(), 10*time.Second))
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.receipts
	s.receipts = nil
	return out
}

func (s *shop) fetch(t *testing.T, r payment.Receipt) []payment.Observation {
	t.Helper()
	facts, err := s.Fetch(t.Context(), payment.Pointer{EventType: r.EventType, ObjectID: r.ObjectID})
	require.NoError(t, err)
	return facts
}

// page opens one of a new attempt for 1,000.50 naira.
func (s *shop) page(t *testing.T) payment.Checkout {
	t.Helper()
	return s.pageIn(t, "NGN", 100050)
}

func (s *shop) pageIn(t *testing.T, currency string, minor int64) payment.Checkout {
	t.Helper()
	in := order()
	in.AttemptID, in.Currency, in.Lines = uuid.New(), currency, []payment.CheckoutLine{{Name: "DSC_0001", Price: minor}}
	page, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	return page
}

func (s *shop) pay(t *testing.T, ref string, how twin.PayRequest) twin.PayResult {
	t.Helper()
	res, err := s.control.Pay(t.Context(), ref, how)
	require.NoError(t, err)
	return res
}

func (s *shop) found(t *testing.T, ref string) payment.Checkout {
	t.Helper()
	page, err := s.FetchCheckout(t.Context(), ref)
	require.NoError(t, err)
	return page
}

func (s *shop) ledger(t *testing.T) twin.LedgerDump {
	t.Helper()
	l, err := s.control.Ledger(t.Context())
	require.NoError(t, err)
	return l
}

// statuses are the facts in short: "attempt processing, payment 7 pending".
func statuses(facts []payment.Observation) []string {
	out := []string{}
	for _, o := range facts {
		out = append(out, string(o.Kind)+" "+o.Status)
	}
	return out
}

func TestFromThePageToTheMoney(t *testing.T) {
	t.Parallel()
	for currency, minor := range map[string]int64{"NGN": 100050, "USD": 1999, "UGX": 15000, "XOF": 3001, "KES": 5, "RWF": 999999} {
		s := open(t)
		page := s.pageIn(t, currency, minor)
		require.True(t, s.found(t, page.Ref).Open)
		paid := s.pay(t, page.Ref, twin.PayRequest{})
		back, err := url.Parse(paid.Redirect)
		require.NoError(t, err)
		require.Equal(t, url.Values{"status": {"successful"}, "tx_ref": {page.Ref}, "transaction_id": {paid.Payment}}, back.Query())

		found := s.found(t, page.Ref)
		require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(found.Facts))
		o := found.Facts[1]
		require.Equal(t, [3]any{page.Ref, paid.Payment, currency}, [3]any{o.AttemptID.String(), o.PaymentID, o.Currency})
		total := s.ledger(t).Providers[twin.Flutterwave][currency]
		require.Equal(t, minor, total.Charged, "the twin counts by itself")
		require.Equal(t, minor, o.Amount)
		require.Equal(t, total.Fees, o.Fee)

		came := s.said(t)
		require.Len(t, came, 1)
		require.Equal(t, "charge.completed.successful", came[0].EventType)
		require.Equal(t, []payment.Observation{o}, s.fetch(t, came[0]), "every way states the same payment")
	}
}

// TestManyTriesOnOnePage: failed, then paid, then paid once more from another
// link of the same attempt.
func TestManyTriesOnOnePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	in := order()
	first, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	second, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, first.Ref, second.Ref)
	require.NotEqual(t, first.URL, second.URL, "nothing is remembered")

	no := s.pay(t, first.Ref, twin.PayRequest{Method: twin.MethodDecline})
	require.Empty(t, no.Redirect)
	found := s.found(t, first.Ref)
	require.True(t, found.Open, "a failed try ends nothing")
	require.Equal(t, []string{"payment failed"}, statuses(found.Facts))
	yes := s.pay(t, first.Ref, twin.PayRequest{})
	again := s.pay(t, first.URL[strings.LastIndex(first.URL, "/")+1:], twin.PayRequest{})
	found = s.found(t, first.Ref)
	require.Equal(t, []string{"attempt succeeded", "payment succeeded", "payment succeeded", "payment failed"}, statuses(found.Facts))
	require.ElementsMatch(t, []string{no.Payment, yes.Payment, again.Payment},
		[]string{found.Facts[1].PaymentID, found.Facts[2].PaymentID, found.Facts[3].PaymentID})

	names := map[string]bool{}
	for _, r := range s.said(t) {
		names[r.EventID] = true
	}
	require.Len(t, names, 3)

	// More tries than one page of a list holds.
	many := s.page(t)
	for range 24 {
		_, err := s.control.Pay(t.Context(), many.Ref, twin.PayRequest{Method: twin.MethodDecline, Force: true})
		require.NoError(t, err)
	}
	require.Len(t, s.found(t, many.Ref).Facts, 24)
}

// TestMobileMoney comes minutes later and brings nobody back.
func TestMobileMoney(t *testing.T) {
	t.Parallel()
	for method, end := range map[string]string{twin.MethodDelayed: "succeeded", twin.MethodDenied: "failed"} {
		s := open(t)
		page := s.page(t)
		begun := s.pay(t, page.Ref, twin.PayRequest{Method: method})
		require.Empty(t, begun.Redirect)
		require.Empty(t, s.said(t))
		require.Equal(t, []string{"attempt processing", "payment pending"}, statuses(s.found(t, page.Ref).Facts))

		closed, err := s.CloseCheckout(t.Context(), page.Ref, page.URL)
		require.NoError(t, err)
		require.Equal(t, []string{"attempt processing", "payment pending"}, statuses(closed.Facts), "money that is under way is not closed off")
		_, err = s.control.SetClock(t.Context(), 4*time.Minute-time.Second, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"attempt processing", "payment pending"}, statuses(s.found(t, page.Ref).Facts))
		_, err = s.control.SetClock(t.Context(), 11*time.Minute, 0)
		require.NoError(t, err)
		facts := s.found(t, page.Ref).Facts
		require.Equal(t, "payment "+end, statuses(facts)[len(facts)-1])
		came := s.said(t)
		require.Len(t, came, 1)
		require.Equal(t, end, s.fetch(t, came[0])[0].Status)
	}
}

// TestTheSameTransactionSucceedsAfterAll: its success is another event than its
// failure.
func TestTheSameTransactionSucceedsAfterAll(t *testing.T) {
	t.Parallel()
	s := open(t)
	page := s.page(t)
	no := s.pay(t, page.Ref, twin.PayRequest{Method: twin.MethodDecline})
	_, err := s.control.MovePayment(t.Context(), no.Payment, "successful")
	require.NoError(t, err)
	came := s.said(t)
	require.Len(t, came, 2)
	require.Equal(t, came[0].ObjectID, came[1].ObjectID)
	require.NotEqual(t, came[0].EventID, came[1].EventID)
	for _, r := range came {
		require.Equal(t, "succeeded", s.fetch(t, r)[0].Status, "an old event shows the newest state")
	}
}

func TestAPageIsClosedAndPaidAllTheSame(t *testing.T) {
	t.Parallel()
	s := open(t)
	page := s.page(t)
	for range 2 {
		closed, err := s.CloseCheckout(t.Context(), page.Ref, page.URL)
		require.NoError(t, err)
		require.False(t, closed.Open)
		require.Equal(t, []string{"attempt closed"}, statuses(closed.Facts))
	}
	views, err := s.control.Pages(t.Context(), twin.PageFilter{Ref: page.Ref})
	require.NoError(t, err)
	require.Equal(t, twin.PageExpired, views[0].Status)
	_, err = s.control.Pay(t.Context(), page.Ref, twin.PayRequest{})
	require.Error(t, err)
	s.pay(t, page.Ref, twin.PayRequest{Force: true})
	closed, err := s.CloseCheckout(t.Context(), page.Ref, page.URL)
	require.NoError(t, err)
	require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(closed.Facts))

	_, err = s.CloseCheckout(t.Context(), uuid.NewString(), "https://checkout.flutterwave.com/v3/hosted/pay/flwlnk-1")
	var rejected *payment.RejectedError
	require.ErrorAs(t, err, &rejected, "a link that nobody knows is not known to be closed")
}

func TestRefundsAtTheTwin(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		s := open(t, func(cfg *twin.Config) { cfg.Flutterwave = twin.FlutterwaveConfig{ShowComments: shown} })
		page := s.page(t)
		paid := s.pay(t, page.Ref, twin.PayRequest{})
		s.said(t)
		half := payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 50025, Currency: "NGN"}
		facts, err := s.Refund(t.Context(), half)
		require.NoError(t, err)
		require.Equal(t, []string{"refund succeeded"}, statuses(facts))
		require.Equal(t, half.RequestID, facts[0].RequestID)

		again := half
		again.Again = true
		listed, err := s.Refund(t.Context(), again)
		require.NoError(t, err)
		require.Len(t, listed, 1)
		require.Equal(t, facts[0].RefundID, listed[0].RefundID, "the same request is the same refund")
		require.Equal(t, !shown, listed[0].Unnamed)
		require.Equal(t, shown, listed[0].RequestID == half.RequestID)
		require.EqualValues(t, 50025, s.ledger(t).Totals["NGN"].Refunded)

		came := s.said(t)
		require.Len(t, came, 1)
		require.Equal(t, []string{"payment succeeded", "refund succeeded"}, statuses(s.fetch(t, came[0])))

		byDashboard, err := s.control.RefundFromDashboard(t.Context(), twin.RefundOrder{Payment: paid.Payment, Amount: 100})
		require.NoError(t, err)
		came = s.said(t)
		require.Equal(t, "refund:"+byDashboard.ID, came[0].ObjectID)
		o := s.fetch(t, came[0])[1]
		require.Equal(t, [3]any{byDashboard.ID, int64(100), true}, [3]any{o.RefundID, o.Amount, o.Unnamed})

		_, err = s.control.MoveRefund(t.Context(), byDashboard.ID, "failed")
		require.NoError(t, err)
		came = s.said(t)
		require.Equal(t, "failed", s.fetch(t, came[0])[1].Status)

		_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 50026, Currency: "NGN"})
		var rejected *payment.RejectedError
		require.ErrorAs(t, err, &rejected)
		_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: "1", Amount: 1, Currency: "NGN"})
		require.ErrorIs(t, err, payment.ErrNotFound)
	}
}

// TestARefundWhoseAnswerWasLost is given once, whatever is repeated.
func TestARefundWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	for fault, given := range map[twin.Fault]bool{twin.CutReply: true, twin.ErrorAfter: true, twin.ErrorBefore: false, twin.RateLimit: false} {
		s := open(t)
		paid := s.pay(t, s.page(t).Ref, twin.PayRequest{})
		ask := payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 100050, Currency: "NGN"}
		require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: "*", Fault: fault}))
		_, err := s.Refund(t.Context(), ask)
		unknown(t, err)
		ask.Again = true
		for range 3 {
			facts, err := s.Refund(t.Context(), ask)
			if given {
				require.NoError(t, err)
				require.Equal(t, []string{"refund succeeded"}, statuses(facts))
				continue
			}
			require.ErrorIs(t, err, payment.ErrBehind)
		}
		require.Equal(t, map[bool]int{true: 1, false: 0}[given], s.ledger(t).Totals["NGN"].Refunds, fault)
	}
}

// TestAPageWhoseAnswerWasLost can be asked about by its attempt all the same.
func TestAPageWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	s := open(t)
	in := order()
	require.NoError(t, s.control.Shoot(t.Context(), twin.Shot{Route: "*", Fault: twin.CutReply}))
	_, err := s.CreateCheckout(t.Context(), in)
	unknown(t, err)
	ref := s.RefOf(in.AttemptID)
	require.True(t, s.found(t, ref).Open)
	s.pay(t, ref, twin.PayRequest{Method: twin.MethodLost})
	require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(s.found(t, ref).Facts))
}

func TestChargebacks(t *testing.T) {
	t.Parallel()
	s := open(t)
	paid := s.pay(t, s.page(t).Ref, twin.PayRequest{})
	s.said(t)
	since := time.Now().Add(-24 * time.Hour)
	d, err := s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: paid.Payment})
	require.NoError(t, err)
	facts, err := s.Disputes(t.Context(), since)
	require.NoError(t, err)
	require.Equal(t, []string{"payment succeeded", "dispute open"}, statuses(facts))
	require.EqualValues(t, 100050, facts[1].Amount)
	_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: paid.Payment, Amount: 100, Currency: "NGN"})
	var rejected *payment.RejectedError
	require.ErrorAs(t, err, &rejected)
	_, err = s.control.MoveDispute(t.Context(), d.ID, twin.DisputeUnderReview)
	require.NoError(t, err)
	require.EqualValues(t, 0, s.ledger(t).Totals["NGN"].Disputed, "held, not taken")
	_, err = s.control.MoveDispute(t.Context(), d.ID, twin.DisputeLost)
	require.NoError(t, err)
	want := []string{"payment succeeded", "dispute closed", "dispute_money withdrawn"}
	for range 2 {
		facts, err = s.Disputes(t.Context(), since)
		require.NoError(t, err)
		require.Equal(t, want, statuses(facts))
		require.Equal(t, payment.DisputeLost, facts[1].Outcome)
		require.Equal(t, "chargeback-"+d.ID+"-lost", facts[2].MovementID, "the same movement, however often it is told")
	}
	require.Equal(t, s.ledger(t).Totals["NGN"].Disputed, facts[2].Amount)
	came := s.said(t)
	require.Len(t, came, 3)
	for _, r := range came {
		require.Equal(t, "chargeback:"+d.ID+":"+paid.Payment, r.ObjectID)
		require.Equal(t, want, statuses(s.fetch(t, r)))
	}

	second := s.pay(t, s.page(t).Ref, twin.PayRequest{})
	w, err := s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: second.Payment, Amount: 50})
	require.NoError(t, err)
	_, err = s.control.MoveDispute(t.Context(), w.ID, twin.DisputeWon)
	require.NoError(t, err)
	facts, err = s.Disputes(t.Context(), since)
	require.NoError(t, err)
	require.Equal(t, append([]string{"payment succeeded", "dispute closed"}, want...), statuses(facts))
	require.Equal(t, payment.DisputeWon, facts[1].Outcome)
	require.EqualValues(t, 50, facts[1].Amount)
}

// TestLies: another amount, currency or reference than asked for is told as it
// is, for those to judge who know the order.
func TestLies(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, lie := range []twin.PayRequest{
		{Amount: 100049}, {Amount: 1}, {Amount: 200100}, {Currency: "KES"}, {Currency: "UGX", Amount: 100050}, {AttemptID: uuid.NewString()},
	} {
		page := s.page(t)
		paid := s.pay(t, page.Ref, lie)
		came := s.said(t)
		o := s.fetch(t, came[0])[0]
		require.Equal(t, paid.Payment, o.PaymentID)
		if lie.Amount != 0 {
			require.Equal(t, lie.Amount, o.Amount)
		}
		if lie.Currency != "" {
			require.Equal(t, lie.Currency, o.Currency)
		}
		if lie.AttemptID != "" {
			require.Equal(t, lie.AttemptID, o.AttemptID.String())
			require.True(t, s.found(t, page.Ref).Open, "money that names another page is not this one's")
		} else {
			require.Equal(t, []string{"attempt succeeded", "payment succeeded"}, statuses(s.found(t, page.Ref).Facts))
		}
	}
	foreign := s.pay(t, s.page(t).Ref, twin.PayRequest{AttemptID: "MC-1585230950508", Currency: "BRL"})
	o := s.fetch(t, s.said(t)[0])
	require.Equal(t, uuid.Nil, o[0].AttemptID)
	require.Equal(t, foreign.Payment, o[0].PaymentID)
}

// TestForgeries: what has not the hash is refused; what has it says nothing.
func TestForgeries(t *testing.T) {
	t.Parallel()
	s := open(t)
	page := s.page(t)
	no := s.pay(t, page.Ref, twin.PayRequest{Method: twin.MethodDecline})
	genuine := s.said(t)[0]
	for _, kind := range twin.FlutterwaveForgeries {
		res, err := s.control.Forge(t.Context(), twin.Forgery{Provider: twin.Flutterwave, Kind: kind, Event: no.Events[0]})
		require.NoError(t, err, kind)
		require.Equal(t, http.StatusBadRequest, res.Status, kind)
	}
	require.Empty(t, s.said(t))

	// A body that takes the place of a genuine one, and is asked about like it.
	_, err := s.control.Forge(t.Context(), twin.Forgery{Provider: twin.Flutterwave, Kind: "takeover", Event: no.Events[0]})
	require.NoError(t, err)
	taken := s.said(t)[0]
	require.Equal(t, genuine.EventID, taken.EventID)
	require.Equal(t, s.fetch(t, genuine), s.fetch(t, taken))
	// One that claims a success, and one of a payment that there is not.
	_, err = s.control.Forge(t.Context(), twin.Forgery{Provider: twin.Flutterwave, Kind: "claim", Event: no.Events[0]})
	require.NoError(t, err)
	claim := s.said(t)[0]
	require.NotEqual(t, genuine.EventID, claim.EventID)
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: claim.EventType, ObjectID: claim.ObjectID})
	require.ErrorIs(t, err, payment.ErrBehind)
	_, err = s.control.Forge(t.Context(), twin.Forgery{Provider: twin.Flutterwave, Kind: "invented", Ref: page.Ref})
	require.NoError(t, err)
	invented := s.said(t)[0]
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: invented.EventType, ObjectID: invented.ObjectID})
	require.ErrorIs(t, err, payment.ErrNotFound)
	require.True(t, s.found(t, page.Ref).Open)
}

// TestWebhooksAreSentThreeTimesMore, unless exactly 200 is answered; and not at
// all while the dashboard has no address.
func TestWebhooksAreSentThreeTimesMore(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.status = http.StatusNoContent
	paid := s.pay(t, s.page(t).Ref, twin.PayRequest{})
	came := s.said(t)
	require.Len(t, came, 4)
	for _, r := range came {
		require.Equal(t, came[0], r, "a retry is the same event")
	}
	sent, err := s.control.Deliveries(t.Context(), twin.DeliveryFilter{Event: paid.Events[0]})
	require.NoError(t, err)
	require.Equal(t, twin.DeliveryGivenUp, sent[0].State)

	require.NoError(t, s.control.SetEndpoints(t.Context()))
	s.pay(t, s.page(t).Ref, twin.PayRequest{})
	require.Empty(t, s.said(t))
}

// TestThePage is what a payer sees and does.
func TestThePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, address, action string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(url.Values{"action": {action}}.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := noFollow.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(body)
	}
	page := s.page(t)
	_, body := do(http.MethodGet, page.URL, "")
	require.Contains(t, body, "Flutterwave checkout")
	require.Contains(t, body, "1000.50 NGN")
	require.Contains(t, body, "Spring run")

	res, _ := do(http.MethodPost, page.URL, "cancel")
	require.Contains(t, res.Header.Get("Location"), "status=cancelled")
	theirs := s.pay(t, s.page(t).Ref, twin.PayRequest{})
	res, _ = do(http.MethodPost, page.URL, "claim")
	back, err := res.Location()
	require.NoError(t, err)
	require.Equal(t, url.Values{"status": {"successful"}, "tx_ref": {page.Ref}, "transaction_id": {theirs.Payment}}, back.Query())
	require.True(t, s.found(t, page.Ref).Open, "who claims to have paid has not")
	res, _ = do(http.MethodPost, page.URL, "decline")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = do(http.MethodPost, page.URL, "lost")
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.Equal(t, "succeeded", s.found(t, page.Ref).Facts[0].Status, "an error on the page, and the card is charged")
	_, err = s.CloseCheckout(t.Context(), page.Ref, page.URL)
	require.NoError(t, err)
	res, _ = do(http.MethodGet, page.URL, "")
	require.Equal(t, http.StatusGone, res.StatusCode)
	res, _ = do(http.MethodPost, page.URL, "card")
	require.Equal(t, http.StatusConflict, res.StatusCode)
	res, _ = do(http.MethodGet, page.URL+"x", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

// TestTheTwinJudges: it takes nothing that Flutterwave's documentation does not
// know.
func TestTheTwinJudges(t *testing.T) {
	t.Parallel()
	s := open(t)
	post := func(key, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.control.Base+"/flutterwave/v3/payments", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		var got struct{ Status, Message string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
		return res.StatusCode, got.Status
	}
	const good = `{"tx_ref":"a","amount":"7500","currency":"NGN","redirect_url":"https://x.example/","customer":{"email":"a@x.example"}}`
	status, said := post(twin.DefaultFlutterwaveKey, good)
	require.Equal(t, "success", said)
	require.Equal(t, 200, status)
	status, _ = post("FLWSECK_TEST-other-X", good)
	require.Equal(t, 401, status)
	for name, change := range map[string][2]string{
		"no tx_ref":           {`"tx_ref":"a",`, ``},
		"no amount":           {`"amount":"7500",`, ``},
		"half a kobo":         {`"7500"`, `75.005`},
		"zero":                {`"7500"`, `0`},
		"less than nothing":   {`"7500"`, `-5`},
		"another currency":    {`"NGN"`, `"JPY"`},
		"no redirect":         {`"https://x.example/"`, `""`},
		"no address":          {`"email":"a@x.example"`, ``},
		"an unknown field":    {`"tx_ref"`, `"colour":"red","tx_ref"`},
		"more than a day":     {`"tx_ref"`, `"configurations":{"session_duration":1441},"tx_ref"`},
		"a shilling in cents": {`"7500","currency":"NGN"`, `"75.50","currency":"UGX"`},
	} {
		status, said := post(twin.DefaultFlutterwaveKey, strings.Replace(good, change[0], change[1], 1))
		require.Equal(t, 400, status, name)
		require.Equal(t, "error", said, name)
	}
}
