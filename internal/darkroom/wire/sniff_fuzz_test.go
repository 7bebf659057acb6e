package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file is of one format or of none, whatever comes behind what is looked at,
// and what it is instead can be told to a person.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{
		"", "\xff\xd8\xff\xe0", "\x89PNG\r\n\x1a\n", "RIFF\x00\x00\x00\x00WEBPVP8 ", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00miafavif", "\xff\xff\xff\xffftyp",
		"\x00\x00\x00\x00ftypqt  ", "GIF89a", "<?xml version='1.0'?><SVG", "<!doctype html><HTML>", "%PDF-1.7", "II*\x00", "\x00\x00\x00\x0cJXL ", strings.Repeat(" ", 600) + "<script",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		format, instead := Sniff(b)
		require.True(t, format == "" || slices.Contains(Formats(), format))
		require.True(t, format == "" || instead == "")
		require.Equal(t, -1, strings.IndexFunc(instead, func(r rune) bool { return r < ' ' || r > '~' }))
		if len(b) >= SniffLength {
			longer, other := Sniff(append(bytes.Clone(b), "<script>"...))
			require.Equal(t, format, longer)
			require.Equal(t, instead, other)
		}
	})
}
