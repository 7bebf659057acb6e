// Package assets knows the photographs that the demonstration and the tests
// use, and where this machine keeps them. The photographs themselves are
// never part of the program or its repository.
//
// # Purpose
//
// The people in the photographs are real and the licences allow looking, not
// reselling. So each user's machine fetches them once, with
// `go run ./assets/fetch`, into a folder that all copies of the program share,
// checked against the manifest here. Without them there are generated
// pictures, which need nothing.
//
// # What it owns
//
// The manifest (which file of which package, with checksum, credit, licence,
// event and persons), the cache folder's layout, the credits, and the
// generated pictures.
//
// # Invariants
//
// A file in the cache is named by its SHA-256 and was checked before it got
// that name. The manifest names every photographer and licence.
//
// # Concurrency
//
// Everything here only reads and may be called from anywhere. Two fetches at
// once do the work twice and harm nothing: a file appears whole or not at all.
package assets
