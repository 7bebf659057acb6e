package darkroom

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"

	"github.com/davidbyttow/govips/v2/vips"

	"proofroom/internal/darkroom/wire"
)

// start prepares the image library, once a process.
var start = sync.OnceFunc(func() {
	// Only decoders that their authors hold fit for hostile files. The
	// library reads this while it starts.
	if err := os.Setenv("VIPS_BLOCK_UNTRUSTED", "1"); err != nil {
		panic(err)
	}
	// Nothing that the library says goes anywhere but to standard error.
	vips.LoggingSettings(func(domain string, _ vips.LogLevel, message string) {
		log.Printf("%s: %s", domain, message)
	}, vips.LogLevelCritical)
	// One photograph at a time on one core, and none is seen twice.
	vips.Startup(&vips.Config{ConcurrencyLevel: 1, MaxCacheFiles: 0, MaxCacheMem: 0, MaxCacheSize: 0})
})

// Serve works photographs one after the other until in ends, which is how the
// parent says goodbye; it then returns nil. before runs ahead of each
// photograph. An error means that the pipe or the darkroom itself is broken:
// the process should end, and the parent will start another.
func Serve(in io.Reader, out io.Writer, before func() error) error {
	start()
	if err := wire.WriteHello(out, wire.Hello{Engine: "libvips " + vips.Version}); err != nil {
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
		if err := before(); err != nil {
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
