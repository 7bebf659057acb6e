// Package guard names the checks in code that an exactly-once promise rests on,
// so that a proof can take one away and see the promise break.
//
// # Owns
//
// The list of guards. Guards in the database are constraints, indexes and
// triggers and have their own names.
//
// # Invariants
//
// In the release build [Guard.On] is the constant true: no switch exists. With
// the build tag proof a guard named in the environment variable
// PROOFROOM_GUARDS_OFF (comma separated) answers false.
//
// # Concurrency
//
// Guards are defined in package variables and never change afterwards.
package guard
