// Package ratelimit says how often something may be done, over all instances
// together: the generic cell rate algorithm with one row a key in PostgreSQL.
//
// # Owns
//
// Table rate_limits and function rate_take.
//
// # Invariants
//
//   - In any stretch of time, at most Burst plus that time over Every are
//     allowed for a key, whatever instances are asked.
//   - Take counts for all of its keys or for none: who has used up one limit
//     uses up no other.
//   - Keys are stored as hashes: the table holds no address and no name.
//
// # When it fails
//
// It fails closed: when the database does not answer, the caller gets an error
// and refuses, since nothing that is limited works without the database. The
// table is unlogged: after a crash of the database every limit starts afresh.
//
// # Concurrency
//
// One statement locks the rows of its keys in the order of their hashes, by the
// primary key. It joins no transaction of a caller, so that a refused or failed
// request counts as well.
package ratelimit
