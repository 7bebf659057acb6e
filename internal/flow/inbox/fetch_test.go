package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/testkit/pgtest"
)

func pointer(event string) payment.Row { return pointerAt("stripe", event, "pi_"+event) }

func pointerAt(provider, event, object string) payment.Row {
	r := fact(event)
	r.ID, r.Provider, r.Receipt.ObjectID = id.New(), provider, object
	r.Receipt.Class, r.Receipt.EventType, r.Receipt.Facts = payment.ClassPointer, "charge.refunded", nil
	return r
}

// provider answers a fetch when it is let.
type provider struct {
	payment.Provider
	name    string
	let     chan struct{}
	fetched chan payment.Pointer

	mu      sync.Mutex
	err     error
	unknown map[string]bool // objects that it does not know
	status  string          // of what it is asked for
}

func (p *provider) Name() string {
	if p.name == "" {
		return "stripe"
	}
	return p.name
}
func (*provider) Account() string { return "main" }

func (p *provider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *provider) Fetch(ctx context.Context, at payment.Pointer) ([]payment.Observation, error) {
	p.mu.Lock()
	status, err := p.status, p.err // as it stands when asked
	if p.unknown[at.ObjectID] {
		err = payment.ErrNotFound
	}
	p.mu.Unlock()
	p.fetched <- at
	select {
	case <-p.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if status == "" {
		status = payment.PaymentSucceeded
	}
	return []payment.Observation{{Provider: p.Name(), Account: "main", Kind: payment.KindPayment, PaymentID: at.ObjectID, Status: status}}, nil
}

// asked is a provider that answers at once.
func asked(name string) *provider {
	p := &provider{name: name, let: make(chan struct{}), fetched: make(chan payment.Pointer, 1000), unknown: map[string]bool{}}
	close(p.let)
	return p
}

func (b *bundle) fetcher(ps ...payment.Provider) *inbox.Fetcher {
	return inbox.NewFetcher(b.db.Pool, slog.New(slog.DiscardHandler), ps, nil, func() {})
}

func (b *bundle) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := b.db.Owner.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// due makes all rows due, as time would.
func (b *bundle) due(t *testing.T) {
	t.Helper()
	b.exec(t, `UPDATE inbox SET next_attempt_at = app_now() WHERE next_attempt_at > app_now()`)
}

func (b *bundle) fetch(t *testing.T, f *inbox.Fetcher) int {
	t.Helper()
	n, err := f.Fetch(t.Context())
	require.NoError(t, err)
	return n
}

func (b *bundle) drain(t *testing.T) {
	t.Helper()
	_, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
}

// A pointer is applied by what is fetched, and what is fetched later is applied
// as well, with a later sequence.
func TestFetchThenApplyAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := asked("stripe")
	p.status = payment.PaymentPending
	f := b.fetcher(p)
	b.receive(t, pointer("evt_1"))
	n, err := b.drainer.Drain(t.Context(), payment.ApplierOrder)
	require.NoError(t, err)
	require.Zero(t, n, "nothing to apply before it is fetched")
	b.fetch(t, f)
	b.drain(t)
	require.Equal(t, 1, b.count(t, "state = 'done'"))
	first := b.applier.last("pi_evt_1")
	require.Equal(t, payment.PaymentPending, first.Status)
	require.Positive(t, first.Seq)

	// Said again, it is fetched again, but not before 10 s have passed.
	p.set(func() { p.status = payment.PaymentSucceeded })
	b.receive(t, pointer("evt_1"))
	require.Equal(t, 1, b.count(t, "state = 'received' AND NOT ready AND next_attempt_at > app_now() + interval '8 seconds'"))
	require.Zero(t, b.fetch(t, f))
	b.due(t)
	require.Equal(t, 1, b.fetch(t, f))
	b.drain(t)
	require.Equal(t, 1, b.count(t, "state = 'done'"))
	second := b.applier.last("pi_evt_1")
	require.Equal(t, payment.PaymentSucceeded, second.Status)
	require.Greater(t, second.Seq, first.Seq)
	require.Equal(t, first.InboxID, second.InboxID)
	require.Equal(t, 2, b.applier.applied["pi_evt_1"])
}

