-- uq_idempotency_key: the second of two waits here for the first.
-- name: InsertKey :execrows
INSERT INTO idempotency_keys (actor_id, operation, key, fingerprint, state, lease_until)
VALUES (@actor_id, @operation, @key, @fingerprint, 'running', app_now() + make_interval(secs => @lease_seconds::float8))
ON CONFLICT DO NOTHING;

-- The row's lock is held to the end of the transaction.
-- name: LockKey :one
SELECT fingerprint, state, term, subject_id, status, body,
       greatest(0, extract(epoch FROM lease_until - app_now()))::float8 AS lease_seconds,
       created_at <= app_now() - make_interval(secs => @kept_seconds::float8) AS outlived
FROM idempotency_keys WHERE actor_id = @actor_id AND operation = @operation AND key = @key FOR UPDATE;

-- Under LockKey. A takeover raises the term.
-- name: TakeOver :one
UPDATE idempotency_keys SET term = term + 1, lease_until = app_now() + make_interval(secs => @lease_seconds::float8)
WHERE actor_id = @actor_id AND operation = @operation AND key = @key AND state = 'running'
RETURNING term;

-- Under LockKey.
-- name: Complete :execrows
UPDATE idempotency_keys SET state = 'done', status = @status, body = @body
WHERE actor_id = @actor_id AND operation = @operation AND key = @key AND state = 'running';

-- Primary key.
-- name: KeyExists :one
SELECT EXISTS (SELECT FROM idempotency_keys WHERE actor_id = @actor_id AND operation = @operation AND key = @key)::boolean AS ok;

-- Claims a key that nobody has, with the row that its request makes, or raises.
-- uq_idempotency_key: the second of two waits here for the first.
-- name: ClaimFresh :exec
WITH k AS (
  INSERT INTO idempotency_keys (actor_id, operation, key, fingerprint, state, lease_until, subject_id)
  VALUES (@actor_id, @operation, @key, @fingerprint, 'running', app_now() + make_interval(secs => @lease_seconds::float8), @subject_id)
  ON CONFLICT DO NOTHING RETURNING 1
) SELECT must_equal('idempotency_keys', 1, count(*)) FROM k;

-- Takes the row's lock itself, or raises when the key is no longer the caller's.
-- Primary key.
-- name: CompleteFresh :exec
WITH k AS (
  UPDATE idempotency_keys SET state = 'done', status = @status, body = @body
  WHERE actor_id = @actor_id AND operation = @operation AND key = @key AND state = 'running' AND term = @term RETURNING 1
) SELECT must_equal('idempotency_keys', 1, count(*)) FROM k;

-- Takes the row's lock itself. A term of 0 asks for none.
-- name: SetSubject :execrows
UPDATE idempotency_keys SET subject_id = @subject_id
WHERE actor_id = @actor_id AND operation = @operation AND key = @key AND state = 'running' AND (term = @term OR @term::int = 0)
  AND (subject_id IS NULL OR subject_id = @subject_id);

-- Under LockKey.
-- name: Release :execrows
UPDATE idempotency_keys SET lease_until = app_now()
WHERE actor_id = @actor_id AND operation = @operation AND key = @key AND state = 'running';

-- Under LockKey.
-- name: Forget :execrows
DELETE FROM idempotency_keys WHERE actor_id = @actor_id AND operation = @operation AND key = @key;

-- Index idempotency_keys_age.
-- name: Purge :execrows
DELETE FROM idempotency_keys WHERE (actor_id, operation, key) IN (
  SELECT k.actor_id, k.operation, k.key FROM idempotency_keys k
  WHERE k.created_at <= app_now() - make_interval(secs => @kept_seconds::float8)
  ORDER BY k.created_at LIMIT @max FOR UPDATE SKIP LOCKED);
