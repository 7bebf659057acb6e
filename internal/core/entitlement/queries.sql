-- One lock per buyer and event, in the order of the arrays.
-- name: LockAccess :exec
SELECT CASE WHEN u.exclusive THEN pg_advisory_xact_lock(@namespace::int, u.key)
            ELSE pg_advisory_xact_lock_shared(@namespace::int, u.key) END
FROM (SELECT unnest(@keys::int[]) AS key, unnest(@exclusives::boolean[]) AS exclusive) u;

-- What stands of lines, and what is live of things: uq_entitlement_line,
-- uq_entitlement_event, uq_entitlement_photo. A photograph given as the zero
-- uuid asks only for the whole event. OFFSET 0 makes each a lookup by key, also
-- for a planner that last saw the table empty.
-- name: Standing :many
WITH u AS (
  SELECT unnest(@line_ids::uuid[]) AS line_id, unnest(@buyer_ids::uuid[]) AS buyer_id,
         unnest(@event_ids::uuid[]) AS event_id, unnest(@photo_ids::uuid[]) AS photo_id
)
SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
FROM u CROSS JOIN LATERAL (SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
  FROM entitlements e WHERE e.line_id = u.line_id OFFSET 0) e
UNION
SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
FROM (SELECT DISTINCT u.event_id, u.buyer_id FROM u) u CROSS JOIN LATERAL (SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
  FROM entitlements e WHERE e.event_id = u.event_id AND e.buyer_id = u.buyer_id
  AND e.photo_id IS NULL AND e.revoked_at IS NULL AND e.shadowed_by IS NULL OFFSET 0) e
UNION
SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
FROM u CROSS JOIN LATERAL (SELECT e.id, e.line_id, e.order_id, e.buyer_id, e.kind, e.event_id, e.photo_id, e.granted_at, e.live_since, e.frozen_at, e.revoked_at, e.shadowed_by
  FROM entitlements e WHERE e.photo_id = u.photo_id AND e.buyer_id = u.buyer_id
  AND e.photo_id IS NOT NULL AND e.revoked_at IS NULL AND e.shadowed_by IS NULL OFFSET 0) e;

-- Sorted by the keys that it can wait on: (photo, buyer), (event, buyer), line.
-- name: AddGrants :many
INSERT INTO entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since, shadowed_by,
                          inbox_id, changed_kind, changed_id, changed_at)
SELECT u.id, u.line_id, u.order_id, u.buyer_id, u.kind, u.event_id, nullif(u.photo_id, '00000000-0000-0000-0000-000000000000'),
       n.at, CASE WHEN u.shadowed_by = '00000000-0000-0000-0000-000000000000' THEN n.at END,
       nullif(u.shadowed_by, '00000000-0000-0000-0000-000000000000'), u.inbox_id, 'inbox', u.inbox_id, n.at
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@line_ids::uuid[]) AS line_id, unnest(@order_ids::uuid[]) AS order_id,
             unnest(@buyer_ids::uuid[]) AS buyer_id, unnest(@kinds::text[]) AS kind, unnest(@event_ids::uuid[]) AS event_id,
             unnest(@photo_ids::uuid[]) AS photo_id, unnest(@shadowed_bys::uuid[]) AS shadowed_by, unnest(@inbox_ids::uuid[]) AS inbox_id) u,
     (SELECT app_now() AS at OFFSET 0) n
ORDER BY u.photo_id, u.event_id, u.buyer_id, u.line_id
ON CONFLICT DO NOTHING
RETURNING line_id;

-- name: ByLines :many
SELECT id, line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since, frozen_at, revoked_at, shadowed_by
FROM entitlements WHERE line_id = ANY(@line_ids::uuid[]);

