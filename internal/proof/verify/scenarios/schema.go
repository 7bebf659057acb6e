package scenarios

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// spec is a key of the schema, as two transactions meet it that both want to
// write the one row that there may be.
type spec struct {
	row   string // of the audit
	key   string // the constraint or index
	table string
	// insert writes a row that is the writer's, $1, of the one thing, $2. A row
	// that is there already stays.
	insert string
	// read finds whose the row of the thing is.
	read string
}

// specs work on copies of the tables, with the keys as they stand: what is written
// there means nothing to anybody.
var specs = []spec{
	{
		"S1", "uq_attempt_ref", "attempts",
		`INSERT INTO spec.attempts (id, order_id, ordinal, provider, account, provider_ref) VALUES ($1, $1, 1, 'paypal', 'main', $2::uuid::text) ON CONFLICT DO NOTHING`,
		`SELECT id FROM spec.attempts WHERE provider = 'paypal' AND account = 'main' AND provider_ref = $1::uuid::text`,
	},
	{
		"S1", "uq_payment", "payments",
		`INSERT INTO spec.payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, inbox_id)
		 VALUES ('stripe', 'main', $2::uuid::text, $1, $1, 'succeeded', 500, 'EUR', $1) ON CONFLICT DO NOTHING`,
		`SELECT order_id FROM spec.payments WHERE provider = 'stripe' AND account = 'main' AND payment_id = $1::uuid::text`,
	},
	{
		"S1", "uq_refund", "refunds",
		`INSERT INTO spec.refunds (provider, account, refund_id, order_id, payment_id, status, amount, currency, inbox_id)
		 VALUES ('stripe', 'main', $2::uuid::text, $1, 'pi', 'succeeded', 500, 'EUR', $1) ON CONFLICT DO NOTHING`,
		`SELECT order_id FROM spec.refunds WHERE provider = 'stripe' AND account = 'main' AND refund_id = $1::uuid::text`,
	},
	{
		"S2", "uq_entitlement_line", "entitlements",
		`INSERT INTO spec.entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, live_since, inbox_id, changed_id)
		 VALUES ($1, $2, $1, $1, 'photo', $1, $1, app_now(), $1, $1) ON CONFLICT DO NOTHING`,
		`SELECT id FROM spec.entitlements WHERE line_id = $1`,
	},
	{
		"S2", "uq_entitlement_photo", "entitlements",
		`INSERT INTO spec.entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, live_since, inbox_id, changed_id)
		 VALUES ($1, $1, $1, $2, 'photo', $2, $2, app_now(), $1, $1) ON CONFLICT DO NOTHING`,
		`SELECT id FROM spec.entitlements WHERE buyer_id = $1 AND photo_id = $1 AND revoked_at IS NULL AND shadowed_by IS NULL`,
	},
	{
		"S2", "uq_entitlement_event", "entitlements",
		`INSERT INTO spec.entitlements (id, line_id, order_id, buyer_id, kind, event_id, live_since, inbox_id, changed_id)
		 VALUES ($1, $1, $1, $2, 'event', $2, app_now(), $1, $1) ON CONFLICT DO NOTHING`,
		`SELECT id FROM spec.entitlements WHERE buyer_id = $1 AND event_id = $1 AND photo_id IS NULL AND revoked_at IS NULL AND shadowed_by IS NULL`,
	},
	{
		"S5", "uq_inbox_event", "inbox",
		`INSERT INTO spec.inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, ready)
		 VALUES ($1, 'paypal', 'main', $2::uuid::text, 'x', 'x', 'pointer', 'order', 'received', false) ON CONFLICT DO NOTHING`,
		`SELECT id FROM spec.inbox WHERE provider = 'paypal' AND account = 'main' AND event_id = $1::uuid::text`,
	},
}

