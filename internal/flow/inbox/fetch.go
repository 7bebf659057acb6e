package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sony/gobreaker/v2"

	"proofroom/internal/core/payment"
)

const (
	fetchAtOnce = 4 // of one account, on one instance
	fetchInRow  = 8 // pointers claimed at once for each of these
	// Claimed pointers whose turn does not come are given back long before their
	// lease ends: their provider is slow.
	turnWithin   = 5 * time.Second
	fetchTimeout = 20 * time.Second // below the lease of 30 s
	// A pointer that the provider does not know, or shows too old, is asked for
	// about an hour.
	maxFetches = 20
	// So many replies lost in a row, and an account is left alone for a while.
	lostInRow = 5
	aloneFor  = 15 * time.Second
	// A lost reply says nothing about the pointer, so it is asked again before
	// long; the breaker spares the provider.
	maxLostWait = time.Minute

	strayEvery = 10 * time.Second
	strayBatch = 100
)

// Fetcher resolves pointers: it asks the provider for what an event is about.
// Each account has fetches and a breaker of its own, so that a provider that does
// not answer holds up nobody else's pointers. While it does not, its pointers
// wait and count no attempt.
type Fetcher struct {
	pool      *pgxpool.Pool
	inbox     payment.Inbox
	providers payment.Providers
	log       *slog.Logger
	atOnce    *AtOnce
	ready     func() // called when a row became ready to apply
	lanes     []*lane

	mu      sync.Mutex
	waiting []*found // what was fetched and is not stored
	storing bool
}

// NewFetcher returns a Fetcher. With atOnce what is plain is fulfilled in the
// transaction that stores what was fetched.
func NewFetcher(pool *pgxpool.Pool, log *slog.Logger, providers payment.Providers, atOnce *AtOnce, ready func()) *Fetcher {
	f := &Fetcher{pool: pool, providers: providers, log: log, atOnce: atOnce, ready: ready}
	f.open(aloneFor)
	return f
}

// open makes a lane for each account.
func (f *Fetcher) open(alone time.Duration) {
	f.lanes = nil
	for _, p := range f.providers {
		f.lanes = append(f.lanes, f.lane(p, alone))
	}
}

func (f *Fetcher) lane(p payment.Provider, alone time.Duration) *lane {
	return &lane{
		Fetcher: f, provider: p, slots: make(chan struct{}, fetchAtOnce), wake: make(chan struct{}, 1),
		breaker: gobreaker.NewCircuitBreaker[[]payment.Observation](gobreaker.Settings{
			Name: p.Name() + "/" + p.Account(), MaxRequests: 1, Timeout: alone,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= lostInRow },
			IsSuccessful: func(err error) bool { return err == nil || verdict(err) },
			OnStateChange: func(account string, from, to gobreaker.State) {
				f.log.Warn("how a provider answers has changed", "account", account, "from", from.String(), "to", to.String())
			},
		}),
	}
}

// verdict reports whether an error is an answer of the provider about the
// pointer. Anything else is a lost reply.
func verdict(err error) bool {
	var rejected *payment.RejectedError
	return errors.Is(err, payment.ErrNotFound) || errors.Is(err, payment.ErrBehind) || errors.As(err, &rejected)
}

// Wake makes the fetcher look at once. It never blocks.
func (f *Fetcher) Wake() {
	for _, l := range f.lanes {
		l.nudge()
	}
}

// Run fetches until ctx ends.
func (f *Fetcher) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range f.lanes {
		wg.Go(func() { l.run(ctx) })
	}
	for ctx.Err() == nil {
		if _, err := f.strays(ctx); err != nil && ctx.Err() == nil {
			f.log.Error("pointers of unknown accounts were not looked for", "error", err)
		}
		wait(ctx, strayEvery)
	}
	wg.Wait()
}

// Fetch works one round of pointers, waits for its end, and returns how many it
// took.
func (f *Fetcher) Fetch(ctx context.Context) (int, error) {
	total, err := f.strays(ctx)
	for _, l := range f.lanes {
		n, lost := l.claim(ctx)
		total, err = total+n, errors.Join(err, lost)
	}
	for _, l := range f.lanes {
		l.busy.Wait()
	}
	return total, err
}

