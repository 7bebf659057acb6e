package darkroom

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

func samples(tb testing.TB) (asJPEG, asPNG []byte) {
	tb.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 70, 40))
	var j, p bytes.Buffer
	require.NoError(tb, jpeg.Encode(&j, img, nil))
	require.NoError(tb, png.Encode(&p, img))
	return j.Bytes(), p.Bytes()
}

func TestTheHeaderIsReadWithoutDecoding(t *testing.T) {
	t.Parallel()
	asJPEG, asPNG := samples(t)
	h, bad := inspect(asJPEG, wire.Options{}.WithDefaults())
	require.Nil(t, bad)
	require.Equal(t, header{format: wire.JPEG, width: 70, height: 40}, h)
	h, bad = inspect(asPNG, wire.Options{}.WithDefaults())
	require.Nil(t, bad)
	require.Equal(t, header{format: wire.PNG, width: 70, height: 40}, h)

	// Every cut of either is found, and so are limits.
	for _, whole := range [][]byte{asJPEG, asPNG} {
		for n := range len(whole) {
			_, bad := inspect(whole[:n], wire.Options{}.WithDefaults())
			require.NotNil(t, bad, "cut after %d bytes", n)
		}
		_, bad := inspect(whole, wire.Options{MaxSide: 69, MaxPixels: 1e6})
		require.Equal(t, wire.TooLarge, bad.Reason)
		_, bad = inspect(whole, wire.Options{MaxSide: 70, MaxPixels: 70*40 - 1})
		require.Equal(t, wire.TooLarge, bad.Reason)
	}
}

func TestAProgressivePictureIsWeighedByItsCoefficients(t *testing.T) {
	t.Parallel()
	// Three components, the first sampled twice each way: one and a half
	// samples a pixel, two bytes each.
	frame := []byte{8, 0x27, 0x10, 0x4e, 0x20, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1}
	h, err := frameHeader(0xc2, frame)
	require.NoError(t, err)
	require.Equal(t, header{width: 20_000, height: 10_000, memory: 600_000_000}, h)
	h, err = frameHeader(0xc0, frame)
	require.NoError(t, err)
	require.Zero(t, h.memory, "a baseline picture comes row by row")

	// The same in full resolution needs 1.2 GB: refused before it is tried.
	frame[7] = 0x11
	file := append([]byte("\xff\xd8\xff\xc2\x00\x11"), frame...)
	file = append(file, 0xff, 0xd9)
	_, bad := inspect(file, wire.Options{}.WithDefaults())
	require.Equal(t, wire.TooLarge, bad.Reason)
	require.Contains(t, bad.Sentence, "progressive")
}

func TestCameraTimes(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"2026:06:20 21:04:05 (2026:06:20 21:04:05, ASCII, 20 components, 20 bytes)": "2026-06-20T21:04:05",
		"2026:06:20 21:04:05": "2026-06-20T21:04:05",
		"0000:00:00 00:00:00 (0000:00:00 00:00:00, ASCII, 20 components, 20 bytes)": "",
		"    :  :     :  :   ": "",
		"2026:02:30 10:00:00":  "",
		"2026-06-20":           "",
		"":                     "",
	} {
		require.Equal(t, want, takenAt(field), field)
	}
	for field, want := range map[string]string{
		"+02:00 (+02:00, ASCII, 7 components, 7 bytes)": "+02:00",
		"-09:30": "-09:30", "+2": "", "Z": "", "": "", "<b>": "",
	} {
		require.Equal(t, want, takenOffset(field), field)
	}
}

func TestAWebPIsBaredToItsPicture(t *testing.T) {
	t.Parallel()
	picture := append([]byte("VP8 \x05\x00\x00\x00"), 1, 2, 3, 4, 5, 0) // padded to even
	file := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00"), make([]byte, 10)...)
	file = append(file, picture...)
	file = append(file, "EXIF\x04\x00\x00\x00abcd"...)
	bare := bareWebP(file)
	require.Equal(t, picture, bare[12:])
	require.Equal(t, uint32(len(bare)-8), binary.LittleEndian.Uint32(bare[4:]))
	require.Equal(t, bare, bareWebP(bare))
	for n := range len(file) {
		bareWebP(file[:n]) // nothing but bounds to get wrong
	}
}

func TestTheTileHasNoSeam(t *testing.T) {
	t.Parallel()
	for _, text := range []string{wire.DefaultMark, "A VERY LONG NAME OF A STUDIO OF PHOTOGRAPHERS"} {
		tile := markTile(text, 210)
		w, h := tile.Rect.Dx(), tile.Rect.Dy()
		require.InDelta(t, 4*0.31*210, h, 1)
		require.GreaterOrEqual(t, w, 210)
		// Where a mark crosses an edge it goes on at the other one: no step
		// between the last and the first row or column is larger than any
		// step inside.
		alpha := func(x, y int) int { return int(tile.NRGBAAt((x+w)%w, (y+h)%h).A) }
		var inside, seam int
		for y := range h {
			for x := range w {
				step := max(abs(alpha(x, y)-alpha(x-1, y)), abs(alpha(x, y)-alpha(x, y-1)))
				if x == 0 || y == 0 {
					seam = max(seam, step)
				} else {
					inside = max(inside, step)
				}
			}
		}
		require.LessOrEqual(t, seam, inside, text)
		require.NotZero(t, seam, "some mark crosses an edge, or this proves nothing")
	}
}

func abs(n int) int { return max(n, -n) }

func TestServeEndsWithItsInputAndWithABrokenStream(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	never := Host{Before: func() error { panic("no photograph came") }, Lacks: []string{"a layer"}}
	require.NoError(t, Serve(bytes.NewReader(nil), &out, never))
	hello, err := wire.ReadHello(&out)
	require.NoError(t, err)
	require.Contains(t, hello.Engine, "libvips")
	require.Equal(t, []string{"a layer"}, hello.Lacks)
	require.Contains(t, hello.Formats, wire.JPEG)
	require.ErrorIs(t, Serve(bytes.NewReader([]byte("GET / HTTP/1.1\r\n")), io.Discard, never), wire.ErrMalformed)
}

// FuzzInspect feeds the only code that meets a stranger's bytes before the
// decoder does.
func FuzzInspect(f *testing.F) {
	asJPEG, asPNG := samples(f)
	for _, b := range [][]byte{asJPEG, asPNG, asJPEG[:30], asPNG[:40], []byte("RIFF\x00\x00\x00\x00WEBPVP8 "), nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, bad := inspect(b, wire.Options{}.WithDefaults())
		if bad != nil {
			require.NotEmpty(t, bad.Sentence)
			return
		}
		require.True(t, h.width > 0 && h.height > 0 && h.width <= wire.MaxSide && h.height <= wire.MaxSide)
		require.True(t, h.memory >= 0 && h.memory <= maxWhole)
	})
}
