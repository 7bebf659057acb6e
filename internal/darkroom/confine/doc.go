// Package confine takes away from a process what a decoder of pictures does
// not need. Importing it is enough.
//
// # Purpose
//
// It sets, before the first Go code runs: no_new_privs (no set-uid program
// can raise the process again), no descriptors but the pipes of the three
// standard ones, at most 2 GiB of data, 32 descriptors, no writing of files, no
// core dump, and a limit of processor time.
//
// # Invariants
//
// A process that cannot be confined ends at once with exit code 71. Limits
// only ever go down. Only cmd/darkroom imports this package: nothing else
// could work under it.
//
// # Concurrency
//
// Renew is called by the one goroutine that works photographs.
package confine
