package host

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const keptAnswer = 300 // bytes of each answer that are kept

// Attempt is one sending of an event.
type Attempt struct {
	At     time.Time `json:"at"`
	Copy   int       `json:"copy,omitempty"` // above 0: a duplicate sent at once with the first
	Status int       `json:"status"`         // 0: no answer
	Answer string    `json:"answer,omitempty"`
	Error  string    `json:"error,omitempty"`
	Millis int64     `json:"millis"`
}

// delivery is an event's way to one endpoint. Host.mu guards it.
type delivery struct {
	event    *Event
	provider Provider
	endpoint Endpoint
	state    string
	attempts []Attempt
}

// States of a delivery.
const (
	DeliveryWaiting      = "waiting"
	DeliveryAcknowledged = "acknowledged"
	DeliveryGivenUp      = "given_up"
)

// deliver starts the way of an event to an endpoint. h.mu is held.
func (h *Host) deliver(ev *Event, e Endpoint) {
	p, err := h.provider(ev.source.Provider)
	if err != nil || h.stop.Err() != nil {
		return
	}
	d := &delivery{event: ev, provider: p, endpoint: e, state: DeliveryWaiting}
	h.deliveries = append(h.deliveries, d)
	released := ev.released
	h.pending.add()
	h.wg.Go(func() {
		defer h.pending.done()
		h.carry(d, released)
	})
}

// carry sends until the endpoint acknowledges, the attempts are used up or the
// twin closes.
func (h *Host) carry(d *delivery, released <-chan struct{}) {
	if !h.pause(d.event.delay, nil) {
		return
	}
	if released != nil && !h.pause(h.cfg.Hold, released) {
		return
	}
	most := d.endpoint.Attempts
	if most == 0 {
		most = h.cfg.MaxAttempts
	}
	for n := 1; n <= most; n++ {
		if n > 1 {
			h.mu.Lock()
			kick := h.kick
			h.counters.Retries++
			h.mu.Unlock()
			if !h.pause(h.cfg.RetryUnit*time.Duration(min(1<<(n-2), 32)), kick) {
				return
			}
		}
		if h.attempt(d, n == 1) {
			return
		}
	}
	h.mu.Lock()
	d.state = DeliveryGivenUp
	h.mu.Unlock()
	h.cfg.Logger.Warn("a webhook was given up", "event", d.event.ID, "type", d.event.Kind, "url", d.endpoint.URL)
}

// pause waits for a time or a signal. False means that the twin closes.
func (h *Host) pause(length time.Duration, signal <-chan struct{}) bool {
	if length <= 0 {
		return h.stop.Err() == nil
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-signal:
	case <-h.stop.Done():
		return false
	}
	return true
}

// attempt sends an event once, and its duplicates with it the first time. It
// reports whether the delivery is over.
func (h *Host) attempt(d *delivery, first bool) bool {
	copies := 1
	if first {
		copies = d.event.copies
	}
	results := make([]Attempt, copies)
	var sending sync.WaitGroup
	for i := range copies {
		sending.Go(func() {
			results[i] = h.send(d.provider, d.endpoint, d.event.Body)
			results[i].Copy = i
		})
	}
	sending.Wait()

	h.mu.Lock()
	defer h.mu.Unlock()
	h.counters.Sent += copies
	h.counters.Duplicates += copies - 1
	d.attempts = append(d.attempts, results...)
	h.releaseBefore(d.event)
	ok := false
	for _, r := range results {
		ok = ok || d.provider.Acknowledges(r.Status)
	}
	if !ok {
		return h.stop.Err() != nil
	}
	d.state = DeliveryAcknowledged
	h.counters.Acknowledged++
	h.arrive(d.event)
	return true
}

// arrive notes that an event reached an endpoint, and whether a later one of
// its page was there before it. h.mu is held.
func (h *Host) arrive(ev *Event) {
	if ev.seq < ev.source.deliveredAt {
		h.counters.OutOfOrder++
	}
	ev.source.deliveredAt = max(ev.source.deliveredAt, ev.seq)
	ev.arrived = true
}

// send posts a body, signed now, and waits for a free slot first.
func (h *Host) send(p Provider, e Endpoint, body []byte) Attempt {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-h.stop.Done():
		return Attempt{At: time.Now().UTC(), Error: errClosed.Error()}
	}
	return h.post1(h.stop, e.URL, body, p.Headers(h.signingTime(), e, body))
}

// post1 makes one HTTP request of a webhook.
func (h *Host) post1(ctx context.Context, url string, body []byte, header http.Header) Attempt {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.DeliveryTimeout)
	defer cancel()
	begun := time.Now()
	a := Attempt{At: begun.UTC()}
	defer func() { a.Millis = time.Since(begun).Milliseconds() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		a.Error = err.Error()
		return a
	}
	req.Header = header
	res, err := h.client.Do(req)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	defer func() { _ = res.Body.Close() }()
	a.Status = res.StatusCode
	kept, err := io.ReadAll(io.LimitReader(res.Body, keptAnswer))
	if err != nil {
		a.Error = err.Error()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, MaxRequest))
	a.Answer = strings.ToValidUTF8(string(kept), "?")
	return a
}

