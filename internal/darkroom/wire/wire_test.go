package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func sampleDeveloped() *Developed {
	jpeg := append([]byte{0xff, 0xd8, 0xff, 0xe0}, bytes.Repeat([]byte{7}, 40)...)
	webp := append([]byte("RIFF\x00\x00\x00\x00WEBP"), 1, 2, 3)
	return &Developed{
		Derivatives: []Derivative{
			{Preview, JPEG, 1600, 1067, jpeg},
			{Size960, JPEG, 960, 640, jpeg[:20]},
			{Size480, JPEG, 480, 320, jpeg[:10]},
			{Placeholder, WebP, 16, 11, webp},
		},
		Metadata: Metadata{
			Format: JPEG, Width: 6000, Height: 4000, Orientation: 6,
			TakenAt: "2026-06-20T21:04:05", TakenOffset: "+02:00",
		},
		Average: "#8a7f60",
	}
}

func writeRequest(w io.Writer, q Request) error {
	return WriteRequest(w, q.ID, q.Options, bytes.NewReader(q.Original), int64(len(q.Original)))
}

// TestAnOriginalThatCannotBeReadIsNotThePipesFault: whoever reads the frame
// finds it cut, and whoever sent it knows why.
func TestAnOriginalThatCannotBeReadIsNotThePipesFault(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for name, c := range map[string]struct {
		original io.Reader
		want     error
	}{
		"short":  {strings.NewReader("abc"), io.ErrUnexpectedEOF},
		"broken": {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
	} {
		var pipe bytes.Buffer
		err := WriteRequest(&pipe, 1, Options{}, c.original, 10)
		require.ErrorIs(t, err, ErrSource, name)
		require.ErrorIs(t, err, c.want, name)
		_, err = ReadRequest(&pipe)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
	}
	err := WriteRequest(brokenPipe{}, 1, Options{}, strings.NewReader("abc"), 3)
	require.NotErrorIs(t, err, ErrSource)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTheFormatIsToldByTheFirstBytes(t *testing.T) {
	t.Parallel()
	for head, want := range map[string][2]string{
		"\xff\xd8\xff\xe0":                                 {JPEG, ""},
		"\x89PNG\r\n\x1a\n":                                {PNG, ""},
		"RIFF\x00\x00\x00\x00WEBPVP8 ":                     {WebP, ""},
		"RIFF\x00\x00\x00\x00WAVEfmt ":                     {"", ""},
		"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic": {HEIC, ""},
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif": {AVIF, ""},
		"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00mif1avif": {"", "video"}, // beyond the box
		"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42isom": {"", "video"},
		"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00crx isom": {"", "camera raw"},
		"GIF89a":                      {"", "GIF"},
		"II*\x00":                     {"", "TIFF or camera raw"},
		"%PDF-1.7":                    {"", "PDF"},
		"PK\x03\x04":                  {"", "ZIP"},
		"<?xml version='1.0'?>\n<SVG": {"", "SVG"},
		"<!DOCTYPE html><html>":       {"", "HTML"},
		"hello":                       {"", ""},
		"":                            {"", ""},
	} {
		format, instead := Sniff([]byte(head))
		require.Equal(t, want, [2]string{format, instead}, "%q", head)
	}
}

func TestEveryMessageComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	var pipe bytes.Buffer
	hello := Hello{Engine: "libvips 8.14.1", Formats: []string{JPEG, AVIF}, Lacks: []string{"Landlock"}}
	request := Request{ID: 7, Options: Options{Mark: "ANNA", MaxSide: 9000}, Original: bytes.Repeat([]byte("photo"), 700_000)}
	developed := Reply{ID: 7, Developed: sampleDeveloped()}
	unreadable := Reply{ID: 8, Unreadable: &Unreadable{Reason: Damaged, Sentence: "The file ends too early."}}
	require.NoError(t, WriteHello(&pipe, hello))
	require.NoError(t, writeRequest(&pipe, request))
	require.NoError(t, WriteReply(&pipe, developed))
	require.NoError(t, WriteReply(&pipe, unreadable))

	// A pipe hands over whatever is there, so also read byte by byte.
	r := iotest.OneByteReader(&pipe)
	gotHello, err := ReadHello(r)
	require.NoError(t, err)
	require.Equal(t, hello, gotHello)
	gotRequest, err := ReadRequest(r)
	require.NoError(t, err)
	require.Equal(t, request, gotRequest)
	gotReply, err := ReadReply(r)
	require.NoError(t, err)
	require.Equal(t, developed, gotReply)
	gotReply, err = ReadReply(r)
	require.NoError(t, err)
	require.Equal(t, unreadable, gotReply)
	_, err = ReadReply(r)
	require.ErrorIs(t, err, io.EOF)
}

func TestAFrameCutAnywhereIsAnError(t *testing.T) {
	t.Parallel()
	var whole bytes.Buffer
	require.NoError(t, WriteReply(&whole, Reply{ID: 1, Developed: sampleDeveloped()}))
	for n := range whole.Len() {
		_, err := ReadReply(bytes.NewReader(whole.Bytes()[:n]))
		if n == 0 {
			require.ErrorIs(t, err, io.EOF)
			continue
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut after %d bytes", n)
	}
}

func TestAnAnnouncedLengthAllocatesNothing(t *testing.T) {
	// Not parallel: it measures what is allocated meanwhile.
	frame := []byte{'D', 'R', Version, byte(kindRequest)}
	frame = binary.BigEndian.AppendUint32(frame, uint32(kindRequest.limit()))
	frame = append(frame, "ten bytes."...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadRequest(bytes.NewReader(frame))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
}

func TestWrongHeadersAreRefused(t *testing.T) {
	t.Parallel()
	header := func(magic string, version, kind byte, size uint32) io.Reader {
		b := append([]byte(magic), version, kind)
		return bytes.NewReader(append(binary.BigEndian.AppendUint32(b, size), make([]byte, 64)...))
	}
	for name, c := range map[string]struct {
		frame io.Reader
		want  error
	}{
		"other magic":   {header("XX", Version, byte(kindReply), 10), ErrMalformed},
		"other version": {header("DR", Version+1, byte(kindReply), 10), ErrVersion},
		"other kind":    {header("DR", Version, byte(kindHello), 10), ErrMalformed},
		"no payload":    {header("DR", Version, byte(kindReply), 3), ErrMalformed},
		"huge payload":  {header("DR", Version, byte(kindReply), 1<<32-1), ErrTooLarge},
		"no JSON":       {header("DR", Version, byte(kindReply), 10), ErrMalformed},
	} {
		_, err := ReadReply(c.frame)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestAReplyWithoutSenseIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Reply){
		"nothing":                func(p *Reply) { p.Developed = nil },
		"a derivative missing":   func(p *Reply) { p.Developed.Derivatives = p.Developed.Derivatives[:3] },
		"a derivative twice":     func(p *Reply) { p.Developed.Derivatives[1] = p.Developed.Derivatives[0] },
		"preview too large":      func(p *Reply) { p.Developed.Derivatives[0].Width = 1601 },
		"HTML for a picture":     func(p *Reply) { p.Developed.Derivatives[0].Bytes = []byte("<script>alert(1)</script>") },
		"unknown format":         func(p *Reply) { p.Developed.Derivatives[0].Format = "svg" },
		"original of no size":    func(p *Reply) { p.Developed.Metadata.Height = 0 },
		"original beyond limits": func(p *Reply) { p.Developed.Metadata.Width = MaxSide + 1 },
		"orientation 9":          func(p *Reply) { p.Developed.Metadata.Orientation = 9 },
		"time with markup":       func(p *Reply) { p.Developed.Metadata.TakenAt = "<b>" },
		"offset with markup":     func(p *Reply) { p.Developed.Metadata.TakenOffset = "<b>" },
		"colour with markup":     func(p *Reply) { p.Developed.Average = "red;}" },
		"unknown reason": func(p *Reply) {
			p.Developed, p.Unreadable = nil, &Unreadable{Reason: "bored", Sentence: "no"}
		},
		"reason and pictures": func(p *Reply) { p.Unreadable = &Unreadable{Reason: Damaged, Sentence: "no"} },
	} {
		p := Reply{ID: 1, Developed: sampleDeveloped()}
		spoil(&p)
		var pipe bytes.Buffer
		require.NoError(t, WriteReply(&pipe, p), name)
		_, err := ReadReply(&pipe)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}

func TestTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	var pipe bytes.Buffer
	err := WriteRequest(&pipe, 1, Options{}, strings.NewReader(""), MaxOriginal+1)
	require.ErrorIs(t, err, ErrTooLarge)
	d := sampleDeveloped()
	d.Derivatives[0].Bytes = make([]byte, maxReply)
	require.ErrorIs(t, WriteReply(&pipe, Reply{Developed: d}), ErrTooLarge)
	require.Zero(t, pipe.Len())
}

func TestOptionsCanOnlyBeLowered(t *testing.T) {
	t.Parallel()
	o := Options{}.WithDefaults()
	require.Equal(t, Options{Mark: DefaultMark, MaxSide: MaxSide, MaxPixels: MaxPixels}, o)
	o = Options{Mark: strings.Repeat("Ä", 200), MaxSide: MaxSide + 1, MaxPixels: 5}.WithDefaults()
	require.Equal(t, Options{Mark: strings.Repeat("Ä", MaxMark), MaxSide: MaxSide, MaxPixels: 5}, o)
}

// FuzzDecode feeds arbitrary bytes to every reader: each answers a message
// that survives being sent again, or an error.
func FuzzDecode(f *testing.F) {
	var hello, request, reply, verdict bytes.Buffer
	require.NoError(f, WriteHello(&hello, Hello{Engine: "x"}))
	require.NoError(f, writeRequest(&request, Request{ID: 1, Options: Options{Mark: "A"}, Original: []byte("abc")}))
	require.NoError(f, WriteReply(&reply, Reply{ID: 1, Developed: sampleDeveloped()}))
	require.NoError(f, WriteReply(&verdict, Reply{ID: 1, Unreadable: &Unreadable{Reason: Empty, Sentence: "s"}}))
	for _, b := range []*bytes.Buffer{&hello, &request, &reply, &verdict} {
		f.Add(b.Bytes())
		f.Add(b.Bytes()[:b.Len()-1])
	}
	f.Add([]byte{'D', 'R', Version, byte(kindReply), 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ReadHello(bytes.NewReader(b)); err == nil {
			var again bytes.Buffer
			require.NoError(t, WriteHello(&again, h))
		}
		if q, err := ReadRequest(bytes.NewReader(b)); err == nil {
			var again bytes.Buffer
			require.NoError(t, writeRequest(&again, q))
			q2, err := ReadRequest(&again)
			require.NoError(t, err)
			require.Equal(t, q, q2)
		}
		if p, err := ReadReply(bytes.NewReader(b)); err == nil {
			require.NotEqual(t, p.Developed == nil, p.Unreadable == nil)
			var again bytes.Buffer
			require.NoError(t, WriteReply(&again, p))
			p2, err := ReadReply(&again)
			require.NoError(t, err)
			require.Equal(t, p, p2)
		}
	})
}
