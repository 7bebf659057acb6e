package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
)

// Finding is a promise that was found broken.
type Finding struct {
	// Check is an invariant's id, or one of the checks against the provider's
	// own ledger and the clients' own log.
	Check  string
	Detail string
}

func (f Finding) String() string { return f.Check + ": " + f.Detail }

// The checks beside the invariants. Each compares the database with what
// somebody else wrote down: the provider stand-in, or the clients.
const (
	CheckKnown        = "twin.known"        // money that the provider took is a payment of the order it was for
	CheckReal         = "twin.real"         // a payment that we believe in moved money at the provider
	CheckKept         = "twin.kept"         // an order for which money came is paid
	CheckBooks        = "twin.books"        // what our books say the provider holds for an order is what it holds
	CheckGrants       = "twin.grants"       // nobody has access without money at the provider
	CheckRefunds      = "twin.refunds"      // each request for money back moved it once
	CheckPages        = "twin.pages"        // an attempt has one page, and none can be paid that nobody waits for
	CheckAcknowledged = "twin.acknowledged" // an event that was answered 2xx is stored
	CheckGenuine      = "twin.genuine"      // a stored event is one that the provider made, byte for byte
	CheckAnswers      = "clients.answers"   // every answer that a client got is true, and the same each time
	CheckMail         = "twin.mail"         // who was promised a mail got it, once, or as often as a death on the way allows
	CheckAccess       = "clients.access"    // nobody got an original without a right to it
	CheckLimits       = "clients.limits"    // over all instances nobody gets more tries than the limit
	CheckLinks        = "clients.links"     // a link from a mail signs in once
	CheckContention   = "events.contention" // no event is charged with what others did in the database at the same time
	CheckReached      = "outside.reached"   // no stranger makes us connect to an address of their choice
	CheckKeys         = "schema.keys"       // of two rows with one key one is refused, and its writer finds the other
)

// judge examines a world at rest.
func (w *World) judge(ctx context.Context) ([]Finding, []InvariantResult, error) {
	found, err := CheckQuiet(ctx, w.DB)
	if err != nil {
		return nil, nil, err
	}
	var out []Finding
	for _, r := range found {
		for _, what := range r.IDs {
			out = append(out, Finding{r.ID, what})
		}
	}
	j := &court{w: w}
	if err := j.load(ctx); err != nil {
		return out, found, fmt.Errorf("judge the world: %w", err)
	}
	j.money()
	j.taken()
	j.refunds()
	j.pages()
	j.events()
	j.post()
	j.answers()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(append(out, j.findings...), w.seen...), found, nil
}

// court holds both sides of the comparison.
type court struct {
	w        *World
	findings []Finding

	// The provider's side.
	paid       []twin.PaymentTotals
	made       []twin.EventView
	hosted     []twin.PageView
	given      []twin.RefundView
	deliveries []twin.DeliveryView
	mails      map[string]int      // copies by Message-ID
	genuine    map[string][]string // by provider and event: bodies
	names      map[string]string   // the provider's id of an event: provider and event as we name it

	// Ours.
	orders   map[uuid.UUID]dbOrder
	payments map[string]dbPayment // by provider and payment
	requests map[string]dbRequest
	books    map[uuid.UUID]int64 // what the providers hold for an order, before their fees
	attempts map[string]dbAttempt
	inbox    map[string][]dbEvent // by provider and event
	dead     map[string]bool      // what an operator has to look at, by provider and object
	messages []dbMessage
}

type dbMessage struct {
	MessageID string
	Recipient string
	State     string
}

type dbOrder struct {
	ID       uuid.UUID
	BuyerID  uuid.UUID
	State    string
	Currency string
	Gross    int64
	Paid     bool
	Late     string // how late money was decided
	Granted  int
	Photos   []uuid.UUID
	Whole    bool
	Over     *time.Time // when it ended without its money
}

type dbPayment struct {
	Provider  string
	PaymentID string
	OrderID   uuid.UUID
	Took      bool
	Amount    int64
	Currency  string
}

type dbRequest struct {
	ID     uuid.UUID
	Amount int64
	State  string
}

type dbAttempt struct {
	ID      uuid.UUID
	OrderID uuid.UUID
	Status  string
	Until   *time.Time // how long its page may be paid
}

type dbEvent struct {
	Provider string
	EventID  string
	Class    string
	Body     []byte
}

// key names something of a provider's.
func key(provider, id string) string { return provider + ":" + id }

func (c *court) find(check, format string, args ...any) {
	c.findings = append(c.findings, Finding{check, fmt.Sprintf(format, args...)})
}

