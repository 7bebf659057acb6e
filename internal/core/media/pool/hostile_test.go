package pool

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
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
	_, err := p.Develop(t.Context(), wire.Bytes(original), wire.Options{})
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
		"webp":        photo(t, "bimg", "testdata/vertical.webp"),
		"heic":        photo(t, "bimg", "testdata/test.heic"),
		"avif":        photo(t, "bimg", "testdata/test.avif"),
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
	for name, c := range map[string]struct {
		original []byte
		reason   wire.Reason
		says     string
	}{
		"text named .jpg":      {[]byte("This is no picture.\n"), wire.Unsupported, "JPEG, PNG, WebP, HEIC and AVIF"},
		"one byte":             {[]byte{0xff}, wire.Unsupported, "JPEG, PNG, WebP, HEIC and AVIF"},
		"only a JPEG's start":  {[]byte("\xff\xd8\xff"), wire.Damaged, "ends too early"},
		"only a PNG's start":   {[]byte("\x89PNG\r\n\x1a\n"), wire.Damaged, "ends too early"},
		"script in an SVG":     {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>`), wire.Unsupported, "JPEG, PNG, WebP, HEIC and AVIF"},
		"SVG":                  {photo(t, "bimg", "testdata/test.svg"), wire.Unsupported, "This SVG file"},
		"PDF":                  {photo(t, "bimg", "testdata/test.pdf"), wire.Unsupported, "This PDF file"},
		"JPEG 2000":            {photo(t, "bimg", "testdata/test.jp2"), wire.Unsupported, "This JPEG 2000 file"},
		"camera raw":           {photo(t, "imagemeta", "testdata/images/sample.nef"), wire.Unsupported, "camera raw"},
		"GIF":                  {animation(t), wire.Unsupported, "This GIF file"},
		"a gap in HEIC":        {photo(t, "imagemeta", "testdata/images/iphone.heic"), wire.Damaged, "exported as JPEG"},
		"moving pictures":      {photo(t, "bimg", "testdata/test3.heic"), wire.TooLarge, "at most 1 is accepted"},
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

// animation is a GIF of 2,000 frames of 4000 x 4000 pixels.
func animation(t *testing.T) []byte {
	t.Helper()
	b := append([]byte("GIF89a"), 0xa0, 0x0f, 0xa0, 0x0f, 0x80, 0, 0, 0, 0, 0, 255, 255, 255)
	for range 2000 {
		b = append(b, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0)
	}
	return append(b, 0x3b)
}

// riff makes a file of WebP's container from its chunks.
func riff(chunks []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(chunks)))
	return append(append(b, "WEBP"...), chunks...)
}

func riffChunk(kind string, data []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(data))), data...)
	return append(b, make([]byte, len(data)&1)...)
}

// nestedEXIF is a TIFF structure of directories that each lead to another.
func nestedEXIF(depth int) []byte {
	b := []byte("II*\x00\x08\x00\x00\x00")
	for i := range depth {
		next := uint32(8 + (i+1)*18)
		b = append(b, 1, 0, 0x69, 0x87, 4, 0, 1, 0, 0, 0) // one entry: "the EXIF directory is at"
		b = binary.LittleEndian.AppendUint32(b, next)
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, 0, 0, 0, 0, 0, 0)
}

// withEXIF puts a TIFF structure into a JPEG.
func withEXIF(t *testing.T, tiff []byte) []byte {
	t.Helper()
	whole := photo(t, "imaging", "testdata/branches.jpg")
	segment := append([]byte("Exif\x00\x00"), tiff...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(2+len(segment)))
	return append(append(head, segment...), whole[2:]...)
}

func TestAnimationsAreRefused(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	control := binary.BigEndian.AppendUint32(nil, 2000)
	frame := append(make([]byte, 16), riffChunk("VP8L", make([]byte, 8))...)
	extended := riffChunk("VP8X", []byte{2, 0, 0, 0, 0x9f, 0x0f, 0, 0x9f, 0x0f, 0})
	for name, original := range map[string][]byte{
		"PNG":  pngOf(t, 64, 64, 8, 0, chunk("acTL", append(control, 0, 0, 0, 0))),
		"WebP": riff(append(extended, bytes.Repeat(riffChunk("ANMF", frame), 2000)...)),
	} {
		bad := refused(t, p, original, name)
		require.Equal(t, wire.TooLarge, bad.Reason, name)
		require.Contains(t, bad.Sentence, "an animation of 2000 pictures or more; at most 1 is accepted", name)
	}
}

// TestWhatOnlyLooksOddIsDeveloped: the name has no say, and neither has what
// follows the picture or hides in its comments.
func TestWhatOnlyLooksOddIsDeveloped(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	whole := photo(t, "imaging", "testdata/branches.jpg")
	want := develop(t, p, whole)
	comment := append([]byte{0xff, 0xfe, 0, 31}, "<script>alert(1)</script>\x00PHP"...)
	for name, original := range map[string][]byte{
		"a ZIP behind it":     append(bytes.Clone(whole), "PK\x03\x04 and so on PK\x05\x06"...),
		"a page behind it":    append(bytes.Clone(whole), "<html><script>alert(1)</script></html>"...),
		"a script in comment": append(append(bytes.Clone(whole[:2]), comment...), whole[2:]...),
	} {
		require.Equal(t, want, develop(t, p, original), name)
	}
	// A wrong checksum is no picture that anybody saved.
	wrong := pngOf(t, 64, 64, 8, 0)
	wrong[29] ^= 1
	require.Equal(t, wire.Damaged, refused(t, p, wrong, "wrong checksum of the header").Reason)
	wrong = pngOf(t, 64, 64, 8, 0)
	wrong[len(wrong)-13] ^= 1
	require.Equal(t, wire.Damaged, refused(t, p, wrong, "wrong checksum of the picture").Reason)
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
		"PNG of 1 x 65,000":                     pngOf(t, 1, 65_000, 8, 0),
		"PNG of 65,535 x 65,535, 1 bit":         pngOf(t, 65_535, 65_535, 1, 0),
		"lossless WebP of 16,384 x 12,000":      riff(riffChunk("VP8L", []byte{0x2f, 0xff, 0xff, 0xb7, 0x0b, 0, 0, 0})),
		"PNG of 15,000 x 14,000":                pngOf(t, 15_000, 14_000, 8, 0),
		"interlaced PNG of 13,000 x 13,000 x 8": interlacedRGBA16(t),
		"JPEG patched to 65,500 x 65,500":       patched,
	} {
		bad := refused(t, p, original, name)
		require.Equal(t, wire.TooLarge, bad.Reason, name)
		require.Regexp(t, "at most (20000 a side and 200 million in all|1024 MB)", bad.Sentence, "it names the limit")
	}
	_, err = p.Develop(t.Context(), wire.Bytes(pngOf(t, 600, 400, 8, 0)), wire.Options{MaxPixels: 100_000})
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

	// A colour profile of nonsense is passed over.
	nonsense := append([]byte("icc\x00\x00"), zeros(t, 1<<20)...)
	develop(t, p, pngOf(t, 64, 64, 8, 0, chunk("iCCP", nonsense)))
	// Fifty directories, each inside the other.
	develop(t, p, withEXIF(t, nestedEXIF(50)))
	// Metadata that loops, and a page behind the picture.
	develop(t, p, photo(t, "imagemeta", "testdata/images/corrupt/infinite_loop_exif.jpg"))
	develop(t, p, append(photo(t, "imaging", "testdata/branches.jpg"), "<script>alert(1)</script>PK\x03\x04"...))
	require.Equal(t, pid, idlePID(t, p), "all of it on one child")

	// 200 MB of text in 200 kB, and a profile, of any format.
	whole := photo(t, "imaging", "testdata/branches.jpg")
	var segments []byte
	for range 200 {
		segments = append(append(segments, 0xff, 0xe2, 0xff, 0xff), make([]byte, 65533)...)
	}
	for name, original := range map[string][]byte{
		"zTXt":          pngOf(t, 64, 64, 8, 0, chunk("zTXt", append([]byte("Comment\x00\x00"), zeros(t, 200<<20)...))),
		"iTXt":          pngOf(t, 64, 64, 8, 0, chunk("iTXt", append([]byte("Comment\x00\x01\x00\x00\x00"), zeros(t, 200<<20)...))),
		"iCCP of 10 MB": pngOf(t, 64, 64, 8, 0, chunk("iCCP", append([]byte("icc\x00\x00"), zeros(t, 10<<20)...))),
		"in a JPEG":     append(append(bytes.Clone(whole[:2]), segments...), whole[2:]...),
		"XMP in a WebP": riff(append(bytes.Clone(photo(t, "bimg", "testdata/vertical.webp")[12:]), riffChunk("XMP ", make([]byte, 9<<20))...)),
		"many in a PNG": pngOf(t, 64, 64, 8, 0, bytes.Repeat(chunk("zTXt", append([]byte("a\x00\x00"), zeros(t, 1<<20)...)), 9)),
	} {
		bad := refused(t, p, original, name)
		require.Equal(t, wire.TooLarge, bad.Reason, name)
		require.Contains(t, bad.Sentence, "more than 8 MB of metadata", name)
	}

	for _, file := range []string{"huge_tag_exif.jpg", "max_uint32_exif.jpg"} {
		bad := refused(t, p, photo(t, "imagemeta", "testdata/images/corrupt/"+file), file)
		require.Equal(t, wire.Damaged, bad.Reason)
	}
}

// TestAFolderOfOddPicturesKillsNoChild runs everything that the modules carry,
// whatever it is: each is developed or refused, no child dies of one, a good
// picture is developed after each, and the server does not grow by them.
func TestAFolderOfOddPicturesKillsNoChild(t *testing.T) {
	// Not parallel: it measures this process's memory.
	p := newPool(t, Config{Size: 2})
	var files []string
	for _, module := range photoModules() {
		for _, folder := range []string{"testdata", "prism/test-images"} {
			// A module without the folder has nothing there.
			_ = filepath.WalkDir(filepath.Join(module, filepath.FromSlash(folder)), func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					files = append(files, path)
				}
				return nil
			})
		}
	}
	good := checkPicture()
	want := develop(t, p, good)
	before := heap()
	var developed, refusals atomic.Int32
	var all sync.WaitGroup
	next := make(chan string)
	for range 2 {
		all.Go(func() {
			for file := range next {
				_, err := p.Develop(t.Context(), fileOf(file), wire.Options{})
				var bad *wire.Unreadable
				switch {
				case err == nil:
					developed.Add(1)
				case errors.As(err, &bad) && bad.Reason != wire.Crashed && bad.Reason != wire.TooSlow:
					refusals.Add(1)
				default:
					t.Errorf("%s: %v", file, err)
				}
				if got, err := p.Develop(t.Context(), wire.Bytes(good), wire.Options{}); err != nil || !reflect.DeepEqual(want, got) {
					t.Errorf("after %s, a good picture: %v", file, err)
				}
			}
		})
	}
	for _, file := range files {
		next <- file
	}
	close(next)
	all.Wait()
	require.Greater(t, developed.Load(), int32(150))
	require.Greater(t, refusals.Load(), int32(100))
	require.Less(t, heap(), before+4<<20, "bytes in use after %d files", len(files))
}

func fileOf(path string) wire.Original {
	return func(context.Context) (io.ReadCloser, int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		return f, info.Size(), err
	}
}

// heap is how much memory is in use once what is not needed is gone.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
