package till

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/settle"
)

// Settled applies what providers say for real, each row at once: grants, ledger,
// refunds, receipts.
type Settled struct {
	*settle.Settler
	shop *Shop
}

// Settled returns one whose jobs go to the enqueuer.
func (s *Shop) Settled(q jobs.Enqueuer) *Settled {
	return &Settled{settle.New(ledger.New(), outbox.Store{}, q), s}
}

// Say applies an answer.
func (s *Settled) Say(ctx context.Context, row payment.Row) error {
	if len(row.Receipt.Facts) == 0 {
		return nil
	}
	obs := slices.Clone(row.Receipt.Facts)
	for i := range obs {
		obs[i].InboxID = row.ID
	}
	return pg.Exec(ctx, s.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.ApplyTx(ctx, tx, obs)
		return err
	})
}
