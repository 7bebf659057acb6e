package assets

import (
	"fmt"
	"slices"
	"strings"
)

// Credits is the text of the credits page: whose photographs the
// demonstration shows, and under which terms. It is plain text, one paragraph
// a line, and needs escaping like any other text.
func Credits() string {
	var b strings.Builder
	b.WriteString("The demonstration shows real photographs of real people. They are fetched to this machine only, " +
		"for looking at the demonstration and for tests. Nothing is really sold: payments go to a stand-in. " +
		"Do not publish them from here.\n")
	for _, p := range manifest().Packages {
		fmt.Fprintf(&b, "\nFrom the npm package %s %s. %s\n", p.Name, p.Version, p.Licence)
		for _, licence := range licences(p) {
			fmt.Fprintf(&b, "%s: %s.\n", licence, strings.Join(photographers(p, licence), ", "))
		}
	}
	return b.String()
}

func licences(p Package) (found []string) {
	for _, f := range p.Files {
		if !slices.Contains(found, f.Licence) {
			found = append(found, f.Licence)
		}
	}
	slices.Sort(found)
	return found
}

// photographers lists who took a package's photographs under one licence,
// with how many if more than one.
func photographers(p Package, licence string) (list []string) {
	count := map[string]int{}
	for _, f := range p.Files {
		if f.Licence == licence {
			count[f.Credit]++
		}
	}
	for name, n := range count {
		if n > 1 {
			name = fmt.Sprintf("%s (%d)", name, n)
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
