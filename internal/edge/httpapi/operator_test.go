package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/refund"
	"proofroom/internal/flow/settle"
)

// teller is a provider that says of every payment what it was told to say.
type teller struct {
	payment.Provider
	mu   sync.Mutex
	says map[string][]payment.Observation
}

func (*teller) Name() string    { return "paypal" }
func (*teller) Account() string { return "main" }
func (p *teller) Fetch(_ context.Context, at payment.Pointer) ([]payment.Observation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if says, ok := p.says[at.ObjectID]; ok {
		return says, nil
	}
	return nil, payment.ErrNotFound
}

// counter is a shop with an operator behind its counter: real settlement, and a
// provider that is told what to say.
type counter struct {
	*world
	provider *teller
	operator account.Account
	creator  uuid.UUID
	event    catalog.Event
	cookie   *http.Cookie // the operator's session
}

func openCounter(t *testing.T) *counter {
	t.Helper()
	w := start(t)
	log := slog.New(slog.DiscardHandler)
	queue, err := jobs.New(jobs.Config{Pool: w.db.Pool})
	require.NoError(t, err)
	p := &teller{says: map[string][]payment.Observation{}}
	settler := settle.New(ledger.New(), outbox.Store{Host: "example.com"}, queue)
	drainer := inbox.NewDrainer(w.db.Pool, log, map[string]payment.Applier{payment.ApplierOrder: settler})
	fetcher := inbox.NewFetcher(w.db.Pool, log, payment.Providers{p}, nil, drainer.Wake)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { drainer.Run(ctx) })
	loops.Go(func() { fetcher.Run(ctx) })
	t.Cleanup(func() { stop(); loops.Wait() })
	d := services(w.db.Pool)
	d.Operating.Desk = inbox.NewDesk(w.db.Pool, payment.Providers{p}, fetcher, drainer)
	d.Refunds = refund.New(w.db.Pool, log, settler, queue, settle.QueueMoney, payment.Providers{p}, inbox.NewAsker(w.db.Pool, payment.Providers{p}, drainer))
	w.url = w.serve(d)

	c := &counter{world: w, provider: p, operator: w.operator()}
	c.cookie = w.session(c.operator)
	c.creator = w.account("creator@example.com", true).ID
	c.event, err = d.Catalog.CreateEvent(t.Context(), catalog.NewEvent{
		CreatorID: c.creator, Title: "Harbour run", Visibility: catalog.Public, CommissionBps: 1500, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00", Prices: catalog.PriceList{Currency: "EUR", Photo: 500},
	})
	require.NoError(t, err)
	_, err = d.Catalog.Publish(t.Context(), catalog.By{ID: c.creator}, c.event.ID)
	require.NoError(t, err)
	return c
}

func (c *counter) exec(sql string, args ...any) {
	c.t.Helper()
	_, err := c.db.Owner.Exec(c.t.Context(), sql, args...)
	require.NoError(c.t, err)
}

// order opens an order of one photograph that waits for its payment.
func (c *counter) order(email string) (orderID, attemptID uuid.UUID) {
	c.t.Helper()
	_, guest, err := c.accounts.NewGuest(c.t.Context())
	require.NoError(c.t, err)
	photo, orderID, attemptID := id.New(), id.New(), id.New()
	c.exec(`INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
		VALUES ($1, $2, $3, sha256($4::bytea), 'photo-1.jpg', 'ready', 1500, 1000)`, photo, c.event.ID, c.creator, photo[:])
	c.exec(`INSERT INTO orders (id, event_id, creator_id, buyer_guest, email, currency, gross, commission, cart, state)
		VALUES ($1, $2, $3, $4, $5, 'EUR', 500, 75, '', 'awaiting_payment')`, orderID, c.event.ID, c.creator, guest.ID, email)
	c.exec(`INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
		VALUES ($1, $2, 1, 'photo', $3, $4, 'photo-1.jpg', 500, 75)`, id.New(), orderID, c.event.ID, photo)
	c.exec(`INSERT INTO attempts (id, order_id, ordinal, provider, account, provider_ref) VALUES ($1, $2, 1, 'paypal', 'main', $3)`,
		attemptID, orderID, "page of "+attemptID.String())
	return orderID, attemptID
}

