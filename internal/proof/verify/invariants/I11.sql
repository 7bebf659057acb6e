-- I11: every answer that is stored for a request is true: it names an order of
-- whoever asked, with this amount, currency and page, which has been in the
-- state that was answered. One request has one answer.
WITH answer AS (
  SELECT k.actor_id, k.operation, k.key, convert_from(k.body, 'UTF8')::jsonb AS body
  FROM idempotency_keys k
  WHERE k.operation = 'checkout' AND k.state = 'done' AND k.status BETWEEN 200 AND 299
), bad AS (
  SELECT 'answer to ' || a.actor_id || ' ' || a.key AS what
  FROM answer a LEFT JOIN orders o ON o.id::text = a.body ->> 'order_id'
  WHERE o.id IS NULL
     OR o.buyer_id <> a.actor_id AND NOT EXISTS (SELECT FROM order_claims m WHERE m.order_id = o.id AND m.guest_id = a.actor_id)
     OR to_jsonb(o.gross) IS DISTINCT FROM a.body -> 'total' OR o.currency IS DISTINCT FROM a.body ->> 'currency'
     OR NOT (a.body ->> 'state' = 'created' OR EXISTS (
          SELECT FROM order_history h WHERE h.order_id = o.id AND h.state = a.body ->> 'state'))
     OR a.body ->> 'url' <> '' AND NOT EXISTS (
          SELECT FROM attempts t WHERE t.order_id = o.id AND t.url IN (a.body ->> 'url', ''))
  UNION ALL
  SELECT 'answered twice ' || actor_id || ' ' || operation || ' ' || key
  FROM idempotency_keys WHERE state = 'done' GROUP BY actor_id, operation, key HAVING count(*) > 1
)
SELECT (SELECT count(*) FROM answer) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
