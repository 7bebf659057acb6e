package demo

import (
	"fmt"
	"io"
	"os"
)

// progress tells a person what is going on. On a terminal, counting stays on one
// line.
type progress struct {
	w        io.Writer
	terminal bool
	counting bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say writes a line.
func (p *progress) say(format string, args ...any) {
	p.end()
	_, _ = fmt.Fprintf(p.w, format+"\n", args...)
}

// count tells how far something is: each step on a terminal, only the end
// elsewhere.
func (p *progress) count(what string, done, all int) {
	switch {
	case p.terminal:
		p.counting = true
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d", what, done, all)
	case done == all:
		_, _ = fmt.Fprintf(p.w, "%s: %d\n", what, all)
	}
}

// end closes the line that counts.
func (p *progress) end() {
	if p.counting {
		_, _ = fmt.Fprintln(p.w)
		p.counting = false
	}
}