// paid is what the provider says of a payment.
func paid(attemptID uuid.UUID, paymentID string, amount int64) []payment.Observation {
	return []payment.Observation{{
		Provider: "paypal", Account: "main", Kind: payment.KindPayment, AttemptID: attemptID, PaymentID: paymentID,
		Status: payment.PaymentSucceeded, Amount: amount, Currency: "EUR",
	}}
}

// dead puts in an event that was given up.
func (c *counter) dead(r payment.Receipt, body string) uuid.UUID {
	c.t.Helper()
	row := payment.Row{ID: id.New(), Provider: "paypal", Account: "main", Body: []byte(body), Receipt: r}
	row.Receipt.Applier = payment.ApplierOrder
	tx, err := c.db.Owner.Begin(c.t.Context())
	require.NoError(c.t, err)
	_, err = payment.Inbox{}.Store(c.t.Context(), tx, []payment.Row{row})
	require.NoError(c.t, err)
	_, err = tx.Exec(c.t.Context(), `UPDATE inbox SET state = 'dead', done_at = app_now(), attempts = 21, note = 'the provider does not know it' WHERE id = $1`, row.ID)
	require.NoError(c.t, err)
	require.NoError(c.t, tx.Commit(c.t.Context())) // no loop has seen it alive
	return row.ID
}

func (c *counter) as(method, path, body string) response {
	c.t.Helper()
	return c.do(request{method: method, path: path, body: body, cookie: c.cookie})
}

type stuck struct {
	ID, State, Note string
	Replays         int
	Explanation     struct{ Happened, Safe, Do string }
	Body            string
	BodyEncoding    string `json:"body_encoding"`
	Facts           []struct{ Kind, Status string }
}

type effect struct {
	Fails         bool
	Verdict, Note string
	Orders        []struct {
		OrderID               string `json:"order_id"`
		Before, After, Review string
		Gained, Lost          []struct{ Name string }
		Entries               []struct {
			Kind  string
			Gross int64
		}
		Refunds []struct {
			Kind   string
			Amount int64
		}
	}
}

// A dead letter: listed, read with its evidence, previewed without any change,
// replayed once.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	orderID, attemptID := c.order("buyer@example.com")
	row := c.dead(payment.Receipt{EventID: "WH-1", EventType: "PAYMENT.CAPTURE.COMPLETED", ObjectID: "cap_1", Class: payment.ClassPointer},
		`{"id":"WH-1","note":"<script>alert(1)</script>","client_secret":"cs_verysecret"}`)

	list := decode[struct{ Items []stuck }](t, c.as("GET", "/operator/inbox?state=dead", ""), 200)
	require.Len(t, list.Items, 1)
	require.Equal(t, row.String(), list.Items[0].ID)
	for _, said := range []string{list.Items[0].Explanation.Happened, list.Items[0].Explanation.Safe, list.Items[0].Explanation.Do} {
		require.NotEmpty(t, said)
	}
	require.Empty(t, decode[struct{ Items []stuck }](t, c.as("GET", "/operator/inbox?state=failed", ""), 200).Items)

	path := "/operator/inbox/" + row.String()
	got := decode[stuck](t, c.as("GET", path, ""), 200)
	require.Equal(t, `{"id":"WH-1","note":"<script>alert(1)</script>","client_secret":"(not shown)"}`, got.Body)
	require.Equal(t, "text", got.BodyEncoding)

	// The provider still does not know it: a replay would lead to nothing.
	e := decode[effect](t, c.as("POST", path+"/preview", ""), 200)
	require.True(t, e.Fails)
	require.Contains(t, e.Note, "does not know cap_1")

	c.provider.mu.Lock()
	c.provider.says["cap_1"] = paid(attemptID, "cap_1", 500)
	c.provider.mu.Unlock()
	before := c.rows()
	e = decode[effect](t, c.as("POST", path+"/preview", ""), 200)
	require.False(t, e.Fails)
	require.Equal(t, "done", e.Verdict)
	require.Len(t, e.Orders, 1)
	require.Equal(t, orderID.String(), e.Orders[0].OrderID)
	require.Equal(t, "awaiting_payment", e.Orders[0].Before)
	require.Equal(t, "paid", e.Orders[0].After)
	require.Equal(t, "photo-1.jpg", e.Orders[0].Gained[0].Name)
	require.Equal(t, int64(500), e.Orders[0].Entries[0].Gross)
	require.Equal(t, before, c.rows(), "a preview changes no row of any table")

	require.Equal(t, "request.invalid", c.as("POST", path+"/replay", `{"replays": 0}`).problem(t).Code, "a reason is needed")
	got = decode[stuck](t, c.as("POST", path+"/replay", `{"replays": 0, "reason": "the provider found it"}`), 200)
	require.Equal(t, "done", got.State)
	require.Equal(t, "inbox.not_stuck", c.as("POST", path+"/replay", `{"replays": 0, "reason": "pressed twice"}`).problem(t).Code)
	require.Equal(t, "inbox.not_stuck", c.as("POST", path+"/preview", "").problem(t).Code)
	require.Equal(t, "paid", c.state(orderID))
	require.Equal(t, 1, c.count(`SELECT count(*) FROM audit_log WHERE action = 'inbox.replay'`))
	require.Equal(t, 1, c.count(`SELECT count(*) FROM entitlements`))
	require.Equal(t, "inbox.not_found", c.as("GET", "/operator/inbox/"+id.New().String(), "").problem(t).Code)
}

