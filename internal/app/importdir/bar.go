package importdir

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// bar is a progress bar on a terminal, and nothing elsewhere. Its zero value is
// nothing, too.
type bar struct {
	container *mpb.Progress
	line      *mpb.Bar
}

func newBar(w io.Writer, what string, total int) bar {
	f, ok := w.(*os.File)
	if !ok || total == 0 || !term.IsTerminal(int(f.Fd())) {
		return bar{}
	}
	c := mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	return bar{c, c.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(what, decor.WC{C: decor.DindentRight | decor.DextraSpace}), decor.CountersNoUnit("%d / %d")),
		mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)),
	)}
}

func (b bar) add(n int) {
	if b.line != nil {
		b.line.IncrBy(n)
	}
}

func (b bar) set(n int) {
	if b.line != nil {
		b.line.SetCurrent(int64(n))
	}
}

// end leaves the bar as it stands and waits until it is drawn. It may be called
// again.
func (b bar) end() {
	if b.line != nil {
		b.line.Abort(false)
		b.container.Wait()
	}
}
