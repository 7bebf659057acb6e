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

-- How often something was done: one row a key, the theoretical arrival time of
-- the generic cell rate algorithm. A crash of the database empties the table
-- and every limit starts afresh; nothing here is worth a flush to disk.
CREATE UNLOGGED TABLE rate_limits (
  key bytea PRIMARY KEY,
  tat timestamptz NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX rate_limits_age ON rate_limits (tat);

-- Takes one from every key or from none. Keys come sorted, so that two takers
-- of the same keys lock them in one order. wait is 0 for what is allowed.
-- +goose StatementBegin
CREATE FUNCTION rate_take(keys bytea[], every float8[], bursts int[])
  RETURNS TABLE (ordinal int, left_over int, wait float8, reset float8) LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz;
  locked int;
  denied boolean;
BEGIN
  LOOP
    -- First touch in a statement of its own: one that waited for another taker's
    -- insert sees its row only in the next. A purge may delete between the two.
    INSERT INTO rate_limits SELECT k, '-infinity' FROM unnest(keys) k ON CONFLICT DO NOTHING;
    PERFORM FROM rate_limits r WHERE r.key = ANY (keys) ORDER BY r.key FOR UPDATE;
    GET DIAGNOSTICS locked = ROW_COUNT;
    EXIT WHEN locked = cardinality(keys);
  END LOOP;
  t := app_now(); -- after the locks, so that whoever waited counts from now
  SELECT bool_or(extract(epoch FROM greatest(r.tat, t) - t) + w.every > w.burst * w.every + 1e-6) INTO denied
    FROM unnest(keys, every, bursts) AS w (key, every, burst) JOIN rate_limits r USING (key);
  IF NOT denied THEN
    UPDATE rate_limits r SET tat = greatest(r.tat, t) + make_interval(secs => w.every)
      FROM unnest(keys, every) AS w (key, every) WHERE r.key = w.key;
  END IF;
  RETURN QUERY
    SELECT w.n::int,
           greatest(0, floor(w.burst - u.used / w.every + 1e-6))::int,
           CASE WHEN denied THEN greatest(0, u.used + w.every - w.burst * w.every) ELSE 0 END::float8,
           u.used
      FROM unnest(keys, every, bursts) WITH ORDINALITY AS w (key, every, burst, n)
      JOIN rate_limits r USING (key)
      CROSS JOIN LATERAL (SELECT extract(epoch FROM greatest(r.tat, t) - t)::float8 AS used) u
     ORDER BY w.n;
END $$;
-- +goose StatementEnd
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limits TO proofroom_app;

-- +goose Down
SELECT 1;
