-- Receipts of concurrent requests as one statement, in the order of the unique
-- key uq_inbox_event; what is there already stays.
-- name: InsertReceipts :many
INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, seq, headers, body, said_at, done_at, note)
SELECT u.id, u.provider, u.account, u.event_id, u.object_id, u.event_type, u.class, u.applier, u.state,
       CASE WHEN u.class IN ('fact', 'reply') THEN u.facts END, u.class <> 'pointer', u.seq, u.headers, u.body, u.said_at,
       CASE WHEN u.state <> 'received' THEN app_now() END, u.note
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account,
             unnest(@event_ids::text[]) AS event_id, unnest(@object_ids::text[]) AS object_id, unnest(@event_types::text[]) AS event_type,
             unnest(@classes::text[]) AS class, unnest(@appliers::text[]) AS applier, unnest(@states::text[]) AS state, unnest(@notes::text[]) AS note,
             unnest(@facts::bytea[]) AS facts, unnest(@seqs::bigint[]) AS seq,
             unnest(@headers::bytea[]) AS headers, unnest(@bodies::bytea[]) AS body, unnest(@said_at::timestamptz[]) AS said_at) u
ORDER BY u.provider, u.account, u.event_id, u.object_id
ON CONFLICT DO NOTHING
RETURNING id;

-- A pointer said again: what it points at is fetched again, also when the row
-- was finished, but at most once in 10 s, and its tries count from now. A fetch
-- that has not begun comes after what was said anyway. What an older version had
-- no use for becomes a pointer. uq_inbox_event.
-- name: PointAgain :exec
UPDATE inbox i SET
  class = 'pointer',
  again = i.state = 'fetching' OR i.ready AND i.state IN ('received', 'failed'),
  state = CASE WHEN locked.ended THEN 'received' ELSE i.state END,
  ready = i.ready AND NOT locked.ended,
  done_at = CASE WHEN NOT locked.ended THEN i.done_at END,
  attempts = CASE WHEN locked.ended THEN 0 ELSE i.attempts END,
  since = CASE WHEN locked.ended THEN app_now() ELSE i.since END,
  next_attempt_at = CASE WHEN locked.ended THEN greatest(app_now(), i.fetched_at + interval '10 seconds') ELSE i.next_attempt_at END
FROM (SELECT l.id, l.state IN ('done', 'ignored', 'dead') AS ended FROM inbox l
      WHERE l.class IN ('pointer', 'ignored') AND (l.provider, l.account, l.event_id, l.object_id, l.event_type) IN
            (SELECT unnest(@providers::text[]), unnest(@accounts::text[]), unnest(@event_ids::text[]), unnest(@object_ids::text[]),
                    unnest(@event_types::text[]))
      ORDER BY l.id FOR NO KEY UPDATE) locked
WHERE i.id = locked.id;

-- A number above all drawn before.
-- name: DrawSeq :one
SELECT nextval('inbox_seq')::bigint AS seq, app_now()::timestamptz AS now;

-- Counts facts that wait to be applied for the first time, up to the limit:
-- partial index inbox_due.
-- name: Backlog :one
SELECT count(*)::bigint FROM (SELECT FROM inbox
  WHERE state = 'received' AND class = 'fact' AND ready AND next_attempt_at <= app_now() LIMIT @max) due;

-- Counts the pointers of one account that were not fetched, up to the limit:
-- partial index inbox_unfetched.
-- name: Unfetched :one
SELECT count(*)::bigint FROM (SELECT FROM inbox
  WHERE provider = @provider AND account = @account AND state IN ('received', 'failed', 'fetching') AND NOT ready LIMIT @max) waiting;

-- Claims rows to apply: partial index inbox_due, SKIP LOCKED; the lock lasts to
-- the end of the transaction that applies them.
-- name: ClaimDue :many
SELECT id, provider, account, event_type, class, object_id, facts, seq, attempts, extract(epoch FROM app_now() - since)::float8 AS age_seconds
FROM inbox
WHERE state IN ('received', 'failed') AND ready AND next_attempt_at <= app_now() AND applier = @applier
ORDER BY next_attempt_at, id LIMIT @max FOR UPDATE SKIP LOCKED;

-- The same for chosen rows: a browser's return, a bisected batch.
-- name: ClaimRows :many
SELECT id, provider, account, event_type, class, object_id, facts, seq, attempts, extract(epoch FROM app_now() - since)::float8 AS age_seconds
FROM inbox
WHERE id = ANY(@ids::uuid[]) AND state IN ('received', 'failed') AND ready
ORDER BY id FOR UPDATE SKIP LOCKED;

