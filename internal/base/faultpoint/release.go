//go:build !proof

package faultpoint

type orders struct{}

func (*Point) load() {}

// Hit does nothing in the release build.
func (*Point) Hit() error { return nil }
