package twin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// event is one webhook. Its body is frozen. Twin.mu guards the rest.
type event struct {
	seq     int // its place among all events, from 1
	id      string
	kind    string
	object  string // id of the object that it is about
	session *session
	created time.Time
	body    []byte
	faults  []Fault
	copies  int           // sendings at once
	delay   time.Duration // before the first sending
	// released is closed when a held event may go; nil for one that is not held.
	released chan struct{}
	arrived  bool // some endpoint has acknowledged it
}

// step is one action on a session, with the events that it makes. It is used
// with t.mu held, from begin to send.
type step struct {
	t      *Twin
	s      *session
	cause  *call
	forced []Fault
	n      int
	events []*event
}

// begin opens a step. cause is the API request that caused it, if one did;
// forced are the faults that all its events suffer.
func (t *Twin) begin(s *session, cause *call, forced []Fault) *step {
	s.steps++
	return &step{t: t, s: s, cause: cause, forced: forced, n: s.steps}
}

// emit makes an event about obj as it is now.
func (st *step) emit(kind string, obj object) {
	t := st.t
	ev := &event{
		seq: len(t.eventOrder) + 1, id: newID("evt_"), kind: kind, object: fmt.Sprint(obj["id"]),
		session: st.s, created: t.now(), copies: 1,
	}
	request := object{"id": nil, "idempotency_key": nil}
	if st.cause != nil {
		request = object{"id": st.cause.requestID, "idempotency_key": orNull(st.cause.key)}
	}
	receivers := 0
	for _, e := range t.endpoints {
		if e.wants(kind) {
			receivers++
		}
	}
	envelope := object{
		"id": ev.id, "object": "event", "api_version": t.cfg.APIVersion, "created": ev.created.Unix(),
		"data": object{"object": obj}, "livemode": false, "pending_webhooks": receivers, "request": request, "type": kind,
	}
	if t.cfg.Account != "" {
		envelope["account"] = t.cfg.Account
	}
	body, err := json.MarshalIndent(envelope, "", "  ")
	if err != nil {
		panic("twin: an event cannot be encoded: " + err.Error())
	}
	ev.body = body
	st.s.eventCount[kind]++
	t.eventOrder = append(t.eventOrder, ev)
	t.events[ev.id] = ev
	t.counters.Events++
	st.events = append(st.events, ev)
}

func (st *step) ids() []string {
	out := make([]string, len(st.events))
	for i, ev := range st.events {
		out[i] = ev.id
	}
	return out
}

// send decides what each event suffers and starts the deliveries.
func (st *step) send() {
	t := st.t
	silent := t.faults.hits(Silence, fmt.Sprintf("session#%d step#%d", st.s.seq, st.n))
	last := -1 // the last event that anyone receives: holding it would reorder nothing
	for i, ev := range st.events {
		if t.receivers(ev) > 0 {
			last = i
		}
	}
	for i, ev := range st.events {
		if t.receivers(ev) == 0 {
			continue
		}
		what := fmt.Sprintf("session#%d %s#%d", st.s.seq, ev.kind, st.s.eventCount[ev.kind])
		suffers := func(f Fault) bool {
			hit := slices.Contains(st.forced, f) || t.faults.hits(f, what)
			if hit {
				ev.faults = append(ev.faults, f)
			}
			return hit
		}
		if silent || slices.Contains(st.forced, Silence) {
			ev.faults = append(ev.faults, Silence)
			t.counters.Dropped++
			continue
		}
		if suffers(Drop) {
			t.counters.Dropped++
			continue
		}
		if suffers(Duplicate) {
			ev.copies = 2 + int(3*t.faults.draw(Duplicate, what+" copies"))
		}
		if suffers(DelayEvent) {
			ev.delay = time.Duration(float64(t.cfg.Delay) * (1 + t.faults.draw(DelayEvent, what+" length")))
			t.counters.Delayed++
		}
		if i != last && suffers(Reorder) {
			ev.released = make(chan struct{})
			st.s.held = append(st.s.held, ev)
			t.counters.Held++
		}
		for _, e := range t.endpoints {
			if e.wants(ev.kind) {
				t.deliver(ev, e)
			}
		}
	}
}

func (t *Twin) receivers(ev *event) int {
	n := 0
	for _, e := range t.endpoints {
		if e.wants(ev.kind) {
			n++
		}
	}
	return n
}

// releaseBefore lets go the held events of a session that are older than one
// that has just been sent. t.mu is held.
func (t *Twin) releaseBefore(sent *event) {
	s := sent.session
	s.held = slices.DeleteFunc(s.held, func(ev *event) bool {
		older := ev.seq < sent.seq
		if older {
			close(ev.released)
		}
		return older
	})
}

// checkEventFaults refuses forced faults that are none of events.
func checkEventFaults(forced []Fault) error {
	for _, f := range forced {
		if !slices.Contains([]Fault{Duplicate, Reorder, DelayEvent, Drop, Silence}, f) {
			return badRequest("%q is no fault of events; there are duplicate, reorder, delay, drop and silence", f)
		}
	}
	return nil
}

// sign makes a Stripe-Signature header over body at a time, with one v1 for
// each secret.
func sign(at time.Time, body []byte, secrets ...string) string {
	unix := strconv.FormatInt(at.Unix(), 10)
	header := "t=" + unix
	for _, secret := range secrets {
		if secret != "" {
			header += ",v1=" + mac(unix, body, secret)
		}
	}
	return header
}

func mac(unix string, body []byte, secret string) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(unix + "."))
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// signingTime is the machine's clock, shifted only when that was ordered: the
// twin's own time may be days ahead while its webhooks stay fresh.
func (t *Twin) signingTime() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Add(t.signOffset)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
