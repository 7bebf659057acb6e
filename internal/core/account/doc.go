// Package account knows who people are: accounts with passwords, the sessions
// and API tokens that stand for them, guests, the links in mail that prove an
// address, the first operator, and the log of what operators did.
//
// # Owns
//
// The tables accounts, sessions, api_tokens, guest_sessions, setup_links,
// mail_links, mail_link_tokens and audit_log.
//
// # Invariants
//
//   - Passwords are stored as argon2id hashes, tokens as SHA-256 of 256 random
//     bits; no secret can be read back. A secret is shown once, when made.
//   - An e-mail address names at most one account (uq_account_email), whatever
//     its spelling in capitals.
//   - Signing in costs the same and answers the same for an unknown address and
//     a wrong password.
//   - A guest is whoever holds the secret of a guest session, never an e-mail. A
//     session that was claimed is an account's for good.
//   - A link in a mail is used once, whichever copy of the mail it is in, and by
//     a deliberate act: looking at it changes nothing. Reading the mail proves the
//     address, so a link for an address without an account makes one.
//   - Whoever made an account before its address was proved keeps nothing of it
//     once it is, unless they prove it themselves from a session of it.
//   - Of all setup links one is ever used (uq_setup_link_used), and none once an
//     operator exists.
//   - Accounts, guests and audit rows are never deleted; audit rows never change.
//
// # Concurrency
//
// No row is read and then written: sessions, tokens and links end by a
// conditional UPDATE, and two sign-ups with one address meet at the unique key.
// Using a setup link locks the link, then (at the unique index) waits for
// another use, then inserts or updates the account, then the audit row. Using a
// mailed link locks the link, then the account, then the guest session, all
// before any order. A sign-in by password takes the account's share lock and
// looks at the password again, so that none slips past the proof that ends it. All
// methods may run twice and from any instance. At most two passwords are hashed
// at a time per process, so that a storm of sign-ins cannot take its memory.
package account
