-- Receipts of concurrent requests as one statement, in the order of the unique
-- key uq_inbox_event; what is there already stays.
-- name: InsertReceipts :many
INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, headers, body, said_at, done_at, note)
SELECT u.id, u.provider, u.account, u.event_id, u.object_id, u.event_type, u.class, u.applier,
       CASE WHEN u.class = 'ignored' THEN 'ignored' ELSE 'received' END,
       CASE WHEN u.class IN ('fact', 'reply') THEN u.facts END, u.class <> 'pointer', u.headers, u.body, u.said_at,
       CASE WHEN u.class = 'ignored' THEN app_now() END,
       CASE WHEN u.class = 'ignored' THEN 'an event type that we have no use for' ELSE '' END
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account,
             unnest(@event_ids::text[]) AS event_id, unnest(@object_ids::text[]) AS object_id, unnest(@event_types::text[]) AS event_type,
             unnest(@classes::text[]) AS class, unnest(@appliers::text[]) AS applier, unnest(@facts::bytea[]) AS facts,
             unnest(@headers::bytea[]) AS headers, unnest(@bodies::bytea[]) AS body, unnest(@said_at::timestamptz[]) AS said_at) u
ORDER BY u.provider, u.account, u.event_id, u.object_id
ON CONFLICT DO NOTHING
RETURNING id;

-- A pointer said again: what it points at is fetched again, also when the row
-- was finished, but at most once in 10 s.
-- name: PointAgain :exec
UPDATE inbox i SET
  again = i.state = 'fetching' OR i.ready AND i.state IN ('received', 'failed'),
  state = CASE WHEN i.state IN ('done', 'ignored', 'dead') THEN 'received' ELSE i.state END,
  ready = i.ready AND i.state NOT IN ('done', 'ignored', 'dead'),
  done_at = CASE WHEN i.state IN ('done', 'ignored', 'dead') THEN NULL ELSE i.done_at END,
  next_attempt_at = CASE WHEN i.state IN ('done', 'ignored', 'dead')
    THEN greatest(app_now(), coalesce(i.fetched_at, app_now()) + interval '10 seconds') ELSE i.next_attempt_at END
FROM (SELECT l.id FROM inbox l
      WHERE l.class = 'pointer' AND (l.provider, l.account, l.event_id, l.object_id) IN
            (SELECT unnest(@providers::text[]), unnest(@accounts::text[]), unnest(@event_ids::text[]), unnest(@object_ids::text[]))
      ORDER BY l.id FOR NO KEY UPDATE) locked
WHERE i.id = locked.id;

-- Counts rows that wait to be applied, up to the limit: partial index inbox_due.
-- name: Backlog :one
SELECT count(*)::bigint FROM (SELECT FROM inbox WHERE state IN ('received', 'failed') AND ready AND next_attempt_at <= app_now() LIMIT @max) due;

-- Claims rows to apply: partial index inbox_due, SKIP LOCKED; the lock lasts to
-- the end of the transaction that applies them.
-- name: ClaimDue :many
SELECT id, provider, account, event_type, class, object_id, facts, attempts, extract(epoch FROM app_now() - received_at)::float8 AS age_seconds
FROM inbox
WHERE state IN ('received', 'failed') AND ready AND next_attempt_at <= app_now() AND applier = @applier
ORDER BY next_attempt_at, id LIMIT @max FOR UPDATE SKIP LOCKED;

-- The same for chosen rows: a browser's return, a bisected batch.
-- name: ClaimRows :many
SELECT id, provider, account, event_type, class, object_id, facts, attempts, extract(epoch FROM app_now() - received_at)::float8 AS age_seconds
FROM inbox
WHERE id = ANY(@ids::uuid[]) AND state IN ('received', 'failed') AND ready
ORDER BY id FOR UPDATE SKIP LOCKED;

