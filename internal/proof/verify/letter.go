package verify

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"proofroom/internal/proof/twin"
)

// Letter is a webhook as it lies on the wire: anybody who has seen one can send
// it again, or send another like it.
type Letter struct {
	Header http.Header
	Body   []byte
}

// With is the same letter with another header.
func (l Letter) With(name, value string) Letter {
	h := l.Header.Clone()
	h.Set(name, value)
	return Letter{h, l.Body}
}

// mailbox takes a webhook instead of an instance and keeps it.
type mailbox struct {
	server *httptest.Server
	mu     sync.Mutex
	last   Letter
}

func openMailbox() *mailbox {
	m := &mailbox{}
	m.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		m.last = Letter{r.Header.Clone(), body}
		m.mu.Unlock()
		rw.WriteHeader(http.StatusOK)
	}))
	return m
}

func (m *mailbox) letter() Letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Intercept has an event sent to the scenario instead of an instance.
func (w *World) Intercept(ctx context.Context, event string) (Letter, error) {
	ev, err := w.Twin.Event(ctx, event)
	if err != nil {
		return Letter{}, err
	}
	m := openMailbox()
	defer m.server.Close()
	_, err = w.Twin.Redeliver(ctx, event, twin.Redelivery{URLs: []string{m.server.URL}, Secret: Secret(ev.Provider)})
	return m.letter(), err
}

// Fake makes a forgery without sending it.
func (w *World) Fake(ctx context.Context, f twin.Forgery) (Letter, error) {
	m := openMailbox()
	defer m.server.Close()
	f.URL, f.Secret = m.server.URL, Secret(f.Provider)
	_, err := w.Twin.Forge(ctx, f)
	return m.letter(), err
}

// Post sends a letter to an instance as a webhook of a provider.
func (w *World) Post(ctx context.Context, i *Instance, provider string, l Letter) (a Answer) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Webhooks(provider), bytes.NewReader(l.Body))
	if err != nil {
		return Answer{Err: err}
	}
	req.Header = l.Header.Clone()
	w.Count(Deliveries, 1)
	a.From = time.Now()
	defer func() { a.To = time.Now() }()
	res, err := w.http.Do(req)
	if err != nil {
		a.Err = err
		return a
	}
	defer func() { _ = res.Body.Close() }()
	if a.Body, a.Err = io.ReadAll(res.Body); a.Err == nil {
		a.Status, a.Header = res.StatusCode, res.Header
	}
	return a
}
