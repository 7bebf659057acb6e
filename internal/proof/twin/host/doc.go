// Package host is the machine that the stand-ins of all payment providers share:
// one clock, one lock, one way of failing on order, one way of delivering
// webhooks, one ledger and one vocabulary for whoever steers them.
//
// # Owns
//
// Time, faults, events with their deliveries, the ledger of money moved, the
// counters, and the interface Provider that a stand-in implements. What a
// provider's objects are and how they look on the wire is the stand-in's.
//
// # Invariants
//
//   - The ledger is append-only. Its amounts are minor units of ISO 4217, whatever
//     the provider's own unit, and its currencies upper case.
//   - A random fault is decided by hash(seed, what, index, fault). The index is
//     the place of the page, request or event in its own order, so two runs of one
//     seed have the same faults whatever the interleaving.
//   - An event's body is frozen when it is made. Each sending asks the provider
//     for its headers anew.
//   - Whatever is asked through the control surface works on one Provider, which
//     is found by the id that it owns.
//
// # Concurrency
//
// One mutex, Host.Lock, guards the machine and the state of every provider. No
// network call is made under it. Each delivery has a goroutine, and sendings are
// bounded by Config.Workers. Close ends all.
package host