// What is said in any state leads to a fetch that begins afterwards.
func TestSaidAgainInEveryState(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]string{
		"received":          `state = 'received'`,
		"fetching":          `state = 'fetching', term = 1, fetch_until = app_now() + interval '20 seconds'`,
		"lease over":        `state = 'fetching', term = 1, fetch_until = app_now() - interval '1 second'`,
		"fetched":           `state = 'received', ready = true, facts = '[]', fetched_at = app_now()`,
		"failed":            `state = 'failed', attempts = 3`,
		"done":              `state = 'done', ready = true, facts = '[]', done_at = app_now(), fetched_at = app_now(), attempts = 1`,
		"ignored":           `state = 'ignored', ready = true, facts = '[]', done_at = app_now(), fetched_at = app_now()`,
		"dead":              `state = 'dead', done_at = app_now(), attempts = 21, since = app_now() - interval '2 hours'`,
		"of no use, before": `state = 'ignored', class = 'ignored', ready = true, done_at = app_now()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := b.fetcher(asked("stripe"))
			b.receive(t, pointer("evt_1"))
			b.exec(t, `UPDATE inbox SET `+put)
			var seq int64
			require.NoError(t, b.db.Owner.QueryRow(t.Context(), `SELECT nextval('inbox_seq')`).Scan(&seq))
			b.receive(t, pointer("evt_1"))
			// Whoever held it ends, and everybody goes on.
			b.exec(t, `UPDATE inbox SET state = 'received', ready = true, facts = '[]', fetched_at = app_now() WHERE state = 'fetching'`)
			for range 3 {
				b.drain(t)
				b.due(t)
				b.fetch(t, f)
				b.drain(t)
			}
			require.Equal(t, 1, b.count(t, `state = 'done' AND NOT again`))
			require.Equal(t, 1, b.applier.applied["pi_evt_1"], "fetched after it was said, once")
			require.Greater(t, b.applier.last("pi_evt_1").Seq, seq)
		})
	}
}

// What was said while the provider was being asked is not lost with the answer.
func TestSaidWhileFetching(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &provider{let: make(chan struct{}), fetched: make(chan payment.Pointer, 9), status: payment.PaymentPending}
	f := b.fetcher(p)
	b.receive(t, pointer("evt_1"))
	done := make(chan error, 1)
	go func() { _, err := f.Fetch(t.Context()); done <- err }()
	<-p.fetched // it answers from how things stand now
	p.set(func() { p.status = payment.PaymentSucceeded })
	b.receive(t, pointer("evt_1"))
	close(p.let)
	require.NoError(t, <-done)
	b.drain(t)
	require.Equal(t, payment.PaymentPending, b.applier.last("pi_evt_1").Status)
	require.Equal(t, 1, b.count(t, "state = 'received' AND NOT ready AND NOT again AND attempts = 0 AND next_attempt_at > app_now() + interval '8 seconds'"))
	b.due(t)
	b.fetch(t, f)
	b.drain(t)
	require.Equal(t, payment.PaymentSucceeded, b.applier.last("pi_evt_1").Status)
	require.Equal(t, 1, b.count(t, "state = 'done'"))
}

// A fetch that lasts longer than its lease is done by another, and its own
// result no longer counts: it looked earlier.
func TestFetchLease(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guarded %v", guarded), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			slow := &provider{let: make(chan struct{}), fetched: make(chan payment.Pointer, 1), status: payment.PaymentPending}
			fast := asked("stripe")
			first, second := b.fetcher(slow), b.fetcher(fast)
			b.receive(t, pointer("evt_1"))
			done := make(chan error, 1)
			go func() { _, err := first.Fetch(t.Context()); done <- err }()
			<-slow.fetched
			require.Zero(t, b.fetch(t, second), "the lease holds")
			b.exec(t, `UPDATE inbox SET fetch_until = app_now()`)
			require.Equal(t, 1, b.fetch(t, second))
			if !guarded { // as if the term and the state were not looked at
				b.exec(t, `UPDATE inbox SET term = 1, state = 'fetching'`)
			}
			close(slow.let)
			require.NoError(t, <-done)
			b.drain(t)
			want := map[bool]string{true: payment.PaymentSucceeded, false: payment.PaymentPending}[guarded]
			require.Equal(t, want, b.applier.last("pi_evt_1").Status)
		})
	}
}

// A lost reply is no verdict about the pointer: it is asked again for ever.
func TestLostRepliesKillNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := asked("stripe")
	p.err = errors.New("no answer")
	f := b.fetcher(p)
	b.receive(t, pointer("evt_1"))
	for range 30 {
		inbox.LeaveAloneFor(f, time.Hour) // a fresh breaker
		require.Equal(t, 1, b.fetch(t, f))
		require.Equal(t, 1, b.count(t, "state = 'failed' AND NOT ready AND attempts = 0 AND next_attempt_at BETWEEN app_now() AND app_now() + interval '61 seconds'"))
		b.due(t)
	}
	require.Equal(t, 1, b.count(t, "lost = 30"))
	p.set(func() { p.err = nil })
	b.fetch(t, f)
	b.drain(t)
	require.Equal(t, 1, b.count(t, "state = 'done' AND lost = 0"))
}

// What the provider does not know, or shows too old, is asked for about an hour,
// and is then dead, where a person finds it. It stops nobody meanwhile.
func TestUnknownObjectsEndDead(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"unknown": payment.ErrNotFound, "behind": fmt.Errorf("a copy: %w", payment.ErrBehind), "refused": &payment.RejectedError{Code: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := asked("stripe")
			p.err = err
			f := b.fetcher(p)
			b.receive(t, pointer("evt_1"))
			tries := 0
			for b.count(t, "state = 'dead'") == 0 {
				b.due(t)
				require.Equal(t, 1, b.fetch(t, f))
				tries++
				require.Less(t, tries, 30)
			}
			require.Greater(t, tries, 15)
			require.Equal(t, 1, b.count(t, "state = 'dead' AND done_at IS NOT NULL AND note <> '' AND lost = 0"))
			p.set(func() { p.err = nil })
			b.receive(t, pointer("evt_2"))
			b.fetch(t, f)
			b.drain(t)
			require.Equal(t, 1, b.count(t, "event_id = 'evt_2' AND state = 'done'"))
		})
	}
}

// One provider's outage stops nobody else, costs it only a few calls, and its own
// pointers go on by themselves when it is back.
func TestOutageOfOneProvider(t *testing.T) {
	t.Parallel()
	b := setup(t)
	away, here := asked("paypal"), asked("flutterwave")
	away.err = errors.New("connection refused")
	f := b.fetcher(away, here)
	inbox.LeaveAloneFor(f, time.Hour)
	for i := range 40 {
		b.receive(t, pointerAt("paypal", fmt.Sprintf("WH-%d", i), fmt.Sprintf("p%d", i)), pointerAt("flutterwave", fmt.Sprintf("f-%d", i), fmt.Sprintf("f%d", i)))
	}
	for range 12 {
		b.fetch(t, f)
		b.due(t)
	}
	b.drain(t)
	require.Equal(t, 40, b.count(t, "provider = 'flutterwave' AND state = 'done'"))
	require.LessOrEqual(t, len(away.fetched), 8, "after five lost replies it is left alone")
	require.Equal(t, 40, b.count(t, "provider = 'paypal' AND attempts = 0 AND state IN ('received', 'failed')"))

	inbox.LeaveAloneFor(f, time.Millisecond)
	for range 5 { // break it again, now for a moment
		b.due(t)
		b.fetch(t, f)
	}
	away.set(func() { away.err = nil })
	require.Eventually(t, func() bool {
		b.due(t)
		b.fetch(t, f)
		b.drain(t)
		return b.count(t, "provider = 'paypal' AND state = 'done'") == 40
	}, 10*time.Second, 5*time.Millisecond)
}

// While the breaker tries whether the provider is back, one pointer is claimed.
func TestHalfOpenAsksOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := asked("stripe")
	p.err = errors.New("no answer")
	f := b.fetcher(p)
	inbox.LeaveAloneFor(f, time.Millisecond)
	for i := range 10 {
		b.receive(t, pointer(fmt.Sprintf("evt_%d", i)))
	}
	b.fetch(t, f)
	b.due(t)
	b.fetch(t, f)
	require.Eventually(t, func() bool {
		b.due(t)
		before := len(p.fetched)
		return b.fetch(t, f) == 1 && len(p.fetched) == before+1
	}, 5*time.Second, 5*time.Millisecond)
}

// A fetcher that is stopped gives its pointers back untried.
func TestStoppedFetchIsNoTry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &provider{let: make(chan struct{}), fetched: make(chan payment.Pointer, 1)}
	f := b.fetcher(p)
	b.receive(t, pointer("evt_1"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	<-p.fetched
	stop()
	<-ended
	require.Equal(t, 1, b.count(t, "state = 'received' AND attempts = 0 AND lost = 0 AND fetch_until IS NULL AND next_attempt_at <= app_now()"))
}

// Pointers of an account that was taken out of the configuration are shown to a
// person in the end.
func TestPointersOfNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.fetcher(asked("stripe"))
	b.receive(t, pointerAt("paypal", "WH-1", "p1"))
	for range 21 {
		b.fetch(t, f)
		b.due(t)
	}
	require.Equal(t, 1, b.count(t, "state = 'dead' AND note = 'no account main at paypal is configured'"))
	require.Zero(t, b.fetch(t, b.fetcher()), "and nothing is configured at all")
}

// A payload that a forger put under a genuine event's id takes nothing from the
// genuine event, whichever came first. The signatures of PayPal (a CRC) and
// Flutterwave (a shared word) allow such forgeries.
func TestForgeryTakesAGenuineID(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"paypal", "flutterwave"} {
		for name, forge := range map[string]func(*payment.Row){
			"same object":            func(*payment.Row) {},
			"an object of nobody":    func(r *payment.Row) { r.Receipt.ObjectID = "invented" },
			"an object of another":   func(r *payment.Row) { r.Receipt.ObjectID = "other" },
			"another type":           func(r *payment.Row) { r.Receipt.EventType = "checkout.order.approved" },
			"a type without a use":   func(r *payment.Row) { r.Receipt.EventType, r.Receipt.Class = "rubbish", payment.ClassIgnored },
			"the type, without use":  func(r *payment.Row) { r.Receipt.Class = payment.ClassIgnored },
			"a body that says other": func(r *payment.Row) { r.Body = []byte(`{"status": "REFUNDED"}`) },
		} {
			for _, forgedFirst := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, first %v", provider, name, forgedFirst), func(t *testing.T) {
					t.Parallel()
					b := setup(t)
					p := asked(provider)
					p.unknown["invented"] = true
					f := b.fetcher(p)
					genuine, forged := pointerAt(provider, "WH-1", "capture"), pointerAt(provider, "WH-1", "capture")
					forge(&forged)
					forged.Body = append(forged.Body, " forged"...)
					// The forger strikes before the payment: the object is not paid yet.
					p.status = payment.PaymentPending
					work := func() {
						for range 3 {
							b.due(t)
							b.fetch(t, f)
							b.drain(t)
						}
					}
					if forgedFirst {
						b.receive(t, forged)
						work()
					}
					p.set(func() { p.status = payment.PaymentSucceeded })
					b.receive(t, genuine)
					if !forgedFirst {
						b.receive(t, forged)
					}
					work()
					require.Equal(t, payment.PaymentSucceeded, b.applier.last("capture").Status, "the genuine event applies")
					require.Equal(t, 1, b.count(t, "object_id = 'capture' AND event_type = 'charge.refunded' AND state = 'done'"))
					require.Zero(t, b.applier.applied["invented"])
					if name == "an object of nobody" {
						require.Equal(t, 1, b.count(t, "object_id = 'invented' AND state = 'failed' AND note LIKE '%does not know%'"))
					}
				})
			}
		}
	}
}

// Without the type in the key a forgery keeps the genuine event out: this is what
// the key is for.
func TestForgeryWithoutTheTypeInTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `ALTER TABLE inbox DROP CONSTRAINT uq_inbox_event`)
	b.exec(t, `CREATE UNIQUE INDEX ON inbox (provider, account, event_id, object_id)`)
	f := b.fetcher(asked("paypal"))
	forged := pointerAt("paypal", "WH-1", "capture")
	forged.Receipt.EventType, forged.Receipt.Class = "rubbish", payment.ClassIgnored
	b.receive(t, forged, pointerAt("paypal", "WH-1", "capture"))
	b.due(t)
	b.fetch(t, f)
	b.drain(t)
	require.Zero(t, b.applier.applied["capture"])
}

// An event that calls itself the one that asks for a missing payment does not
// decide whose that payment is.
func TestForgedMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	forged := pointerAt("paypal", "missing:pay_1", "pay_1")
	forged.Receipt.EventType, forged.Receipt.Class = "missing", payment.ClassIgnored
	b.receive(t, forged)
	missing := payment.Missing("paypal", "main", "pay_1")
	states, err := payment.Inbox{}.States(t.Context(), b.db.Pool, []payment.Row{missing})
	require.NoError(t, err)
	require.Empty(t, states)
	_, err = payment.Inbox{}.Store(t.Context(), b.db.Pool, []payment.Row{missing})
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, "class = 'pointer' AND state = 'received' AND NOT ready"))
}

// Facts are held back by facts that wait, and by nothing else; pointers are not
// held back by facts.
func TestFactsAreHeldBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fill := func(n int, class, state, ready string) {
		b.exec(t, fmt.Sprintf(`INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready)
			SELECT gen_random_uuid(), 'stripe', 'main', '%s %s %s ' || n, 'o', 't', '%s', 'order', '%s', '[]', %s FROM generate_series(1, %d) n`,
			class, state, ready, class, state, ready, n))
	}
	fill(500, "pointer", "received", "true")
	fill(500, "pointer", "received", "false")
	fill(500, "fact", "failed", "true")
	fill(500, "reply", "received", "true")
	n, err := b.drainer.Backlog(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	b.receive(t, fact("evt_free"))

	fill(301, "fact", "received", "true")
	held := make(chan error, 1)
	fresh := inbox.NewReceiver(b.db.Pool, slog.New(slog.DiscardHandler), nil, func() {}) // has not counted yet
	t.Cleanup(fresh.Close)
	go func() { _, err := fresh.Receive(t.Context(), fact("evt_held")); held <- err }()
	for i := range 20 {
		_, err := fresh.Receive(t.Context(), pointer(fmt.Sprintf("evt_p%d", i)))
		require.NoError(t, err)
	}
	require.Equal(t, 0, b.count(t, "event_id = 'evt_held'"))
	b.exec(t, `UPDATE inbox SET state = 'done', done_at = app_now() WHERE class = 'fact' AND state = 'received' AND event_id LIKE 'fact received true 1%'`)
	require.NoError(t, <-held)
	require.Equal(t, 1, b.count(t, "event_id = 'evt_held'"))
}

// Pointers of one account have a limit of their own.
func TestPointersHaveALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, fmt.Sprintf(`INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, ready, next_attempt_at)
		SELECT gen_random_uuid(), 'paypal', 'main', n, n, 't', 'pointer', 'order', 'failed', false, app_now() + interval '1 minute' FROM generate_series(1, %d) n`,
		inbox.MaxPointers+1))
	_, err := b.receiver.Receive(t.Context(), pointerAt("paypal", "WH-1", "capture"))
	require.ErrorIs(t, err, inbox.ErrBusy)
	b.receive(t, pointerAt("flutterwave", "f-1", "f1"), fact("evt_1"))
	require.Equal(t, 2, b.count(t, "event_id IN ('f-1', 'evt_1')"))
}

// lister is a provider that is asked about disputes.
type lister struct {
	*provider
	since   time.Time
	says    []payment.Observation
	listErr error
}

func (l *lister) Disputes(_ context.Context, since time.Time) ([]payment.Observation, error) {
	l.since = since
	return l.says, l.listErr
}

func TestDisputesOfSilentProviders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dispute := func(id, outcome string) []payment.Observation {
		return []payment.Observation{
			{Provider: "flutterwave", Account: "main", Kind: payment.KindDispute, DisputeID: id, PaymentID: "of " + id, Status: payment.DisputeClosed, Outcome: outcome},
			{Provider: "flutterwave", Account: "main", Kind: payment.KindDisputeMoney, DisputeID: id, MovementID: id, PaymentID: "of " + id, Status: payment.MoneyWithdrawn, Amount: 5, Currency: "NGN"},
		}
	}
	silent := &lister{provider: asked("flutterwave"), says: append(dispute("d1", payment.DisputeLost), dispute("d2", payment.DisputeLost)...)}
	broken := &lister{provider: asked("other"), listErr: errors.New("no answer")}
	asker := inbox.NewAsker(b.db.Pool, payment.Providers{asked("stripe"), broken, silent}, b.drainer)
	require.ErrorContains(t, asker.Disputes(t.Context()), "ask other about disputes", "and the others were asked all the same")
	require.WithinDuration(t, time.Now().Add(-180*24*time.Hour), silent.since, time.Hour)
	require.Equal(t, 2, b.count(t, "class = 'reply' AND state = 'done' AND seq > 0"))
	require.Equal(t, 2, b.applier.applied["of d1"], "the dispute and its money")
	before := b.applier.last("of d1")

	broken.listErr = nil
	require.NoError(t, asker.Disputes(t.Context()))
	require.Equal(t, 2, b.count(t, "true"), "no news is not stored")

	silent.says = append(dispute("d1", payment.DisputeWon), dispute("d2", payment.DisputeLost)...)
	require.NoError(t, asker.Disputes(t.Context()))
	require.Equal(t, 3, b.count(t, "state = 'done'"))
	require.Greater(t, b.applier.last("of d1").Seq, before.Seq)

	silent.says = append(dispute("d1", payment.DisputeLost), dispute("d2", payment.DisputeLost)...)
	require.NoError(t, asker.Disputes(t.Context()))
	require.Equal(t, 4, b.count(t, "state = 'done'"), "what is said a second time is news after something else")
}

// Two fetchers on one database never take one pointer at the same time.
func TestFetchersShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := asked("stripe")
	for i := range 40 {
		b.receive(t, pointer(fmt.Sprintf("evt_%d", i)))
	}
	var wg sync.WaitGroup
	for range 4 {
		f := b.fetcher(p)
		wg.Go(func() {
			for range 10 {
				_, err := f.Fetch(t.Context())
				require.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.Len(t, p.fetched, 40)
	b.drain(t)
	require.Equal(t, 40, b.count(t, "state = 'done'"))
	require.Equal(t, 40, count(t, b.db, `SELECT count(DISTINCT seq) FROM inbox`))
}

func count(t *testing.T, db *pgtest.DB, sql string) int {
	t.Helper()
	var n int
	require.NoError(t, db.Owner.QueryRow(t.Context(), sql).Scan(&n))
	return n
}
