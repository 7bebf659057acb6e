package darkroom

import (
	"errors"
	"fmt"
	"strings"

	"proofroom/internal/darkroom/wire"
)

// header is what the first bytes of a picture say, read by plain Go before
// the decoder sees any of it.
type header struct {
	format        string // one of wire.Formats
	width, height int    // pixels, as stored: before turning
	turned        bool   // what turns or crops the picture stands elsewhere, so that its size may differ
	memory        int64  // bytes that a decoder must hold at once; 0 when it can work row by row
	frames        int    // pictures that follow one another in time; 0 counts as 1
	metadata      int64  // bytes of EXIF, XMP, IPTC, colour profile and texts, unpacked
}

// maxWhole bounds what a decoder must hold at once for a picture that cannot
// be decoded row by row (progressive JPEG, interlaced PNG, WebP, HEIC, AVIF).
// It stays well below the limit of the process, so that the uploader reads a
// reason and the process does not die of it.
const maxWhole = 1 << 30

// inspect recognises a picture by its content and applies the limits. Nothing
// is decoded before each of them has passed.
func inspect(original []byte, opts wire.Options) (header, *wire.Unreadable) {
	if len(original) == 0 {
		return header{}, &wire.Unreadable{Reason: wire.Empty, Sentence: "The file is empty. Upload it again."}
	}
	format, instead := wire.Sniff(original)
	read := map[string]func([]byte) (header, error){
		wire.JPEG: inspectJPEG, wire.PNG: inspectPNG, wire.WebP: inspectWebP, wire.HEIC: inspectHEIF, wire.AVIF: inspectHEIF,
	}[format]
	if read == nil {
		return header{}, unsupported(instead)
	}
	h, err := read(original)
	if err != nil {
		return header{}, damaged(err)
	}
	h.format = format
	if bad := h.tooMuch(opts); bad != nil {
		return header{}, bad
	}
	return h, nil
}

// tooMuch says which limit a picture exceeds.
func (h header) tooMuch(opts wire.Options) *wire.Unreadable {
	if bad := tooLarge(h.width, h.height, opts); bad != nil {
		return bad
	}
	var sentence string
	switch {
	case h.memory > maxWhole:
		sentence = fmt.Sprintf("The picture has %d x %d pixels, saved in a way (progressive, interlaced or compressed as a whole) "+
			"that takes %d MB of memory to open; at most %d MB are allowed. Save it smaller, or as plain JPEG, and upload it again.",
			h.width, h.height, h.memory>>20, maxWhole>>20)
	case h.frames > wire.MaxFrames:
		sentence = fmt.Sprintf("The file is an animation of %d pictures or more; at most %d is accepted. Export a single picture and upload that.",
			h.frames, wire.MaxFrames)
	case h.metadata > wire.MaxMetadata:
		sentence = fmt.Sprintf("The picture carries more than %d MB of metadata (EXIF, XMP, colour profile, texts), which is the limit. "+
			"Export it without them and upload that.", wire.MaxMetadata>>20)
	default:
		return nil
	}
	return &wire.Unreadable{Reason: wire.TooLarge, Sentence: sentence}
}

// tooLarge applies the limits of pixels.
func tooLarge(width, height int, opts wire.Options) *wire.Unreadable {
	if width <= opts.MaxSide && height <= opts.MaxSide && width*height <= opts.MaxPixels {
		return nil
	}
	return &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
		"The picture has %d x %d pixels; at most %d a side and %d million in all are accepted. Upload a smaller version.",
		width, height, opts.MaxSide, opts.MaxPixels/1_000_000)}
}

func damaged(why error) *wire.Unreadable {
	return &wire.Unreadable{
		Reason:   wire.Damaged,
		Sentence: "The picture is damaged or incomplete: " + why.Error() + ". Upload the file again from your camera or computer.",
	}
}

// unsupported refuses what is no photograph of a format that is taken. Among
// them are those that run scripts or fetch files (SVG, PDF, HTML), and GIF,
// which has no more than 256 colours and is mostly animation.
func unsupported(instead string) *wire.Unreadable {
	what := "This file"
	if instead != "" {
		what = "This " + instead + " file"
	}
	return &wire.Unreadable{
		Reason:   wire.Unsupported,
		Sentence: what + " is in a format that is not accepted: JPEG, PNG, WebP, HEIC and AVIF are. Export it as JPEG and upload that.",
	}
}

// unloadable refuses what only this machine cannot open; nil when it can.
func unloadable(format string) *wire.Unreadable {
	missing := lacking(format)
	if missing == "" {
		return nil
	}
	return &wire.Unreadable{Reason: wire.Unsupported, Sentence: fmt.Sprintf(
		"%s pictures cannot be opened here, since %s is not installed. Export the picture as JPEG and upload that.",
		strings.ToUpper(format), missing)}
}

var (
	errEndsEarly = errors.New("it ends too early")
	errNonsense  = errors.New("its contents make no sense")
)

// endsInZeros tells whether the compressed end of a picture is blank, as in a
// file whose transfer broke off after its full length had been laid out. A
// decoder of a format without an end mark would take the zeros for picture.
func endsInZeros(compressed []byte) bool {
	const blank = 64 // no compressed picture ends in so many
	if len(compressed) < blank {
		return false
	}
	for _, b := range compressed[len(compressed)-blank:] {
		if b != 0 {
			return false
		}
	}
	return true
}
