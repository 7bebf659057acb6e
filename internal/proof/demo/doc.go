// Package demo shows the program at work on one machine: a private PostgreSQL,
// the stand-in for the payment providers and a server, as processes of their own,
// with events, accounts and, on request, some hundred buyers.
//
// # Purpose
//
// [Show] is for people: everything runs, filled with photographs, until it is
// told to stop. [Once] is for machines: it drives paid orders through the HTTP
// API, spread over the providers, while these repeat, reorder and lose their
// webhooks, others are forged, money comes late or twice, goes back and is
// contested. It counts what came of it, and is content only if everything adds up.
// [Recount] counts again, in a process of its own, from the providers' ledgers and
// the database.
//
// # Owns
//
// A data folder: database, files, logs of the processes, and demo.json with the
// secrets of the sample accounts. No table.
//
// # Invariants
//
//   - Only real parts: what is shown and driven here goes through the same
//     binary, HTTP API, webhooks and database as in production.
//   - Settings of a real installation (PROOFROOM_...) never reach the processes,
//     so that no real key is ever used.
//   - Show can be run again on its folder: it adds what is missing, twice nothing.
//   - No number in a [Report] is assumed: each is read from the database, from
//     the providers or from an answer.
//   - The processes end in order, the server first; when this one is killed, they
//     notice and end by themselves.
//
// # Concurrency
//
// A Stack belongs to one goroutine. Buyers run at once; what they learn goes into
// their own order.
package demo
