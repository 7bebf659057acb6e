package pool

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/bep/imagemeta"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"
	"golang.org/x/image/webp"

	"proofroom/internal/darkroom/wire"
)

func develop(t *testing.T, p *Pool, original []byte) wire.Developed {
	t.Helper()
	developed, err := p.Develop(t.Context(), wire.Bytes(original), wire.Options{})
	require.NoError(t, err)
	return developed
}

// picture decodes one derivative with the standard library, so that the
// judge is another decoder than the maker.
func picture(t *testing.T, d wire.Developed, kind wire.Kind) *image.RGBA {
	t.Helper()
	v, ok := d.Derivative(kind)
	require.True(t, ok)
	var img image.Image
	var err error
	if v.Format == wire.WebP {
		img, err = webp.Decode(bytes.NewReader(v.Bytes))
	} else {
		img, err = jpeg.Decode(bytes.NewReader(v.Bytes))
	}
	require.NoError(t, err)
	require.Equal(t, image.Pt(v.Width, v.Height), img.Bounds().Size(), "%s is as large as stated", kind)
	return rgba(img)
}

func rgba(img image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Copy(out, image.Point{}, img, img.Bounds(), draw.Src, nil)
	return out
}

// difference is the mean difference of two pictures of one size, 0 to 255.
func difference(t *testing.T, a, b *image.RGBA) float64 {
	t.Helper()
	require.Equal(t, a.Bounds(), b.Bounds())
	var sum int
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(a.Pix)) * 4 / 3 // alpha never differs
}

func TestEveryOrientationComesOutUpright(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for name, size := range map[string]image.Point{"Landscape": {1600, 1200}, "Portrait": {1200, 1600}} {
		var upright *image.RGBA
		for orientation := 1; orientation <= 8; orientation++ {
			d := develop(t, p, photo(t, "bimg", fmt.Sprintf("testdata/exif/%s_%d.jpg", name, orientation)))
			require.Equal(t, orientation, d.Metadata.Orientation)
			require.Equal(t, size, image.Pt(d.Metadata.Width, d.Metadata.Height), "%s %d", name, orientation)
			got := picture(t, d, wire.Preview)
			require.Equal(t, size.Div(2), got.Bounds().Size())
			if orientation == 1 {
				upright = got
				// The measure can tell a wrong turn from a right one.
				require.Greater(t, difference(t, upright, upsideDown(upright)), 30.0)
				continue
			}
			require.Less(t, difference(t, upright, got), 4.0, "%s %d", name, orientation)
		}
	}
}

func upsideDown(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	for y := range h {
		for x := range w {
			out.SetRGBA(w-1-x, h-1-y, img.RGBAAt(x, y))
		}
	}
	return out
}

func TestNothingPrivateIsLeftInADerivative(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	places := 0
	for _, file := range []struct{ module, name string }{
		{"imagemeta", "testdata/images/bep/sunrise.jpg"},
		{"imagemeta", "testdata/images/bep/sunrise.png"},
		{"imagemeta", "testdata/images/mushroom.jpg"},
		{"imagemeta", "testdata/images/metadata-extractor/withIptcExifGps.jpg"},
		{"imagemeta", "testdata/images/metadata-extractor/withUncompressedRGBThumbnail.jpg"},
		{"imagemeta", "testdata/images/metadata_demo_exif_only.jpg"},
		{"imagemeta", "testdata/images/metadata_demo_iim_and_xmp_only.jpg"},
		{"imagemeta", "testdata/images/metadata_demo_inc_exif_out_of_sync_Inc_adobe.jpg"},
		{"imagemeta", "testdata/images/IPTC-PhotometadataRef-Std2021.1.jpg"},
		{"imagemeta", "testdata/images/hugo-issue-12669.jpg"},
		{"bimg", "testdata/test_exif_full.jpg"},
	} {
		original := photo(t, file.module, file.name)
		before := tags(t, original)
		require.NotEmpty(t, before, "%s has something to strip", file.name)
		for _, tag := range before {
			if strings.Contains(tag, "GPSLatitude") {
				places++
				break
			}
		}
		d := develop(t, p, original)
		for _, v := range d.Derivatives {
			require.Empty(t, tags(t, v.Bytes), "%s, %s", file.name, v.Kind)
			for _, mark := range []string{
				"Exif", "http://ns.adobe.com", "<x:xmpmeta", "Photoshop", "8BIM", "ICC_PROFILE", "GPS", "EXIF", "XMP ",
			} {
				require.False(t, bytes.Contains(v.Bytes, []byte(mark)), "%s, %s contains %q", file.name, v.Kind, mark)
			}
			require.LessOrEqual(t, bytes.Count(v.Bytes, []byte("\xff\xd8\xff")), 1, "no embedded thumbnail")
		}
	}
	require.GreaterOrEqual(t, places, 4, "photographs with a place were among them")
}

