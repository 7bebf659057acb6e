package twin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"proofroom/internal/proof/twin/flutterwave"
	"proofroom/internal/proof/twin/host"
	"proofroom/internal/proof/twin/mailbox"
	"proofroom/internal/proof/twin/paypal"
	"proofroom/internal/proof/twin/stripe"
)

// Config describes a twin. Its zero value works.
type Config struct {
	// Addr is where Run listens. Default 127.0.0.1:0.
	Addr string
	// PublicURL is the address that payers' browsers reach, without a slash at
	// the end. Empty: the address that the request came to.
	PublicURL string
	// Endpoints receive webhooks.
	Endpoints []Endpoint

	// SecretKeys are Stripe's API keys that are accepted. Default DefaultSecretKey.
	SecretKeys []string
	// Account is the connected account that Stripe's events carry; empty: none, as
	// for the platform's own events.
	Account string
	// APIVersion is what Stripe's events say. Default is the version of our client.
	APIVersion string
	// KeyMemory is how long Stripe keeps idempotency keys. Default 24 h.
	KeyMemory time.Duration

	// PayPal is the application whose calls PayPal's part takes. Default
	// DefaultPayPalClient with DefaultPayPalSecret.
	PayPal paypal.Config

	// Flutterwave is the account whose calls Flutterwave's part takes. Default
	// DefaultFlutterwaveKey.
	Flutterwave flutterwave.Config

	// MailAddr is where mail is taken (SMTP). Empty: a free port of this machine.
	MailAddr string

	// Seed and Rates order random faults: Rates[f] is the share, 0 to 1, of
	// pages, requests or events that suffer f.
	Seed  uint64
	Rates Rates

	// Latency is how long a changing request works before its effect.
	Latency time.Duration
	// Delay is how long a delayed event waits at least. Default 2 s.
	Delay time.Duration
	// Hold is how long an event held for reordering waits for a later one at
	// most. Default 2 s.
	Hold time.Duration
	// RetryUnit is the first pause after an answer that is no acknowledgement;
	// each further one doubles, up to 32 units. Default 1 s.
	RetryUnit time.Duration
	// MaxAttempts is how often an event is sent at most. Default 16.
	MaxAttempts int
	// DeliveryTimeout bounds one sending. Default 10 s.
	DeliveryTimeout time.Duration
	// Workers is how many webhooks are under way at once. Default 16.
	Workers int

	// Logger gets what is worth an operator's eye. Default: nothing is logged.
	Logger *slog.Logger
}

// Twin is a running stand-in for all providers. New makes it; Handler serves it;
// Close ends it.
type Twin struct {
	addr    string
	log     *slog.Logger
	handler http.Handler
	host    *host.Host
	stripe  *stripe.Twin
	paypal  *paypal.Twin
	mail    *mailbox.Box
	mailErr error // why no mail is taken

	listenOnce sync.Once
	listener   net.Listener
	listenErr  error
}

// New makes a twin and starts its clockwork: pages expire by themselves.
func New(cfg Config) *Twin {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := host.New(host.Config{
		PublicURL: cfg.PublicURL, Endpoints: cfg.Endpoints, Seed: cfg.Seed, Rates: cfg.Rates, Latency: cfg.Latency,
		Delay: cfg.Delay, Hold: cfg.Hold, RetryUnit: cfg.RetryUnit, MaxAttempts: cfg.MaxAttempts,
		DeliveryTimeout: cfg.DeliveryTimeout, Workers: cfg.Workers, Logger: cfg.Logger,
	})
	t := &Twin{addr: cfg.Addr, log: cfg.Logger, host: h}
	t.stripe = stripe.New(h, stripe.Config{
		SecretKeys: cfg.SecretKeys, Account: cfg.Account, APIVersion: cfg.APIVersion, KeyMemory: cfg.KeyMemory,
	})
	t.paypal = paypal.New(h, cfg.PayPal)
	h.Start(t.stripe, t.paypal, flutterwave.New(h, cfg.Flutterwave))
	t.mail = mailbox.New(mailbox.Config{Addr: cfg.MailAddr})
	t.mailErr = t.mail.Listen()
	t.handler = t.routes()
	return t
}

// Handler serves the providers' APIs, the payment pages and the control surface.
func (t *Twin) Handler() http.Handler { return t.handler }

// Listen opens the address that Run serves and returns its URL. Calling it
// before Run is for whoever must know the port.
func (t *Twin) Listen() (string, error) {
	if t.mailErr != nil {
		return "", fmt.Errorf("the twin takes no mail; choose another address for it: %w", t.mailErr)
	}
	t.listenOnce.Do(func() {
		var how net.ListenConfig
		t.listener, t.listenErr = how.Listen(t.host.Context(), "tcp", t.addr)
	})
	if t.listenErr != nil {
		return "", fmt.Errorf("the twin cannot listen on %s; choose another address: %w", t.addr, t.listenErr)
	}
	return "http://" + t.listener.Addr().String(), nil
}

// Run serves until ctx ends, then closes the twin. It returns nil after an
// orderly end.
func (t *Twin) Run(ctx context.Context) error {
	defer t.Close()
	url, err := t.Listen()
	if err != nil {
		return err
	}
	t.log.Info("twin is ready", "url", url, "control", url+"/_twin/")
	srv := &http.Server{Handler: t.handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(t.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("the twin stopped serving: %w", err)
	case <-ctx.Done():
	}
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(down); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the twin did not stop in order: %w", err)
	}
	return nil
}

// Close stops all deliveries and waits for them to end. What was not yet
// delivered is lost, as the whole state is.
func (t *Twin) Close() {
	t.host.Close()
	t.mail.Close()
}

// Reset forgets everything but the configuration; deliveries under way still
// end by themselves.
func (t *Twin) Reset() { t.host.Reset() }

// CA is the root of the certificates that PayPal's webhooks are signed with, in
// PEM.
func (t *Twin) CA() string { return t.paypal.CA() }

// Ledger is the twin's ledger as it stands.
func (t *Twin) Ledger() LedgerDump { return t.host.Ledger() }

// ForgetKeys drops every remembered idempotency key, as time does.
func (t *Twin) ForgetKeys() int {
	t.host.Lock()
	defer t.host.Unlock()
	n := 0
	for _, p := range t.host.Providers() {
		n += p.ForgetKeys()
	}
	return n
}