func (c *court) load(ctx context.Context) (err error) {
	t := c.w.Twin
	ledger, err := t.Ledger(ctx)
	if err != nil {
		return err
	}
	c.paid = ledger.Payments
	if c.hosted, err = t.Pages(ctx, twin.PageFilter{}); err != nil {
		return err
	}
	if c.given, err = t.Refunds(ctx); err != nil {
		return err
	}
	if c.deliveries, err = t.Deliveries(ctx, twin.DeliveryFilter{State: twin.DeliveryAcknowledged}); err != nil {
		return err
	}
	// Before the mailbox: mails are sent meanwhile.
	if c.messages, err = rows[dbMessage](ctx, c.w, `SELECT message_id, recipient, state FROM messages`); err != nil {
		return err
	}
	mails, err := t.Mailbox().List(ctx, "")
	if err != nil {
		return err
	}
	c.mails = map[string]int{}
	for _, m := range mails {
		c.mails[m.MessageID]++
	}
	c.orders = map[uuid.UUID]dbOrder{}
	orders, err := rows[dbOrder](ctx, c.w, `
		SELECT o.id, o.buyer_id, o.state, o.currency, o.gross, o.paid_at IS NOT NULL AS paid,
		       coalesce((SELECT value FROM decisions d WHERE d.order_id = o.id AND d.subject = 'late'), '') AS late,
		       (SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND e.revoked_at IS NULL)::int AS granted,
		       ARRAY(SELECT l.photo_id FROM order_lines l WHERE l.order_id = o.id AND l.photo_id IS NOT NULL) AS photos,
		       EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.id AND l.photo_id IS NULL) AS whole,
		       (SELECT min(h.created_at) FROM order_history h WHERE h.order_id = o.id AND h.state IN ('expired', 'canceled')) AS over
		FROM orders o`)
	if err != nil {
		return err
	}
	for _, o := range orders {
		c.orders[o.ID] = o
	}
	c.payments = map[string]dbPayment{}
	payments, err := rows[dbPayment](ctx, c.w, `
		SELECT provider, payment_id, order_id, status IN ('succeeded', 'reversed') AS took, amount, currency FROM payments WHERE provider <> 'free'`)
	if err != nil {
		return err
	}
	for _, p := range payments {
		c.payments[key(p.Provider, p.PaymentID)] = p
	}
	c.requests = map[string]dbRequest{}
	requests, err := rows[dbRequest](ctx, c.w, `SELECT id, amount, state FROM refund_requests WHERE provider <> 'free'`)
	if err != nil {
		return err
	}
	for _, q := range requests {
		c.requests[q.ID.String()] = q
	}
	type holding struct {
		OrderID uuid.UUID
		Amount  int64
	}
	c.books = map[uuid.UUID]int64{}
	holdings, err := rows[holding](ctx, c.w, `
		SELECT e.order_id, sum(p.amount)::bigint AS amount
		FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id JOIN ledger_entries e ON e.id = p.entry_id
		WHERE a.kind IN ('clearing', 'fees') GROUP BY e.order_id`)
	if err != nil {
		return err
	}
	for _, h := range holdings {
		c.books[h.OrderID] = h.Amount
	}
	c.attempts = map[string]dbAttempt{}
	attempts, err := rows[dbAttempt](ctx, c.w, `SELECT id, order_id, status, expires_at AS until FROM attempts`)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		c.attempts[a.ID.String()] = a
	}
	c.inbox = map[string][]dbEvent{}
	events, err := rows[dbEvent](ctx, c.w, `
		SELECT provider, event_id, class, body FROM inbox WHERE class <> 'reply' AND event_id NOT LIKE 'missing:%'`)
	if err != nil {
		return err
	}
	for _, e := range events {
		c.inbox[key(e.Provider, e.EventID)] = append(c.inbox[key(e.Provider, e.EventID)], e)
	}
	if err := c.loadDead(ctx); err != nil {
		return err
	}
	return c.loadEvents(ctx)
}

// loadEvents reads the bodies of the events that we stored: of others there is
// nothing to compare.
func (c *court) loadEvents(ctx context.Context) error {
	made, err := c.w.Twin.Events(ctx, twin.EventFilter{})
	c.made = made
	if err != nil {
		return err
	}
	c.genuine = map[string][]string{}
	c.names = map[string]string{}
	for _, e := range made {
		whole, err := c.w.Twin.Event(ctx, e.ID)
		if err != nil {
			return err
		}
		name := key(e.Provider, identity(e.Provider, e.ID, whole.Body))
		c.names[e.ID] = name
		c.genuine[name] = append(c.genuine[name], whole.Body)
	}
	return nil
}

