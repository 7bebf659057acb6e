-- Orders for an operator, newest first: primary key.
-- name: SearchNewest :many
SELECT id, event_id, email, currency, gross, refunded, state, review, created_at, paid_at
FROM orders WHERE id < @before AND (@state::text = '' OR state = @state) ORDER BY id DESC LIMIT @max;

-- Those of one address: index orders_email.
-- name: SearchOfEmail :many
SELECT id, event_id, email, currency, gross, refunded, state, review, created_at, paid_at
FROM orders WHERE email = @email AND id < @before AND (@state::text = '' OR state = @state) ORDER BY id DESC LIMIT @max;

-- Those in a state that few ever have: index order_history_rare.
-- name: SearchRare :many
SELECT o.id, o.event_id, o.email, o.currency, o.gross, o.refunded, o.state, o.review, o.created_at, o.paid_at
FROM (SELECT DISTINCT h.order_id FROM order_history h
      WHERE h.state IN ('review', 'disputed') AND h.state = @state AND h.order_id < @before) had
JOIN orders o ON o.id = had.order_id
WHERE o.state = @state ORDER BY o.id DESC LIMIT @max;

-- How many orders and disputes wait for a person. Orders by index
-- order_history_rare; disputes are few.
-- name: CountWaiting :one
SELECT (SELECT count(*) FROM orders o WHERE o.state = 'review'
          AND o.id IN (SELECT h.order_id FROM order_history h WHERE h.state IN ('review', 'disputed') AND h.state = 'review')) AS reviews,
       (SELECT count(*) FROM disputes WHERE status = 'open') AS disputes;

-- Payments of one account that were heard of lately. A whole scan: a person asks,
-- now and then.
-- name: CountPayments :one
SELECT count(*) FROM payments
WHERE provider = @provider AND account = @account AND created_at > app_now() - make_interval(secs => @since);

-- The newest payment that was heard of. A whole scan: who restores a copy asks.
-- name: NewestPayment :many
SELECT created_at FROM payments ORDER BY created_at DESC LIMIT 1;
