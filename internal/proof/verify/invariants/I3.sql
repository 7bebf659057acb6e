-- I3: each line that was paid for (or is free) and is not given back or lost has a grant
-- that is live, frozen or shadowed, and nothing else has; one live grant per
-- buyer and thing, one grant ever per line; no photograph is granted while a
-- whole-event grant of another of the buyer's orders is live.
WITH asked AS (
  SELECT q.order_id, q.amount, q.line_ids
  FROM refund_requests q
  WHERE q.kind IN ('sale', 'covered') AND q.state <> 'rejected' AND NOT EXISTS (
    SELECT FROM refunds r WHERE r.request_id = q.id AND r.status IN ('failed', 'canceled'))
), ended AS (
  SELECT unnest(line_ids) AS line_id FROM asked
  UNION ALL
  -- A person said which lines a refund begun at the provider has ended.
  SELECT l.id FROM decisions d
  JOIN refunds r ON r.order_id = d.order_id AND d.subject = 'ended:' || r.provider || ':' || r.account || ':' || r.refund_id
    AND r.request_id IS NULL AND r.status NOT IN ('failed', 'canceled')
  JOIN order_lines l ON l.order_id = d.order_id AND strpos(d.value, l.id::text) > 0
), lost AS (
  SELECT q.order_id FROM disputes q
  JOIN ledger_entries e ON e.order_id = q.order_id AND e.kind = 'sale' AND e.key = 'sale:' || q.provider || ':' || q.account || ':' || q.payment_id
  WHERE q.status = 'closed' AND q.outcome NOT IN ('won', 'prevented')
), gone AS (
  -- Somebody gave money back at the provider, without saying for which lines, and
  -- with what was asked back here it is the whole price.
  SELECT o.id FROM orders o
  JOIN ledger_entries e ON e.order_id = o.id AND e.kind = 'sale'
  JOIN refunds r ON r.order_id = o.id AND r.request_id IS NULL AND r.status NOT IN ('failed', 'canceled')
    AND e.key = 'sale:' || r.provider || ':' || r.account || ':' || r.payment_id
  GROUP BY o.id, o.gross HAVING sum(r.amount) + coalesce((SELECT sum(a.amount) FROM asked a WHERE a.order_id = o.id), 0) >= o.gross
), paid AS (
  SELECT l.id, NOT EXISTS (SELECT FROM decisions d WHERE d.order_id = l.order_id AND d.subject = 'line:' || l.id)
           AND NOT EXISTS (SELECT FROM ended e WHERE e.line_id = l.id)
           AND NOT EXISTS (SELECT FROM lost x WHERE x.order_id = l.order_id)
           AND NOT EXISTS (SELECT FROM gone g WHERE g.id = l.order_id) AS wanted
  FROM order_lines l JOIN orders o ON o.id = l.order_id
  WHERE o.paid_at IS NOT NULL
), stands AS (
  SELECT id, line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since, shadowed_by, shadowed_by IS NULL AS live
  FROM entitlements WHERE revoked_at IS NULL
), bad AS (
  SELECT 'paid line without a grant ' || p.id AS what FROM paid p
  WHERE p.wanted AND NOT EXISTS (SELECT FROM stands s WHERE s.line_id = p.id)
  UNION ALL
  SELECT 'grant of no paid line ' || s.id FROM stands s
  WHERE NOT EXISTS (SELECT FROM paid p WHERE p.id = s.line_id AND p.wanted)
  UNION ALL
  -- Access is frozen while the payment that bought it is disputed, and only then.
  SELECT 'frozen ' || (e.frozen_at IS NOT NULL) || ' ' || e.id FROM entitlements e
  WHERE e.revoked_at IS NULL AND (e.frozen_at IS NOT NULL) <> EXISTS (
    SELECT FROM disputes q JOIN ledger_entries s ON s.order_id = q.order_id AND s.kind = 'sale'
      AND s.key = 'sale:' || q.provider || ':' || q.account || ':' || q.payment_id
    WHERE q.order_id = e.order_id AND q.status = 'open')
  UNION ALL
  SELECT 'line granted twice ' || line_id FROM entitlements GROUP BY line_id HAVING count(*) > 1
  UNION ALL
  SELECT 'live twice ' || buyer_id || ' ' || thing
  FROM (SELECT buyer_id, coalesce('photo ' || photo_id, 'event ' || event_id) AS thing FROM stands WHERE live) l
  GROUP BY buyer_id, thing HAVING count(*) > 1
  UNION ALL
  SELECT 'shadowed by nothing live ' || s.id FROM stands s
  WHERE s.shadowed_by IS NOT NULL AND NOT EXISTS (
    SELECT FROM stands l WHERE l.id = s.shadowed_by AND l.live AND l.buyer_id = s.buyer_id AND l.event_id = s.event_id
      AND l.photo_id IS NOT DISTINCT FROM s.photo_id)
  UNION ALL
  SELECT 'granted under a whole event ' || s.id FROM stands s JOIN stands w
    ON w.live AND w.photo_id IS NULL AND w.event_id = s.event_id AND w.buyer_id = s.buyer_id AND w.order_id <> s.order_id
  WHERE s.photo_id IS NOT NULL AND s.granted_at > w.live_since
    AND NOT EXISTS (SELECT FROM order_claims m WHERE m.order_id IN (s.order_id, w.order_id)) -- bought as somebody else
  UNION ALL
  SELECT 'grant of another line than its order''s ' || e.id FROM entitlements e
  WHERE NOT EXISTS (
    SELECT FROM order_lines l JOIN orders o ON o.id = l.order_id
    WHERE l.id = e.line_id AND l.order_id = e.order_id AND l.kind = e.kind AND l.event_id = e.event_id
      AND l.photo_id IS NOT DISTINCT FROM e.photo_id AND o.buyer_id = e.buyer_id)
)
SELECT (SELECT count(*) FROM paid) + (SELECT count(*) FROM entitlements) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
