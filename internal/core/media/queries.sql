-- name: InsertBlobs :execrows
INSERT INTO blobs (photo_id, kind, key, format, width, height, bytes, sha256)
SELECT n.photo_id, n.kind, n.key, n.format, n.width, n.height, n.bytes, n.sha256
FROM (SELECT unnest(@photo_ids::uuid[]) AS photo_id, unnest(@kinds::text[]) AS kind, unnest(@keys::text[]) AS key,
  unnest(@formats::text[]) AS format, unnest(@widths::int[]) AS width, unnest(@heights::int[]) AS height,
  unnest(@sizes::bigint[]) AS bytes, unnest(@hashes::bytea[]) AS sha256) n
ORDER BY n.photo_id, n.kind
ON CONFLICT DO NOTHING;

-- name: BlobsOf :many
SELECT sqlc.embed(b) FROM blobs b WHERE b.photo_id = ANY(@photo_ids::uuid[]) ORDER BY b.photo_id, b.kind;

-- name: Blob :one
SELECT sqlc.embed(b) FROM blobs b WHERE b.photo_id = @photo_id AND b.kind = @kind;

-- Every file that a row names, in pieces. By the primary key, so that a file is
-- met once for each photograph that has it.
-- name: NamedFiles :many
SELECT b.photo_id, b.kind, b.key, b.bytes, b.sha256, b.created_at FROM blobs b
WHERE (b.photo_id, b.kind) > (@after_photo::uuid, @after_kind::text)
ORDER BY b.photo_id, b.kind LIMIT @max;

-- What was recorded in the last days, in bytes and rows, and how long ago the
-- first file of all was. A whole scan: a person asks, now and then.
-- name: Growth :one
SELECT coalesce(sum(b.bytes) FILTER (WHERE b.created_at > app_now() - make_interval(secs => @since)), 0)::bigint AS bytes,
  count(*) FILTER (WHERE b.created_at > app_now() - make_interval(secs => @since)) AS files,
  coalesce(extract(epoch FROM app_now() - min(b.created_at)), 0)::float8 AS oldest
FROM blobs b;
