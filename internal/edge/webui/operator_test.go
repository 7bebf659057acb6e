package webui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/account"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
)

// signedIn is the browser of somebody with these roles.
func (w *world) signedIn(email string, roles ...account.Role) *browser {
	w.t.Helper()
	_, accountID, err := w.accounts.Provision(w.t.Context(), email, password, "test", roles)
	require.NoError(w.t, err)
	secret, s, err := w.accounts.NewSession(w.t.Context(), accountID, "test")
	require.NoError(w.t, err)
	b := w.browser()
	at, err := url.Parse(w.url)
	require.NoError(w.t, err)
	b.client.Jar.SetCookies(at, []*http.Cookie{edge.Cookies{Plain: true}.Session(secret, s.ExpiresAt)})
	return b
}

// opened is an order of one photograph that waits for its payment.
func (w *world) opened() (orderID, attemptID uuid.UUID) {
	w.t.Helper()
	b := w.browser()
	f := b.review(w.photos[0]).form()
	f.Set("email", "buyer@example.com")
	b.post("/e/"+w.event.Slug+"/checkout", f).want(w.t, 303)
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), `SELECT order_id, id FROM attempts ORDER BY id DESC LIMIT 1`).Scan(&orderID, &attemptID))
	return orderID, attemptID
}

// dead puts in an event that was given up: money for an attempt.
func (w *world) dead(attemptID uuid.UUID, amount int64, body string) uuid.UUID {
	w.t.Helper()
	row := payment.Row{ID: id.New(), Provider: "stripe", Account: "main", Body: []byte(body), Receipt: payment.Receipt{
		EventID: "evt_" + id.Short(8), EventType: "payment_intent.succeeded", ObjectID: "pi_1", Class: payment.ClassFact, Applier: payment.ApplierOrder,
		Facts: []payment.Observation{{
			Provider: "stripe", Account: "main", Kind: payment.KindPayment, AttemptID: attemptID, PaymentID: "pi_1",
			Status: payment.PaymentSucceeded, Amount: amount, Currency: "EUR",
		}},
	}}
	_, err := payment.Inbox{}.Store(w.t.Context(), w.db.Pool, []payment.Row{row})
	require.NoError(w.t, err)
	w.owner(`UPDATE inbox SET state = 'dead', done_at = app_now(), attempts = 12, note = 'no order has this attempt' WHERE id = $1`, row.ID)
	return row.ID
}

// The whole way of an operator: see what waits, read the evidence, preview, try
// again, once.
func TestOperatorsQueue(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := w.signedIn("op@example.com", account.Operator)
	op.get("/operator/queue").want(t, 200, "None. Every payment fits its order.", "None. All that providers said was applied")
	op.get("/").want(t, 200, "What waits for you")

	orderID, attemptID := w.opened()
	row := w.dead(attemptID, 500, `{"note": "<img src=x onerror=alert(1)>", "client_secret": "pi_1_secret_open", "bad": "`+"\xff\x00"+`"}`)
	path := "/operator/queue/events/" + row.String()
	op.get("/operator/queue").want(t, 200, "no order has this attempt", path)
	op.get("/operator/queue/events?state=dead").want(t, 200, path)
	op.get("/operator/queue/events?state=failed").want(t, 200, "None.").not(t, path)

	shown := op.get(path).want(t, 200, "What happened", "What is safe", "What to do", "pi_1", "payment succeeded €5.00", `"client_secret": "(not shown)"`)
	require.False(t, strings.Contains(shown.body, "<img"), "a body is data")
	require.False(t, strings.Contains(shown.body, "secret_open"))
	require.False(t, strings.Contains(shown.body, "Try again for real"), "only after a preview")

	preview := op.post(path+"/preview", url.Values{}).want(t, 200, "It would be applied, and change the following.",
		"Its state changes from awaiting payment to paid.", "The buyer may download photo-0.jpg.", "sale, €5.00", "Try again for real")
	require.Equal(t, 0, w.count(`SELECT count(*) FROM entitlements`))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM inbox WHERE state = 'dead'`))

	f := preview.form()
	require.Equal(t, "0", f.Get("replays"))
	op.post(path+"/replay", f).want(t, 422, "A reason is needed", path)
	f.Set("reason", "the attempt is there now")
	require.Equal(t, path, op.post(path+"/replay", f).want(t, 303).header.Get("Location"))
	op.post(path+"/replay", f).want(t, 409, "does not wait for you any more", path)
	op.get(path).want(t, 200, "It was applied.").not(t, "Preview another try")
	require.Equal(t, 1, w.count(`SELECT count(*) FROM audit_log WHERE action = 'inbox.replay' AND detail->>'reason' = 'the attempt is there now'`))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements`))
	op.get("/operator/orders/"+orderID.String()).want(t, 200, "paid", "buyer@example.com", "photo-0.jpg", "the buyer has it", "stripe:main:pi_1: succeeded, €5.00")
	op.post(path+"/replay", url.Values{"replays": {"x"}, "reason": {"y"}}).want(t, 400, "The form cannot be read")
	op.get("/operator/queue/events/"+id.New().String()).want(t, 404, "There is no such event")
	op.get("/operator/queue/events/x").want(t, 404)
}

