// Package stripe is the stand-in of Stripe: Checkout Sessions, payment intents,
// charges, refunds and disputes in Stripe's own wire form, on the machine of
// package host.
//
// # Owns
//
// Stripe's objects and its memory of idempotency keys.
//
// # Invariants
//
//   - Metadata goes only where Stripe copies it: from payment_intent_data to the
//     payment intent and on to its charges; never from a session to its payment
//     intent, and never to refunds and disputes.
//   - Amounts on the wire are Stripe's units; whatever leaves the package by
//     another way is in minor units of ISO 4217.
//
// # Concurrency
//
// The host's lock guards all of it.
package stripe
