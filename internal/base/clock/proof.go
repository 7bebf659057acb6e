//go:build proof

package clock

import (
	"os"
	"time"
)

var offset = func() time.Duration {
	s := os.Getenv("PROOFROOM_CLOCK_OFFSET")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic("clock: bad PROOFROOM_CLOCK_OFFSET: " + err.Error())
	}
	return d
}()
