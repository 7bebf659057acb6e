package darkroom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"proofroom/internal/darkroom/wire"
)

// header is what the first bytes of a picture say, read by plain Go before
// the decoder sees any of it.
type header struct {
	format        string // wire.JPEG or wire.PNG
	width, height int    // pixels, as stored: before turning
	memory        int64  // bytes that a decoder must hold at once; 0 when it can work row by row
}

// maxWhole bounds what a decoder must hold at once for a picture that cannot
// be decoded row by row (progressive JPEG, interlaced PNG). It stays well
// below the limit of the process, so that the uploader reads a reason and
// the process does not die of it.
const maxWhole = 1 << 30

// inspect recognises a picture by its content and applies the limits.
func inspect(original []byte, opts wire.Options) (header, *wire.Unreadable) {
	if len(original) == 0 {
		return header{}, &wire.Unreadable{Reason: wire.Empty, Sentence: "The file is empty. Upload it again."}
	}
	var h header
	var err error
	switch {
	case bytes.HasPrefix(original, []byte("\xff\xd8\xff")):
		h, err = inspectJPEG(original)
	case bytes.HasPrefix(original, []byte("\x89PNG\r\n\x1a\n")):
		h, err = inspectPNG(original)
	default:
		what := "This file"
		if name := recognise(original); name != "" {
			what = "This " + name + " file"
		}
		return header{}, &wire.Unreadable{
			Reason:   wire.Unsupported,
			Sentence: what + " is in a format not supported yet: JPEG or PNG. Export it as JPEG and upload that.",
		}
	}
	if err != nil {
		return header{}, damaged(err)
	}
	switch {
	case h.width > opts.MaxSide || h.height > opts.MaxSide || h.width*h.height > opts.MaxPixels:
		return header{}, &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
			"The picture has %d x %d pixels; at most %d a side and %d million in all are accepted. Upload a smaller version.",
			h.width, h.height, opts.MaxSide, opts.MaxPixels/1_000_000)}
	case h.memory > maxWhole:
		return header{}, &wire.Unreadable{Reason: wire.TooLarge, Sentence: fmt.Sprintf(
			"The picture has %d x %d pixels and is saved in a way (progressive or interlaced) that takes too much memory to open. Save it without that option and upload it again.",
			h.width, h.height)}
	}
	return h, nil
}

func damaged(why error) *wire.Unreadable {
	return &wire.Unreadable{
		Reason:   wire.Damaged,
		Sentence: "The picture is damaged or incomplete: " + why.Error() + ". Upload the file again from your camera or computer.",
	}
}

// recognise names some formats that people try, for a better sentence.
func recognise(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("GIF8")):
		return "GIF"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "WebP"
	case bytes.HasPrefix(b, []byte("BM")):
		return "BMP"
	case bytes.HasPrefix(b, []byte("II*\x00")), bytes.HasPrefix(b, []byte("MM\x00*")):
		return "TIFF or camera raw"
	case bytes.HasPrefix(b, []byte("%PDF")):
		return "PDF"
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		switch string(b[8:12]) {
		case "avif", "avis":
			return "AVIF"
		case "heic", "heix", "heim", "heis", "hevc", "mif1", "msf1":
			return "HEIC"
		}
		return "video or HEIC"
	}
	return ""
}

var (
	errEndsEarly = errors.New("it ends too early")
	errNonsense  = errors.New("its contents make no sense")
)

// inspectJPEG walks the markers from the first to the end of the image and
// decodes nothing. The walk to the end matters: a decoder takes the zeros of
// a transfer that broke off for picture.
func inspectJPEG(b []byte) (header, error) {
	var h header
	for i := 2; ; {
		// Like decoders do, pass over stray bytes in front of a marker.
		skip := bytes.IndexByte(b[i:], 0xff)
		if skip < 0 || i+skip+1 >= len(b) {
			return header{}, errEndsEarly
		}
		i += skip + 1
		marker := b[i]
		i++
		switch {
		case marker == 0xff: // a fill byte: the marker may follow
			i--
			continue
		case marker <= 0x01 || marker >= 0xd0 && marker <= 0xd8: // without a body; inside a scan
			continue
		case marker == 0xd9: // end of image
			if h.format == "" {
				return header{}, errNonsense
			}
			return h, nil
		}
		if i+2 > len(b) {
			return header{}, errEndsEarly
		}
		length := int(binary.BigEndian.Uint16(b[i:]))
		switch {
		case length < 2:
			return header{}, errNonsense
		case i+length > len(b):
			return header{}, errEndsEarly
		}
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && h.format == "" {
			var err error
			if h, err = frameHeader(marker, b[i+2:i+length]); err != nil {
				return header{}, err
			}
		}
		i += length
	}
}

func frameHeader(marker byte, b []byte) (header, error) {
	if len(b) < 6 || len(b) < 6+3*int(b[5]) {
		return header{}, errNonsense
	}
	h := header{
		format: wire.JPEG,
		height: int(binary.BigEndian.Uint16(b[1:])),
		width:  int(binary.BigEndian.Uint16(b[3:])),
	}
	components := int(b[5])
	if h.width == 0 || h.height == 0 || components == 0 || components > 4 {
		return header{}, errNonsense
	}
	// The decoder keeps every coefficient (two bytes each) when a picture
	// comes in several scans, which only these frame types announce.
	if progressive := marker == 0xc2 || marker == 0xca; progressive {
		maxH, maxV, samples := 1, 1, 0
		for c := range components {
			sampling := int(b[6+3*c+1])
			maxH, maxV = max(maxH, sampling>>4), max(maxV, sampling&15)
			samples += (sampling >> 4) * (sampling & 15)
		}
		h.memory = 2 * int64(h.width) * int64(h.height) * int64(samples) / int64(maxH*maxV)
	}
	return h, nil
}

// inspectPNG reads the header and walks the chunks to the last one.
func inspectPNG(b []byte) (header, error) {
	const signature = 8
	if len(b) < signature+25 {
		return header{}, errEndsEarly
	}
	width, height := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if string(b[12:16]) != "IHDR" || width == 0 || height == 0 || width > math.MaxInt32 || height > math.MaxInt32 {
		return header{}, errNonsense
	}
	h := header{format: wire.PNG, width: int(width), height: int(height)}
	if interlaced := b[28] != 0; interlaced {
		channels := map[byte]int64{0: 1, 2: 3, 3: 4, 4: 2, 6: 4}[b[25]]
		h.memory = int64(width) * int64(height) * channels * max(1, int64(b[24])/8)
	}
	for i := int64(signature); ; {
		if i+12 > int64(len(b)) {
			return header{}, errEndsEarly
		}
		if string(b[i+4:i+8]) == "IEND" {
			return h, nil
		}
		i += 12 + int64(binary.BigEndian.Uint32(b[i:]))
	}
}
