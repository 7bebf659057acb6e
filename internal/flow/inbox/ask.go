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
	return a.Say(ctx, payment.Reply(p, why, ref, page.Facts))
}

// Say stores a provider's answer as a row and applies it at once. An answer
// without facts is no news and is not stored.
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
	return a.drainer.Apply(ctx, row.Receipt.Applier, []uuid.UUID{row.ID})
}
