package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // reads the headers of what was made
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"proofroom/assets"
)

// Size is that of a photograph as a camera makes it, in pixels.
type Size struct{ Width, Height int }

// Cameras are the sizes of the photographs: 12 to 24 megapixels.
var Cameras = []Size{{4000, 3000}, {4928, 3264}, {5184, 3456}, {5472, 3648}, {6000, 4000}}

// pictures is how many different pictures there are. Every photograph has bytes
// of its own, by what its camera noted.
const pictures = 20

// Photographs makes n photographs in a folder, unless they are there already, and
// returns their paths and what they are made of. They are the demonstration's
// photographs, enlarged and cropped to the sizes, with a sensor's noise, and with
// EXIF as cameras write it; every fifth lies on its side. The same arguments give
// the same files.
func Photographs(ctx context.Context, dir string, n int, sizes []Size) (paths []string, of string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	sources, of, err := sources(dir)
	if err != nil {
		return nil, "", err
	}
	var base []byte
	have := -1
	paths = make([]string, n)
	// One picture after the other, so that each is read once.
	for p := range min(pictures, n) {
		size := sizes[p%len(sizes)]
		for i := p; i < n; i += pictures {
			paths[i] = filepath.Join(dir, fmt.Sprintf("IMG_%04d.JPG", i))
			if _, err := os.Stat(paths[i]); err == nil {
				continue
			}
			if have != p {
				if base, err = picture(ctx, dir, sources[p%len(sources)], p, size); err != nil {
					return nil, "", fmt.Errorf("make a photograph: %w", err)
				}
				have = p
			}
			if err := keep(paths[i], noted(base, i)); err != nil {
				return nil, "", err
			}
		}
	}
	return paths, of, nil
}

// sources are the pictures to begin with.
func sources(dir string) (files []string, of string, err error) {
	for _, f := range assets.Files(assets.Photo) {
		if path, ok := assets.Path(f); ok {
			files = append(files, path)
		}
	}
	if len(files) > 0 {
		return files, "the demonstration's photographs", nil
	}
	for seed := range uint64(pictures) {
		path := filepath.Join(dir, fmt.Sprintf(".drawn-%d.jpg", seed))
		if _, err := os.Stat(path); err != nil {
			if err := keep(path, assets.Generated(seed, 1500, 1000)); err != nil {
				return nil, "", err
			}
		}
		files = append(files, path)
	}
	return files, "drawn pictures: fetch the photographs with make assets", nil
}

// picture enlarges a source to a size, with noise. libvips does it, in files that
// are deleted again.
func picture(ctx context.Context, dir, source string, seed int, size Size) (_ []byte, err error) {
	scratch, err := os.MkdirTemp(dir, ".making-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	file := func(name string) string { return filepath.Join(scratch, name) }
	width, height := strconv.Itoa(size.Width), strconv.Itoa(size.Height)
	for _, args := range [][]string{
		{"thumbnail", source, file("large.v"), width, "--height", height, "--size", "both", "--crop", "centre", "--export-profile", "srgb"},
		{"gaussnoise", file("noise.v"), width, height, "--mean", "0", "--sigma", "5", "--seed", strconv.Itoa(seed + 1)},
		{"add", file("large.v"), file("noise.v"), file("noisy.v")},
		{"cast", file("noisy.v"), file("whole.v"), "uchar"},
		{"jpegsave", file("whole.v"), file("picture.jpg"), "--Q", "92", "--strip"},
	} {
		if out, err := exec.CommandContext(ctx, "vips", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("vips %s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
	}
	made, err := os.ReadFile(file("picture.jpg"))
	if err != nil {
		return nil, err
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(made))
	if err == nil && (head.Width != size.Width || head.Height != size.Height) {
		err = fmt.Errorf("it has %d x %d pixels instead of %d x %d", head.Width, head.Height, size.Width, size.Height)
	}
	return made, err
}

// keep writes a file whole or not at all.
func keep(path string, b []byte) error {
	if err := os.WriteFile(path+".part", b, 0o644); err != nil { //nolint:gosec // photographs without secrets
		return err
	}
	return os.Rename(path+".part", path)
}

// noted adds to a JPEG what a camera notes of the i-th photograph, which makes
// its bytes its own.
func noted(picture []byte, i int) []byte {
	const soi = 2
	at := time.Date(2026, 6, 12, 18, 30, 0, 0, time.UTC).Add(time.Duration(i) * 7 * time.Second).Format("2006:01:02 15:04:05")
	orientation := uint16(1)
	if i%5 == 4 {
		orientation = 6 // turn it to the right
	}
	text := exif("Proofroom", "Bench "+strconv.Itoa(i), orientation, at)
	segment := append([]byte{0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(text)+2))...)
	out := append([]byte{}, picture[:soi]...)
	return append(append(append(out, segment...), text...), picture[soi:]...)
}

// Tags and types of EXIF.
const (
	tagMake, tagModel, tagOrientation, tagTime, tagIFD, tagTaken = 0x010f, 0x0110, 0x0112, 0x0132, 0x8769, 0x9003

	typeASCII, typeShort, typeLong = 2, 3, 4
)

// exif is the body of an APP1 segment: a TIFF structure, big-endian.
func exif(maker, model string, orientation uint16, at string) []byte {
	type entry struct {
		tag, kind uint16
		text      string
		number    uint32
	}
	const header, each = 8, 12
	first := []entry{
		{tagMake, typeASCII, maker, 0},
		{tagModel, typeASCII, model, 0},
		{tagOrientation, typeShort, "", uint32(orientation) << 16},
		{tagTime, typeASCII, at, 0},
		{tagIFD, typeLong, "", 0},
	}
	second := []entry{{tagTaken, typeASCII, at, 0}}
	table := func(n int) int { return 2 + n*each + 4 }
	secondAt := header + table(len(first))
	first[4].number = uint32(secondAt)
	texts := secondAt + table(len(second))

	b := append([]byte("MM"), 0, 42, 0, 0, 0, header)
	var tail strings.Builder
	for _, entries := range [][]entry{first, second} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(entries)))
		for _, e := range entries {
			b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, e.tag), e.kind)
			if e.kind != typeASCII {
				b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 1), e.number)
				continue
			}
			b = binary.BigEndian.AppendUint32(b, uint32(len(e.text)+1))
			b = binary.BigEndian.AppendUint32(b, uint32(texts+tail.Len()))
			tail.WriteString(e.text + "\x00")
			if tail.Len()%2 == 1 {
				tail.WriteByte(0)
			}
		}
		b = append(b, 0, 0, 0, 0)
	}
	return append([]byte("Exif\x00\x00"), append(b, tail.String()...)...)
}