// identity is the name under which we store an event. Flutterwave's have none of
// their own: theirs is what they are about.
func identity(provider, eventID, body string) string {
	if provider != twin.Flutterwave {
		return eventID
	}
	var ev struct {
		Event string `json:"event"`
		Data  struct {
			ID     json.Number `json:"id"`
			Status string      `json:"status"`
		} `json:"data"`
	}
	_ = json.Unmarshal([]byte(body), &ev)
	h := sha256.Sum256([]byte(strings.Join([]string{"flw3", account1, ev.Event, ev.Data.ID.String(), strings.ToLower(ev.Data.Status)}, "|")))
	return hex.EncodeToString(h[:])
}

func rows[T any](ctx context.Context, w *World, sql string) ([]T, error) {
	got, err := w.DB.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(got, pgx.RowToStructByName[T])
}

// money compares payments, orders, access and books with the provider's ledger.
func (c *court) money() {
	holds := map[uuid.UUID]int64{}   // what the provider holds for an order
	took := map[uuid.UUID]int64{}    // what it ever took
	charged := map[string]int64{}    // by payment
	fitting := map[uuid.UUID]int64{} // payments that could buy the order
	for _, p := range c.paid {
		if p.Charges == 0 {
			continue
		}
		charged[key(p.Provider, p.Payment)] = p.Charged
		orderID := c.attempts[p.AttemptID].OrderID
		o, known := c.orders[orderID]
		if !known && c.deadLetter(p) {
			continue
		}
		if !known {
			c.find(CheckKnown, "%s took %d for attempt %q, which is of no order", p.Provider, p.Charged, p.AttemptID)
			continue
		}
		holds[orderID] += p.Charged - p.Refunded - p.Disputed
		took[orderID] += p.Charged
		if o.Currency == p.Currency && p.Charged >= o.Gross {
			fitting[orderID]++
		}
		ours, ok := c.payments[key(p.Provider, p.Payment)]
		switch {
		case !ok || !ours.Took:
			c.find(CheckKnown, "the provider took %d by %s for order %s, and we do not know", p.Charged, p.Payment, orderID)
		case ours.OrderID != orderID || ours.Amount != p.Charged || ours.Currency != p.Currency:
			c.find(CheckKnown, "payment %s of %d %s for order %s stands as %d %s for order %s",
				p.Payment, p.Charged, p.Currency, orderID, ours.Amount, ours.Currency, ours.OrderID)
		}
	}
	for name, p := range c.payments {
		if p.Took && charged[name] == 0 {
			c.find(CheckReal, "payment %s of order %s took no money at the provider", name, p.OrderID)
		}
	}
	for orderID, o := range c.orders {
		if o.Gross == 0 {
			continue
		}
		if fitting[orderID] > 0 && !o.Paid && o.Late != "refund" {
			c.find(CheckKept, "order %s is %s, and the provider took its price %d times", orderID, o.State, fitting[orderID])
		}
		if o.Granted > 0 && took[orderID] < o.Gross {
			c.find(CheckGrants, "order %s of %d gives access to %d lines, and the provider took %d", orderID, o.Gross, o.Granted, took[orderID])
		}
		if holds[orderID] != c.books[orderID] {
			c.find(CheckBooks, "our books say that the provider holds %d for order %s, and it holds %d", c.books[orderID], orderID, holds[orderID])
		}
	}
}

// refunds compares requests for money back with refunds at the provider.
func (c *court) refunds() {
	moved := map[string]int64{}
	for _, r := range c.given {
		if c.w.refunded[r.ID] || r.Status == "failed" || r.Status == "canceled" {
			continue
		}
		requestID := r.RequestID
		if _, ok := c.requests[requestID]; !ok {
			c.find(CheckRefunds, "the provider gave %d back by %s, and nobody asked for it", r.Amount, r.ID)
			continue
		}
		moved[requestID] += r.Amount
	}
	for requestID, q := range c.requests {
		if q.State == "answered" && moved[requestID] != q.Amount && !c.undone(requestID) || q.State == "rejected" && moved[requestID] != 0 {
			c.find(CheckRefunds, "request %s for %d back is %s, and the provider gave %d", requestID, q.Amount, q.State, moved[requestID])
		}
	}
}

func (c *court) undone(requestID string) bool {
	return slices.ContainsFunc(c.given, func(r twin.RefundView) bool {
		return r.RequestID == requestID && (r.Status == "failed" || r.Status == "canceled")
	})
}

