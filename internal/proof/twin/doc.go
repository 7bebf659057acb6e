// Package twin is a stateful stand-in for the payment providers: it speaks their
// real wire protocols, takes payments on hosted pages that a person can click,
// sends signed webhooks, keeps its own ledger, and misbehaves on order.
//
// # Owns
//
// The process: its address, the control surface with its client, and the page
// that steers it. The machine is package host's, each provider's objects are its
// own package's. All is kept in memory; a twin runs as a process of its own, so
// that killing a server leaves it standing.
//
// # Invariants
//
//   - The ledger is append-only. It is the independent judge of what was paid,
//     and nothing that a fault does is missing from it. Its amounts are minor units
//     of ISO 4217, whatever the provider's own unit.
//   - All providers have one clock, one seed of faults and one way of delivering;
//     what is said about pages, refunds and disputes is said in the same words.
//   - Ids carry a random part, so that a restarted twin never repeats one.
//
// # Concurrency
//
// The host's lock guards all state. No network call is made under it.
package twin
