package darkroom

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

// allocated is how many bytes this process has asked for so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// be32 writes numbers of four bytes.
func be32(numbers ...uint32) []byte {
	var out []byte
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}

// piece is a box of HEIF, or a chunk of PNG without its sum.
func piece(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(be32(uint32(8+len(body))), kind...), body...)
}

func pngOf(chunks ...[]byte) []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	for _, c := range append([][]byte{piece("IHDR", be32(40, 30), []byte{8, 2, 0, 0, 0})}, append(chunks, piece("IEND"))...) {
		out = append(append(append(out, be32(uint32(len(c)-8))...), c[4:]...), be32(0)...)
	}
	return out
}

// riff is a chunk of WebP.
func riff(kind string, body []byte) []byte {
	out := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body))), body...)
	return append(out, make([]byte, len(body)&1)...)
}

func webpOf(chunks ...[]byte) []byte {
	return riff("RIFF", append([]byte("WEBP"), bytes.Join(chunks, nil)...))
}

// heifOf is a container of one picture, with what else its header says.
func heifOf(more ...[]byte) []byte {
	return append(piece("ftyp", []byte("heic"), be32(0), []byte("mif1heic")), piece("meta", append([][]byte{
		be32(0), piece("pitm", be32(0), []byte{0, 1}),
		piece("iprp", piece("ipco", piece("ispe", be32(0, 40, 30)), piece("ispe", be32(0, 1<<30, 1<<30)), piece("pixi", be32(0), []byte{1, 16})),
			piece("ipma", be32(0, 1), []byte{0, 1, 1, 0x81})),
	}, more...)...)...)
}

// evil are headers that are made to be expensive or to be believed.
func evil() [][]byte {
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	app1 := "\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x32\x01\x02\x00\xff\xff\xff\xff\x08\x00\x00\x00\x00\x00"
	frame := "\xff\xc2\x00\x11\x08\xff\xff\xff\xff\x03\x01\xff\x00\x02\x11\x00\x03\x11\x00"
	long := piece("iloc", be32(0), []byte{0, 0}, []byte{0, 40}, bytes.Repeat([]byte{0, 1, 0, 0, 0xff, 0xff}, 40))
	return [][]byte{
		[]byte("\xff\xd8" + app1 + frame + "\xff\xd9"), []byte("\xff\xd8" + frame + "\xff\xda\x00\x02" + strings.Repeat("\xff\x00", 50) + "\xff\xd9"),
		[]byte("\xff\xd8\xff\xfe\x00\x01\xff\xd9"), []byte("\xff\xd8" + strings.Repeat("\xff", 200)),
		pngOf(piece("acTL", be32(1<<31-1, 0))), pngOf(piece("zTXt", []byte("a\x00\x00"), bomb.Bytes()), piece("iCCP", []byte("a\x00\x00"), bomb.Bytes())),
		pngOf(piece("iTXt", []byte("a\x00\x01\x00\x00\x00"), bomb.Bytes())), pngOf(piece("eXIf", be32(0x4d4d002a, 8))),
		webpOf(riff("VP8X", make([]byte, 10)), riff("ANMF", nil), riff("ANMF", nil), riff("EXIF", []byte("II*\x00"))),
		webpOf(riff("VP8 ", append([]byte("\x30\x01\x00\x9d\x01\x2a\x28\x00\x1e\x00"), bytes.Repeat([]byte{7}, 70)...))),
		webpOf(riff("VP8L", []byte("\x2f\xff\xff\xff\x0f"))),
		heifOf(), heifOf(piece("iinf", be32(0), []byte{0, 1}, piece("infe", be32(2<<24), []byte{0, 1, 0, 0}, []byte("Exif")))), heifOf(long),
		append(be32(24), "ftypavif\x00\x00\x00\x00mif1avif"...), append(be32(0), "ftypheic"...), append(be32(1), "ftypheic\xff\xff\xff\xff"...),
	}
}

// A header is read in memory and time that the file's own length bounds, is
// refused in words that reach the uploader, and what passes is within each limit.
func FuzzHeaders(f *testing.F) {
	for _, b := range evil() {
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	opts := wire.Options{}.WithDefaults()
	f.Fuzz(func(t *testing.T, b []byte) {
		begun, before := time.Now(), allocated()
		h, bad := inspect(b, opts)
		// Unpacking is bounded by the limit of what is unpacked, not by the file.
		require.Less(t, allocated()-before, uint64(4<<20+256*len(b)))
		require.Less(t, time.Since(begun), 5*time.Second)
		again, worse := inspect(bytes.Clone(b), opts)
		require.Equal(t, h, again)
		require.Equal(t, bad, worse)
		if bad != nil {
			var frame bytes.Buffer
			require.NoError(t, wire.WriteReply(&frame, wire.Reply{ID: 1, Unreadable: bad}))
			got, err := wire.ReadReply(&frame)
			require.NoError(t, err, bad.Sentence)
			require.Equal(t, bad, got.Unreadable)
			return
		}
		require.True(t, h.width > 0 && h.height > 0 && h.width <= wire.MaxSide && h.height <= wire.MaxSide && h.width*h.height <= wire.MaxPixels)
		require.True(t, h.memory >= 0 && h.memory <= maxWhole)
	})
}

// What a camera's clock said is a time that the protocol takes, or nothing.
func FuzzCameraTime(f *testing.F) {
	for _, s := range [][2]string{
		{"2026:06:20 21:04:05 (2026:06:20 21:04:05, ASCII, 20 components, 20 bytes)", "+02:00 (+02:00, ASCII)"},
		{"0000:00:00 00:00:00", ""},
		{"2026:06:20 21:04:05.5", "Z"},
		{"2026:06:20 21:04:05,5", "-99:99"},
		{"", "+02:00\x00"},
		{"9999:12:31 23:59:59", "+23:59"},
		{"    :  :     :  :  ", " "},
	} {
		f.Add(s[0], s[1])
	}
	_, asPNG := samples(f)
	f.Fuzz(func(t *testing.T, at, offset string) {
		d := wire.Developed{Metadata: wire.Metadata{Format: wire.JPEG, Width: 1, Height: 1, Orientation: 1, TakenAt: takenAt(at), TakenOffset: takenOffset(offset)}, Average: "#000000"}
		for _, kind := range wire.Kinds() {
			d.Derivatives = append(d.Derivatives, wire.Derivative{Kind: kind, Format: wire.JPEG, Width: 1, Height: 1, Bytes: append([]byte("\xff\xd8\xff"), asPNG...)})
		}
		var frame bytes.Buffer
		require.NoError(t, wire.WriteReply(&frame, wire.Reply{ID: 1, Developed: &d}))
		got, err := wire.ReadReply(&frame)
		require.NoError(t, err)
		require.Equal(t, d.Metadata, got.Developed.Metadata)
	})
}
