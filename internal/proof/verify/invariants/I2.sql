-- I2: a provider's payment belongs to one order, a paid order has exactly one
-- payment that bought it, money that bought nothing is asked back by itself once,
-- and no more is asked back than was taken or sold. A refund stands once, for one request.
WITH pay AS (
  SELECT p.order_id, p.provider, p.account, p.payment_id, p.amount, p.currency,
         p.provider || ':' || p.account || ':' || p.payment_id AS key,
         p.status IN ('succeeded', 'reversed') AS took
  FROM payments p
), sold AS (
  SELECT e.order_id, e.key FROM ledger_entries e WHERE e.kind = 'sale'
), request AS (
  SELECT q.id, q.order_id, q.provider, q.account, q.payment_id, q.amount, q.kind, q.cause_kind,
         q.state <> 'rejected' AND NOT EXISTS (
           SELECT FROM refunds r WHERE r.request_id = q.id AND r.status IN ('failed', 'canceled')) AS active
  FROM refund_requests q
), back AS (
  -- Begun at the provider, so nobody asked for it here.
  SELECT r.provider, r.account, r.payment_id, sum(r.amount) AS amount
  FROM refunds r WHERE r.request_id IS NULL AND r.status NOT IN ('failed', 'canceled')
  GROUP BY r.provider, r.account, r.payment_id
), judged AS (
  SELECT p.key, p.order_id, p.amount, p.took, o.gross, p.currency = o.currency AND p.amount >= o.gross AS fits,
         EXISTS (SELECT FROM sold s WHERE s.order_id = p.order_id AND s.key = 'sale:' || p.key) AS kept,
         coalesce(b.amount, 0) AS back,
         (SELECT count(*) FROM request q WHERE (q.provider, q.account, q.payment_id) = (p.provider, p.account, p.payment_id)
            AND q.kind IN ('surplus', 'late') AND q.cause_kind = 'inbox') AS surpluses,
         (SELECT count(*) FROM request q WHERE (q.provider, q.account, q.payment_id) = (p.provider, p.account, p.payment_id)
            AND q.kind = 'excess' AND q.cause_kind = 'inbox') AS excesses,
         -- While a payment is disputed nobody asks, and what a dispute took is gone.
         EXISTS (SELECT FROM disputes d WHERE (d.provider, d.account, d.payment_id) = (p.provider, p.account, p.payment_id)
            AND (d.status = 'open' OR d.status = 'closed' AND d.outcome NOT IN ('won', 'prevented'))) AS disputed,
         (SELECT coalesce(sum(q.amount), 0) FROM request q WHERE (q.provider, q.account, q.payment_id) = (p.provider, p.account, p.payment_id)
            AND q.active) AS asked
  FROM pay p JOIN orders o ON o.id = p.order_id
  LEFT JOIN back b ON (b.provider, b.account, b.payment_id) = (p.provider, p.account, p.payment_id)
), bad AS (
  SELECT 'payment twice ' || key AS what FROM pay GROUP BY key HAVING count(*) > 1
  UNION ALL
  SELECT 'refund twice ' || provider || ':' || account || ':' || refund_id
  FROM refunds GROUP BY provider, account, refund_id HAVING count(*) > 1
  UNION ALL
  SELECT 'request refunded twice ' || request_id
  FROM refunds WHERE request_id IS NOT NULL GROUP BY request_id HAVING count(*) > 1
  UNION ALL
  SELECT 'paid order ' || o.id FROM orders o
  WHERE o.paid_at IS NOT NULL AND CASE WHEN o.gross > 0
    THEN (SELECT count(*) FROM judged j WHERE j.order_id = o.id AND j.kept AND j.took AND j.fits) <> 1
      OR (SELECT count(*) FROM sold s WHERE s.order_id = o.id) <> 1
    ELSE NOT EXISTS (SELECT FROM pay p WHERE p.order_id = o.id AND p.took) END
  UNION ALL
  SELECT 'unpaid order that was sold ' || o.id FROM orders o
  WHERE o.paid_at IS NULL AND EXISTS (SELECT FROM sold s WHERE s.order_id = o.id)
  UNION ALL
  SELECT 'surplus ' || key FROM judged
  WHERE surpluses > 1 OR took AND fits AND NOT kept AND amount > 0 AND surpluses <> 1 AND back < amount AND NOT disputed
  UNION ALL
  SELECT 'excess ' || key FROM judged
  WHERE excesses > 1 OR took AND fits AND kept AND amount > gross AND excesses <> 1 AND back = 0 AND NOT disputed
  UNION ALL
  SELECT 'more asked back than taken ' || key FROM judged WHERE asked + back > amount
  UNION ALL
  SELECT 'more asked back than sold ' || o.id
  FROM orders o JOIN request q ON q.order_id = o.id AND q.active AND q.kind IN ('sale', 'covered')
  GROUP BY o.id, o.gross HAVING sum(q.amount) > o.gross
)
SELECT (SELECT count(*) FROM pay) + (SELECT count(*) FROM orders WHERE paid_at IS NOT NULL) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
