package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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

// Count reads what the database and the providers know into a Report; the rest of
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
	// Surplus is money that was not asked back by anybody, of an order that is
	// paid by another payment, or whose lines its buyer had already.
	err = tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM ledger_postings),
		(SELECT coalesce(sum(abs(off)), 0) FROM (SELECT sum(amount) AS off FROM ledger_postings GROUP BY entry_id, currency) e),
		(SELECT count(*) FROM disputes),
		(SELECT count(*) FROM decisions WHERE subject = 'late'),
		(SELECT count(*) FROM refund_requests q JOIN refunds r ON r.request_id = q.id AND r.status = 'succeeded'
			WHERE q.kind IN ('surplus', 'covered') AND q.cause_kind = 'inbox')`).
		Scan(&r.Ledger.Postings, &r.Ledger.Imbalance, &r.Disputes, &r.Late, &r.Surplus)
	if err != nil {
		return r, err
	}
	events, err := namedEvents(ctx, provider)
	if err != nil {
		return r, err
	}
	deliveries, err := provider.Deliveries(ctx, twin.DeliveryFilter{})
	if err != nil {
		return r, err
	}
	if r.Webhooks, err = countWebhooks(ctx, tx, events, arrivals(deliveries), w); err != nil {
		return r, err
	}
	silent, err := silentOrders(ctx, tx, provider, events, arrivals(deliveries))
	if err != nil {
		return r, err
	}
	r.Dropped = len(silent)
	by, err := healed(ctx, tx, silent)
	r.HealedByPoller = by["poll"]
	return r, err
}

// snapshot begins a transaction that sees one moment and changes nothing.
func snapshot(ctx context.Context, pool *pgxpool.Pool) (pgx.Tx, error) {
	return pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
}

func countOrders(ctx context.Context, tx pgx.Tx) (Orders, error) {
	o := Orders{ByProvider: map[string]int{}}
	err := tx.QueryRow(ctx, `SELECT count(*), count(paid_at), count(*) FILTER (WHERE state = 'refunded'),
		count(*) FILTER (WHERE state = 'partially_refunded'), count(*) FILTER (WHERE state = 'review') FROM orders`).
		Scan(&o.Created, &o.Paid, &o.Refunded, &o.Partly, &o.Review)
	if err != nil {
		return o, err
	}
	rows, _ := tx.Query(ctx, `SELECT p.provider, count(DISTINCT o.id)::int FROM payments p JOIN orders o ON o.id = p.order_id
		WHERE p.status = 'succeeded' AND o.paid_at IS NOT NULL GROUP BY p.provider`)
	var (
		provider string
		n        int
	)
	_, err = pgx.ForEachRow(rows, []any{&provider, &n}, func() error { o.ByProvider[provider] = n; return nil })
	return o, err
}

// event is an event of a provider's, with the name under which it is stored.
type event struct {
	twin.EventView
	name string
}

// namedEvents lists all events, oldest first.
func namedEvents(ctx context.Context, provider *twin.Control) ([]event, error) {
	views, err := provider.Events(ctx, twin.EventFilter{})
	if err != nil {
		return nil, err
	}
	out := make([]event, len(views))
	for i, v := range views {
		out[i] = event{v, v.Provider + " " + v.ID}
		if v.Provider != twin.Flutterwave {
			continue
		}
		whole, err := provider.Event(ctx, v.ID)
		if err != nil {
			return nil, err
		}
		out[i].name = v.Provider + " " + flutterwaveName(whole.Body)
	}
	return out, nil
}

// flutterwaveName names an event of Flutterwave's, which have no id, by what it
// says of what.
func flutterwaveName(body string) string {
	var ev struct {
		Event string `json:"event"`
		Data  struct {
			ID     json.Number `json:"id"`
			Status string      `json:"status"`
		} `json:"data"`
	}
	_ = json.Unmarshal([]byte(body), &ev) // the stand-in's own: where it cannot be read, no row has its name
	sum := sha256.Sum256([]byte(strings.Join([]string{"flw3", accountName, ev.Event, ev.Data.ID.String(), ev.Data.Status}, "|")))
	return hex.EncodeToString(sum[:])
}

// arrival is when and how often an event was acknowledged.
type arrival struct {
	first time.Time
	times int
}

// arrivals reads from the providers' deliveries what was acknowledged, by event.
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

func countWebhooks(ctx context.Context, tx pgx.Tx, events []event, arrived map[string]arrival, w Witness) (Webhooks, error) {
	var out Webhooks
	stored, err := storedEvents(ctx, tx)
	if err != nil {
		return out, err
	}
	overtaken := map[string]time.Time{} // by page: when the first of the later events came
	for _, ev := range slices.Backward(events) {
		got := arrived[ev.ID]
		times := got.times + w.Repeated[ev.ID]
		out.Received += times
		if class := stored[ev.name]; class != "fact" && class != "pointer" {
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
	// A forgery of Flutterwave's has no id to be stored under; the recount finds
	// rows that no message of a provider's explains.
	for _, id := range w.Forged {
		there := func(p string) bool { _, ok := stored[p+" "+id]; return ok }
		if !slices.ContainsFunc(providers, there) {
			out.Forged++
		}
	}
	return out, nil
}

// storedEvents is the class of each event that came as a webhook, by name.
func storedEvents(ctx context.Context, tx pgx.Tx) (map[string]string, error) {
	rows, _ := tx.Query(ctx, `SELECT provider || ' ' || event_id, class FROM inbox WHERE class <> 'reply'`)
	out := map[string]string{}
	var name, class string
	_, err := pgx.ForEachRow(rows, []any{&name, &class}, func() error { out[name] = class; return nil })
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	return out, nil
}

// silentOrders are paid orders about which every message was lost.
func silentOrders(ctx context.Context, tx pgx.Tx, provider *twin.Control, events []event, arrived map[string]arrival) ([]string, error) {
	silent := map[string]bool{}
	for _, ev := range events {
		dropped := slices.Contains(ev.Faults, twin.Silence) && arrived[ev.ID].times == 0
		before, seen := silent[ev.Ref]
		silent[ev.Ref] = dropped && (before || !seen)
	}
	pages, err := provider.Pages(ctx, twin.PageFilter{})
	if err != nil {
		return nil, err
	}
	var attempts []string
	for _, p := range pages {
		if silent[p.Ref] {
			attempts = append(attempts, p.AttemptID)
		}
	}
	rows, _ := tx.Query(ctx, `SELECT DISTINCT o.id::text FROM orders o JOIN attempts a ON a.order_id = o.id
		WHERE o.paid_at IS NOT NULL AND a.id = ANY($1::uuid[])`, attempts)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// healed counts how the orders' payments became known, by who asked first:
// "return" for a browser that came back, "poll" for the poller, "webhook" where
// nobody had to ask.
func healed(ctx context.Context, db querier, orders []string) (map[string]int, error) {
	rows, _ := db.Query(ctx, `SELECT CASE WHEN known.class <> 'reply' THEN 'webhook' ELSE asked.event_type END, count(*)::int
		FROM payments p JOIN attempts a ON a.id = p.attempt_id JOIN inbox known ON known.id = p.inbox_id
		CROSS JOIN LATERAL (SELECT i.event_type FROM inbox i
			WHERE i.provider = a.provider AND i.object_id = a.provider_ref AND i.class = 'reply' ORDER BY i.id LIMIT 1) asked
		WHERE p.order_id = ANY($1::uuid[]) GROUP BY 1`, orders)
	out := map[string]int{}
	var (
		by string
		n  int
	)
	_, err := pgx.ForEachRow(rows, []any{&by, &n}, func() error { out[by] = n; return nil })
	return out, err
}
