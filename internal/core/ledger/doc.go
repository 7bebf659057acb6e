// Package ledger is where money is: double entry, append-only, in minor units
// of one currency per entry.
//
// # Owns
//
// Tables ledger_accounts, ledger_entries, ledger_postings and wallets.
//
// A debit is positive: money that a provider holds for us, or that is owed to
// us. So a minus on a creator's or the platform's account raises what is owed
// to them. The journal, with G gross, N net to the creator and C = G - N:
//
//	sale              clearing +G, pending -N, revenue -C
//	refund of g       clearing -g, revenue + the commission's share, and the
//	                  net share n from where that order's money is: its own
//	                  pending; else available as far as it reaches, and the
//	                  rest becomes debt. Never from another order's pending.
//	                  What goes beyond the sale comes out of suspense
//	refund_undone     clearing +g, revenue and n back: to pending while the
//	                  order is not released, else debt first, then available
//	surplus           clearing +, suspense - (money that bought nothing)
//	surplus_refunded  suspense +, clearing -
//	fee               fees +, clearing -
//	release           what is still pending of the order: debt first as far
//	                  as it stands, the rest to available
//
// The net shares of an order's refunds add up to floor(refunded x N / G) after
// each of them, so rounding remainders are the platform's and a full refund
// takes back exactly N. A posting of zero is left out.
//
// # Invariants
//
//   - An entry's postings add up to zero, are at least two, and come in the one
//     statement that makes the entry (triggers ledger_postings_balance and
//     ledger_entries_whole). Nothing is changed or deleted afterwards.
//   - A key is posted once (uq_ledger_entry), an order is sold once
//     (uq_ledger_sale), an entry is taken back once (uq_ledger_undoes).
//   - A wallet is minus the sum of its postings (debt: the sum), moved in the
//     transaction of the entries and only by entries really inserted. Pending,
//     available, held and debt are never below zero.
//   - Which buckets an entry touches is decided once, under the wallet's lock,
//     and never computed again.
//
// # Concurrency
//
// The caller holds the row lock of every order that it posts for. PostTx locks
// the wallets, ascending by creator and currency, then inserts accounts and
// then entries, each sorted by key; a transaction calls it once. The same entry
// posted by two transactions makes the second wait and then find it standing.
package ledger
