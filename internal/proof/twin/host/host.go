package host

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Endpoint is where webhooks go.
type Endpoint struct {
	URL string `json:"url"`
	// Provider is whose webhooks go there; empty is Stripe.
	Provider string `json:"provider,omitempty"`
	// Secret binds what is sent there: Stripe's signing secret, PayPal's id of
	// the webhook, Flutterwave's secret hash.
	Secret string `json:"secret"`
	// OldSecret, while a secret is being replaced, signs as well (Stripe).
	OldSecret string `json:"old_secret,omitempty"`
	// Events are the event types sent; empty is all.
	Events []string `json:"events,omitempty"`
	// Attempts is how often an event is sent there at most; 0 is as often as
	// Config.MaxAttempts says. With 1 nothing is sent again, as at Flutterwave
	// while its dashboard says so.
	Attempts int `json:"attempts,omitempty"`
}

// Of is the provider whose webhooks go there.
func (e Endpoint) Of() string {
	if e.Provider == "" {
		return Stripe
	}
	return e.Provider
}

func (e Endpoint) wants(provider, kind string) bool {
	if e.Of() != provider {
		return false
	}
	for _, t := range e.Events {
		if t == kind || t == "*" {
			return true
		}
	}
	return len(e.Events) == 0
}

// The providers' names.
const (
	Stripe      = "stripe"
	PayPal      = "paypal"
	Flutterwave = "flutterwave"
)

// Config describes the machine. Its zero value works.
type Config struct {
	// PublicURL is the address that payers' browsers reach, without a slash at
	// the end. Empty: the address that the request came to.
	PublicURL string
	// Endpoints receive webhooks.
	Endpoints []Endpoint

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
	if c.MaxAttempts <= 0 {
		c.MaxAttempts = 16
	}
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	return c
}

// Host is the running machine.
type Host struct {
	cfg       Config
	client    *http.Client
	providers []Provider

	stop    context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	slots   chan struct{} // sendings under way
	pending pending       // deliveries not yet finished

	mu sync.Mutex
	state
}

// state is what Reset forgets. Host.mu guards it.
type state struct {
	endpoints  []Endpoint
	offset     time.Duration // the twin's own time less the machine's
	signOffset time.Duration // the same for signatures only

	events     map[string]*Event
	eventOrder []*Event
	deliveries []*delivery
	kick       chan struct{} // closed to send at once what waits for its retry

	ledger   []Entry
	faults   faults
	executed map[string]int   // changing requests by route, for fault decisions
	told     map[string]*told // what was answered, by route, for faults
	counters Counters
}

func newState(cfg Config) state {
	return state{
		endpoints: append([]Endpoint(nil), cfg.Endpoints...),
		events:    map[string]*Event{},
		kick:      make(chan struct{}),
		faults:    newFaults(cfg.Seed, cfg.Rates),
		executed:  map[string]int{},
		told:      map[string]*told{},
		counters:  Counters{Requests: map[string]int{}, Answers: map[string]int{}},
	}
}

// New makes the machine. Attach gives it providers, Start its clockwork.
func New(cfg Config) *Host {
	cfg = cfg.withDefaults()
	h := &Host{cfg: cfg, slots: make(chan struct{}, cfg.Workers), state: newState(cfg)}
	h.stop, h.cancel = context.WithCancel(context.Background())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cfg.Workers
	h.client = &http.Client{
		Transport: transport,
		// Every provider takes a redirect for a failure.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return h
}

// Start begins the clockwork over the providers: what is due happens by itself.
func (h *Host) Start(providers ...Provider) {
	h.providers = providers
	h.wg.Go(h.tick)
}

// Providers are those that Start was given.
func (h *Host) Providers() []Provider { return h.providers }

// Close stops all deliveries and waits for them to end. What was not yet
// delivered is lost, as the whole state is.
func (h *Host) Close() {
	h.cancel()
	h.wg.Wait()
	h.client.CloseIdleConnections()
}

// Done is closed when the machine closes.
func (h *Host) Done() <-chan struct{} { return h.stop.Done() }

// Context ends when the machine closes.
func (h *Host) Context() context.Context { return h.stop }

// Lock takes the one lock over the machine and the providers' state.
func (h *Host) Lock() { h.mu.Lock() }

// Unlock gives it back.
func (h *Host) Unlock() { h.mu.Unlock() }

// Reset forgets everything but the configuration; deliveries under way still
// end by themselves.
func (h *Host) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.kick)
	h.state = newState(h.cfg)
	for _, p := range h.providers {
		p.Reset()
	}
}

