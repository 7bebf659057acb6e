-- name: InsertAccount :one
INSERT INTO accounts (id, email, name, password_hash, roles, proved_at)
VALUES (@id, @email, @name, @password_hash, @roles, CASE WHEN @proved::boolean THEN app_now() END)
RETURNING created_at;

-- uq_account_email: whoever comes second finds the account in LockAccount.
-- name: InsertProvedAccount :exec
INSERT INTO accounts (id, email, name, password_hash, roles, proved_at)
VALUES (@id, @email, @name, '', '{attendee}', app_now()) ON CONFLICT DO NOTHING;

-- uq_account_email. The lock keeps sign-ins by password (InsertSessionOf) and new
-- tokens (InsertTokenOf) out until it is known whether they may stay.
-- name: LockAccount :one
SELECT id, email, name, roles, created_at, proved_at, closed_at FROM accounts WHERE email = $1 FOR NO KEY UPDATE;

-- name: Prove :exec
UPDATE accounts SET proved_at = app_now(), password_hash = CASE WHEN @keep::boolean THEN password_hash ELSE '' END
WHERE id = @id;

-- name: RevokeSessions :exec
UPDATE sessions SET revoked_at = app_now() WHERE account_id = @account_id AND revoked_at IS NULL AND id <> @keep;

-- name: RevokeTokens :exec
UPDATE api_tokens SET revoked_at = app_now() WHERE account_id = $1 AND revoked_at IS NULL;

-- name: PasswordOf :one
SELECT email, password_hash FROM accounts WHERE id = $1 AND closed_at IS NULL;

-- name: SetPassword :execrows
UPDATE accounts SET password_hash = @next WHERE id = @id AND password_hash = @current AND closed_at IS NULL;

-- name: AccountByEmail :one
SELECT id, email, name, password_hash, roles, created_at FROM accounts
WHERE email = $1 AND closed_at IS NULL;

-- name: AccountExists :one
SELECT EXISTS (SELECT FROM accounts WHERE email = $1 AND closed_at IS NULL);

-- name: AccountByID :one
SELECT id, email, name, roles, created_at FROM accounts WHERE id = $1 AND closed_at IS NULL;

-- name: AddRole :execrows
UPDATE accounts SET roles = array_append(array_remove(roles, sqlc.arg(role)::text), sqlc.arg(role)::text),
  proved_at = coalesce(proved_at, app_now())
WHERE id = sqlc.arg(id) AND closed_at IS NULL;

-- name: HasOperator :one
SELECT EXISTS (SELECT FROM accounts WHERE 'operator' = ANY (roles));

-- name: InsertSession :one
INSERT INTO sessions (id, account_id, token_hash, user_agent, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(token_hash), sqlc.arg(user_agent),
  app_now() + make_interval(secs => sqlc.arg(lifetime_seconds)::float8))
RETURNING created_at, expires_at;

-- A session for whoever knew the password, if it still is the password: a proof
-- of the address that ends it meanwhile also ends this.
-- name: InsertSessionOf :one
WITH a AS (SELECT accounts.id FROM accounts WHERE accounts.id = @account_id AND password_hash = @password_hash AND closed_at IS NULL FOR SHARE)
INSERT INTO sessions (id, account_id, token_hash, user_agent, expires_at)
SELECT @id, a.id, @token_hash, @user_agent, app_now() + make_interval(secs => @lifetime_seconds::float8) FROM a
RETURNING created_at, expires_at;

-- name: SessionActor :one
SELECT s.id AS session_id, a.id, a.email, a.name, a.roles
FROM sessions s JOIN accounts a ON a.id = s.account_id
WHERE s.token_hash = $1 AND s.revoked_at IS NULL AND s.expires_at > app_now() AND a.closed_at IS NULL;

-- name: Sessions :many
SELECT id, user_agent, created_at, expires_at FROM sessions
WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > app_now() AND id < sqlc.arg(before)
ORDER BY id DESC LIMIT sqlc.arg(count);

-- name: RevokeSession :execrows
UPDATE sessions SET revoked_at = app_now() WHERE id = $1 AND account_id = $2 AND revoked_at IS NULL;

-- name: InsertToken :one
INSERT INTO api_tokens (id, account_id, name, token_hash) VALUES ($1, $2, $3, $4)
RETURNING created_at;

