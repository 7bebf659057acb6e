package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/core/payment"
)

const askTimeout = 15 * time.Second

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
		return fmt.Errorf("no account %s at %s is configured", account, provider)
	}
	cctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	page, err := p.FetchCheckout(cctx, ref)
	if err != nil {
		return fmt.Errorf("ask %s about %s: %w", provider, ref, err)
	}
	return a.Say(ctx, p, why, ref, page.Facts)
}

// Say stores the facts of a provider's answer as a row and applies it at once.
// Without facts it does nothing.
func (a *Asker) Say(ctx context.Context, p payment.Provider, why, object string, facts []payment.Observation) error {
	if len(facts) == 0 {
		return nil
	}
	row := payment.Reply(p, why, object, facts)
	if _, err := a.inbox.Store(ctx, a.pool, []payment.Row{row}); err != nil {
		return err
	}
	return a.drainer.Apply(ctx, row.Receipt.Applier, []uuid.UUID{row.ID})
}
