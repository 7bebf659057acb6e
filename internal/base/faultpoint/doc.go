// Package faultpoint names the places where a proof kills, holds or fails a
// process: between every two writes that a crash could tear apart.
//
// # Owns
//
// The list of points and, in the proof build, the orders for them from the
// environment variable PROOFROOM_FAULTS: a comma separated list of
// "name=action" or "name=action@n" (only the n-th hit, counted from 1), where
// action is
//
//	kill         the process sends itself SIGKILL
//	fail         Hit returns an error
//	hold:/SOCK   connect to the unix socket, write the name, and go on once the
//	             other side closes: a barrier held by the prover
//
// # Invariants
//
// In the release build Hit does nothing and reads no environment.
//
// # Concurrency
//
// Hit may be called from anywhere; hits are counted atomically.
package faultpoint
