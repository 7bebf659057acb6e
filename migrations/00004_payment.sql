-- +goose Up
INSERT INTO schema_support VALUES (4, 4);

-- What providers said: the one queue. Bodies are kept as received; columns that
-- are filled from outside are bytea or checked ASCII, so that no row can make
-- the statement fail that stores its neighbours.
CREATE TABLE inbox (
  id              uuid PRIMARY KEY,
  provider        text NOT NULL,
  account         text NOT NULL,
  event_id        text NOT NULL,
  object_id       text NOT NULL,
  event_type      text NOT NULL,
  class           text NOT NULL CHECK (class IN ('fact', 'pointer', 'reply', 'ignored')),
  applier         text NOT NULL,
  state           text NOT NULL CHECK (state IN ('received', 'fetching', 'failed', 'done', 'ignored', 'dead')),
  -- The observations, as JSON. NULL until a pointer was fetched.
  facts           bytea,
  ready           boolean NOT NULL,
  again           boolean NOT NULL DEFAULT false,
  -- Lease of the fetch: a worker's result counts only at its own term.
  term            int NOT NULL DEFAULT 0,
  fetch_until     timestamptz,
  fetched_at      timestamptz,
  -- Drawn from inbox_seq before the provider was asked: of two answers about one
  -- object the higher looked later. 0 for what was not asked for.
  seq             bigint NOT NULL DEFAULT 0,
  -- Tries that say something about the row, since when they count, and, in a row,
  -- those whose reply was lost, which say nothing about it.
  attempts        int NOT NULL DEFAULT 0,
  since           timestamptz NOT NULL DEFAULT app_now(),
  lost            int NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT app_now(),
  -- How often an operator had it tried anew: who saw an older number presses in vain.
  replays         int NOT NULL DEFAULT 0,
  note            text NOT NULL DEFAULT '',
  headers         bytea NOT NULL DEFAULT '',
  body            bytea NOT NULL DEFAULT '' ,
  said_at         timestamptz,
  received_at     timestamptz NOT NULL DEFAULT app_now(),
  done_at         timestamptz,
  -- The type belongs to it: a forgery that takes the id of a genuine event and
  -- calls it something else must not stand where the genuine one has to.
  CONSTRAINT uq_inbox_event UNIQUE (provider, account, event_id, object_id, event_type),
  CONSTRAINT inbox_ready CHECK (NOT ready OR facts IS NOT NULL OR class = 'ignored'),
  CONSTRAINT inbox_terminal CHECK ((state IN ('done', 'ignored', 'dead')) = (done_at IS NOT NULL))
) WITH (autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE inbox ALTER COLUMN body SET COMPRESSION lz4;

CREATE SEQUENCE inbox_seq;

-- Rows to apply, rows to fetch first, each account's by themselves, and rows that
-- an operator may look at. Only such rows are in them, so a claim costs the same
-- whatever the table's size.
CREATE INDEX inbox_due ON inbox (next_attempt_at, id) WHERE state IN ('received', 'failed') AND ready;
CREATE INDEX inbox_unfetched ON inbox (provider, account, next_attempt_at, id) WHERE state IN ('received', 'failed', 'fetching') AND NOT ready;
CREATE INDEX inbox_stuck ON inbox (id) WHERE state IN ('failed', 'dead');
CREATE INDEX inbox_object ON inbox (object_id);

-- Refused webhooks, counted, with the last one: for the operator who set a wrong
-- secret. A row for each account and reason, so that a flood fills nothing.
CREATE TABLE webhook_refusals (
  provider text NOT NULL,
  account  text NOT NULL,
  reason   text NOT NULL,
  count    bigint NOT NULL CHECK (count > 0), -- since first_at
  first_at timestamptz NOT NULL DEFAULT app_now(),
  last_at  timestamptz NOT NULL DEFAULT app_now(),
  detail   text NOT NULL,
  body     bytea NOT NULL, -- its first 4 KiB
  PRIMARY KEY (provider, account, reason)
);

GRANT SELECT, INSERT, UPDATE ON inbox, webhook_refusals TO proofroom_app;
GRANT USAGE ON SEQUENCE inbox_seq TO proofroom_app;

-- +goose Down
SELECT 1;