// A preview also tells of money that would have to go back, and of an order that
// would need a person.
func TestPreviewOfStrangeMoney(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	orderID, attemptID := c.order("buyer@example.com")
	excess := c.dead(payment.Receipt{EventID: "e1", EventType: "t", ObjectID: "cap_1", Class: payment.ClassFact, Facts: paid(attemptID, "cap_1", 650)}, "{}")
	e := decode[effect](t, c.as("POST", "/operator/inbox/"+excess.String()+"/preview", ""), 200)
	require.Equal(t, "paid", e.Orders[0].After)
	require.Equal(t, int64(150), e.Orders[0].Refunds[0].Amount)

	less := c.dead(payment.Receipt{EventID: "e2", EventType: "t", ObjectID: "cap_2", Class: payment.ClassFact, Facts: paid(attemptID, "cap_2", 5)}, "{}")
	e = decode[effect](t, c.as("POST", "/operator/inbox/"+less.String()+"/preview", ""), 200)
	require.Equal(t, "review", e.Orders[0].After)
	require.NotEmpty(t, e.Orders[0].Review)
	require.Empty(t, e.Orders[0].Gained)

	nobody := c.dead(payment.Receipt{EventID: "e3", EventType: "t", ObjectID: "cap_3", Class: payment.ClassFact, Facts: paid(id.New(), "cap_3", 5)}, "{}")
	e = decode[effect](t, c.as("POST", "/operator/inbox/"+nobody.String()+"/preview", ""), 200)
	require.Equal(t, "retry", e.Verdict)
	require.Empty(t, e.Orders)

	odd := c.dead(payment.Receipt{EventID: "e4", EventType: "t", ObjectID: "cap_4", Class: payment.ClassFact, Facts: []payment.Observation{{Kind: "weather", Status: "fine"}}}, "\xff\x00")
	e = decode[effect](t, c.as("POST", "/operator/inbox/"+odd.String()+"/preview", ""), 200)
	require.True(t, e.Fails)
	require.Equal(t, "base64", decode[stuck](t, c.as("GET", "/operator/inbox/"+odd.String(), ""), 200).BodyEncoding)
	require.Equal(t, "awaiting_payment", c.state(orderID))
}

