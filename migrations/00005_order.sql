-- +goose Up
INSERT INTO schema_support VALUES (5, 5);

CREATE TABLE orders (
  id            uuid PRIMARY KEY,
  event_id      uuid NOT NULL,
  creator_id    uuid NOT NULL REFERENCES accounts,
  buyer_account uuid REFERENCES accounts,
  buyer_guest   uuid REFERENCES guest_sessions,
  buyer_id      uuid NOT NULL GENERATED ALWAYS AS (coalesce(buyer_account, buyer_guest)) STORED,
  email         text NOT NULL DEFAULT '',
  currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  gross         bigint NOT NULL CHECK (gross >= 0),
  commission    bigint NOT NULL,
  cart          bytea NOT NULL, -- fingerprint of the lines: the same cart again
  -- Derive's last result; nothing else writes it.
  state         text NOT NULL DEFAULT 'created' CHECK (state IN
    ('created', 'awaiting_payment', 'paid', 'partially_refunded', 'refunded', 'disputed', 'expired', 'canceled', 'review')),
  review        text NOT NULL DEFAULT '', -- why a person must look
  refunded      bigint NOT NULL DEFAULT 0,
  version       int NOT NULL DEFAULT 0, -- changes of state so far: order_history.seq
  created_at    timestamptz NOT NULL DEFAULT app_now(),
  paid_at       timestamptz,
  changed_at    timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT order_buyer CHECK (num_nonnulls(buyer_account, buyer_guest) = 1),
  CONSTRAINT order_commission CHECK (commission BETWEEN 0 AND gross),
  CONSTRAINT order_event FOREIGN KEY (event_id, currency) REFERENCES events (id, currency),
  CONSTRAINT order_refunded CHECK (refunded BETWEEN 0 AND gross)
) WITH (fillfactor = 60, autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX orders_buyer ON orders (buyer_id, id);
CREATE INDEX orders_event ON orders (event_id, id);
CREATE INDEX orders_email ON orders (email, id);

CREATE TABLE order_lines (
  id         uuid PRIMARY KEY,
  order_id   uuid NOT NULL REFERENCES orders,
  ordinal    int NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('photo', 'bundle', 'event')),
  event_id   uuid NOT NULL,
  photo_id   uuid,
  name       text NOT NULL,
  price      bigint NOT NULL CHECK (price >= 0),
  commission bigint NOT NULL,
  CONSTRAINT uq_order_line UNIQUE (order_id, ordinal),
  CONSTRAINT line_commission CHECK (commission BETWEEN 0 AND price),
  CONSTRAINT line_subject CHECK ((kind = 'event') = (photo_id IS NULL))
);

-- What a buyer is about to pay for. One open claim per buyer and thing.
CREATE TABLE reservations (
  order_id    uuid NOT NULL REFERENCES orders,
  buyer_id    uuid NOT NULL,
  event_id    uuid NOT NULL,
  photo_id    uuid,
  released_at timestamptz
);
CREATE INDEX reservations_order ON reservations (order_id);
CREATE UNIQUE INDEX uq_reservation_photo ON reservations (photo_id, buyer_id) WHERE released_at IS NULL AND photo_id IS NOT NULL;
CREATE UNIQUE INDEX uq_reservation_event ON reservations (event_id, buyer_id) WHERE released_at IS NULL AND photo_id IS NULL;

-- Orders that somebody must look after: removed once nothing is awaited. It is
-- a table of its own so that the orders' own updates stay HOT.
CREATE TABLE open_orders (
  order_id      uuid PRIMARY KEY REFERENCES orders,
  checks        int NOT NULL DEFAULT 0,
  next_check_at timestamptz NOT NULL
);
CREATE INDEX open_orders_due ON open_orders (next_check_at);