-- Ends rows. A pointer that was said again meanwhile goes back.
-- name: Finish :exec
UPDATE inbox i SET
  state = CASE WHEN i.again THEN 'received' ELSE u.state END,
  done_at = CASE WHEN NOT i.again THEN app_now() END,
  ready = NOT i.again,
  next_attempt_at = CASE WHEN i.again THEN greatest(app_now(), i.fetched_at + interval '10 seconds') ELSE i.next_attempt_at END,
  attempts = CASE WHEN i.again THEN 0 ELSE i.attempts + 1 END,
  since = CASE WHEN i.again THEN app_now() ELSE i.since END,
  again = false, note = u.note
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@notes::text[]) AS note) u
WHERE i.id = u.id;

-- Puts rows off. A pointer is fetched again before it is applied again; one that
-- was said again meanwhile is not given up.
-- name: PutOff :exec
UPDATE inbox i SET
  state = CASE WHEN u.dead AND NOT i.again THEN 'dead' ELSE 'failed' END,
  done_at = CASE WHEN u.dead AND NOT i.again THEN app_now() END,
  ready = i.class <> 'pointer', note = u.note, attempts = i.attempts + 1,
  next_attempt_at = app_now() + make_interval(secs => u.wait)
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@notes::text[]) AS note, unnest(@waits::float8[]) AS wait, unnest(@deads::boolean[]) AS dead) u
WHERE i.id = u.id;

-- Claims pointers of one account to fetch, under a lease of 30 s with a term:
-- partial index inbox_unfetched. A fetch whose lease ran out is claimed by the
-- next. What was said before the claim is seen by the fetch, so again is over;
-- the row's own time begins with the first fetch that says something about it.
-- name: ClaimFetches :many
UPDATE inbox i SET state = 'fetching', term = i.term + 1, seq = nextval('inbox_seq'), again = false,
  since = CASE WHEN i.attempts = 0 THEN app_now() ELSE i.since END, fetch_until = app_now() + interval '30 seconds'
FROM (SELECT c.id FROM inbox c
      WHERE c.provider = @provider AND c.account = @account
        AND c.state IN ('received', 'failed', 'fetching') AND NOT c.ready AND c.next_attempt_at <= app_now()
        AND (c.state <> 'fetching' OR c.fetch_until <= app_now())
      ORDER BY c.next_attempt_at, c.id LIMIT @max FOR UPDATE SKIP LOCKED) due
WHERE i.id = due.id
RETURNING i.id, i.provider, i.account, i.event_type, i.object_id, i.applier, i.term, i.seq, i.attempts, i.lost;

-- The same of accounts that are not among these: nobody here can ask them.
-- name: ClaimStrays :many
UPDATE inbox i SET state = 'fetching', term = i.term + 1, again = false, fetch_until = app_now() + interval '30 seconds'
FROM (SELECT c.id FROM inbox c
      WHERE (c.provider, c.account) NOT IN (SELECT unnest(@providers::text[]), unnest(@accounts::text[]))
        AND c.state IN ('received', 'failed', 'fetching') AND NOT c.ready AND c.next_attempt_at <= app_now()
        AND (c.state <> 'fetching' OR c.fetch_until <= app_now())
      ORDER BY c.id LIMIT @max FOR UPDATE SKIP LOCKED) due
WHERE i.id = due.id
RETURNING i.id, i.provider, i.account, i.event_type, i.object_id, i.applier, i.term, i.seq, i.attempts, i.lost;

-- Stores what was fetched, at the fetcher's own term only: an older fetch never
-- replaces a newer one. What is done has its effects in the same transaction; if
-- it was said again meanwhile, it is fetched again.
-- name: StoreFetched :many
UPDATE inbox i SET facts = u.facts, fetched_at = app_now(), fetch_until = NULL, lost = 0,
  state = CASE WHEN u.done AND NOT i.again THEN 'done' ELSE 'received' END,
  ready = NOT (u.done AND i.again),
  done_at = CASE WHEN u.done AND NOT i.again THEN app_now() END,
  next_attempt_at = CASE WHEN u.done AND i.again THEN app_now() + interval '10 seconds' ELSE app_now() END,
  attempts = CASE WHEN NOT u.done THEN i.attempts WHEN i.again THEN 0 ELSE i.attempts + 1 END,
  since = CASE WHEN u.done AND i.again THEN app_now() ELSE i.since END,
  again = i.again AND NOT u.done
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@terms::int[]) AS term, unnest(@facts::bytea[]) AS facts, unnest(@dones::boolean[]) AS done) u
WHERE i.id = u.id AND i.term = u.term AND i.state = 'fetching'
RETURNING i.id;

