-- Accounts by their natural key (uq_ledger_account). A creator's account has no
-- provider; the platform's have no creator, given here as the zero uuid. settled
-- says that another transaction made the row, so that it is surely committed.
-- name: FindAccounts :many
WITH u AS (
  SELECT unnest(@kinds::text[]) AS kind, unnest(@creator_ids::uuid[]) AS creator_id, unnest(@providers::text[]) AS provider,
         unnest(@accounts::text[]) AS account, unnest(@currencies::text[]) AS currency
)
SELECT a.id, a.kind, a.creator_id, a.provider, a.account, a.currency,
       (a.made_in IS DISTINCT FROM pg_current_xact_id_if_assigned())::boolean AS settled
FROM u JOIN ledger_accounts a ON a.kind = u.kind AND a.creator_id = u.creator_id AND a.currency = u.currency
UNION ALL
SELECT a.id, a.kind, a.creator_id, a.provider, a.account, a.currency,
       (a.made_in IS DISTINCT FROM pg_current_xact_id_if_assigned())::boolean
FROM u JOIN ledger_accounts a ON u.creator_id = '00000000-0000-0000-0000-000000000000' AND a.creator_id IS NULL
  AND a.kind = u.kind AND a.provider = u.provider AND a.account = u.account AND a.currency = u.currency;

-- name: AddAccounts :exec
INSERT INTO ledger_accounts (kind, creator_id, provider, account, currency)
SELECT u.kind, nullif(u.creator_id, '00000000-0000-0000-0000-000000000000'), u.provider, u.account, u.currency
FROM (SELECT unnest(@kinds::text[]) AS kind, unnest(@creator_ids::uuid[]) AS creator_id, unnest(@providers::text[]) AS provider,
             unnest(@accounts::text[]) AS account, unnest(@currencies::text[]) AS currency) u
ORDER BY u.kind, u.creator_id, u.provider, u.account, u.currency
ON CONFLICT DO NOTHING;

-- A wallet is made at its first touch and locked in the next statement, since
-- within one statement the select could miss a row that another transaction
-- committed while the insert waited for it. Only first touches reach the insert:
-- a conflict with a row that is being moved would wait, in no order. Primary key
-- of wallets.
-- name: AddWallets :exec
INSERT INTO wallets (creator_id, currency)
SELECT u.creator_id, u.currency
FROM (SELECT unnest(@creator_ids::uuid[]) AS creator_id, unnest(@currencies::text[]) AS currency) u
WHERE NOT EXISTS (SELECT FROM wallets w WHERE w.creator_id = u.creator_id AND w.currency = u.currency)
ORDER BY u.creator_id, u.currency
ON CONFLICT DO NOTHING;

-- settled says that another transaction made the row, so that it is surely there.
-- name: LockWallets :many
SELECT w.creator_id, w.currency, w.pending, w.available, w.held, w.debt,
       (w.made_in IS DISTINCT FROM pg_current_xact_id_if_assigned())::boolean AS settled
FROM wallets w JOIN (SELECT unnest(@creator_ids::uuid[]) AS creator_id, unnest(@currencies::text[]) AS currency) u
  ON w.creator_id = u.creator_id AND w.currency = u.currency
ORDER BY w.creator_id, w.currency
FOR NO KEY UPDATE OF w;

-- What LockWallets reads, without its lock: only a proof asks for that.
-- name: PeekWallets :many
SELECT w.creator_id, w.currency, w.pending, w.available, w.held, w.debt,
       (w.made_in IS DISTINCT FROM pg_current_xact_id_if_assigned())::boolean AS settled
FROM wallets w JOIN (SELECT unnest(@creator_ids::uuid[]) AS creator_id, unnest(@currencies::text[]) AS currency) u
  ON w.creator_id = u.creator_id AND w.currency = u.currency
ORDER BY w.creator_id, w.currency;

-- Only sums of entries really inserted move a wallet.
-- name: MoveWallets :execrows
UPDATE wallets w
SET pending = w.pending + u.pending, available = w.available + u.available, held = w.held + u.held, debt = w.debt + u.debt
FROM (SELECT unnest(@creator_ids::uuid[]) AS creator_id, unnest(@currencies::text[]) AS currency, unnest(@pendings::bigint[]) AS pending,
             unnest(@availables::bigint[]) AS available, unnest(@helds::bigint[]) AS held, unnest(@debts::bigint[]) AS debt) u
WHERE w.creator_id = u.creator_id AND w.currency = u.currency;

-- name: Wallet :one
SELECT pending, available, held, debt FROM wallets WHERE creator_id = @creator_id AND currency = @currency;

-- All that stands of the orders, posting by posting. Index ledger_entries_order.
-- name: PostingsOfOrders :many
SELECT e.id, e.key, e.kind, e.order_id, e.gross, e.currency, e.undoes, e.dispute, e.cause_kind, e.cause_id, e.created_at,
       p.amount, a.kind AS account_kind, a.creator_id, a.provider, a.account
FROM ledger_entries e
JOIN ledger_postings p ON p.entry_id = e.id
JOIN ledger_accounts a ON a.id = p.account_id
WHERE e.order_id = ANY(@order_ids::uuid[])
ORDER BY e.created_at, e.id, p.seq;

-- An entry and its postings are one statement: the triggers demand it. An entry
-- that stands already gets no postings and is not returned.
-- name: AddEntries :many
WITH fresh AS (
  INSERT INTO ledger_entries (id, key, kind, order_id, gross, currency, undoes, dispute, cause_kind, cause_id)
  SELECT u.id, u.key, u.kind, u.order_id, u.gross, u.currency, nullif(u.undoes, ''), nullif(u.dispute, ''), u.cause_kind, u.cause_id
  FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@keys::text[]) AS key, unnest(@kinds::text[]) AS kind,
               unnest(@order_ids::uuid[]) AS order_id, unnest(@grosses::bigint[]) AS gross, unnest(@currencies::text[]) AS currency,
               unnest(@undoes::text[]) AS undoes, unnest(@disputes::text[]) AS dispute, unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u
  ORDER BY u.key
  ON CONFLICT DO NOTHING
  RETURNING id
), posted AS (
  INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
  SELECT u.entry_id, u.seq, u.account_id, u.currency, u.amount
  FROM (SELECT unnest(@entry_ids::uuid[]) AS entry_id, unnest(@seqs::smallint[]) AS seq, unnest(@account_ids::bigint[]) AS account_id,
               unnest(@posting_currencies::text[]) AS currency, unnest(@amounts::bigint[]) AS amount) u
  WHERE (u.entry_id IN (SELECT id FROM fresh)) IS TRUE -- hashed, where a join would compare each with each
  ORDER BY u.entry_id, u.seq
)
SELECT id FROM fresh;

-- uq_ledger_entry.
-- name: EntriesByKey :many
SELECT id, key, kind, order_id, gross, currency, undoes, dispute FROM ledger_entries WHERE key = ANY(@keys::text[]);