-- A row that stands is changed only under its order's lock and the access lock
-- of its buyer and event, exclusive when anybody else's row could change with
-- it. So no two of these updates meet at a row, and they need no order.
-- name: Revoke :many
UPDATE entitlements e SET revoked_at = n.at, changed_kind = u.cause_kind, changed_id = u.cause_id, changed_at = n.at
FROM (SELECT unnest(@line_ids::uuid[]) AS line_id, unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u,
     (SELECT app_now() AS at OFFSET 0) n
WHERE e.line_id = u.line_id AND e.revoked_at IS NULL
RETURNING e.id;

-- The oldest grant that gave way to one that ended becomes live, and the others
-- give way to it. The cause is what ended the first. entitlements_shadowed.
-- name: Promote :exec
WITH heirs AS (
  SELECT DISTINCT ON (s.shadowed_by) s.id, s.shadowed_by, ended.changed_kind, ended.changed_id
  FROM entitlements s JOIN entitlements ended ON ended.id = s.shadowed_by
  WHERE s.shadowed_by = ANY(@ended_ids::uuid[]) AND s.revoked_at IS NULL
  ORDER BY s.shadowed_by, s.granted_at, s.id
)
UPDATE entitlements e
SET shadowed_by = CASE WHEN e.id = h.id THEN NULL ELSE h.id END, live_since = CASE WHEN e.id = h.id THEN n.at ELSE e.live_since END,
    changed_kind = h.changed_kind, changed_id = h.changed_id, changed_at = n.at
FROM heirs h, (SELECT app_now() AS at OFFSET 0) n
WHERE e.shadowed_by = h.shadowed_by AND e.revoked_at IS NULL;

-- name: Restore :execrows
UPDATE entitlements e
SET revoked_at = NULL, shadowed_by = nullif(u.shadowed_by, '00000000-0000-0000-0000-000000000000'),
    live_since = CASE WHEN u.shadowed_by = '00000000-0000-0000-0000-000000000000' THEN n.at ELSE e.live_since END,
    changed_kind = u.cause_kind, changed_id = u.cause_id, changed_at = n.at
FROM (SELECT unnest(@line_ids::uuid[]) AS line_id, unnest(@shadowed_bys::uuid[]) AS shadowed_by,
             unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u,
     (SELECT app_now() AS at OFFSET 0) n
WHERE e.line_id = u.line_id AND e.revoked_at IS NOT NULL;

-- name: Freeze :exec
UPDATE entitlements e SET frozen_at = n.at, changed_kind = u.cause_kind, changed_id = u.cause_id, changed_at = n.at
FROM (SELECT unnest(@line_ids::uuid[]) AS line_id, unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u,
     (SELECT app_now() AS at OFFSET 0) n
WHERE e.line_id = u.line_id AND e.frozen_at IS NULL;

-- name: Thaw :exec
UPDATE entitlements e SET frozen_at = NULL, changed_kind = u.cause_kind, changed_id = u.cause_id, changed_at = app_now()
FROM (SELECT unnest(@line_ids::uuid[]) AS line_id, unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u
WHERE e.line_id = u.line_id AND e.frozen_at IS NOT NULL;

-- uq_entitlement_photo, uq_entitlement_event: at most one row each.
-- name: HasAccess :one
SELECT (EXISTS (SELECT FROM entitlements e WHERE e.photo_id = @photo_id AND e.buyer_id = @buyer_id
          AND e.revoked_at IS NULL AND e.shadowed_by IS NULL AND e.frozen_at IS NULL)
     OR EXISTS (SELECT FROM entitlements e WHERE e.event_id = @event_id AND e.buyer_id = @buyer_id AND e.photo_id IS NULL
          AND e.revoked_at IS NULL AND e.shadowed_by IS NULL AND e.frozen_at IS NULL))::boolean AS allowed;

-- Index entitlements_buyer, also for the next one.
-- name: Library :many
SELECT id, line_id, order_id, kind, event_id, photo_id, granted_at, (frozen_at IS NOT NULL)::boolean AS frozen
FROM entitlements
WHERE buyer_id = @buyer_id AND id < @before AND revoked_at IS NULL AND shadowed_by IS NULL
ORDER BY id DESC LIMIT @max;

-- name: Held :many
SELECT photo_id FROM entitlements
WHERE buyer_id = @buyer_id AND event_id = @event_id AND revoked_at IS NULL AND shadowed_by IS NULL;

-- Index entitlements_order.
-- name: ByOrders :many
SELECT id, line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since, frozen_at, revoked_at, shadowed_by
FROM entitlements WHERE order_id = ANY(@order_ids::uuid[]) ORDER BY order_id, id;

-- What a buyer has of events and has not ended. Index entitlements_buyer.
-- name: OwnedOf :many
SELECT id, line_id, order_id, buyer_id, kind, event_id, photo_id, granted_at, live_since, frozen_at, revoked_at, shadowed_by
FROM entitlements WHERE buyer_id = @buyer_id AND event_id = ANY(@event_ids::uuid[]) AND revoked_at IS NULL;

-- Grants of an account that give way to one that it claims. Like the next two
-- under the exclusive access locks of both buyers.
-- name: GiveWay :execrows
UPDATE entitlements e SET shadowed_by = u.shadowed_by, changed_kind = 'claim', changed_id = @cause_id, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@shadowed_bys::uuid[]) AS shadowed_by) u
WHERE e.id = u.id AND e.revoked_at IS NULL;

-- name: MoveGrants :execrows
UPDATE entitlements e
SET buyer_id = @buyer_id, changed_kind = 'claim', changed_id = @cause_id, changed_at = n.at,
    shadowed_by = CASE WHEN e.revoked_at IS NULL THEN nullif(u.shadowed_by, '00000000-0000-0000-0000-000000000000') ELSE e.shadowed_by END,
    live_since = CASE WHEN e.revoked_at IS NULL AND e.shadowed_by IS NOT NULL AND u.shadowed_by = '00000000-0000-0000-0000-000000000000'
                 THEN n.at ELSE e.live_since END
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@shadowed_bys::uuid[]) AS shadowed_by) u, (SELECT app_now() AS at OFFSET 0) n
WHERE e.id = u.id;

-- Promote for what gave way to a grant that moved away from its buyer.
-- name: PromoteLeft :exec
WITH heirs AS (
  SELECT DISTINCT ON (s.shadowed_by) s.id, s.shadowed_by, gone.changed_kind, gone.changed_id
  FROM entitlements s JOIN entitlements gone ON gone.id = s.shadowed_by
  WHERE s.shadowed_by = ANY(@moved_ids::uuid[]) AND s.revoked_at IS NULL AND s.buyer_id <> gone.buyer_id
  ORDER BY s.shadowed_by, s.granted_at, s.id
)
UPDATE entitlements e
SET shadowed_by = CASE WHEN e.id = h.id THEN NULL ELSE h.id END, live_since = CASE WHEN e.id = h.id THEN n.at ELSE e.live_since END,
    changed_kind = h.changed_kind, changed_id = h.changed_id, changed_at = n.at
FROM heirs h, (SELECT app_now() AS at OFFSET 0) n
WHERE e.shadowed_by = h.shadowed_by AND e.revoked_at IS NULL AND e.buyer_id <> @buyer_id;
