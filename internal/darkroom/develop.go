package darkroom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"proofroom/internal/darkroom/wire"
)

// size is one derivative to be made; lengths in pixels.
type size struct {
	kind    wire.Kind
	side    int // long side
	repeat  int // of the watermark; 0 for none
	quality int // of the encoder; derivatives are looked at, not sold
}

// sizes lists the derivatives of an original with the given long side.
func sizes(long int) []size {
	preview := max(1, min(1600, long/2))
	return []size{
		marked(wire.Preview, preview, 300, 82),
		marked(wire.Size960, min(preview, 960), 210, 80),
		marked(wire.Size480, min(preview, 480), 210, 80),
		{wire.Placeholder, min(preview, 16), 0, 50},
	}
}

// marked is a derivative with the watermark about every so many pixels, or
// closer in a small picture, where else a face might slip between two marks.
func marked(kind wire.Kind, side, repeat, quality int) size {
	return size{kind, side, max(50, min(repeat, side*44/1000*10)), quality}
}

// developer makes derivatives. It keeps the watermark of the last text, since
// one creator's photographs come in a row. Not for concurrent use.
type developer struct {
	mark  string
	tiles map[int]*tile // by repeat in pixels
}

// develop makes the derivatives of one photograph. A picture that is at fault
// is a *wire.Unreadable; any other error is the darkroom's own.
func (d *developer) develop(original []byte, opts wire.Options) (*wire.Developed, error) {
	opts = opts.WithDefaults()
	head, bad := inspect(original, opts)
	if bad != nil {
		return nil, bad
	}
	if bad := unloadable(head.format); bad != nil {
		return nil, bad
	}
	meta, err := readMetadata(original, head, opts)
	if err != nil {
		return nil, err
	}
	list := sizes(max(meta.Width, meta.Height))
	// The one decoding. Each derivative is then made from the next larger.
	plain, err := expose(original, head.format, head.shrink(list[0].side), list[0].side)
	if err != nil {
		return nil, verdict(err, head.format)
	}
	out := &wire.Developed{Metadata: meta}
	for _, s := range list {
		if plain, err = plain.smaller(s.side); err != nil {
			return nil, fmt.Errorf("derivative %s: %w", s.kind, err)
		}
		v := wire.Derivative{Kind: s.kind, Format: wire.JPEG, Width: plain.width, Height: plain.height}
		if s.kind == wire.Placeholder {
			v.Format = wire.WebP
			v.Bytes, err = plain.encode(v.Format, s.quality)
			v.Bytes = bareWebP(v.Bytes)
			out.Average = plain.average()
		} else {
			v.Bytes, err = d.burnIn(plain, opts.Mark, s.repeat).encode(v.Format, s.quality)
		}
		if err != nil {
			return nil, fmt.Errorf("derivative %s: %w", s.kind, err)
		}
		out.Derivatives = append(out.Derivatives, v)
	}
	return out, nil
}

// shrink is how often the decoder itself halves the picture, as a factor: as
// often as at least a quarter more pixels a side remain than are wanted. That
// saves half of the time, and nothing that a derivative would show. It leaves
// narrow pictures alone, which the decoder would shrink to nothing. Only some
// formats can be decoded smaller.
func (h header) shrink(side int) int {
	if h.format != wire.JPEG && h.format != wire.WebP {
		return 1
	}
	shrink := 8
	for shrink > 1 && (4*max(h.width, h.height) < 5*shrink*side || min(h.width, h.height) < 8*shrink) {
		shrink /= 2
	}
	return shrink
}

// burnIn lays the watermark over the picture's own pixels, and answers the
// marked picture.
func (d *developer) burnIn(p picture, mark string, repeat int) picture {
	if d.mark != mark || len(d.tiles) > 8 {
		d.mark, d.tiles = mark, map[int]*tile{}
	}
	t, ok := d.tiles[repeat]
	if !ok {
		t = markTile(mark, repeat)
		d.tiles[repeat] = t
	}
	return t.over(p)
}

// average is the mean of all pixels as a colour, which a page shows before any
// picture has arrived.
func (p picture) average() string {
	var sum [3]int
	for i := 0; i+2 < len(p.pixels); i += 3 {
		sum[0] += int(p.pixels[i])
		sum[1] += int(p.pixels[i+1])
		sum[2] += int(p.pixels[i+2])
	}
	n := max(1, len(p.pixels)/3)
	return fmt.Sprintf("#%02x%02x%02x", sum[0]/n, sum[1]/n, sum[2]/n)
}

// bareWebP keeps only the picture of a WebP file. The library writes an EXIF
// block of its own even when asked for none, longer than such a small picture.
func bareWebP(file []byte) []byte {
	const header, chunkHeader = 12, 8
	for rest := file[min(header, len(file)):]; len(rest) >= chunkHeader; {
		length := int64(binary.LittleEndian.Uint32(rest[4:]))
		whole := min(chunkHeader+length+length&1, int64(len(rest)))
		if string(rest[:4]) == "VP8 " {
			bare := append([]byte("RIFF"), 0, 0, 0, 0)
			bare = append(append(bare, "WEBP"...), rest[:whole]...)
			binary.LittleEndian.PutUint32(bare[4:], uint32(len(bare)-8))
			return bare
		}
		rest = rest[whole:]
	}
	return file
}

// verdict turns an error of the library into a verdict on the picture: all
// that can go wrong while decoding is the picture's fault.
func verdict(err error, format string) error {
	if strings.Contains(strings.ToLower(err.Error()), "out of memory") {
		return &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
			"The picture takes too much memory to open; at most %d MB are allowed. Upload a smaller version.", wire.MaxMemory>>20)}
	}
	if format == wire.HEIC || format == wire.AVIF {
		// What cameras put into these containers grows faster than libraries.
		return damaged(errors.New("it is broken, or newer than the program that reads it here; exported as JPEG it can be opened"))
	}
	return damaged(errNonsense)
}
