//go:build !proof

package faultpoint

type orders struct{} //nolint:unused // embedded; the proof build has fields

func (*Point) load() {}

// Hit does nothing in the release build.
func (*Point) Hit() error { return nil }
