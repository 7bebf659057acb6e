// Command proofroom is a self-hosted marketplace for event photographs.
package main

import (
	"os"

	"proofroom/internal/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr))
}
