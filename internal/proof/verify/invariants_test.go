package verify

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

// uid makes a readable id: uid(3) is 00000000-0000-0000-0000-000000000003.
func uid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

// What the hand-made world below holds, by number.
const (
	creator, operator, guest, event, photo, order, line, attempt = 1, 2, 3, 4, 5, 6, 7, 8
	fact, request, audit, entry, back, grant                     = 9, 10, 11, 12, 13, 14
	freeOrder, freeLine, freeFact, freeGrant, freeAttempt        = 15, 16, 17, 18, 19
	refundFact, nobody, refundedOrder, refundedLine              = 20, 21, 22, 23
	refundedAttempt, refundedFact, refundedEntry, refundedGrant  = 24, 25, 26, 27
)

// good is a small installation at rest in which everything holds: a paid order,
// a free one, and one that was paid and given back.
var good = []string{
	`INSERT INTO accounts (id, email, name, password_hash, roles) VALUES
	  ('` + uid(creator) + `', 'c@example.com', 'C', 'x', '{creator}'), ('` + uid(operator) + `', 'o@example.com', 'O', 'x', '{operator}')`,
	`INSERT INTO guest_sessions (id, token_hash, expires_at) VALUES ('` + uid(guest) + `', 'x', now() + interval '1 day')`,
	`INSERT INTO events (id, creator_id, slug, title, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at, price_photo)
	  VALUES ('` + uid(event) + `', '` + uid(creator) + `', 'run', 'Run', 'EUR', 1500, 'UTC', '2026-01-01', '2026-01-02', '2026-01-01', '2026-01-02', 500)`,
	`INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
	  VALUES ('` + uid(photo) + `', '` + uid(event) + `', '` + uid(creator) + `', sha256('p'), 'p.jpg', 'ready', 10, 10)`,
	anOrder(order, line, attempt, fact, grant, "paid", 500, "pi_1", "stripe"),
	anEntry(entry, "sale:stripe:main:pi_1", "sale", order, fact, 500, `('clearing', 500), ('pending', -425), ('revenue', -75)`),
	`INSERT INTO idempotency_keys (actor_id, operation, key, fingerprint, state, lease_until, subject_id, status, body)
	  VALUES ('` + uid(guest) + `', 'checkout', 'k', 'f', 'done', now(), '` + uid(order) + `', 201,
	  '{"order_id": "` + uid(order) + `", "state": "awaiting_payment", "total": 500, "currency": "EUR", "url": "https://pay/1"}')`,
	anOrder(freeOrder, freeLine, freeAttempt, freeFact, freeGrant, "paid", 0, "free_1", "free"),
	anOrder(refundedOrder, refundedLine, refundedAttempt, refundedFact, refundedGrant, "refunded", 500, "pi_2", "stripe"),
	anEntry(refundedEntry, "sale:stripe:main:pi_2", "sale", refundedOrder, refundedFact, 500, `('clearing', 500), ('pending', -425), ('revenue', -75)`),
	`INSERT INTO audit_log (id, account_id, action, subject) VALUES ('` + uid(audit) + `', '` + uid(operator) + `', 'refund', 'order')`,
	`INSERT INTO refund_requests (id, order_id, provider, account, payment_id, amount, currency, kind, line_ids, cause_kind, cause_id, state)
	  VALUES ('` + uid(request) + `', '` + uid(refundedOrder) + `', 'stripe', 'main', 'pi_2', 500, 'EUR', 'sale', '{` + uid(refundedLine) + `}', 'audit', '` + uid(audit) + `', 'answered')`,
	aFact(refundFact, "evt_r"),
	`INSERT INTO refunds (provider, account, refund_id, order_id, payment_id, request_id, status, amount, currency, inbox_id)
	  VALUES ('stripe', 'main', 're_1', '` + uid(refundedOrder) + `', 'pi_2', '` + uid(request) + `', 'succeeded', 500, 'EUR', '` + uid(refundFact) + `')`,
	anEntry(back, "refund:stripe:main:re_1", "refund", refundedOrder, refundFact, 500, `('clearing', -500), ('pending', 425), ('revenue', 75)`),
	`UPDATE entitlements SET revoked_at = now(), changed_kind = 'audit', changed_id = '` + uid(audit) + `' WHERE id = '` + uid(refundedGrant) + `'`,
	`INSERT INTO wallets (creator_id, currency, pending) VALUES ('` + uid(creator) + `', 'EUR', 425)`,
}

