// Package twin is a stateful stand-in for the payment provider: it speaks
// Stripe's real wire protocol, takes payments on a hosted page that a person can
// click, sends signed webhooks, keeps its own ledger, and misbehaves on order.
//
// # Owns
//
// Everything that the provider would own: sessions, payment intents, charges,
// refunds, events, deliveries, idempotency keys and the ledger of money moved.
// It is kept in memory; a twin runs as a process of its own, so that killing a
// server leaves it standing.
//
// # Invariants
//
//   - The ledger is append-only. It is the independent judge of what was paid,
//     and nothing that a fault does is missing from it.
//   - Metadata goes only where Stripe copies it: from payment_intent_data to the
//     payment intent and on to its charges; never from a session to its payment
//     intent, and never to refunds.
//   - A random fault is decided by hash(seed, what, index, fault). The index is
//     the place of the session, request or event in its own order, so two runs
//     of one seed have the same faults whatever the interleaving. Ids carry a
//     random part, so that a restarted twin never repeats one.
//   - An event's body is frozen when it is made. Each sending signs it anew.
//   - Amounts are Stripe's units, on the wire and in the ledger.
//
// # Concurrency
//
// One mutex guards the state; no network call is made under it. Each delivery
// has a goroutine, and sendings are bounded by Config.Workers. Close ends all.
package twin
