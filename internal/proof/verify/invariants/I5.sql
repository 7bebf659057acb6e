-- I5: after quiesce every inbox row is terminal; each payment, refund and movement
-- of disputed money is posted exactly once, over its own amount, and each paid order has exactly one
-- receipt. On a running installation rows on their way are I9's to judge.
WITH pay AS (
  SELECT p.order_id, p.amount, o.gross, p.provider || ':' || p.account || ':' || p.payment_id AS key
  FROM payments p JOIN orders o ON o.id = p.order_id
  WHERE p.status IN ('succeeded', 'reversed') AND p.amount > 0
), refund AS (
  SELECT r.order_id, r.amount, r.status IN ('failed', 'canceled') AS undone, r.provider || ':' || r.account || ':' || r.refund_id AS key
  FROM refunds r JOIN payments p ON (p.provider, p.account, p.payment_id) = (r.provider, r.account, r.payment_id)
  WHERE p.status IN ('succeeded', 'reversed')
), posted AS (
  SELECT key, count(*) AS times, min(gross) AS gross, min(order_id::text) AS order_id FROM ledger_entries GROUP BY key
), bad AS (
  SELECT 'inbox ' || id || ' ' || state AS what FROM inbox
  WHERE state NOT IN ('done', 'ignored', 'dead') AND current_setting('proofroom.quiet', true) = 'on'
  UNION ALL
  SELECT 'payment ' || p.key FROM pay p
  LEFT JOIN posted sale ON sale.key = 'sale:' || p.key
  LEFT JOIN posted surplus ON surplus.key = 'surplus:' || p.key
  LEFT JOIN posted excess ON excess.key = 'excess:' || p.key
  WHERE coalesce(sale.times, 0) + coalesce(surplus.times, 0) <> 1
     OR coalesce(sale.order_id, surplus.order_id) <> p.order_id::text
     OR sale.gross <> p.gross OR surplus.gross <> p.amount
     OR coalesce(excess.times, 0) <> CASE WHEN sale.times > 0 AND p.amount > p.gross THEN 1 ELSE 0 END
     OR excess.gross <> p.amount - p.gross
  UNION ALL
  SELECT 'refund ' || r.key FROM refund r,
    LATERAL (SELECT coalesce(sum(e.gross), 0) AS gross, count(*) AS times, bool_or(e.order_id <> r.order_id) AS elsewhere
             FROM ledger_entries e WHERE e.key = 'refund:' || r.key) once,
    LATERAL (SELECT coalesce(sum(e.gross), 0) AS gross, count(*) AS times
             FROM ledger_entries e WHERE e.key = 'undone:refund:' || r.key) back
  WHERE once.times <> 1 OR once.gross <> r.amount OR once.elsewhere
     OR back.times <> CASE WHEN r.undone THEN 1 ELSE 0 END OR back.gross <> CASE WHEN r.undone THEN r.amount ELSE 0 END
  UNION ALL
  SELECT 'entry of no payment ' || e.key FROM ledger_entries e
  WHERE e.key ~ '^(sale|surplus|excess):' AND NOT EXISTS (
    SELECT FROM pay p WHERE p.key = substring(e.key FROM position(':' IN e.key) + 1))
  UNION ALL
  SELECT 'entry of no refund ' || e.key FROM ledger_entries e
  WHERE e.key ~ '^(undone:)?refund:' AND NOT EXISTS (
    SELECT FROM refund r WHERE r.key = regexp_replace(e.key, '^(undone:)?refund:', ''))
  UNION ALL
  -- What comes back waits until it is known what was taken.
  SELECT 'movement ' || m.movement_id || ' of dispute ' || m.dispute_id FROM dispute_movements m
  JOIN payments p ON (p.provider, p.account, p.payment_id) = (m.provider, m.account, m.payment_id) AND p.status IN ('succeeded', 'reversed')
  JOIN disputes q ON (q.provider, q.account, q.dispute_id) = (m.provider, m.account, m.dispute_id),
    LATERAL (SELECT coalesce(sum(e.gross), 0) AS gross, count(*) AS times FROM ledger_entries e
             WHERE e.key = 'dispute:' || m.provider || ':' || m.account || ':' || m.dispute_id ||
                           CASE m.status WHEN 'fee' THEN ':fee:' ELSE ':money:' END || m.movement_id) once
  WHERE (once.times <> 1 OR once.gross <> m.amount) AND NOT (m.status = 'reinstated' AND once.times = 0)
  UNION ALL
  SELECT 'dispute twice ' || provider || ':' || account || ':' || dispute_id
  FROM disputes GROUP BY provider, account, dispute_id HAVING count(*) > 1
  UNION ALL
  SELECT 'disputed money twice ' || provider || ':' || account || ':' || dispute_id || ':' || movement_id
  FROM dispute_movements GROUP BY provider, account, dispute_id, movement_id HAVING count(*) > 1
  UNION ALL
  SELECT 'entry of no movement ' || e.key FROM ledger_entries e
  WHERE e.kind IN ('dispute_withdrawn', 'dispute_reinstated', 'surplus_withdrawn', 'surplus_reinstated') AND NOT EXISTS (
    SELECT FROM dispute_movements m
    WHERE e.key = 'dispute:' || m.provider || ':' || m.account || ':' || m.dispute_id || ':money:' || m.movement_id)
  UNION ALL
  SELECT 'fee of payment ' || p.payment_id FROM payments p
  WHERE p.fee > 0 AND p.status IN ('succeeded', 'reversed') AND (
    SELECT coalesce(sum(e.gross), 0) FROM ledger_entries e WHERE e.key = 'fee:' || p.provider || ':' || p.account || ':' || p.payment_id) <> p.fee
  UNION ALL
  SELECT 'receipt of order ' || o.id FROM orders o
  WHERE (SELECT count(*) FROM messages m WHERE m.order_id = o.id AND m.kind = 'receipt')
        <> CASE WHEN o.paid_at IS NULL THEN 0 ELSE 1 END
)
SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM pay) + (SELECT count(*) FROM refund) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
