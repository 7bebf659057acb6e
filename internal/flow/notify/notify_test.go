package notify

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/outbox"
	"proofroom/internal/proof/twin/mailbox"
	"proofroom/internal/testkit/pgtest"
)

var store = outbox.Store{Host: "photos.example"}

// world is a sender between a database and a mailbox.
type world struct {
	t        *testing.T
	db       *pgtest.DB
	box      *mailbox.Box
	sender   *Sender
	accounts *account.Service
	logs     *logs
	creator  uuid.UUID
	event    uuid.UUID
}

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: pgtest.New(t), box: mailbox.New(mailbox.Config{}), logs: &logs{}, event: id.New()}
	require.NoError(t, w.box.Listen())
	t.Cleanup(w.box.Close)
	w.accounts = account.New(w.db.Pool)
	w.sender = w.another()
	var err error
	_, w.creator, err = w.accounts.Provision(t.Context(), "ada@example.com", "", "test", []account.Role{account.Creator})
	require.NoError(t, err)
	w.exec(`UPDATE accounts SET name = 'Ada & Sons' WHERE id = $1`, w.creator)
	w.exec(`INSERT INTO events (id, creator_id, slug, title, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at)
		VALUES ($1, $2, 'a-run', 'Run <&> swim', 'KWD', 1000, 'Asia/Tokyo', '2026-05-01', '2026-05-02', '2026-04-30T15:00Z', '2026-05-01T15:00Z')`, w.event, w.creator)
	return w
}

func (w *world) config() Config {
	return Config{
		Host: "127.0.0.1", Port: w.box.Addr().Port, TLS: TLSNone, From: "Proofroom <mail@photos.example>",
		PublicURL: "https://photos.example", Timeout: 10 * time.Second,
	}
}

