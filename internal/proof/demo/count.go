package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/twin"
)

// Witness is what only who drove the system has seen.
type Witness struct {
	Forged   []string       // events of forgeries that were refused
	Repeated map[string]int // acknowledgements of events sent once more, by event
}

// Count reads what the database and the provider know into a Report; the rest of
// it stays zero. Nothing may be under way.
func Count(ctx context.Context, pool *pgxpool.Pool, provider *twin.Control, w Witness) (Report, error) {
	var r Report
	tx, err := snapshot(ctx, pool)
	if err != nil {
		return r, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if r.Orders, err = countOrders(ctx, tx); err != nil {
		return r, err
	}
	err = tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM ledger_postings),
		(SELECT coalesce(sum(abs(off)), 0) FROM (SELECT sum(amount) AS off FROM ledger_postings GROUP BY entry_id, currency) e)`).
		Scan(&r.Ledger.Postings, &r.Ledger.Imbalance)
	if err != nil {
		return r, err
	}
	r.Webhooks, err = countWebhooks(ctx, tx, provider, w)
	return r, err
}

// snapshot begins a transaction that sees one moment and changes nothing.
func snapshot(ctx context.Context, pool *pgxpool.Pool) (pgx.Tx, error) {
	return pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
}

func countOrders(ctx context.Context, tx pgx.Tx) (Orders, error) {
	o := Orders{ByProvider: map[string]int{}}
	err := tx.QueryRow(ctx, `SELECT count(*), count(paid_at), count(*) FILTER (WHERE state = 'refunded'),
		count(*) FILTER (WHERE state = 'review') FROM orders`).Scan(&o.Created, &o.Paid, &o.Refunded, &o.Review)
	if err != nil {
		return o, err
	}
	rows, _ := tx.Query(ctx, `SELECT provider, count(DISTINCT order_id)::int FROM payments WHERE status = 'succeeded' GROUP BY provider`)
	var (
		provider string
		n        int
	)
	_, err = pgx.ForEachRow(rows, []any{&provider, &n}, func() error { o.ByProvider[provider] = n; return nil })
	return o, err
}

// arrival is when and how often an event was acknowledged.
type arrival struct {
	first time.Time
	times int
}

// arrivals reads from the provider's deliveries what was acknowledged.
func arrivals(ds []twin.DeliveryView) map[string]arrival {
	out := map[string]arrival{}
	for _, d := range ds {
		for _, a := range d.Attempts {
			if a.Status < 200 || a.Status >= 300 {
				continue
			}
			got := out[d.Event]
			if got.times++; got.times == 1 || a.At.Before(got.first) {
				got.first = a.At
			}
			out[d.Event] = got
		}
	}
	return out
}

func countWebhooks(ctx context.Context, tx pgx.Tx, provider *twin.Control, w Witness) (Webhooks, error) {
	var out Webhooks
	events, err := provider.Events(ctx, twin.EventFilter{})
	if err != nil {
		return out, err
	}
	deliveries, err := provider.Deliveries(ctx, twin.DeliveryFilter{})
	if err != nil {
		return out, err
	}
	stored, err := storedEvents(ctx, tx)
	if err != nil {
		return out, err
	}
	arrived := arrivals(deliveries)
	matters := func(event string) bool { return stored[event] == "fact" || stored[event] == "pointer" }

	overtaken := map[string]time.Time{} // by session: when the first of the later events came
	slices.Reverse(events)
	for _, ev := range events {
		got := arrived[ev.ID]
		times := got.times + w.Repeated[ev.ID]
		out.Received += times
		if !matters(ev.ID) {
			continue
		}
		out.Duplicates += max(0, times-1)
		if got.times == 0 {
			continue
		}
		later, any := overtaken[ev.Ref]
		if any && got.first.After(later) {
			out.OutOfOrder++
		}
		if !any || got.first.Before(later) {
			overtaken[ev.Ref] = got.first
		}
	}
	for _, id := range w.Forged {
		if _, there := stored[id]; !there {
			out.Forged++
		}
	}
	out.Dropped, err = countDropped(ctx, tx, provider, events, arrived)
	return out, err
}

// storedEvents is the class of each event that came as a webhook.
func storedEvents(ctx context.Context, tx pgx.Tx) (map[string]string, error) {
	rows, _ := tx.Query(ctx, `SELECT event_id, class FROM inbox WHERE class <> 'reply'`)
	out := map[string]string{}
	var id, class string
	_, err := pgx.ForEachRow(rows, []any{&id, &class}, func() error { out[id] = class; return nil })
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	return out, nil
}

// countDropped counts paid orders about which every message was lost.
func countDropped(ctx context.Context, tx pgx.Tx, provider *twin.Control, events []twin.EventView, arrived map[string]arrival) (int, error) {
	silent := map[string]bool{}
	for _, ev := range events {
		dropped := slices.Contains(ev.Faults, twin.Silence) && arrived[ev.ID].times == 0
		before, seen := silent[ev.Ref]
		silent[ev.Ref] = dropped && (before || !seen)
	}
	sessions, err := provider.Sessions(ctx, twin.SessionFilter{})
	if err != nil {
		return 0, err
	}
	var orders []string
	for _, s := range sessions {
		if silent[s.ID] {
			orders = append(orders, s.ClientReferenceID)
		}
	}
	var n int
	err = tx.QueryRow(ctx, `SELECT count(*) FROM orders WHERE paid_at IS NOT NULL AND id = ANY($1::uuid[])`, orders).Scan(&n)
	return n, err
}

// healed counts how the orders' payments became known, by who asked: "return"
// for a browser that came back, "poll" for the poller.
func healed(ctx context.Context, pool *pgxpool.Pool, orders []string) (map[string]int, error) {
	rows, _ := pool.Query(ctx, `SELECT CASE i.class WHEN 'reply' THEN i.event_type ELSE 'webhook' END, count(*)::int
		FROM payments p JOIN inbox i ON i.id = p.inbox_id WHERE p.order_id = ANY($1::uuid[]) GROUP BY 1`, orders)
	out := map[string]int{}
	var (
		by string
		n  int
	)
	_, err := pgx.ForEachRow(rows, []any{&by, &n}, func() error { out[by] = n; return nil })
	return out, err
}
