package bench

import (
	"errors"
	"fmt"
)

// ErrVoid says that the machine was disturbed while something was measured: the
// figures are told and count for nothing.
var ErrVoid = errors.New("the figures do not count")

// Void says why a measurement does not count during which others used a share of
// the machine; empty where it does.
func Void(others float64) string {
	if others <= MaxOthers {
		return ""
	}
	return fmt.Sprintf("others used %.0f %% of the machine in a round, and %.0f %% is the most at which figures say anything", 100*others, 100*MaxOthers)
}
