// Package checkout measures how fast orders are made: a real server that is
// asked over HTTP, against a bare loop that writes the same rows.
//
// # Owns
//
// Nothing that lasts: the database is a scratch one.
//
// # What is compared
//
// Ours is `proofroom serve` as it runs in production. Clients with keep-alive
// connections (raw sockets, which cost the machine less than net/http's client)
// post checkouts, each with an Idempotency-Key of its own, as guests of their own
// from addresses of their own. So every guard is at work: who asks is looked up,
// limits are counted, the selection is checked and priced.
//
// The bare loop has as many workers over as many connections. For each order it
// sends all statements that an order needs, checks included, in two transactions
// of one round trip each, with the same call to the provider between them. It is
// written by hand in the best form known instead of calling our own packages: a
// slow statement of ours would else slow the measure as well. It does not ask
// who sends the request nor how often; that is part of what a server costs.
//
// The provider is [StandIn], in a process of its own, which answers at once.
//
// # Invariants
//
//   - Every answer 201 has its order in the database, with a page that can be
//     paid and a stored answer, and no key has two: counted by SQL, or the
//     measurement fails.
//   - Both sides leave the same number of rows for an order in every table.
//   - The sides take turns; a figure is a median, printed with its rounds.
//
// # Concurrency
//
// One measurement at a time; its workers share nothing but the pool.
package checkout
