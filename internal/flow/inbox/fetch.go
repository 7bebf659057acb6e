package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/payment"
)

const (
	fetchAtOnce  = 4
	fetchTimeout = 20 * time.Second // below the lease of 30 s
	// A pointer is tried for about an hour.
	maxFetches = 20
)

// Fetcher resolves pointers: it asks the provider for what an event is about.
type Fetcher struct {
	pool      *pgxpool.Pool
	inbox     payment.Inbox
	providers payment.Providers
	log       *slog.Logger
	ready     func() // called when a row became ready to apply
	wake      chan struct{}
}

// NewFetcher returns a Fetcher.
func NewFetcher(pool *pgxpool.Pool, log *slog.Logger, providers payment.Providers, ready func()) *Fetcher {
	return &Fetcher{pool: pool, providers: providers, log: log, ready: ready, wake: make(chan struct{}, 1)}
}

// Wake makes the fetcher look at once. It never blocks.
func (f *Fetcher) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run fetches until ctx ends.
func (f *Fetcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := f.Fetch(ctx)
		if err != nil && ctx.Err() == nil {
			f.log.Error("pointers were not claimed", "error", err)
		}
		if n == fetchAtOnce {
			continue
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-time.After(drainPoll):
		}
	}
}

// Fetch works one round of pointers and returns how many it took.
func (f *Fetcher) Fetch(ctx context.Context) (int, error) {
	claimed, err := f.inbox.ClaimFetches(ctx, f.pool, fetchAtOnce)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	for _, c := range claimed {
		wg.Go(func() { f.one(ctx, c) })
	}
	wg.Wait()
	if len(claimed) > 0 {
		f.ready()
	}
	return len(claimed), nil
}

func (f *Fetcher) one(ctx context.Context, c payment.Fetch) {
	facts, err := f.ask(ctx, c)
	if err != nil {
		e := payment.End{Wait: backoff(c.Attempts), Note: err.Error(), Dead: c.Attempts >= maxFetches}
		f.log.Warn("a pointer was not fetched", "row", c.ID, "event", c.Pointer.EventType, "object", c.Pointer.ObjectID, "error", err)
		if err := f.inbox.FetchFailed(ctx, f.pool, c, e); err != nil {
			f.log.Error("a pointer was not put off", "row", c.ID, "error", err)
		}
		return
	}
	if _, err := f.inbox.Fetched(ctx, f.pool, c, facts); err != nil {
		f.log.Error("what was fetched was not stored", "row", c.ID, "error", err)
	}
}

func (f *Fetcher) ask(ctx context.Context, c payment.Fetch) ([]payment.Observation, error) {
	p := f.providers.Find(c.Provider, c.Account)
	if p == nil {
		return nil, fmt.Errorf("no account %s at %s is configured", c.Account, c.Provider)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	facts, err := p.Fetch(ctx, c.Pointer)
	if errors.Is(err, payment.ErrNotFound) {
		return nil, fmt.Errorf("the provider does not know %s", c.Pointer.ObjectID)
	}
	return facts, err
}
