package paypal

import (
	"net/http"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// What is accepted when nothing else is configured.
const (
	DefaultClientID = "twin-paypal-client"
	DefaultSecret   = "twin-paypal-secret"
)

const (
	merchantID    = "TW7NMERCHANT2" // 13 of PayPal's letters
	merchantEmail = "merchant@example.com"
	payerID       = "TW7NPAYER2345"

	tokenLife  = 9 * time.Hour
	orderLife  = 3 * time.Hour
	orderKeys  = 6 * time.Hour       // memory of PayPal-Request-Id, Orders v2
	refundKeys = 45 * 24 * time.Hour // and Payments v2
)

// Config is one REST application at PayPal.
type Config struct {
	ClientID string // default DefaultClientID
	Secret   string // default DefaultSecret
}

// Twin is the stand-in of PayPal: a host.Provider.
type Twin struct {
	cfg  Config
	host *host.Host
	state

	reached string // how clients reach the twin: the Host of their last request

	certs certificates
}

// state is what Reset forgets.
type state struct {
	tokens     map[string]time.Time // until when each is good
	orders     map[string]*order
	bySeq      []*order
	soonest    time.Time // when the next order is void; zero is never
	captures   map[string]*capture
	refunds    map[string]*refund // reversals as well
	refundSeq  []*refund
	disputes   map[string]*dispute
	disputeSeq []*dispute
	invoices   map[string]bool // invoice ids of refunds
	keys       map[string]*keyRecord
}

// New makes the stand-in on a host.
func New(h *host.Host, cfg Config) *Twin {
	if cfg.ClientID == "" {
		cfg.ClientID = DefaultClientID
	}
	if cfg.Secret == "" {
		cfg.Secret = DefaultSecret
	}
	t := &Twin{cfg: cfg, host: h}
	t.Reset()
	return t
}

// Name is PayPal's.
func (t *Twin) Name() string { return host.PayPal }

// Reset forgets everything but the configuration and the certificates.
func (t *Twin) Reset() {
	t.state = state{
		tokens: map[string]time.Time{}, orders: map[string]*order{}, captures: map[string]*capture{}, refunds: map[string]*refund{},
		disputes: map[string]*dispute{}, invoices: map[string]bool{}, keys: map[string]*keyRecord{},
	}
}

// Owns reports whether an id is of an order, capture, refund or dispute.
func (t *Twin) Owns(id string) bool {
	return t.orders[id] != nil || t.captures[id] != nil || t.refunds[id] != nil || t.disputes[id] != nil
}

// Acknowledges any 2xx.
func (t *Twin) Acknowledges(status int) bool { return status >= 200 && status < 300 }

// Tick voids what nobody approved or captured in time.
func (t *Twin) Tick() {
	now := t.host.Now()
	if t.soonest.IsZero() || now.Before(t.soonest) {
		return
	}
	t.soonest = time.Time{}
	for _, o := range t.bySeq {
		switch until := o.until(); {
		case until.IsZero():
		case now.Before(until):
			t.await(until)
		default:
			t.void(o)
		}
	}
}

// await notes when something is void.
func (t *Twin) await(until time.Time) {
	if t.soonest.IsZero() || until.Before(t.soonest) {
		t.soonest = until
	}
}

// base is the address of this stand-in for its clients, from which they may take
// certificates as well. Payers reach pageURL.
func (t *Twin) base() string { return "http://" + t.reached + "/paypal" }

func (t *Twin) pageURL(o *order) string {
	return t.host.Base(t.reached) + "/paypal/checkoutnow?token=" + o.id
}

// transactionID makes an id as PayPal's look: 17 capital letters and digits.
func transactionID() string { return host.RandomOf("ABCDEFGHJKLMNPRSTUVWXY0123456789", 17) }

// stamp writes a time as PayPal does.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}
