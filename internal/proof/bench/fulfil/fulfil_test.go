package fulfil

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/settle"
	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
	"proofroom/internal/testkit/pgtest"
)

// workshop is a lab without processes, in the test's own database.
func workshop(t *testing.T) *lab {
	t.Helper()
	l := &lab{url: pgtest.New(t).URL, dir: t.TempDir()}
	require.NoError(t, l.furnish(t.Context()))
	t.Cleanup(l.db.Close)
	return l
}

func (l *lab) text(t *testing.T, sql string, args ...any) (out []string) {
	t.Helper()
	rows, err := l.db.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	for rows.Next() {
		values, err := rows.Values()
		require.NoError(t, err)
		out = append(out, fmt.Sprint(values...))
	}
	require.NoError(t, rows.Err())
	return out
}

// What SQL and Go derive from an order's number is the same.
func TestIDsAgree(t *testing.T) {
	t.Parallel()
	l := workshop(t)
	s := load.Set{Batch: 711, First: 3, Count: 30, Mixed: true}
	require.NoError(t, l.seed(t.Context(), s, false, func(int) {}))
	for _, n := range s.Numbers() {
		got := l.text(t, `SELECT a.provider || ' ' || a.provider_ref || ' ' || o.email || ' ' || o.gross || ' ' || (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id)
			FROM orders o JOIN attempts a ON a.order_id = o.id WHERE o.id = $1 AND a.id = $2`,
			load.ID(load.KindOrder, s.Batch, n), load.ID(load.KindAttempt, s.Batch, n))
		require.Equal(t, []string{fmt.Sprint(s.Provider(n), " ", s.Ref(n), " ", s.Email(n), " ", load.Gross(n), " ", load.Gross(n)/load.Price)}, got)
	}
	s.Mixed = false
	require.Equal(t, []string{s.EventID(7) + s.PaymentID(7)}, l.text(t,
		`SELECT 'evt_' || bench.scattered('evt', 711, 7, 24) || 'pi_' || bench.scattered('pi', 711, 7, 24)`))
}

// written describes, table by table, what belongs to the orders of a batch, with
// everything that tells one order from another or one moment from another left out.
var written = map[string]string{
	"orders":       `SELECT o.state, o.review, o.refunded, o.version, o.paid_at IS NOT NULL, o.gross, o.commission FROM orders o WHERE o.id = ANY($1)`,
	"lines":        `SELECT count(*), sum(price), sum(commission) FROM order_lines WHERE order_id = ANY($1)`,
	"attempts":     `SELECT provider, account, provider_ref IS NOT NULL, status, watch_until IS NULL FROM attempts WHERE order_id = ANY($1)`,
	"payments":     `SELECT provider, account, left(payment_id, 3), length(payment_id), status, amount, currency, fee FROM payments WHERE order_id = ANY($1)`,
	"history":      `SELECT seq, state, cause_kind FROM order_history WHERE order_id = ANY($1)`,
	"reservations": `SELECT released_at IS NOT NULL FROM reservations WHERE order_id = ANY($1)`,
	"open_orders":  `SELECT count(*) FROM open_orders WHERE order_id = ANY($1)`,
	"entitlements": `SELECT e.kind, e.live_since IS NOT NULL, e.frozen_at, e.revoked_at, e.shadowed_by, e.changed_kind, e.changed_id = e.inbox_id,
		(SELECT count(*) FROM inbox i WHERE i.id = e.inbox_id) FROM entitlements e WHERE order_id = ANY($1)`,
	"entries": `SELECT left(key, 20), length(key), kind, gross, currency, undoes, dispute, cause_kind FROM ledger_entries WHERE order_id = ANY($1)`,
	"postings": `SELECT p.seq, a.kind, a.provider, a.account, p.amount, p.currency, a.creator_id = o.creator_id
		FROM ledger_entries e JOIN orders o ON o.id = e.order_id JOIN ledger_postings p ON p.entry_id = e.id JOIN ledger_accounts a ON a.id = p.account_id WHERE e.order_id = ANY($1)`,
	"messages": `SELECT kind, length(recipient), replace(message_id, order_id::text, 'ORDER') FROM messages WHERE order_id = ANY($1)`,
	"inbox": `SELECT i.provider, i.account, left(i.event_id, 4), length(i.event_id), i.object_id = a.provider_ref, i.event_type, i.class, i.applier, i.state,
		i.ready, i.again, i.term, i.seq, i.note, length(i.headers), length(i.body) BETWEEN 2600 AND 2640, length(i.facts) BETWEEN 437 AND 439, i.said_at IS NOT NULL
		FROM inbox i JOIN payments p ON p.inbox_id = i.id JOIN attempts a ON a.id = p.attempt_id WHERE p.order_id = ANY($1)`,
}

