-- The rows of lines, and every grant of the same buyers in the same events that
-- could stand in their way: index entitlements_buyer.
-- name: Around :many
SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, (e.revoked_at IS NOT NULL)::boolean AS revoked, e.shadowed_by, e.granted_at
FROM entitlements e
JOIN (SELECT DISTINCT unnest(@buyer_ids::uuid[]) AS buyer_id, unnest(@event_ids::uuid[]) AS event_id) u
  ON u.buyer_id = e.buyer_id AND u.event_id = e.event_id
ORDER BY e.granted_at, e.id;

-- uq_entitlement_line: one row per line. uq_entitlement_photo and
-- uq_entitlement_event: one live grant per thing. In the order of the keys.
-- name: Insert :many
INSERT INTO entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, shadowed_by, inbox_id, changed_id)
SELECT u.id, u.line_id, u.order_id, u.buyer_id, u.kind, u.event_id, nullif(u.photo_id, '00000000-0000-0000-0000-000000000000'),
       nullif(u.shadowed_by, '00000000-0000-0000-0000-000000000000'), u.inbox_id, u.inbox_id
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@line_ids::uuid[]) AS line_id, unnest(@order_ids::uuid[]) AS order_id,
             unnest(@buyer_ids::uuid[]) AS buyer_id, unnest(@kinds::text[]) AS kind, unnest(@event_ids::uuid[]) AS event_id,
             unnest(@photo_ids::uuid[]) AS photo_id, unnest(@shadowed_bys::uuid[]) AS shadowed_by, unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.event_id, u.photo_id, u.buyer_id, u.line_id
ON CONFLICT DO NOTHING
RETURNING line_id;

-- Index uq_entitlement_line.
-- name: ByLines :many
SELECT id, line_id, order_id, buyer_id, kind, event_id, photo_id, (revoked_at IS NOT NULL)::boolean AS revoked, shadowed_by, granted_at
FROM entitlements WHERE line_id = ANY(@line_ids::uuid[]) ORDER BY id;

-- A bulk update has no order of its own: the rows are locked by id first.
-- name: LockRows :exec
SELECT id FROM entitlements WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: SetRows :execrows
UPDATE entitlements e SET
  revoked_at = CASE WHEN u.revoked THEN coalesce(e.revoked_at, app_now()) END,
  shadowed_by = nullif(u.shadowed_by, '00000000-0000-0000-0000-000000000000'),
  changed_kind = u.changed_kind, changed_id = u.changed_id, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@revokeds::boolean[]) AS revoked, unnest(@shadowed_bys::uuid[]) AS shadowed_by,
             unnest(@changed_kinds::text[]) AS changed_kind, unnest(@changed_ids::uuid[]) AS changed_id) u
WHERE e.id = u.id;

-- Live, not frozen: uq_entitlement_photo, or uq_entitlement_event for the whole.
-- name: Access :one
SELECT (EXISTS (SELECT FROM entitlements e
  WHERE e.photo_id = @photo_id AND e.buyer_id = @buyer_id AND e.revoked_at IS NULL AND e.shadowed_by IS NULL AND e.frozen_at IS NULL)
OR EXISTS (SELECT FROM entitlements e
  WHERE e.event_id = @event_id AND e.buyer_id = @buyer_id AND e.photo_id IS NULL
    AND e.revoked_at IS NULL AND e.shadowed_by IS NULL AND e.frozen_at IS NULL))::boolean AS ok;

-- Index entitlements_buyer.
-- name: LiveOf :many
SELECT id, kind, event_id, photo_id, granted_at FROM entitlements
WHERE buyer_id = @buyer_id AND event_id = @event_id AND revoked_at IS NULL AND shadowed_by IS NULL ORDER BY id;

-- Index entitlements_buyer.
-- name: Library :many
SELECT id, line_id, order_id, kind, event_id, photo_id, granted_at, (frozen_at IS NOT NULL)::boolean AS frozen FROM entitlements
WHERE buyer_id = @buyer_id AND revoked_at IS NULL AND shadowed_by IS NULL AND id < @before ORDER BY id DESC LIMIT @max;
