package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/twin"
)

// recount is one counting: what the provider says, what the database says, and
// where they differ.
type recount struct {
	ledger     twin.LedgerDump
	refunds    []twin.RefundView
	deliveries []twin.DeliveryView
	counters   twin.Counters

	orders   map[string]book
	problems []string
}

// book is an order as the database has it.
type book struct {
	state, currency         string
	paid                    bool
	gross, refunded         int64
	lines, grants, live     int
	taken, returned, settle int64 // payments, refunds, clearing
}

// Recount counts again from the provider's own ledger and from the database, and
// says where they differ from one another or from the numbers claimed. It uses
// none of the queries behind those numbers.
//
// The demonstration's currencies have the same unit at the provider and here.
func Recount(ctx context.Context, pool *pgxpool.Pool, provider *twin.Control, claimed Report) ([]string, error) {
	c := &recount{orders: map[string]book{}}
	var err error
	if c.ledger, err = provider.Ledger(ctx); err != nil {
		return nil, err
	}
	if c.refunds, err = provider.Refunds(ctx); err != nil {
		return nil, err
	}
	if c.deliveries, err = provider.Deliveries(ctx, twin.DeliveryFilter{}); err != nil {
		return nil, err
	}
	if c.counters, err = provider.Counters(ctx); err != nil {
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
	c.money()
	c.access()
	for _, check := range []func(context.Context, pgx.Tx) error{c.clearing, c.givenBack, c.messages} {
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

func (c *recount) readOrders(ctx context.Context, tx pgx.Tx) error {
	rows, _ := tx.Query(ctx, `SELECT o.id::text, o.state, o.currency, o.paid_at IS NOT NULL, o.gross, o.refunded,
			(SELECT count(*) FROM order_lines l WHERE l.order_id = o.id)::int,
			(SELECT count(*) FROM entitlements e WHERE e.order_id = o.id)::int,
			(SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND e.revoked_at IS NULL)::int,
			(SELECT coalesce(sum(p.amount), 0) FROM payments p WHERE p.order_id = o.id AND p.status = 'succeeded')::bigint,
			(SELECT coalesce(sum(r.amount), 0) FROM refunds r WHERE r.order_id = o.id AND r.status = 'succeeded')::bigint,
			(SELECT coalesce(sum(p.amount), 0) FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id
				JOIN ledger_accounts a ON a.id = p.account_id WHERE e.order_id = o.id AND a.kind IN ('clearing', 'fees'))::bigint
		FROM orders o`)
	var (
		id string
		b  book
	)
	_, err := pgx.ForEachRow(rows, []any{
		&id, &b.state, &b.currency, &b.paid, &b.gross, &b.refunded, &b.lines, &b.grants, &b.live, &b.taken, &b.returned, &b.settle,
	}, func() error { c.orders[id] = b; return nil })
	return err
}

// money compares order by order: whose page was paid, with how much, and how
// much of it went back.
func (c *recount) money() {
	theirs := map[string]twin.Totals{}
	for _, p := range c.ledger.Payments {
		t := theirs[p.OrderID]
		t.Charges += p.Charges
		t.Charged += p.Charged
		t.Refunded += p.Refunded
		theirs[p.OrderID] = t
		if o, ok := c.orders[p.OrderID]; !ok {
			c.find("the provider was paid for an order %q that is not here", p.OrderID)
		} else if !strings.EqualFold(o.currency, p.Currency) {
			c.find("order %s: paid in %s, sold in %s", p.OrderID, p.Currency, o.currency)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.orders)) {
		o, t := c.orders[id], theirs[id]
		same(c, "order "+id+" is paid", t.Charges > 0, o.paid)
		same(c, "order "+id+", money taken", t.Charged, o.taken)
		same(c, "order "+id+", money given back", t.Refunded, o.returned)
		same(c, "order "+id+", money in the ledger", t.Charged-t.Refunded, o.settle)
		if o.paid {
			same(c, "order "+id+", price", t.Charged, o.gross)
		}
		same(c, "order "+id+", its own word about refunds", t.Refunded, o.refunded)
	}
}

// access compares grants with money: none without, and none missing.
func (c *recount) access() {
	for _, id := range slices.Sorted(maps.Keys(c.orders)) {
		switch o := c.orders[id]; {
		case o.taken == 0 && o.grants > 0:
			c.find("order %s gives access to %d things without money", id, o.grants)
		case o.taken > 0 && o.returned >= o.taken && o.live > 0:
			c.find("order %s gives access to %d things although its money went back", id, o.live)
		case o.taken > o.returned && o.live != o.lines:
			c.find("order %s: %d lines are paid, %d give access", id, o.lines, o.live)
		}
	}
}

// clearing compares, by currency, what the provider holds with what our ledger
// says it holds. Fees are part of it: they left the clearing account only.
func (c *recount) clearing(ctx context.Context, tx pgx.Tx) error {
	ours := map[string]int64{}
	rows, _ := tx.Query(ctx, `SELECT p.currency, sum(p.amount)::bigint FROM ledger_postings p
		WHERE p.account_id IN (SELECT id FROM ledger_accounts WHERE kind IN ('clearing', 'fees')) GROUP BY 1`)
	var (
		currency string
		sum      int64
	)
	if _, err := pgx.ForEachRow(rows, []any{&currency, &sum}, func() error { ours[currency] = sum; return nil }); err != nil {
		return err
	}
	for _, currency := range slices.Sorted(maps.Keys(c.ledger.Totals)) {
		t := c.ledger.Totals[currency]
		same(c, "clearing in "+currency, t.Charged-t.Refunded, ours[currency])
		delete(ours, currency)
	}
	for currency, sum := range ours {
		c.find("clearing in %s: %d here, nothing there", currency, sum)
	}
	return nil
}

// givenBack compares refund by refund.
func (c *recount) givenBack(ctx context.Context, tx pgx.Tx) error {
	type refund struct {
		status string
		amount int64
	}
	ours := map[string]refund{}
	rows, _ := tx.Query(ctx, `SELECT refund_id, status, amount FROM refunds`)
	var (
		id string
		r  refund
	)
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.status, &r.amount}, func() error { ours[id] = r; return nil }); err != nil {
		return err
	}
	for _, r := range c.refunds {
		same(c, "refund "+r.ID, refund{r.Status, r.Amount}, ours[r.ID])
		delete(ours, r.ID)
	}
	for id := range ours {
		c.find("refund %s stands here and is unknown there", id)
	}
	return nil
}

// messages compares what the provider saw acknowledged with what is stored: all
// of it once, and nothing else.
func (c *recount) messages(ctx context.Context, tx pgx.Tx) error {
	acknowledged := map[string]bool{}
	for _, d := range c.deliveries {
		for _, a := range d.Attempts {
			if a.Status >= 200 && a.Status < 300 {
				acknowledged[d.Event] = true
			}
		}
	}
	rows, _ := tx.Query(ctx, `SELECT event_id, count(*)::int, bool_and(state IN ('done', 'ignored'))
		FROM inbox WHERE class <> 'reply' GROUP BY event_id`)
	var (
		event string
		n     int
		over  bool
	)
	_, err := pgx.ForEachRow(rows, []any{&event, &n, &over}, func() error {
		if !acknowledged[event] {
			c.find("event %s is stored, and the provider did not see it arrive", event)
		}
		same(c, "rows of event "+event, 1, n)
		if !over {
			c.find("event %s is not worked", event)
		}
		delete(acknowledged, event)
		return nil
	})
	for event := range acknowledged {
		c.find("event %s was acknowledged and is not stored", event)
	}
	return err
}

// claims compares the numbers of the report.
func (c *recount) claims(ctx context.Context, tx pgx.Tx, claimed Report) error {
	found := Orders{Created: len(c.orders), ByProvider: map[string]int{}}
	for _, o := range c.orders {
		if o.paid {
			found.Paid++
		}
		switch o.state {
		case "refunded":
			found.Refunded++
		case "review":
			found.Review++
		}
		if o.taken > 0 {
			found.ByProvider["stripe"]++ // the one provider that the stand-in stands in for
		}
	}
	same(c, "orders", fmt.Sprint(claimed.Orders), fmt.Sprint(found))

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
