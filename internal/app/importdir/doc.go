// Package importdir puts a folder of photographs into an event, on the server's
// own machine: `proofroom import`.
//
// # Owns
//
// The walk over the folder, the progress that a person sees, and the summary.
// Files and rows are core/media's.
//
// # Invariants
//
//   - A run may be killed at any moment and started again: what the event has
//     already is skipped by its hash, and the end is the same as after one run.
//   - A file that cannot be taken is named with its reason and does not keep
//     others from being imported. A database or store that fails ends the run.
//
// # Concurrency
//
// A run is one goroutine; any number of runs may work on one event, also on the
// same folder.
package importdir
