// Command darkroom opens photographs from strangers on behalf of proofroom,
// which starts and stops it; there is nothing to run by hand. It talks over
// its standard input and output and ends when its input ends.
package main

import (
	"fmt"
	"os"

	"proofroom/internal/darkroom"
	"proofroom/internal/darkroom/confine"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "darkroom takes no arguments: proofroom starts it and sends it photographs.")
		os.Exit(2)
	}
	host := darkroom.Host{Lacks: confine.Lacks(), Before: confine.Renew}
	if err := darkroom.Serve(os.Stdin, confine.Output(), host); err != nil {
		fmt.Fprintln(os.Stderr, "darkroom:", err)
		os.Exit(1)
	}
}
