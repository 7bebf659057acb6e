// Package notify sends what people were promised: it takes messages from the
// outbox, writes them and hands them to a mail server.
//
// # Owns
//
// No table: it writes through outbox and account. The texts of all mails.
//
// # Invariants
//
//   - What the server refused for good (5xx) has failed; what it refused for
//     now, or was never reached with, is tried again with growing pauses, ten
//     times in about a day. If the connection is lost after the last line of the
//     mail, nobody knows: the same mail with the same Message-ID goes out once
//     more, and is then left unknown.
//   - A link in a mail is made when the mail is sent and lives from then on; its
//     secret is in the mail and nowhere else. A mail with a link that nobody
//     waits for any more is not sent.
//   - A receipt names its links' end: they lead to a page with a button, never
//     straight to an original.
//   - Nothing about a recipient is logged: a message's id is enough to find it.
//
// # Concurrency
//
// Any number of instances send beside each other; outbox gives each message to
// one of them under a lease that is longer than the send may take. The mail
// server is called outside transactions. A sender that is killed between the
// send and its record leaves a copy that counts.
package notify
