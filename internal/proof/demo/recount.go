package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/twin"
)

// recount is one counting: what the providers say, what the database says, and
// where they differ.
type recount struct {
	ledger     twin.LedgerDump
	pages      []twin.PageView
	refunds    []twin.RefundView
	disputes   []twin.DisputeView
	events     []event
	deliveries []twin.DeliveryView
	counters   twin.Counters

	orders   map[string]*book
	attempts map[string]string // the order of each attempt
	problems []string
}

// book is an order, as the database has it and as the providers do.
type book struct {
	state, currency         string
	paid                    bool
	gross, refunded         int64
	lines, grants           int
	live, frozen            int   // grants that were not revoked; of these, frozen ones
	liveValue               int64 // the prices of their lines
	taken, returned, settle int64 // payments, refunds, clearing and fees
	buyer                   string
	things                  []string  // photographs and events
	ended                   time.Time // when it expired or was canceled; zero: never
	takenDown               bool      // of its photographs one is not to be had any more

	theirs   twin.Totals     // all its payments
	with     map[string]bool // the providers that took them
	late     bool            // one came after the order had ended
	disputed bool            // one is disputed and undecided
	lost     bool            // one was disputed and lost
}

// withdrawn reports whether the money came when the order could not be delivered
// any more, so that it went back and bought nothing.
func (b *book) withdrawn() bool { return b.late && b.takenDown }

// Recount counts again from the providers' own ledgers and from the database, and
// says where they differ from one another or from the numbers claimed. It uses
// none of the queries behind those numbers.
//
// The providers do not know our orders; an attempt's id is what both sides know.
func Recount(ctx context.Context, pool *pgxpool.Pool, provider *twin.Control, claimed Report) ([]string, error) {
	c := &recount{orders: map[string]*book{}, attempts: map[string]string{}}
	if err := c.readProviders(ctx, provider); err != nil {
		return nil, err
	}
	tx, err := snapshot(ctx, pool)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := c.readOrders(ctx, tx); err != nil {
		return nil, err
	}
	c.assign()
	c.money()
	c.access()
	for _, check := range []func(context.Context, pgx.Tx) error{c.clearing, c.givenBack, c.contested, c.messages} {
		if err := check(ctx, tx); err != nil {
			return nil, err
		}
	}
	return c.problems, c.claims(ctx, tx, claimed)
}

