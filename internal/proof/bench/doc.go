// Package bench has what every measurement needs to be honest: statistics over
// rounds, the cost of a flush to the disk below, the processor time and memory
// of processes, and how much of the machine somebody else used meanwhile.
//
// # Owns
//
// Nothing that lasts.
//
// # Invariants
//
//   - A figure is a median over rounds, and the rounds are printed with it.
//   - A round in which others used more than [MaxOthers] of the machine is void:
//     [Others.Share] says so, and whoever measures fails instead of printing.
//
// # Concurrency
//
// Values of this package belong to one goroutine.
package bench
