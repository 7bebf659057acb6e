// Package mailbox stands in for everybody's mail: an SMTP server that keeps what
// it is given, and a mailbox to read it in.
//
// # Owns
//
// The mails that were sent to it, in memory; the oldest go when there are too
// many.
//
// # Invariants
//
//   - It speaks real SMTP (emersion/go-smtp), so that whatever sends to it could
//     send to any other server.
//   - A mail is in the box exactly if its last line was accepted here, whether or
//     not the reply arrived: faults say how the two come apart.
//
// # Concurrency
//
// Everything may be called from anywhere. Who waits for a mail is woken by its
// arrival and asks again for nothing.
package mailbox
