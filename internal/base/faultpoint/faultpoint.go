package faultpoint

import (
	"fmt"
	"slices"
	"strings"
)

// Point is one named place.
type Point struct {
	Name string
	Doc  string // what has happened so far, and what has not

	orders //nolint:unused // nothing in the release build
}

var all []*Point

// Define registers a point. A name used twice is a programming error.
func Define(name, doc string) *Point {
	for _, p := range all {
		if p.Name == name {
			panic(fmt.Sprintf("faultpoint: %q is defined twice", name))
		}
	}
	p := &Point{Name: name, Doc: doc}
	p.load()
	all = append(all, p)
	return p
}

// All lists the points of this program by name. Both builds have the same ones.
func All() []*Point {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b *Point) int { return strings.Compare(a.Name, b.Name) })
	return out
}