func aFact(id int, event string) string {
	return `INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, done_at)
	  VALUES ('` + uid(id) + `', 'stripe', 'main', '` + event + `', 'o', 't', 'fact', 'order', 'done', '[]', true, now())`
}

// anOrder is a paid order with one line, its payment, grant and receipt.
func anOrder(id, line, attempt, fact, grant int, state string, gross int, payment, provider string) string {
	account := map[string]string{"stripe": "main", "free": "free"}[provider]
	return fmt.Sprintf(`
	WITH o AS (
	  INSERT INTO orders (id, event_id, creator_id, buyer_guest, currency, gross, commission, cart, state, refunded, version, paid_at)
	  VALUES ('%[1]s', '%[2]s', '%[3]s', '%[4]s', 'EUR', %[5]d, %[5]d * 15 / 100, 'c', '%[6]s', CASE '%[6]s' WHEN 'refunded' THEN %[5]d ELSE 0 END, 2, now())
	), i AS (%[7]s
	), h AS (
	  INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id) VALUES
	    ('%[1]s', 1, 'awaiting_payment', 'checkout', '%[1]s'), ('%[1]s', 2, 'paid', 'inbox', '%[8]s')
	), m AS (
	  INSERT INTO messages (id, order_id, kind, recipient, message_id, inbox_id) VALUES ('%[1]s', '%[1]s', 'receipt', 'a@example.com', '%[1]s', '%[8]s')
	)
	SELECT 1;
	INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
	  VALUES ('%[9]s', '%[1]s', 1, 'photo', '%[2]s', '%[10]s', 'p.jpg', %[5]d, %[5]d * 15 / 100);
	INSERT INTO attempts (id, order_id, ordinal, provider, account, provider_ref, url, status, expires_at)
	  VALUES ('%[11]s', '%[1]s', 1, '%[12]s', '%[13]s', 'cs_%[14]s', 'https://pay/1', 'succeeded', now() + interval '1 day');
	INSERT INTO payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, inbox_id)
	  VALUES ('%[12]s', '%[13]s', '%[14]s', '%[1]s', '%[11]s', 'succeeded', %[5]d, 'EUR', '%[8]s');
	INSERT INTO entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, live_since, shadowed_by, inbox_id, changed_id)
	  SELECT '%[15]s', '%[9]s', '%[1]s', '%[4]s', 'photo', '%[2]s', '%[10]s', CASE WHEN l.id IS NULL THEN now() END, l.id, '%[8]s', '%[8]s'
	  FROM (SELECT 1) x LEFT JOIN entitlements l ON l.photo_id = '%[10]s' AND l.shadowed_by IS NULL`,
		uid(id), uid(event), uid(creator), uid(guest), gross, state, aFact(fact, "evt_"+payment), uid(fact),
		uid(line), uid(photo), uid(attempt), provider, account, payment, uid(grant))
}

// anEntry is a ledger entry with postings to accounts that are made as needed.
func anEntry(id int, key, kind string, order, cause, gross int, postings string) string {
	return fmt.Sprintf(`
	INSERT INTO ledger_accounts (kind, creator_id, provider, account, currency)
	  SELECT k, CASE k WHEN 'pending' THEN '%[1]s'::uuid END, CASE k WHEN 'clearing' THEN 'stripe' ELSE '' END, CASE k WHEN 'clearing' THEN 'main' ELSE '' END, 'EUR'
	  FROM (VALUES %[2]s) v (k, amount) ON CONFLICT DO NOTHING;
	WITH e AS (
	  INSERT INTO ledger_entries (id, key, kind, order_id, gross, currency, cause_kind, cause_id)
	  VALUES ('%[3]s', '%[4]s', '%[5]s', '%[6]s', %[7]d, 'EUR', 'inbox', '%[8]s')
	)
	INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
	  SELECT '%[3]s', row_number() OVER (), a.id, 'EUR', v.amount
	  FROM (VALUES %[2]s) v (k, amount) JOIN ledger_accounts a ON a.kind = v.k`,
		uid(creator), postings, uid(id), key, kind, uid(order), gross, uid(cause))
}

func run(t *testing.T, tx pgx.Tx, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := tx.Conn().PgConn().Exec(t.Context(), s).ReadAll()
		require.NoError(t, err, "%s", s)
	}
}

