package twin

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// keyRecord is what is remembered of one Idempotency-Key. Twin.mu guards it.
type keyRecord struct {
	fingerprint [sha256.Size]byte
	created     time.Time
	requestID   string
	running     bool
	answer      answer
}

// fingerprint is of the route, the object and the parameters, in any order.
func fingerprint(c *call) [sha256.Size]byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q", c.route, c.id)
	for _, name := range c.params.keys {
		_, _ = fmt.Fprintf(h, " %q=%q", name, c.params.values[name])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// claimKey takes the key for a call, or says what to answer instead: the stored
// answer, whatever it was; an error when the key came with other parameters; a
// conflict while the first call still runs.
func (t *Twin) claimKey(c *call) (*answer, *apiError) {
	if len(c.key) > 255 {
		return nil, invalid("", "", "An idempotency key has at most 255 characters.")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fp := fingerprint(c)
	old, ok := t.keys[c.key]
	if ok && !old.running && t.now().Sub(old.created) >= t.cfg.KeyMemory {
		delete(t.keys, c.key)
		ok = false
	}
	switch {
	case !ok:
		t.keys[c.key] = &keyRecord{fingerprint: fp, created: t.now(), requestID: c.requestID, running: true}
		return nil, nil
	case old.fingerprint != fp:
		t.counters.KeyMismatches++
		return nil, &apiError{
			Status: 400, Type: "idempotency_error",
			Message: fmt.Sprintf("The idempotency key '%s' was first used with other parameters; use another key for another request.", c.key),
		}
	case old.running:
		t.counters.KeyConflicts++
		return nil, &apiError{
			Status: 409, Type: "idempotency_error", Code: "idempotency_key_in_use",
			Message: "Another request with this idempotency key is in progress.",
		}
	}
	t.counters.Replays++
	a := old.answer
	a.replayOf = old.requestID
	return &a, nil
}

// settleKey ends a call's hold on its key: the answer is kept, or the key is as
// if it had never come. t.mu is held.
func (t *Twin) settleKey(c *call, a answer, keep bool) {
	if c.key == "" {
		return
	}
	rec, ok := t.keys[c.key]
	if !ok || rec.requestID != c.requestID {
		return // a reset came between
	}
	if !keep {
		delete(t.keys, c.key)
		return
	}
	rec.running, rec.answer = false, a
}

// ForgetKeys drops every remembered key, as the provider does after a day.
func (t *Twin) ForgetKeys() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for key, rec := range t.keys {
		if !rec.running {
			delete(t.keys, key)
			n++
		}
	}
	return n
}
