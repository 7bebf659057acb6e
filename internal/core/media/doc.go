// Package media keeps the files of photographs: it takes originals in, has them
// developed in the darkroom, and hands files out.
//
// # Owns
//
// Table blobs and the store of files. Which photographs there are and what state
// they are in belongs to core/catalog; the darkroom's children to the package
// pool beside this one.
//
// # Invariants
//
//   - A file's name in the store is the hash of its bytes, and a row of blobs is
//     written once and never changed. So a repeated upload, a repeated
//     development and a crash at any point leave the same files, and at worst
//     one that nothing names.
//   - A row comes after its file: the file is complete and on the disk before
//     the transaction that names it.
//   - A photograph, its original's row and the job that develops it are one
//     transaction. One job holds a bounded group of photographs.
//   - The server looks at no more of an original than its first bytes, to tell
//     pictures from other files. Everything else is for the darkroom, to which it
//     goes as it is read from the store, never whole in memory.
//   - A photograph is unreadable only when the darkroom says so of the
//     photograph. What is wrong with the machine (no darkroom, a full disk, a
//     missing file) leaves it processing, and it is tried again.
//   - The store and the darkroom refuse a context that is inside a transaction.
//
// # Concurrency
//
// [Service] may be used from anywhere and on any number of instances; a [Batch]
// belongs to one goroutine. A development may run twice at once: the second to
// end finds the photograph developed and changes nothing. Photographs are locked
// before rows of blobs, both by ascending id.
package media
