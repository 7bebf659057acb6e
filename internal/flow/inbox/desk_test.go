package inbox_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/account"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
)

// writer leaves a mark in the transaction of what it applies.
type writer struct{ *applier }

func (w writer) ApplyTx(ctx context.Context, tx pgx.Tx, obs []payment.Observation) ([]payment.Outcome, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO webhook_refusals (provider, account, reason, count, detail, body) VALUES ('', '', '', 1, '', '')`); err != nil {
		return nil, err
	}
	return w.applier.ApplyTx(ctx, tx, obs)
}

// desk is a desk over rows that another applier could not apply, with its loops
// running.
func (b *bundle) desk(t *testing.T, ps ...payment.Provider) (desk *inbox.Desk, operator uuid.UUID) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := inbox.NewDrainer(b.db.Pool, log, map[string]payment.Applier{payment.ApplierOrder: writer{b.applier}})
	f := inbox.NewFetcher(b.db.Pool, log, ps, nil, d.Wake)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { d.Run(ctx) })
	loops.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { stop(); loops.Wait() })
	_, operator, err := account.New(b.db.Pool).Provision(t.Context(), "op@example.com", "", "test", []account.Role{account.Operator})
	require.NoError(t, err)
	return inbox.NewDesk(b.db.Pool, ps, f, d), operator
}

// dead puts a row in, given up.
func (b *bundle) dead(t *testing.T, r payment.Row) uuid.UUID {
	t.Helper()
	b.receive(t, r)
	_, err := b.db.Owner.Exec(t.Context(), `UPDATE inbox SET state = 'dead', done_at = app_now(), attempts = 9, note = 'it did not work',
		since = app_now() - interval '2 hours', next_attempt_at = app_now() + interval '1 minute' WHERE id = $1`, r.ID)
	require.NoError(t, err)
	return r.ID
}

func TestDeskShowsWhatIsStuck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.dead(t, fact("evt_1"))
	second := b.dead(t, pointer("evt_2"))
	failed := fact("evt_3")
	b.receive(t, failed, fact("evt_4"))
	b.exec(t, `UPDATE inbox SET state = 'failed' WHERE event_id = 'evt_3'`)
	desk, _ := b.desk(t)

	list := func(state string, before uuid.UUID, limit int) []uuid.UUID {
		rows, err := desk.Stuck(t.Context(), state, before, limit)
		require.NoError(t, err)
		var out []uuid.UUID
		for _, r := range rows {
			out = append(out, r.ID)
		}
		return out
	}
	require.Equal(t, []uuid.UUID{second, first}, list(payment.StateDead, uuid.Max, 9))
	require.Equal(t, []uuid.UUID{second}, list(payment.StateDead, uuid.Max, 1))
	require.Equal(t, []uuid.UUID{first}, list(payment.StateDead, second, 9))

	e, err := desk.Evidence(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, "it did not work", e.Note)
	require.Equal(t, 9, e.Attempts)
	require.Equal(t, `{"id":"evt_1"}`, string(e.Body))
	require.Equal(t, payment.PaymentSucceeded, e.Facts[0].Status)
	_, err = desk.Evidence(t.Context(), id.New())
	require.ErrorIs(t, err, inbox.ErrNoRow)
	_, err = desk.Preview(t.Context(), id.New())
	require.ErrorIs(t, err, inbox.ErrNoRow)
}

// A preview is the real thing, undone.
func TestPreviewChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := b.dead(t, fact("evt_1"))
	desk, _ := b.desk(t)
	effect, err := desk.Preview(t.Context(), row)
	require.NoError(t, err)
	require.False(t, effect.Fails)
	require.Equal(t, payment.Done, effect.Verdict)
	require.Equal(t, row, effect.Facts[0].InboxID)
	require.Equal(t, 1, b.applier.applied["evt_1"], "it was applied")
	require.Equal(t, 0, count(t, b.db, `SELECT count(*) FROM webhook_refusals`), "and undone")
	require.Equal(t, 1, b.count(t, `state = 'dead' AND attempts = 9 AND replays = 0`))

	b.applier.poison["evt_1"] = true
	effect, err = desk.Preview(t.Context(), row)
	require.NoError(t, err)
	require.True(t, effect.Fails)
	require.Contains(t, effect.Note, "division by zero")
}

func TestPreviewOfAPointerAsksAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := b.dead(t, pointer("evt_1"))
	p := asked("stripe")
	desk, _ := b.desk(t, p)
	effect, err := desk.Preview(t.Context(), row)
	require.NoError(t, err)
	require.Equal(t, payment.PaymentSucceeded, effect.Facts[0].Status)
	require.Positive(t, effect.Facts[0].Seq)
	require.Equal(t, 1, b.count(t, `state = 'dead' AND facts IS NULL`))

	for want, err := range map[string]error{
		"does not know pi_evt_1": payment.ErrNotFound, "broken pipe": errors.New("broken pipe"),
	} {
		p.set(func() { p.err = err })
		effect, err := desk.Preview(t.Context(), row)
		require.NoError(t, err)
		require.True(t, effect.Fails)
		require.Contains(t, effect.Note, want)
	}
	effect, err = inbox.NewDesk(b.db.Pool, nil, b.fetcher(), b.drainer).Preview(t.Context(), row)
	require.NoError(t, err)
	require.Contains(t, effect.Note, "no account main at stripe is configured")
}

// A button pressed by two at once, or twice by one, works once.
func TestReplayOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := b.dead(t, fact("evt_1"))
	desk, operator := b.desk(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = desk.Replay(t.Context(), operator, row, 0, "it is cured") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, inbox.ErrNotStuck)
	}
	require.Equal(t, 1, won)
	require.Equal(t, 1, b.applier.applied["evt_1"])
	require.Equal(t, 1, b.count(t, `state = 'done' AND replays = 1`))
	require.Equal(t, 1, count(t, b.db, `SELECT count(*) FROM audit_log WHERE action = 'inbox.replay' AND subject = 'inbox:`+row.String()+`' AND detail->>'reason' = 'it is cured'`))
	_, err := desk.Preview(t.Context(), row)
	require.ErrorIs(t, err, inbox.ErrNotStuck)
	_, err = desk.Replay(t.Context(), operator, id.New(), 0, "x")
	require.ErrorIs(t, err, inbox.ErrNoRow)
}

// A late second press finds the row dead again, and still does nothing: it was
// pressed on what stood before.
func TestReplayPressedOnAnOlderPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := b.dead(t, fact("evt_1"))
	b.applier.verdict = payment.Retry
	desk, operator := b.desk(t)
	e, err := desk.Replay(t.Context(), operator, row, 0, "try")
	require.NoError(t, err)
	require.Equal(t, payment.StateFailed, e.State)
	require.Equal(t, 1, e.Attempts, "it begins anew")
	require.Equal(t, 1, e.Replays)
	b.exec(t, `UPDATE inbox SET state = 'dead', done_at = app_now()`)
	_, err = desk.Replay(t.Context(), operator, row, 0, "try")
	require.ErrorIs(t, err, inbox.ErrNotStuck)
	_, err = desk.Replay(t.Context(), operator, row, 1, "try once more")
	require.NoError(t, err)
	require.Equal(t, 2, count(t, b.db, `SELECT count(*) FROM audit_log WHERE action = 'inbox.replay'`))
}

// A pointer is fetched anew before it is applied.
func TestReplayOfAPointer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row := b.dead(t, pointer("evt_1"))
	p := asked("stripe")
	desk, operator := b.desk(t, p)
	e, err := desk.Replay(t.Context(), operator, row, 0, "it is there now")
	require.NoError(t, err)
	require.Equal(t, payment.StateDone, e.State)
	require.Equal(t, 1, b.applier.applied["pi_evt_1"])
	require.WithinDuration(t, time.Now(), *e.FetchedAt, time.Minute)

	p.set(func() { p.err = payment.ErrNotFound })
	gone := b.dead(t, pointer("evt_2"))
	e, err = desk.Replay(t.Context(), operator, gone, 0, "look again")
	require.NoError(t, err)
	require.Equal(t, payment.StateFailed, e.State)
	require.Contains(t, e.Note, "does not know")
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"id":"pi_1","client_secret":"pi_1_secret_x","amount":5}`:    `{"id":"pi_1","client_secret":"(not shown)","amount":5}`,
		`{"card": {"Token" : "flw-t1-\"abc\\", "last_4digits": "1"}}`: `{"card": {"Token" : "(not shown)", "last_4digits": "1"}}`,
		`{"pin": 1234, "cvv":"999", "password": "a`:                   `{"pin": "(not shown)", "cvv":"(not shown)", "password": "a`,
		`{"secret": null, "href": "https://x/?token=1"}`:              `{"secret": null, "href": "https://x/?token=1"}`,
		"\x00\xff not JSON": "\x00\xff not JSON",
	} {
		require.Equal(t, want, string(payment.Redact([]byte(in))))
	}
}
