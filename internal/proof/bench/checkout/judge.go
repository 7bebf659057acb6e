package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/bench"
)

// judge counts what both sides left and makes the report.
func (r *run) judge(ctx context.Context) error {
	promised := r.answers
	var err error
	if r.report.Orders, err = kept(ctx, r.db, promised); err != nil {
		return err
	}
	rows := map[Side]map[string]int{}
	for _, side := range []Side{SQLOnly, Raw, Ours} {
		if rows[side], err = rowsPerOrder(ctx, r.db, side); err != nil {
			return err
		}
	}
	for _, side := range []Side{SQLOnly, Raw} {
		if !maps.Equal(rows[side], rows[Ours]) {
			return fmt.Errorf("the sides do not write the same, so they cannot be compared: rows for an order are %v here and %v at %s", rows[Ours], rows[side], side)
		}
	}
	r.report.RowsPerOrder = rows[Ours]
	if r.report.Replayed, err = r.repeat(ctx); err != nil {
		return err
	}
	u, err := bench.Of(r.server.PID)
	if err != nil {
		return err
	}
	r.report.ServerRSS = bench.Round(float64(u.RSS)/1e6, 1)
	r.report.figures()
	return nil
}

// kept examines the orders that were promised, and that there are no others.
func kept(ctx context.Context, db *pgxpool.Pool, promised map[uuid.UUID]uuid.UUID) (int, error) {
	orders, buyers := make([]uuid.UUID, 0, len(promised)), make([]uuid.UUID, 0, len(promised))
	for o, g := range promised {
		orders, buyers = append(orders, o), append(buyers, g)
	}
	var all, good, twice int
	err := db.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM orders WHERE email LIKE $3 || '-%'),
		(SELECT count(*) FROM unnest($1::uuid[], $2::uuid[]) u(id, buyer)
			JOIN orders o ON o.id = u.id AND o.buyer_id = u.buyer AND o.state = 'awaiting_payment'
			JOIN idempotency_keys k ON k.actor_id = u.buyer AND k.operation = 'checkout' AND k.subject_id = o.id AND k.state = 'done' AND k.status = 201
			JOIN attempts a ON a.order_id = o.id AND a.provider_ref IS NOT NULL AND a.url <> ''),
		(SELECT count(*) FROM (SELECT FROM orders WHERE email LIKE $3 || '-%' GROUP BY buyer_id HAVING count(*) > 1) t)`,
		orders, buyers, string(Ours)).Scan(&all, &good, &twice)
	if err != nil {
		return 0, fmt.Errorf("count orders: %w", err)
	}
	if good != len(promised) || all != len(promised) || twice != 0 {
		return all, fmt.Errorf("%w: %d were promised, %d of them stand with page and answer, there are %d, and %d keys have several",
			ErrLost, len(promised), good, all, twice)
	}
	return all, nil
}

// ErrLost says that the orders in the database are not those that were promised.
var ErrLost = errors.New("orders are missing or there twice")

// rowsPerOrder is how many rows a side's orders have in each table, as a multiple
// of the orders. It fails when that is no whole number.
func rowsPerOrder(ctx context.Context, db *pgxpool.Pool, side Side) (map[string]int, error) {
	var orders int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM orders WHERE email LIKE $1 || '-%' AND state = 'awaiting_payment' AND version = 1`, string(side)).Scan(&orders); err != nil {
		return nil, err
	}
	if orders == 0 {
		return nil, fmt.Errorf("%w: %s made none", ErrLost, side)
	}
	out := map[string]int{}
	for table, sql := range map[string]string{
		"orders":           `SELECT count(*) FROM orders WHERE email LIKE $1 || '-%'`,
		"order_lines":      `SELECT count(*) FROM order_lines x JOIN orders o ON o.id = x.order_id WHERE o.email LIKE $1 || '-%'`,
		"reservations":     `SELECT count(*) FROM reservations x JOIN orders o ON o.id = x.order_id WHERE o.email LIKE $1 || '-%' AND x.released_at IS NULL`,
		"attempts":         `SELECT count(*) FROM attempts x JOIN orders o ON o.id = x.order_id WHERE o.email LIKE $1 || '-%' AND x.provider_ref IS NOT NULL`,
		"open_orders":      `SELECT count(*) FROM open_orders x JOIN orders o ON o.id = x.order_id WHERE o.email LIKE $1 || '-%'`,
		"order_history":    `SELECT count(*) FROM order_history x JOIN orders o ON o.id = x.order_id WHERE o.email LIKE $1 || '-%'`,
		"idempotency_keys": `SELECT count(*) FROM idempotency_keys x JOIN orders o ON o.id = x.subject_id WHERE o.email LIKE $1 || '-%' AND x.state = 'done'`,
	} {
		var n int
		if err := db.QueryRow(ctx, sql, string(side)).Scan(&n); err != nil {
			return nil, fmt.Errorf("count %s: %w", table, err)
		}
		if n%orders != 0 {
			return nil, fmt.Errorf("%w: %s has %d rows in %s for %d orders", ErrLost, side, n, table, orders)
		}
		out[table] = n / orders
	}
	return out, nil
}

// repeat sends some requests again: the same bytes come back and nothing is
// ordered.
func (r *run) repeat(ctx context.Context) (int, error) {
	c, err := dial(r.server.Listen)
	if err != nil {
		return 0, err
	}
	defer c.close()
	n := 0
	for _, g := range r.first[:min(repeats, len(r.first))] {
		status, body, err := c.send(r.stock.request(r.server.Listen, g.guest))
		if err != nil {
			return n, err
		}
		if status != http.StatusCreated || !bytes.Equal(body, g.body) {
			return n, fmt.Errorf("%w: a repeated request was answered %d %s instead of %s", ErrLost, status, body, g.body)
		}
		n++
	}
	if _, err := kept(ctx, r.db, r.answers); err != nil {
		return n, fmt.Errorf("after %d repeated requests: %w", n, err)
	}
	return n, nil
}
