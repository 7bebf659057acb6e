-- +goose Up
INSERT INTO schema_support VALUES (7, 7);

-- Who money belongs to. A debit is positive: money in a clearing account, or
-- owed to us; a minus on a creator's or the platform's account is owed to them.
CREATE TABLE ledger_accounts (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind       text NOT NULL CHECK (kind IN ('clearing', 'revenue', 'fees', 'pending', 'available', 'held',
    'debt', 'in_flight', 'suspense', 'credit', 'write_off')),
  creator_id uuid REFERENCES accounts,
  provider   text NOT NULL DEFAULT '',
  account    text NOT NULL DEFAULT '',
  currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- The transaction that made the row: only an id that another one made is
  -- surely committed, and may be remembered by a process.
  made_in    xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CONSTRAINT uq_ledger_account UNIQUE NULLS NOT DISTINCT (kind, creator_id, provider, account, currency),
  CONSTRAINT ledger_account_owner CHECK ((kind IN ('pending', 'available', 'held', 'debt')) = (creator_id IS NOT NULL))
);

CREATE TABLE ledger_entries (
  id         uuid PRIMARY KEY,
  key        text NOT NULL,
  kind       text NOT NULL,
  order_id   uuid,
  gross      bigint NOT NULL CHECK (gross > 0),
  currency   text NOT NULL,
  undoes     text, -- the key of the entry that this one takes back
  dispute    text, -- the key of the dispute behind it
  cause_kind text NOT NULL CHECK (cause_kind IN ('inbox', 'audit', 'lease')),
  cause_id   uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now()
) WITH (autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX uq_ledger_entry ON ledger_entries (key);
-- An order is sold once, whatever payment paid for it, and an entry is taken back once.
CREATE UNIQUE INDEX uq_ledger_sale ON ledger_entries (order_id) WHERE kind = 'sale';
CREATE UNIQUE INDEX uq_ledger_undoes ON ledger_entries (undoes) WHERE undoes IS NOT NULL;
-- A dispute holds money once, and frees it once.
CREATE UNIQUE INDEX uq_ledger_dispute ON ledger_entries (dispute, kind) WHERE kind IN ('dispute_opened', 'dispute_closed');
CREATE INDEX ledger_entries_order ON ledger_entries (order_id);

CREATE TABLE ledger_postings (
  entry_id   uuid NOT NULL,
  seq        smallint NOT NULL,
  account_id bigint NOT NULL,
  currency   text NOT NULL,
  amount     bigint NOT NULL CHECK (amount <> 0),
  -- Snapshot horizon for whatever reads "since": sequences are not commit order.
  xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (entry_id, seq)
) WITH (autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX ledger_postings_account ON ledger_postings (account_id);

-- What a creator has, moved only by the sums of entries really inserted.
CREATE TABLE wallets (
  creator_id uuid NOT NULL,
  currency   text NOT NULL,
  pending    bigint NOT NULL DEFAULT 0 CONSTRAINT wallet_pending CHECK (pending >= 0),
  available  bigint NOT NULL DEFAULT 0 CONSTRAINT wallet_available CHECK (available >= 0),
  held       bigint NOT NULL DEFAULT 0 CONSTRAINT wallet_held CHECK (held >= 0),
  debt       bigint NOT NULL DEFAULT 0 CONSTRAINT wallet_debt CHECK (debt >= 0),
  made_in    xid8 NOT NULL DEFAULT pg_current_xact_id(), -- as with accounts
  PRIMARY KEY (creator_id, currency)
) WITH (fillfactor = 20);

-- An entry is whole from its first moment: all its postings come in the
-- statement that makes it, at least two, in its currency, and add up to zero.
-- +goose StatementBegin
CREATE FUNCTION ledger_postings_check() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE unequal boolean;
BEGIN
  SELECT f.sum <> 0 INTO unequal
  FROM (SELECT entry_id, count(*) AS n, sum(amount) AS sum FROM fresh GROUP BY entry_id) f
  WHERE f.sum <> 0 OR f.n < 2 OR f.n <> (SELECT count(*) FROM ledger_postings p WHERE p.entry_id = f.entry_id)
  LIMIT 1;
  IF unequal THEN
    RAISE EXCEPTION 'a ledger entry does not add up to zero' USING ERRCODE = 'PR004';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'postings join an entry only in the statement that makes it, two or more at once' USING ERRCODE = 'PR005';
  END IF;
  IF EXISTS (
    SELECT FROM fresh f
    WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.id = f.account_id AND a.currency = f.currency OFFSET 0)
       OR NOT EXISTS (SELECT FROM ledger_entries e WHERE e.id = f.entry_id AND e.currency = f.currency OFFSET 0)
  ) THEN
    RAISE EXCEPTION 'a posting names no entry or no account of its currency' USING ERRCODE = 'PR006';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION ledger_entries_check() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh f WHERE NOT EXISTS (SELECT FROM ledger_postings p WHERE p.entry_id = f.id OFFSET 0)) THEN
    RAISE EXCEPTION 'a ledger entry came without postings' USING ERRCODE = 'PR007';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_postings_balance AFTER INSERT ON ledger_postings
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger_postings_check();
CREATE TRIGGER ledger_entries_whole AFTER INSERT ON ledger_entries
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_check();
CREATE TRIGGER ledger_postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_accounts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_accounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON ledger_accounts, ledger_entries, ledger_postings TO proofroom_app;
GRANT SELECT, INSERT, UPDATE ON wallets TO proofroom_app;

