package twin_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/proof/twin"
)

// browse fetches a page as a browser without JavaScript would, and follows no
// redirect.
func browse(t *testing.T, method, address string, form url.Values) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, string(raw), res.Header.Get("Location")
}

func press(t *testing.T, address, action string) (int, string, string) {
	t.Helper()
	return browse(t, http.MethodPost, address, url.Values{"action": {action}})
}

func TestThePaymentPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t, func(p *sdk.CheckoutSessionCreateParams) {
		p.LineItems[0].PriceData.ProductData.Name = sdk.String("<b>DSC_0001</b>")
	})
	status, page, _ := browse(t, http.MethodGet, s.URL, nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Pay 15.00 USD")
	require.Contains(t, page, "12.00 USD")
	require.Contains(t, page, "&lt;b&gt;DSC_0001", "names are text")
	require.NotContains(t, page, "<script", "no page needs a script")
	require.Contains(t, page, "No real money")

	status, _, to := press(t, s.URL, "cancel")
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "https://shop.example/cart", to)

	status, page, to = press(t, s.URL, "decline")
	require.Equal(t, http.StatusPaymentRequired, status)
	require.Empty(t, to)
	require.Contains(t, page, `role="alert"`)
	require.Contains(t, page, "Pay with a card", "one can try again")

	status, _, to = press(t, s.URL, "card")
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "https://shop.example/done?session_id="+s.ID, to)

	status, page, _ = press(t, s.URL, "card")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, page, "already paid")
	require.Contains(t, page, "https://shop.example/done?session_id="+s.ID)
	ledger, err := w.control.Ledger(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, ledger.Totals["USD"].Charges, "a second click takes no second payment")

	later := w.open(t)
	status, _, to = press(t, later.URL, "delayed")
	require.Equal(t, http.StatusSeeOther, status)
	require.Contains(t, to, later.ID)
	v, err := w.control.Session(t.Context(), later.ID)
	require.NoError(t, err)
	require.Equal(t, "processing", v.IntentStatus)
}

func TestAClosedPaymentPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	_, err := w.control.Expire(t.Context(), s.ID)
	require.NoError(t, err)
	status, page, _ := browse(t, http.MethodGet, s.URL, nil)
	require.Equal(t, http.StatusGone, status)
	require.Contains(t, page, "expired")
	require.NotContains(t, page, "Pay with a card")
	status, _, _ = press(t, s.URL, "card")
	require.Equal(t, http.StatusConflict, status)

	w.rates(t, 1, twin.Rates{twin.PayExpired: 1})
	status, page, _ = browse(t, http.MethodGet, s.URL, nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Pay with a card")

	status, _, _ = browse(t, http.MethodGet, w.url+"/pay/cs_test_none", nil)
	require.Equal(t, http.StatusNotFound, status)
}

func TestAPageOfAnotherOriginCannotPay(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.open(t)
	for _, address := range []string{s.URL, w.url + "/_twin/do/clock", w.url + "/_twin/api/reset"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("action=card&offset=5"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusForbidden, res.StatusCode)
	}
	v, err := w.control.Session(t.Context(), s.ID)
	require.NoError(t, err)
	require.Equal(t, "open", v.Status)
}

func TestTheControlPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	do := func(what string, form url.Values) string {
		status, _, to := browse(t, http.MethodPost, w.url+"/_twin/do/"+what, form)
		require.Equal(t, http.StatusSeeOther, status)
		back, err := url.Parse(to)
		require.NoError(t, err)
		return back.Query().Get("done") + back.Query().Get("problem")
	}
	s := w.open(t)
	act := func(action string) string { return do("page", url.Values{"id": {s.ID}, "action": {action}}) }
	require.Contains(t, act("decline"), "declined")
	require.Contains(t, act("delayed"), "processing")
	require.Contains(t, act("arrives"), "paid")
	require.Contains(t, act("refund"), "succeeded")
	require.Contains(t, act("expire"), "complete already")
	require.Contains(t, act("forge"), "400")
	require.Contains(t, act("dance"), "no action")
	w.quiet(t)
	events, err := w.control.Events(t.Context(), twin.EventFilter{})
	require.NoError(t, err)
	require.Contains(t, do("redeliver", url.Values{"id": {events[0].ID}, "times": {"3"}}), "[200 200 200]")

	disputed := w.open(t)
	w.pay(t, disputed.ID, payCard)
	require.Contains(t, do("page", url.Values{"id": {disputed.ID}, "action": {"inquiry"}}), "warning")
	disputes, err := w.control.Disputes(t.Context())
	require.NoError(t, err)
	move := func(to string) string { return do("dispute", url.Values{"id": {disputes[0].ID}, "to": {to}}) }
	require.Contains(t, move("needs_response"), "needs_response")
	require.Contains(t, move("lost"), "lost")
	require.Contains(t, move("warning_closed"), "cannot become")
	require.Contains(t, do("page", url.Values{"id": {w.open(t).ID}, "action": {"dispute"}}), "nothing was paid")

	require.Contains(t, do("faults", url.Values{"seed": {"9"}, "drop": {"0.25"}, "delay": {"0"}}), "set")
	require.Contains(t, do("faults", url.Values{"seed": {"9"}, "drop": {"7"}}), "no share")
	require.Contains(t, do("shot", url.Values{"route": {"*"}, "fault": {"cut_reply"}}), "ordered")
	require.Contains(t, do("clock", url.Values{"offset": {"60"}}), "set")
	require.Contains(t, do("nothing", nil), "no order")
	state, err := w.control.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, twin.Rates{twin.Drop: 0.25}, state.Faults.Rates)
	require.EqualValues(t, 9, state.Faults.Seed)
	require.Equal(t, twin.CutReply, state.Faults.Shots[0].Fault)
	require.EqualValues(t, 60, state.Clock.OffsetSeconds)

	status, page, _ := browse(t, http.MethodGet, w.url+"/_twin/?done=The+<i>deed", nil)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{s.ID, "15.00 USD", "checkout.session.completed", "The &lt;i&gt;deed", "Refund from here", `value="0.25"`, "du_", `value="prevented"`} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, secret, "secrets stay secret")
	status, _, to := browse(t, http.MethodGet, w.url+"/", nil)
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "/_twin/", to)
	status, _, _ = browse(t, http.MethodGet, w.url+"/_twin/api/nothing", nil)
	require.Equal(t, http.StatusNotFound, status)
}
