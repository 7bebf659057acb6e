package assets

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"strconv"
)

// Generated makes a picture of the given size in pixels, as a JPEG: a sky,
// hills, some lights and the seed as a number. It stands in for a photograph
// where none has been fetched. The same arguments give the same bytes, and
// another seed another picture.
func Generated(seed uint64, width, height int) []byte {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) //nolint:gosec // a picture, not a secret
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	hue := r.Float64()
	sky(img, hueColour(hue, 0.45, 0.95), hueColour(hue+0.12, 0.55, 0.55))
	for range 3 + r.IntN(5) {
		light(img, r.Float64()*float64(width), r.Float64()*0.6*float64(height),
			(0.02+0.06*r.Float64())*float64(height), hueColour(hue+0.4*r.Float64(), 0.25, 1))
	}
	for layer := range 3 {
		hills(img, r, 0.45+0.17*float64(layer), hueColour(hue+0.05*float64(layer), 0.5, 0.45-0.12*float64(layer)))
	}
	number(img, strconv.FormatUint(seed, 10))
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 88}); err != nil {
		panic("assets: " + err.Error()) // only sizes that are no picture's
	}
	return buf.Bytes()
}

func sky(img *image.RGBA, top, bottom color.RGBA) {
	h := img.Rect.Dy()
	for y := range h {
		c := mix(top, bottom, float64(y)/float64(h))
		for x := range img.Rect.Dx() {
			img.SetRGBA(x, y, c)
		}
	}
}

func light(img *image.RGBA, cx, cy, radius float64, c color.RGBA) {
	for y := int(cy - radius); y <= int(cy+radius); y++ {
		for x := int(cx - radius); x <= int(cx+radius); x++ {
			if d := math.Hypot(float64(x)-cx, float64(y)-cy) / radius; d < 1 && image.Pt(x, y).In(img.Rect) {
				img.SetRGBA(x, y, mix(img.RGBAAt(x, y), c, 0.8*(1-d*d)))
			}
		}
	}
}

// hills draws one ridge, from a share of the height down to the bottom.
func hills(img *image.RGBA, r *rand.Rand, share float64, c color.RGBA) {
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	phase, waves := r.Float64()*2*math.Pi, 1.5+3*r.Float64()
	for x := range img.Rect.Dx() {
		turn := phase + waves*2*math.Pi*float64(x)/w
		ridge := h * (share + 0.06*math.Sin(turn) + 0.025*math.Sin(2.7*turn))
		for y := max(0, int(ridge)); y < img.Rect.Dy(); y++ {
			img.SetRGBA(x, y, c)
		}
	}
}

// digits are seven strokes each, from bit 0: top, upper right, lower right,
// bottom, lower left, upper left, middle.
var digits = [10]byte{0b0111111, 0b0000110, 0b1011011, 0b1001111, 0b1100110, 0b1101101, 0b1111101, 0b0000111, 0b1111111, 0b1101111}

// number draws in the lower left, a sixth of the shorter side high.
func number(img *image.RGBA, text string) {
	h := min(img.Rect.Dx(), img.Rect.Dy()) / 6
	stroke := max(1, h/8)
	w := h / 2
	x0, y0 := h/2, img.Rect.Dy()-h-h/2
	ink := color.RGBA{255, 255, 255, 255}
	for _, digit := range text {
		strokes := [7]image.Rectangle{
			image.Rect(0, 0, w, stroke),
			image.Rect(w-stroke, 0, w, h/2),
			image.Rect(w-stroke, h/2, w, h),
			image.Rect(0, h-stroke, w, h),
			image.Rect(0, h/2, stroke, h),
			image.Rect(0, 0, stroke, h/2),
			image.Rect(0, (h-stroke)/2, w, (h+stroke)/2),
		}
		for i, s := range strokes {
			if digits[digit-'0']>>i&1 == 0 {
				continue
			}
			s = s.Add(image.Pt(x0, y0)).Intersect(img.Rect)
			for y := s.Min.Y; y < s.Max.Y; y++ {
				for x := s.Min.X; x < s.Max.X; x++ {
					img.SetRGBA(x, y, ink)
				}
			}
		}
		x0 += w + 2*stroke
	}
}

func mix(a, b color.RGBA, share float64) color.RGBA {
	one := func(a, b uint8) uint8 { return uint8(float64(a) + (float64(b)-float64(a))*share) }
	return color.RGBA{one(a.R, b.R), one(a.G, b.G), one(a.B, b.B), 255}
}

// hueColour is a colour of the wheel; hue 1 is once around.
func hueColour(hue, saturation, value float64) color.RGBA {
	channel := func(offset float64) uint8 {
		_, f := math.Modf(hue + offset)
		k := math.Abs(f*6-3) - 1
		return uint8(255 * value * (1 - saturation + saturation*min(1, max(0, k))))
	}
	return color.RGBA{channel(1), channel(1 + 2.0/3), channel(1 + 1.0/3), 255}
}
