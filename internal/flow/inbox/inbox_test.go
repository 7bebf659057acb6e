package inbox_test

import (
	"context"
	"errors"
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
	}
	return out, nil
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
	a := &applier{applied: map[string]int{}, poison: map[string]bool{}}
	b := &bundle{db: db, applier: a, drainer: inbox.NewDrainer(db.Pool, log, map[string]payment.Applier{payment.ApplierOrder: a})}
	b.receiver = inbox.NewReceiver(db.Pool, log, func() {})
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
		return err == nil && waiting >= 2
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
	r := inbox.NewReceiver(pool, slog.New(slog.DiscardHandler), func() {})
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
	_, err = b.db.Owner.Exec(t.Context(), `UPDATE inbox SET next_attempt_at = app_now(), received_at = app_now() - interval '61 minutes'`)
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

func pointer(event string) payment.Row {
	r := fact(event)
	r.Receipt.Class, r.Receipt.EventType, r.Receipt.Facts = payment.ClassPointer, "charge.refunded", nil
	return r
}

// provider answers a fetch when it is let.
type provider struct {
	payment.Provider
	let     chan struct{}
	fetched chan payment.Pointer
	err     error
}

func (*provider) Name() string    { return "stripe" }
func (*provider) Account() string { return "main" }
func (p *provider) Fetch(ctx context.Context, at payment.Pointer) ([]payment.Observation, error) {
	p.fetched <- at
	select {
	case <-p.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	return []payment.Observation{{Provider: "stripe", Account: "main", Kind: payment.KindPayment, PaymentID: at.ObjectID, Status: payment.PaymentSucceeded}}, nil
}

func TestFetchThenApply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &provider{let: make(chan struct{}, 9), fetched: make(chan payment.Pointer, 9)}
	f := inbox.NewFetcher(b.db.Pool, slog.New(slog.DiscardHandler), payment.Providers{p}, func() {})
	b.receive(t, pointer("evt_1"))
	n, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Zero(t, n, "nothing to apply before it is fetched")
	p.let <- struct{}{}
	_, err = f.Fetch(t.Context())
	require.NoError(t, err)
	_, err = b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Equal(t, 1, b.applier.applied["pi_evt_1"])
	require.Equal(t, 1, b.count(t, "state = 'done'"))

	// Said again, it is fetched again, but not before 10 s have passed.
	b.receive(t, pointer("evt_1"))
	require.Equal(t, 1, b.count(t, "state = 'received' AND NOT ready AND next_attempt_at > app_now() + interval '8 seconds'"))
}

// A fetch that lasts longer than its lease is done by another, and its own
// result no longer counts.
func TestFetchLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow := &provider{let: make(chan struct{}), fetched: make(chan payment.Pointer, 1)}
	fast := &provider{let: make(chan struct{}, 1), fetched: make(chan payment.Pointer, 1)}
	log := slog.New(slog.DiscardHandler)
	first := inbox.NewFetcher(b.db.Pool, log, payment.Providers{slow}, func() {})
	second := inbox.NewFetcher(b.db.Pool, log, payment.Providers{fast}, func() {})
	b.receive(t, pointer("evt_1"))
	done := make(chan error, 1)
	go func() { _, err := first.Fetch(t.Context()); done <- err }()
	<-slow.fetched
	n, err := second.Fetch(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "the lease holds")
	_, err = b.db.Owner.Exec(t.Context(), `UPDATE inbox SET fetch_until = app_now()`)
	require.NoError(t, err)
	fast.let <- struct{}{}
	n, err = second.Fetch(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	var facts []byte
	require.NoError(t, b.db.Owner.QueryRow(t.Context(), `SELECT facts FROM inbox`).Scan(&facts))
	_, err = b.db.Owner.Exec(t.Context(), `UPDATE inbox SET facts = 'kept'`)
	require.NoError(t, err)
	close(slow.let)
	require.NoError(t, <-done)
	require.NoError(t, b.db.Owner.QueryRow(t.Context(), `SELECT facts FROM inbox`).Scan(&facts))
	require.Equal(t, "kept", string(facts), "the late result was not stored")
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &provider{let: make(chan struct{}, 9), fetched: make(chan payment.Pointer, 9), err: errors.New("no answer")}
	f := inbox.NewFetcher(b.db.Pool, slog.New(slog.DiscardHandler), payment.Providers{p}, func() {})
	b.receive(t, pointer("evt_1"))
	p.let <- struct{}{}
	_, err := f.Fetch(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, "state = 'failed' AND NOT ready AND attempts = 1 AND next_attempt_at > app_now()"))
}
