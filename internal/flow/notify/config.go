package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// TLS is how the connection to the mail server is protected.
type TLS string

// The protections.
const (
	TLSStart    TLS = "starttls" // begins in the clear and must turn to TLS; usually port 587
	TLSImplicit TLS = "tls"      // from the first byte; usually port 465
	TLSNone     TLS = "none"     // not at all: a server on this machine
)

// Config is how mail leaves. Without a host it stays queued.
type Config struct {
	Host     string
	Port     int // 0: 587, 465 or 25, as the protection has it
	User     string
	Password string
	TLS      TLS    // empty: TLSStart
	From     string // "Proofroom <mail@photos.example.com>"

	PublicURL string        // where links lead, without a slash at the end
	Timeout   time.Duration // of one step of a conversation; 0: 20 s
}

// complete fills in what is left out, or says what is wrong.
func (c Config) complete() (Config, error) {
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.TLS == "" {
		c.TLS = TLSStart
	}
	if c.Host == "" {
		return c, nil
	}
	ports := map[TLS]int{TLSStart: 587, TLSImplicit: 465, TLSNone: 25}
	if ports[c.TLS] == 0 {
		return c, fmt.Errorf("notify: the mail server's TLS is %q; it is starttls, tls or none", c.TLS)
	}
	if c.Port == 0 {
		c.Port = ports[c.TLS]
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return c, fmt.Errorf("notify: the sender's address %q cannot be read: %w", c.From, err)
	}
	if c.Password != "" && c.TLS == TLSNone {
		return c, errors.New("notify: the password of the mail server would travel in the clear; use starttls or tls")
	}
	return c, nil
}

// Try begins a conversation with the mail server, signs in and ends it. Nothing
// is sent.
func (c Config) Try(ctx context.Context) error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	if c.Host == "" {
		return errors.New("notify: there is no mail server")
	}
	line := connection{cfg: c}
	defer line.close()
	return line.open(ctx)
}

func (c Config) client() (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(c.Port), gomail.WithTimeout(c.Timeout), gomail.WithoutNoop()}
	switch c.TLS {
	case TLSImplicit:
		options = append(options, gomail.WithSSL())
	case TLSNone:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.User), gomail.WithPassword(c.Password))
	}
	return gomail.NewClient(c.Host, options...)
}