-- A try to have an order paid: one hosted page at one provider.
CREATE TABLE attempts (
  id           uuid PRIMARY KEY,
  order_id     uuid NOT NULL REFERENCES orders,
  ordinal      int NOT NULL,
  provider     text NOT NULL,
  account      text NOT NULL,
  provider_ref text,
  url          text NOT NULL DEFAULT '',
  status       text NOT NULL DEFAULT 'open' CHECK (status IN
    ('open', 'approved', 'processing', 'failed', 'expired', 'closed', 'abandoned', 'succeeded')),
  expires_at   timestamptz,
  called_at    timestamptz, -- the one call that a provider without memory of keys gets
  watch_until  timestamptz, -- it is over, and money may still come to it until then
  created_at   timestamptz NOT NULL DEFAULT app_now(),
  changed_at   timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_attempt_ref UNIQUE (provider, account, provider_ref),
  CONSTRAINT uq_attempt_ordinal UNIQUE (order_id, ordinal)
) WITH (fillfactor = 70);

-- Money that a provider says it took. Several per attempt are possible.
CREATE TABLE payments (
  provider   text NOT NULL,
  account    text NOT NULL,
  payment_id text NOT NULL,
  order_id   uuid NOT NULL,
  attempt_id uuid NOT NULL,
  status     text NOT NULL CHECK (status IN ('pending', 'failed', 'succeeded', 'reversed')),
  amount     bigint NOT NULL CHECK (amount >= 0),
  currency   text NOT NULL,
  fee        bigint NOT NULL DEFAULT 0 CHECK (fee >= 0), -- what the provider kept; 0: not known
  inbox_id   uuid NOT NULL, -- the observation that set the status
  created_at timestamptz NOT NULL DEFAULT app_now(),
  changed_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_payment PRIMARY KEY (provider, account, payment_id)
) WITH (fillfactor = 80);
CREATE INDEX payments_order ON payments (order_id);

-- Money that we want to give back.
CREATE TABLE refund_requests (
  id         uuid PRIMARY KEY,
  order_id   uuid NOT NULL REFERENCES orders,
  provider   text NOT NULL,
  account    text NOT NULL,
  payment_id text NOT NULL,
  amount     bigint NOT NULL CHECK (amount > 0),
  currency   text NOT NULL,
  -- sale: of what was sold; covered: of lines that the buyer had already;
  -- surplus, excess, late: money that bought nothing.
  kind       text NOT NULL CHECK (kind IN ('sale', 'covered', 'surplus', 'excess', 'late')),
  line_ids   uuid[] NOT NULL DEFAULT '{}', -- the lines it ends; empty: none, for money that bought nothing
  cause_kind text NOT NULL CHECK (cause_kind IN ('inbox', 'audit')),
  cause_id   uuid NOT NULL,
  state      text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'answered', 'rejected')),
  note       text NOT NULL DEFAULT '',
  sent_at    timestamptz, -- when the provider was first asked
  created_at timestamptz NOT NULL DEFAULT app_now(),
  changed_at timestamptz NOT NULL DEFAULT app_now(),
  FOREIGN KEY (provider, account, payment_id) REFERENCES payments
);
CREATE INDEX refund_requests_order ON refund_requests (order_id);
CREATE INDEX refund_requests_payment ON refund_requests (provider, account, payment_id);
-- Money that bought nothing goes back by itself once; after that a person asks.
CREATE UNIQUE INDEX uq_refund_request_auto ON refund_requests (provider, account, payment_id, kind) WHERE kind <> 'sale' AND cause_kind = 'inbox';

-- Refunds as the provider knows them.
CREATE TABLE refunds (
  provider   text NOT NULL,
  account    text NOT NULL,
  refund_id  text NOT NULL,
  order_id   uuid NOT NULL REFERENCES orders,
  payment_id text NOT NULL,
  request_id uuid REFERENCES refund_requests, -- NULL: begun at the provider
  status     text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
  amount     bigint NOT NULL CHECK (amount > 0),
  currency   text NOT NULL,
  inbox_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  changed_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_refund PRIMARY KEY (provider, account, refund_id),
  CONSTRAINT uq_refund_of_request UNIQUE (request_id)
);
CREATE INDEX refunds_order ON refunds (order_id);