// strays puts off pointers of accounts that this configuration does not have.
func (f *Fetcher) strays(ctx context.Context) (int, error) {
	claimed, err := f.inbox.ClaimStrays(ctx, f.pool, f.providers, strayBatch)
	for _, c := range claimed {
		f.putOff(ctx, c, noAccount(c.Provider, c.Account), false)
	}
	return len(claimed), err
}

func noAccount(provider, account string) error {
	return fmt.Errorf("no account %s at %s is configured", account, provider)
}

func unknownObject(objectID string) error {
	return fmt.Errorf("the provider does not know %s", objectID)
}

func (f *Fetcher) putOff(ctx context.Context, c payment.Fetch, why error, lost bool) {
	e := payment.End{Wait: backoff(c.Attempts), Note: why.Error(), Dead: c.Attempts >= maxFetches}
	if lost {
		e.Wait, e.Dead = min(maxLostWait, backoff(c.Lost)), false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	f.log.Warn("a pointer was not fetched", "row", c.ID, "event", c.Pointer.EventType, "object", c.Pointer.ObjectID, "error", why)
	if err := f.inbox.FetchFailed(ctx, f.pool, c, e, lost); err != nil {
		f.log.Error("a pointer was not put off", "row", c.ID, "error", err)
	}
}

// lane is the fetches of one account.
type lane struct {
	*Fetcher
	provider payment.Provider
	slots    chan struct{} // one in it for each fetch under way
	busy     sync.WaitGroup
	wake     chan struct{}
	breaker  *gobreaker.CircuitBreaker[[]payment.Observation]
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := l.claim(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("pointers were not claimed", "provider", l.provider.Name(), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-time.After(drainPoll):
		}
	}
	l.busy.Wait()
}

// claim begins as many fetches as there is room for, and returns how many. Each
// slot gets a few pointers, one after another, so that claiming them costs little.
func (l *lane) claim(ctx context.Context) (int, error) {
	slots, each := l.take()
	if slots == 0 {
		return 0, nil
	}
	claimed, err := l.inbox.ClaimFetches(ctx, l.pool, l.provider.Name(), l.provider.Account(), slots*each)
	busy := min(slots, len(claimed))
	for range slots - busy {
		<-l.slots
	}
	since := time.Now()
	for slot := range busy {
		l.busy.Go(func() {
			var stored sync.WaitGroup
			for i := slot; i < len(claimed); i += busy {
				if i > slot && time.Since(since) > turnWithin {
					l.giveBack(ctx, claimed[i])
					continue
				}
				l.one(ctx, claimed[i], &stored)
			}
			stored.Wait()
			<-l.slots
			l.nudge()
		})
	}
	return len(claimed), err
}

// take takes the slots that may be used: none while the breaker is open, one to
// find out whether the provider is back. each is how many pointers one may have.
func (l *lane) take() (slots, each int) {
	most, each := fetchAtOnce, fetchInRow
	switch l.breaker.State() {
	case gobreaker.StateOpen:
		return 0, 0
	case gobreaker.StateHalfOpen:
		most, each = 1-len(l.slots), 1
	case gobreaker.StateClosed:
	}
	for n := range most {
		select {
		case l.slots <- struct{}{}:
		default:
			return n, each
		}
	}
	return max(0, most), each
}

func (l *lane) one(ctx context.Context, c payment.Fetch, stored *sync.WaitGroup) {
	facts, err := l.breaker.Execute(func() ([]payment.Observation, error) {
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		return l.provider.Fetch(ctx, c.Pointer)
	})
	stopped := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	switch {
	case err == nil:
		stored.Add(1)
		l.keep(ctx, &found{Fetched: payment.Fetched{Fetch: c, Facts: facts}, stored: stored.Done})
	case stopped, errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		l.giveBack(ctx, c)
	case errors.Is(err, payment.ErrNotFound):
		l.putOff(ctx, c, unknownObject(c.Pointer.ObjectID), false)
	default:
		l.putOff(ctx, c, err, !verdict(err))
	}
}

// giveBack leaves a pointer about which nobody was asked to whoever claims it next.
func (l *lane) giveBack(ctx context.Context, c payment.Fetch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := l.inbox.Unclaim(ctx, l.pool, c); err != nil {
		l.log.Error("a pointer was not given back", "row", c.ID, "error", err)
	}
}
