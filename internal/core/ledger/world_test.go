package ledger

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// world is a ledger in a database of its own.
type world struct {
	db    *pgtest.DB
	pool  *pgxpool.Pool // as the program works
	store *Store
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db := pgtest.New(t)
	return &world{db: db, pool: db.Pool, store: New()}
}

func newCreator(t testing.TB, pool *pgxpool.Pool) uuid.UUID {
	t.Helper()
	c := id.New()
	_, err := pool.Exec(t.Context(), `INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, 'C', 'x', '{creator}')`,
		c, c.String()+"@example.test")
	require.NoError(t, err)
	return c
}

func (w *world) post(ctx context.Context, entries ...Entry) ([]Posted, error) {
	return pg.InTx(ctx, w.pool, func(ctx context.Context, tx pgx.Tx) ([]Posted, error) {
		return w.store.PostTx(ctx, tx, entries)
	})
}

func (w *world) mustPost(t testing.TB, entries ...Entry) []Posted {
	t.Helper()
	out, err := w.post(t.Context(), entries...)
	require.NoError(t, err)
	return out
}

func (w *world) wallet(t testing.TB, creator uuid.UUID, currency string) Balance {
	t.Helper()
	b, err := w.store.Wallet(t.Context(), w.pool, creator, currency)
	require.NoError(t, err)
	return b
}

// sold is an order as the tests see it.
type sold struct {
	id, creator uuid.UUID
	currency    string
	gross, net  int64
}

func newSold(creator uuid.UUID, currency string, gross, net int64) sold {
	return sold{id: id.New(), creator: creator, currency: currency, gross: gross, net: net}
}

func (o sold) entry(kind Kind, name string, gross int64) Entry {
	return Entry{
		Key: string(kind) + ":stripe:main:" + o.id.String() + name, Kind: kind, OrderID: o.id, CreatorID: o.creator,
		Provider: "stripe", Account: "main", Currency: o.currency, Gross: gross, OrderGross: o.gross, OrderNet: o.net,
		CauseKind: "inbox", CauseID: id.New(),
	}
}

func (o sold) sale() Entry                           { return o.entry(Sale, "", o.gross) }
func (o sold) refund(name string, gross int64) Entry { return o.entry(Refund, name, gross) }
func (o sold) release() Entry                        { return o.entry(Release, "", 0) }

// disputed is an entry of the order's dispute of that name.
func (o sold) disputed(kind Kind, dispute, name string, gross int64) Entry {
	e := o.entry(kind, dispute+name, gross)
	e.Dispute = "stripe:main:" + o.id.String() + dispute
	return e
}

// undo takes back a refund, or a refund of surplus.
func (o sold) undo(e Entry) Entry {
	kind := RefundUndone
	if e.Kind == SurplusRefunded {
		kind = Surplus
	}
	u := o.entry(kind, "undo:"+e.Key, e.Gross)
	u.Undoes = e.Key
	return u
}

// payOut takes amount out of a wallet's available money, as a payout will.
func (w *world) payOut(t require.TestingT, q pg.DBTX, creator uuid.UUID, currency string, amount int64) {
	_, err := q.Exec(background(), `INSERT INTO ledger_accounts (kind, creator_id, currency)
		VALUES ('available', $1, $2), ('in_flight', NULL, $2) ON CONFLICT DO NOTHING`, creator, currency)
	require.NoError(t, err)
	_, err = q.Exec(background(), `
WITH a AS (
  SELECT id, kind FROM ledger_accounts WHERE currency = $2 AND (kind = 'in_flight' OR kind = 'available' AND creator_id = $1)
), e AS (
  INSERT INTO ledger_entries (id, key, kind, gross, currency, cause_kind, cause_id)
  VALUES ($4, 'payout:' || $4::uuid::text, 'payout_held', $3, $2, 'audit', $4::uuid) RETURNING id
), p AS (
  INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
  SELECT e.id, row_number() OVER (), a.id, $2, CASE a.kind WHEN 'available' THEN $3::bigint ELSE -$3::bigint END FROM e, a
)
UPDATE wallets SET available = available - $3 WHERE creator_id = $1 AND currency = $2`, creator, currency, amount, id.New())
	require.NoError(t, err)
}

// background is for helpers that also serve property tests, whose runs have no
// context of their own.
func background() context.Context { return context.Background() }

