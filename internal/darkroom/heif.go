package darkroom

import "encoding/binary"

// inspectHEIF walks the boxes of a HEIF container (HEIC, AVIF): it finds the
// size of the picture that is shown, the sizes of all others that a decoder
// may have to make for it, and where in the file their bytes lie.
func inspectHEIF(b []byte) (header, error) {
	var m heifMeta
	var last box
	frames := 0
	err := boxes(b, func(x box) error {
		last = x
		switch x.kind {
		case "meta":
			return m.read(x.body)
		case "moov": // pictures that follow one another
			frames = 2
		}
		return nil
	})
	switch {
	case err != nil:
		return header{}, err
	case last.kind == "mdat" && endsInZeros(last.body):
		return header{}, errEndsEarly
	}
	h, err := m.header(len(b))
	h.frames = frames
	return h, err
}

// box is one piece of the container.
type box struct {
	kind string
	body []byte
}

// boxes calls visit for each box in b, in order.
func boxes(b []byte, visit func(box) error) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errEndsEarly
		}
		size, start := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		switch size {
		case 0: // up to the end
			size = uint64(len(b))
		case 1:
			if len(b) < 16 {
				return errEndsEarly
			}
			size, start = binary.BigEndian.Uint64(b[8:]), 16
		}
		switch {
		case size < start:
			return errNonsense
		case size > uint64(len(b)):
			return errEndsEarly
		}
		if err := visit(box{string(b[4:8]), b[start:size]}); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// heifMeta is what the container says of its items.
type heifMeta struct {
	primary    uint64
	properties []box               // numbered from one
	of         map[uint64][]uint64 // an item's properties, by number
	metadata   map[uint64]bool     // items that are EXIF or XMP
	places     []place
}

// place is where some of an item's bytes lie in the file.
type place struct{ item, offset, length uint64 }

func (m *heifMeta) read(b []byte) error {
	if len(b) < 4 {
		return errNonsense
	}
	return boxes(b[4:], func(x box) error {
		r := &reader{b: x.body}
		switch x.kind {
		case "pitm":
			m.primary = r.number(2 + 2*min(1, r.version()))
		case "iprp":
			return boxes(x.body, m.readProperties)
		case "iinf":
			count := r.number(2 + 2*min(1, r.version()))
			_ = count // the boxes themselves say how many there are
			if r.bad {
				return errNonsense
			}
			return boxes(r.b, m.readItem)
		case "iloc":
			m.readPlaces(r)
		}
		if r.bad {
			return errNonsense
		}
		return nil
	})
}

func (m *heifMeta) readProperties(x box) error {
	switch x.kind {
	case "ipco":
		return boxes(x.body, func(property box) error {
			m.properties = append(m.properties, property)
			return nil
		})
	case "ipma":
		r := &reader{b: x.body}
		version, flags := r.full()
		m.of = map[uint64][]uint64{}
		for n := r.number(4); n > 0 && !r.bad; n-- {
			item := r.number(2 + 2*min(1, version))
			for k := r.number(1); k > 0 && !r.bad; k-- {
				// The highest bit says whether the property is essential.
				if flags&1 == 1 {
					m.of[item] = append(m.of[item], r.number(2)&0x7fff)
				} else {
					m.of[item] = append(m.of[item], r.number(1)&0x7f)
				}
			}
		}
		if r.bad {
			return errNonsense
		}
	}
	return nil
}

func (m *heifMeta) readItem(x box) error {
	r := &reader{b: x.body}
	version, _ := r.full()
	if x.kind != "infe" || version < 2 {
		return nil
	}
	item := r.number(2 + 2*(version-2)&7)
	r.number(2) // protection
	if kind := r.text(4); kind == "Exif" || kind == "mime" {
		if m.metadata == nil {
			m.metadata = map[uint64]bool{}
		}
		m.metadata[item] = true
	}
	if r.bad {
		return errNonsense
	}
	return nil
}

func (m *heifMeta) readPlaces(r *reader) {
	version, _ := r.full()
	sizes := r.number(2)
	offset, length, base, index := sizes>>12&15, sizes>>8&15, sizes>>4&15, sizes&15
	wide := 2 + 2*(version/2)&7
	for n := r.number(wide); n > 0 && !r.bad; n-- {
		item, method := r.number(wide), uint64(0)
		if version > 0 {
			method = r.number(2) & 15
		} else {
			index = 0
		}
		r.number(2) // another file, which nobody follows
		from := r.number(base)
		pieces := r.number(2)
		if pieces > 1 && index+offset+length == 0 {
			// Pieces that nothing is written down of: a few bytes would stand for
			// any number of them.
			r.bad = true
		}
		for ; pieces > 0 && !r.bad; pieces-- {
			r.number(index)
			p := place{item, from + r.number(offset), r.number(length)}
			if method == 0 { // otherwise it counts from elsewhere
				m.places = append(m.places, p)
			}
		}
	}
}

// header answers for the picture that is shown; length is that of the file.
func (m *heifMeta) header(length int) (header, error) {
	h := header{turned: true}
	for _, p := range m.places {
		if p.offset > uint64(length) || p.length > uint64(length)-p.offset {
			return header{}, errEndsEarly
		}
		if m.metadata[p.item] {
			h.metadata += int64(p.length)
		}
	}
	bits := uint64(8)
	var largest int64
	shown := map[uint64]bool{}
	for _, number := range m.of[m.primary] {
		shown[number] = true
	}
	for number, property := range m.properties {
		r := &reader{b: property.body}
		switch property.kind {
		case "ispe":
			r.full()
			width, height := r.number(4), r.number(4)
			if width == 0 || height == 0 || width > 1<<30 || height > 1<<30 {
				return header{}, errNonsense
			}
			largest = max(largest, int64(width)*int64(height))
			if shown[uint64(number)+1] {
				h.width, h.height = int(width), int(height)
			}
		case "pixi":
			r.full()
			for n := r.number(1); n > 0 && !r.bad; n-- {
				bits = max(bits, r.number(1))
			}
		case "colr":
			h.metadata += int64(len(property.body))
		}
		if r.bad {
			return header{}, errNonsense
		}
	}
	if h.width == 0 {
		return header{}, errNonsense
	}
	// The decoder holds the largest picture whole, as it is stored (a byte and
	// a half a pixel) and in three colours, each in two bytes beyond 8 bits.
	perPixel := int64(9)
	if bits > 8 {
		perPixel = 18
	}
	h.memory = min(largest, maxWhole) / 2 * perPixel // no number beyond the limit overflows
	return h, nil
}

// reader reads numbers; bad says that there were not enough bytes.
type reader struct {
	b   []byte
	bad bool
}

// full reads what begins a box that has versions.
func (r *reader) full() (version, flags uint64) {
	n := r.number(4)
	return n >> 24, n & 0xffffff
}

func (r *reader) version() uint64 {
	version, _ := r.full()
	return version
}

// number reads an unsigned number of up to eight bytes; none is zero.
func (r *reader) number(length uint64) (n uint64) {
	if length > 8 || length > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	for _, b := range r.b[:length] {
		n = n<<8 | uint64(b)
	}
	r.b = r.b[length:]
	return n
}

func (r *reader) text(length int) string {
	if length > len(r.b) {
		r.bad = true
		return ""
	}
	s := string(r.b[:length])
	r.b = r.b[length:]
	return s
}
