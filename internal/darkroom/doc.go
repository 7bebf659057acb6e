// Package darkroom is what the darkroom process does: it opens one photograph
// at a time, bytes in, and makes watermarked derivatives and a few facts,
// bytes out.
//
// # Purpose
//
// Pictures come from strangers, and decoders are large bodies of C. So only
// this process touches them, apart from the server, its secrets and its
// database. Whatever a picture does to it, the worst outcome is that the
// process dies and the server starts another.
//
// # What it owns
//
// The recognition of formats and the limits on them, the sizes and looks of
// the derivatives, the watermark. It keeps nothing between two photographs
// but the drawn watermark, reads and writes no files, and opens no sockets.
//
// # Invariants
//
//   - The header is read by plain Go, and the limits are applied, before the
//     decoder sees a byte; a picture of which the decoder then says another
//     size is refused.
//   - Every derivative but the placeholder of 16 pixels carries the watermark
//     in its pixels, and none carries metadata of the original: no place, no
//     serial number, no owner, no embedded thumbnail.
//   - A picture that ends too early or does not decode is refused; nothing
//     half grey is accepted.
//   - The same bytes and options give the same derivatives.
//
// # Concurrency
//
// One photograph at a time. Several at once are several processes, which
// proofroom/internal/core/media/pool keeps.
package darkroom
