package darkroom

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davidbyttow/govips/v2/vips"

	"proofroom/internal/darkroom/wire"
)

// readMetadata reads what is kept of the original. Only the header is parsed.
func readMetadata(original []byte, head header) (wire.Metadata, error) {
	img, err := vips.NewImageFromBuffer(original)
	if err != nil {
		return wire.Metadata{}, verdict(err)
	}
	defer img.Close()
	if img.Width() != head.width || img.Height() != head.height {
		// The limits were applied to what our own reading of the header
		// found, so the decoder must not see another picture.
		return wire.Metadata{}, damaged(fmt.Errorf("it states two sizes, %dx%d and %dx%d",
			head.width, head.height, img.Width(), img.Height()))
	}
	m := wire.Metadata{Format: head.format, Width: head.width, Height: head.height, Orientation: img.Orientation()}
	if m.Orientation < 1 || m.Orientation > 8 {
		m.Orientation = 1
	}
	if m.Orientation >= 5 {
		m.Width, m.Height = m.Height, m.Width
	}
	fields := img.ImageFields()
	field := func(name string) string {
		if !slices.Contains(fields, name) {
			return ""
		}
		return img.GetString(name)
	}
	for _, tag := range []struct{ at, offset string }{
		{"exif-ifd2-DateTimeOriginal", "exif-ifd2-OffsetTimeOriginal"},
		{"exif-ifd2-DateTimeDigitized", "exif-ifd2-OffsetTimeDigitized"},
	} {
		if m.TakenAt = takenAt(field(tag.at)); m.TakenAt != "" {
			m.TakenOffset = takenOffset(field(tag.offset))
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
