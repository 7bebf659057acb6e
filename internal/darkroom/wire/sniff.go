package wire

import (
	"bytes"
	"slices"
	"strings"
)

// SniffLength is how many bytes of a file's beginning Sniff looks at.
const SniffLength = 512

// Sniff tells the format of a picture by its first bytes: one of Formats, or ""
// and, when it knows, the name of what the file is instead, for a person. The
// name that the file goes by has no say.
func Sniff(head []byte) (format, instead string) {
	head = head[:min(len(head), SniffLength)]
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG, ""
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return PNG, ""
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP, ""
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		return sniffBrands(head)
	}
	for _, known := range []struct{ start, name string }{
		{"GIF8", "GIF"},
		{"BM", "BMP"},
		{"II*\x00", "TIFF or camera raw"},
		{"MM\x00*", "TIFF or camera raw"},
		{"II+\x00", "TIFF or camera raw"},
		{"FUJIFILM", "camera raw"},
		{"8BPS", "Photoshop"},
		{"%PDF", "PDF"},
		{"PK\x03\x04", "ZIP"},
		{"\xff\x0a", "JPEG XL"},
		{"\x00\x00\x00\x0cJXL ", "JPEG XL"},
		{"\x00\x00\x00\x0cjP  ", "JPEG 2000"},
	} {
		if bytes.HasPrefix(head, []byte(known.start)) {
			return "", known.name
		}
	}
	text := strings.ToLower(string(head))
	switch {
	case strings.Contains(text, "<svg"):
		return "", "SVG"
	case strings.Contains(text, "<html"), strings.Contains(text, "<script"):
		return "", "HTML"
	}
	return "", ""
}

// sniffBrands tells pictures from videos, which share a container: by the
// brands that it says it can be read as.
func sniffBrands(head []byte) (format, instead string) {
	const first, majorAndVersion = 8, 8
	length := min(len(head), int(head[2])<<8|int(head[3]))
	brands := []string{string(head[first : first+4])}
	for at := first + majorAndVersion; at+4 <= length; at += 4 {
		brands = append(brands, string(head[at:at+4]))
	}
	has := func(some ...string) bool {
		return slices.ContainsFunc(brands, func(b string) bool { return slices.Contains(some, b) })
	}
	switch {
	case has("avif", "avis"):
		return AVIF, ""
	case has("heic", "heix", "heim", "heis", "hevc", "hevx"):
		return HEIC, ""
	case brands[0] == "crx ":
		return "", "camera raw"
	}
	return "", "video"
}
