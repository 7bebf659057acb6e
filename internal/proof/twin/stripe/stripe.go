package stripe

import (
	"net/http"
	"time"

	"proofroom/internal/proof/twin/host"
)

// Config is one account at Stripe.
type Config struct {
	// SecretKeys are the API keys that are accepted. Default DefaultSecretKey.
	SecretKeys []string
	// Account is the connected account that events carry; empty: none, as for
	// the platform's own events.
	Account string
	// APIVersion is what events say. Default APIVersion.
	APIVersion string
	// KeyMemory is how long idempotency keys are kept. Default 24 h.
	KeyMemory time.Duration
}

// Twin is the stand-in of Stripe: a host.Provider.
type Twin struct {
	cfg  Config
	host *host.Host
	state
}

// state is what Reset forgets.
type state struct {
	sessions  map[string]*session
	bySeq     []*session
	soonest   time.Time // when the next open session expires; zero is never
	intents   map[string]*intent
	charges   map[string]*charge
	refunds   map[string]*refund
	refundSeq []*refund

	disputes   map[string]*dispute
	disputeSeq []*dispute

	keys map[string]*keyRecord
}

// New makes the stand-in on a host.
func New(h *host.Host, cfg Config) *Twin {
	if len(cfg.SecretKeys) == 0 {
		cfg.SecretKeys = []string{DefaultSecretKey}
	}
	if cfg.APIVersion == "" {
		cfg.APIVersion = APIVersion
	}
	if cfg.KeyMemory <= 0 {
		cfg.KeyMemory = 24 * time.Hour
	}
	t := &Twin{cfg: cfg, host: h}
	t.Reset()
	return t
}

// Name is Stripe's.
func (t *Twin) Name() string { return host.Stripe }

// Reset forgets everything but the configuration.
func (t *Twin) Reset() {
	t.state = state{
		sessions: map[string]*session{}, intents: map[string]*intent{}, charges: map[string]*charge{},
		refunds: map[string]*refund{}, disputes: map[string]*dispute{}, keys: map[string]*keyRecord{},
	}
}

// Owns reports whether an id is of a session, payment intent, charge, refund or
// dispute.
func (t *Twin) Owns(id string) bool {
	return t.sessions[id] != nil || t.intents[id] != nil || t.charges[id] != nil || t.refunds[id] != nil || t.disputes[id] != nil
}

// Acknowledges any 2xx.
func (t *Twin) Acknowledges(status int) bool { return status >= 200 && status < 300 }

// Headers sign a body for an endpoint, with its old secret too if it has one.
func (t *Twin) Headers(at time.Time, e host.Endpoint, body []byte) http.Header {
	return headers(sign(at, body, e.Secret, e.OldSecret))
}

// headers are those of a webhook. An empty signature sends none.
func headers(signature string) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	h.Set("Accept", "*/*; q=0.5, application/xml")
	if signature != "" {
		h.Set("Stripe-Signature", signature)
	}
	return h
}

// post appends a movement of Stripe's units for a charge. The lock is held.
func (t *Twin) post(kind, obj string, units int64, c *charge) string {
	pi := c.intent
	return t.host.Post(host.Entry{
		Provider: host.Stripe, Kind: kind, Amount: minor(c.currency, units), Currency: upper(c.currency), Wire: itoa(max(units, -units)),
		Object: obj, Payment: pi.id, Ref: pi.session.id, OrderID: pi.session.clientReference, AttemptID: pi.metadata["attempt_id"],
	})
}

// fee is what Stripe keeps of a charge: 2.9 % and, where a currency has
// hundredths, 30 of them.
func fee(currency string, amount int64) int64 {
	f := amount * 29 / 1000
	if !zeroDecimal[currency] {
		f += 30
	}
	if wholeOnly[currency] {
		f -= f % 100
	}
	return min(f, amount)
}