-- Messages to people. The row is the promise, written in the transaction that
-- makes it true; sending is work that follows.
CREATE TABLE messages (
  id          uuid PRIMARY KEY,
  order_id    uuid, -- what a receipt is of
  kind        text NOT NULL CHECK (kind IN ('receipt', 'receipt_again', 'magic_link', 'find_purchase', 'claim')),
  recipient   text NOT NULL,
  message_id  text NOT NULL,
  -- unaddressed: nobody to send it to. unknown: the reply to a send was lost.
  state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('unaddressed', 'queued', 'sending', 'sent', 'failed', 'unknown')),
  inbox_id    uuid, -- the observation that made a receipt true
  created_at  timestamptz NOT NULL DEFAULT app_now(),
  account_id  uuid, -- who claims the purchases of the recipient
  copies      int NOT NULL DEFAULT 0, -- sends that may have arrived
  tries       int NOT NULL DEFAULT 0,
  term        int NOT NULL DEFAULT 0, -- counts the sends' leases
  lease_until timestamptz,
  next_at     timestamptz NOT NULL DEFAULT app_now(), -- when it is looked at again
  note        text NOT NULL DEFAULT '', -- what the mail server said last
  changed_at  timestamptz NOT NULL DEFAULT app_now(),
  CONSTRAINT uq_message_id UNIQUE (message_id),
  CONSTRAINT message_order CHECK ((kind IN ('receipt', 'receipt_again')) = (order_id IS NOT NULL)),
  CONSTRAINT message_claimant CHECK ((kind = 'claim') = (account_id IS NOT NULL)),
  CONSTRAINT message_cause CHECK ((kind = 'receipt') = (inbox_id IS NOT NULL)),
  CONSTRAINT message_addressed CHECK ((state = 'unaddressed') = (recipient = '')),
  CONSTRAINT message_lease CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
  -- What may have arrived is repeated once.
  CONSTRAINT message_copies CHECK (copies BETWEEN 0 AND 2)
);
-- One receipt for each order; copies that its buyer asks for are messages of their own.
CREATE UNIQUE INDEX uq_message ON messages (order_id) WHERE kind = 'receipt';
CREATE INDEX messages_order ON messages (order_id, id) WHERE order_id IS NOT NULL;
CREATE INDEX messages_due ON messages (next_at) WHERE state IN ('queued', 'sending') OR (state = 'unknown' AND copies < 2);
GRANT SELECT, INSERT, UPDATE ON messages TO proofroom_app;

-- +goose Down
SELECT 1;