// tags lists the metadata that another reader finds in a picture.
func tags(t *testing.T, file []byte) (found []string) {
	t.Helper()
	format := imagemeta.JPEG
	switch {
	case bytes.HasPrefix(file, []byte("\x89PNG")):
		format = imagemeta.PNG
	case bytes.HasPrefix(file, []byte("RIFF")):
		format = imagemeta.WebP
	}
	_, err := imagemeta.Decode(imagemeta.Options{
		R: bytes.NewReader(file), ImageFormat: format,
		Sources:         imagemeta.EXIF | imagemeta.IPTC | imagemeta.XMP,
		ShouldHandleTag: func(imagemeta.TagInfo) bool { return true },
		HandleTag: func(tag imagemeta.TagInfo) error {
			found = append(found, tag.Tag)
			return nil
		},
	})
	require.NoError(t, err)
	return found
}

func TestWideGamutsComeOutAlike(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	pizza := func(name string) *image.RGBA {
		return picture(t, develop(t, p, photo(t, "imaging", "prism/test-images/pizza-"+name)), wire.Preview)
	}
	srgb := pizza("rgb8-srgb.jpg")
	for _, name := range []string{
		"rgb8-adobergb.jpg", "rgb8-displayp3.jpg", "rgb8-prophotorgb.jpg", "rgb8-srgb.png", "jpegli.jpeg", "progressive.jpg",
	} {
		require.Less(t, difference(t, srgb, pizza(name)), 2.5, name)
	}
	// The one baseline among the ink pictures is another scene: that its colours
	// are not turned over shows in its mean, as another decoder sees it.
	inks := photo(t, "imaging", "prism/test-images/cmyk.jpg")
	seen, err := jpeg.Decode(bytes.NewReader(inks))
	require.NoError(t, err)
	ours := picture(t, develop(t, p, inks), wire.Size480)
	theirs := image.NewRGBA(ours.Bounds())
	draw.CatmullRom.Scale(theirs, theirs.Bounds(), seen, seen.Bounds(), draw.Src, nil)
	require.Less(t, difference(t, theirs, ours), 30.0)
	require.Greater(t, difference(t, theirs, inverted(ours)), 60.0)
	// Inks cannot show every colour of a screen.
	require.Less(t, difference(t, srgb, pizza("cmyk8-usswop.jpg")), 5.0)
	// The measure sees a profile that is passed over: the numbers of the
	// ProPhoto picture, taken for sRGB, are far off.
	raw, err := jpeg.Decode(bytes.NewReader(photo(t, "imaging", "prism/test-images/pizza-rgb8-prophotorgb.jpg")))
	require.NoError(t, err)
	small := image.NewRGBA(srgb.Bounds())
	draw.CatmullRom.Scale(small, small.Bounds(), raw, raw.Bounds(), draw.Src, nil)
	require.Greater(t, difference(t, srgb, small), 10.0)
}

func inverted(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	for i, v := range img.Pix {
		out.Pix[i] = 255 - v
	}
	return out
}

func encodePNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	return buf.Bytes()
}

func TestTransparencyLiesOnWhite(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for name, img := range map[string]draw.Image{
		"8 bit":  image.NewNRGBA(image.Rect(0, 0, 400, 400)),
		"16 bit": image.NewNRGBA64(image.Rect(0, 0, 400, 400)),
	} {
		// Left: nothing, over black. Right: half-transparent red.
		draw.Draw(img, image.Rect(200, 0, 400, 400), image.NewUniform(color.NRGBA{255, 0, 0, 128}), image.Point{}, draw.Src)
		d := develop(t, p, encodePNG(t, img))
		got := picture(t, d, wire.Preview)
		left, right := usual(got, image.Rect(10, 0, 90, 200)), usual(got, image.Rect(110, 0, 190, 200))
		require.Equal(t, color.RGBA{255, 255, 255, 255}, left, name)
		require.InDelta(t, 255, right.R, 2, name)
		require.InDelta(t, 127, right.G, 3, name)
		require.InDelta(t, 127, right.B, 3, name)
		require.Equal(t, "png", d.Metadata.Format)
	}
}

