package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Config is how a mailbox is reached.
type Config struct {
	Addr string // where SMTP is spoken; empty: a free port of this machine
	Keep int    // how many mails are kept; 0: 10,000
}

// Mail is a mail that was accepted.
type Mail struct {
	Seq       int64     `json:"seq"` // counts from 1
	From      string    `json:"from"`
	To        string    `json:"to"`
	Subject   string    `json:"subject"`
	MessageID string    `json:"message_id"`
	Text      string    `json:"text"`
	HTML      string    `json:"html"`
	Arrived   time.Time `json:"arrived"`
	Raw       string    `json:"raw"`
}

// FaultKind is how a mail goes wrong.
type FaultKind string

// The faults.
const (
	Refuse  FaultKind = "refuse"   // 550: for good
	Defer   FaultKind = "defer"    // 451: for now
	Cut     FaultKind = "cut"      // accepted, and the connection is cut before the reply
	CutLost FaultKind = "cut_lost" // the connection is cut at the same place, and the mail is lost
	Slow    FaultKind = "slow"     // accepted after a delay
)

// Fault is an order about mails to come.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	To      string    `json:"to"`       // whose mail; empty: everybody's
	Times   int       `json:"times"`    // how many mails; 0: all
	DelayMS int       `json:"delay_ms"` // of slow ones
}

// Box is one mailbox for all addresses.
type Box struct {
	cfg    Config
	server *smtp.Server
	listen net.Listener
	closed chan struct{}
	once   sync.Once
	served sync.WaitGroup

	mu     sync.Mutex
	mails  []Mail
	seq    int64
	faults []*Fault
	news   chan struct{} // closed and replaced when a mail arrives
}

// New returns a mailbox that does not listen yet.
func New(cfg Config) *Box {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Keep == 0 {
		cfg.Keep = 10_000
	}
	b := &Box{cfg: cfg, closed: make(chan struct{}), news: make(chan struct{})}
	b.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{box: b, conn: c}, nil }))
	b.server.Domain = "mailbox.test"
	b.server.MaxMessageBytes, b.server.MaxRecipients = 1<<20, 50
	b.server.ReadTimeout, b.server.WriteTimeout = time.Minute, time.Minute
	b.server.ErrorLog = log.New(io.Discard, "", 0) // whoever cuts a connection is no news here
	return b
}

// Listen begins to take mail.
func (b *Box) Listen() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", b.cfg.Addr)
	if err != nil {
		return err
	}
	b.listen = l
	b.served.Go(func() { _ = b.server.Serve(l) }) // it ends with Close
	return nil
}

// Addr is where SMTP is spoken: host and port.
func (b *Box) Addr() *net.TCPAddr {
	addr, _ := b.listen.Addr().(*net.TCPAddr)
	return addr
}

// Close ends all connections. What was received is kept.
func (b *Box) Close() {
	b.once.Do(func() {
		close(b.closed)
		_ = b.server.Close()
		if b.listen != nil {
			_ = b.listen.Close() // which the server may not have taken over yet
		}
		b.served.Wait()
	})
}

// List returns the mails to an address (empty: to all) after one, oldest first.
func (b *Box) List(to string, after int64) []Mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Mail{}
	for _, m := range b.mails {
		if m.Seq > after && (to == "" || strings.EqualFold(m.To, to)) {
			out = append(out, m)
		}
	}
	return out
}

// Wait is List that waits until there is something, or ctx ends.
func (b *Box) Wait(ctx context.Context, to string, after int64) []Mail {
	for {
		b.mu.Lock()
		news := b.news
		b.mu.Unlock()
		if got := b.List(to, after); len(got) > 0 {
			return got
		}
		select {
		case <-news:
		case <-ctx.Done():
			return []Mail{}
		case <-b.closed:
			return []Mail{}
		}
	}
}

// Fault orders how mails to come go wrong; the oldest order that fits counts.
func (b *Box) Fault(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
}

// Heal takes all orders back.
func (b *Box) Heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// fault uses one up.
func (b *Box) fault(to []string) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.faults {
		if f.To != "" && !slices.ContainsFunc(to, func(r string) bool { return strings.EqualFold(r, f.To) }) {
			continue
		}
		out := *f
		if f.Times == 1 {
			b.faults = slices.Delete(b.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return out
	}
	return Fault{}
}

func (b *Box) keep(from string, to []string, raw []byte) {
	m := parse(raw)
	m.From, m.Raw, m.Arrived = from, string(raw), time.Now().UTC()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range to {
		b.seq++
		m.Seq, m.To = b.seq, r
		b.mails = append(b.mails, m)
	}
	if over := len(b.mails) - b.cfg.Keep; over > 0 {
		b.mails = slices.Delete(b.mails, 0, over)
	}
	close(b.news)
	b.news = make(chan struct{})
}

// session is one connection.
type session struct {
	box  *Box
	conn *smtp.Conn
	from string
	to   []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if _, err := mail.ParseAddress(to); err != nil {
		return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "Not an address"}
	}
	s.to = append(s.to, to)
	return nil
}

var errCut = errors.New("mailbox: the connection was cut")

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // no last line, no mail
	}
	f := s.box.fault(s.to)
	switch f.Kind {
	case Refuse:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox here"}
	case Defer:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Not now, try again later"}
	case Slow:
		delay := time.NewTimer(time.Duration(f.DelayMS) * time.Millisecond)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-s.box.closed:
			return errCut
		}
	case CutLost:
		_ = s.conn.Conn().Close()
		return errCut
	case Cut:
		s.box.keep(s.from, s.to, bytes.Clone(raw))
		_ = s.conn.Conn().Close()
		return errCut
	}
	s.box.keep(s.from, s.to, raw)
	return nil
}
