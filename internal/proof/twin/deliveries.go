package twin

import (
	"bytes"
	"context"
	"io"
	"net/http"
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

func (a Attempt) acknowledged() bool { return a.Status >= 200 && a.Status < 300 }

// delivery is an event's way to one endpoint. Twin.mu guards it.
type delivery struct {
	event    *event
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

// deliver starts the way of an event to an endpoint. t.mu is held.
func (t *Twin) deliver(ev *event, e Endpoint) {
	if t.stop.Err() != nil {
		return
	}
	d := &delivery{event: ev, endpoint: e, state: DeliveryWaiting}
	t.deliveries = append(t.deliveries, d)
	released := ev.released
	t.pending.add()
	t.wg.Go(func() {
		defer t.pending.done()
		t.carry(d, released)
	})
}

// carry sends until the endpoint answers 2xx, the attempts are used up or the
// twin closes.
func (t *Twin) carry(d *delivery, released <-chan struct{}) {
	if !t.pause(d.event.delay, nil) {
		return
	}
	if released != nil && !t.pause(t.cfg.Hold, released) {
		return
	}
	for n := 1; n <= t.cfg.MaxAttempts; n++ {
		if n > 1 {
			t.mu.Lock()
			kick := t.kick
			t.counters.Retries++
			t.mu.Unlock()
			if !t.pause(t.cfg.RetryUnit*time.Duration(min(1<<(n-2), 32)), kick) {
				return
			}
		}
		if t.attempt(d, n == 1) {
			return
		}
	}
	t.mu.Lock()
	d.state = DeliveryGivenUp
	t.mu.Unlock()
	t.log.Warn("a webhook was given up", "event", d.event.id, "type", d.event.kind, "url", d.endpoint.URL)
}

// pause waits for a time or a signal. False means that the twin closes.
func (t *Twin) pause(length time.Duration, signal <-chan struct{}) bool {
	if length <= 0 {
		return t.stop.Err() == nil
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-signal:
	case <-t.stop.Done():
		return false
	}
	return true
}

// attempt sends an event once, and its duplicates with it the first time. It
// reports whether the delivery is over.
func (t *Twin) attempt(d *delivery, first bool) bool {
	copies := 1
	if first {
		copies = d.event.copies
	}
	results := make([]Attempt, copies)
	var sending sync.WaitGroup
	for i := range copies {
		sending.Go(func() {
			results[i] = t.send(d.endpoint, d.event.body)
			results[i].Copy = i
		})
	}
	sending.Wait()

	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.Sent += copies
	t.counters.Duplicates += copies - 1
	d.attempts = append(d.attempts, results...)
	t.releaseBefore(d.event)
	ok := false
	for _, r := range results {
		ok = ok || r.acknowledged()
	}
	if !ok {
		return t.stop.Err() != nil
	}
	d.state = DeliveryAcknowledged
	t.counters.Acknowledged++
	t.arrive(d.event)
	return true
}

// arrive notes that an event reached an endpoint, and whether a later one of
// its session was there before it. t.mu is held.
func (t *Twin) arrive(ev *event) {
	if ev.seq < ev.session.deliveredAt {
		t.counters.OutOfOrder++
	}
	ev.session.deliveredAt = max(ev.session.deliveredAt, ev.seq)
	ev.arrived = true
}

// send posts a body, signed now, and waits for a free slot first.
func (t *Twin) send(e Endpoint, body []byte) Attempt {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-t.stop.Done():
		return Attempt{At: time.Now().UTC(), Error: "the twin closed"}
	}
	return t.post1(t.stop, e.URL, body, sign(t.signingTime(), body, e.Secret, e.OldSecret))
}

// post1 makes one HTTP request of a webhook. An empty signature sends none.
func (t *Twin) post1(ctx context.Context, url string, body []byte, signature string) Attempt {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.DeliveryTimeout)
	defer cancel()
	begun := time.Now()
	a := Attempt{At: begun.UTC()}
	defer func() { a.Millis = time.Since(begun).Milliseconds() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		a.Error = err.Error()
		return a
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Accept", "*/*; q=0.5, application/xml")
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	res, err := t.client.Do(req)
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
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxRequest))
	a.Answer = strings.ToValidUTF8(string(kept), "?")
	return a
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

// redeliver sends an event many times at once: all sendings start together.
func (t *Twin) redeliver(ctx context.Context, id string, r Redelivery) ([]Delivered, error) {
	times := max(r.Times, 1)
	if times > 1000 {
		return nil, badRequest("an event is sent at most 1000 times at once, not %d", times)
	}
	t.mu.Lock()
	ev, ok := t.events[id]
	endpoints, urls := t.endpoints, r.URLs
	t.mu.Unlock()
	if !ok {
		return nil, missingObject("event", id)
	}
	if len(urls) == 0 {
		for _, e := range endpoints {
			urls = append(urls, e.URL)
		}
	}
	if len(urls) == 0 {
		return nil, badRequest("there is no endpoint; name URLs")
	}
	out := make([]Delivered, times*len(urls))
	start := make(chan struct{})
	var sending sync.WaitGroup
	for i := range out {
		url := urls[i%len(urls)]
		secret := r.Secret
		if secret == "" {
			secret = secretFor(endpoints, url)
		}
		sending.Go(func() {
			signature := sign(t.signingTime(), ev.body, secret)
			<-start
			out[i] = Delivered{url, t.post1(ctx, url, ev.body, signature)}
		})
	}
	close(start)
	sending.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.Redelivered += len(out)
	t.counters.Sent += len(out)
	for _, d := range out {
		// The first arrival of an event that was dropped is no duplicate.
		if ev.arrived || !d.acknowledged() {
			t.counters.Duplicates++
			continue
		}
		t.arrive(ev)
	}
	return out, nil
}

func secretFor(endpoints []Endpoint, url string) string {
	for _, e := range endpoints {
		if e.URL == url {
			return e.Secret
		}
	}
	if len(endpoints) > 0 {
		return endpoints[0].Secret
	}
	return ""
}
