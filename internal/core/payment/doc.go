// Package payment is what a payment provider can say and be asked, in words
// that no provider owns, and the inbox that keeps what providers said.
//
// # Owns
//
// Tables inbox and webhook_refusals. A row of inbox is an observation of a
// provider's object: class fact by its own signed body, class pointer by the
// object fetched afterwards, class reply by an answer to a call of ours. Every
// effect on money or access names the inbox row that caused it.
//
// # Invariants
//
//   - A row is unique by (provider, account, event_id, object_id, event_type).
//     Event identity only saves work; effects are unique by provider object.
//   - Of two answers about one object the one with the higher sequence looked
//     later; the number is drawn before the provider is asked.
//   - A row is stored before its sender is answered with 2xx.
//   - A row ends as done, ignored or dead; nothing else is final.
//   - Calls to a provider are refused inside a database transaction.
//
// # Concurrency
//
// Rows are claimed with SKIP LOCKED only and are the first thing a transaction
// locks. Claiming twice is normal: an Applier must treat a fact it already
// knows as no fact.
package payment