// What would fail again is said before it is tried.
func TestPreviewThatFails(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := w.signedIn("op@example.com", account.Operator)
	_, attemptID := w.opened()
	row := w.dead(id.New(), 500, "")
	op.post("/operator/queue/events/"+row.String()+"/preview", url.Values{}).want(t, 200, "What it needs is still missing")
	less := w.dead(attemptID, 100, "")
	op.post("/operator/queue/events/"+less.String()+"/preview", url.Values{}).want(t, 200,
		"Its state changes from awaiting payment to review.", "A person has to look at it").not(t, "The buyer may download")
	w.owner(`UPDATE inbox SET facts = 'rubbish' WHERE id = $1`, row)
	op.post("/operator/queue/events/"+row.String()+"/preview", url.Values{}).want(t, 200, "It would fail again, and nothing would change")
	op.get("/operator/queue/events/"+row.String()).want(t, 200, "the stored observations cannot be read")
}

func TestOperatorsOrders(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := w.signedIn("op@example.com", account.Operator)
	orderID, _ := w.opened()
	path := "/operator/orders/" + orderID.String()
	op.get("/operator/orders").want(t, 200, path, "awaiting payment", "€5.00")
	op.get("/operator/orders?state=&email=Buyer@Example.com").want(t, 200, path)
	op.get("/operator/orders?state=paid").want(t, 200, "There is no such order.").not(t, path)
	op.get("/operator/orders?email=b%22%3E%3Cb%3E").want(t, 200, `b"><b>`)
	op.get("/operator/orders?before=x").want(t, 404)
	op.get("/operator/orders/"+id.New().String()).want(t, 404)

	w.owner(`INSERT INTO orders (id, event_id, creator_id, buyer_guest, email, currency, gross, commission, cart, state)
		SELECT gen_random_uuid(), event_id, creator_id, buyer_guest, 'many@example.com', currency, gross, commission, cart, 'expired' FROM orders, generate_series(1, 120)`)
	seen := map[string]bool{}
	for next := "/operator/orders?email=many@example.com"; next != ""; {
		p := op.get(next).want(t, 200)
		for _, part := range strings.Split(p.body, `href="/operator/orders/`)[1:] {
			seen[part[:36]] = true
		}
		_, rest, more := strings.Cut(p.body, `href="/operator/orders?`)
		next = ""
		if more {
			query, _, _ := strings.Cut(rest, `"`)
			next = "/operator/orders?" + strings.ReplaceAll(query, "&amp;", "&")
		}
	}
	require.Len(t, seen, 120)
}

