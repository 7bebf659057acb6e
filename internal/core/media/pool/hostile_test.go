package pool

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

// refused develops a picture that must be found at fault, by the child itself
// and not by its death, and returns the verdict.
func refused(t *testing.T, p *Pool, original []byte, what string) *wire.Unreadable {
	t.Helper()
	_, err := p.Develop(t.Context(), original, wire.Options{})
	var bad *wire.Unreadable
	require.ErrorAs(t, err, &bad, what)
	require.NotContains(t, []wire.Reason{wire.Crashed, wire.TooSlow}, bad.Reason, what)
	return bad
}

func TestAPictureThatEndsTooEarlyIsRefused(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for name, original := range map[string][]byte{
		"baseline":    photo(t, "imaging", "prism/test-images/pizza-progressive.jpg"), // in spite of its name
		"progressive": photo(t, "imaging", "prism/test-images/pizza-rgb8-srgb.jpg"),
		"png":         photo(t, "imaging", "prism/test-images/pizza-rgb8-srgb.png"),
		"24 million":  photo(t, "bimg", "testdata/vertical.jpg"),
	} {
		for _, percent := range []int{10, 50, 90, 99} {
			n := len(original) * percent / 100
			bad := refused(t, p, original[:n], name)
			require.Equal(t, wire.Damaged, bad.Reason, "%s cut at %d %%", name, percent)
			require.Contains(t, bad.Sentence, "ends too early")

			// A transfer that broke off into a file of full length.
			zeros := append(bytes.Clone(original[:n]), make([]byte, len(original)-n)...)
			require.Equal(t, wire.Damaged, refused(t, p, zeros, name).Reason, "%s zero after %d %%", name, percent)
		}
	}
}

