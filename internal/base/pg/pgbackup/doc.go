// Package pgbackup takes and loads copies of a PostgreSQL with the programs that
// come with it: pg_basebackup and pg_verifybackup for a whole server, pg_dump
// and pg_restore for one database.
//
// # Owns
//
// Finding the programs of a version, and how they are called.
//
// # Invariants
//
//   - A copy that ends without an error is whole and on the disk. A base backup
//     carries the log that it needs, so it can be started by itself, and the
//     hashes of its files, which [VerifyBase] checks.
//   - A dump shows the database at one moment. Loading one is a single
//     transaction: a load that was cut short leaves the database empty.
//   - The password of a URL is on no command line, which every user of the
//     machine can read: it is handed over in the environment.
//
// # Concurrency
//
// Functions are independent. A program that is running when its context ends is
// interrupted, with its children, and waited for.
package pgbackup
