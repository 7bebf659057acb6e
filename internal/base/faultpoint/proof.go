//go:build proof

package faultpoint

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

type orders struct {
	action string
	nth    int64 // 0: every hit
	hits   atomic.Int64
}

func (p *Point) load() {
	for order := range strings.SplitSeq(os.Getenv("PROOFROOM_FAULTS"), ",") {
		name, action, ok := strings.Cut(strings.TrimSpace(order), "=")
		if !ok || name != p.Name {
			continue
		}
		action, nth, ok := strings.Cut(action, "@")
		p.action = action
		if ok {
			n, err := strconv.ParseInt(nth, 10, 64)
			if err != nil {
				panic("faultpoint: bad order " + order)
			}
			p.nth = n
		}
	}
}

// Hit carries out the order for this point, if there is one.
func (p *Point) Hit() error {
	if p.action == "" {
		return nil
	}
	if n := p.hits.Add(1); p.nth != 0 && n != p.nth {
		return nil
	}
	switch {
	case p.action == "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case p.action == "fail":
		return fmt.Errorf("faultpoint: %s failed by order", p.Name)
	case strings.HasPrefix(p.action, "hold:"):
		c, err := net.Dial("unix", strings.TrimPrefix(p.action, "hold:"))
		if err != nil {
			return nil // nobody holds any more
		}
		defer func() { _ = c.Close() }()
		if _, err := fmt.Fprintln(c, p.Name); err != nil {
			return nil
		}
		_, _ = io.Copy(io.Discard, c)
		return nil
	default:
		panic("faultpoint: unknown action " + p.action)
	}
}
