package app

import (
	"context"
	"io"
	"os"
	"strconv"

	"proofroom/internal/proof/demo"
)

// withLifeline ends ctx when whoever started this process has ended, where it
// asked for that: no process of a demonstration outlives one that was killed.
func withLifeline(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	number, err := strconv.ParseUint(os.Getenv(demo.LifelineEnv), 10, 16)
	if err != nil {
		return ctx, cancel
	}
	line := os.NewFile(uintptr(number), "lifeline")
	go func() {
		_, _ = io.Copy(io.Discard, line)
		cancel()
	}()
	return ctx, cancel
}
