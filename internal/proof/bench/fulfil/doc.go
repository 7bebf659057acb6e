// Package fulfil measures how fast webhooks become fulfilled orders: signed
// events over HTTP against a real process of the server on a private PostgreSQL
// with the settings of production, and, in turns with it, the floor: the best
// single statement of SQL (floor.sql) that writes the same rows, run by pgbench
// on the same server without any HTTP.
//
// # Owns
//
// Nothing that lasts: databases and processes of its own.
//
// # Invariants
//
//   - Both sides write the same rows into the same schema with its constraints
//     and triggers, and neither meets an order that the other has touched.
//   - A rate counts orders that are granted, by SQL, over the time from the first
//     byte of the first request to an inbox in which nothing waits.
//   - After every run the database is examined (checks.go). A figure of a run
//     that broke a promise, or that others disturbed, is not a figure: the
//     command fails.
//   - Orders are as a checkout leaves them: page known, reserved, watched; their
//     first look by the watch is a day away, so that no poller takes part.
//     Messages wait: no mail server is configured.
//
// # Concurrency
//
// One measurement runs at a time; the database, the server, the generator and
// the stand-in are processes of their own, whose processor time is told apart.
package fulfil
