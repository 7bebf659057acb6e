package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors of the protocol. A stream on which one occurred is out of step and
// is thrown away with its child.
var (
	// ErrMalformed means that the bytes are not a message of this protocol.
	ErrMalformed = errors.New("darkroom protocol: malformed message")
	// ErrVersion means that the other end speaks another version.
	ErrVersion = errors.New("darkroom protocol: other version; install server and darkroom from the same build")
	// ErrTooLarge means that a message exceeds the bounds of this package.
	ErrTooLarge = errors.New("darkroom protocol: message too large")
)

type frameKind byte

const (
	kindHello frameKind = iota + 1
	kindRequest
	kindReply
)

// limit is the longest payload of a kind: a reader refuses more before it
// has read any of it.
func (k frameKind) limit() int {
	switch k {
	case kindHello:
		return 4 + maxHead
	case kindRequest:
		return 4 + maxHead + MaxOriginal
	case kindReply:
		return maxReply
	}
	return 0
}

const headerSize = 8

// WriteHello sends the child's first message.
func WriteHello(w io.Writer, h Hello) error { return write(w, kindHello, h) }

// ReadHello reads the child's first message; io.EOF means that the child
// ended without a word.
func ReadHello(r io.Reader) (Hello, error) {
	var h Hello
	rest, err := read(r, kindHello, &h)
	if err == nil && len(rest) != 0 {
		err = fmt.Errorf("%w: %d bytes after the hello", ErrMalformed, len(rest))
	}
	return h, err
}

type requestHead struct {
	ID      uint64  `json:"id"`
	Options Options `json:"options"`
	Length  int     `json:"length"`
}

// ErrSource means that a photograph could not be read while it was sent: the
// stream is out of step, and neither it nor the photograph is at fault.
var ErrSource = errors.New("darkroom protocol: the photograph's file cannot be read")

// WriteRequest sends one photograph of size bytes, without ever holding more
// of it than a small buffer. It answers ErrTooLarge, and sends nothing, when
// it exceeds MaxOriginal, and ErrSource when original ends early or fails.
func WriteRequest(w io.Writer, id uint64, opts Options, original io.Reader, size int64) error {
	if size > MaxOriginal {
		return fmt.Errorf("%w: photograph of %d bytes", ErrTooLarge, size)
	}
	if err := writeHead(w, kindRequest, requestHead{ID: id, Options: opts, Length: int(size)}, int(size)); err != nil {
		return err
	}
	source := &source{r: original}
	_, err := io.CopyN(w, source, size)
	if source.err != nil {
		return fmt.Errorf("%w: %w", ErrSource, source.err)
	}
	return err
}

// source remembers a failure of the reader itself, as against one of the
// stream that its bytes go to. It is read up to its stated size, so an end is
// a failure too.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if errors.Is(err, io.EOF) {
		if n > 0 {
			return n, nil
		}
		err = io.ErrUnexpectedEOF
	}
	s.err = err
	return n, err
}

// ReadRequest reads one photograph; io.EOF means that the parent is done.
func ReadRequest(r io.Reader) (Request, error) {
	var head requestHead
	rest, err := read(r, kindRequest, &head)
	if err != nil {
		return Request{}, err
	}
	if head.Length != len(rest) {
		return Request{}, fmt.Errorf("%w: photograph of %d bytes announced as %d", ErrMalformed, len(rest), head.Length)
	}
	return Request{ID: head.ID, Options: head.Options, Original: rest}, nil
}

type replyHead struct {
	ID         uint64      `json:"id"`
	Parts      []partHead  `json:"parts,omitempty"`
	Metadata   *Metadata   `json:"metadata,omitempty"`
	Average    string      `json:"average,omitempty"`
	Unreadable *Unreadable `json:"unreadable,omitempty"`
}