// An empty installation proves nothing, and says so.
func TestInvariantsOfNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	found, err := CheckInvariants(t.Context(), db.Pool)
	require.NoError(t, err)
	require.Len(t, found, 7)
	for _, r := range found {
		require.Equal(t, NotExercised, r.Verdict, r.ID)
		require.False(t, r.OK, r.ID)
	}
}

// Each invariant holds over a good installation and goes red on each way of
// breaking it, with the constraints that forbid it taken away.
func TestInvariantsGoRed(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	setup, err := db.Owner.Begin(t.Context())
	require.NoError(t, err)
	run(t, setup, good...)
	require.NoError(t, setup.Commit(t.Context()))
	for _, quiet := range []bool{true, false} {
		found, err := checkPool(t.Context(), db.Pool, quiet)
		require.NoError(t, err)
		for _, r := range found {
			require.Equal(t, Holds, r.Verdict, "%s: %v", r.ID, r.IDs)
		}
	}
	loose := []string{
		`ALTER TABLE ledger_postings DISABLE TRIGGER USER`, `ALTER TABLE ledger_entries DISABLE TRIGGER USER`,
		`ALTER TABLE entitlements DISABLE TRIGGER USER`, `ALTER TABLE order_history DISABLE TRIGGER USER`, `ALTER TABLE orders DISABLE TRIGGER USER`,
		`ALTER TABLE audit_log DISABLE TRIGGER USER`,
		`ALTER TABLE wallets DROP CONSTRAINT wallet_debt`, `ALTER TABLE payments DROP CONSTRAINT uq_payment CASCADE`,
		`ALTER TABLE refunds DROP CONSTRAINT uq_refund, DROP CONSTRAINT uq_refund_of_request`,
		`ALTER TABLE idempotency_keys DROP CONSTRAINT uq_idempotency_key`, `ALTER TABLE entitlements DROP CONSTRAINT entitlement_live`,
		`DROP INDEX uq_entitlement_line, uq_entitlement_photo, uq_ledger_entry, uq_ledger_sale, uq_message, uq_refund_request_auto`,
		`ALTER TABLE messages DROP CONSTRAINT uq_message_id`, `ALTER TABLE disputes DROP CONSTRAINT uq_dispute`,
		`ALTER TABLE dispute_movements DROP CONSTRAINT uq_dispute_movement`, `ALTER TABLE inbox DROP CONSTRAINT uq_inbox_event`,
	}
	const where = ` WHERE id = '%s'`
	tests := []struct {
		name, invariant, change string
	}{
		{"an unbalanced entry", "I1", `UPDATE ledger_postings SET amount = amount + 1 WHERE entry_id = '` + uid(entry) + `' AND seq = 1`},
		{"an entry with one posting", "I1", `DELETE FROM ledger_postings WHERE entry_id = '` + uid(entry) + `' AND seq > 1`},
		{"an entry without postings", "I1", `DELETE FROM ledger_postings WHERE entry_id = '` + uid(entry) + `'`},
		{"a posting without an entry", "I1", `UPDATE ledger_postings SET entry_id = '` + uid(nobody) + `' WHERE entry_id = '` + uid(entry) + `'`},
		{"a posting in other money", "I1", `UPDATE ledger_postings SET currency = 'USD' WHERE entry_id = '` + uid(entry) + `'`},
		{"a wallet beside its postings", "I1", `UPDATE wallets SET pending = pending + 1`},
		{"a wallet that is missing", "I1", `DELETE FROM wallets`},
		{"a negative debt", "I1", `UPDATE wallets SET debt = -1`},
		{"a payment twice", "I2", `INSERT INTO payments SELECT * FROM payments WHERE payment_id = 'pi_1'`},
		{"one payment, two orders", "I2", `INSERT INTO payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, inbox_id)
		  SELECT provider, account, 'pi_1', order_id, attempt_id, status, amount, currency, inbox_id FROM payments WHERE payment_id = 'pi_2'`},
		{"paid for less", "I2", `UPDATE payments SET amount = 499 WHERE payment_id = 'pi_1'`},
		{"paid in other money", "I2", `UPDATE payments SET currency = 'USD' WHERE payment_id = 'pi_1'`},
		{"paid by a failed payment", "I2", `UPDATE payments SET status = 'failed' WHERE payment_id = 'pi_1'`},
		{"sold twice", "I2", anEntry(nobody, "sale:stripe:main:pi_x", "sale", order, fact, 500, `('clearing', 500), ('pending', -500)`)},
		{"sold and not paid", "I2", `UPDATE orders SET paid_at = NULL` + fmt.Sprintf(where, uid(order))},
		{"a second payment kept", "I2", `INSERT INTO payments SELECT provider, account, 'pi_3', order_id, attempt_id, status, amount, currency, fee, inbox_id FROM payments WHERE payment_id = 'pi_1'`},
		{"an excess kept", "I2", `UPDATE payments SET amount = 600 WHERE payment_id = 'pi_1'`},
		{"a surplus asked back twice", "I2", `INSERT INTO refund_requests (id, order_id, provider, account, payment_id, amount, currency, kind, cause_kind, cause_id)
		  SELECT gen_random_uuid(), order_id, provider, account, payment_id, 1, currency, 'surplus', 'inbox', inbox_id FROM payments, generate_series(1, 2) WHERE payment_id = 'pi_1'`},
		{"more asked back than taken", "I2", `UPDATE refund_requests SET amount = 501`},
		{"a sale asked back twice", "I2", `UPDATE payments SET amount = 1000 WHERE payment_id = 'pi_2';
		  INSERT INTO refund_requests SELECT '` + uid(nobody) + `', order_id, provider, account, payment_id, amount, currency, kind, line_ids, cause_kind, cause_id FROM refund_requests`},
		{"a refund twice", "I2", `INSERT INTO refunds (provider, account, refund_id, order_id, payment_id, status, amount, currency, inbox_id)
		  SELECT provider, account, refund_id, order_id, payment_id, status, amount, currency, inbox_id FROM refunds`},
		{"a request refunded twice", "I2", `INSERT INTO refunds SELECT provider, account, 're_2', order_id, payment_id, request_id, status, amount, currency, inbox_id FROM refunds`},
		{"paid and not granted", "I3", `UPDATE entitlements SET revoked_at = now()` + fmt.Sprintf(where, uid(grant))},
		{"free and not granted", "I3", `DELETE FROM entitlements` + fmt.Sprintf(where, uid(freeGrant))},
		{"granted and given back", "I3", `UPDATE entitlements SET revoked_at = NULL` + fmt.Sprintf(where, uid(refundedGrant))},
		{"granted and not paid", "I3", `UPDATE orders SET paid_at = NULL` + fmt.Sprintf(where, uid(freeOrder))},
		{"a line granted twice", "I3", `INSERT INTO entitlements SELECT gen_random_uuid(), line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since,
		  frozen_at, now(), shadowed_by, inbox_id, changed_kind, changed_id, changed_at FROM entitlements` + fmt.Sprintf(where, uid(grant))},
		{"live twice", "I3", `UPDATE entitlements SET shadowed_by = NULL, live_since = now()` + fmt.Sprintf(where, uid(freeGrant))},
		{"shadowed by nothing", "I3", `UPDATE entitlements SET shadowed_by = '` + uid(nobody) + `'` + fmt.Sprintf(where, uid(freeGrant))},
		{"granted to another", "I3", `UPDATE entitlements SET buyer_id = '` + uid(nobody) + `'` + fmt.Sprintf(where, uid(grant))},
		{"granted under a whole event", "I3", `UPDATE entitlements SET photo_id = NULL, kind = 'event', live_since = granted_at - interval '1 hour'` + fmt.Sprintf(where, uid(grant))},
		{"frozen by no dispute", "I3", `UPDATE entitlements SET frozen_at = now()` + fmt.Sprintf(where, uid(grant))},
		{"disputed and not frozen", "I3", `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
		  SELECT provider, account, 'dp_1', order_id, payment_id, 'open', '', amount, currency, 1, inbox_id FROM payments WHERE payment_id = 'pi_1'`},
		{"lost and not ended", "I3", `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
		  SELECT provider, account, 'dp_1', order_id, payment_id, 'closed', 'lost', amount, currency, 1, inbox_id FROM payments WHERE payment_id = 'pi_1'`},
		{"lines ended and not ended", "I3", `UPDATE refunds SET request_id = NULL, order_id = '` + uid(order) + `', payment_id = 'pi_1', amount = 1;
		  INSERT INTO decisions (order_id, subject, value, cause_kind, cause_id) SELECT r.order_id, 'ended:stripe:main:' || r.refund_id, l.id::text, 'inbox', r.inbox_id
		  FROM refunds r JOIN order_lines l ON l.order_id = r.order_id`},
		{"disputed money not posted", "I5", `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
		  SELECT provider, account, 'dp_1', order_id, payment_id, 'open', '', amount, currency, 1, inbox_id FROM payments WHERE payment_id = 'pi_1'; INSERT INTO dispute_movements (provider, account, dispute_id, movement_id, order_id, payment_id, status, amount, currency, inbox_id)
		  SELECT provider, account, 'dp_1', 'txn_1', order_id, payment_id, 'withdrawn', amount, currency, inbox_id FROM payments WHERE payment_id = 'pi_1'`},
		{"disputed money that never moved", "I5", anEntry(nobody, "dispute:stripe:main:dp_9:money:txn_9", "dispute_withdrawn", order, fact, 500, `('clearing', 500), ('pending', -500)`)},
		{"a fee not posted", "I5", `UPDATE payments SET fee = 29 WHERE payment_id = 'pi_1'`},
		{"a dispute twice", "I5", `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
		  SELECT provider, account, 'dp_1', order_id, payment_id, 'warning', '', amount, currency, 1, inbox_id FROM payments, generate_series(1, 2) WHERE payment_id = 'pi_1'`},
		{"a movement twice", "I5", `INSERT INTO dispute_movements (provider, account, dispute_id, movement_id, order_id, payment_id, status, amount, currency, inbox_id)
		  SELECT provider, account, 'dp_1', 'txn_1', order_id, payment_id, 'withdrawn', amount, currency, inbox_id FROM payments, generate_series(1, 2) WHERE payment_id = 'pi_1'`},
		{"a row left behind", "I5", `UPDATE inbox SET state = 'received', done_at = NULL` + fmt.Sprintf(where, uid(fact))},
		{"a payment not posted", "I5", `UPDATE ledger_entries SET key = 'surplus:other'` + fmt.Sprintf(where, uid(entry))},
		{"a payment posted twice", "I5", anEntry(nobody, "sale:stripe:main:pi_1", "sale", order, fact, 500, `('clearing', 500), ('pending', -500)`)},
		{"a payment posted as sale and surplus", "I5", anEntry(nobody, "surplus:stripe:main:pi_1", "surplus", order, fact, 500, `('clearing', 500), ('pending', -500)`)},
		{"a payment posted over less", "I5", `UPDATE ledger_entries SET gross = 400` + fmt.Sprintf(where, uid(entry))},
		{"a refund not posted", "I5", `UPDATE ledger_entries SET key = 'refund:other'` + fmt.Sprintf(where, uid(back))},
		{"a failed refund not taken back", "I5", `UPDATE refunds SET status = 'failed'`},
		{"an entry of nothing", "I5", anEntry(nobody, "refund:stripe:main:re_9", "refund", order, fact, 500, `('clearing', 500), ('pending', -500)`)},
		{"no receipt", "I5", `DELETE FROM messages WHERE order_id = '` + uid(order) + `'`},
		{"two receipts", "I5", `INSERT INTO messages SELECT gen_random_uuid(), order_id, kind, recipient, message_id, state, inbox_id, created_at FROM messages`},
		{"a row not drained", "I9", `UPDATE inbox SET state = 'received', done_at = NULL, received_at = now() - interval '2 minutes', next_attempt_at = now() - interval '2 minutes'` + fmt.Sprintf(where, uid(fact))},
		{"a fetch that hangs", "I9", `UPDATE inbox SET state = 'fetching', done_at = NULL, fetch_until = now() - interval '2 minutes'` + fmt.Sprintf(where, uid(fact))},
		{"a row that keeps failing", "I9", `UPDATE inbox SET state = 'failed', done_at = NULL, received_at = now() - interval '91 minutes'` + fmt.Sprintf(where, uid(fact))},
		{"an order never swept", "I9", `UPDATE orders SET state = 'created', created_at = now() - interval '11 minutes'` + fmt.Sprintf(where, uid(order))},
		{"a page never closed", "I9", `UPDATE attempts SET expires_at = now() - interval '25 hours'; UPDATE orders SET state = 'awaiting_payment'` + fmt.Sprintf(where, uid(order))},
		{"money on its way for ever", "I9", `UPDATE attempts SET status = 'processing'; UPDATE orders SET state = 'awaiting_payment', created_at = now() - interval '31 days'` + fmt.Sprintf(where, uid(order))},
		{"agreed to and never taken", "I9", `ALTER TABLE payments DISABLE TRIGGER payments_kept; DELETE FROM payments WHERE payment_id = 'pi_1'; UPDATE orders SET state = 'awaiting_payment'` + fmt.Sprintf(where, uid(order)) +
			`; UPDATE attempts SET status = 'approved', changed_at = now() - interval '26 hours'` + fmt.Sprintf(where, uid(attempt))},
		{"a refund never sent", "I9", `UPDATE refund_requests SET state = 'requested', created_at = now() - interval '11 days'`},
		{"a refund on its way for ever", "I9", `UPDATE refunds SET status = 'pending', created_at = now() - interval '12 days'`},
		{"a photograph never developed", "I9", `UPDATE photos SET state = 'processing', width = 0, height = 0, queued_at = now() - interval '6 minutes'`},
		{"a message in mid-air", "I9", `UPDATE messages SET state = 'sending', lease_until = now(), changed_at = now() - interval '11 minutes'`},
		{"an answer about no order", "I11", `UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), '` + uid(order) + `', '` + uid(nobody) + `'), 'UTF8')`},
		{"an answer with another total", "I11", `UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), '500', '400'), 'UTF8')`},
		{"an answer in other money", "I11", `UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), 'EUR', 'USD'), 'UTF8')`},
		{"an answer of a state that never was", "I11", `UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), 'awaiting_payment', 'expired'), 'UTF8')`},
		{"an answer with another page", "I11", `UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), 'pay/1', 'pay/2'), 'UTF8')`},
		{"another buyer's answer", "I11", `UPDATE idempotency_keys SET actor_id = '` + uid(nobody) + `'`},
		{"two answers to one request", "I11", `INSERT INTO idempotency_keys SELECT * FROM idempotency_keys`},
		{"a grant without a cause", "I12", `UPDATE entitlements SET inbox_id = '` + uid(nobody) + `'` + fmt.Sprintf(where, uid(grant))},
		{"a change without an audit", "I12", `UPDATE entitlements SET changed_id = '` + uid(nobody) + `'` + fmt.Sprintf(where, uid(refundedGrant))},
		{"an entry by an unapplied row", "I12", `UPDATE inbox SET state = 'dead'` + fmt.Sprintf(where, uid(fact))},
		{"an entry by a row of no use", "I12", `UPDATE inbox SET class = 'ignored', state = 'ignored'` + fmt.Sprintf(where, uid(fact))},
		{"a dispute that nobody told of", "I12", `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
		  SELECT provider, account, 'dp_1', order_id, payment_id, 'warning', '', amount, currency, 1, inbox_id FROM payments WHERE payment_id = 'pi_1'; INSERT INTO dispute_movements (provider, account, dispute_id, movement_id, order_id, payment_id, status, amount, currency, inbox_id)
		  SELECT provider, account, 'dp_1', 'txn_1', order_id, payment_id, 'withdrawn', amount, currency, inbox_id FROM payments WHERE payment_id = 'pi_1'; UPDATE disputes SET inbox_id = '` + uid(nobody) + `'`},
		{"a decision without an audit", "I12", `INSERT INTO decisions (order_id, subject, value, cause_kind, cause_id) VALUES ('` + uid(order) + `', 'seen:x', 'y', 'audit', '` + uid(nobody) + `')`},
		{"a refund that nobody ordered", "I12", `UPDATE refund_requests SET cause_id = '` + uid(nobody) + `'`},
	}
	covered := map[string]int{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := db.Owner.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			run(t, tx, append(loose, tt.change)...)
			found, err := check(t.Context(), tx, true)
			require.NoError(t, err)
			for _, r := range found {
				if r.ID == tt.invariant {
					require.Equal(t, Violated, r.Verdict)
					require.NotEmpty(t, r.IDs)
					require.False(t, r.OK)
				}
			}
		})
		covered[tt.invariant]++
	}
	require.Len(t, covered, len(Invariants), "each invariant can go red")
}

// Rows on their way are no violation while the installation works.
func TestInvariantsWhileWorking(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	tx, err := db.Owner.Begin(t.Context())
	require.NoError(t, err)
	run(t, tx, good...)
	run(t, tx, `INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready)
	  VALUES (gen_random_uuid(), 'stripe', 'main', 'evt_new', 'o', 't', 'fact', 'order', 'received', '[]', true)`)
	require.NoError(t, tx.Commit(t.Context()))
	verdict := func(quiet bool) string {
		found, err := checkPool(t.Context(), db.Pool, quiet)
		require.NoError(t, err)
		for _, r := range found {
			if r.ID == "I5" {
				return r.Verdict
			}
		}
		return ""
	}
	require.Equal(t, Holds, verdict(false))
	require.Equal(t, Violated, verdict(true))
}
