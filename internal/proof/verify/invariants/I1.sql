-- I1: the postings of an entry add up to zero in each currency, every wallet is
-- the sum of its postings, and nothing that a creator has is below zero.
WITH entries AS (
  SELECT e.id, e.currency, count(p.entry_id) AS postings, coalesce(sum(p.amount), 0) AS total,
         bool_and(p.currency = e.currency AND a.currency = e.currency AND a.id IS NOT NULL) AS fits
  FROM ledger_entries e
  LEFT JOIN ledger_postings p ON p.entry_id = e.id
  LEFT JOIN ledger_accounts a ON a.id = p.account_id
  GROUP BY e.id, e.currency
), posted AS (
  -- What is owed to a creator grows with a minus; what a creator owes with a plus.
  SELECT a.creator_id, a.currency,
         coalesce(-sum(p.amount) FILTER (WHERE a.kind = 'pending'), 0) AS pending,
         coalesce(-sum(p.amount) FILTER (WHERE a.kind = 'available'), 0) AS available,
         coalesce(-sum(p.amount) FILTER (WHERE a.kind = 'held'), 0) AS held,
         coalesce(sum(p.amount) FILTER (WHERE a.kind = 'debt'), 0) AS debt
  FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
  WHERE a.creator_id IS NOT NULL
  GROUP BY a.creator_id, a.currency
), bad AS (
  SELECT 'entry ' || id AS what FROM entries WHERE postings < 2 OR total <> 0 OR fits IS NOT TRUE
  UNION ALL
  SELECT 'posting of no entry ' || p.entry_id || ' ' || p.seq
  FROM ledger_postings p WHERE NOT EXISTS (SELECT FROM ledger_entries e WHERE e.id = p.entry_id)
  UNION ALL
  SELECT 'wallet ' || coalesce(w.creator_id, s.creator_id) || ' ' || coalesce(w.currency, s.currency)
  FROM wallets w FULL JOIN posted s ON s.creator_id = w.creator_id AND s.currency = w.currency
  WHERE (coalesce(w.pending, 0), coalesce(w.available, 0), coalesce(w.held, 0), coalesce(w.debt, 0))
        IS DISTINCT FROM (coalesce(s.pending, 0), coalesce(s.available, 0), coalesce(s.held, 0), coalesce(s.debt, 0))
     OR least(w.pending, w.available, w.held, w.debt) < 0
)
SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM wallets) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
