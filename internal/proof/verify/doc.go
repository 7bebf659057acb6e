// Package verify proves on the operator's own machine that the promises hold:
// it starts real processes, breaks them in named ways, and judges what is left
// by SQL over the database and by the provider stand-in's own ledger, never by
// the program's own word.
//
// # Owns
//
// The invariants (invariants/*.sql), the World in which a scenario runs, the
// judges, the cut sets' control experiment and the report. The scenarios
// themselves are values in package scenarios.
//
// # Invariants
//
//   - A verdict is computed. A fault that never fired, or operations that never
//     overlapped, give NOT EXERCISED, never PASS.
//   - A check that cannot fail proves nothing: each required cut set (all the
//     guards that back each other up) is taken away in a scratch database, and
//     an invariant or the ledger's judge must go red; else the scenarios that
//     credit it are VOID. An error answer alone does not count.
//   - Nothing outside scratch folders, scratch databases and processes that it
//     started itself is touched.
//
// # Concurrency
//
// Worlds are independent of each other; a few run at a time. One World is used
// by one scenario, whose clients may be many goroutines.
package verify
