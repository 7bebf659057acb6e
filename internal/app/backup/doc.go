// Package backup keeps copies of an installation, makes a new one from a copy,
// and proves that a copy is good for that: `proofroom backup` and `restore`.
//
// # Owns
//
// A place is a folder with any number of backups:
//
//	20261125T040000.000Z/     one backup, named by when it was begun (UTC)
//	  MANIFEST.json           what it is: versions, counts, sizes, times
//	  MANIFEST.json.sha256    the hash of that
//	  SHA256SUMS              the hash of every other file, for sha256sum -c
//	  database/               a base backup of the private PostgreSQL, or
//	  database/proofroom.dump a dump of the operator's own database
//	  blobs/                  the files of photographs, under their own names
//	incomplete-*/             one in the making, or what is left of one; never a backup
//	.lock                     held by whoever makes one
//
// Each backup stands alone: it may be moved, and the others deleted. Files that
// an older backup of the place has already are linked to it, not copied.
//
// In the data folder, restoring/ is an installation in the making.
//
// # Which method
//
// The private PostgreSQL holds nothing but ours, so its whole is copied with
// pg_basebackup. The operator's server may hold other people's databases, its
// configuration is not ours to restore, and a copy of it would fit no other
// version; so of it our database alone is dumped with pg_dump, whatever the role
// may do. Operators who archive the log of their own server have more than any
// nightly copy gives, and need only the files from here.
//
// # Every row has its file
//
// A row of blobs is committed after its file is on the disk, rows of blobs are
// never changed or deleted, and the store never deletes a file that has its last
// name. The database is copied first. What it shows is what was committed when
// that copy ended, or earlier; the rows read after that from the living database
// are therefore all of those and perhaps newer ones, and the file of each is
// there. So every row that a restore brings back finds its file in the backup;
// at worst there are files that no restored row names. The other way round (files
// first) a photograph that came in between would be a row without a file.
//
// # Invariants
//
//   - A backup has its name only when it is whole and on the disk. Killed at any
//     moment, a run leaves an incomplete-* folder, which nobody takes for a
//     backup and the next run deletes.
//   - A restored installation gets its place only when it was proven: every byte
//     has the hash that was written down when it was copied, PostgreSQL starts,
//     every invariant holds, and every row of blobs has its file.
//   - A file that the store itself has lost does not keep the rest from being
//     copied: it is written down as lost, and the run says so and fails.
//   - Folders are 0700, files 0600 or what PostgreSQL gives its own. No key of a
//     provider and no password is in a backup: those are settings.
//
// # Concurrency
//
// One run at a time works on a place; readers need no lock.
package backup
