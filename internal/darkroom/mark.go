package darkroom

import (
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"proofroom/internal/darkroom/wire"
)

// How the watermark looks. It must cross every face-sized area and still let
// a person judge expression and focus.
const (
	markAngle    = -24.0 * math.Pi / 180 // rising to the right
	markWhite    = 0.32                  // opacity of the letters
	markDark     = 0.16                  // opacity of the hairline around them
	markHairline = 1.1                   // pixels beyond the letters' edge
	markTracking = 0.16                  // space between letters, in font sizes
	markSize     = 0.088                 // font size, in repeats
	markRow      = 0.31                  // from row to row, in repeats
	markRows     = 4                     // after which rows repeat; each is shifted by that share
)

// markFont is compiled in, so that marking needs no font files and looks the
// same on every machine.
var markFont = func() *sfnt.Font {
	f, err := sfnt.Parse(gobold.TTF)
	if err != nil {
		panic(err) // the font is part of this program
	}
	return f
}()

// markTile draws one period of the watermark: tiled edge to edge it repeats
// the text about every so many pixels along a row, and shifts each row by a
// quarter, which leaves the smallest gaps between the marks.
// Letters that the font lacks are left out; a text without any other letter
// is replaced by the default mark, so that no picture goes out unmarked.
func markTile(text string, repeat int) *tile {
	glyphs, width := layOut(text, float64(repeat)*markSize)
	if len(glyphs) == 0 {
		glyphs, width = layOut(wire.DefaultMark, float64(repeat)*markSize)
	}
	// A long text takes the room it needs rather than running into itself.
	period := max(repeat, int(math.Ceil(width*1.12)))
	height := int(float64(repeat) * markRow * markRows)
	light := image.NewAlpha(image.Rect(0, 0, period, height))
	var z vector.Rasterizer
	for row := range markRows {
		// The tile wraps: what leaves it at one side enters at the other. A
		// text is at most a period long, and turned less than half as high.
		x, y := row*period/markRows, row*height/markRows
		for dx := -period; dx <= period; dx += period {
			for dy := -(period/height + 1) * height; dy <= (period/height+1)*height; dy += height {
				z.Reset(period, height)
				for _, g := range glyphs {
					g.draw(&z, float64(x+dx)-width/2, float64(x+dx), float64(y+dy))
				}
				z.Draw(light, light.Bounds(), image.Opaque, image.Point{})
			}
		}
	}
	return &tile{tint(light, spread(light))}
}

// tile is one period of the watermark.
type tile struct{ *image.NRGBA }

// over lays the tile over a copy of the picture, again and again.
func (t *tile) over(p picture) picture {
	out := picture{slices.Clone(p.pixels), p.width, p.height}
	w, h := t.Rect.Dx(), t.Rect.Dy()
	for y := range p.height {
		row := out.pixels[3*p.width*y : 3*p.width*(y+1)]
		marks := t.Pix[t.Stride*(y%h):]
		for x, m := 0, 0; x < p.width; x, m = x+1, m+1 {
			if m == w {
				m = 0
			}
			alpha := uint32(marks[4*m+3])
			if alpha == 0 {
				continue
			}
			// The letters and their hairline are grey: one channel says all.
			ink := uint32(marks[4*m])*alpha + 127
			for c := 3 * x; c < 3*x+3; c++ {
				row[c] = uint8((uint32(row[c])*(255-alpha) + ink) / 255)
			}
		}
	}
	return out
}

// glyph is one letter's outline, in pixels, with its baseline position.
type glyph struct {
	outline sfnt.Segments
	x       float64 // from the start of the text
	rise    float64 // half the height of capitals, to centre the text on its point
}

func layOut(text string, size float64) (glyphs []glyph, width float64) {
	var buf sfnt.Buffer
	ppem := fixed.Int26_6(math.Round(size * 64))
	capHeight := size * 0.72
	for _, r := range strings.ToUpper(text) {
		i, err := markFont.GlyphIndex(&buf, r)
		if err != nil || i == 0 || unicode.IsControl(r) {
			continue
		}
		advance, err := markFont.GlyphAdvance(&buf, i, ppem, 0)
		if err != nil {
			continue
		}
		outline, err := markFont.LoadGlyph(&buf, i, ppem, nil)
		if err != nil {
			continue
		}
		if len(outline) > 0 {
			kept := append(sfnt.Segments(nil), outline...) // the buffer is reused
			glyphs = append(glyphs, glyph{kept, width, capHeight / 2})
		}
		width += float64(advance)/64 + size*markTracking
	}
	return glyphs, width
}

// draw adds the outline, turned about (cx, cy), the middle of the text, which
// starts at x0 on a level baseline.
func (g glyph) draw(z *vector.Rasterizer, x0, cx, cy float64) {
	sin, cos := math.Sincos(markAngle)
	at := func(p fixed.Point26_6) (float32, float32) {
		x := x0 + g.x + float64(p.X)/64 - cx
		y := g.rise + float64(p.Y)/64
		return float32(cx + x*cos - y*sin), float32(cy + x*sin + y*cos)
	}
	for i, s := range g.outline {
		ax, ay := at(s.Args[0])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if i > 0 {
				z.ClosePath()
			}
			z.MoveTo(ax, ay)
		case sfnt.SegmentOpLineTo:
			z.LineTo(ax, ay)
		case sfnt.SegmentOpQuadTo:
			bx, by := at(s.Args[1])
			z.QuadTo(ax, ay, bx, by)
		case sfnt.SegmentOpCubeTo:
			bx, by := at(s.Args[1])
			cx, cy := at(s.Args[2])
			z.CubeTo(ax, ay, bx, by, cx, cy)
		}
	}
	z.ClosePath()
}

// spread widens the letters by the hairline, wrapping at the tile's edges.
func spread(m *image.Alpha) *image.Alpha {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewAlpha(m.Rect)
	for y := range h {
		for x := range w {
			var most float64
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					reach := min(1, max(0, markHairline+0.5-math.Hypot(float64(dx), float64(dy))))
					most = max(most, reach*float64(m.Pix[(y+dy+h)%h*m.Stride+(x+dx+w)%w]))
				}
			}
			out.Pix[y*out.Stride+x] = uint8(math.Round(most))
		}
	}
	return out
}

// tint lays the white letters over their dark hairline.
func tint(light, dark *image.Alpha) *image.NRGBA {
	out := image.NewNRGBA(light.Rect)
	for i := range light.Pix {
		white := markWhite * float64(light.Pix[i]) / 255
		black := markDark * float64(dark.Pix[i]) / 255 * (1 - white)
		alpha := white + black
		if alpha == 0 {
			continue
		}
		grey := uint8(math.Round(255 * white / alpha))
		x, y := i%light.Stride, i/light.Stride
		out.SetNRGBA(x, y, color.NRGBA{grey, grey, grey, uint8(math.Round(255 * alpha))})
	}
	return out
}
