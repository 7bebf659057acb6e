package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/payment"
)

const (
	askTimeout = 15 * time.Second
	// A drainer that was quicker commits within milliseconds. Past this, who
	// asked is told how things stand.
	settleTime  = 3 * time.Second
	settleEvery = 10 * time.Millisecond
)

// Asker asks providers what became of a page, and applies the answer. It serves
// the poller and a browser that returns from paying.
type Asker struct {
	pool      *pgxpool.Pool
	inbox     payment.Inbox
	providers payment.Providers
	drainer   *Drainer
}

// NewAsker returns an Asker.
func NewAsker(pool *pgxpool.Pool, providers payment.Providers, drainer *Drainer) *Asker {
	return &Asker{pool: pool, providers: providers, drainer: drainer}
}

// Ask fetches the page and applies what it proves. why names the asker in the
// inbox: "poll" or "return".
func (a *Asker) Ask(ctx context.Context, provider, account, ref, why string) error {
	p := a.providers.Find(provider, account)
	if p == nil {
		return noAccount(provider, account)
	}
	cctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	page, err := p.FetchCheckout(cctx, ref)
	if err != nil {
		return fmt.Errorf("ask %s about %s: %w", provider, ref, err)
	}
	return a.Say(ctx, payment.Reply(p, why, ref, page.Facts))
}

// Say stores a provider's answer as a row, and returns when it is applied or was
// put off. An answer without facts is no news and is not stored.
func (a *Asker) Say(ctx context.Context, row payment.Row) error {
	if len(row.Receipt.Facts) == 0 {
		return nil
	}
	fresh, err := a.inbox.Store(ctx, a.pool, []payment.Row{row})
	if err != nil {
		return err
	}
	if !fresh[row.ID] {
		a.drainer.Wake() // said before; whoever drains applies it
		return nil
	}
	if err := a.drainer.Apply(ctx, row.Receipt.Applier, []uuid.UUID{row.ID}); err != nil {
		return err
	}
	return a.settled(ctx, row.ID)
}

// settled waits until the row is no longer as it was received. Apply leaves a row
// to a drainer that was quicker, whose transaction may still be open: without the
// wait, a buyer who has paid would be told that nothing was paid.
func (a *Asker) settled(ctx context.Context, rowID uuid.UUID) error {
	deadline := time.Now().Add(settleTime)
	for {
		state, err := a.inbox.State(ctx, a.pool, rowID)
		if err != nil || state != payment.StateReceived || time.Now().After(deadline) {
			return err
		}
		wait(ctx, settleEvery)
	}
}