-- Payments whose refunds are not over, for whoever asks providers about them:
-- removed once nothing is awaited.
CREATE TABLE open_refunds (
  provider      text NOT NULL,
  account       text NOT NULL,
  payment_id    text NOT NULL,
  order_id      uuid NOT NULL REFERENCES orders,
  checks        int NOT NULL DEFAULT 0,
  next_check_at timestamptz NOT NULL,
  PRIMARY KEY (provider, account, payment_id)
);
CREATE INDEX open_refunds_due ON open_refunds (next_check_at);

-- Payments that their payers contest, as the provider knows it.
CREATE TABLE disputes (
  provider   text NOT NULL,
  account    text NOT NULL,
  dispute_id text NOT NULL,
  order_id   uuid NOT NULL REFERENCES orders,
  payment_id text NOT NULL,
  status     text NOT NULL CHECK (status IN ('warning', 'warning_closed', 'open', 'closed')),
  outcome    text NOT NULL DEFAULT '', -- won, lost or prevented; what the newest fetch said
  amount     bigint NOT NULL CHECK (amount >= 0),
  currency   text NOT NULL,
  seq        bigint NOT NULL, -- of the newest fetch that told the outcome
  inbox_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  changed_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_dispute PRIMARY KEY (provider, account, dispute_id),
  CONSTRAINT dispute_outcome CHECK (outcome = '' OR status = 'closed'),
  FOREIGN KEY (provider, account, payment_id) REFERENCES payments
);
CREATE INDEX disputes_order ON disputes (order_id);

