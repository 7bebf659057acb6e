// Package app puts the program together: it reads the configuration, makes each
// part with its constructor, and runs and stops them in order. It is the only
// place where adapters meet flows.
//
// # Owns
//
// The configuration, the commands of the command line, and the order in which
// things start and stop.
//
// # Invariants
//
//   - Nothing is started before the database's schema was found to fit.
//   - Stopping takes at most 20 s: first no new requests, then the loops finish
//     what they have in hand, then the pools and the private PostgreSQL.
//
// # Concurrency
//
// Each long-lived part runs in a goroutine of its own, which Run waits for.
package app