// usual is the commonest colour of an area: that between the watermarks.
func usual(img *image.RGBA, area image.Rectangle) (best color.RGBA) {
	counts := map[color.RGBA]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			c := img.RGBAAt(x, y)
			if counts[c]++; counts[c] > counts[best] {
				best = c
			}
		}
	}
	return best
}

func TestSixteenBitsComeOutLikeEight(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	deep, flat := image.NewRGBA64(image.Rect(0, 0, 640, 480)), image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			c := color.RGBA64{uint16(x * 102), uint16(y * 136), uint16((x + y) * 58), 0xffff}
			deep.SetRGBA64(x, y, c)
			flat.Set(x, y, c)
		}
	}
	a := picture(t, develop(t, p, encodePNG(t, deep)), wire.Preview)
	b := picture(t, develop(t, p, encodePNG(t, flat)), wire.Preview)
	require.Less(t, difference(t, a, b), 1.5)
}

func TestGreyAndPalettePicturesAreDeveloped(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for _, file := range []string{
		"testdata/video-005.gray.jpeg", "testdata/video-005.gray.q50.2x2.progressive.jpeg", "testdata/kitty-128.png",
		"testdata/ship63.pbm.png", "testdata/video-001.cmyk.jpeg", "testdata/video-001.restart2.jpeg",
	} {
		d := develop(t, p, photo(t, "imaging", file))
		require.NotZero(t, picture(t, d, wire.Preview).Bounds().Dx(), file)
	}
}

func TestSizesFollowTheOriginal(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for _, c := range []struct{ original, preview, large, small, tiny image.Point }{
		{image.Pt(6000, 4000), image.Pt(1600, 1067), image.Pt(960, 640), image.Pt(480, 320), image.Pt(16, 11)},
		{image.Pt(1500, 2250), image.Pt(750, 1125), image.Pt(640, 960), image.Pt(320, 480), image.Pt(11, 16)},
		{image.Pt(640, 480), image.Pt(320, 240), image.Pt(320, 240), image.Pt(320, 240), image.Pt(16, 12)},
		{image.Pt(20000, 3), image.Pt(1600, 1), image.Pt(960, 1), image.Pt(480, 1), image.Pt(16, 1)},
		{image.Pt(1, 20000), image.Pt(1, 1600), image.Pt(1, 960), image.Pt(1, 480), image.Pt(1, 16)},
		{image.Pt(1, 1), image.Pt(1, 1), image.Pt(1, 1), image.Pt(1, 1), image.Pt(1, 1)},
		{image.Pt(3, 2), image.Pt(1, 1), image.Pt(1, 1), image.Pt(1, 1), image.Pt(1, 1)},
	} {
		img := image.NewGray(image.Rectangle{Max: c.original})
		var asJPEG bytes.Buffer
		require.NoError(t, jpeg.Encode(&asJPEG, img, nil))
		for format, original := range map[string][]byte{"png": encodePNG(t, img), "jpeg": asJPEG.Bytes()} {
			d := develop(t, p, original)
			require.Equal(t, c.original, image.Pt(d.Metadata.Width, d.Metadata.Height))
			require.Equal(t, format, d.Metadata.Format)
			for kind, want := range map[wire.Kind]image.Point{
				wire.Preview: c.preview, wire.Size960: c.large, wire.Size480: c.small, wire.Placeholder: c.tiny,
			} {
				require.Equal(t, want, picture(t, d, kind).Bounds().Size(), "%s of %s %v", kind, format, c.original)
			}
		}
	}
}