func TestWhatIsNoPictureIsRefusedByItsContent(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	heic := photo(t, "imagemeta", "testdata/images/iphone.heic")
	for name, c := range map[string]struct {
		original []byte
		reason   wire.Reason
		says     string
	}{
		"text named .jpg":      {[]byte("This is no picture.\n"), wire.Unsupported, "JPEG or PNG"},
		"one byte":             {[]byte{0xff}, wire.Unsupported, "JPEG or PNG"},
		"only a JPEG's start":  {[]byte("\xff\xd8\xff"), wire.Damaged, "ends too early"},
		"only a PNG's start":   {[]byte("\x89PNG\r\n\x1a\n"), wire.Damaged, "ends too early"},
		"script in an SVG":     {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>`), wire.Unsupported, "JPEG or PNG"},
		"HEIC":                 {heic, wire.Unsupported, "HEIC"},
		"WebP":                 {photo(t, "imagemeta", "testdata/images/bep/sunrise.webp"), wire.Unsupported, "WebP"},
		"AVIF":                 {photo(t, "imagemeta", "testdata/images/bep/sunrise.avif"), wire.Unsupported, "AVIF"},
		"TIFF":                 {photo(t, "imagemeta", "testdata/images/bep/sunrise.tif"), wire.Unsupported, "TIFF"},
		"corrupt in the midst": {photo(t, "bimg", "testdata/corrupt.jpg"), wire.Damaged, "make no sense"},
	} {
		bad := refused(t, p, c.original, name)
		require.Equal(t, c.reason, bad.Reason, name)
		require.Contains(t, bad.Sentence, c.says, name)
	}
}

// chunk is one piece of a PNG file.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngOf makes a grey PNG of black pixels without ever holding them.
func pngOf(t *testing.T, width, height int, bits, interlaced byte, more ...[]byte) []byte {
	t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(width))
	head = binary.BigEndian.AppendUint32(head, uint32(height))
	head = append(head, bits, 0, 0, 0, interlaced)
	b := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", head)...)
	for _, c := range more {
		b = append(b, c...)
	}
	size := int64(height) * int64(1+(width*int(bits)+7)/8)
	if interlaced != 0 {
		size = 0
		for _, pass := range [][4]int{{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4}, {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}} {
			columns, rows := (width-pass[0]+pass[1]-1)/pass[1], (height-pass[2]+pass[3]-1)/pass[3]
			size += int64(rows) * int64(1+(columns*int(bits)+7)/8)
		}
	}
	b = append(b, chunk("IDAT", zeros(t, size))...)
	return append(b, chunk("IEND", nil)...)
}

// zeros is a compressed run of zeros.
func zeros(t *testing.T, n int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevel(&buf, zlib.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(w, zeroReader{}, n)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestBombsAreRefusedByTheirHeader(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	var small bytes.Buffer
	require.NoError(t, jpeg.Encode(&small, image.NewGray(image.Rect(0, 0, 8, 8)), nil))
	patched := small.Bytes()
	frame := bytes.Index(patched, []byte{0xff, 0xc0})
	require.Positive(t, frame)
	binary.BigEndian.PutUint16(patched[frame+5:], 65500)
	binary.BigEndian.PutUint16(patched[frame+7:], 65500)
	config, err := jpeg.DecodeConfig(bytes.NewReader(patched))
	require.NoError(t, err)
	require.Equal(t, 65500, config.Width, "a decoder believes it")

	for name, original := range map[string][]byte{
		"PNG of 30,000 x 30,000":                pngOf(t, 30_000, 30_000, 8, 0),
		"PNG of 65,535 x 1":                     pngOf(t, 65_535, 1, 8, 0),
		"PNG of 15,000 x 14,000":                pngOf(t, 15_000, 14_000, 8, 0),
		"interlaced PNG of 13,000 x 13,000 x 8": interlacedRGBA16(t),
		"JPEG patched to 65,500 x 65,500":       patched,
	} {
		bad := refused(t, p, original, name)
		require.Equal(t, wire.TooLarge, bad.Reason, name)
	}
	_, err = p.Develop(t.Context(), pngOf(t, 600, 400, 8, 0), wire.Options{MaxPixels: 100_000})
	var bad *wire.Unreadable
	require.ErrorAs(t, err, &bad, "a creator's own limit holds too")
	require.Equal(t, wire.TooLarge, bad.Reason)
}

// interlacedRGBA16 states a picture whose decoder would need 1.35 GB at once.
func interlacedRGBA16(t *testing.T) []byte {
	t.Helper()
	b := pngOf(t, 13_000, 13_000, 8, 1)
	b[24], b[25] = 16, 6
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// TestWhatIsLargeButAllowedFitsTheLimits: the limits of the header and of the
// process agree, so that nobody meets the second.
func TestWhatIsLargeButAllowedFitsTheLimits(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	d := develop(t, p, pngOf(t, 16_000, 12_500, 8, 0))
	require.Equal(t, 16_000, d.Metadata.Width)
	// Interlaced: 200 million pixels at once.
	d = develop(t, p, pngOf(t, 16_000, 12_500, 8, 1))
	require.Equal(t, 12_500, d.Metadata.Height)
}

func TestHostileMetadataHarmsNobody(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	pid := idlePID(t, p)

	// 200 MB of text in 200 kB: passed over, the picture is fine.
	text := append([]byte("Comment\x00\x00"), zeros(t, 200<<20)...)
	develop(t, p, pngOf(t, 64, 64, 8, 0, chunk("zTXt", text)))
	// A colour profile of nonsense: passed over as well.
	nonsense := append([]byte("icc\x00\x00"), zeros(t, 10<<20)...)
	develop(t, p, pngOf(t, 64, 64, 8, 0, chunk("iCCP", nonsense)))
	// Metadata that loops, and a page behind the picture.
	develop(t, p, photo(t, "imagemeta", "testdata/images/corrupt/infinite_loop_exif.jpg"))
	develop(t, p, append(photo(t, "imaging", "testdata/branches.jpg"), "<script>alert(1)</script>PK\x03\x04"...))
	require.Equal(t, pid, idlePID(t, p), "all of it on one child")

	for _, file := range []string{"huge_tag_exif.jpg", "max_uint32_exif.jpg"} {
		bad := refused(t, p, photo(t, "imagemeta", "testdata/images/corrupt/"+file), file)
		require.Equal(t, wire.Damaged, bad.Reason)
	}
}

// TestAFolderOfOddPicturesKillsNoChild runs everything that the modules carry,
// whatever it is: each is developed or refused, and no child dies of one.
func TestAFolderOfOddPicturesKillsNoChild(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Size: 2})
	dir := filepath.Join(photoModules()["imagemeta"], "testdata", "images")
	var developed, refusals atomic.Int32
	var all sync.WaitGroup
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, file := range files {
			all.Go(func() {
				original, err := os.ReadFile(file)
				if err != nil {
					return // a folder
				}
				_, err = p.Develop(t.Context(), original, wire.Options{})
				var bad *wire.Unreadable
				switch {
				case err == nil:
					developed.Add(1)
				case errors.As(err, &bad) && bad.Reason != wire.Crashed && bad.Reason != wire.TooSlow:
					refusals.Add(1)
				default:
					t.Errorf("%s: %v", file, err)
				}
			})
		}
	}
	all.Wait()
	require.Greater(t, developed.Load(), int32(40))
	require.Greater(t, refusals.Load(), int32(40))
}
