package darkroom

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"math"

	"proofroom/internal/darkroom/wire"
)

// inspectJPEG walks the markers from the first to the end of the image and
// decodes nothing. The walk to the end matters: a decoder takes the zeros of
// a transfer that broke off for picture.
func inspectJPEG(b []byte) (header, error) {
	var h header
	metadata := int64(0)
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
			if h.width == 0 {
				return header{}, errNonsense
			}
			h.metadata = metadata
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
		if marker >= 0xe0 && marker <= 0xef || marker == 0xfe { // application data, comment
			metadata += int64(length)
		}
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && h.width == 0 {
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
	h := header{width: int(width), height: int(height)}
	if interlaced := b[28] != 0; interlaced {
		channels := map[byte]int64{0: 1, 2: 3, 3: 4, 4: 2, 6: 4}[b[25]]
		h.memory = int64(width) * int64(height) * channels * max(1, int64(b[24])/8)
	}
	for i := int64(signature); ; {
		if i+12 > int64(len(b)) {
			return header{}, errEndsEarly
		}
		kind, length := string(b[i+4:i+8]), int64(binary.BigEndian.Uint32(b[i:]))
		if kind == "IEND" {
			return h, nil
		}
		if i+12+length > int64(len(b)) {
			return header{}, errEndsEarly
		}
		data := b[i+8 : i+8+length]
		switch kind {
		case "acTL":
			if len(data) >= 4 {
				h.frames = int(binary.BigEndian.Uint32(data))
			}
		case "tEXt", "eXIf", "zTXt", "iTXt", "iCCP":
			// What is over the limit already need not be unpacked.
			if h.metadata <= wire.MaxMetadata {
				h.metadata += length + unpacked(kind, data)
			}
		}
		i += 12 + length
	}
}

// unpacked is how many bytes a chunk of text or profile unpacks to, counted
// up to just beyond the limit. What does not unpack counts as far as it does.
func unpacked(kind string, data []byte) int64 {
	_, rest, _ := bytes.Cut(data, []byte{0}) // behind the keyword
	switch {
	case kind == "iTXt" && len(rest) >= 2 && rest[0] == 1:
		_, rest, _ = bytes.Cut(rest[2:], []byte{0}) // language
		_, rest, _ = bytes.Cut(rest, []byte{0})     // translated keyword
	case (kind == "zTXt" || kind == "iCCP") && len(rest) >= 1:
		rest = rest[1:]
	default:
		return 0
	}
	z, err := zlib.NewReader(bytes.NewReader(rest))
	if err != nil {
		return 0
	}
	n, _ := io.CopyN(io.Discard, z, wire.MaxMetadata+1)
	return n
}

// inspectWebP reads the sizes and walks the chunks to the end that the file
// states.
func inspectWebP(b []byte) (header, error) {
	const riff, chunk = 12, 8
	if int64(binary.LittleEndian.Uint32(b[4:]))+8 > int64(len(b)) {
		return header{}, errEndsEarly
	}
	b = b[:8+binary.LittleEndian.Uint32(b[4:])]
	var h header
	frames, found := 0, false
	for i := int64(riff); i+chunk <= int64(len(b)); {
		kind, length := string(b[i:i+4]), int64(binary.LittleEndian.Uint32(b[i+4:]))
		i += chunk
		if i+length > int64(len(b)) {
			return header{}, errEndsEarly
		}
		data := b[i : i+length]
		i += length + length&1
		switch kind {
		case "VP8X":
			if len(data) < 10 {
				return header{}, errNonsense
			}
			h.width, h.height = 1+int(uint24(data[4:])), 1+int(uint24(data[7:]))
		case "VP8 ", "VP8L":
			width, height, ok := webpFrame(kind, data)
			switch {
			case !ok:
				return header{}, errNonsense
			case endsInZeros(data):
				return header{}, errEndsEarly
			case h.width == 0:
				h.width, h.height = width, height
			}
			found = true
			// The decoder holds the whole picture, and for a lossless one its
			// own copy besides.
			perPixel := int64(4)
			if kind == "VP8L" {
				perPixel = 8
			}
			h.memory = max(h.memory, perPixel*int64(max(width, h.width))*int64(max(height, h.height)))
		case "ANMF":
			frames++
		case "EXIF", "XMP ", "ICCP":
			h.metadata += length
		}
	}
	h.frames = frames
	if h.width == 0 || !found && frames == 0 {
		return header{}, errNonsense
	}
	return h, nil
}

// webpFrame reads the size of one compressed picture.
func webpFrame(kind string, b []byte) (width, height int, ok bool) {
	if kind == "VP8L" {
		if len(b) < 5 || b[0] != 0x2f {
			return 0, 0, false
		}
		bits := binary.LittleEndian.Uint32(b[1:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff), true
	}
	if len(b) < 10 || !bytes.Equal(b[3:6], []byte{0x9d, 0x01, 0x2a}) {
		return 0, 0, false
	}
	width = int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff)
	height = int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff)
	return width, height, width > 0 && height > 0
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }
