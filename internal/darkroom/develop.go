package darkroom

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/davidbyttow/govips/v2/vips"

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
	tiles map[int][]byte // repeat in pixels to a tile as PNG
}

// develop makes the derivatives of one photograph. A picture that is at fault
// is a *wire.Unreadable; any other error is the darkroom's own.
func (d *developer) develop(original []byte, opts wire.Options) (*wire.Developed, error) {
	opts = opts.WithDefaults()
	head, bad := inspect(original, opts)
	if bad != nil {
		return nil, bad
	}
	meta, err := readMetadata(original, head)
	if err != nil {
		return nil, err
	}
	list := sizes(max(meta.Width, meta.Height))
	negative, err := expose(original, head, list[0].side)
	if err != nil {
		return nil, err
	}
	out := &wire.Developed{Metadata: meta}
	for i, s := range list {
		if i == 1 {
			// The smaller ones come from a smaller negative, which is
			// several times as fast and looks the same.
			if negative, err = reduce(negative, s.side); err != nil {
				return nil, err
			}
		}
		v, err := d.print(negative, s, opts.Mark)
		if err != nil {
			return nil, fmt.Errorf("derivative %s: %w", s.kind, err)
		}
		out.Derivatives = append(out.Derivatives, v)
	}
	if out.Average, err = averageColour(negative); err != nil {
		return nil, fmt.Errorf("average colour: %w", err)
	}
	return out, nil
}

