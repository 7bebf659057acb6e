package host

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Fault is a way in which a provider fails its clients.
type Fault string

// Faults of answers to requests that change something. They are decided per
// request that is not a replay.
const (
	// CutReply: the effect happens and the answer breaks off in the middle.
	CutReply Fault = "cut_reply"
	// ErrorAfter: the effect happens and the answer is 500, kept under the key.
	ErrorAfter Fault = "error_after"
	// ErrorBefore: the answer is 500 and nothing happened or is kept.
	ErrorBefore Fault = "error_before"
	// ForgetKey: the idempotency key of the request is not remembered.
	ForgetKey Fault = "forget_key"
	// RateLimit: 429 before anything else.
	RateLimit Fault = "rate_limit"
	// LockTimeout: 429 with the code lock_timeout.
	LockTimeout Fault = "lock_timeout"
	// Slow: the request works for long before its effect. One-shot only.
	Slow Fault = "slow"
	// Stale: a question is answered as it was answered before. One-shot only.
	Stale Fault = "stale"
	// MixedUp: a question is answered as another one of its route was. One-shot only.
	MixedUp Fault = "mixed_up"
)

// Faults of pages, payments and refunds.
const (
	// PayExpired: a closed page can still be paid.
	PayExpired Fault = "pay_expired"
	// Decline: the first card is declined.
	Decline Fault = "decline"
	// RefundPending: a refund stays pending until it is told otherwise.
	RefundPending Fault = "refund_pending"
	// CapturePending: a capture of PayPal's stays pending.
	CapturePending Fault = "capture_pending"
	// CaptureDeclined: a capture of PayPal's is declined for good.
	CaptureDeclined Fault = "capture_declined"
	// CaptureDenied: a capture of PayPal's is pending first and then denied.
	CaptureDenied Fault = "capture_denied"
)

// Faults of events.
const (
	// Duplicate: an event is sent two to four times at once.
	Duplicate Fault = "duplicate"
	// Reorder: an event is sent after a later one.
	Reorder Fault = "reorder"
	// DelayEvent: an event is sent late.
	DelayEvent Fault = "delay"
	// Drop: an event is never sent.
	Drop Fault = "drop"
	// Silence: no event of one step of a page is ever sent.
	Silence Fault = "silence"
)

// Faults lists every fault.
var Faults = []Fault{
	CutReply, ErrorAfter, ErrorBefore, ForgetKey, RateLimit, LockTimeout, Slow, Stale, MixedUp,
	PayExpired, Decline, RefundPending, CapturePending, CaptureDeclined, CaptureDenied,
	Duplicate, Reorder, DelayEvent, Drop, Silence,
}

// Rates is the share of objects that suffer each fault, 0 to 1.
type Rates map[Fault]float64

func (r Rates) check() error {
	for f, rate := range r {
		if !slices.Contains(Faults, f) {
			return fmt.Errorf("there is no fault %q; there are %v", f, Faults)
		}
		if OneShot(f) {
			return fmt.Errorf("the fault %q can be ordered for single requests only", f)
		}
		if math.IsNaN(rate) || rate < 0 || rate > 1 {
			return fmt.Errorf("the rate of %q is %v, which is no share between 0 and 1", f, rate)
		}
	}
	return nil
}

// Shot orders a fault for the next requests of a route.
type Shot struct {
	// Route is a method and pattern as counters show them, such as
	// "POST /v1/checkout/sessions"; "*" is any route of any provider.
	Route string `json:"route"`
	Fault Fault  `json:"fault"`
	// Times is how many requests suffer it; 0 is one.
	Times int `json:"times,omitempty"`
	// Skip lets that many requests pass first.
	Skip int `json:"skip,omitempty"`
	// Millis is how long a slow request works.
	Millis int `json:"millis,omitempty"`
}

// faults is what is ordered. Host.mu guards it.
type faults struct {
	seed  uint64
	rates Rates
	shots []*Shot
}

func newFaults(seed uint64, rates Rates) faults {
	return faults{seed: seed, rates: maps.Clone(rates)}
}

// hits decides a random fault, the same way each time for one seed and what.
func (f *faults) hits(fault Fault, what string) bool {
	rate := f.rates[fault]
	return rate > 0 && f.draw(fault, what) < rate
}

