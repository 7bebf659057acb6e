// Package load makes the webhooks that a measurement sends, sends them, and
// answers the questions that they raise: everything that real providers do for
// an order that is paid, at no delay.
//
// # Orders
//
// Orders of a measurement are numbered within a [Set], and everything about an
// order follows from its number: its ids, its lines, its provider, its payment.
// So the database is filled by SQL, the events are made in another process and
// the stand-in answers in a third, and none has to tell the others anything.
//
// # Wire
//
// The bodies in wire/ are what the twin of each provider (internal/proof/twin)
// sends and answers for a paid checkout, byte for byte but for the ids; Stripe's
// indentation, 1.3 KB of spaces, is left out. Events are signed as the providers
// do: Stripe's with the endpoint's secret, PayPal's with an RSA key whose
// certificate the stand-in serves, Flutterwave's with the secret hash. The twin
// itself is not used: it keeps every page and every event under one lock, and
// would be what is measured.
//
// # Invariants
//
//   - An event is made and signed before the clock starts.
//   - What was acknowledged is told order by order, so that whoever counts can
//     say what was lost.
//   - In an open loop a time is counted from when the request was due, so that a
//     server that stalls cannot hide by slowing its load down.
//
// # Concurrency
//
// Each connection is one goroutine; they share counters only.
package load
