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
