// Package till is a shop to test checkouts in: one event on sale, buyers, and
// providers that live in the test's memory and do as the test says.
//
// # Owns
//
// Nothing: it writes what a test needs into the test's own database.
//
// # Invariants
//
// A provider here keeps to the contract of payment.Provider, also in how it
// fails: a hook before a call means that nothing happened, one after it that it
// happened and the reply was lost.
//
// # Concurrency
//
// Everything may be called from anywhere; hooks run outside the lock.
package till
