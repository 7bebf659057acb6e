// Package stripe is a payment.Provider over Stripe's hosted Checkout.
//
// # Owns
//
// No table. It translates: our requests into Stripe's form fields, Stripe's
// objects and signed events into payment.Observation, and amounts between
// Stripe's units and ISO 4217 minor units.
//
// # Invariants
//
//   - Every call that changes something carries the id of our own attempt or
//     refund request as its Idempotency-Key; the key never depends on time.
//   - A request is a pure function of its input, so that repeating it under the
//     same key sends the same bytes.
//   - A session event, a payment intent event and a fetch state the same payment
//     under the same id: the payment intent's.
//   - Webhooks are verified over the raw bytes before anything is parsed.
//   - An event of the table whose content is not understood becomes a pointer,
//     so that it is asked about again and never silently lost.
//   - A live key is sent to Stripe's own address only.
//
// # Concurrency
//
// A Client is immutable and safe for concurrent use. Network methods refuse a
// context that is inside a database transaction.
package stripe
