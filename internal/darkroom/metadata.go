package darkroom

import (
	"fmt"
	"strings"
	"time"

	"proofroom/internal/darkroom/wire"
)

// readMetadata reads what is kept of the original. Only the header is parsed.
func readMetadata(original []byte, head header, opts wire.Options) (wire.Metadata, error) {
	said, err := readHeader(original, head.format)
	if err != nil {
		return wire.Metadata{}, verdict(err, head.format)
	}
	// The limits were applied to what our own reading of the header found, so
	// the decoder must not see another picture.
	switch same := said.width == head.width && said.height == head.height; {
	case head.turned && !same:
		// A container states turning and cropping apart from the size, and the
		// library has applied both: it may only have become smaller.
		if bad := tooLarge(said.width, said.height, opts); bad != nil {
			return wire.Metadata{}, bad
		}
	case !same:
		return wire.Metadata{}, damaged(fmt.Errorf("it states two sizes, %dx%d and %dx%d",
			head.width, head.height, said.width, said.height))
	}
	m := wire.Metadata{Format: head.format, Width: said.width, Height: said.height, Orientation: said.orientation}
	if m.Orientation < 1 || m.Orientation > 8 {
		m.Orientation = 1
	}
	if m.Orientation >= 5 {
		m.Width, m.Height = m.Height, m.Width
	}
	for _, clock := range []clock{said.taken, said.digitized} {
		if m.TakenAt = takenAt(clock.at); m.TakenAt != "" {
			m.TakenOffset = takenOffset(clock.offset)
			break
		}
	}
	return m, nil
}

// takenAt reads the EXIF wall clock, "2026:06:20 21:04:05" and then the
// library's remarks; "" when there is none or it is no date (cameras without
// a set clock write zeros or blanks).
func takenAt(field string) string {
	const exifLayout = "2006:01:02 15:04:05"
	if len(field) < len(exifLayout) {
		return ""
	}
	t, err := time.Parse(exifLayout, field[:len(exifLayout)])
	if err != nil || t.Year() < 1900 {
		return ""
	}
	return t.Format(wire.TakenLayout)
}

// takenOffset reads the EXIF offset from UTC, "+02:00"; "" when there is none.
func takenOffset(field string) string {
	offset, _, _ := strings.Cut(field, " ")
	if _, err := time.Parse("-07:00", offset); err != nil {
		return ""
	}
	return offset
}
