package app

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

//go:generate go run ./readme ../../README.md

// The lines of README.md that enclose the table of settings.
const (
	tableBegin = "<!-- settings: written by make generate -->"
	tableEnd   = "<!-- end of settings -->"
)

// UpdateReadme returns the text of README.md with the table of settings as the
// code has them.
func UpdateReadme(readme string) (string, error) {
	before, rest, ok := strings.Cut(readme, tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", errors.New("README.md has lost the lines that enclose the settings: " + tableBegin + " and " + tableEnd)
	}
	return before + tableBegin + "\n" + settingsTable() + tableEnd + after, nil
}

// settingsTable lists every setting of serve from the tags that define it.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| Flag | Environment | Default | What it is |\n|---|---|---|---|\n")
	for f := range reflect.TypeFor[Config]().Fields() {
		def := f.Tag.Get("default")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Tag.Get("name"), f.Tag.Get("env"), def, cell(f.Tag.Get("help")))
	}
	return b.String()
}

// cell makes a text fit into a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
