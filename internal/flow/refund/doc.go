// Package refund gives money back: it records the wish, asks the provider, and
// hands the answer to the inbox like any other news.
//
// # Owns
//
// No table: requests are core/order's.
//
// # Invariants
//
//   - A request, the end of the access that it takes, and the job that sends it
//     are one transaction; the audit row of the operator behind it too.
//   - What is asked back of a payment never exceeds what was taken, checked
//     under the order's lock.
//   - The provider is called with the request's id as key. A lost answer is
//     asked for again with the same key; a definite no restores the access.
//
// # Concurrency
//
// The order's row lock, then what settle locks. The job may run twice.
package refund
