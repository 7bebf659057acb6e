package host

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"
)

// MaxRequest is the longest body of an API request, in bytes.
const MaxRequest = 1 << 20

// Call is one request to a provider's API.
type Call struct {
	Route     string // as counters show it
	Request   *http.Request
	Body      []byte
	TooLarge  bool   // the body is longer than MaxRequest or broke off
	Key       string // what makes the call one, where the client gave it
	RequestID string // the provider's own id of the call
	Memo      any    // the provider's own
}

// ID is the {id} of the route.
func (c *Call) ID() string { return c.Request.PathValue("id") }

// Answer is what a call is answered.
type Answer struct {
	Status int
	Body   []byte
	// Keep: the work was begun, so the answer stands under the call's key.
	Keep bool
	// ReplayOf is the first call's request id, for an answer from memory.
	ReplayOf string
}

// Operation is one route of a provider's API. Its work is done with the lock
// held.
type Operation struct {
	Route   string
	Changes bool // it has an effect: it is where chance puts its faults
	Do      func(c *Call) Answer
}

// Speaker is how a provider receives and answers, whatever is asked.
type Speaker interface {
	// Begin reads what every call carries, RequestID and (if the operation
	// changes something) Key among it, or refuses the call. Without the lock.
	Begin(c *Call, changes bool) *Answer
	// Refuse is how a fault looks: RateLimit, LockTimeout, ErrorBefore or
	// ErrorAfter.
	Refuse(f Fault) Answer
	// Claim takes the call's key, or returns what to answer instead. With the
	// lock, for calls with a key.
	Claim(c *Call) *Answer
	// Settle ends the hold on the key: the answer is kept, or the key is as if it
	// had never come. With the lock, for calls with a key.
	Settle(c *Call, a Answer, keep bool)
	// Head writes the headers of an answer.
	Head(c *Call, a Answer, header http.Header)
}

// Serve answers one request, with the faults that are ordered for it.
func (h *Host) Serve(w http.ResponseWriter, r *http.Request, s Speaker, op Operation) {
	c := &Call{Route: op.Route, Request: r}
	h.mu.Lock()
	h.counters.Requests[op.Route]++
	h.mu.Unlock()
	a, cut := h.answer(c, s, op)
	h.write(w, c, s, a, cut)
}

// answer does the work of a request. cut tells to break the reply off.
func (h *Host) answer(c *Call, s Speaker, op Operation) (Answer, bool) {
	var err error
	c.Body, err = io.ReadAll(io.LimitReader(c.Request.Body, MaxRequest+1))
	c.TooLarge = err != nil || len(c.Body) > MaxRequest
	if refused := s.Begin(c, op.Changes); refused != nil {
		return *refused, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.faults.take(op.Route)
	if f, refused := o.refusal(); refused {
		return s.Refuse(f), false
	}
	if op.Changes {
		if c.Key != "" {
			if stored := s.Claim(c); stored != nil {
				return *stored, h.cutNow(o)
			}
		}
		h.executed[op.Route]++
		o.random(&h.faults, op.Route, h.executed[op.Route])
		if f, refused := o.refusal(); refused {
			h.settle(c, s, Answer{}, false)
			return s.Refuse(f), false
		}
	}
	return h.execute(c, s, op, o)
}

// told is what the questions of a route were answered: each its latest answer. The
// lock is held.
type told struct {
	answers      map[string]Answer
	latest, last string // the two latest questions that differ
}

// answer is a, or an earlier answer where a fault wants one and there is one.
func (t *told) answer(question string, a Answer, o ordered) Answer {
	if t.latest != question {
		t.latest, t.last = question, t.latest
	}
	before, known := t.answers[question]
	others, there := t.answers[t.last]
	switch {
	case o.stale && known:
		return before
	case o.mixed && there:
		return others
	case a.Status < http.StatusBadRequest:
		t.answers[question] = a
	}
	return a
}

// refusal is the fault that ends a request before it has begun.
func (o ordered) refusal() (Fault, bool) {
	switch {
	case o.locked:
		return LockTimeout, true
	case o.limited:
		return RateLimit, true
	}
	return "", false
}

func (h *Host) settle(c *Call, s Speaker, a Answer, keep bool) {
	if c.Key != "" {
		s.Settle(c, a, keep)
	}
}

// execute does the operation. The lock is held, and let go while it is slow.
func (h *Host) execute(c *Call, s Speaker, op Operation, o ordered) (Answer, bool) {
	if o.before {
		h.counters.ServerErrors++
		h.settle(c, s, Answer{}, false)
		return s.Refuse(ErrorBefore), false
	}
	work := o.slow
	if op.Changes {
		work += h.cfg.Latency
	}
	if work > 0 && !h.work(work) {
		h.settle(c, s, Answer{}, false)
		return s.Refuse(ErrorBefore), false
	}
	h.due()
	a := op.Do(c)
	if !op.Changes {
		if h.told[op.Route] == nil {
			h.told[op.Route] = &told{answers: map[string]Answer{}}
		}
		a = h.told[op.Route].answer(c.Request.URL.RequestURI(), a, o)
	}
	if a.Status >= http.StatusBadRequest {
		h.settle(c, s, a, a.Keep)
		return a, false
	}
	if o.after {
		h.counters.ServerErrors++
		a = s.Refuse(ErrorAfter)
	}
	h.settle(c, s, a, !o.forget)
	if o.forget {
		h.counters.ForgottenKeys++
	}
	return a, h.cutNow(o)
}

// work lets a time pass without the lock. A client that hangs up does not stop
// the provider. False means that the twin closes.
func (h *Host) work(length time.Duration) bool {
	h.mu.Unlock()
	defer h.mu.Lock()
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.stop.Done():
		return false
	}
}

func (h *Host) cutNow(o ordered) bool {
	if o.cut {
		h.counters.CutReplies++
	}
	return o.cut
}

// write sends an answer. A cut one stops in the middle of its body, so that no
// client can take it for a request that never arrived and repeat it unasked.
func (h *Host) write(w http.ResponseWriter, c *Call, s Speaker, a Answer, cut bool) {
	h.mu.Lock()
	h.counters.Answers[c.Route+" "+strconv.Itoa(a.Status)]++
	h.mu.Unlock()
	if cut && len(a.Body) == 0 {
		panic(http.ErrAbortHandler)
	}
	s.Head(c, a, w.Header())
	if a.Status == http.StatusNoContent {
		w.WriteHeader(a.Status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	if !cut {
		_, _ = w.Write(a.Body)
		return
	}
	_, _ = io.Copy(w, bytes.NewReader(a.Body[:len(a.Body)/2]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // closes the connection
}
