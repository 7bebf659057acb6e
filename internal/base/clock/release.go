//go:build !proof

package clock

const offset = 0
