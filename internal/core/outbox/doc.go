// Package outbox keeps the messages that people were promised. A message is a
// row in the transaction that makes it true; sending is work that follows.
//
// # Owns
//
// Table messages.
//
// # Invariants
//
//   - One receipt for each order (uq_message), with one Message-ID that is made
//     from the order, so that a receipt sent twice is recognised as one. Every
//     other message is a row of its own, with a Message-ID made from its id.
//   - queued -> sending -> sent | failed | unknown. What the mail server refused
//     for now goes back to queued. A message without an address is unaddressed
//     from the start and never work.
//   - At most two copies of a message may have arrived (message_copies), both
//     with its one Message-ID: a copy is counted before it is sent, and taken
//     off again only if the server surely did not accept it.
//
// # Concurrency
//
// Messages are inserted in the order of their key, after everything that an
// order's transaction locks. A message is claimed with SKIP LOCKED and a lease
// with a term; whoever lost the lease can record nothing. Nothing is sent inside
// a transaction.
package outbox
