package fulfil

import (
	"context"
	"fmt"

	"proofroom/internal/base/pg"
	"proofroom/internal/proof/bench/load"
)

// promise is what must hold after a run: a query that counts what breaks it,
// given the first and the last order of the run's batch.
type promise struct{ says, sql string }

// promises about the orders of a batch.
var promises = []promise{
	{"a paid order has one grant for each line, and no other order has any", `
		SELECT count(*) FROM orders o WHERE o.id BETWEEN $1 AND $2
		  AND (SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND e.revoked_at IS NULL AND e.shadowed_by IS NULL) <>
		      CASE WHEN o.state = 'paid' THEN (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id) ELSE 0 END`},
	{"a paid order is sold once, and no other order is", `
		SELECT count(*) FROM orders o WHERE o.id BETWEEN $1 AND $2
		  AND (SELECT count(*) FROM ledger_entries e WHERE e.order_id = o.id AND e.kind = 'sale' AND e.gross = o.gross) <> (o.state = 'paid')::int`},
	{"a paid order has one payment that a finished event stated", `
		SELECT count(*) FROM orders o WHERE o.id BETWEEN $1 AND $2
		  AND (SELECT count(*) FROM payments p JOIN inbox i ON i.id = p.inbox_id
		       WHERE p.order_id = o.id AND p.status = 'succeeded' AND p.amount = o.gross AND i.state = 'done') <> (o.state = 'paid')::int`},
	{"a paid order has one receipt and one entry in its history, and its buyer's reservations are over", `
		SELECT count(*) FROM orders o WHERE o.id BETWEEN $1 AND $2
		  AND ((SELECT count(*) FROM messages m WHERE m.order_id = o.id AND m.kind = 'receipt') <> (o.state = 'paid')::int
		    OR (SELECT count(*) FROM order_history h WHERE h.order_id = o.id AND h.state = 'paid') <> (o.state = 'paid')::int
		    OR (o.state = 'paid') = EXISTS (SELECT FROM reservations r WHERE r.order_id = o.id AND r.released_at IS NULL)
		    OR (o.state = 'paid') = EXISTS (SELECT FROM open_orders w WHERE w.order_id = o.id))`},
}

// sums are promises about the whole ledger.
var sums = []promise{
	{"an entry's postings add up to zero", `
		SELECT count(*) FROM (SELECT FROM ledger_postings GROUP BY entry_id, currency HAVING sum(amount) <> 0) e`},
	{"wallets are what the postings say", `
		SELECT count(*) FROM wallets w FULL JOIN (
		  SELECT a.creator_id, a.currency, -sum(p.amount) AS pending FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
		  WHERE a.kind = 'pending' GROUP BY a.creator_id, a.currency) s USING (creator_id, currency)
		WHERE coalesce(w.pending, 0) <> coalesce(s.pending, 0)`},
}

// effects counts what an order has more than once.
const effects = `
	SELECT coalesce(sum(greatest(n - 1, 0)), 0)::bigint FROM (
	  SELECT count(*) AS n FROM ledger_entries WHERE kind = 'sale' AND order_id BETWEEN $1 AND $2 GROUP BY order_id
	  UNION ALL SELECT count(*) FROM entitlements WHERE order_id BETWEEN $1 AND $2 GROUP BY line_id
	  UNION ALL SELECT count(*) FROM payments WHERE order_id BETWEEN $1 AND $2 AND status = 'succeeded' GROUP BY order_id
	  UNION ALL SELECT count(*) FROM messages WHERE kind = 'receipt' AND order_id BETWEEN $1 AND $2 GROUP BY order_id) e`

// Checked is what a run left in the database.
type Checked struct {
	Granted    int      `json:"granted"`    // paid orders of the run
	Done       int      `json:"done"`       // of its events, each counted once
	Lost       int      `json:"lost"`       // orders whose event was acknowledged and is not in the inbox
	Duplicates int      `json:"duplicates"` // effects beyond one
	Broken     []string `json:"broken"`     // promises that do not hold, in words
}

// check examines a set's orders, of which the acknowledged are known by number.
func check(ctx context.Context, db pg.DBTX, s load.Set, acked []int) (Checked, error) {
	c := Checked{Broken: []string{}}
	first, last := load.ID(load.KindOrder, s.Batch, s.First), load.ID(load.KindOrder, s.Batch, s.First+s.Count-1)
	if err := db.QueryRow(ctx, `SELECT count(*) FROM orders WHERE id BETWEEN $1 AND $2 AND state = 'paid'`, first, last).Scan(&c.Granted); err != nil {
		return c, fmt.Errorf("count what was granted: %w", err)
	}
	if err := db.QueryRow(ctx, effects, first, last).Scan(&c.Duplicates); err != nil {
		return c, fmt.Errorf("count effects: %w", err)
	}
	for _, group := range []struct {
		all  []promise
		args []any
	}{{promises, []any{first, last}}, {sums, nil}} {
		for _, p := range group.all {
			var n int
			if err := db.QueryRow(ctx, p.sql, group.args...).Scan(&n); err != nil {
				return c, fmt.Errorf("check that %s: %w", p.says, err)
			}
			if n > 0 {
				c.Broken = append(c.Broken, fmt.Sprintf("%d times it does not hold that %s", n, p.says))
			}
		}
	}
	objects := make([]string, len(acked))
	for i, n := range acked {
		objects[i] = s.Object(n)
	}
	// Index inbox_object.
	err := db.QueryRow(ctx, `SELECT count(*) FILTER (WHERE i.id IS NULL), count(*) FILTER (WHERE i.state = 'done')
		FROM unnest($1::text[]) u (object_id) LEFT JOIN inbox i ON i.object_id = u.object_id AND i.class IN ('fact', 'pointer')`, objects).Scan(&c.Lost, &c.Done)
	if err != nil {
		return c, fmt.Errorf("look for acknowledged events: %w", err)
	}
	if c.Done != c.Granted {
		c.Broken = append(c.Broken, fmt.Sprintf("%d events are done and %d orders are paid", c.Done, c.Granted))
	}
	return c, nil
}

// ok says whether the run counts.
func (c Checked) ok() bool { return c.Lost == 0 && c.Duplicates == 0 && len(c.Broken) == 0 }
