// Package outbox keeps the messages that people were promised. A message is a
// row in the transaction that makes it true; sending is work that follows.
//
// # Owns
//
// Table messages.
//
// # Invariants
//
//   - One message for each (order, kind) (uq_message), with one Message-ID
//     that is made from them, so that a message sent twice is recognised as one.
//
// # Concurrency
//
// Messages are inserted in the order of their key, after everything that an
// order's transaction locks.
package outbox
