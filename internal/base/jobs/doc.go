// Package jobs is the job queue: River on the same PostgreSQL, configured so
// that its defaults break no promise.
//
// # Invariants
//
//   - A job is enqueued in the transaction of its effect, one job a group of
//     rows. It may run twice; its uniqueness saves work and guards nothing.
//   - A job has a time limit, and a job whose process died is taken up again
//     after twice the longest limit, not after River's hour.
//   - No NOTIFY inside a transaction of ours: commits of notifying
//     transactions are serialised. The driver reports no support for it, and
//     workers poll instead.
//
// # Concurrency
//
// Every instance runs a client; the queue's own leader does its maintenance.
package jobs