func (c *recount) find(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// same notes a difference between two numbers.
func same[T comparable](c *recount, what string, theirs, ours T) {
	if theirs != ours {
		c.find("%s: %v here, %v there", what, ours, theirs)
	}
}

func (c *recount) readProviders(ctx context.Context, provider *twin.Control) (err error) {
	if c.ledger, err = provider.Ledger(ctx); err != nil {
		return err
	}
	if c.pages, err = provider.Pages(ctx, twin.PageFilter{}); err != nil {
		return err
	}
	if c.refunds, err = provider.Refunds(ctx); err != nil {
		return err
	}
	if c.disputes, err = provider.Disputes(ctx); err != nil {
		return err
	}
	if c.events, err = namedEvents(ctx, provider); err != nil {
		return err
	}
	if c.deliveries, err = provider.Deliveries(ctx, twin.DeliveryFilter{}); err != nil {
		return err
	}
	c.counters, err = provider.Counters(ctx)
	return err
}

func (c *recount) readOrders(ctx context.Context, tx pgx.Tx) error {
	rows, _ := tx.Query(ctx, `SELECT o.id::text, o.state, o.currency, o.paid_at IS NOT NULL, o.gross, o.refunded,
			(SELECT count(*) FROM order_lines l WHERE l.order_id = o.id)::int,
			(SELECT count(*) FROM entitlements e WHERE e.order_id = o.id)::int,
			(SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND e.revoked_at IS NULL)::int,
			(SELECT count(e.frozen_at) FROM entitlements e WHERE e.order_id = o.id AND e.revoked_at IS NULL)::int,
			(SELECT coalesce(sum(l.price), 0) FROM order_lines l JOIN entitlements e ON e.line_id = l.id
				WHERE e.order_id = o.id AND e.revoked_at IS NULL)::bigint,
			(SELECT coalesce(sum(p.amount), 0) FROM payments p WHERE p.order_id = o.id AND p.status = 'succeeded')::bigint,
			(SELECT coalesce(sum(r.amount), 0) FROM refunds r WHERE r.order_id = o.id AND r.status = 'succeeded')::bigint,
			(SELECT coalesce(sum(p.amount), 0) FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id
				JOIN ledger_accounts a ON a.id = p.account_id WHERE e.order_id = o.id AND a.kind IN ('clearing', 'fees'))::bigint,
			(SELECT min(h.created_at) FROM order_history h WHERE h.order_id = o.id AND h.state IN ('expired', 'canceled')),
			EXISTS (SELECT FROM order_lines l JOIN photos f ON f.id = l.photo_id WHERE l.order_id = o.id AND f.hidden_at IS NOT NULL),
			ARRAY(SELECT a.id::text FROM attempts a WHERE a.order_id = o.id), o.buyer_id::text,
			ARRAY(SELECT coalesce(l.photo_id, l.event_id)::text FROM order_lines l WHERE l.order_id = o.id)
		FROM orders o`)
	for rows.Next() {
		var (
			id       string
			attempts []string
			ended    *time.Time
			b        = book{with: map[string]bool{}}
		)
		err := rows.Scan(&id, &b.state, &b.currency, &b.paid, &b.gross, &b.refunded, &b.lines, &b.grants, &b.live, &b.frozen, &b.liveValue,
			&b.taken, &b.returned, &b.settle, &ended, &b.takenDown, &attempts, &b.buyer, &b.things)
		if err != nil {
			return err
		}
		if ended != nil {
			b.ended = *ended
		}
		c.orders[id] = &b
		for _, a := range attempts {
			c.attempts[a] = id
		}
	}
	return rows.Err()
}

// assign puts what the providers say to the orders that it is about.
func (c *recount) assign() {
	for _, p := range c.ledger.Payments {
		o := c.orders[c.attempts[p.AttemptID]]
		if o == nil {
			c.find("%s was paid for an attempt %q that is not here", p.Provider, p.AttemptID)
			continue
		}
		if o.currency != p.Currency {
			c.find("order %s: paid in %s, sold in %s", c.attempts[p.AttemptID], p.Currency, o.currency)
		}
		o.theirs.Charges += p.Charges
		o.theirs.Charged += p.Charged
		o.theirs.Refunded += p.Refunded
		o.theirs.Disputed += p.Disputed
		o.with[p.Provider] = true
	}
	for _, e := range c.ledger.Entries {
		if o := c.orders[c.attempts[e.AttemptID]]; o != nil && e.Kind == twin.EntryCharge && !o.ended.IsZero() && e.At.After(o.ended) {
			o.late = true
		}
	}
	of := map[string]string{}
	for _, p := range c.ledger.Payments {
		of[p.Provider+" "+p.Payment] = p.AttemptID
	}
	for _, d := range c.disputes {
		o := c.orders[c.attempts[of[d.Provider+" "+d.Payment]]]
		if o == nil {
			continue // told by contested
		}
		switch standing(d.Status).status {
		case "open":
			o.disputed = true
		case "closed":
			o.lost = o.lost || d.Status == twin.DisputeLost
		}
	}
}

// messages compares what the providers saw acknowledged with what is stored: all
// of it once, and nothing else.
func (c *recount) messages(ctx context.Context, tx pgx.Tx) error {
	names := map[string]string{}
	for _, ev := range c.events {
		names[ev.ID] = ev.name
	}
	acknowledged := map[string]bool{}
	for _, d := range c.deliveries {
		for _, a := range d.Attempts {
			if a.Status >= 200 && a.Status < 300 {
				acknowledged[names[d.Event]] = true
			}
		}
	}
	// What we ask for because something else named it came as no message.
	rows, _ := tx.Query(ctx, `SELECT provider, event_id, count(*)::int, bool_and(state IN ('done', 'ignored'))
		FROM inbox WHERE class <> 'reply' AND event_type <> 'missing' GROUP BY provider, event_id`)
	var (
		provider, id string
		n            int
		over         bool
	)
	_, err := pgx.ForEachRow(rows, []any{&provider, &id, &n, &over}, func() error {
		name := provider + " " + id
		if !acknowledged[name] {
			c.find("event %s is stored, and the provider did not see it arrive", name)
		}
		same(c, "rows of event "+name, 1, n)
		if !over {
			c.find("event %s is not worked", name)
		}
		delete(acknowledged, name)
		return nil
	})
	for name := range acknowledged {
		c.find("event %s was acknowledged and is not stored", name)
	}
	return err
}

// claims compares the numbers of the report.
func (c *recount) claims(ctx context.Context, tx pgx.Tx, claimed Report) error {
	found := Orders{Created: len(c.orders), ByProvider: map[string]int{}}
	late := 0
	for _, o := range c.orders {
		if o.paid {
			found.Paid++
			for p := range o.with {
				found.ByProvider[p]++
			}
		}
		switch o.state {
		case "refunded":
			found.Refunded++
		case "partially_refunded":
			found.Partly++
		case "review":
			found.Review++
		}
		if o.late {
			late++
		}
	}
	same(c, "orders", fmt.Sprint(claimed.Orders), fmt.Sprint(found))
	same(c, "disputes", claimed.Disputes, len(c.disputes))
	same(c, "orders paid late", claimed.Late, late)
	same(c, "things paid twice", claimed.Surplus, c.twice())
	if err := c.healed(ctx, tx, claimed); err != nil {
		return err
	}

	acknowledged := c.counters.Redelivered
	for _, d := range c.deliveries {
		for _, a := range d.Attempts {
			if a.Status/100 == 2 {
				acknowledged++
			}
		}
	}
	same(c, "webhooks received", claimed.Received, acknowledged)
	same(c, "webhooks forged", claimed.Forged, c.counters.Forged)

	var postings int
	var off int64
	rows, _ := tx.Query(ctx, `SELECT entry_id::text || currency, amount FROM ledger_postings`)
	sums := map[string]int64{}
	var (
		entry  string
		amount int64
	)
	_, err := pgx.ForEachRow(rows, []any{&entry, &amount}, func() error {
		postings++
		sums[entry] += amount
		return nil
	})
	for _, sum := range sums {
		off += max(sum, -sum)
	}
	same(c, "ledger", claimed.Ledger, Ledger{Postings: postings, Imbalance: off})
	return err
}

// twice counts payments beyond the first of an order, and orders of nothing but
// what their buyer has paid for in another one.
func (c *recount) twice() int {
	bought := map[string]int{}
	for _, o := range c.orders {
		if o.paid {
			for _, thing := range o.things {
				bought[o.buyer+thing]++
			}
		}
	}
	n := 0
	for _, o := range c.orders {
		if !o.paid {
			continue
		}
		n += max(0, o.theirs.Charges-1)
		if !slices.ContainsFunc(o.things, func(thing string) bool { return bought[o.buyer+thing] == 1 }) {
			n++
		}
	}
	return n
}

// healed compares the orders whose pages no message told of with those that the
// poller was the first to know about.
func (c *recount) healed(ctx context.Context, tx pgx.Tx, claimed Report) error {
	told := map[string]bool{}
	for _, d := range c.deliveries {
		if d.State == twin.DeliveryAcknowledged {
			told[d.Provider+" "+d.Ref] = true
		}
	}
	first := map[string]string{} // by page: who was answered first
	rows, _ := tx.Query(ctx, `SELECT provider || ' ' || object_id, event_type FROM inbox WHERE class = 'reply' ORDER BY received_at DESC, id DESC`)
	var page, why string
	if _, err := pgx.ForEachRow(rows, []any{&page, &why}, func() error { first[page] = why; return nil }); err != nil {
		return err
	}
	unheard, polled := map[string]bool{}, map[string]bool{}
	for _, p := range c.pages {
		name, orderID := p.Provider+" "+p.Ref, c.attempts[p.AttemptID]
		if o := c.orders[orderID]; o == nil || !o.paid || len(p.Payments) == 0 || told[name] {
			continue
		}
		unheard[orderID] = true
		if first[name] == "poll" {
			polled[orderID] = true
		}
	}
	same(c, "orders whose webhooks were lost", claimed.Dropped, len(unheard))
	same(c, "orders that only the poller found paid", claimed.HealedByPoller, len(polled))
	return nil
}

// sorted are a map's keys in order, so that problems come in the same order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
