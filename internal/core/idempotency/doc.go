// Package idempotency keeps the answers of requests that must not have their
// effect twice, by the key that the client chose.
//
// # Owns
//
// Table idempotency_keys. A key is scoped to (actor, operation) and kept for 35
// days.
//
// # Invariants
//
//   - A key names one request: another fingerprint under it is refused.
//   - A running key has a lease of 30 s with a term. Whoever takes a lapsed key
//     over raises the term, and the owner before can then write nothing.
//   - Only answers that stay true are stored ([Storable]).
//
// # Concurrency
//
// The key's row is the first lock of a request's transactions. Two requests
// with one key meet at the unique key uq_idempotency_key: the second waits for
// the first's transaction and then sees what it left.
package idempotency
