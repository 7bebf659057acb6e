// Package clock is the process's idea of the present. It serves signature
// tolerance, logs and display; whatever decides about leases, expiry and next
// attempts asks the database (app_now) instead, since processes disagree.
//
// # Owns
//
// In the proof build, the offset of this process's clock from the environment
// variable PROOFROOM_CLOCK_OFFSET (a Go duration).
//
// # Concurrency
//
// A Clock is a function without state.
package clock