-- A token made by a session, if that has not ended meanwhile.
-- name: InsertTokenOf :one
WITH a AS (SELECT accounts.id FROM accounts WHERE accounts.id = @account_id AND closed_at IS NULL FOR SHARE)
INSERT INTO api_tokens (id, account_id, name, token_hash)
SELECT @id, a.id, @name, @token_hash FROM a
WHERE EXISTS (SELECT FROM sessions s WHERE s.id = @session_id AND s.account_id = a.id AND s.revoked_at IS NULL AND s.expires_at > app_now())
RETURNING created_at;

-- name: TokenActor :one
SELECT a.id, a.email, a.name, a.roles
FROM api_tokens t JOIN accounts a ON a.id = t.account_id
WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND a.closed_at IS NULL;

-- name: Tokens :many
SELECT id, name, created_at FROM api_tokens
WHERE account_id = $1 AND revoked_at IS NULL AND id < sqlc.arg(before)
ORDER BY id DESC LIMIT sqlc.arg(count);

-- name: RevokeToken :execrows
UPDATE api_tokens SET revoked_at = app_now() WHERE id = $1 AND account_id = $2 AND revoked_at IS NULL;

-- name: InsertGuest :one
INSERT INTO guest_sessions (id, token_hash, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(token_hash), app_now() + make_interval(secs => sqlc.arg(lifetime_seconds)::float8))
RETURNING expires_at;

-- name: GuestActor :one
SELECT id FROM guest_sessions WHERE token_hash = $1 AND expires_at > app_now() AND account_id IS NULL;

-- uq_guest_token. Orders that are being made hold a share lock (trigger
-- orders_of_open_guest), so those that this waits for are seen afterwards.
-- name: ClaimGuest :one
UPDATE guest_sessions SET account_id = @account_id, claimed_at = app_now()
WHERE token_hash = @token_hash AND account_id IS NULL AND expires_at > app_now()
RETURNING id;

-- name: InsertMailLink :exec
INSERT INTO mail_links (id, email, account_id, expires_at) VALUES (@id, @email, @account_id, app_now()) ON CONFLICT DO NOTHING;

-- name: ExtendMailLink :one
UPDATE mail_links SET expires_at = app_now() + make_interval(secs => @lifetime_seconds::float8) WHERE id = @id
RETURNING expires_at;

-- name: InsertMailLinkToken :exec
INSERT INTO mail_link_tokens (token_hash, link_id) VALUES ($1, $2);

-- A second use waits for the first one's lock on the link and then finds it used.
-- name: UseMailLink :one
UPDATE mail_links l SET used_at = app_now()
FROM mail_link_tokens t
WHERE t.token_hash = @token_hash AND l.id = t.link_id AND l.expires_at > app_now() AND (l.used_at IS NULL OR NOT @once::boolean)
RETURNING l.id, l.email, l.account_id;

-- name: GetMailLink :one
SELECT l.id, l.email, l.account_id, (l.used_at IS NOT NULL)::boolean AS used, (l.expires_at <= app_now())::boolean AS expired
FROM mail_link_tokens t JOIN mail_links l ON l.id = t.link_id
WHERE t.token_hash = $1;

-- Links that nobody could use for a while, and their secrets. Any number of
-- instances may do it at once: a link that is being used is left alone.
-- name: PurgeMailLinks :execrows
WITH old AS (
  SELECT l.id FROM mail_links l WHERE l.expires_at < app_now() - make_interval(secs => @after_seconds::float8)
  ORDER BY l.id LIMIT @max FOR UPDATE SKIP LOCKED
), secrets AS (
  DELETE FROM mail_link_tokens t USING old WHERE t.link_id = old.id
)
DELETE FROM mail_links l USING old WHERE l.id = old.id;

-- name: InsertSetupLink :exec
INSERT INTO setup_links (token_hash, purpose, expires_at)
VALUES (sqlc.arg(token_hash), 'first-operator', app_now() + make_interval(secs => sqlc.arg(lifetime_seconds)::float8));

-- name: DeleteStaleSetupLinks :exec
DELETE FROM setup_links WHERE used_at IS NULL AND expires_at <= app_now();

-- name: SetupLinkOpen :one
SELECT EXISTS (
  SELECT FROM setup_links WHERE token_hash = $1 AND purpose = 'first-operator' AND used_at IS NULL AND expires_at > app_now());

-- name: ClaimSetupLink :execrows
UPDATE setup_links SET used_at = app_now()
WHERE token_hash = $1 AND purpose = 'first-operator' AND used_at IS NULL AND expires_at > app_now();

-- name: InsertAudit :exec
INSERT INTO audit_log (id, account_id, action, subject, detail, request_id) VALUES ($1, $2, $3, $4, $5, $6);
