-- +goose Up
INSERT INTO schema_support VALUES (2, 2);

CREATE TABLE accounts (
  id            uuid PRIMARY KEY,
  email         text NOT NULL CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
  name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  password_hash text NOT NULL, -- empty: signs in by mailed links only
  roles         text[] NOT NULL CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['attendee', 'creator', 'operator']),
  created_at    timestamptz NOT NULL DEFAULT app_now(),
  -- Since when the address is known to be this person's: a link mailed to it was
  -- used, or whoever runs the machine said so.
  proved_at     timestamptz,
  closed_at     timestamptz,
  CONSTRAINT uq_account_email UNIQUE (email)
);

-- A browser's sign-in. The cookie holds the secret, the row its hash.
CREATE TABLE sessions (
  id         uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES accounts,
  token_hash bytea NOT NULL,
  user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200),
  created_at timestamptz NOT NULL DEFAULT app_now(),
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz,
  CONSTRAINT uq_session_token UNIQUE (token_hash)
);
CREATE INDEX sessions_account ON sessions (account_id, id);

CREATE TABLE api_tokens (
  id         uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES accounts,
  name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  token_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  revoked_at timestamptz,
  CONSTRAINT uq_api_token UNIQUE (token_hash)
);
CREATE INDEX api_tokens_account ON api_tokens (account_id, id);

-- A buyer without an account: whoever holds the secret. Never an e-mail alone.
CREATE TABLE guest_sessions (
  id         uuid PRIMARY KEY,
  token_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT app_now(),
  expires_at timestamptz NOT NULL,
  -- Whose purchases these became. The secret stands for nobody from then on, and
  -- no order can be made under it (trigger orders_of_open_guest).
  account_id uuid REFERENCES accounts,
  claimed_at timestamptz,
  CONSTRAINT uq_guest_token UNIQUE (token_hash),
  CONSTRAINT guest_claimed CHECK ((account_id IS NULL) = (claimed_at IS NULL))
);

-- Links in mail that prove an address to be their reader's. The id is that of
-- the message, so that the copies of one message are one link: used once.
CREATE TABLE mail_links (
  id         uuid PRIMARY KEY,
  email      text NOT NULL,
  account_id uuid REFERENCES accounts, -- who asked for the purchases of this address; NULL: the address itself signs in
  created_at timestamptz NOT NULL DEFAULT app_now(),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);
-- Each copy has a secret of its own, since only hashes are kept.
CREATE TABLE mail_link_tokens (
  token_hash bytea PRIMARY KEY,
  link_id    uuid NOT NULL REFERENCES mail_links
);
CREATE INDEX mail_link_tokens_link ON mail_link_tokens (link_id);

-- One-time links: the first operator. Each instance that starts without an
-- operator makes one of its own; of all of them one is ever used.
CREATE TABLE setup_links (
  token_hash bytea PRIMARY KEY,
  purpose    text NOT NULL CHECK (purpose IN ('first-operator')),
  created_at timestamptz NOT NULL DEFAULT app_now(),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);
CREATE UNIQUE INDEX uq_setup_link_used ON setup_links (purpose) WHERE used_at IS NOT NULL;

-- What operators did. A refund, an approval or a replay names its row here.
CREATE TABLE audit_log (
  id         uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES accounts,
  action     text NOT NULL,
  subject    text NOT NULL,
  detail     jsonb NOT NULL DEFAULT '{}',
  request_id text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT app_now()
);
CREATE INDEX audit_log_subject ON audit_log (subject);
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER accounts_tombstoned BEFORE DELETE OR TRUNCATE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER guest_sessions_tombstoned BEFORE DELETE OR TRUNCATE ON guest_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON accounts, sessions, api_tokens, guest_sessions, setup_links, mail_links TO proofroom_app;
GRANT SELECT, INSERT ON mail_link_tokens TO proofroom_app;
GRANT DELETE ON sessions, setup_links, mail_links, mail_link_tokens TO proofroom_app;
GRANT SELECT, INSERT ON audit_log TO proofroom_app;
GRANT SELECT ON schema_support, goose_db_version TO proofroom_app;
GRANT SELECT, INSERT ON schedule_slots TO proofroom_app;

-- +goose Down
SELECT 1;