// An order that waits for a person: found, read, decided after a preview, once.
func TestDecideAboutAnOrder(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	orderID, attemptID := c.order("buyer@example.com")
	less := c.dead(payment.Receipt{EventID: "e1", EventType: "t", ObjectID: "cap_1", Class: payment.ClassFact, Facts: paid(attemptID, "cap_1", 5)}, "{}")
	require.Equal(t, 200, c.as("POST", "/operator/inbox/"+less.String()+"/replay", `{"replays": 0, "reason": "to see it"}`).status)
	found := decode[struct{ Items []struct{ ID, Review string } }](t, c.as("GET", "/operator/orders?state=review", ""), 200)
	require.Equal(t, orderID.String(), found.Items[0].ID)
	require.NotEmpty(t, found.Items[0].Review)

	type decided struct {
		Before, After string
		Refunds       []struct{ Amount int64 }
	}
	type evidence struct {
		State    string
		Lines    []struct{ Access string }
		Payments []struct {
			ID     string
			Amount int64
		}
		Requests []struct{ Amount int64 }
		Options  []struct {
			Kind, Subject, Why string
			Amount             int64
		}
	}
	path := "/operator/orders/" + orderID.String()
	e := decode[evidence](t, c.as("GET", path, ""), 200)
	require.Equal(t, "review", e.State)
	require.Equal(t, "none", e.Lines[0].Access)
	require.Equal(t, int64(5), e.Payments[0].Amount)
	require.Equal(t, "return", e.Options[0].Kind)
	require.Equal(t, int64(5), e.Options[0].Amount)

	body := fmt.Sprintf(`{"kind": "return", "subject": %q, "note": "the buyer asked"}`, e.Options[0].Subject)
	before := c.rows()
	would := decode[decided](t, c.as("POST", path+"/decisions/preview", body), 200)
	require.Equal(t, int64(5), would.Refunds[0].Amount)
	require.Equal(t, before, c.rows(), "a preview changes no row of any table")
	did := decode[decided](t, c.as("POST", path+"/decisions", body), 200)
	require.Equal(t, would, did)
	require.Equal(t, 1, c.count(`SELECT count(*) FROM refund_requests`))
	require.Equal(t, 1, c.count(`SELECT count(*) FROM audit_log WHERE action = 'review.return'`))
	require.Equal(t, http.StatusConflict, c.as("POST", path+"/decisions", body).status)
	require.Equal(t, 1, c.count(`SELECT count(*) FROM refund_requests`))
	require.Equal(t, int64(5), decode[evidence](t, c.as("GET", path, ""), 200).Requests[0].Amount)
	require.Equal(t, "order.not_found", c.as("GET", "/operator/orders/"+id.New().String(), "").problem(t).Code)
	require.Equal(t, "order.not_found", c.as("POST", "/operator/orders/"+id.New().String()+"/decisions", body).problem(t).Code)
}

// Orders of everybody, by state and address, page by page.
func TestOperatorFindsOrders(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	var all []uuid.UUID
	for i := range 5 {
		orderID, _ := c.order(fmt.Sprintf("buyer%d@example.com", i%2))
		all = append(all, orderID)
	}
	c.exec(`UPDATE orders SET state = 'review', review = 'too little money' WHERE id = ANY($1)`, []uuid.UUID{all[1], all[4]})
	c.exec(`INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id) SELECT id, s, 'review', 'sweep', gen_random_uuid()
		FROM orders, generate_series(1, 2) s WHERE id = ANY($1)`, []uuid.UUID{all[1], all[4], all[0]})

	find := func(q url.Values) (out []uuid.UUID) {
		for {
			got := decode[struct {
				Items []struct {
					ID            uuid.UUID
					Email, Review string
				}
				Next string
			}](t, c.as("GET", "/operator/orders?"+q.Encode(), ""), 200)
			for _, o := range got.Items {
				out = append(out, o.ID)
			}
			if got.Next == "" {
				return out
			}
			q.Set("cursor", got.Next)
		}
	}
	require.Equal(t, []uuid.UUID{all[4], all[3], all[2], all[1], all[0]}, find(url.Values{"limit": {"2"}}))
	require.Equal(t, []uuid.UUID{all[4], all[1]}, find(url.Values{"state": {"review"}}), "also of one that was in review before")
	require.Equal(t, []uuid.UUID{all[4], all[1]}, find(url.Values{"state": {"review"}, "limit": {"1"}}))
	require.Equal(t, []uuid.UUID{all[3], all[1]}, find(url.Values{"email": {" Buyer1@Example.com"}}))
	require.Equal(t, []uuid.UUID{all[3]}, find(url.Values{"email": {"buyer1@example.com"}, "state": {"awaiting_payment"}}))
	require.Empty(t, find(url.Values{"email": {"buyer"}}), "only a whole address")
	require.Equal(t, "request.invalid", c.as("GET", "/operator/orders?state=lost", "").problem(t).Code)

	// The indexes are used, also for generic plans.
	for sql, index := range map[string]string{
		`SELECT id FROM orders WHERE email = $1 AND id < $2 ORDER BY id DESC LIMIT 5`:                                                "orders_email",
		`SELECT DISTINCT order_id FROM order_history h WHERE h.state IN ('review', 'disputed') AND h.state = $1 AND h.order_id < $2`: "order_history_rare",
	} {
		conn, err := c.db.Owner.Acquire(t.Context())
		require.NoError(t, err)
		results, err := conn.Conn().PgConn().Exec(t.Context(), `SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;
			PREPARE p AS `+sql+`; EXPLAIN EXECUTE p('review', '`+uuid.Max.String()+`'); DEALLOCATE p; RESET ALL`).ReadAll()
		conn.Release()
		require.NoError(t, err)
		var plan []byte
		for _, r := range results {
			for _, row := range r.Rows {
				plan = append(plan, row[0]...)
			}
		}
		require.Contains(t, string(plan), index)
	}
}

