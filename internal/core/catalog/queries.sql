-- name: InsertEvent :execrows
INSERT INTO events (id, creator_id, slug, title, description, visibility, access_code, currency, commission_bps,
  timezone, starts_local, ends_local, starts_at, ends_at, free, price_photo, price_event)
VALUES (@id, @creator_id, @slug, @title, @description, @visibility, sqlc.narg(access_code), @currency, @commission_bps,
  @timezone, @starts_local, @ends_local, @starts_at, @ends_at, @free, sqlc.narg(price_photo), sqlc.narg(price_event))
ON CONFLICT DO NOTHING;

-- name: InsertBundles :exec
INSERT INTO price_bundles (event_id, photos, price)
SELECT @event_id::uuid, b.photos, b.price
FROM (SELECT unnest(@photos::int[]) AS photos, unnest(@prices::bigint[]) AS price) b
ORDER BY b.photos;

-- name: DeleteBundles :exec
DELETE FROM price_bundles WHERE event_id = @event_id;

-- name: EventsByID :many
-- One statement, so that an event and its bundles are of one moment.
SELECT sqlc.embed(e),
  ARRAY(SELECT b.photos FROM price_bundles b WHERE b.event_id = e.id ORDER BY b.photos)::int[] AS bundle_photos,
  ARRAY(SELECT b.price FROM price_bundles b WHERE b.event_id = e.id ORDER BY b.photos)::bigint[] AS bundle_prices
FROM events e
WHERE e.id = ANY(@ids::uuid[]);

-- name: EventBySlug :one
SELECT e.id FROM events e WHERE e.slug = @slug;

-- name: LockEventForSale :one
SELECT e.id FROM events e WHERE e.id = @id FOR KEY SHARE;

-- name: LockEventForEdit :one
SELECT e.id FROM events e WHERE e.id = @id FOR NO KEY UPDATE;

-- name: LockEventForCurrency :one
SELECT e.id FROM events e WHERE e.id = @id FOR UPDATE;

-- name: UpdateEvent :exec
UPDATE events SET slug = @slug, title = @title, description = @description, visibility = @visibility,
  access_code = sqlc.narg(access_code), currency = @currency, timezone = @timezone,
  starts_local = @starts_local, ends_local = @ends_local, starts_at = @starts_at, ends_at = @ends_at,
  free = @free, price_photo = sqlc.narg(price_photo), price_event = sqlc.narg(price_event), updated_at = app_now()
WHERE id = @id;

-- name: MoveEvent :execrows
UPDATE events SET status = @next, updated_at = app_now()
WHERE id = @id AND status = @was AND deleted_at IS NULL;

-- name: DeleteEvent :execrows
UPDATE events SET deleted_at = app_now(), updated_at = app_now()
WHERE id = @id AND status <> 'on_sale' AND deleted_at IS NULL;

-- name: ListedEvents :many
SELECT e.id FROM events e
WHERE e.status = 'on_sale' AND e.visibility = 'public' AND e.deleted_at IS NULL
  AND (e.starts_at, e.id) < (@before_starts::timestamptz, @before_id::uuid)
ORDER BY e.starts_at DESC, e.id DESC
LIMIT @max_rows;

-- name: CreatorEvents :many
SELECT e.id FROM events e
WHERE e.creator_id = @creator_id AND e.deleted_at IS NULL AND e.id < @before_id::uuid
ORDER BY e.id DESC
LIMIT @max_rows;

-- name: InsertPhotos :many
-- Rows go in by the unique key, so that two uploads of the same files wait for
-- one another in one order.
INSERT INTO photos (id, event_id, creator_id, sha256, name)
SELECT n.id, n.event_id, n.creator_id, n.sha256, n.name
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@event_ids::uuid[]) AS event_id, unnest(@creator_ids::uuid[]) AS creator_id, unnest(@hashes::bytea[]) AS sha256, unnest(@names::text[]) AS name) n
ORDER BY n.event_id, n.sha256
ON CONFLICT DO NOTHING
RETURNING id;

-- name: PhotosByHash :many
SELECT p.id, p.event_id, p.sha256, p.deleted_at, p.state
FROM photos p
JOIN (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@hashes::bytea[]) AS sha256) n
  ON p.event_id = n.event_id AND p.sha256 = n.sha256;