type partHead struct {
	Kind   Kind   `json:"kind"`
	Format string `json:"format"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Length int    `json:"length"`
}

// WriteReply sends what became of one photograph.
func WriteReply(w io.Writer, p Reply) error {
	head := replyHead{ID: p.ID, Unreadable: p.Unreadable}
	var blobs [][]byte
	if d := p.Developed; d != nil {
		head.Metadata, head.Average = &d.Metadata, d.Average
		for _, v := range d.Derivatives {
			head.Parts = append(head.Parts, partHead{v.Kind, v.Format, v.Width, v.Height, len(v.Bytes)})
			blobs = append(blobs, v.Bytes)
		}
	}
	return write(w, kindReply, head, blobs...)
}

// ReadReply reads what became of one photograph and refuses a reply that
// makes no sense. io.EOF means that the child ended before it answered.
func ReadReply(r io.Reader) (Reply, error) {
	var head replyHead
	rest, err := read(r, kindReply, &head)
	if err != nil {
		return Reply{}, err
	}
	if head.Unreadable != nil {
		if u := head.Unreadable; head.Metadata != nil || len(head.Parts) != 0 || len(rest) != 0 ||
			!u.Reason.known() || !plain(u.Sentence) {
			return Reply{}, fmt.Errorf("%w: verdict with reason %q", ErrMalformed, u.Reason)
		}
		return Reply{ID: head.ID, Unreadable: head.Unreadable}, nil
	}
	if head.Metadata == nil || len(head.Parts) > maxParts {
		return Reply{}, fmt.Errorf("%w: reply with neither pictures nor a verdict", ErrMalformed)
	}
	d := &Developed{Metadata: *head.Metadata, Average: head.Average}
	for _, p := range head.Parts {
		if p.Length < 0 || p.Length > MaxDerivative || p.Length > len(rest) {
			return Reply{}, fmt.Errorf("%w: derivative %q of %d bytes", ErrMalformed, p.Kind, p.Length)
		}
		d.Derivatives = append(d.Derivatives, Derivative{p.Kind, p.Format, p.Width, p.Height, rest[:p.Length:p.Length]})
		rest = rest[p.Length:]
	}
	if len(rest) != 0 {
		return Reply{}, fmt.Errorf("%w: %d bytes after the last derivative", ErrMalformed, len(rest))
	}
	if err := d.check(); err != nil {
		return Reply{}, err
	}
	// Parsing takes fractions of seconds as well, written in ways that a database
	// does not read.
	if m := d.Metadata; m.TakenAt != "" && len(m.TakenAt) != len(TakenLayout) {
		return Reply{}, fmt.Errorf("%w: time taken %q", ErrMalformed, m.TakenAt)
	}
	return Reply{ID: head.ID, Developed: d}, nil
}

// plain reports whether a sentence can be kept and shown as it is: one line that
// is not too long and reads one way round.
func plain(s string) bool {
	const longest = 1000
	return strings.TrimSpace(s) != "" && len(s) <= longest && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	})
}

func write(w io.Writer, kind frameKind, head any, blobs ...[]byte) error {
	size := 0
	for _, b := range blobs {
		size += len(b)
	}
	if err := writeHead(w, kind, head, size); err != nil {
		return err
	}
	for _, b := range blobs {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// writeHead begins a frame that is followed by some bytes.
func writeHead(w io.Writer, kind frameKind, head any, follow int) error {
	j, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("darkroom protocol: %w", err)
	}
	size := 4 + len(j) + follow
	if len(j) > maxHead || size > kind.limit() {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	start := make([]byte, 0, headerSize+4+len(j))
	start = append(start, 'D', 'R', Version, byte(kind))
	start = binary.BigEndian.AppendUint32(start, uint32(size))
	start = binary.BigEndian.AppendUint32(start, uint32(len(j)))
	_, err = w.Write(append(start, j...))
	return err
}

// read fills head and returns what follows it in the frame. A stream that
// ends between two frames answers io.EOF, one that ends inside a frame
// io.ErrUnexpectedEOF.
func read(r io.Reader, kind frameKind, head any) ([]byte, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	if h[0] != 'D' || h[1] != 'R' {
		return nil, fmt.Errorf("%w: it starts with %q", ErrMalformed, h[:2])
	}
	if h[2] != Version {
		return nil, fmt.Errorf("%w: %d here, %d there", ErrVersion, Version, h[2])
	}
	if frameKind(h[3]) != kind {
		return nil, fmt.Errorf("%w: kind %d instead of %d", ErrMalformed, h[3], kind)
	}
	size := int64(binary.BigEndian.Uint32(h[4:]))
	if size > int64(kind.limit()) {
		return nil, fmt.Errorf("%w: %d bytes announced", ErrTooLarge, size)
	}
	if size < 4 {
		return nil, fmt.Errorf("%w: payload of %d bytes", ErrMalformed, size)
	}
	payload, err := readN(r, int(size))
	if err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(payload))
	if n > maxHead || n > size-4 {
		return nil, fmt.Errorf("%w: head of %d bytes", ErrMalformed, n)
	}
	dec := json.NewDecoder(bytes.NewReader(payload[4 : 4+n]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if dec.InputOffset() != n {
		return nil, fmt.Errorf("%w: bytes after the head", ErrMalformed)
	}
	return payload[4+n:], nil
}

// readN reads exactly n bytes into a buffer that grows as they arrive, so
// that an announced length alone cannot make it allocate.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		if len(buf) == cap(buf) {
			bigger := make([]byte, len(buf), min(n, 4*cap(buf)))
			copy(bigger, buf)
			buf = bigger
		}
		m, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}