// TestTheWatermarkCrossesEveryFace looks at every face-sized area of every
// size, on a flat picture where each changed pixel is watermark.
func TestTheWatermarkCrossesEveryFace(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	for _, level := range []uint8{20, 128, 235} {
		for _, size := range []image.Point{{4800, 3200}, {1200, 1800}, {640, 480}, {500, 333}} {
			img := image.NewGray(image.Rectangle{Max: size})
			for i := range img.Pix {
				img.Pix[i] = level
			}
			d := develop(t, p, encodePNG(t, img))
			for _, kind := range []wire.Kind{wire.Preview, wire.Size960, wire.Size480} {
				got := picture(t, d, kind)
				// A face that one can tell in a picture of this size.
				face := max(got.Bounds().Dx(), got.Bounds().Dy()) * 20 / 100
				if kind == wire.Preview {
					face = min(face, 135)
				} else {
					face = min(face, 95)
				}
				requireMarked(t, got, level, face, fmt.Sprintf("%s of %v on %d", kind, size, level))
			}
		}
	}
}

// requireMarked counts the changed pixels in every square of the given side.
func requireMarked(t *testing.T, img *image.RGBA, level uint8, side int, what string) {
	t.Helper()
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	// Summed areas: at (x, y) the count of changed pixels above and left.
	sum := make([]int, (w+1)*(h+1))
	for y := range h {
		for x := range w {
			changed := 0
			if d := int(img.RGBAAt(x, y).G) - int(level); d > 4 || d < -4 {
				changed = 1
			}
			sum[(y+1)*(w+1)+x+1] = changed + sum[y*(w+1)+x+1] + sum[(y+1)*(w+1)+x] - sum[y*(w+1)+x]
		}
	}
	least, at := math.MaxInt, image.Point{}
	for y := range h - side + 1 {
		for x := range w - side + 1 {
			n := sum[(y+side)*(w+1)+x+side] - sum[y*(w+1)+x+side] - sum[(y+side)*(w+1)+x] + sum[y*(w+1)+x]
			if n < least {
				least, at = n, image.Pt(x, y)
			}
		}
	}
	share := float64(least) / float64(side*side)
	require.Greater(t, share, 0.02, "%s: only %.1f %% of the %d px square at %v is marked", what, 100*share, side, at)
	require.Less(t, float64(sum[len(sum)-1])/float64(w*h), 0.25, "%s: the picture can still be judged", what)
}

func TestACreatorsOwnMark(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	original := photo(t, "imaging", "testdata/branches.jpg")
	plain := picture(t, develop(t, p, original), wire.Preview)
	for _, mark := range []string{"Anna Müller", "Фото Иванов", strings.Repeat("W", 200), "日本", "\x00\n<b>", "   "} {
		d, err := p.Develop(t.Context(), wire.Bytes(original), wire.Options{Mark: mark})
		require.NoError(t, err, mark)
		got := picture(t, d, wire.Preview)
		switch mark {
		case "日本", "   ": // nothing that the font can draw: the default mark
			require.Zero(t, difference(t, plain, got), mark)
		default:
			require.Greater(t, difference(t, plain, got), 1.0, mark)
		}
	}
}

func TestTheSameBytesGiveTheSameDerivatives(t *testing.T) {
	t.Parallel()
	original := photo(t, "bimg", "testdata/test_exif_full.jpg")
	one, other := newPool(t, Config{}), newPool(t, Config{})
	first := develop(t, one, original)
	develop(t, one, photo(t, "imaging", "testdata/branches.png"))
	require.Equal(t, first, develop(t, one, original))
	require.Equal(t, first, develop(t, other, original))
}

func TestWhatTheCameraSaid(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	m := develop(t, p, photo(t, "bimg", "testdata/test_exif_full.jpg")).Metadata
	require.Equal(t, wire.Metadata{
		Format: wire.JPEG, Width: 3024, Height: 4032, Orientation: 6,
		TakenAt: "2020-07-28T19:18:49", TakenOffset: "+03:00",
	}, m)
	m = develop(t, p, photo(t, "bimg", "testdata/test_exif_canon.jpg")).Metadata
	require.Equal(t, "2008-05-30T15:56:01", m.TakenAt)
	require.Empty(t, m.TakenOffset)
	m = develop(t, p, photo(t, "imaging", "testdata/branches.jpg")).Metadata
	require.Empty(t, m.TakenAt)
}

func TestTheAverageColour(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	img := image.NewRGBA(image.Rect(0, 0, 300, 200))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{200, 100, 50, 255}), image.Point{}, draw.Src)
	require.Equal(t, "#c86432", develop(t, p, encodePNG(t, img)).Average)
}
