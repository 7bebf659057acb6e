// Command readme writes the table of settings into README.md, whose path is its
// only argument.
package main

import (
	"fmt"
	"os"

	"proofroom/internal/app"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "readme takes one argument: the path of README.md")
		os.Exit(2)
	}
	if err := update(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func update(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := app.UpdateReadme(string(old))
	if err != nil || text == string(old) {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // it is for everybody
}