// pages looks for pages that can be paid and that nobody waits for.
func (c *court) pages() {
	of := map[string]int{}
	over := []string{"canceled", "expired", "created"}
	for _, s := range c.hosted {
		id := s.AttemptID
		of[id]++
		a, ok := c.attempts[id]
		state := c.orders[a.OrderID].State
		switch {
		case !ok:
			c.find(CheckPages, "page %s (%s) is of no attempt of ours", s.Ref, s.Status)
		case of[id] == 2:
			c.find(CheckPages, "attempt %s of order %s has more than one page", id, a.OrderID)
		case s.Status == twin.PageOpen && s.Provider != twin.PayPal && a.Status != "abandoned" && slices.Contains(over, state):
			// The page of an abandoned attempt is not known to us: the provider
			// kept a failure under its key. Money on it still counts. PayPal's
			// pages stay open and take no money: only a capture of ours does.
			c.find(CheckPages, "page %s can be paid, and its order %s is %s", s.Ref, a.OrderID, state)
		}
	}
}

// events compares the inbox with what the provider sent.
func (c *court) events() {
	for _, d := range c.deliveries {
		if len(c.inbox[c.names[d.Event]]) == 0 {
			c.find(CheckAcknowledged, "event %s (%s) was answered 2xx and is not stored", d.Event, d.Type)
		}
	}
	for name, stored := range c.inbox {
		bodies, ok := c.genuine[name]
		for _, e := range stored {
			switch {
			case c.w.accepted(e.Body):
				// Nothing but asking the provider can tell it from a genuine one.
			case !ok:
				c.find(CheckGenuine, "event %s was never made by the provider and is stored", name)
			case !slices.Contains(bodies, string(e.Body)):
				c.find(CheckGenuine, "event %s is stored with another body than the provider's", name)
			}
		}
	}
}

// post compares the messages that were promised with the mails that came. One
// more copy is the price of a death between a send and its record.
func (c *court) post() {
	promised := map[string]bool{}
	for _, m := range c.messages {
		promised[m.MessageID] = true
		switch n := c.mails[m.MessageID]; {
		case m.State == "sent" && n == 0:
			c.find(CheckMail, "message %s is said to be sent, and did not come", m.MessageID)
		case n > 2 || n == 2 && !c.w.disturbed():
			c.find(CheckMail, "message %s came %d times", m.MessageID, n)
		}
	}
	for messageID, n := range c.mails {
		if !promised[messageID] {
			c.find(CheckMail, "mail %s came %d times, and nobody was promised it", messageID, n)
		}
	}
}

// answers judges what clients were told (I11 by their own log).
func (c *court) answers() {
	type request struct {
		buyer uuid.UUID
		key   string
	}
	first := map[request][]byte{}
	for _, s := range c.w.clients.all() {
		if !s.answer.good() {
			continue
		}
		r := request{s.buyer, s.key}
		if was, ok := first[r]; ok && !bytes.Equal(was, s.answer.Body) {
			c.find(CheckAnswers, "one request (key %s) was answered %s and %s", s.key, bytes.TrimSpace(was), bytes.TrimSpace(s.answer.Body))
			continue
		}
		first[r] = s.answer.Body
		var said struct {
			OrderID  uuid.UUID `json:"order_id"`
			Total    int64     `json:"total"`
			Currency string    `json:"currency"`
		}
		if err := json.Unmarshal(s.answer.Body, &said); err != nil {
			c.find(CheckAnswers, "a good answer to key %s cannot be read: %v", s.key, err)
			continue
		}
		o, ok := c.orders[said.OrderID]
		switch {
		case !ok || o.BuyerID != s.buyer && o.BuyerID != c.w.claims[s.buyer]:
			c.find(CheckAnswers, "key %s was answered with order %s, which is not the buyer's", s.key, said.OrderID)
		case o.Gross != said.Total || o.Currency != said.Currency || said.Total != s.cart.Total:
			c.find(CheckAnswers, "key %s was answered with %d %s for a cart of %d; the order is over %d", s.key, said.Total, said.Currency, s.cart.Total, o.Gross)
		case o.Whole != s.cart.Whole || !slices.Equal(id.Sorted(o.Photos), id.Sorted(s.cart.Photos)):
			c.find(CheckAnswers, "key %s was answered with order %s, which sells other photographs than were asked for", s.key, said.OrderID)
		}
	}
}

// red reports whether a finding is one of those that a cut set must bring
// about; each is a check, or a check and the beginning of its detail.
func red(findings []Finding, breaks []string) []string {
	var out []string
	for _, f := range findings {
		for _, b := range breaks {
			if (f.Check == b || strings.HasPrefix(f.String(), b)) && !slices.Contains(out, f.Check) {
				out = append(out, f.Check)
			}
		}
	}
	slices.Sort(out)
	return out
}