// picture is what was written for a set, and how many rows all tables have got.
func (l *lab) picture(t *testing.T, s load.Set) map[string][]string {
	t.Helper()
	var ids []string
	for _, n := range s.Numbers() {
		ids = append(ids, load.ID(load.KindOrder, s.Batch, n).String())
	}
	out := map[string][]string{}
	for name, sql := range written {
		rows := l.text(t, sql, ids)
		slices.Sort(rows)
		out[name] = rows
	}
	return out
}

// counts has the number of rows of every table.
func (l *lab) counts(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range l.text(t, `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`) {
		out[name] = l.text(t, `SELECT count(*) FROM `+name)[0]
	}
	return out
}

// growth is by how much tables have grown.
func growth(t *testing.T, before, after map[string]string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for name := range maps.Keys(after) {
		var a, b int
		_, err := fmt.Sscan(before[name], &a)
		require.NoError(t, err)
		_, err = fmt.Sscan(after[name], &b)
		require.NoError(t, err)
		if a != b {
			out[name] = b - a
		}
	}
	return out
}

// fuse has the events of a set fulfilled with their receipts, as the server does.
func (l *lab) fuse(t *testing.T, s load.Set) {
	t.Helper()
	adapter, err := stripe.New(stripe.Config{Account: load.Account, SecretKey: load.StripeKey, WebhookSecrets: []string{load.StripeSecret}})
	require.NoError(t, err)
	pool, err := openPool(t.Context(), l.url, pg.AppRole, 4)
	require.NoError(t, err)
	defer pool.Close()
	r := inbox.NewReceiver(pool, slog.New(slog.DiscardHandler), &inbox.AtOnce{Pool: pool, By: map[string]payment.Fulfiller{
		payment.ApplierOrder: settle.New(ledger.New(), outbox.Store{Host: "localhost"}, noJobs{}),
	}}, func() {})
	var wg sync.WaitGroup
	for _, e := range s.Stripe(time.Now()) {
		receipt, err := adapter.Verify(t.Context(), time.Now(), e.Header, e.Body)
		require.NoError(t, err)
		wg.Go(func() {
			fresh, err := r.Receive(t.Context(), payment.Row{
				ID: id.New(), Provider: load.Stripe, Account: load.Account, Receipt: receipt, Header: e.Header, Body: e.Body,
			})
			if err != nil || !fresh {
				t.Errorf("an event was not received: fresh %t, %v", fresh, err)
			}
		})
	}
	wg.Wait()
	r.Close()
}

// The floor writes what the server writes, row by row, whether it settles orders
// with the receipts of their events or after them, and history is what all leave.
func TestTheFloorIsNoCheaper(t *testing.T) {
	t.Parallel()
	l := workshop(t)
	ctx := t.Context()
	var sets [4]load.Set
	for i := range sets {
		sets[i] = l.set(40, false, false)
		require.NoError(t, l.seed(ctx, sets[i], i == 2, func(int) {}))
	}
	start := l.counts(t)
	cmd, err := l.floorCommand(ctx, sets[0])
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	floored := l.counts(t)
	require.NoError(t, l.receive(ctx, sets[1]))
	require.NoError(t, l.apply(ctx))
	require.Equal(t, growth(t, start, floored), growth(t, floored, l.counts(t)), "both add as many rows to every table")

	drained := l.counts(t)
	l.fuse(t, sets[3])
	require.Equal(t, growth(t, start, floored), growth(t, drained, l.counts(t)))

	_, err = l.db.Exec(ctx, `SELECT bench.settle_wallets()`)
	require.NoError(t, err)
	ours := l.picture(t, sets[1])
	require.Len(t, ours["postings"], 120)
	require.Len(t, ours["entitlements"], 120)
	floor := l.picture(t, sets[0])
	require.Equal(t, ours, floor)
	require.Equal(t, ours, l.picture(t, sets[2]))
	require.Equal(t, ours, l.picture(t, sets[3]))
	for _, s := range sets {
		c, err := check(ctx, l.db, s, s.Numbers())
		require.NoError(t, err)
		require.Equal(t, Checked{Granted: 40, Done: 40, Broken: []string{}}, c)
	}
}

