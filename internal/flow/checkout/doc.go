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
//   - A provider that remembers no keys is called once for an attempt, which is
//     noted before the call. An attempt whose only call got no answer is given up
//     for the next one; its page, named in advance, is asked about all the same.
//   - Two open orders of one buyer never claim the same thing: the older page is
//     closed at the provider first.
//   - A closed page to which money may still come is watched for that long, and
//     money on its way is watched for a month, whatever the order's state is.
//   - What a provider cannot take is said before anybody pays, by the provider's
//     own rules ([Ways]), and it is never asked for.
//   - Only answers that stay true are stored (idempotency.Storable).
//
// # Concurrency
//
// tx 1 and tx 2 lock the idempotency key, then the order. Reservations wait on
// their unique keys. The watch claims open orders with SKIP LOCKED.
package checkout
