// Package checkout turns a selection into an order and a hosted page to pay it
// on, exactly one for each request however often it is sent, and looks after
// orders that wait.
//
// # Owns
//
// No table: it writes orders, attempts and idempotency keys through their
// packages.
//
// # Invariants
//
//   - The order, what it reserves, its first attempt and the idempotency key
//     are one transaction. The provider is called after it, with the attempt's
//     id as key; the page and the stored answer are a second transaction, which
//     first locks the key at its own term.
//   - A reply that was lost is asked for again with the same key, by the
//     client's retry or by the sweeper: one attempt has one page.
//   - Two open orders of one buyer never claim the same thing: the older page is
//     closed at the provider first.
//   - Only answers that stay true are stored (idempotency.Storable).
//
// # Concurrency
//
// tx 1 and tx 2 lock the idempotency key, then the order. Reservations wait on
// their unique keys. The watch claims open orders with SKIP LOCKED.
package checkout
