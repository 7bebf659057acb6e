// Package flutterwave stands in for Flutterwave's hosted pages (API v3): it
// answers the calls of a merchant, shows payers a page, and sends webhooks, with
// what makes Flutterwave hard to work with.
//
// # Owns
//
// Links, transactions, refunds and chargebacks, and how they look on the wire.
// Time, faults, deliveries and the ledger are package host's.
//
// # Invariants
//
//   - No call is remembered: the same request is another link, or another refund.
//   - A tx_ref has any number of links, and a link any number of transactions.
//     A failed transaction leaves its link open.
//   - One endpoint knows the latest transaction of a tx_ref only, another lists
//     them all.
//   - Amounts are JSON numbers of the major unit; fees have more digits than can
//     be paid.
//   - A webhook carries the endpoint's secret hash, whatever its body is.
//   - Mobile money comes 4 to 10 minutes later in the twin's time, and brings no
//     payer back.
//
// # Concurrency
//
// The host's lock guards everything.
package flutterwave
