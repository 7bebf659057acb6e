-- uq_message: one message for each order and kind.
-- name: InsertMessages :many
INSERT INTO messages (id, order_id, kind, recipient, message_id, inbox_id)
SELECT u.id, u.order_id, u.kind, u.recipient, u.message_id, u.inbox_id
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@order_ids::uuid[]) AS order_id, unnest(@kinds::text[]) AS kind,
             unnest(@recipients::text[]) AS recipient, unnest(@message_ids::text[]) AS message_id, unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.order_id, u.kind
ON CONFLICT DO NOTHING
RETURNING order_id, kind;

-- Index uq_message.
-- name: MessagesOf :many
SELECT id, order_id, kind, recipient, message_id, state, inbox_id, created_at FROM messages WHERE order_id = @order_id ORDER BY kind;

-- Index uq_message.
-- name: MessagesOfOrders :many
SELECT order_id, kind FROM messages WHERE order_id = ANY(@order_ids::uuid[]);