-- Puts a pointer off after a fetch. A lost reply counts no attempt.
-- name: FetchFailed :execrows
UPDATE inbox SET
  state = CASE WHEN @dead::boolean AND NOT again THEN 'dead' ELSE 'failed' END,
  done_at = CASE WHEN @dead::boolean AND NOT again THEN app_now() END,
  attempts = CASE WHEN @lost::boolean THEN attempts ELSE attempts + 1 END, lost = CASE WHEN @lost::boolean THEN lost + 1 ELSE 0 END,
  note = @note, fetch_until = NULL, next_attempt_at = app_now() + make_interval(secs => @wait::float8)
WHERE id = @id AND term = @term AND state = 'fetching';

-- Gives back pointers that nobody asked about.
-- name: Unclaim :execrows
UPDATE inbox SET state = 'received', fetch_until = NULL WHERE id = @id AND term = @term AND state = 'fetching';

-- name: StateOf :one
SELECT state FROM inbox WHERE id = @id;

-- Adds to what is counted of one account and reason. After a day without any the
-- count begins anew. The primary key lets instances add at the same time.
-- name: CountRefused :exec
INSERT INTO webhook_refusals AS w (provider, account, reason, count, detail, body)
VALUES (@provider, @account, @reason, @count, @detail, @body)
ON CONFLICT (provider, account, reason) DO UPDATE SET
  count = excluded.count + CASE WHEN w.last_at < app_now() - interval '1 day' THEN 0 ELSE w.count END,
  first_at = CASE WHEN w.last_at < app_now() - interval '1 day' THEN excluded.first_at ELSE w.first_at END,
  last_at = excluded.last_at, detail = excluded.detail, body = excluded.body;

-- How pointers of this name ended. uq_inbox_event.
-- name: StatesOf :many
SELECT i.event_id, i.state FROM inbox i
WHERE i.class = 'pointer' AND (i.provider, i.account, i.event_id, i.object_id, i.event_type) IN
      (SELECT unnest(@providers::text[]), unnest(@accounts::text[]), unnest(@event_ids::text[]), unnest(@object_ids::text[]),
              unnest(@event_types::text[]));

-- What was last found out about these objects, by asking. Index inbox_object.
-- name: LastFacts :many
SELECT DISTINCT ON (object_id) object_id, coalesce(facts, '')::bytea AS facts FROM inbox
WHERE provider = @provider AND account = @account AND object_id = ANY(@object_ids::text[]) AND seq > 0 AND ready
ORDER BY object_id, seq DESC;

-- Rows that an operator may look at, newest first: partial index inbox_stuck.
-- name: ListStuck :many
SELECT id, provider, account, event_id, object_id, event_type, class, state, note, attempts, lost, replays, received_at, next_attempt_at, done_at
FROM inbox
WHERE state IN ('failed', 'dead') AND (@state::text = '' OR state = @state) AND id < @before ORDER BY id DESC LIMIT @max;

-- name: GetEvidence :one
SELECT id, provider, account, event_id, object_id, event_type, class, applier, state, note, attempts, lost, replays, facts, seq, body,
       said_at, received_at, fetched_at, next_attempt_at, done_at
FROM inbox WHERE id = @id;

-- Has a row tried anew, from the start, if it stands as the operator saw it.
-- name: Replay :execrows
UPDATE inbox SET state = 'received', ready = class <> 'pointer', again = false, done_at = NULL, attempts = 0, lost = 0,
  since = app_now(), next_attempt_at = app_now(), replays = replays + 1
WHERE id = @id AND state IN ('failed', 'dead') AND replays = @replays;

-- What waits in the inbox. A whole scan: a person asks, now and then.
-- name: Waiting :one
SELECT count(*) FILTER (WHERE state = 'dead') AS dead,
       count(*) FILTER (WHERE state IN ('received', 'fetching', 'failed') AND received_at < app_now() - make_interval(secs => @longest)) AS slow
FROM inbox WHERE state IN ('dead', 'received', 'fetching', 'failed');

-- What one account has sent of late. A whole scan: a person asks, now and then.
-- name: HeardOf :one
SELECT count(*) FROM inbox
WHERE provider = @provider AND account = @account AND class <> 'reply' AND received_at > app_now() - make_interval(secs => @since);

-- What was refused of one account of late, by reason, the last first. Primary key.
-- name: RefusalsOf :many
SELECT reason, count, first_at, last_at, detail FROM webhook_refusals
WHERE provider = @provider AND account = @account AND last_at > app_now() - make_interval(secs => @since)
ORDER BY last_at DESC;