-- Money that disputes moved. It may be heard of before its dispute.
CREATE TABLE dispute_movements (
  provider    text NOT NULL,
  account     text NOT NULL,
  dispute_id  text NOT NULL,
  movement_id text NOT NULL,
  order_id    uuid NOT NULL REFERENCES orders,
  payment_id  text NOT NULL,
  status      text NOT NULL CHECK (status IN ('withdrawn', 'reinstated', 'fee')),
  amount      bigint NOT NULL CHECK (amount > 0),
  currency    text NOT NULL,
  inbox_id    uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_dispute_movement PRIMARY KEY (provider, account, dispute_id, movement_id),
  FOREIGN KEY (provider, account, payment_id) REFERENCES payments
);
CREATE INDEX dispute_movements_order ON dispute_movements (order_id);
CREATE TRIGGER dispute_movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute_movements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What depended on the world of its day, decided once.
CREATE TABLE decisions (
  order_id   uuid NOT NULL REFERENCES orders,
  subject    text NOT NULL,
  value      text NOT NULL,
  cause_kind text NOT NULL CHECK (cause_kind IN ('inbox', 'audit', 'sweep')),
  cause_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_decision PRIMARY KEY (order_id, subject)
);
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Each change of an order's state, for the order's page and for proofs.
CREATE TABLE order_history (
  order_id   uuid NOT NULL,
  seq        int NOT NULL,
  state      text NOT NULL,
  cause_kind text NOT NULL CHECK (cause_kind IN ('checkout', 'inbox', 'audit', 'sweep')),
  cause_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_order_history PRIMARY KEY (order_id, seq)
);
-- Finds the few orders that a person looks for by a state that few have. An index
-- over orders.state itself would keep the orders' own updates from being HOT.
CREATE INDEX order_history_rare ON order_history (state, order_id) WHERE state IN ('review', 'disputed');
CREATE TRIGGER order_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_history
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Every payment is of an attempt of its order, and every state of an order that is
-- there. Set-wise: a foreign key looks for each row by itself. Safe because
-- neither orders nor attempts are ever deleted or get another key. OFFSET 0 makes
-- each a lookup by key, also for a planner that last saw the table empty.
-- +goose StatementBegin
CREATE FUNCTION payments_check() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh n WHERE NOT EXISTS (
      SELECT FROM attempts a WHERE a.id = n.attempt_id AND a.order_id = n.order_id OFFSET 0)) THEN
    RAISE EXCEPTION 'a payment names no attempt of its order' USING ERRCODE = 'PR012';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION order_history_check() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh n WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = n.order_id OFFSET 0)) THEN
    RAISE EXCEPTION 'a state names no order' USING ERRCODE = 'PR013';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER payments_exist AFTER INSERT ON payments
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION payments_check();
CREATE TRIGGER order_history_exist AFTER INSERT ON order_history
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION order_history_check();
CREATE TRIGGER attempts_kept BEFORE DELETE OR TRUNCATE ON attempts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payments_kept BEFORE DELETE OR TRUNCATE ON payments
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Orders of guests that became an account's. Once ever for each order.
CREATE TABLE order_claims (
  order_id   uuid NOT NULL REFERENCES orders,
  claim_id   uuid NOT NULL, -- the same for all that moved at once
  guest_id   uuid NOT NULL REFERENCES guest_sessions,
  account_id uuid NOT NULL REFERENCES accounts,
  -- What proved them to be the account's: a link mailed to the order's address,
  -- or the secret of the guest session; and the id of that.
  proof      text NOT NULL CHECK (proof IN ('mail', 'guest')),
  proof_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_order_claim PRIMARY KEY (order_id)
);
CREATE INDEX order_claims_claim ON order_claims (claim_id);
CREATE TRIGGER order_claims_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_claims
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- No order is made under a guest session whose purchases an account has taken
-- over: it would be nobody's. The share lock makes the claim wait for an order
-- that is being made, and the order for the claim.
-- +goose StatementBegin
CREATE FUNCTION orders_of_open_guest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM guest_sessions WHERE id = NEW.buyer_guest AND account_id IS NULL FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the guest session has moved to an account' USING ERRCODE = 'PR011';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_of_open_guest BEFORE INSERT ON orders
  FOR EACH ROW WHEN (NEW.buyer_guest IS NOT NULL) EXECUTE FUNCTION orders_of_open_guest();

-- Answers to requests that must not have their effect twice.
CREATE TABLE idempotency_keys (
  actor_id    uuid NOT NULL,
  operation   text NOT NULL,
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL,
  state       text NOT NULL CHECK (state IN ('running', 'done')),
  term        int NOT NULL DEFAULT 1,
  lease_until timestamptz NOT NULL,
  subject_id  uuid, -- the row that the request made, to resume from
  status      int,
  body        bytea,
  created_at  timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_idempotency_key PRIMARY KEY (actor_id, operation, key),
  CONSTRAINT idempotency_done CHECK ((state = 'done') = (status IS NOT NULL AND body IS NOT NULL))
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

GRANT SELECT, INSERT, UPDATE ON order_lines, reservations, open_orders,
  refund_requests, refunds, open_refunds, disputes, idempotency_keys TO proofroom_app;
-- Keys and what was agreed on do not change.
GRANT SELECT, INSERT ON orders, attempts, payments TO proofroom_app;
GRANT UPDATE (buyer_account, buyer_guest, state, review, refunded, version, paid_at, changed_at) ON orders TO proofroom_app;
GRANT UPDATE (provider_ref, url, status, expires_at, called_at, watch_until, changed_at) ON attempts TO proofroom_app;
GRANT UPDATE (status, amount, currency, fee, inbox_id, changed_at) ON payments TO proofroom_app;
GRANT DELETE ON open_orders, open_refunds, idempotency_keys TO proofroom_app;
GRANT SELECT, INSERT ON decisions, order_history, dispute_movements, order_claims TO proofroom_app;

-- +goose Down
SELECT 1;