// draw is a number in [0, 1) that belongs to (seed, fault, what).
func (f *faults) draw(fault Fault, what string) float64 {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, f.seed)
	_, _ = h.Write([]byte(string(fault) + "\x00" + what))
	return float64(binary.BigEndian.Uint64(h.Sum(nil))>>11) / (1 << 53)
}

// ordered is what one request has to suffer.
type ordered struct {
	cut, after, before, forget, limited, locked, stale, mixed bool
	slow                                                      time.Duration
}

// take uses up the shots for one request of a route.
func (f *faults) take(route string) ordered {
	var o ordered
	f.shots = slices.DeleteFunc(f.shots, func(s *Shot) bool {
		if s.Route != route && s.Route != "*" {
			return false
		}
		if s.Skip > 0 {
			s.Skip--
			return false
		}
		o.set(s.Fault, time.Duration(s.Millis)*time.Millisecond)
		s.Times--
		return s.Times <= 0
	})
	return o
}

// random adds the faults that chance has for the nth changing request of a
// route.
func (o *ordered) random(f *faults, route string, n int) {
	what := fmt.Sprintf("%s#%d", route, n)
	for _, fault := range []Fault{CutReply, ErrorAfter, ErrorBefore, ForgetKey, RateLimit, LockTimeout} {
		if f.hits(fault, what) {
			o.set(fault, 0)
		}
	}
}

func (o *ordered) set(fault Fault, slow time.Duration) {
	switch fault {
	case CutReply:
		o.cut = true
	case ErrorAfter:
		o.after = true
	case ErrorBefore:
		o.before = true
	case ForgetKey:
		o.forget = true
	case RateLimit:
		o.limited = true
	case LockTimeout:
		o.locked = true
	case Slow:
		o.slow = max(o.slow, slow)
	case Stale:
		o.stale = true
	case MixedUp:
		o.mixed = true
	default: // no fault of requests
	}
}

// Hits decides a random fault of what, an object in its own order such as
// "paypal page#3": the same way each time for one seed. The lock is held.
func (h *Host) Hits(f Fault, what string) bool { return h.faults.hits(f, what) }

// Draw is a number in [0, 1) that belongs to the seed, a fault and what. The lock
// is held.
func (h *Host) Draw(f Fault, what string) float64 { return h.faults.draw(f, what) }

// SetFaults replaces the seed, the rates and the shots that are left.
func (h *Host) SetFaults(in FaultSettings) (FaultSettings, error) {
	if err := in.Rates.check(); err != nil {
		return in, BadRequest("%v", err)
	}
	var shots []*Shot
	for _, s := range in.Shots {
		if err := checkShot(&s); err != nil {
			return in, err
		}
		shots = append(shots, &s)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = newFaults(in.Seed, in.Rates)
	h.faults.shots = shots
	return in, nil
}

// Shoot orders a fault for the next requests of a route.
func (h *Host) Shoot(s Shot) error {
	if err := checkShot(&s); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults.shots = append(h.faults.shots, &s)
	return nil
}

func checkShot(s *Shot) error {
	if s.Route == "" || !OfRequests(s.Fault) || s.Times < 0 || s.Skip < 0 || s.Millis < 0 {
		return BadRequest("a shot needs a route or * and one of cut_reply, error_after, error_before, forget_key, rate_limit, lock_timeout, slow, stale, mixed_up")
	}
	s.Times = max(s.Times, 1)
	return nil
}

// CheckEventFaults refuses forced faults that are none of events.
func CheckEventFaults(forced []Fault) error {
	for _, f := range forced {
		if !slices.Contains([]Fault{Duplicate, Reorder, DelayEvent, Drop, Silence}, f) {
			return BadRequest("%q is no fault of events; there are duplicate, reorder, delay, drop and silence", f)
		}
	}
	return nil
}

// OfRequests reports whether a fault is one of answers to requests.
func OfRequests(f Fault) bool {
	return slices.Contains([]Fault{CutReply, ErrorAfter, ErrorBefore, ForgetKey, RateLimit, LockTimeout, Slow, Stale, MixedUp}, f)
}

// OneShot reports whether a fault is ordered for single requests only.
func OneShot(f Fault) bool { return f == Slow || f == Stale || f == MixedUp }