// RetryNow sends at once what waits for its next attempt.
func (h *Host) RetryNow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.kick)
	h.kick = make(chan struct{})
}

// Redelivery orders an event to be sent again.
type Redelivery struct {
	// Times is how often each URL gets it. Default 1, at most 1000.
	Times int `json:"times,omitempty"`
	// URLs are where it goes; empty: every endpoint.
	URLs []string `json:"urls,omitempty"`
	// Secret signs it; empty: that of the endpoint with the URL, else the first
	// endpoint's.
	Secret string `json:"secret,omitempty"`
}

// Delivered is the answer to one sending.
type Delivered struct {
	URL string `json:"url"`
	Attempt
}

// Redeliver sends an event many times at once: all sendings start together.
func (h *Host) Redeliver(ctx context.Context, id string, r Redelivery) ([]Delivered, error) {
	times := max(r.Times, 1)
	if times > 1000 {
		return nil, BadRequest("an event is sent at most 1000 times at once, not %d", times)
	}
	h.mu.Lock()
	ev, ok := h.events[id]
	endpoints := h.endpoints
	h.mu.Unlock()
	if !ok {
		return nil, Missing("event", id)
	}
	p, err := h.provider(ev.source.Provider)
	if err != nil {
		return nil, err
	}
	to := targets(p.Name(), endpoints, r.URLs, r.Secret)
	if len(to) == 0 {
		return nil, BadRequest("there is no endpoint of %s; name URLs", p.Name())
	}
	out := make([]Delivered, times*len(to))
	start := make(chan struct{})
	var sending sync.WaitGroup
	for i := range out {
		e := to[i%len(to)]
		sending.Go(func() {
			header := p.Headers(h.signingTime(), e, ev.Body)
			<-start
			out[i] = Delivered{e.URL, h.post1(ctx, e.URL, ev.Body, header)}
		})
	}
	close(start)
	sending.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counters.Redelivered += len(out)
	h.counters.Sent += len(out)
	for _, d := range out {
		// The first arrival of an event that was dropped is no duplicate.
		if ev.arrived || !p.Acknowledges(d.Status) {
			h.counters.Duplicates++
			continue
		}
		h.arrive(ev)
	}
	return out, nil
}

// targets are the endpoints of a provider with these URLs, or all of them. A URL
// that is none gets the secret, or the first endpoint's.
func targets(provider string, endpoints []Endpoint, urls []string, secret string) []Endpoint {
	var own, out []Endpoint
	for _, e := range endpoints {
		if e.Of() == provider {
			own = append(own, e)
		}
	}
	if len(urls) == 0 {
		for _, e := range own {
			urls = append(urls, e.URL)
		}
	}
	for _, url := range urls {
		to := Endpoint{URL: url, Provider: provider}
		if len(own) > 0 {
			to.Secret = own[0].Secret
		}
		for _, e := range own {
			if e.URL == url {
				to.Secret = e.Secret
			}
		}
		if secret != "" {
			to.Secret = secret
		}
		out = append(out, to)
	}
	return out
}

// Forge sends a forged webhook once.
func (h *Host) Forge(ctx context.Context, f Forgery) (Forged, error) {
	to, fake, err := h.fake(f)
	if err != nil {
		return Forged{}, err
	}
	out := Forged{Kind: f.Kind, Event: fake.EventID, Delivered: Delivered{to.URL, h.post1(ctx, to.URL, fake.Body, fake.Header)}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counters.Forged++
	return out, nil
}

func (h *Host) fake(f Forgery) (Endpoint, Fake, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := f.Provider
	if ev, ok := h.events[f.Event]; ok && name == "" {
		name = ev.source.Provider
	}
	if p, err := h.Owner("page", f.Ref); err == nil && name == "" {
		name = p.Name()
	}
	p, err := h.provider(Endpoint{Provider: name}.Of())
	if err != nil {
		return Endpoint{}, Fake{}, err
	}
	if !slices.Contains(p.Forgeries(), f.Kind) {
		return Endpoint{}, Fake{}, BadRequest("there is no forgery %q; there are %v", f.Kind, p.Forgeries())
	}
	var urls []string
	if f.URL != "" {
		urls = []string{f.URL}
	}
	to := targets(p.Name(), h.endpoints, urls, f.Secret)
	if len(to) == 0 {
		return Endpoint{}, Fake{}, BadRequest("there is no endpoint of %s; name a URL", p.Name())
	}
	fake, err := p.Forge(f, to[0], h.SigningTime())
	return to[0], fake, err
}
