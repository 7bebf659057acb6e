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
//	sale                clearing +G, pending -N, revenue -C
//	refund of g         clearing -g, revenue + the commission's share, and the
//	                    net share from where that order's money is: what is
//	                    free of it, then what is held
//	refund_undone       clearing +g, and the shares back
//	surplus             clearing +, suspense - (money that bought nothing)
//	surplus_refunded    suspense +, clearing -
//	fee                 fees +, clearing -
//	release             what is pending of the order becomes free; not while
//	                    any of it is held
//	dispute_opened      the net share of the disputed amount, as far as it is
//	                    still with the creator, from free to held
//	dispute_withdrawn   clearing -g, revenue + the commission's share, the net
//	                    share from what this dispute holds, then as a refund
//	dispute_reinstated  the reverse: to held, or free once the dispute is closed
//	dispute_closed      what the dispute still holds becomes free
//	surplus_withdrawn   suspense +, clearing -, of a payment that bought nothing
//	surplus_reinstated  the reverse
//
// Free money of an order is pending before its release. Afterwards it is the
// creator's available money: what comes pays debt first, what goes and is not
// there makes debt. Never is another order's pending or held money touched.
// What goes back beyond the sale comes out of the order's suspense. A refund
// may not exceed that; a dispute may, and the rest is written off, until money
// comes that makes up for it. A posting of zero is left out.
//
// # Whatever comes first
//
// Where an order's money is depends on sums alone: what was refunded, what each
// dispute disputes, has taken and whether it is closed, what came in surplus and
// whether the order is released (method places). An entry posts the difference
// between before and after. So with R refunded and W withdrawn of a sale
//
//	given back of the sale   B = min(G, R + W)
//	the creator's part of it floor(B x N / G), the rest is commission
//	beyond the sale          R + W - B, out of suspense, else written off
//
// hold after each entry, and the same entries in any order end in the same
// wallets and totals: rounding remainders are the platform's, a full refund
// takes back exactly N, and a wallet's available less debt is a plain sum.
//
// dispute_opened and dispute_closed that move nothing because nothing is with
// the creator make no entry and may be asked again; within a call PostTx does
// so itself. The caller therefore posts all that the facts say of an order each
// time: sale, refunds, then each dispute's entries in the order of this list.
// If they move nothing because another dispute holds the same money, they stand
// with one minor unit of held, there and back.
//
// # Invariants
//
//   - An entry's postings add up to zero, are at least two, and come in the one
//     statement that makes the entry (triggers ledger_postings_balance and
//     ledger_entries_whole). Nothing is changed or deleted afterwards.
//   - A key is posted once (uq_ledger_entry), an order is sold once
//     (uq_ledger_sale), an entry is taken back once (uq_ledger_undoes), a
//     dispute is opened and closed once (uq_ledger_dispute).
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
