-- +goose Up
INSERT INTO schema_support VALUES (3, 3);

CREATE TABLE events (
  id             uuid PRIMARY KEY,
  creator_id     uuid NOT NULL REFERENCES accounts,
  slug           text NOT NULL CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) BETWEEN 3 AND 80),
  title          text NOT NULL CHECK (length(title) BETWEEN 3 AND 100),
  description    text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
  status         text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'on_sale', 'closed')),
  visibility     text NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'unlisted', 'code')),
  access_code    text CHECK (length(access_code) BETWEEN 4 AND 32),
  currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  commission_bps int NOT NULL CHECK (commission_bps BETWEEN 0 AND 10000),
  -- Wall time as entered, and the instants that it names in that zone.
  timezone       text NOT NULL,
  starts_local   timestamp NOT NULL,
  ends_local     timestamp NOT NULL,
  starts_at      timestamptz NOT NULL,
  ends_at        timestamptz NOT NULL,
  -- The price list, in minor units of the currency; NULL: not sold that way.
  free           boolean NOT NULL DEFAULT false,
  price_photo    bigint CHECK (price_photo > 0),
  price_event    bigint CHECK (price_event > 0),
  created_at     timestamptz NOT NULL DEFAULT app_now(),
  updated_at     timestamptz NOT NULL DEFAULT app_now(),
  deleted_at     timestamptz,
  CONSTRAINT uq_event_slug UNIQUE (slug),
  CONSTRAINT uq_event_currency UNIQUE (id, currency), -- orders point at both: an event that was ordered keeps its currency
  CONSTRAINT event_times CHECK (ends_at > starts_at),
  CONSTRAINT event_code CHECK ((visibility = 'code') = (access_code IS NOT NULL)),
  CONSTRAINT event_prices CHECK (NOT free OR (price_photo IS NULL AND price_event IS NULL))
);
CREATE INDEX events_creator ON events (creator_id, id);
-- What everybody may browse.
CREATE INDEX events_listed ON events (starts_at, id)
  WHERE status = 'on_sale' AND visibility = 'public' AND deleted_at IS NULL;

-- "Any 5 cost 20.00": a bundle of photographs of one event.
CREATE TABLE price_bundles (
  event_id uuid NOT NULL REFERENCES events,
  photos   int NOT NULL CHECK (photos BETWEEN 2 AND 10000),
  price    bigint NOT NULL CHECK (price > 0),
  PRIMARY KEY (event_id, photos)
);

CREATE TABLE photos (
  id           uuid PRIMARY KEY,
  event_id     uuid NOT NULL REFERENCES events,
  creator_id   uuid NOT NULL REFERENCES accounts,
  sha256       bytea NOT NULL CHECK (length(sha256) = 32),
  name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  -- How far its development is. Whether people may see it is another matter.
  state        text NOT NULL DEFAULT 'processing' CHECK (state IN ('processing', 'ready', 'unreadable')),
  reason       text NOT NULL DEFAULT '', -- why it is unreadable, for its creator
  width        int NOT NULL DEFAULT 0,   -- as shown, after turning
  height       int NOT NULL DEFAULT 0,
  taken_local  timestamp,                -- the camera's wall time, no zone
  average      text NOT NULL DEFAULT '', -- #rrggbb
  created_at   timestamptz NOT NULL DEFAULT app_now(),
  changed_at   timestamptz NOT NULL DEFAULT app_now(),
  queued_at    timestamptz NOT NULL DEFAULT app_now(), -- when its development was last asked for
  hidden_at    timestamptz,
  deleted_at   timestamptz,
  CONSTRAINT uq_photo_bytes UNIQUE (event_id, sha256),
  CONSTRAINT photo_reason CHECK ((state = 'unreadable') = (reason <> '')),
  CONSTRAINT photo_size CHECK ((state = 'ready') = (width > 0 AND height > 0))
);
CREATE INDEX photos_event ON photos (event_id, id);
CREATE INDEX photos_processing ON photos (queued_at) WHERE state = 'processing';

CREATE TRIGGER events_tombstoned BEFORE DELETE OR TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER photos_tombstoned BEFORE DELETE OR TRUNCATE ON photos
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Files of photographs: the original as it came, and what the darkroom made.
CREATE TABLE blobs (
  photo_id   uuid NOT NULL REFERENCES photos,
  kind       text NOT NULL CHECK (kind IN ('original', 'preview', '960', '480', 'placeholder')),
  key        text NOT NULL,
  format     text NOT NULL, -- media type
  width      int NOT NULL DEFAULT 0,
  height     int NOT NULL DEFAULT 0,
  bytes      bigint NOT NULL CHECK (bytes > 0),
  sha256     bytea NOT NULL CHECK (length(sha256) = 32),
  created_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_blob PRIMARY KEY (photo_id, kind)
);
CREATE TRIGGER blobs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON blobs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON events, photos TO proofroom_app;
GRANT SELECT, INSERT ON blobs TO proofroom_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON price_bundles TO proofroom_app;

-- +goose Down
SELECT 1;
