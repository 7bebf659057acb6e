// Package ingest measures how fast photographs are made ready: a real server
// with its darkroom, to which they are uploaded, against vipsthumbnail.
//
// # Owns
//
// A folder of photographs among the temporary files, which is made once and used
// again ([Photographs]).
//
// # What is compared
//
// Ours is `proofroom serve` with its private PostgreSQL and its store of files,
// each time a fresh one. The photographs are uploaded over HTTP, as creators do,
// and the clock runs from the first byte until every one of them is ready. So
// receiving, hashing, keeping, queueing and checking are in the figure, and so
// are the watermark, the placeholder, the average colour and the metadata, none
// of which the other side makes.
//
// The other side is one vipsthumbnail a processor core over the same files, with
// VIPS_CONCURRENCY=1, the same lengths, qualities and coding, without metadata.
// It makes the three sizes in two ways, and both are told: each size from the
// photograph, and chained, where only the largest is made from the photograph
// and each other one from the next larger, at the cost of their quality.
//
// # Invariants
//
//   - Every photograph is ready, with four derivatives of the right sizes whose
//     files lie in the store and can be read, or the measurement fails. The files
//     of the other side are examined as well.
//   - The sides take turns; a figure is a median, printed with its rounds.
//
// # Concurrency
//
// One measurement at a time.
package ingest
