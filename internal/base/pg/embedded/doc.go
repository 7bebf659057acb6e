// Package embedded runs a private PostgreSQL for a Proofroom that was given no
// database, and keeps it running: the same engine as in production, so nothing
// behaves differently.
//
// # Owns
//
// Inside the data folder:
//
//	postgres/          the cluster (made once by initdb)
//	postgres.init-*/   a cluster in the making; leftovers are deleted
//	postgres.lock      held by the one living parent; contains its process id
//	postgres.pgpass    the superuser's password, mode 0600
//	postgres.conf      our settings, written anew at every start
//	postgres.hba       who may connect how, written anew at every start
//	postgres.log       what the server says, at most 8 MiB, and one older part
//	run/               the socket, when the path is short enough
//
// Debian's own clusters, their sockets and TCP port 5432 are never touched.
//
// # Who gets in
//
// The socket lies in a folder of mode 0700 that belongs to the server's user,
// and connections still authenticate by SCRAM with a random password of 256
// bits, kept in a file that only the parent's user can read. "trust" would make
// the mode of one folder the whole defence, and "peer" would let in everything
// else that happens to run under the server's user (postgres, often shared with
// Debian's cluster). Addresses made by [Server.URL] name the password's file
// instead of the password, so they can be logged.
//
// # Invariants
//
//   - One living parent per folder: a lock on postgres.lock, which the server
//     does not inherit, so that it ends with the parent and not with the server.
//   - PostgreSQL never runs as root: a parent that is root gives it to the
//     cluster's owner, for a new cluster to the first of the users proofroom,
//     postgres and nobody that exists.
//   - A cluster appears under its name only when it is complete and on disk.
//   - A process is signalled only if it runs under the cluster's owner and
//     carries this folder's mark: device and inode of the cluster, passed as
//     cluster_name, which PostgreSQL shows in the title of each of its
//     processes. A server that somebody else started on the folder is left
//     alone and named in the error.
//   - The server is in a session of its own: Ctrl-C at the terminal reaches the
//     parent only, which then decides. It is not tied to its parent's death:
//     an orphan serves its clients until the next parent stops it in order.
//   - A server that dies by itself is started again after a growing pause; when
//     that keeps failing, [Server.Done] closes and [Server.Err] says why.
//
// # Concurrency
//
// Methods of a Server are safe for concurrent use. One goroutine owns the
// process from start to stop.
package embedded
