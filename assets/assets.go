package assets

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// Manifest lists everything that can be fetched.
type Manifest struct {
	Events   []Event   `json:"events"` // without their photographs, which lie in Packages
	Packages []Package `json:"packages"`
}

// Event is one of the demonstration's events.
type Event struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Kind   string `json:"kind"` // what kind of occasion, in words
	Photos []File `json:"-"`    // filled by Events
}

// Package is one npm package that carries photographs.
type Package struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Licence string  `json:"licence"` // who says what, in a sentence
	Tarball Tarball `json:"tarball"`
	Files   []File  `json:"files"`
}

// Tarball is the one form in which a package is accepted.
type Tarball struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Use says what a photograph is for.
type Use string

// The uses.
const (
	Photo  Use = "photo"  // for sale in an event
	Selfie Use = "selfie" // to search with, and for sale nowhere
	Test   Use = "test"   // tests only
)

// File is one photograph.
type File struct {
	Path    string   `json:"path"` // inside its package
	SHA256  string   `json:"sha256"`
	Bytes   int64    `json:"bytes"`
	Width   int      `json:"width"`  // pixels
	Height  int      `json:"height"` // pixels
	Credit  string   `json:"credit"` // the photographer
	Source  string   `json:"source,omitempty"`
	Licence string   `json:"licence"`
	Event   string   `json:"event,omitempty"` // an Event's ID
	Use     Use      `json:"use"`
	Minors  bool     `json:"minors,omitempty"` // shows children: a case for "no search by face"
	Persons []Person `json:"persons,omitempty"`
}

// Person is somebody who is known to be in a photograph, told from others by
// a letter. The list is not complete: it has who appears more than once.
type Person struct {
	Name string `json:"name"`
	Box  []int  `json:"box,omitempty"` // the face: left, top, right, bottom in pixels
}

// Name is the file's name without its folder.
func (f File) Name() string { return path.Base(f.Path) }

//go:embed manifest.json
var manifestJSON []byte

var manifest = sync.OnceValue(func() Manifest {
	var m Manifest
	if err := json.Unmarshal(manifestJSON, &m); err != nil {
		panic(fmt.Sprintf("assets: manifest.json: %v", err)) // it is part of this program, and tested
	}
	return m
})

// Load returns the manifest. It must not be changed.
func Load() Manifest { return manifest() }

// Events returns the demonstration's events with their photographs, whether
// or not they have been fetched.
func Events() []Event {
	events := append([]Event(nil), manifest().Events...)
	for i := range events {
		for _, p := range manifest().Packages {
			for _, f := range p.Files {
				if f.Event == events[i].ID {
					events[i].Photos = append(events[i].Photos, f)
				}
			}
		}
	}
	return events
}

// Files returns all photographs for one use.
func Files(use Use) (files []File) {
	for _, p := range manifest().Packages {
		for _, f := range p.Files {
			if f.Use == use {
				files = append(files, f)
			}
		}
	}
	return files
}

// Dir is the folder that keeps fetched photographs, for all copies of the
// program of one user: proofroom/assets in $XDG_CACHE_HOME or ~/.cache. It
// need not exist. An error means that the user has no home folder.
func Dir() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(cache) { // as that specification wants it
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for photographs: %w; set XDG_CACHE_HOME to one", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "proofroom", "assets"), nil
}

// Path returns where a photograph lies on this machine; false when it has not
// been fetched. It trusts the name, which a file only gets once its contents
// were checked, and looks at the size.
func Path(f File) (string, bool) {
	dir, err := Dir()
	if err != nil {
		return "", false
	}
	p := PathIn(dir, f)
	info, err := os.Stat(p)
	return p, err == nil && info.Mode().IsRegular() && info.Size() == f.Bytes
}

// PathIn is where a photograph belongs in a given cache folder.
func PathIn(dir string, f File) string {
	return filepath.Join(dir, f.SHA256+path.Ext(f.Path))
}
