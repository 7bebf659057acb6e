package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Version is the protocol's version. Parent and child are built from one
// source and must agree exactly.
const Version = 2

// Bounds of the messages, in bytes unless said otherwise.
const (
	MaxOriginal   = 128 << 20 // the largest photograph that is developed
	MaxDerivative = 8 << 20   // the largest single derivative
	MaxMark       = 60        // characters of a watermark text

	maxHead  = 64 << 10
	maxParts = 8
	maxReply = 16 << 20
)

// Limits of a picture, checked against its header before anything is decoded.
const (
	MaxSide   = 20_000      // pixels a side
	MaxPixels = 200_000_000 // pixels in all
	MaxMemory = 2048 << 20  // bytes of data of the child, which the kernel enforces
	MaxFrames = 1           // pictures that follow one another in time

	// MaxMetadata bounds the bytes of EXIF, XMP, IPTC, colour profile and
	// texts of one picture, unpacked.
	MaxMetadata = 8 << 20
)

// DefaultMark is the watermark of creators who have chosen none.
const DefaultMark = "PROOFROOM"

// Hello is the child's first message: it has started and can work.
type Hello struct {
	Engine  string   `json:"engine"`          // for the log, such as "libvips 8.14.1"
	Formats []string `json:"formats"`         // the originals that it can open, of Formats
	Lacks   []string `json:"lacks,omitempty"` // layers of its isolation that the kernel does not offer
}

// Options says how one photograph is developed. The zero value means the
// default watermark and the package's limits.
type Options struct {
	Mark      string `json:"mark,omitempty"`       // watermark text
	MaxSide   int    `json:"max_side,omitempty"`   // pixels a side; at most MaxSide
	MaxPixels int    `json:"max_pixels,omitempty"` // pixels in all; at most MaxPixels
}

// WithDefaults fills what is not set and lowers what exceeds the package's
// limits, so that no caller can raise them.
func (o Options) WithDefaults() Options {
	if o.Mark == "" {
		o.Mark = DefaultMark
	}
	if r := []rune(o.Mark); len(r) > MaxMark {
		o.Mark = string(r[:MaxMark])
	}
	if o.MaxSide <= 0 || o.MaxSide > MaxSide {
		o.MaxSide = MaxSide
	}
	if o.MaxPixels <= 0 || o.MaxPixels > MaxPixels {
		o.MaxPixels = MaxPixels
	}
	return o
}

// Request asks for one photograph to be developed, as the child reads it.
type Request struct {
	ID       uint64 // repeated in the reply
	Options  Options
	Original []byte // the file as it was uploaded, at most MaxOriginal
}

// Original opens a photograph's file, each time from its beginning, and says
// how many bytes it has. A reader that fails, at the last byte at the latest,
// keeps the photograph from being developed.
type Original func(ctx context.Context) (r io.ReadCloser, size int64, err error)

// Bytes is an original that is in memory.
func Bytes(b []byte) Original {
	return func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
	}
}

// Reply answers one Request: exactly one of Developed and Unreadable is set.
type Reply struct {
	ID         uint64
	Developed  *Developed
	Unreadable *Unreadable
}

// Kind names a derivative by its use.
type Kind string

// The derivatives of every photograph. All but the placeholder are
// watermarked; the placeholder is too small to show anything.
const (
	Preview     Kind = "preview"     // long side: the smaller of 1600 px and half the original
	Size960     Kind = "960"         // long side 960 px, never larger than the preview
	Size480     Kind = "480"         // long side 480 px, never larger than the preview
	Placeholder Kind = "placeholder" // long side 16 px
)

// Kinds lists the derivatives in the order in which a reply carries them.
func Kinds() []Kind { return []Kind{Preview, Size960, Size480, Placeholder} }

// Picture formats, as they stand in Derivative and Metadata.
const (
	JPEG = "jpeg"
	PNG  = "png"
	WebP = "webp"
	HEIC = "heic" // HEIF with HEVC inside, as telephones take
	AVIF = "avif" // HEIF with AV1 inside
)

// Formats lists those that an original may have.
func Formats() []string { return []string{JPEG, PNG, WebP, HEIC, AVIF} }

// Derivative is one picture made from the original. It carries no metadata.
type Derivative struct {
	Kind   Kind
	Format string // JPEG or WebP
	Width  int    // pixels
	Height int    // pixels
	Bytes  []byte
}