func (c *counter) state(orderID uuid.UUID) string {
	c.t.Helper()
	var s string
	require.NoError(c.t, c.db.Owner.QueryRow(c.t.Context(), `SELECT state FROM orders WHERE id = $1`, orderID).Scan(&s))
	return s
}

func (c *counter) count(sql string) int {
	c.t.Helper()
	var n int
	require.NoError(c.t, c.db.Owner.QueryRow(c.t.Context(), sql).Scan(&n))
	return n
}

// Nobody but an operator learns anything about events or other people's orders;
// an operator's token works as the session does.
func TestOnlyOperators(t *testing.T) {
	t.Parallel()
	c := openCounter(t)
	orderID, _ := c.order("buyer@example.com")
	row := c.dead(payment.Receipt{EventID: "WH-1", EventType: "t", ObjectID: "cap_1", Class: payment.ClassPointer}, "{}")
	buyer, creator := c.account("buyer@example.com", false), c.account("other@example.com", true)
	routes := []request{
		{method: "GET", path: "/operator/inbox"},
		{method: "GET", path: "/operator/inbox/" + row.String()},
		{method: "POST", path: "/operator/inbox/" + row.String() + "/preview"},
		{method: "POST", path: "/operator/inbox/" + row.String() + "/replay", body: `{"replays": 0, "reason": "x"}`},
		{method: "GET", path: "/operator/orders"},
		{method: "GET", path: "/operator/orders/" + orderID.String()},
		{method: "POST", path: "/operator/orders/" + orderID.String() + "/decisions/preview", body: `{"kind": "acknowledge", "subject": "x", "note": "x"}`},
		{method: "POST", path: "/operator/orders/" + orderID.String() + "/decisions", body: `{"kind": "acknowledge", "subject": "x", "note": "x"}`},
	}
	for _, who := range []struct {
		code string
		as   func(*request)
	}{
		{"auth.needed", func(*request) {}},
		{"auth.account_needed", func(r *request) { r.bearer = c.guest() }},
		{"auth.role", func(r *request) { r.cookie = c.session(buyer) }},
		{"auth.role", func(r *request) { r.cookie = c.session(creator) }},
	} {
		for _, r := range routes {
			who.as(&r)
			got := c.do(r)
			require.Equal(t, who.code, got.problem(t).Code, r.path)
			require.NotContains(t, got.body, orderID.String())
		}
	}
	require.Equal(t, 1, c.count(`SELECT count(*) FROM inbox WHERE state = 'dead' AND replays = 0`))
	for _, r := range routes {
		r.bearer = c.token(c.operator)
		got := c.do(r)
		if strings.Contains(r.path, "/decisions") {
			require.Equal(t, "review.no_reason", got.problem(t).Code, r.path)
			continue
		}
		require.Equal(t, http.StatusOK, got.status, r.path)
	}
	require.Eventually(t, func() bool { return c.count(`SELECT count(*) FROM inbox WHERE state = 'failed'`) == 1 }, 5*time.Second, 10*time.Millisecond)
}
