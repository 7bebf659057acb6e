// Package inbox works the queue of what providers say: it receives webhooks,
// fetches what pointers point at, hands observations to their Applier, and asks
// providers when nobody told us.
//
// # Owns
//
// No table: the rows are core/payment's. It owns the loops over them.
//
// # Invariants
//
//   - A webhook is answered with 2xx only after its row is committed.
//   - A refused request stores nothing under an event id.
//   - A row is applied in the transaction that ends it. A group that fails for a
//     reason of its own is halved down to the row that fails; that row is put
//     off and finally dead, and its neighbours are applied.
//   - Transient database errors and lost replies of a provider count no attempt.
//   - An event that is said again leads to a fetch that begins after it was said.
//
// # Concurrency
//
// Receipts of concurrent requests go in as groups: a flusher takes all that
// waits, commits, repeats. Rows are claimed with SKIP LOCKED, so any number of
// instances drain. Pointers are fetched outside transactions under a lease with
// a term and a sequence drawn before the provider is asked, a few at once for
// each account; an account whose provider does not answer is left alone for a
// while by a breaker of its own, and nobody else's pointers wait for it.
package inbox