// Two transactions write what there may be only one of, in every order of their
// statements, and with either of them giving up: one row stands, and whoever was
// refused finds the other's.
var s01 = verify.Scenario{
	ID: "S01", Title: "the schema's keys, in every order of two transactions", Severity: verify.High,
	Rows: []string{"S1", "S2", "S5"}, Build: verify.Release, Needs: []string{verify.Rounds, verify.Overlapping},
	Quick: 1, Full: 5, Bare: true,
	Run: func(ctx context.Context, w *verify.World) error {
		if w.Focus == "" {
			// So that there is something real as well.
			if _, err := sold(ctx, w, twin.PayRequest{}); err != nil {
				return err
			}
		}
		if err := copyTables(ctx, w); err != nil {
			return err
		}
		for range w.Rounds {
			for _, s := range specs {
				if w.Focus != "" && w.Focus != s.key {
					continue
				}
				if err := everyOrder(ctx, w, s); err != nil {
					return fmt.Errorf("%s %s: %w", s.row, s.key, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

func copyTables(ctx context.Context, w *verify.World) error {
	if _, err := w.DB.Exec(ctx, `CREATE SCHEMA spec`); err != nil {
		return err
	}
	for _, table := range []string{"attempts", "payments", "refunds", "entitlements", "inbox"} {
		if _, err := w.DB.Exec(ctx, `CREATE TABLE spec.`+table+` (LIKE public.`+table+` INCLUDING ALL)`); err != nil {
			return err
		}
	}
	return nil
}

// steps of one writer: it begins and inserts, reads what stands, and ends.
const steps = 3

func everyOrder(ctx context.Context, w *verify.World, s spec) error {
	two := make([]*writer, 2)
	for n := range two {
		c, err := w.DB.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		two[n] = &writer{conn: c, spec: s}
		if err := c.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&two[n].pid); err != nil {
			return err
		}
	}
	// Nobody gives up, or one of them rolls back. In all orders that is each of them.
	for _, gives := range []int{-1, 0} {
		for _, order := range orders(nil, 0, 0) {
			if err := meeting(ctx, w, s, two, order, gives); err != nil {
				return fmt.Errorf("order %v, %d gives up: %w", order, gives, err)
			}
		}
	}
	return nil
}

// orders are all orders in which two writers can take their steps.
func orders(so []int, one, other int) [][]int {
	if one == steps && other == steps {
		return [][]int{append([]int{}, so...)}
	}
	var out [][]int
	if one < steps {
		out = append(out, orders(append(so, 0), one+1, other)...)
	}
	if other < steps {
		out = append(out, orders(append(so, 1), one, other+1)...)
	}
	return out
}

// writer is one of two transactions.
type writer struct {
	conn *pgxpool.Conn
	pid  int
	spec spec

	me, thing  uuid.UUID
	tx         pgx.Tx
	next       int
	found      uuid.UUID // whose row it read
	gives      bool
	busy       chan error // a step that is under way
	begun, end time.Time
}

// step begins the writer's next step and waits until it is done or waits for the
// other one.
func (wr *writer) step(ctx context.Context, w *verify.World) error {
	if wr.busy == nil {
		if wr.over() {
			return nil
		}
		done := make(chan error, 1)
		wr.busy = done
		n := wr.next
		wr.next++
		go func() { done <- wr.do(ctx, n) }()
	}
	for {
		select {
		case err := <-wr.busy:
			wr.busy = nil
			return err
		case <-time.After(time.Millisecond):
			waits, err := w.Int(ctx, `SELECT cardinality(pg_blocking_pids($1))`, wr.pid)
			if err != nil || waits > 0 {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// over reports whether the writer has taken all its steps.
func (wr *writer) over() bool { return wr.next == steps && wr.busy == nil }

func (wr *writer) do(ctx context.Context, step int) (err error) {
	switch step {
	case 0:
		wr.begun = time.Now()
		if wr.tx, err = wr.conn.Begin(ctx); err != nil {
			return err
		}
		_, err = wr.tx.Exec(ctx, wr.spec.insert, wr.me, wr.thing)
		return err
	case 1:
		rows, _ := wr.tx.Query(ctx, wr.spec.read, wr.thing)
		all, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		for _, whose := range all {
			wr.found = whose
		}
		return err
	}
	wr.end = time.Now()
	if wr.gives {
		return wr.tx.Rollback(ctx)
	}
	return wr.tx.Commit(ctx)
}

func meeting(ctx context.Context, w *verify.World, s spec, two []*writer, order []int, gives int) error {
	thing := id.New()
	for n, wr := range two {
		*wr = writer{conn: wr.conn, pid: wr.pid, spec: s, me: id.New(), thing: thing, gives: n == gives}
	}
	for _, n := range order {
		if err := two[n].step(ctx, w); err != nil {
			return err
		}
	}
	// Whoever had to wait takes the steps that are left.
	for !two[0].over() || !two[1].over() {
		for _, wr := range two {
			if err := wr.step(ctx, w); err != nil {
				return err
			}
		}
	}
	w.Span(thing.String(), two[0].begun, two[0].end)
	w.Span(thing.String(), two[1].begun, two[1].end)
	rows, _ := w.DB.Query(ctx, s.read, thing)
	stand, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	if len(stand) != 1 {
		w.Found(verify.CheckKeys, "%s: %d rows stand after %v", s.key, len(stand), order)
		return nil
	}
	for n, wr := range two {
		if wr.gives {
			continue
		}
		// A loser that has read while the winner could still give up has waited, so
		// what it read stands.
		if wr.found != stand[0] {
			return fmt.Errorf("writer %d read %s, and %s stands", n, wr.found, stand[0])
		}
	}
	return nil
}
