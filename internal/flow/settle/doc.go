// Package settle turns what providers said about orders into effects: the
// order's state, the buyer's grants, the ledger, refunds to ask for, receipts.
//
// # Owns
//
// No table. It is the payment.Applier of orders: the only path by which money
// changes anything.
//
// # Invariants
//
//   - All effects of a group of observations are in one transaction, with the
//     inbox rows that carry them.
//   - Each order is touched once a group, under its row lock; its effects are
//     the difference between what its facts meant before and after.
//   - The same observation again, an older one, or one in another order leads
//     to the same state, grants and account totals.
//
// # Concurrency
//
// Locks, in this order: the inbox rows (the caller's), orders by id, access
// locks by (buyer, event), grants by their unique keys, wallets by owner,
// ledger entries by key, messages, jobs. Running twice is normal.
package settle
