//go:build proof

package guard

import (
	"os"
	"strings"
)

var off = func() map[string]bool {
	m := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv("PROOFROOM_GUARDS_OFF"), ",") {
		m[strings.TrimSpace(name)] = true
	}
	return m
}()

// On reports whether the check applies: it does unless a proof took it away.
func (g *Guard) On() bool { return !off[g.Name] }