// Every promise of the checks fails when it is broken behind the guards' back.
func TestChecksCanFail(t *testing.T) {
	t.Parallel()
	l := workshop(t)
	ctx := t.Context()
	s := l.set(20, false, false)
	require.NoError(t, l.seed(ctx, s, true, func(int) {}))
	_, err := l.db.Exec(ctx, `SELECT bench.settle_wallets()`)
	require.NoError(t, err)
	order, attempt := load.ID(load.KindOrder, s.Batch, 4), load.ID(load.KindAttempt, s.Batch, 4)
	for name, tt := range map[string]struct {
		sql  string
		says string // in what is broken; empty: lost or twice
	}{
		"a grant is gone":        {`DELETE FROM entitlements WHERE line_id = (SELECT id FROM order_lines WHERE order_id = $1 AND ordinal = 2)`, "one grant for each line"},
		"a grant gave way":       {`UPDATE entitlements SET shadowed_by = gen_random_uuid() WHERE order_id = $1`, "one grant for each line"},
		"a sale is gone":         {`DELETE FROM ledger_entries WHERE order_id = $1`, "is sold once"},
		"a payment is another":   {`UPDATE payments SET amount = amount + 1 WHERE order_id = $1`, "one payment"},
		"a receipt is gone":      {`DELETE FROM messages WHERE order_id = $1`, "one receipt"},
		"it is watched on":       {`INSERT INTO open_orders VALUES ($1, 0, now())`, "reservations are over"},
		"it is reserved on":      {`UPDATE reservations SET released_at = NULL WHERE order_id = $1`, "reservations are over"},
		"a posting is another":   {`UPDATE ledger_postings SET amount = amount + 1 WHERE seq = 0 AND entry_id = (SELECT id FROM ledger_entries WHERE order_id = $1)`, "add up to zero"},
		"a wallet is another":    {`UPDATE wallets SET pending = pending + 1 WHERE creator_id = (SELECT creator_id FROM orders WHERE id = $1)`, "wallets are what"},
		"an event is not done":   {`UPDATE inbox SET state = 'dead' WHERE id = (SELECT inbox_id FROM payments WHERE order_id = $1)`, "events are done"},
		"a state is another":     {`UPDATE orders SET state = 'review' WHERE id = $1`, "events are done and"},
		"an event is lost":       {`DELETE FROM inbox WHERE id = (SELECT inbox_id FROM payments WHERE order_id = $1)`, "events are done"},
		"it was sold twice":      {`DROP INDEX uq_ledger_sale; INSERT INTO ledger_entries SELECT gen_random_uuid(), key || '!', kind, order_id, gross, currency, undoes, dispute, cause_kind, cause_id FROM ledger_entries WHERE order_id = '` + order.String() + `'`, "is sold once"},
		"another told the money": {`INSERT INTO payments SELECT provider, account, payment_id || '!', order_id, '` + attempt.String() + `', status, amount, currency, fee, inbox_id FROM payments WHERE order_id = $1`, "one payment"},
	} {
		conn, err := l.db.Acquire(ctx)
		require.NoError(t, err)
		// The checks see it as the breaker's own transaction does; then it is undone.
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, `SET LOCAL session_replication_role = replica`)
		require.NoError(t, err)
		if strings.Contains(tt.sql, ";") {
			_, err = tx.Exec(ctx, tt.sql)
		} else {
			_, err = tx.Exec(ctx, tt.sql, order)
		}
		require.NoError(t, err, name)
		c, err := check(ctx, tx, s, s.Numbers())
		require.NoError(t, err, name)
		require.False(t, c.ok(), name)
		require.Contains(t, strings.Join(c.Broken, "\n"), tt.says, name)
		if name == "an event is lost" {
			require.Equal(t, 1, c.Lost)
		}
		if name == "it was sold twice" || name == "another told the money" {
			require.Equal(t, 1, c.Duplicates)
		}
		require.NoError(t, tx.Rollback(ctx))
		conn.Release()
	}
	c, err := check(ctx, l.db, s, s.Numbers())
	require.NoError(t, err)
	require.True(t, c.ok())
}

