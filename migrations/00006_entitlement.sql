-- +goose Up
INSERT INTO schema_support VALUES (6, 6);

-- Who may download what. One row ever per order line; of several for the same
-- thing one is live and the others are shadowed by it.
CREATE TABLE entitlements (
  id           uuid PRIMARY KEY,
  line_id      uuid NOT NULL,
  order_id     uuid NOT NULL,
  buyer_id     uuid NOT NULL,
  kind         text NOT NULL CHECK (kind IN ('photo', 'bundle', 'event')),
  event_id     uuid NOT NULL,
  photo_id     uuid,
  granted_at   timestamptz NOT NULL DEFAULT app_now(),
  live_since   timestamptz, -- when it last became the live one; NULL: never yet
  frozen_at    timestamptz,
  revoked_at   timestamptz,
  shadowed_by  uuid,
  -- The observation behind the grant; the observation, audited action or claim
  -- behind its last change.
  inbox_id     uuid NOT NULL,
  changed_kind text NOT NULL DEFAULT 'inbox' CHECK (changed_kind IN ('inbox', 'audit', 'claim')),
  changed_id   uuid NOT NULL,
  changed_at   timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT entitlement_subject CHECK ((kind = 'event') = (photo_id IS NULL)),
  CONSTRAINT entitlement_live CHECK (live_since IS NOT NULL OR shadowed_by IS NOT NULL),
  CONSTRAINT entitlement_shadow CHECK (shadowed_by <> id)
) WITH (fillfactor = 80, autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX uq_entitlement_line ON entitlements (line_id);
CREATE UNIQUE INDEX uq_entitlement_photo ON entitlements (photo_id, buyer_id)
  WHERE photo_id IS NOT NULL AND revoked_at IS NULL AND shadowed_by IS NULL;
CREATE UNIQUE INDEX uq_entitlement_event ON entitlements (event_id, buyer_id)
  WHERE photo_id IS NULL AND revoked_at IS NULL AND shadowed_by IS NULL;
CREATE INDEX entitlements_order ON entitlements (order_id);
CREATE INDEX entitlements_buyer ON entitlements (buyer_id, event_id, id);
CREATE INDEX entitlements_shadowed ON entitlements (shadowed_by) WHERE shadowed_by IS NOT NULL;

-- Every new grant must be of an existing line, buyer and thing. Set-wise, since
-- a foreign key per row costs a third of the database's time on the hot path;
-- safe because orders, lines, photographs and events are never deleted.
-- +goose StatementBegin
CREATE FUNCTION entitlements_check() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  IF EXISTS (
    SELECT FROM fresh n
    WHERE NOT EXISTS (
      SELECT FROM order_lines l JOIN orders o ON o.id = l.order_id
      WHERE l.id = n.line_id AND l.order_id = n.order_id AND l.kind = n.kind
        AND l.event_id = n.event_id AND l.photo_id IS NOT DISTINCT FROM n.photo_id
        AND o.buyer_id = n.buyer_id OFFSET 0)
  ) THEN
    RAISE EXCEPTION 'a grant names no order line of its buyer' USING ERRCODE = 'PR003';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER entitlements_exist AFTER INSERT ON entitlements
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION entitlements_check();
CREATE TRIGGER entitlements_kept BEFORE DELETE OR TRUNCATE ON entitlements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER order_lines_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON order_lines
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER orders_kept BEFORE DELETE OR TRUNCATE ON orders
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE ON order_lines FROM proofroom_app;

GRANT SELECT, INSERT, UPDATE ON entitlements TO proofroom_app;

-- +goose Down
SELECT 1;