// another instance.
func (w *world) another() *Sender {
	w.t.Helper()
	s, err := New(w.db.Pool, obs.Log(w.logs, slog.LevelDebug), store, w.accounts, w.config())
	require.NoError(w.t, err)
	return s
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Owner.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// later moves the database's clock.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	w.exec(`CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
		AS 'SELECT clock_timestamp() + interval ''` + d.String() + `'''`)
}

func (w *world) queue(kind outbox.Kind, to string) uuid.UUID {
	w.t.Helper()
	messageID, err := store.Queue(w.t.Context(), w.db.Pool, outbox.Message{Kind: kind, Recipient: to})
	require.NoError(w.t, err)
	return messageID
}

func (w *world) send() int {
	w.t.Helper()
	n, err := w.sender.SendDue(w.t.Context())
	require.NoError(w.t, err)
	return n
}

func (w *world) message(messageID uuid.UUID) outbox.Message {
	w.t.Helper()
	m, err := store.Get(w.t.Context(), w.db.Pool, messageID)
	require.NoError(w.t, err)
	return m
}

// order is a paid order of a buyer with a line for a photograph and its receipt.
func (w *world) order(buyer account.Actor, email string) (orderID uuid.UUID) {
	w.t.Helper()
	orderID = id.New()
	column := "buyer_account"
	if buyer.Kind == account.KindGuest {
		column = "buyer_guest"
	}
	w.exec(`INSERT INTO orders (id, event_id, creator_id, `+column+`, email, currency, gross, commission, cart, state, paid_at)
		VALUES ($1, $2, $3, $4, $5, 'KWD', 12345, 100, '', 'paid', '2026-05-01T20:30Z')`, orderID, w.event, w.creator, buyer.ID, email)
	w.exec(`INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission) VALUES
		($1, $2, 1, 'photo', $3, $4, 'finish <b>.jpg', 12000, 100)`, id.New(), orderID, w.event, id.New())
	w.exec(`INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, name, price, commission) VALUES
		($1, $2, 2, 'event', $3, 'Run <&> swim', 345, 0)`, id.New(), orderID, w.event)
	require.NoError(w.t, pg.Exec(w.t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		return store.MessagesTx(ctx, tx, []outbox.Message{{OrderID: orderID, Kind: outbox.Receipt, Recipient: email, InboxID: id.New()}})
	}))
	return orderID
}

func (w *world) guest() account.Actor {
	w.t.Helper()
	_, g, err := w.accounts.NewGuest(w.t.Context())
	require.NoError(w.t, err)
	return account.Actor{Kind: account.KindGuest, ID: g.ID}
}

func (w *world) mails(to string) []mailbox.Mail { return w.box.List(to, 0) }

func TestReceipt(t *testing.T) {
	t.Parallel()
	w := start(t)
	orderID := w.order(w.guest(), "buyer@example.com")
	require.Equal(t, 1, w.send())
	require.Zero(t, w.send())
	require.Len(t, w.mails(""), 1)
	m := w.mails("buyer@example.com")[0]
	require.Equal(t, "Your photographs of Run <&> swim", m.Subject)
	require.Equal(t, "<receipt."+orderID.String()+"@photos.example>", m.MessageID)
	require.Equal(t, "mail@photos.example", m.From)
	for _, part := range []string{"finish <b>.jpg: ", "12.000", "0.345", "12.345", "Ada & Sons", "2 May 2026, 05:30 (Asia/Tokyo)", orderID.String(), "https://photos.example/link/lnk_"} {
		require.Contains(t, m.Text, part)
	}
	for _, part := range []string{"finish &lt;b&gt;.jpg", "Run &lt;&amp;&gt; swim", "12.345", "https://photos.example/link/lnk_"} {
		require.Contains(t, m.HTML, part)
	}
	require.NotContains(t, m.HTML, "<b>")
	require.NotContains(t, m.Text+m.HTML, "original")
	require.Contains(t, m.Raw, "Auto-Submitted: auto-generated")
	// The link is the reader's alone.
	secret := strings.TrimPrefix(m.Links()[0], "https://photos.example/link/")
	link, err := w.accounts.CheckLink(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, "buyer@example.com", link.Email)
	require.NotContains(t, w.logs.text(), secret)
	require.NotContains(t, w.logs.text(), "buyer@example.com")
	w.later(account.ReceiptLifetime + time.Minute)
	_, err = w.accounts.CheckLink(t.Context(), secret)
	require.ErrorIs(t, err, account.ErrLinkExpired)
}

// An account needs no link that signs it in, nor may a receipt that is passed on
// be one.
func TestReceiptOfAnAccount(t *testing.T) {
	t.Parallel()
	w := start(t)
	orderID := w.order(account.Actor{Kind: account.KindAccount, ID: w.creator}, "ada@example.com")
	w.exec(`UPDATE orders SET refunded = 345 WHERE id = $1`, orderID)
	_, err := store.Queue(t.Context(), w.db.Pool, outbox.Message{Kind: outbox.ReceiptAgain, OrderID: orderID, Recipient: "ada@example.com"})
	require.NoError(t, err)
	require.Equal(t, 2, w.send())
	mails := w.mails("ada@example.com")
	require.Len(t, mails, 2)
	require.NotEqual(t, mails[0].MessageID, mails[1].MessageID)
	for _, m := range mails {
		require.Equal(t, []string{"https://photos.example/o/" + orderID.String()}, m.Links())
		require.Contains(t, m.Text, "Refunded: ")
	}
}

func TestOtherLetters(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.queue(outbox.MagicLink, "new@example.com")
	w.queue(outbox.FindPurchase, "nobody@example.com")
	w.queue(outbox.FindPurchase, "ada@example.com")
	w.order(w.guest(), "buyer@example.com")
	w.queue(outbox.FindPurchase, "buyer@example.com")
	_, err := store.Queue(t.Context(), w.db.Pool, outbox.Message{Kind: outbox.Claim, AccountID: &w.creator, Recipient: "old@example.com"})
	require.NoError(t, err)
	require.Equal(t, 6, w.send())

	require.Len(t, w.mails("new@example.com")[0].Links(), 1)
	nobody := w.mails("nobody@example.com")[0]
	require.Empty(t, nobody.Links())
	require.Contains(t, nobody.Text, "Nothing was bought")
	ada := w.mails("ada@example.com")[0]
	require.Contains(t, ada.Text, "There is an account")
	require.Len(t, ada.Links(), 1)
	found := w.mails("buyer@example.com")[1]
	require.Contains(t, found.Text, "Run <&> swim, 2 May 2026, 05:30 (Asia/Tokyo): ")
	require.NotContains(t, found.Text, "There is an account")
	claim := w.mails("old@example.com")[0]
	require.Contains(t, claim.Text, "ada@example.com")
	link, err := w.accounts.CheckLink(t.Context(), strings.TrimPrefix(claim.Links()[0], "https://photos.example/link/"))
	require.NoError(t, err)
	require.Equal(t, &w.creator, link.AccountID)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.box.Fault(mailbox.Fault{Kind: mailbox.Refuse, To: "gone@example.com"})
	w.box.Fault(mailbox.Fault{Kind: mailbox.Defer, To: "full@example.com", Times: 2})
	gone, full, good := w.queue(outbox.MagicLink, "gone@example.com"), w.queue(outbox.MagicLink, "full@example.com"), w.queue(outbox.MagicLink, "good@example.com")
	require.Equal(t, 3, w.send())
	require.Equal(t, []outbox.State{outbox.Failed, outbox.Queued, outbox.Sent}, []outbox.State{w.message(gone).State, w.message(full).State, w.message(good).State})
	require.Contains(t, w.message(gone).Note, "550")
	require.Contains(t, w.message(full).Note, "451")
	require.Zero(t, w.send(), "not at once")
	w.later(31 * time.Second)
	require.Equal(t, 1, w.send())
	w.later(4 * time.Minute)
	require.Equal(t, 1, w.send())
	require.Equal(t, outbox.Sent, w.message(full).State)
	require.Len(t, w.mails(""), 2)
	require.NotContains(t, w.logs.text(), "gone@example.com")
}

// What is refused for now is tried a bounded number of times.
func TestRefusedForNowForEver(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.box.Fault(mailbox.Fault{Kind: mailbox.Defer})
	w.order(w.guest(), "full@example.com")
	var at time.Duration
	tries := 0
	for range 3 * maxTries {
		tries += w.send()
		at += 4*time.Hour + time.Minute
		w.later(at)
	}
	require.Equal(t, maxTries, tries)
	var state string
	require.NoError(t, w.db.Pool.QueryRow(t.Context(), `SELECT state FROM messages`).Scan(&state))
	require.Equal(t, "failed", state)
	for try, want := range []time.Duration{30 * time.Second, 2 * time.Minute, 8 * time.Minute, 32 * time.Minute, 128 * time.Minute, 4 * time.Hour, 4 * time.Hour} {
		require.Equal(t, want, backoff(try+1))
	}
}

// The server has the mail, and its reply is lost: one more copy, with the same
// Message-ID, and never a third.
func TestLostReply(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.box.Fault(mailbox.Fault{Kind: mailbox.Cut, Times: 2})
	messageID := w.queue(outbox.MagicLink, "a@example.com")
	other := w.queue(outbox.MagicLink, "b@example.com")
	w.box.Fault(mailbox.Fault{Kind: mailbox.CutLost, Times: 1})
	third := w.queue(outbox.MagicLink, "c@example.com")
	require.Equal(t, 3, w.send())
	for _, m := range []uuid.UUID{messageID, other, third} {
		require.Equal(t, outbox.Unknown, w.message(m).State)
	}
	require.Len(t, w.mails(""), 2)
	require.Zero(t, w.send(), "not at once")
	w.box.Fault(mailbox.Fault{Kind: mailbox.Cut, To: "a@example.com"})
	w.later(6 * time.Minute)
	require.Equal(t, 3, w.send())
	require.Equal(t, []outbox.State{outbox.Unknown, outbox.Sent, outbox.Sent},
		[]outbox.State{w.message(messageID).State, w.message(other).State, w.message(third).State})
	copies := w.mails("a@example.com")
	require.Len(t, copies, 2)
	require.Equal(t, copies[0].MessageID, copies[1].MessageID)
	// Each copy's link works, and both are one.
	var links []account.Link
	for _, m := range copies {
		l, err := w.accounts.CheckLink(t.Context(), strings.TrimPrefix(m.Links()[0], "https://photos.example/link/"))
		require.NoError(t, err)
		links = append(links, l)
	}
	require.NotEqual(t, copies[0].Links(), copies[1].Links())
	require.Equal(t, links[0], links[1])
	w.later(50 * time.Minute)
	require.Zero(t, w.send())
	require.Len(t, w.mails("a@example.com"), 2)
	require.Len(t, w.mails("c@example.com"), 1)
}

// A sender that is killed after the send and before its record, twice: two
// copies, one Message-ID.
func TestKilledBetweenSendAndRecord(t *testing.T) {
	t.Parallel()
	w := start(t)
	orderID := w.order(w.guest(), "a@example.com")
	sendAndDie := func() int {
		claimed, err := store.Claim(t.Context(), w.db.Pool, batch, lease)
		require.NoError(t, err)
		line := &connection{cfg: w.sender.cfg}
		defer line.close()
		for _, m := range claimed {
			how, err := w.sender.send(t.Context(), line, m)
			require.NoError(t, err)
			require.Equal(t, sent, how)
		}
		return len(claimed)
	}
	require.Equal(t, 1, sendAndDie())
	require.Zero(t, w.send(), "while the lease lasts")
	w.later(lease + time.Minute)
	require.Equal(t, 1, sendAndDie())
	w.later(2*lease + 2*time.Minute)
	require.Zero(t, w.send())
	copies := w.mails("a@example.com")
	require.Len(t, copies, 2)
	require.Equal(t, copies[0].MessageID, copies[1].MessageID)
	all, err := store.Of(t.Context(), w.db.Pool, orderID)
	require.NoError(t, err)
	require.Equal(t, outbox.Unknown, all[0].State)
}

// Several instances send every message once.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	w := start(t)
	const n = 60
	for range n {
		w.queue(outbox.MagicLink, "a@example.com")
	}
	var all errgroup.Group
	for range 3 {
		s := w.another()
		all.Go(func() error {
			for {
				sent, err := s.SendDue(t.Context())
				if err != nil || sent == 0 {
					return err
				}
			}
		})
	}
	require.NoError(t, all.Wait())
	seen := map[string]bool{}
	for _, m := range w.mails("") {
		require.False(t, seen[m.MessageID])
		seen[m.MessageID] = true
	}
	require.Len(t, seen, n)
}

// A server that is away costs tries and no mail.
func TestServerAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	messageID := w.queue(outbox.MagicLink, "a@example.com")
	w.box.Close()
	require.Equal(t, 1, w.send())
	m := w.message(messageID)
	require.Equal(t, outbox.Queued, m.State)
	require.Zero(t, m.Copies)
	require.Contains(t, m.Note, "reach the mail server")
}

// Nobody waits for a link of yesterday, but everybody for a receipt.
func TestLateLetters(t *testing.T) {
	t.Parallel()
	w := start(t)
	messageID := w.queue(outbox.MagicLink, "a@example.com")
	w.order(w.guest(), "b@example.com")
	w.later(25 * time.Hour)
	require.Equal(t, 2, w.send())
	require.Equal(t, outbox.Failed, w.message(messageID).State)
	require.Empty(t, w.mails("a@example.com"))
	require.Len(t, w.mails("b@example.com"), 1)
}

func TestRunSendsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	w := start(t)
	server := httptest.NewServer(w.box.Handler())
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	var running errgroup.Group
	running.Go(func() error { w.sender.Run(ctx); return nil })
	w.queue(outbox.MagicLink, "a@example.com")
	m, err := mailbox.Client{Base: server.URL}.Wait(t.Context(), "a@example.com", 0)
	require.NoError(t, err)
	require.Equal(t, "a@example.com", m.To)
	cancel()
	require.NoError(t, running.Wait())
}

// A sender that is told to stop finishes the mail at hand and hands back the
// others at once.
func TestStopInTheMiddle(t *testing.T) {
	t.Parallel()
	w := start(t)
	first, second := w.queue(outbox.MagicLink, "a@example.com"), w.queue(outbox.MagicLink, "b@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	var running errgroup.Group
	w.box.Fault(mailbox.Fault{Kind: mailbox.Slow, Times: 1, DelayMS: 100})
	w.sender.log = slog.New(onFirst{w.sender.log.Handler(), cancel}) // it logs the first mail's end
	running.Go(func() error { _, err := w.sender.SendDue(ctx); return err })
	require.NoError(t, running.Wait())
	require.Equal(t, []outbox.State{outbox.Sent, outbox.Queued}, []outbox.State{w.message(first).State, w.message(second).State})
	require.Zero(t, w.message(second).Copies)
	require.Equal(t, 1, w.send())
	require.Len(t, w.mails(""), 2)
}

// onFirst calls stop with the first line that is logged.
type onFirst struct {
	slog.Handler

	stop func()
}

func (h onFirst) Handle(ctx context.Context, r slog.Record) error {
	h.stop()
	return h.Handler.Handle(ctx, r)
}

// Without a mail server nothing is lost, and the log says so.
func TestWithoutServer(t *testing.T) {
	t.Parallel()
	w := start(t)
	messageID := w.queue(outbox.MagicLink, "a@example.com")
	s, err := New(w.db.Pool, obs.Log(w.logs, slog.LevelInfo), store, w.accounts, Config{PublicURL: "https://photos.example"})
	require.NoError(t, err)
	s.Run(t.Context())
	require.Contains(t, w.logs.text(), "no mail server is configured")
	require.Contains(t, w.logs.text(), `"queued":1`)
	require.Equal(t, outbox.Queued, w.message(messageID).State)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := Config{Host: "mail.example.com", From: "a@example.com"}
	for tls, port := range map[TLS]int{"": 587, TLSStart: 587, TLSImplicit: 465, TLSNone: 25} {
		c := good
		c.TLS = tls
		c, err := c.complete()
		require.NoError(t, err)
		require.Equal(t, port, c.Port)
		_, err = c.client()
		require.NoError(t, err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.TLS = "ssl3" },
		func(c *Config) { c.From = "nobody" },
		func(c *Config) { c.TLS, c.User, c.Password = TLSNone, "u", "p" },
	} {
		c := good
		change(&c)
		_, err := New(nil, nil, store, nil, c)
		require.Error(t, err)
	}
}

// A server that offers no TLS where it is asked for gets no mail.
func TestTLSIsNotOptional(t *testing.T) {
	t.Parallel()
	w := start(t)
	cfg := w.config()
	cfg.TLS = TLSStart
	s, err := New(w.db.Pool, obs.Log(w.logs, slog.LevelInfo), store, w.accounts, cfg)
	require.NoError(t, err)
	messageID := w.queue(outbox.MagicLink, "a@example.com")
	_, err = s.SendDue(t.Context())
	require.NoError(t, err)
	require.Empty(t, w.mails(""))
	require.Equal(t, outbox.Queued, w.message(messageID).State)
}

// No mail leaves inside a transaction, where a slow server would hold locks.
func TestRefusesTransactions(t *testing.T) {
	t.Parallel()
	w := start(t)
	require.NoError(t, pg.Exec(t.Context(), w.db.Pool, func(ctx context.Context, _ pgx.Tx) error {
		how, err := (&connection{cfg: w.sender.cfg}).send(ctx, nil)
		require.Equal(t, later, how)
		require.ErrorIs(t, err, pg.ErrInTransaction)
		return nil
	}))
}
