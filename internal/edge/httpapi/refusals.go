package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"proofroom/internal/core/payment"
)

const (
	refusalPace     = time.Second // between two writes of one count
	refusalPatience = time.Second // for one write
)

// Refusals counts refused webhooks for an operator to look at. The first of a
// kind is written at once; later ones are gathered and written once a second at
// most, so that a flood of forgeries costs the database nothing. What could not
// be written is kept and written with the next.
type Refusals struct {
	log   *slog.Logger
	write func(context.Context, payment.Refusal) error

	mu      sync.Mutex
	tallies map[refusalKind]*tally
}

type refusalKind struct{ provider, account, reason string }

// tally is what waits of one kind. Its Count is zero when nothing does.
type tally struct {
	payment.Refusal
	next time.Time // when it may be written again
}

// NewRefusals returns Refusals that are stored by write.
func NewRefusals(log *slog.Logger, write func(context.Context, payment.Refusal) error) *Refusals {
	return &Refusals{log: log, write: write, tallies: map[refusalKind]*tally{}}
}

func (c *Refusals) add(ctx context.Context, now time.Time, r payment.Refusal) {
	// A copy, so that a large body is not held for its beginning.
	r.Body = bytes.Clone(r.Body[:min(len(r.Body), payment.MaxRefused)])
	kind := refusalKind{r.Provider, r.Account, r.Reason}
	c.mu.Lock()
	t := c.tallies[kind]
	if t == nil {
		t = &tally{}
		c.tallies[kind] = t
	}
	r.Count += t.Count
	t.Refusal = r
	if now.Before(t.next) {
		c.mu.Unlock()
		return
	}
	t.next = now.Add(refusalPace)
	t.Count = 0
	c.mu.Unlock()
	// Whoever was refused may be gone already; it counts all the same.
	if err := c.store(context.WithoutCancel(ctx), t, r); err != nil {
		c.log.WarnContext(ctx, "refused webhooks were not counted yet", "error", err)
	}
}

// store writes what was taken of a tally, or gives it back.
func (c *Refusals) store(ctx context.Context, t *tally, r payment.Refusal) error {
	ctx, cancel := context.WithTimeout(ctx, refusalPatience)
	defer cancel()
	err := c.write(ctx, r)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Count += r.Count
	}
	return err
}

// Flush writes what waits. It is called now and then, so that the last of a
// flood are counted too, and when nothing more can come.
func (c *Refusals) Flush(ctx context.Context) error {
	type taken struct {
		*tally
		r payment.Refusal
	}
	var all []taken
	c.mu.Lock()
	for _, t := range c.tallies {
		if t.Count > 0 {
			all = append(all, taken{t, t.Refusal})
			t.Count = 0
		}
	}
	c.mu.Unlock()
	var errs []error
	for _, t := range all {
		errs = append(errs, c.store(ctx, t.tally, t.r))
	}
	return errors.Join(errs...)
}