// print makes one derivative from the negative.
func (d *developer) print(negative []byte, s size, mark string) (wire.Derivative, error) {
	img, err := scaled(negative, s.side)
	if err != nil {
		return wire.Derivative{}, err
	}
	defer img.Close()
	if s.repeat > 0 {
		if err := d.burnIn(img, mark, s.repeat); err != nil {
			return wire.Derivative{}, fmt.Errorf("watermark: %w", err)
		}
	}
	v := wire.Derivative{Kind: s.kind, Format: wire.JPEG, Width: img.Width(), Height: img.Height()}
	if s.kind == wire.Placeholder {
		v.Format = wire.WebP
		v.Bytes, _, err = img.ExportWebp(&vips.WebpExportParams{StripMetadata: true, Quality: s.quality, ReductionEffort: 4})
		v.Bytes = bareWebP(v.Bytes)
	} else {
		v.Bytes, _, err = img.ExportJpeg(&vips.JpegExportParams{StripMetadata: true, Quality: s.quality, OptimizeCoding: true})
	}
	return v, err
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

// burnIn lays the watermark over the picture's own pixels.
func (d *developer) burnIn(img *vips.ImageRef, mark string, repeat int) error {
	if d.mark != mark || len(d.tiles) > 8 {
		d.mark, d.tiles = mark, map[int][]byte{}
	}
	tile, ok := d.tiles[repeat]
	if !ok {
		var err error
		if tile, err = markTile(mark, repeat).encode(); err != nil {
			return err
		}
		d.tiles[repeat] = tile
	}
	sheet, err := vips.NewImageFromBuffer(tile)
	if err != nil {
		return err
	}
	defer sheet.Close()
	across, down := img.Width()/sheet.Width()+1, img.Height()/sheet.Height()+1
	if err := sheet.Replicate(across, down); err != nil {
		return err
	}
	if err := sheet.ExtractArea(0, 0, img.Width(), img.Height()); err != nil {
		return err
	}
	if err := img.Composite(sheet, vips.BlendModeOver, 0, 0); err != nil {
		return err
	}
	// Laying over leaves a fully opaque fourth channel behind.
	return img.ExtractBand(0, 3)
}

// expose decodes the original down to a long side, upright, in sRGB, on
// white, and answers it as an uncompressed PNG without metadata: the one
// decoding that all derivatives are then made from.
func expose(original []byte, head header, side int) ([]byte, error) {
	load := loadPNG
	if head.format == wire.JPEG {
		load = loadJPEG
	}
	img, err := load(original, head, side)
	if err != nil {
		return nil, verdict(err)
	}
	defer img.Close()
	if err := toSRGB(img); err != nil {
		return nil, verdict(err)
	}
	negative, err := exportNegative(img)
	if err != nil {
		return nil, verdict(err)
	}
	return negative, nil
}

func exportNegative(img *vips.ImageRef) ([]byte, error) {
	negative, _, err := img.ExportPng(&vips.PngExportParams{StripMetadata: true, Filter: vips.PngFilterNone})
	return negative, err
}

// loadJPEG lets the decoder itself halve the picture as often as at least
// half as many pixels again as wanted remain: that saves more than half of
// the time, and nothing that a derivative would show. It leaves narrow
// pictures alone, which the decoder would shrink to nothing.
func loadJPEG(original []byte, head header, side int) (*vips.ImageRef, error) {
	shrink := 8
	for shrink > 1 && (2*max(head.width, head.height) < 3*shrink*side || min(head.width, head.height) < 8*shrink) {
		shrink /= 2
	}
	params := vips.NewImportParams()
	// A picture that ends too early must not be sold half grey.
	params.FailOnError.Set(true)
	params.AutoRotate.Set(true)
	params.JpegShrinkFactor.Set(shrink)
	img, err := vips.LoadImageFromBuffer(original, params)
	if err != nil {
		return nil, err
	}
	if err := img.Resize(float64(side)/float64(max(img.Width(), img.Height())), vips.KernelLanczos3); err != nil {
		img.Close()
		return nil, err
	}
	return img, nil
}

// loadPNG reads row by row, since a PNG cannot be decoded smaller, and
// shrinks transparency the right way.
func loadPNG(original []byte, _ header, side int) (*vips.ImageRef, error) {
	params := vips.NewImportParams()
	params.FailOnError.Set(true)
	return vips.LoadThumbnailFromBuffer(original, side, side, vips.InterestingNone, vips.SizeDown, params)
}

func toSRGB(img *vips.ImageRef) error {
	// The names mean profiles that are built into the library: no file is
	// read. A profile that does not fit its picture is passed over, as
	// browsers do.
	assumed := "srgb"
	if img.Interpretation() == vips.InterpretationCMYK {
		assumed = "cmyk"
	}
	if img.HasICCProfile() || assumed == "cmyk" {
		if err := img.TransformICCProfileWithFallback("srgb", assumed); err != nil {
			return err
		}
	}
	if img.Interpretation() != vips.InterpretationSRGB {
		if err := img.ToColorSpace(vips.InterpretationSRGB); err != nil {
			return err
		}
	}
	if img.HasAlpha() {
		return img.Flatten(&vips.Color{R: 255, G: 255, B: 255})
	}
	return nil
}

// reduce makes a smaller negative.
func reduce(negative []byte, side int) ([]byte, error) {
	img, err := scaled(negative, side)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	return exportNegative(img)
}

// scaled opens the negative at a long side.
func scaled(negative []byte, side int) (*vips.ImageRef, error) {
	return vips.LoadThumbnailFromBuffer(negative, side, side, vips.InterestingNone, vips.SizeDown, nil)
}

// averageColour is the mean of all pixels, which a page shows before any
// picture has arrived.
func averageColour(negative []byte) (string, error) {
	img, err := scaled(negative, 64)
	if err != nil {
		return "", err
	}
	defer img.Close()
	pixels, err := img.ToBytes()
	if err != nil {
		return "", err
	}
	var sum [3]int
	for i := 0; i+2 < len(pixels); i += 3 {
		sum[0] += int(pixels[i])
		sum[1] += int(pixels[i+1])
		sum[2] += int(pixels[i+2])
	}
	n := max(1, len(pixels)/3)
	return fmt.Sprintf("#%02x%02x%02x", sum[0]/n, sum[1]/n, sum[2]/n), nil
}

// verdict turns an error of the library into a verdict on the picture: all
// that can go wrong while decoding is the picture's fault.
func verdict(err error) error {
	said, _, _ := strings.Cut(strings.ToLower(err.Error()), "\nstack:")
	if strings.Contains(said, "out of memory") {
		return &wire.Unreadable{Reason: wire.TooLarge, Sentence: "The picture takes too much memory to open. Upload a smaller version."}
	}
	return damaged(errNonsense)
}
