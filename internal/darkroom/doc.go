// Package darkroom is what the darkroom process does: it opens one photograph
// at a time, bytes in, and makes watermarked derivatives and a few facts,
// bytes out.
//
// # Purpose
//
// Pictures come from strangers, and decoders are large bodies of C. So only
// this process touches them, apart from the server, its secrets and its
// database; proofroom/internal/darkroom/confine takes from it all else that a
// process has. Whatever a picture does to it, the worst outcome is that the
// process dies and the server starts another.
//
// # What it owns
//
// The recognition of formats and the limits on them, the sizes and looks of
// the derivatives, the watermark. JPEG, PNG, WebP, HEIC and AVIF are opened,
// each if the image library has what it takes on this machine; everything
// else is refused by its content, GIF among it, since it has no more than 256
// colours and is mostly animation. It keeps nothing between two photographs but
// the drawn watermark, reads and writes no files, and opens no sockets.
//
// # Invariants
//
//   - The header is read by plain Go, and every limit is applied, before the
//     decoder sees a byte: pixels a side and in all, pictures in a file, bytes
//     of metadata (unpacked), and the memory that opening would take. A
//     refusal says which limit it is and its value. A picture of which the
//     decoder then says another size is refused.
//   - Every derivative but the placeholder of 16 pixels carries the watermark
//     in its pixels, and none carries metadata of the original: no place, no
//     serial number, no owner, no embedded thumbnail.
//   - All derivatives are upright and in sRGB, whatever the original's profile
//     or inks.
//   - A picture that ends too early or does not decode is refused; nothing
//     half grey is accepted.
//   - A photograph is decoded once; each derivative is made from the next
//     larger. Between the steps there are plain pixels.
//   - The same bytes and options give the same derivatives.
//
// # Concurrency
//
// One photograph at a time, on one thread of the library. Several at once are
// several processes, which proofroom/internal/core/media/pool keeps.
package darkroom
