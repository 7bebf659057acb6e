package flutterwave

import (
	"net/http"
	"strconv"
	"time"

	"proofroom/internal/proof/twin/host"
)

// DefaultSecretKey is accepted when no key is configured.
const DefaultSecretKey = "FLWSECK_TEST-twin-X"

const (
	longestSession = 1440 * time.Minute
	// Mobile money is approved that much later at least, and up to momoSpan more.
	momoLeast = 4 * time.Minute
	momoSpan  = 6 * time.Minute
	firstID   = 288200108
)

// Config is one account at Flutterwave.
type Config struct {
	SecretKey string // default DefaultSecretKey
	// ShowComments: lists of refunds show what the request said. Without it a
	// refund does not tell who asked for it.
	ShowComments bool
}

// Twin is the stand-in of Flutterwave: a host.Provider.
type Twin struct {
	cfg  Config
	host *host.Host
	state
}

// state is what Reset forgets.
type state struct {
	last         int // the latest number that something was given
	pages        map[string]*page
	bySeq        []*page
	links        map[string]*link
	transactions map[string]*transaction
	latest       []*transaction // oldest first
	waiting      []*transaction // mobile money under way
	refunds      map[string]*refund
	refundSeq    []*refund
	disputes     map[string]*dispute
	disputeSeq   []*dispute
}

// New makes the stand-in on a host.
func New(h *host.Host, cfg Config) *Twin {
	if cfg.SecretKey == "" {
		cfg.SecretKey = DefaultSecretKey
	}
	t := &Twin{cfg: cfg, host: h}
	t.Reset()
	return t
}

// Name is Flutterwave's.
func (t *Twin) Name() string { return host.Flutterwave }

// Reset forgets everything but the configuration.
func (t *Twin) Reset() {
	t.state = state{
		last: firstID - 1, pages: map[string]*page{}, links: map[string]*link{}, transactions: map[string]*transaction{},
		refunds: map[string]*refund{}, disputes: map[string]*dispute{},
	}
}

// ForgetKeys has nothing to forget: Flutterwave remembers no keys.
func (t *Twin) ForgetKeys() int { return 0 }

// Owns reports whether an id is of a tx_ref, link, transaction, refund or
// chargeback. Numbers are given out once, whatever they are of.
func (t *Twin) Owns(id string) bool {
	return t.pages[id] != nil || t.links[id] != nil || t.transactions[id] != nil || t.refunds[id] != nil || t.disputes[id] != nil
}

func (t *Twin) number() string {
	t.last++
	return strconv.Itoa(t.last)
}

// Acknowledges exactly 200.
func (t *Twin) Acknowledges(status int) bool { return status == http.StatusOK }

// hashHeader carries an endpoint's secret hash.
const hashHeader = "verif-hash"

// Headers are the same for every body.
func (t *Twin) Headers(_ time.Time, e host.Endpoint, _ []byte) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "axios/1.7.4")
	h.Set(hashHeader, e.Secret)
	return h
}

// Tick ends the mobile money whose time has come.
func (t *Twin) Tick() {
	now := t.host.Now()
	waiting := t.waiting
	t.waiting = nil
	for _, x := range waiting {
		switch {
		case x.status != statusPending:
		case now.Before(x.due):
			t.waiting = append(t.waiting, x)
		default:
			t.end(x, x.approved, nil)
		}
	}
}

// stamp writes a time as Flutterwave does.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
