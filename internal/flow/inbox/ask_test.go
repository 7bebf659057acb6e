package inbox_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
)

// slow applies as its like does, a little later.
type slow struct{ *applier }

func (s slow) ApplyTx(ctx context.Context, tx pgx.Tx, obs []payment.Observation) ([]payment.Outcome, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_sleep(0.01)`); err != nil {
		return nil, err
	}
	return s.applier.ApplyTx(ctx, tx, obs)
}

// Who came back from paying is told the truth even when a drainer was quicker to
// take the answer, and has not committed yet.
func TestSayWaitsForAQuickerDrainer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	drainer := inbox.NewDrainer(b.db.Pool, slog.New(slog.DiscardHandler), map[string]payment.Applier{payment.ApplierOrder: slow{b.applier}})
	asker := inbox.NewAsker(b.db.Pool, nil, drainer)
	ctx, stop := context.WithCancel(t.Context())
	var draining sync.WaitGroup
	for range 4 {
		draining.Go(func() {
			for ctx.Err() == nil {
				_, _ = drainer.Drain(ctx, payment.ApplierOrder)
			}
		})
	}
	t.Cleanup(func() { stop(); draining.Wait() })
	for range 50 {
		row := payment.Reply(&provider{}, "return", "cs_1", fact("pi_1").Receipt.Facts)
		require.NoError(t, asker.Say(t.Context(), row))
		require.Equal(t, 1, b.count(t, `id = '`+row.ID.String()+`' AND state = 'done'`))
	}
}

// An answer that cannot be applied for now keeps nobody waiting.
func TestSayDoesNotWaitForWhatIsPutOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.applier.verdict = payment.Retry
	begun := time.Now()
	require.NoError(t, inbox.NewAsker(b.db.Pool, nil, b.drainer).Say(t.Context(), payment.Reply(&provider{}, "return", "cs_1", fact("pi_1").Receipt.Facts)))
	require.Equal(t, 1, b.count(t, `state = 'failed'`))
	require.Less(t, time.Since(begun), 2*time.Second)
}
