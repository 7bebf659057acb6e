-- name: InsertAccount :one
INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, $3, $4, $5)
RETURNING created_at;

-- name: AccountByEmail :one
SELECT id, email, name, password_hash, roles, created_at FROM accounts
WHERE email = $1 AND closed_at IS NULL;

-- name: AccountByID :one
SELECT id, email, name, roles, created_at FROM accounts WHERE id = $1 AND closed_at IS NULL;

-- name: AddRole :execrows
UPDATE accounts SET roles = array_append(array_remove(roles, sqlc.arg(role)::text), sqlc.arg(role)::text)
WHERE id = sqlc.arg(id) AND closed_at IS NULL;

-- name: HasOperator :one
SELECT EXISTS (SELECT FROM accounts WHERE 'operator' = ANY (roles));

-- name: InsertSession :one
INSERT INTO sessions (id, account_id, token_hash, user_agent, expires_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(token_hash), sqlc.arg(user_agent),
  app_now() + make_interval(secs => sqlc.arg(lifetime_seconds)::float8))
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
SELECT id FROM guest_sessions WHERE token_hash = $1 AND expires_at > app_now();

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
