-- The floor: what the event of one paid Stripe order makes, as one statement.
-- Exactly the rows that the server writes for it, through the same constraints
-- and triggers: the event, the payment, the attempt, the order with its history,
-- the end of the reservations and of the watch, a grant for each line, the sale
-- with its postings, the wallet, the receipt. pgbench counts i for each client,
-- so no two clients meet, and nothing of the server is spent on choosing. A colon
-- in a text is written \x3a: pgbench takes a colon before a word for a variable.
\set i :i + 1
\set n :first + (:i - 1) * :clients + :client_id
WITH t AS MATERIALIZED (
  SELECT :n::bigint AS n, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms
), a AS (
  UPDATE attempts SET status = 'succeeded', changed_at = app_now()
  FROM t WHERE id = bench.id(2, :batch::int, t.n) AND status = 'open'
  RETURNING id, order_id, provider_ref, 'pi_' || bench.scattered('pi', :batch::int, t.n, 24) AS payment_id,
            bench.now_id(t.ms, 7, t.n) AS inbox_id, t.n, t.ms
), o AS (
  UPDATE orders SET state = 'paid', version = version + 1, changed_at = app_now(), paid_at = app_now()
  FROM a WHERE orders.id = a.order_id AND state = 'awaiting_payment'
  RETURNING orders.id, orders.buyer_id, creator_id, email, gross, commission, version,
            a.id AS attempt_id, a.provider_ref, a.payment_id, a.inbox_id, a.n, a.ms
), event AS (
  INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, headers, body, said_at, done_at)
  SELECT inbox_id, 'stripe', 'main', 'evt_' || bench.scattered('evt', :batch::int, n, 24), provider_ref, 'checkout.session.completed',
         'fact', 'order', 'done', convert_to(:facts, 'UTF8'), true, convert_to(:headers, 'UTF8'), convert_to(:body, 'UTF8'), app_now(), app_now()
  FROM o
), payment AS (
  INSERT INTO payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, inbox_id)
  SELECT 'stripe', 'main', payment_id, id, attempt_id, 'succeeded', gross, 'EUR', inbox_id FROM o
), history AS (
  INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id) SELECT id, version, 'paid', 'inbox', inbox_id FROM o
), released AS (
  UPDATE reservations SET released_at = app_now() FROM o WHERE order_id = o.id AND released_at IS NULL
), unwatched AS (
  DELETE FROM open_orders USING o WHERE order_id = o.id
), granted AS (
  INSERT INTO entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, live_since, inbox_id, changed_id)
  SELECT bench.now_id(o.ms, 16 + l.ordinal, o.n), l.id, l.order_id, o.buyer_id, l.kind, l.event_id, l.photo_id, app_now(), o.inbox_id, o.inbox_id
  FROM o JOIN order_lines l ON l.order_id = o.id
), entry AS (
  INSERT INTO ledger_entries (id, key, kind, order_id, gross, currency, cause_kind, cause_id)
  SELECT bench.now_id(ms, 22, n), E'sale\x3astripe\x3amain\x3a' || payment_id, 'sale', id, gross, 'EUR', 'inbox', inbox_id FROM o
  RETURNING id
), posted AS (
  INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
  SELECT entry.id, p.seq, p.account, 'EUR', p.amount
  FROM o, entry, LATERAL (VALUES
    (0, :clearing::bigint, o.gross),
    (1, (SELECT a.id FROM ledger_accounts a WHERE a.kind = 'pending' AND a.creator_id = o.creator_id AND a.provider = '' AND a.account = '' AND a.currency = 'EUR'),
     o.commission - o.gross),
    (2, :revenue::bigint, -o.commission)) p (seq, account, amount)
), paid_to AS (
  UPDATE wallets SET pending = pending + o.gross - o.commission FROM o WHERE wallets.creator_id = o.creator_id AND currency = 'EUR'
)
INSERT INTO messages (id, order_id, kind, recipient, message_id, state, inbox_id)
SELECT bench.now_id(ms, 23, n), id, 'receipt', email, '<receipt.' || id || '@localhost>', 'queued', inbox_id FROM o;
