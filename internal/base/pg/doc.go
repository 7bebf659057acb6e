// Package pg is how the program uses PostgreSQL: pools, transactions, the
// schema's version, and which errors mean what.
//
// # Owns
//
// The rules of a transaction (InTx), the application's database role, and the
// names of the schema's constraints (generated from the migrations).
//
// # Invariants
//
//   - A transaction is READ COMMITTED, explicit in signatures, never in a
//     context or a struct. InTx marks the context; whatever talks to a network
//     refuses a marked one.
//   - A transaction that a deadlock or serialization failure undid is run again
//     whole, at most five times. A commit whose reply was lost is reported as
//     ErrCommitUnknown and never run again blindly.
//   - `serve` works as role proofroom_app, which cannot change or delete rows
//     of append-only tables.
//
// # Concurrency
//
// Lock order is written in ARCHITECTURE.md. Everything here may be called from
// anywhere.
package pg

//go:generate go run ./genconstraints
