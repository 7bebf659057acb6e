package app

import (
	"context"
	"time"

	"proofroom/internal/base/ratelimit"
)

// chore is something that is due now and then, on every instance. Each is safe
// to do twice: what it works on is claimed row by row, or deleted.
type chore struct {
	every  time.Duration
	failed string // what is said when it did not work
	do     func(context.Context) error
}

func (s *Server) chores() []chore {
	return []chore{
		{5 * time.Second, "refunds under way were not asked about", func(ctx context.Context) error {
			_, err := s.Refunds.Poll(ctx)
			return err
		}},
		{5 * time.Second, "refused webhooks were not counted yet", s.refusals.Flush},
		{time.Minute, "refunds that take too long were not looked for", func(ctx context.Context) error {
			_, err := s.Refunds.Overdue(ctx)
			return err
		}},
		{time.Minute, "waiting photographs were not looked for", func(ctx context.Context) error {
			_, err := s.Media.Sweep(ctx)
			return err
		}},
		{time.Minute, "old idempotency keys were not purged", s.Checkout.Purge},
		{time.Minute, "limits that are whole again were not purged", func(ctx context.Context) error {
			_, err := ratelimit.Purge(ctx, s.pool, 10_000)
			return err
		}},
		{time.Hour, "old links in mails were not forgotten", s.Accounts.PurgeLinks},
		{10 * time.Minute, "a provider was not asked about disputes", s.Asker.Disputes},
	}
}

// housekeep does the chores until ctx ends, each a little after the start and
// then at its own pace.
func (s *Server) housekeep(ctx context.Context) {
	const beat = 5 * time.Second
	tick := time.NewTicker(beat)
	defer tick.Stop()
	chores := s.chores()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, c := range chores {
			if n%int(c.every/beat) != 0 {
				continue
			}
			if err := c.do(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn(c.failed, "error", err)
			}
		}
	}
}
