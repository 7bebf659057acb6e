package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
)

const (
	poll  = time.Second
	batch = 10
	// The lease leaves room for every step of one conversation, and a batch stops
	// early enough to record what it did.
	lease    = 5 * time.Minute
	longest  = 4 * time.Minute
	maxTries = 10
	// A mail whose reply was lost is most often there by then.
	repeatAfter = 5 * time.Minute
	// Nobody waits longer for a link to sign in with.
	uselessAfter = time.Hour
)

var (
	beforeSend = faultpoint.Define("notify.before_send", "a message is claimed, nothing of it was sent")
	afterSend  = faultpoint.Define("notify.after_send", "the mail server has the message, that is not recorded")
)

// Sender sends messages.
type Sender struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	cfg      Config
	outbox   outbox.Store
	accounts *account.Service
	book     account.Book
	orders   order.Store
	catalog  catalog.Store
}

// New returns a Sender, or says what is wrong with its configuration.
func New(pool *pgxpool.Pool, log *slog.Logger, o outbox.Store, accounts *account.Service, cfg Config) (*Sender, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Sender{pool: pool, log: log, cfg: cfg, outbox: o, accounts: accounts}, nil
}

// Run sends until ctx ends. Without a mail server it says so once and returns.
func (s *Sender) Run(ctx context.Context) {
	if s.cfg.Host == "" {
		waiting, err := s.outbox.Waiting(ctx, s.pool)
		if err != nil {
			s.log.Error("messages were not counted", "error", err)
		}
		s.log.Warn("no mail server is configured: messages stay queued until one is", "queued", waiting)
		return
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		n, err := s.SendDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("messages were not claimed", "error", err)
		}
		if n == batch {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// SendDue sends one batch of messages that are due and returns how many it took.
func (s *Sender) SendDue(ctx context.Context) (int, error) {
	claimed, err := s.outbox.Claim(ctx, s.pool, batch, lease)
	if err != nil {
		return 0, err
	}
	// What is being sent is sent and recorded also when the process is to stop.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer cancel()
	line := &connection{cfg: s.cfg}
	defer line.close()
	for _, m := range claimed {
		if ctx.Err() != nil {
			_, err = s.outbox.Later(work, s.pool, m, 0, "the sender was stopped before it")
		} else {
			err = s.one(work, line, m)
		}
		if err != nil {
			s.log.Error("what became of a message was not recorded", "message", m.ID, "kind", m.Kind, "error", err)
		}
	}
	return len(claimed), nil
}

// one sends a message and records how that ended.
func (s *Sender) one(ctx context.Context, line *connection, m outbox.Sending) error {
	if err := beforeSend.Hit(); err != nil {
		return err
	}
	how, cause := s.send(ctx, line, m)
	if err := afterSend.Hit(); err != nil {
		return err
	}
	// The record must not fail because the send took all of the time.
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	note, level := "", slog.LevelInfo
	if cause != nil {
		note, level = cause.Error(), slog.LevelWarn
	}
	var recorded bool
	var err error
	switch {
	case how == sent:
		recorded, err = s.outbox.Sent(rctx, s.pool, m)
	case how == lost:
		recorded, err = s.outbox.Lost(rctx, s.pool, m, repeatAfter, note)
	case how == later && m.Tries < maxTries:
		recorded, err = s.outbox.Later(rctx, s.pool, m, backoff(m.Tries), note)
	default:
		recorded, err = s.outbox.Failed(rctx, s.pool, m, note)
	}
	if err != nil {
		return err
	}
	// What the server said may name the recipient; it is in the row.
	s.log.Log(ctx, level, "a message was "+string(how), "message", m.ID, "kind", m.Kind, "try", m.Tries, "copy", m.Copies, "recorded", recorded)
	return nil
}

// backoff is how long a message waits after so many tries: half a minute first,
// four hours at most, a day in all.
func backoff(tries int) time.Duration {
	wait := 30 * time.Second
	for range min(tries, 10) - 1 {
		wait *= 4
	}
	return min(wait, 4*time.Hour)
}

// ending is how a send ended.
type ending string

const (
	sent    ending = "sent"
	refused ending = "refused"
	later   ending = "put off" // surely not taken, and may be next time
	lost    ending = "sent, with its reply lost"
)

func (s *Sender) send(ctx context.Context, line *connection, m outbox.Sending) (ending, error) {
	if m.Kind != outbox.Receipt && m.Kind != outbox.ReceiptAgain && m.Age > uselessAfter {
		return refused, errors.New("it could not be sent while somebody waited for it")
	}
	letter, err := s.write(ctx, m.Message)
	if err != nil {
		return later, fmt.Errorf("write the mail: %w", err)
	}
	mail, err := s.compose(m.Message, letter)
	if err != nil {
		return refused, err
	}
	return line.send(ctx, mail)
}

// compose makes the mail that carries a letter: the same in every copy.
func (s *Sender) compose(m outbox.Message, l letter) (*gomail.Msg, error) {
	mail := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(mail.From(s.cfg.From), mail.To(m.Recipient)); err != nil {
		return nil, err
	}
	mail.Subject(l.subject)
	mail.SetMessageIDWithValue(trimID(m.MessageID))
	mail.SetDateWithValue(m.CreatedAt)
	mail.SetGenHeader("Auto-Submitted", "auto-generated")
	mail.SetBodyString(gomail.TypeTextPlain, l.text)
	mail.AddAlternativeString(gomail.TypeTextHTML, l.html)
	return mail, nil
}

func trimID(s string) string { return s[1 : len(s)-1] }

// connection is a conversation with the mail server, begun when it is needed
// and again after it broke.
type connection struct {
	cfg    Config
	client *gomail.Client
	smtp   *smtp.Client
}

func (c *connection) send(ctx context.Context, mail *gomail.Msg) (ending, error) {
	if pg.InTransaction(ctx) {
		return later, pg.ErrInTransaction
	}
	if err := c.open(ctx); err != nil {
		return later, fmt.Errorf("reach the mail server: %w", err)
	}
	err := c.client.SendWithSMTPClient(c.smtp, mail)
	if err == nil || mail.IsDelivered() {
		if err != nil {
			c.drop() // taken, and the line broke afterwards
		}
		return sent, nil
	}
	var why *gomail.SendError
	if !errors.As(err, &why) {
		c.drop()
		return later, err
	}
	code := why.ErrorCode()
	if code == 0 || code == 421 || why.Reason == gomail.ErrWriteContent {
		c.drop() // no answer, or the last one: the line is broken
	}
	switch {
	case code >= 500 && code < 600:
		return refused, err
	case code == 0 && why.Reason == gomail.ErrSMTPDataClose:
		// The last line is out and its answer is missing. Before that line a
		// server has taken nothing.
		return lost, err
	}
	return later, err
}

func (c *connection) open(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err // the lease will not last for one more
	}
	if c.smtp != nil {
		return nil
	}
	if c.client == nil {
		if c.client, err = c.cfg.client(); err != nil {
			return err
		}
	}
	c.smtp, err = c.client.DialToSMTPClientWithContext(ctx)
	return err
}

func (c *connection) drop() {
	if c.smtp != nil {
		_ = c.smtp.Close()
		c.smtp = nil
	}
}

func (c *connection) close() {
	if c.smtp != nil {
		_ = c.client.CloseWithSMTPClient(c.smtp) // everything is said already
		c.smtp = nil
	}
}
