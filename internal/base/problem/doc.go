// Package problem is the one error type that carries meaning to a person: what
// happened, what is safe, and what to do. Domains define sentinels with
// [Define]; one mapping at the edge turns them into HTTP answers, and workers
// map the same kinds to retry, snooze or cancel.
//
// # Invariants
//
// Detail is shown to strangers, so it never holds a secret, an internal name or
// the text of another error. A cause is attached with [Error.Because]; it is
// logged, never shown.
//
// # Concurrency
//
// Errors are values: With... methods return copies.
package problem
