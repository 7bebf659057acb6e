package twin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultSecretKey is accepted when no key is configured.
const DefaultSecretKey = "sk_test_twin"

// Endpoint is where webhooks go.
type Endpoint struct {
	URL string `json:"url"`
	// Secret signs what is sent there.
	Secret string `json:"secret"`
	// OldSecret, while a secret is being replaced, signs as well.
	OldSecret string `json:"old_secret,omitempty"`
	// Events are the event types sent; empty is all.
	Events []string `json:"events,omitempty"`
}

func (e Endpoint) wants(kind string) bool {
	for _, t := range e.Events {
		if t == kind || t == "*" {
			return true
		}
	}
	return len(e.Events) == 0
}

// Config describes a twin. Its zero value works.
type Config struct {
	// Addr is where Run listens. Default 127.0.0.1:0.
	Addr string
	// PublicURL is the address that payers' browsers reach, without a slash at
	// the end. Empty: the address that the request came to.
	PublicURL string
	// SecretKeys are the API keys that are accepted. Default DefaultSecretKey.
	SecretKeys []string
	// Account is the connected account that events carry; empty: none, as for
	// the platform's own events.
	Account string
	// APIVersion is what events say. Default is the version of our client.
	APIVersion string
	// Endpoints receive webhooks.
	Endpoints []Endpoint

	// Seed and Rates order random faults: Rates[f] is the share, 0 to 1, of
	// sessions, requests or events that suffer f.
	Seed  uint64
	Rates Rates

	// Latency is how long a changing request works before its effect.
	Latency time.Duration
	// Delay is how long a delayed event waits at least. Default 2 s.
	Delay time.Duration
	// Hold is how long an event held for reordering waits for a later one at
	// most. Default 2 s.
	Hold time.Duration
	// RetryUnit is the first pause after an answer other than 2xx; each further
	// one doubles, up to 32 units. Default 1 s.
	RetryUnit time.Duration
	// MaxAttempts is how often an event is sent at most. Default 16.
	MaxAttempts int
	// DeliveryTimeout bounds one sending. Default 10 s.
	DeliveryTimeout time.Duration
	// Workers is how many webhooks are under way at once. Default 16.
	Workers int
	// KeyMemory is how long idempotency keys are kept. Default 24 h.
	KeyMemory time.Duration

	// Logger gets what is worth an operator's eye. Default: nothing is logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	or(&c.Delay, 2*time.Second)
	or(&c.Hold, 2*time.Second)
	or(&c.RetryUnit, time.Second)
	or(&c.DeliveryTimeout, 10*time.Second)
	or(&c.KeyMemory, 24*time.Hour)
	if c.MaxAttempts <= 0 {
		c.MaxAttempts = 16
	}
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if len(c.SecretKeys) == 0 {
		c.SecretKeys = []string{DefaultSecretKey}
	}
	if c.APIVersion == "" {
		c.APIVersion = apiVersion
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	return c
}

// Twin is a running stand-in. New makes it; Handler serves it; Close ends it.
type Twin struct {
	cfg     Config
	log     *slog.Logger
	handler http.Handler
	client  *http.Client

	stop    context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	slots   chan struct{} // sendings under way
	pending pending       // deliveries not yet finished

	listenOnce sync.Once
	listener   net.Listener
	listenErr  error

	mu sync.Mutex
	state
}

// state is what Reset forgets. Twin.mu guards it.
type state struct {
	endpoints  []Endpoint
	offset     time.Duration // the twin's own time less the machine's
	signOffset time.Duration // the same for signatures only

	sessions  map[string]*session
	bySeq     []*session
	soonest   time.Time // when the next open session expires; zero is never
	intents   map[string]*intent
	charges   map[string]*charge
	refunds   map[string]*refund
	refundSeq []*refund

	events     map[string]*event
	eventOrder []*event
	deliveries []*delivery
	kick       chan struct{} // closed to send at once what waits for its retry

	keys     map[string]*keyRecord
	ledger   []Entry
	faults   faults
	executed map[string]int // changing requests by route, for fault decisions
	counters Counters
}

func newState(cfg Config) state {
	return state{
		endpoints: append([]Endpoint(nil), cfg.Endpoints...),
		sessions:  map[string]*session{},
		intents:   map[string]*intent{},
		charges:   map[string]*charge{},
		refunds:   map[string]*refund{},
		events:    map[string]*event{},
		kick:      make(chan struct{}),
		keys:      map[string]*keyRecord{},
		faults:    newFaults(cfg.Seed, cfg.Rates),
		executed:  map[string]int{},
		counters:  Counters{Requests: map[string]int{}, Answers: map[string]int{}},
	}
}

// New makes a twin and starts its clockwork: sessions expire by themselves.
func New(cfg Config) *Twin {
	cfg = cfg.withDefaults()
	t := &Twin{cfg: cfg, log: cfg.Logger, slots: make(chan struct{}, cfg.Workers), state: newState(cfg)}
	t.stop, t.cancel = context.WithCancel(context.Background())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cfg.Workers
	t.client = &http.Client{
		Transport: transport,
		// The provider takes a redirect for a failure.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.handler = t.routes()
	t.wg.Go(t.tick)
	return t
}

// Handler serves the provider's API, the payment pages and the control surface.
func (t *Twin) Handler() http.Handler { return t.handler }

// Listen opens the address that Run serves and returns its URL. Calling it
// before Run is for whoever must know the port.
func (t *Twin) Listen() (string, error) {
	t.listenOnce.Do(func() {
		var how net.ListenConfig
		t.listener, t.listenErr = how.Listen(t.stop, "tcp", t.cfg.Addr)
	})
	if t.listenErr != nil {
		return "", fmt.Errorf("the twin cannot listen on %s; choose another address: %w", t.cfg.Addr, t.listenErr)
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
	t.cancel()
	t.wg.Wait()
	t.client.CloseIdleConnections()
}

// Reset forgets everything but the configuration; deliveries under way still
// end by themselves.
func (t *Twin) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.kick)
	t.state = newState(t.cfg)
}

// tick expires sessions whose time has come.
func (t *Twin) tick() {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-t.stop.Done():
			return
		case <-ticker.C:
			t.mu.Lock()
			t.expireDue()
			t.mu.Unlock()
		}
	}
}

// now is the twin's own time. t.mu is held.
func (t *Twin) now() time.Time { return time.Now().Add(t.offset).UTC() }

// newID makes an id as the provider's look: a prefix and 24 letters and digits.
func newID(prefix string) string { return prefix + randomText(24) }

func randomText(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// pending counts unfinished work, for those who wait until there is none.
type pending struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n returns to 0; nil while n is 0
}

func (p *pending) add() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n++; p.n == 1 {
		p.zero = make(chan struct{})
	}
}

func (p *pending) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n--; p.n == 0 {
		close(p.zero)
		p.zero = nil
	}
}

// wait returns nil once there is no unfinished work.
func (p *pending) wait(ctx context.Context) error {
	p.mu.Lock()
	zero := p.zero
	p.mu.Unlock()
	if zero == nil {
		return nil
	}
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
