-- uq_message: one receipt for each order.
-- name: InsertMessages :execrows
INSERT INTO messages (id, order_id, kind, recipient, message_id, state, inbox_id)
SELECT u.id, u.order_id, u.kind, u.recipient, u.message_id, CASE WHEN u.recipient = '' THEN 'unaddressed' ELSE 'queued' END, u.inbox_id
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@order_ids::uuid[]) AS order_id, unnest(@kinds::text[]) AS kind,
             unnest(@recipients::text[]) AS recipient, unnest(@message_ids::text[]) AS message_id, unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.order_id, u.kind
ON CONFLICT DO NOTHING;

-- name: InsertMessage :exec
INSERT INTO messages (id, order_id, account_id, kind, recipient, message_id)
VALUES (@id, @order_id, @account_id, @kind, @recipient, @message_id);

-- Index messages_order.
-- name: MessagesOf :many
SELECT id, order_id, account_id, kind, recipient, message_id, state, copies, tries, note, inbox_id, created_at
FROM messages WHERE order_id = @order_id ORDER BY id;

-- Index messages_order.
-- name: MessagesOfOrders :many
SELECT order_id, kind FROM messages WHERE order_id = ANY(@order_ids::uuid[]);

-- Primary key.
-- name: GetMessage :one
SELECT id, order_id, account_id, kind, recipient, message_id, state, copies, tries, note, inbox_id, created_at
FROM messages WHERE id = @id;

-- Index messages_due, SKIP LOCKED. next_at is the end of the lease while a
-- message is being sent. A copy is counted before it is sent, so that a crash
-- leaves it counted.
-- name: Claim :many
UPDATE messages m
SET state = 'sending', copies = m.copies + 1, tries = m.tries + 1, term = m.term + 1,
    lease_until = n.at + make_interval(secs => @lease_seconds::float8), next_at = n.at + make_interval(secs => @lease_seconds::float8),
    changed_at = n.at
FROM (SELECT d.id FROM messages d
      WHERE (d.state IN ('queued', 'sending') OR (d.state = 'unknown' AND d.copies < 2))
        AND (d.next_at <= app_now() OR d.state = 'sending' AND NOT @leased::boolean)
        AND d.copies < 2
      ORDER BY d.next_at, d.id LIMIT @max FOR UPDATE SKIP LOCKED) due,
     (SELECT app_now() AS at OFFSET 0) n
WHERE m.id = due.id
RETURNING m.id, m.order_id, m.account_id, m.kind, m.recipient, m.message_id, m.copies, m.tries, m.term, m.created_at,
  extract(epoch FROM n.at - m.created_at)::float8 AS age;

-- A message that was sent twice with nobody left to say how it went. Index
-- messages_due.
-- name: GiveUp :execrows
UPDATE messages m SET state = 'unknown', lease_until = NULL, changed_at = app_now()
FROM (SELECT d.id FROM messages d
      WHERE (d.state IN ('queued', 'sending') OR (d.state = 'unknown' AND d.copies < 2))
        AND d.state = 'sending' AND d.copies >= 2 AND d.next_at <= app_now()
      ORDER BY d.id FOR UPDATE SKIP LOCKED) lost
WHERE m.id = lost.id;

-- How a send ended, by whoever still holds its term.
-- name: Record :execrows
UPDATE messages
SET state = @state, copies = copies - CASE WHEN @undelivered::boolean THEN 1 ELSE 0 END, lease_until = NULL,
    next_at = app_now() + make_interval(secs => @wait_seconds::float8), note = @note, changed_at = app_now()
WHERE id = @id AND (state = 'sending' AND term = @term OR NOT @fenced::boolean);

-- Index messages_due.
-- name: Waiting :one
SELECT count(*) FROM messages WHERE state IN ('queued', 'sending') OR (state = 'unknown' AND copies < 2);