// tick does what is due.
func (h *Host) tick() {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop.Done():
			return
		case <-ticker.C:
			h.mu.Lock()
			h.due()
			h.mu.Unlock()
		}
	}
}

// due lets every provider do what its time has come for. The lock is held.
func (h *Host) due() {
	for _, p := range h.providers {
		p.Tick()
	}
}

// Now is the twin's own time, UTC. The lock is held.
func (h *Host) Now() time.Time { return time.Now().Add(h.offset).UTC() }

// SigningTime is the machine's clock, shifted only when that was ordered: the
// twin's own time may be days ahead while its webhooks stay fresh. The lock is
// held.
func (h *Host) SigningTime() time.Time { return time.Now().Add(h.signOffset).UTC() }

func (h *Host) signingTime() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.SigningTime()
}

// Base is the address of the twin for whoever sent a request to reached, the
// request's Host.
func (h *Host) Base(reached string) string {
	if h.cfg.PublicURL != "" {
		return h.cfg.PublicURL
	}
	return "http://" + reached
}

// Counters are to be counted up with the lock held.
func (h *Host) Counters() *Counters { return &h.counters }

// NewID makes an id: a prefix and 24 random letters and digits.
func NewID(prefix string) string { return prefix + RandomText(24) }

// RandomText is n random letters and digits.
func RandomText(n int) string {
	return RandomOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", n)
}

// RandomOf is n random characters of an alphabet of at most 256 bytes.
func RandomOf(alphabet string, n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
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

// Quiet waits until no delivery is under way.
func (h *Host) Quiet(ctx context.Context, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := h.pending.wait(ctx); err != nil {
		return &ControlError{http.StatusRequestTimeout, "deliveries are still under way"}
	}
	return nil
}

// SetEndpoints replaces where webhooks go.
func (h *Host) SetEndpoints(in []Endpoint) ([]Endpoint, error) {
	for _, e := range in {
		if !wholeURL(e.URL) || e.Secret == "" || e.Attempts < 0 {
			return nil, BadRequest("an endpoint needs a whole URL and a secret, and no negative number of attempts")
		}
		if _, err := h.provider(e.Of()); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endpoints = append([]Endpoint(nil), in...)
	return in, nil
}

// SetClock moves the twin's time, and what is due by it happens.
func (h *Host) SetClock(in Clock) Clock {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offset = time.Duration(in.OffsetSeconds) * time.Second
	h.signOffset = time.Duration(in.SignOffsetSeconds) * time.Second
	h.due()
	return h.viewClock()
}

func (h *Host) viewClock() Clock {
	return Clock{
		OffsetSeconds: int64(h.offset / time.Second), SignOffsetSeconds: int64(h.signOffset / time.Second), Now: h.Now(),
	}
}

func (h *Host) provider(name string) (Provider, error) {
	for _, p := range h.providers {
		if p.Name() == name {
			return p, nil
		}
	}
	return nil, BadRequest("there is no provider %q", name)
}

// Owner finds the provider that an id is of. The lock is held.
func (h *Host) Owner(what, id string) (Provider, error) {
	for _, p := range h.providers {
		if p.Owns(id) {
			return p, nil
		}
	}
	return nil, Missing(what, id)
}

var errClosed = errors.New("the twin closed")
