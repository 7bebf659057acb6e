-- An order as it was opened, locked: no row when anything happened to it since.
-- Primary key; a lock that was waited for looks at the row again.
-- name: LockFresh :execrows
SELECT FROM orders WHERE id = @id AND state = 'created' AND version = 0 AND review = '' AND refunded = 0 FOR NO KEY UPDATE;

-- The page of the only attempt of an order as it was opened, under LockFresh and
-- in a statement of its own, which sees what the last holder of the lock did.
-- uq_attempt_ordinal, index payments_order.
-- name: SetFreshPage :execrows
UPDATE attempts a SET provider_ref = @ref, url = @url, expires_at = @expires_at, changed_at = app_now()
WHERE a.id = @id AND a.order_id = @order_id AND a.ordinal = 1 AND a.status = 'open' AND a.provider_ref IS NULL
  AND NOT EXISTS (SELECT FROM attempts n WHERE n.order_id = @order_id AND n.ordinal > 1)
  AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = @order_id);
