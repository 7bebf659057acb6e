package stripe

import (
	"crypto/sha256"
	"fmt"
	"time"

	"proofroom/internal/proof/twin/host"
)

// keyRecord is what is remembered of one Idempotency-Key. The host's lock guards
// it.
type keyRecord struct {
	fingerprint [sha256.Size]byte
	created     time.Time
	requestID   string
	running     bool
	answer      host.Answer
}

// fingerprint is of the route, the object and the parameters, in any order.
func fingerprint(c *host.Call) [sha256.Size]byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q", c.Route, c.ID())
	p := c.Memo.(params)
	for _, name := range p.keys {
		_, _ = fmt.Fprintf(h, " %q=%q", name, p.values[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Claim takes the key for a call, or says what to answer instead: the stored
// answer, whatever it was; an error when the key came with other parameters; a
// conflict while the first call still runs.
func (s speaker) Claim(c *host.Call) *host.Answer {
	t := s.t
	refuse := func(e *apiError) *host.Answer { a := errorAnswer(e); return &a }
	if len(c.Key) > 255 {
		return refuse(invalid("", "", "An idempotency key has at most 255 characters."))
	}
	fp := fingerprint(c)
	old, ok := t.keys[c.Key]
	if ok && !old.running && t.host.Now().Sub(old.created) >= t.cfg.KeyMemory {
		delete(t.keys, c.Key)
		ok = false
	}
	switch {
	case !ok:
		t.keys[c.Key] = &keyRecord{fingerprint: fp, created: t.host.Now(), requestID: c.RequestID, running: true}
		return nil
	case old.fingerprint != fp:
		t.host.Counters().KeyMismatches++
		return refuse(&apiError{
			Status: 400, Type: "idempotency_error",
			Message: fmt.Sprintf("The idempotency key '%s' was first used with other parameters; use another key for another request.", c.Key),
		})
	case old.running:
		t.host.Counters().KeyConflicts++
		return refuse(&apiError{
			Status: 409, Type: "idempotency_error", Code: "idempotency_key_in_use",
			Message: "Another request with this idempotency key is in progress.",
		})
	}
	t.host.Counters().Replays++
	a := old.answer
	a.ReplayOf = old.requestID
	return &a
}

// Settle ends a call's hold on its key.
func (s speaker) Settle(c *host.Call, a host.Answer, keep bool) {
	rec, ok := s.t.keys[c.Key]
	if !ok || rec.requestID != c.RequestID {
		return // a reset came between
	}
	if !keep {
		delete(s.t.keys, c.Key)
		return
	}
	rec.running, rec.answer = false, a
}

// ForgetKeys drops every remembered key, as Stripe does after a day. The lock is
// held.
func (t *Twin) ForgetKeys() int {
	n := 0
	for key, rec := range t.keys {
		if !rec.running {
			delete(t.keys, key)
			n++
		}
	}
	return n
}