-- name: LockPhotos :many
SELECT p.id FROM photos p WHERE p.id = ANY(@ids::uuid[]) ORDER BY p.id FOR NO KEY UPDATE;

-- name: RestorePhotos :many
-- Sent again, a deleted one is back, and one that could not be read is tried
-- again. Returns those. The rows are locked by LockPhotos.
UPDATE photos SET deleted_at = NULL, changed_at = app_now(),
  state = CASE WHEN state = 'unreadable' THEN 'processing' ELSE state END,
  reason = CASE WHEN state = 'unreadable' THEN '' ELSE reason END,
  queued_at = CASE WHEN state = 'unreadable' THEN app_now() ELSE queued_at END
WHERE id = ANY(@ids::uuid[]) AND (deleted_at IS NOT NULL OR state = 'unreadable')
RETURNING id, state;

-- name: PhotosByID :many
SELECT sqlc.embed(p) FROM photos p WHERE p.id = ANY(@ids::uuid[]);

-- name: ReadyPhotos :many
UPDATE photos p SET state = 'ready', width = n.width, height = n.height, average = n.average,
  taken_local = nullif(n.taken, '')::timestamp, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@widths::int[]) AS width, unnest(@heights::int[]) AS height, unnest(@averages::text[]) AS average, unnest(@taken::text[]) AS taken) n
WHERE p.id = n.id AND p.state = 'processing'
RETURNING p.id;

-- name: UnreadablePhotos :many
UPDATE photos p SET state = 'unreadable', reason = n.reason, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@reasons::text[]) AS reason) n
WHERE p.id = n.id AND p.state = 'processing'
RETURNING p.id;

-- name: HidePhotos :many
UPDATE photos SET hidden_at = app_now(), changed_at = app_now()
WHERE id = ANY(@ids::uuid[]) AND hidden_at IS NULL
RETURNING id;

-- name: ShowPhotos :many
UPDATE photos SET hidden_at = NULL, changed_at = app_now()
WHERE id = ANY(@ids::uuid[]) AND hidden_at IS NOT NULL
RETURNING id;

-- name: DeletePhotos :many
UPDATE photos SET deleted_at = app_now(), changed_at = app_now()
WHERE id = ANY(@ids::uuid[]) AND deleted_at IS NULL
RETURNING id;

-- name: ClaimStuckPhotos :many
UPDATE photos SET queued_at = app_now()
WHERE id IN (
  SELECT p.id FROM photos p
  WHERE p.state = 'processing' AND p.queued_at < app_now() - @older::interval
  ORDER BY p.queued_at, p.id
  LIMIT @max_rows
  FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id;

-- name: EventPhotos :many
SELECT sqlc.embed(p) FROM photos p
WHERE p.event_id = @event_id AND p.id > @after_id::uuid AND p.deleted_at IS NULL
  AND (@everything::boolean OR (p.state = 'ready' AND p.hidden_at IS NULL))
ORDER BY p.id
LIMIT @max_rows;

-- name: CountPhotos :many
SELECT p.event_id,
  count(*) FILTER (WHERE p.state = 'ready' AND p.hidden_at IS NULL) AS ready,
  count(*) FILTER (WHERE p.state = 'processing' AND p.hidden_at IS NULL) AS processing,
  count(*) FILTER (WHERE p.state = 'unreadable' AND p.hidden_at IS NULL) AS unreadable,
  count(*) FILTER (WHERE p.hidden_at IS NOT NULL) AS hidden
FROM photos p
WHERE p.event_id = ANY(@event_ids::uuid[]) AND p.deleted_at IS NULL
GROUP BY p.event_id;

-- name: Deliverable :one
SELECT (
  EXISTS (SELECT FROM events e WHERE e.id = @event_id AND e.deleted_at IS NULL)
  AND (SELECT count(*) FROM photos p
       WHERE p.id = ANY(@photo_ids::uuid[]) AND p.event_id = @event_id
         AND p.state = 'ready' AND p.hidden_at IS NULL AND p.deleted_at IS NULL) = coalesce(cardinality(@photo_ids::uuid[]), 0)
)::boolean AS deliverable;
