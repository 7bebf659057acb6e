-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
  CREATE ROLE proofroom_app NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- roles belong to the whole server, which may hold several databases
END $$;
-- +goose StatementEnd

-- The one clock of leases, expiry, rate windows and next attempts. A proof
-- replaces it in a scratch database to move time.
CREATE FUNCTION app_now() RETURNS timestamptz
  LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';

-- Raises when a pipelined write reached fewer or more rows than it meant to.
-- +goose StatementBegin
CREATE FUNCTION must_equal(what text, want bigint, got bigint) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  IF want IS DISTINCT FROM got THEN
    RAISE EXCEPTION '%: wanted % rows, got %', what, want, got USING ERRCODE = 'PR001';
  END IF;
END $$;
-- +goose StatementEnd

-- Refuses every statement it is attached to: append-only and tombstoned tables.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: rows there are never changed or deleted', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'PR002';
END $$;
-- +goose StatementEnd

-- The oldest binary, named by the newest migration it knows, that can serve the
-- schema after each migration.
CREATE TABLE schema_support (
  migration     bigint PRIMARY KEY,
  oldest_binary bigint NOT NULL CHECK (oldest_binary <= migration)
);
INSERT INTO schema_support VALUES (1, 1);

-- Time slots of scheduled work: a slot is done once, by whichever instance.
CREATE TABLE schedule_slots (
  kind    text NOT NULL,
  slot    timestamptz NOT NULL,
  done_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_schedule_slot UNIQUE (kind, slot)
);

-- +goose Down
SELECT 1;
