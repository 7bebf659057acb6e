package pool

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

// TestWhatTelephonesAndBrowsersSave: each format comes out upright, in its
// size, with its time and without what is private.
func TestWhatTelephonesAndBrowsersSave(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	require.Equal(t, wire.Formats(), p.hello.Formats, "this machine has a loader for each")
	for _, c := range []struct {
		module, file, format string
		size                 image.Point
		taken, offset        string
		private              string // a word that only the metadata has
	}{
		{"bimg", "testdata/test.heic", wire.HEIC, image.Pt(3024, 4032), "2019-09-24T11:41:52", "-07:00", "iPhone"},
		{"bimg", "testdata/test2.heic", wire.HEIC, image.Pt(1440, 960), "", "", ""},
		{"bimg", "testdata/test.avif", wire.AVIF, image.Pt(3082, 2048), "", "", ""},
		{"imagemeta", "testdata/images/bep/sunrise.avif", wire.AVIF, image.Pt(1024, 640), "2017-10-27T08:38:52", "", "Hewlett-Packard"},
		{"imagemeta", "testdata/images/bep/sunrise.webp", wire.WebP, image.Pt(1024, 640), "2017-10-27T08:38:52", "", "Hewlett-Packard"},
		{"bimg", "testdata/test.webp", wire.WebP, image.Pt(550, 368), "", "", ""},
		{"bimg", "testdata/vertical.webp", wire.WebP, image.Pt(4000, 6000), "", "", ""},
	} {
		original := photo(t, c.module, c.file)
		require.True(t, bytes.Contains(original, []byte(c.private)), c.file)
		d := develop(t, p, original)
		require.Equal(t, wire.Metadata{
			Format: c.format, Width: c.size.X, Height: c.size.Y, Orientation: 1, TakenAt: c.taken, TakenOffset: c.offset,
		}, d.Metadata, c.file)
		for _, v := range d.Derivatives {
			require.Empty(t, tags(t, v.Bytes), "%s, %s", c.file, v.Kind)
			for _, word := range []string{"Exif", "<x:xmpmeta", "ICC_PROFILE", "EXIF", "XMP ", "Hewlett-Packard", "iPhone"} {
				require.False(t, bytes.Contains(v.Bytes, []byte(word)), "%s, %s contains %q", c.file, v.Kind, word)
			}
		}
	}
}

// TestOneSceneInEveryFormatLooksTheSame compares siblings that were saved from
// one picture.
func TestOneSceneInEveryFormatLooksTheSame(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	preview := func(module, file string) *image.RGBA {
		return picture(t, develop(t, p, photo(t, module, file)), wire.Preview)
	}
	tall := preview("bimg", "testdata/vertical.jpg")
	require.Less(t, difference(t, tall, preview("bimg", "testdata/vertical.webp")), 4.0)
	require.Greater(t, difference(t, tall, upsideDown(tall)), 20.0, "the measure can tell")
	sunrise := preview("imagemeta", "testdata/images/bep/sunrise.jpg")
	for _, file := range []string{"sunrise.webp", "sunrise.avif", "sunrise.png"} {
		require.Less(t, difference(t, sunrise, preview("imagemeta", "testdata/images/bep/"+file)), 4.0, file)
	}
}
