package darkroom

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/darkroom/wire"
)

func boxOf(kind string, parts ...[]byte) []byte {
	b := append([]byte{0, 0, 0, 0}, kind...)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

func ispe(width, height uint32) []byte {
	return boxOf("ispe", make([]byte, 4), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height))
}

// containerOf is a container whose shown picture has the first of the properties,
// and 100 bytes of data, 40 of which are EXIF.
func containerOf(brand string, properties ...[]byte) []byte {
	ftyp := boxOf("ftyp", []byte(brand), make([]byte, 4), []byte("mif1"), []byte(brand))
	places := func(at int) []byte {
		place := func(item byte, offset, length int) []byte {
			b := []byte{0, item, 0, 0, 0, 1}
			b = binary.BigEndian.AppendUint32(b, uint32(offset))
			return binary.BigEndian.AppendUint32(b, uint32(length))
		}
		return boxOf("iloc", []byte{0, 0, 0, 0, 0x44, 0, 0, 2}, place(1, at, 60), place(2, at+60, 40))
	}
	meta := func(at int) []byte {
		return boxOf("meta", make([]byte, 4),
			boxOf("pitm", []byte{0, 0, 0, 0, 0, 1}),
			boxOf("iinf", []byte{0, 0, 0, 0, 0, 2},
				boxOf("infe", []byte{2, 0, 0, 0, 0, 1, 0, 0}, []byte("hvc1\x00")),
				boxOf("infe", []byte{2, 0, 0, 1, 0, 2, 0, 0}, []byte("Exif\x00"))),
			places(at),
			boxOf("iprp", boxOf("ipco", properties...), boxOf("ipma", []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0x81})))
	}
	data := make([]byte, 100)
	for i := range data {
		data[i] = byte(i + 1)
	}
	at := len(ftyp) + len(meta(0)) + 8
	return append(append(ftyp, meta(at)...), boxOf("mdat", data)...)
}

func TestTheContainerOfTelephonesIsReadWithoutDecoding(t *testing.T) {
	t.Parallel()
	limits := wire.Options{}.WithDefaults()
	profile := boxOf("colr", []byte("prof"), make([]byte, 500))
	whole := containerOf("heic", ispe(4032, 3024), ispe(512, 512), profile)
	h, bad := inspect(whole, limits)
	require.Nil(t, bad)
	require.Equal(t, header{
		format: wire.HEIC, width: 4032, height: 3024, turned: true, memory: 4032 * 3024 / 2 * 9, metadata: 40 + 504,
	}, h)
	deep := boxOf("pixi", []byte{0, 0, 0, 0, 3, 10, 10, 10})
	h, bad = inspect(containerOf("avif", ispe(100, 50), deep), limits)
	require.Nil(t, bad)
	require.Equal(t, header{format: wire.AVIF, width: 100, height: 50, turned: true, memory: 100 * 50 * 9}, header{
		format: h.format, width: h.width, height: h.height, turned: h.turned, memory: h.memory,
	})

	// Every cut is found, and so is an end of zeros.
	for n := range len(whole) {
		_, bad := inspect(whole[:n], limits)
		require.NotNil(t, bad, "cut after %d bytes", n)
	}
	clear(whole[len(whole)-64:])
	_, bad = inspect(whole, limits)
	require.Equal(t, wire.Damaged, bad.Reason)

	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"a side":             {containerOf("heic", ispe(20_001, 10)), "at most 20000 a side"},
		"pixels":             {containerOf("heic", ispe(20_000, 10_001)), "200 million in all"},
		"memory":             {containerOf("avif", ispe(15_000, 13_000), deep), "at most 1024 MB"},
		"a hidden large one": {containerOf("heic", ispe(100, 100), ispe(60_000, 60_000)), "at most 1024 MB"},
		"metadata":           {containerOf("heic", ispe(10, 10), boxOf("colr", make([]byte, 9<<20))), "more than 8 MB of metadata"},
		"frames":             {append(containerOf("heic", ispe(10, 10)), boxOf("moov")...), "at most 1 is accepted"},
	} {
		_, bad := inspect(c.file, limits)
		require.NotNil(t, bad, name)
		require.Equal(t, wire.TooLarge, bad.Reason, name)
		require.Contains(t, bad.Sentence, c.says, name)
	}
}
