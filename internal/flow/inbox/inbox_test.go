package inbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/testkit/pgtest"
)

// applier records what it is given and fails when told to.
type applier struct {
	mu      sync.Mutex
	applied map[string]int
	latest  map[string]payment.Observation
	poison  map[string]bool
	err     error
	verdict payment.Verdict
}

func (a *applier) ApplyTx(ctx context.Context, tx pgx.Tx, obs []payment.Observation) ([]payment.Outcome, error) {
	if a.err != nil {
		return nil, a.err
	}
	var out []payment.Outcome
	for _, o := range obs {
		if a.poison[o.PaymentID] {
			// As a constraint would: the whole transaction is lost.
			_, err := tx.Exec(ctx, `SELECT 1/0`)
			return nil, err
		}
		v := a.verdict
		if v == "" {
			v = payment.Done
		}
		out = append(out, payment.Outcome{InboxID: o.InboxID, Verdict: v})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range obs {
		a.applied[o.PaymentID]++
		a.latest[o.PaymentID] = o
	}
	return out, nil
}

// last is what was applied last about a payment.
func (a *applier) last(paymentID string) payment.Observation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.latest[paymentID]
}

type bundle struct {
	db       *pgtest.DB
	receiver *inbox.Receiver
	drainer  *inbox.Drainer
	applier  *applier
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := pgtest.New(t)
	log := slog.New(slog.DiscardHandler)
	a := &applier{applied: map[string]int{}, latest: map[string]payment.Observation{}, poison: map[string]bool{}}
	b := &bundle{db: db, applier: a, drainer: inbox.NewDrainer(db.Pool, log, map[string]payment.Applier{payment.ApplierOrder: a})}
	b.receiver = inbox.NewReceiver(db.Pool, log, nil, func() {})
	t.Cleanup(b.receiver.Close)
	return b
}

func fact(event string) payment.Row {
	return payment.Row{
		ID: id.New(), Provider: "stripe", Account: "main", Header: http.Header{"Stripe-Signature": {"t=1"}}, Body: []byte(`{"id":"` + event + `"}`),
		Receipt: payment.Receipt{
			EventID: event, EventType: "payment_intent.succeeded", ObjectID: "pi_" + event, Class: payment.ClassFact, Applier: payment.ApplierOrder,
			Facts: []payment.Observation{{Provider: "stripe", Account: "main", Kind: payment.KindPayment, PaymentID: event, Status: payment.PaymentSucceeded}},
		},
	}
}

func (b *bundle) count(t *testing.T, where string) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM inbox WHERE `+where).Scan(&n))
	return n
}

func TestReceiveManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	fresh := 0
	for i := range 200 {
		wg.Go(func() {
			f, err := b.receiver.Receive(t.Context(), fact(fmt.Sprintf("evt_%d", i%50)))
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			if f {
				fresh++
			}
		})
	}
	wg.Wait()
	require.Equal(t, 50, fresh, "one of four is the first")
	require.Equal(t, 50, b.count(t, "state = 'received'"))
}

// One row that cannot be stored must not take its neighbours with it.
func TestReceiveStoresTheNeighboursOfAPoisonRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := pgtest.StartTx(t, b.db.Owner)
	_, err := tx.Exec(t.Context(), `LOCK TABLE inbox IN EXCLUSIVE MODE`) // so that a group forms
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		wg.Go(func() {
			row := fact(fmt.Sprintf("evt_%d", i))
			if i == 7 {
				row.Receipt.EventID = "evt\x00"
			}
			_, errs[i] = b.receiver.Receive(t.Context(), row)
		})
	}
	require.Eventually(t, func() bool {
		var waiting int
		err := b.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting)
		return err == nil && waiting >= 1
	}, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	wg.Wait()
	for i, err := range errs {
		if i == 7 {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, 39, b.count(t, "true"))
}

// With the database away nothing is acknowledged.
func TestReceiveWithoutDatabase(t *testing.T) {
	t.Parallel()
	pool, err := pg.Open(t.Context(), pg.PoolConfig{URL: "postgres://nobody@127.0.0.1:1/none"})
	require.NoError(t, err)
	defer pool.Close()
	r := inbox.NewReceiver(pool, slog.New(slog.DiscardHandler), nil, func() {})
	defer r.Close()
	_, err = r.Receive(t.Context(), fact("evt_1"))
	require.Error(t, err)
	require.True(t, pg.IsUnreachable(err), "%v", err)
}

func TestReceiveBusy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx := pgtest.StartTx(t, b.db.Owner)
	_, err := tx.Exec(t.Context(), `LOCK TABLE inbox IN EXCLUSIVE MODE`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	busy := make(chan error, 4000)
	for i := range 3000 {
		wg.Go(func() {
			if _, err := b.receiver.Receive(ctx, fact(fmt.Sprintf("evt_%d", i))); problem.As(err) != nil {
				busy <- err
			}
		})
	}
	require.ErrorIs(t, <-busy, inbox.ErrBusy)
	require.NoError(t, tx.Rollback(t.Context()))
	wg.Wait()
	cancel()
}

func (b *bundle) receive(t *testing.T, rows ...payment.Row) {
	t.Helper()
	for _, r := range rows {
		_, err := b.receiver.Receive(t.Context(), r)
		require.NoError(t, err)
	}
}

func TestDrainFindsThePoisonRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 20 {
		b.receive(t, fact(fmt.Sprintf("evt_%d", i)))
	}
	b.applier.poison["evt_13"] = true
	_, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Equal(t, 19, b.count(t, "state = 'done'"))
	require.Equal(t, 1, b.count(t, "state = 'failed' AND attempts = 1 AND next_attempt_at > app_now() AND event_id = 'evt_13'"))

	// Cured, it is applied; nothing else is applied again.
	delete(b.applier.poison, "evt_13")
	_, err = b.db.Owner.Exec(t.Context(), `UPDATE inbox SET next_attempt_at = app_now() WHERE state = 'failed'`)
	require.NoError(t, err)
	_, err = b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Equal(t, 20, b.count(t, "state = 'done'"))
	require.Equal(t, 1, b.applier.applied["evt_13"])
}

// A row that stays poison ends dead, where a person finds it.
func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receive(t, fact("evt_1"))
	b.applier.verdict = payment.Retry
	_, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, "state = 'failed'"))
	_, err = b.db.Owner.Exec(t.Context(), `UPDATE inbox SET next_attempt_at = app_now(), since = app_now() - interval '61 minutes'`)
	require.NoError(t, err)
	_, err = b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, "state = 'dead' AND done_at IS NOT NULL"))
}

// A failure that says nothing about the row counts no attempt.
func TestDrainTransientCountsNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"55P03", "57014", "08006", "57P01"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receive(t, fact("evt_1"))
			b.applier.err = &pgconn.PgError{Code: code}
			_, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
			require.Error(t, err)
			require.Equal(t, 1, b.count(t, "state = 'received' AND attempts = 0"))
		})
	}
}

// Two drainers never take one row.
func TestDrainersShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 30 {
		b.receive(t, fact(fmt.Sprintf("evt_%d", i)))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	for event, n := range b.applier.applied {
		require.Equal(t, 1, n, event)
	}
	require.Equal(t, 30, b.count(t, "state = 'done'"))
}