// A payment that does not fit: the operator sees why, what could be done, what
// that would do, and does it once.
func TestOperatorDecides(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := w.signedIn("op@example.com", account.Operator)
	orderID, attemptID := w.opened()
	row := w.dead(attemptID, 100, "")
	op.post("/operator/queue/events/"+row.String()+"/replay", url.Values{"replays": {"0"}, "reason": {"to see it"}}).want(t, 303)
	path := "/operator/orders/" + orderID.String()
	op.get("/operator/queue").want(t, 200, path, "review")
	asks := op.get(path).want(t, 200, "Have €1.00 given back to the buyer", "Keep the €1.00, deliver nothing, close the order").not(t, "Refund what is ticked")

	f := asks.form()
	require.Equal(t, "return", f["kind"][0])
	subject := f["subject"][0]
	op.post(path+"/preview", url.Values{"kind": {"acknowledge"}, "subject": {subject}}).want(t, 200,
		"The shop keeps €1.00.", "The buyer gets no photographs.", "from review to canceled", "Go back, decide nothing")
	f = url.Values{"kind": {"return"}, "subject": {subject}}
	preview := op.post(path+"/preview", f).want(t, 200, "€1.00 of payment pi_1 goes back to the buyer", "Do it").not(t, "The shop keeps")
	require.Zero(t, w.count(`SELECT count(*) FROM refund_requests`))

	f = preview.form()
	op.post(path+"/decide", f).want(t, 422, "A reason is needed", path)
	f.Set("reason", "the buyer paid too little")
	require.Equal(t, path, op.post(path+"/decide", f).want(t, 303).header.Get("Location"))
	op.post(path+"/decide", f).want(t, 409, "Nothing in the order calls for this now", path)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM refund_requests WHERE amount = 100`))
	op.get(path).want(t, 200, "€1.00, of payment pi_1: requested")
	op.get("/o/"+orderID.String()).want(t, 200, "Canceled", "€1.00 is on its way back to you.", `href="/e/`+w.event.Slug+`"`, "Buy again").not(t, "given up", "The receipt goes to")
	op.post(path+"/preview", url.Values{"kind": {"return"}, "line": {"x"}}).want(t, 400, "The form cannot be read")
	op.post("/operator/orders/"+id.New().String()+"/preview", f).want(t, 404)
}

// A photograph is refunded from the order's page, once however often the button
// is pressed.
func TestOperatorRefunds(t *testing.T) {
	t.Parallel()
	w := start(t)
	op := w.signedIn("op@example.com", account.Operator)
	orderID, attemptID := w.opened()
	row := w.dead(attemptID, 500, "")
	op.post("/operator/queue/events/"+row.String()+"/replay", url.Values{"replays": {"0"}, "reason": {"paid"}}).want(t, 303)
	path := "/operator/orders/" + orderID.String()
	shown := op.get(path).want(t, 200, "the buyer has it", "Refund what is ticked")
	f := shown.form()
	f.Set("reason", "blurred")
	op.post(path+"/refund", f).want(t, 422, "Choose what to give back", path)
	_, rest, _ := strings.Cut(shown.body, `name="line" value="`)
	f.Set("line", rest[:36])
	for range 3 {
		op.post(path+"/refund", f).want(t, 303)
	}
	require.Equal(t, 1, w.count(`SELECT count(*) FROM refund_requests WHERE amount = 500`))
	op.get(path).want(t, 200, "no access", "€5.00, of payment pi_1: requested").not(t, "Refund what is ticked")
	f.Set("key", "")
	op.post(path+"/refund", f).want(t, 400)
}

// Nobody but operators sees or does anything here.
func TestOperatorsPagesAreTheirs(t *testing.T) {
	t.Parallel()
	w := start(t)
	orderID, attemptID := w.opened()
	row := w.dead(attemptID, 500, "")
	event := "/operator/queue/events/" + row.String()
	guest := w.browser()
	guest.review(w.photos[1])
	for name, who := range map[string]struct {
		b      *browser
		status int
	}{
		"stranger": {w.browser(), 401}, "guest": {guest, 403},
		"buyer": {w.signedIn("buyer@example.com"), 403}, "creator": {w.signedIn("other@example.com", account.Creator), 403},
	} {
		for _, path := range []string{"/operator/queue", "/operator/queue/events", event, "/operator/orders", "/operator/orders/" + orderID.String()} {
			who.b.get(path).not(t, orderID.String()+"</", "pi_1", "buyer@example.com</td>")
			require.Equal(t, who.status, who.b.get(path).status, "%s on %s", name, path)
		}
		require.Equal(t, who.status, who.b.post(event+"/preview", url.Values{}).status, name)
		for _, do := range []string{"preview", "decide", "refund"} {
			got := who.b.post("/operator/orders/"+orderID.String()+"/"+do, url.Values{"kind": {"acknowledge"}, "reason": {"x"}})
			require.Equal(t, who.status, got.status, name)
		}
		require.Equal(t, who.status, who.b.post(event+"/replay", url.Values{"replays": {"0"}, "reason": {"x"}}).status, name)
		who.b.get("/").want(t, 200).not(t, "What waits for you")
	}
	require.Equal(t, 1, w.count(`SELECT count(*) FROM inbox WHERE state = 'dead' AND replays = 0`))
	op := w.signedIn("op@example.com", account.Operator)
	op.send("POST", event+"/replay", url.Values{"replays": {"0"}, "reason": {"x"}}, map[string]string{"Sec-Fetch-Site": "cross-site"}).want(t, 403)
	require.Equal(t, "/signin?next="+url.QueryEscape("/operator/queue"), nextLink(w.browser().get("/operator/queue")))
}

// nextLink is where a problem page leads.
func nextLink(p page) string {
	_, rest, _ := strings.Cut(p.body, `<p><a href="`)
	link, _, _ := strings.Cut(rest, `"`)
	return link
}