-- Ends rows. A pointer that was said again meanwhile goes back.
-- name: Finish :exec
UPDATE inbox i SET
  state = CASE WHEN i.again AND i.class = 'pointer' THEN 'received' ELSE u.state END,
  done_at = CASE WHEN i.again AND i.class = 'pointer' THEN NULL ELSE app_now() END,
  ready = NOT (i.again AND i.class = 'pointer'),
  next_attempt_at = CASE WHEN i.again AND i.class = 'pointer' THEN greatest(app_now(), i.fetched_at + interval '10 seconds') ELSE i.next_attempt_at END,
  again = false, note = u.note, attempts = i.attempts + 1
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@notes::text[]) AS note) u
WHERE i.id = u.id;

-- Puts rows off. A pointer is fetched again before it is applied again.
-- name: PutOff :exec
UPDATE inbox i SET
  state = CASE WHEN u.dead THEN 'dead' ELSE 'failed' END,
  done_at = CASE WHEN u.dead THEN app_now() END,
  ready = i.class <> 'pointer' OR (u.dead AND i.ready), note = u.note, attempts = i.attempts + 1,
  next_attempt_at = app_now() + make_interval(secs => u.wait)
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@notes::text[]) AS note, unnest(@waits::float8[]) AS wait, unnest(@deads::boolean[]) AS dead) u
WHERE i.id = u.id;

-- Claims pointers to fetch, under a lease of 30 s with a term: partial index
-- inbox_unfetched. A fetch whose lease ran out is claimed by the next.
-- name: ClaimFetches :many
UPDATE inbox i SET state = 'fetching', term = i.term + 1, fetch_until = app_now() + interval '30 seconds'
FROM (SELECT c.id FROM inbox c
      WHERE c.state IN ('received', 'failed', 'fetching') AND NOT c.ready AND c.next_attempt_at <= app_now()
        AND (c.state <> 'fetching' OR c.fetch_until <= app_now())
      ORDER BY c.next_attempt_at, c.id LIMIT @max FOR UPDATE SKIP LOCKED) due
WHERE i.id = due.id
RETURNING i.id, i.provider, i.account, i.event_type, i.object_id, i.term, i.attempts;

-- Stores what was fetched, at the fetcher's own term only.
-- name: StoreFetched :execrows
UPDATE inbox SET facts = @facts, ready = true, state = 'received', fetched_at = app_now(), fetch_until = NULL, next_attempt_at = app_now()
WHERE id = @id AND term = @term AND state = 'fetching';

-- name: FetchFailed :execrows
UPDATE inbox SET state = CASE WHEN @dead::boolean THEN 'dead' ELSE 'failed' END, done_at = CASE WHEN @dead::boolean THEN app_now() END,
  attempts = attempts + 1, note = @note, fetch_until = NULL, next_attempt_at = app_now() + make_interval(secs => @wait::float8)
WHERE id = @id AND term = @term AND state = 'fetching';

-- name: GetRow :one
SELECT id, provider, account, event_id, object_id, event_type, class, state, note, attempts, received_at, done_at
FROM inbox WHERE id = @id;

-- One of a hundred slots is overwritten, so that a flood fills nothing.
-- name: SampleRejected :exec
INSERT INTO webhook_samples (slot, provider, account, reason, detail, body, received_at)
VALUES (@slot, @provider, @account, @reason, @detail, @body, app_now())
ON CONFLICT (slot) DO UPDATE SET provider = excluded.provider, account = excluded.account, reason = excluded.reason,
  detail = excluded.detail, body = excluded.body, received_at = excluded.received_at;

-- How events of this name ended. uq_inbox_event.
-- name: StatesOf :many
SELECT i.event_id, i.state FROM inbox i
WHERE (i.provider, i.account, i.event_id, i.object_id) IN
      (SELECT unnest(@providers::text[]), unnest(@accounts::text[]), unnest(@event_ids::text[]), unnest(@object_ids::text[]));
