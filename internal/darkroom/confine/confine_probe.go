//go:build confineprobe

package confine

// #cgo CFLAGS: -DCONFINE_PROBE
import "C"