// Metadata is what is known of the original.
type Metadata struct {
	Format      string `json:"format"`                 // of Formats, by content
	Width       int    `json:"width"`                  // pixels, as displayed: after turning
	Height      int    `json:"height"`                 // pixels, as displayed: after turning
	Orientation int    `json:"orientation"`            // EXIF orientation that was applied, 1 to 8
	TakenAt     string `json:"taken_at,omitempty"`     // camera's wall clock in TakenLayout; empty when unknown
	TakenOffset string `json:"taken_offset,omitempty"` // its offset from UTC, as "+02:00"; empty when unknown
}

// TakenLayout is the layout of Metadata.TakenAt: a wall clock without a zone.
const TakenLayout = "2006-01-02T15:04:05"

// Developed is a photograph that could be read.
type Developed struct {
	Derivatives []Derivative // in the order of Kinds
	Metadata    Metadata
	Average     string // the average colour, as "#rrggbb"
}

// Derivative returns the derivative of one kind. It is always there in a
// reply that came through ReadReply.
func (d Developed) Derivative(kind Kind) (Derivative, bool) {
	for _, v := range d.Derivatives {
		if v.Kind == kind {
			return v, true
		}
	}
	return Derivative{}, false
}

// Reason says in one word why a photograph cannot be used.
type Reason string

// The reasons. The child states the first four, the parent the others, when
// the child did not live to say anything.
const (
	Empty       Reason = "empty"              // no bytes
	Unsupported Reason = "unsupported_format" // none of Formats, or one that cannot be opened here
	Damaged     Reason = "damaged"            // truncated or corrupt
	TooLarge    Reason = "too_large"          // too many bytes or pixels, or more memory than allowed
	Crashed     Reason = "crashed"            // the decoder died of it, twice
	TooSlow     Reason = "too_slow"           // not done within the time limit, twice
)

func (r Reason) known() bool {
	switch r {
	case Empty, Unsupported, Damaged, TooLarge, Crashed, TooSlow:
		return true
	}
	return false
}

// Unreadable is the verdict that a photograph is at fault. It is an error
// whose text is fit for the person who uploaded it.
type Unreadable struct {
	Reason   Reason `json:"reason"`
	Sentence string `json:"sentence"` // what is wrong and what to do, for the uploader
}

// Error returns the sentence.
func (u *Unreadable) Error() string { return u.Sentence }

// check reports what makes no sense in a developed photograph.
func (d *Developed) check() error {
	kinds := Kinds()
	if len(d.Derivatives) != len(kinds) {
		return fmt.Errorf("%w: %d derivatives instead of %d", ErrMalformed, len(d.Derivatives), len(kinds))
	}
	for i, v := range d.Derivatives {
		if err := v.check(kinds[i]); err != nil {
			return err
		}
	}
	m := d.Metadata
	if !slices.Contains(Formats(), m.Format) {
		return fmt.Errorf("%w: original format %q", ErrMalformed, m.Format)
	}
	if m.Width < 1 || m.Height < 1 || m.Width > MaxSide || m.Height > MaxSide || m.Width*m.Height > MaxPixels {
		return fmt.Errorf("%w: original of %dx%d", ErrMalformed, m.Width, m.Height)
	}
	if m.Orientation < 1 || m.Orientation > 8 {
		return fmt.Errorf("%w: orientation %d", ErrMalformed, m.Orientation)
	}
	if m.TakenAt != "" {
		if _, err := time.Parse(TakenLayout, m.TakenAt); err != nil {
			return fmt.Errorf("%w: time taken %q", ErrMalformed, m.TakenAt)
		}
	}
	if m.TakenOffset != "" {
		if _, err := time.Parse("-07:00", m.TakenOffset); err != nil {
			return fmt.Errorf("%w: time offset %q", ErrMalformed, m.TakenOffset)
		}
	}
	if !isColour(d.Average) {
		return fmt.Errorf("%w: average colour %q", ErrMalformed, d.Average)
	}
	return nil
}

func (v Derivative) check(want Kind) error {
	const longest = 1600
	switch {
	case v.Kind != want:
		return fmt.Errorf("%w: derivative %q instead of %q", ErrMalformed, v.Kind, want)
	case v.Width < 1 || v.Height < 1 || v.Width > longest || v.Height > longest:
		return fmt.Errorf("%w: derivative %s of %dx%d", ErrMalformed, v.Kind, v.Width, v.Height)
	case !looksLike(v.Format, v.Bytes):
		return fmt.Errorf("%w: derivative %s is no %q", ErrMalformed, v.Kind, v.Format)
	}
	return nil
}

// looksLike tells whether the first bytes are those of the format stated: a
// derivative is served to browsers under that type.
func looksLike(format string, b []byte) bool {
	switch format {
	case JPEG:
		return len(b) > 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff
	case WebP:
		return len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP"
	}
	return false
}

func isColour(s string) bool {
	if len(s) != 7 || s[0] != '#' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