// A report has medians of the rounds, at the better number of clients, and none
// of what does not count.
func TestReport(t *testing.T) {
	t.Parallel()
	rounds := func() *Report {
		r := newReport(Options{Clients: []int{32, 64}, Events: 100, History: 10})
		add := func(side string, clients int, rates ...float64) {
			for _, x := range rates {
				r.Rounds = append(r.Rounds, Round{Side: side, Clients: clients, PerS: x, RSS: 50, Checked: Checked{Granted: 90}, CPU: CPU{Database: 100, Server: 100}})
			}
		}
		add(SideFloor, floorClients, 1000, 1200, 1100)
		add(SideStripe, 32, 1700, 1600)
		add(SideStripe, 64, 2200, 2200)
		add(SideMixed, 32, 550)
		add(SideHot, 64, 1100)
		add(SideOpen, openClients, 1540)
		add(SideDrain, 1, 3000)
		add(stripeEmpty, 64, 2000)
		add(stripeHistory, 64, 1900)
		add(storedEmpty, 64, 3000)
		add(storedHistory, 64, 2700)
		r.Rounds[len(r.Rounds)-6].AckP99 = 12.5
		r.Rounds[3].Facts = map[string]int{"fulfilled": 60, "left": 20, "failed": 10, "known": 10}
		return r
	}
	r := rounds()
	require.NoError(t, r.finish())
	require.True(t, r.OK)
	require.InDelta(t, 0.5, *r.Ratio, 0)
	require.InDelta(t, 2, *r.StripeOnlyRatio, 0)
	require.InDelta(t, 1100, *r.FloorPerS, 0)
	require.InDelta(t, 550, *r.FulfilledPerS, 0)
	require.InDelta(t, 3000, *r.CeilingPerS, 0)
	require.InDelta(t, 0.5, r.Hot.Relative, 0)
	require.InDelta(t, 0.95, *r.History.Relative, 0)
	require.InDelta(t, 0.9, *r.History.DrainRelative, 0)
	require.InDelta(t, 12.5, *r.AckP99, 0)
	require.Equal(t, 30, r.Fallbacks)
	require.Equal(t, map[string]int{"stripe": 30, "paypal": 30, "flutterwave": 30}, r.Settings.PerProvider)

	for name, spoil := range map[string]func(*Round){
		"disturbed": func(x *Round) { x.Void = true },
		"lost":      func(x *Round) { x.Lost = 1 },
		"twice":     func(x *Round) { x.Duplicates = 1 },
		"broken":    func(x *Round) { x.Broken = []string{"something"} },
	} {
		r := rounds()
		spoil(&r.Rounds[2])
		require.ErrorIs(t, r.finish(), bench.ErrVoid, name)
		require.False(t, r.OK, name)
		require.Equal(t, name == "disturbed", r.StripeOnlyRatio != nil, "%s: no figure of what broke a promise", name)
		var out strings.Builder
		require.NoError(t, r.WriteTable(&out))
		require.Contains(t, out.String(), map[bool]string{true: "VOID", false: "BROKEN"}[name == "disturbed"])
	}
	none := newReport(Options{Clients: []int{8}, Events: 100})
	require.NoError(t, none.finish())
	require.Nil(t, none.Ratio, "what was not measured is not told")
}

// A wait that does not end is told.
func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	l := workshop(t)
	require.NoError(t, l.await(t.Context()))
	s := l.set(8, false, false)
	require.NoError(t, l.seed(t.Context(), s, false, func(int) {}))
	require.NoError(t, l.receive(t.Context(), s))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, l.await(ctx))
}