// violations is what must hold of every ledger, said in SQL alone.
const violations = `
SELECT 'unbalanced' AS broken, entry_id::text AS what FROM ledger_postings GROUP BY entry_id, currency HAVING sum(amount) <> 0
UNION ALL
SELECT 'single posting', entry_id::text FROM ledger_postings GROUP BY entry_id HAVING count(*) < 2
UNION ALL
SELECT 'no postings', id::text FROM ledger_entries e WHERE NOT EXISTS (SELECT FROM ledger_postings p WHERE p.entry_id = e.id)
UNION ALL
-- Rounding may pass one minor unit between held and free money besides.
SELECT 'amount', e.id::text FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id JOIN ledger_accounts a ON a.id = p.account_id
  GROUP BY e.id HAVING CASE WHEN e.kind = 'dispute_opened' THEN sum(p.amount) FILTER (WHERE p.amount > 0) > e.gross
    WHEN bool_or(a.kind = 'clearing') THEN abs(sum(p.amount) FILTER (WHERE a.kind = 'clearing')) <> e.gross
      OR sum(p.amount) FILTER (WHERE p.amount > 0) NOT BETWEEN e.gross AND e.gross + 1
    ELSE sum(p.amount) FILTER (WHERE p.amount > 0) <> e.gross END
UNION ALL
SELECT 'foreign posting', p.entry_id::text FROM ledger_postings p
  LEFT JOIN ledger_entries e ON e.id = p.entry_id AND e.currency = p.currency
  LEFT JOIN ledger_accounts a ON a.id = p.account_id AND a.currency = p.currency
  WHERE e.id IS NULL OR a.id IS NULL
UNION ALL
SELECT 'posted twice', key FROM ledger_entries GROUP BY key HAVING count(*) > 1
UNION ALL
SELECT 'sold twice', order_id::text FROM ledger_entries WHERE kind = 'sale' GROUP BY order_id HAVING count(*) > 1
UNION ALL
SELECT 'undone twice', undoes FROM ledger_entries WHERE undoes IS NOT NULL GROUP BY undoes HAVING count(*) > 1
UNION ALL
SELECT 'disputed twice', dispute FROM ledger_entries WHERE kind IN ('dispute_opened', 'dispute_closed') GROUP BY dispute, kind HAVING count(*) > 1
UNION ALL
SELECT 'account twice', min(id)::text FROM ledger_accounts GROUP BY kind, creator_id, provider, account, currency HAVING count(*) > 1
UNION ALL
SELECT 'negative wallet', creator_id::text FROM wallets WHERE least(pending, available, held, debt) < 0
UNION ALL
SELECT 'wallet', coalesce(w.creator_id, s.creator_id)::text
FROM wallets w FULL JOIN (
  SELECT a.creator_id, a.currency,
    -coalesce(sum(p.amount) FILTER (WHERE a.kind = 'pending'), 0) AS pending,
    -coalesce(sum(p.amount) FILTER (WHERE a.kind = 'available'), 0) AS available,
    -coalesce(sum(p.amount) FILTER (WHERE a.kind = 'held'), 0) AS held,
    coalesce(sum(p.amount) FILTER (WHERE a.kind = 'debt'), 0) AS debt
  FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.creator_id IS NOT NULL GROUP BY 1, 2
) s USING (creator_id, currency)
WHERE (coalesce(w.pending, 0), coalesce(w.available, 0), coalesce(w.held, 0), coalesce(w.debt, 0))
  IS DISTINCT FROM (coalesce(s.pending, 0), coalesce(s.available, 0), coalesce(s.held, 0), coalesce(s.debt, 0))
UNION ALL
SELECT o.kind || ' of an order', o.order_id::text FROM (
  SELECT e.order_id, a.kind, sum(p.amount * CASE a.kind WHEN 'write_off' THEN 1 ELSE -1 END) AS there
  FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id JOIN ledger_accounts a ON a.id = p.account_id
  WHERE a.kind IN ('pending', 'held', 'suspense', 'revenue', 'write_off') AND e.order_id IS NOT NULL GROUP BY 1, 2
) o WHERE o.there < 0
UNION ALL
SELECT 'share', o.order_id::text FROM (
  SELECT e.order_id, -coalesce(sum(p.amount) FILTER (WHERE a.creator_id IS NOT NULL), 0) AS left,
    -coalesce(sum(p.amount) FILTER (WHERE a.creator_id IS NOT NULL AND e.kind = 'sale'), 0) AS net,
    sum(CASE WHEN a.kind = 'clearing' AND e.kind = 'sale' THEN p.amount ELSE 0 END) AS gross,
    sum(CASE WHEN a.kind = 'clearing' AND e.kind IN ('refund', 'refund_undone', 'dispute_withdrawn', 'dispute_reinstated') THEN -p.amount ELSE 0 END) AS back
  FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id JOIN ledger_accounts a ON a.id = p.account_id
  WHERE e.order_id IS NOT NULL GROUP BY e.order_id
) o WHERE o.gross > 0 AND o.left <> o.net - floor(least(o.back, o.gross) * o.net / o.gross)`

// broken lists the names of the rules that do not hold.
func broken(t testing.TB, q pg.DBTX) []string {
	t.Helper()
	rows, err := q.Query(context.WithoutCancel(t.Context()), `SELECT DISTINCT broken FROM (`+violations+`) v`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}
