// Package refund gives money back, and brings about what a person decides about
// an order in review: it records the wish, asks the provider, and hands the
// answer to the inbox like any other news.
//
// # Owns
//
// No table: requests and decisions are core/order's.
//
// # Invariants
//
//   - A request, the end of the access of exactly its lines, and the job that
//     sends it are one transaction; the audit row of the person behind it and the
//     answer to the request's key too.
//   - What is asked back of a payment never exceeds what was taken, checked
//     under the order's lock. While the payment is disputed nothing is asked.
//   - That a provider is about to be called is committed before it is. Who finds
//     it committed repeats the call with the same key while the provider
//     remembers keys, and only looks for the refund after that. A definite no
//     restores the access; a call that was certainly not made may be made anew.
//   - A request without an answer for a day, and a refund on its way for ten, are
//     handed to a person.
//   - A preview runs the very code of the decision, and is rolled back.
//
// # Concurrency
//
// The request's key, the order's row lock, then what settle locks. The job, the
// poller and the search for what is overdue may run twice and anywhere.
package refund
