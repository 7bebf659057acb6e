-- I12: every grant, change of a grant, payment, refund, message and ledger entry
-- names why: an inbox row that was verified and applied, an audited action, or a
-- buyer's claim of what was bought as a guest.
WITH cause AS (
  SELECT 'dispute ' || dispute_id AS what, 'inbox' AS kind, inbox_id AS id FROM disputes
  UNION ALL
  SELECT 'disputed money ' || movement_id, 'inbox', inbox_id FROM dispute_movements
  UNION ALL
  SELECT 'decision ' || subject || ' of order ' || order_id, cause_kind, cause_id FROM decisions WHERE cause_kind IN ('inbox', 'audit')
  UNION ALL
  SELECT 'grant ' || id AS what, 'inbox' AS kind, inbox_id AS id FROM entitlements
  UNION ALL
  SELECT 'change of grant ' || id, changed_kind, changed_id FROM entitlements
  UNION ALL
  SELECT 'entry ' || key, cause_kind, cause_id FROM ledger_entries
  UNION ALL
  SELECT 'payment ' || payment_id, 'inbox', inbox_id FROM payments
  UNION ALL
  SELECT 'refund ' || refund_id, 'inbox', inbox_id FROM refunds
  UNION ALL
  SELECT 'refund request ' || id, cause_kind, cause_id FROM refund_requests
  UNION ALL
  SELECT 'message ' || id, 'inbox', inbox_id FROM messages WHERE kind = 'receipt' -- the others somebody asked for
  UNION ALL
  SELECT 'state ' || seq || ' of order ' || order_id, cause_kind, cause_id FROM order_history WHERE cause_kind IN ('inbox', 'audit')
), bad AS (
  SELECT c.what FROM cause c
  WHERE NOT CASE c.kind
    WHEN 'inbox' THEN EXISTS (
      -- A pointer that is said again goes back to received; it was applied before.
      SELECT FROM inbox i WHERE i.id = c.id AND i.class IN ('fact', 'pointer', 'reply')
        AND (i.state = 'done' OR i.class = 'pointer' AND i.fetched_at IS NOT NULL))
    WHEN 'audit' THEN EXISTS (SELECT FROM audit_log a WHERE a.id = c.id)
    WHEN 'claim' THEN EXISTS (SELECT FROM order_claims m WHERE m.claim_id = c.id)
    ELSE false END
)
SELECT (SELECT count(*) FROM cause) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
