// Package flutterwave is a payment.Provider over Flutterwave's hosted pages
// (API v3, "Flutterwave Standard").
//
// # Owns
//
// No table. It translates: our requests into Flutterwave's JSON, its
// transactions, refunds and chargebacks into payment.Observation, and amounts
// between JSON numbers in major units and minor units.
//
// # Invariants
//
//   - A page is named by its attempt's id, the tx_ref, before Flutterwave is
//     asked for it. Several transactions may be paid under one tx_ref: each is a
//     payment of its own, named by Flutterwave's id of the transaction.
//   - Flutterwave remembers no keys. A page asked for twice is two pages of one
//     attempt; a refund is asked for once, and a repeated request only looks.
//   - A webhook's header is a shared secret that does not cover the body, so the
//     body states nothing: it names an object, which is then fetched.
//   - A failed transaction ends nothing: the payer may try again on the page.
//   - No amount passes through floating point, and none is rounded; only a fee,
//     which may have more digits than its currency, is rounded up.
//   - A live key is sent to Flutterwave's own address only.
//
// # Concurrency
//
// A Client is immutable and safe for concurrent use. Network methods refuse a
// context that is inside a database transaction.
package flutterwave
