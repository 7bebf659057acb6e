package darkroom

/*
#cgo pkg-config: vips
#include <glib.h>
#include <stdlib.h>
#include <vips/vips.h>
#include "vips.h"
*/
import "C"

import (
	"errors"
	"os"
	"sync"
	"unsafe"

	"proofroom/internal/darkroom/wire"
)

// start prepares the image library, once a process.
var start = sync.OnceFunc(func() {
	// Only decoders that their authors hold fit for hostile files. The
	// library reads this while it starts.
	if err := os.Setenv("VIPS_BLOCK_UNTRUSTED", "1"); err != nil {
		panic(err)
	}
	if C.start_library() != 0 {
		panic(libraryError())
	}
})

// engine names the image library.
func engine() string { return "libvips " + C.GoString(C.vips_version_string()) }

// libraryError is what the library says last.
func libraryError() error {
	said := C.GoString(C.vips_error_buffer())
	C.vips_error_clear()
	return errors.New(said)
}

// formats are the names of formats in the library's terms.
var formats = map[string]C.enum_format{
	wire.JPEG: C.JPEG, wire.PNG: C.PNG, wire.WebP: C.WEBP, wire.HEIC: C.HEIF, wire.AVIF: C.HEIF,
}

// stated is what a picture's header says in the library's reading.
type stated struct {
	width, height    int // pixels
	orientation      int // as in EXIF; 0 when there is none
	taken, digitized clock
}

// clock is a time as EXIF writes it, with its offset from UTC.
type clock struct{ at, offset string }

func readHeader(original []byte, format string) (stated, error) {
	var s C.struct_stated
	if C.read_header(formats[format], unsafe.Pointer(unsafe.SliceData(original)), C.size_t(len(original)), &s) != 0 {
		return stated{}, libraryError()
	}
	out := stated{width: int(s.width), height: int(s.height), orientation: int(s.orientation)}
	out.taken.at, out.taken.offset = C.GoString(&s.taken[0]), C.GoString(&s.taken_offset[0])
	out.digitized.at, out.digitized.offset = C.GoString(&s.digitized[0]), C.GoString(&s.digitized_offset[0])
	return out, nil
}

// picture is plain pixels: red, green and blue, row by row.
type picture struct {
	pixels        []byte
	width, height int
}

// expose decodes an original, shrunk by the decoder if it can, down to a long
// side, upright, in sRGB, on white.
func expose(original []byte, format string, shrink, side int) (picture, error) {
	var out C.struct_pixels
	failed := C.expose(formats[format], unsafe.Pointer(unsafe.SliceData(original)), C.size_t(len(original)), C.int(shrink), C.int(side), &out) //nolint:gocritic // of what cgo makes of it
	return taken(out, failed)
}

// smaller is the picture with a long side, if it is larger.
func (p picture) smaller(side int) (picture, error) {
	if max(p.width, p.height) <= side {
		return p, nil
	}
	var out C.struct_pixels
	failed := C.reduce(p.data(), C.int(p.width), C.int(p.height), C.int(side), &out) //nolint:gocritic // of what cgo makes of it
	return taken(out, failed)
}

func (p picture) data() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p.pixels)) }

// taken moves what the library made into memory of ours.
func taken(out C.struct_pixels, failed C.int) (picture, error) {
	if failed != 0 {
		return picture{}, libraryError()
	}
	defer C.g_free(C.gpointer(unsafe.Pointer(out.data)))
	return picture{C.GoBytes(unsafe.Pointer(out.data), C.int(out.length)), int(out.width), int(out.height)}, nil
}

// encode answers the picture as a file without metadata.
func (p picture) encode(format string, quality int) ([]byte, error) {
	var file unsafe.Pointer
	var length C.size_t
	var failed C.int
	if format == wire.WebP {
		failed = C.save_webp(p.data(), C.int(p.width), C.int(p.height), C.int(quality), &file, &length) //nolint:gocritic // of what cgo makes of it
	} else {
		failed = C.save_jpeg(p.data(), C.int(p.width), C.int(p.height), C.int(quality), &file, &length) //nolint:gocritic // of what cgo makes of it
	}
	if failed != 0 {
		return nil, libraryError()
	}
	defer C.g_free(C.gpointer(file))
	return C.GoBytes(file, C.int(length)), nil
}

// Compressions as libheif numbers them.
const (
	hevc = 1
	av1  = 4
)

// lacking says what is not installed that a format needs; "" when nothing is.
func lacking(format string) string {
	need := map[string]struct {
		operation string
		codec     C.int // 0 for none
		missing   string
	}{
		wire.JPEG: {"jpegload_buffer", 0, "the JPEG loader of libvips"},
		wire.PNG:  {"pngload_buffer", 0, "the PNG loader of libvips"},
		wire.WebP: {"webpload_buffer", 0, "the WebP loader of libvips"},
		wire.HEIC: {"heifload_buffer", hevc, "the HEIF loader of libvips or the HEVC decoder of libheif"},
		wire.AVIF: {"heifload_buffer", av1, "the HEIF loader of libvips or the AV1 decoder of libheif"},
	}[format]
	operation := C.CString(need.operation)
	defer C.free(unsafe.Pointer(operation))
	if C.has_loader(operation) != 0 && (need.codec == 0 || C.has_decoder(need.codec) != 0) {
		return ""
	}
	return need.missing
}

// loadable lists the formats that can be opened on this machine.
func loadable() (formats []string) {
	for _, format := range wire.Formats() {
		if lacking(format) == "" {
			formats = append(formats, format)
		}
	}
	return formats
}
