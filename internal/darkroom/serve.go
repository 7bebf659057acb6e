package darkroom

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"proofroom/internal/darkroom/wire"
)

// Host is the process that the darkroom works in.
type Host struct {
	Lacks  []string     // layers of isolation that the kernel does not offer
	Before func() error // runs ahead of each photograph
}

// Serve works photographs one after the other until in ends, which is how the
// parent says goodbye; it then returns nil. An error means that the pipe or
// the darkroom itself is broken: the process should end, and the parent will
// start another.
func Serve(in io.Reader, out io.Writer, host Host) error {
	start()
	hello := wire.Hello{Engine: engine(), Formats: loadable(), Lacks: host.Lacks}
	if err := wire.WriteHello(out, hello); err != nil {
		return fmt.Errorf("greet the server: %w", err)
	}
	in = bufio.NewReaderSize(in, 64<<10)
	var d developer
	for {
		request, err := wire.ReadRequest(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a photograph: %w", err)
		}
		if err := host.Before(); err != nil {
			return err
		}
		reply := wire.Reply{ID: request.ID}
		reply.Developed, err = d.develop(request.Original, request.Options)
		if !errors.As(err, &reply.Unreadable) && err != nil {
			return fmt.Errorf("develop: %w", err)
		}
		if err := wire.WriteReply(out, reply); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}
