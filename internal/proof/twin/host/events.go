package host

import (
	"fmt"
	"slices"
	"time"
)

// Event is one webhook. The provider fills in what is exported; its body is
// frozen. Host.mu guards the rest.
type Event struct {
	ID      string // unique among all events of all providers
	Kind    string // the provider's type of event
	Object  string // id of the object that it is about
	Created time.Time
	Body    []byte

	seq    int // its place among all events, from 1
	source *Source
	faults []Fault
	copies int           // sendings at once
	delay  time.Duration // before the first sending
	// released is closed when a held event may go; nil for one that is not held.
	released chan struct{}
	arrived  bool // some endpoint has acknowledged it
}

// Source is the page that events are about: they are in order within it. Host.mu
// guards it.
type Source struct {
	Provider string
	Ref      string // the page
	what     string // how chance knows it

	steps       int            // actions that made events
	counts      map[string]int // events by type
	held        []*Event       // events that wait for a later one
	deliveredAt int            // highest seq of an event that arrived
}

// NewSource makes a source. what names it to chance: "session#3".
func NewSource(provider, ref, what string) *Source {
	return &Source{Provider: provider, Ref: ref, what: what, counts: map[string]int{}}
}

// Step is one action on a page, with the events that it makes. It is used with
// the lock held, from Begin to Send.
type Step struct {
	h      *Host
	s      *Source
	forced []Fault
	n      int
	events []*Event
}

// Begin opens a step. forced are the faults that all its events suffer.
func (h *Host) Begin(s *Source, forced []Fault) *Step {
	s.steps++
	return &Step{h: h, s: s, forced: forced, n: s.steps}
}

// Emit adds an event.
func (st *Step) Emit(e Event) {
	h, ev := st.h, &e
	ev.seq, ev.source, ev.copies = len(h.eventOrder)+1, st.s, 1
	st.s.counts[ev.Kind]++
	h.eventOrder = append(h.eventOrder, ev)
	h.events[ev.ID] = ev
	h.counters.Events++
	st.events = append(st.events, ev)
}

// IDs are those of the step's events.
func (st *Step) IDs() []string {
	out := make([]string, len(st.events))
	for i, ev := range st.events {
		out[i] = ev.ID
	}
	return out
}

// EventBody is the frozen body of an event. The lock is held.
func (h *Host) EventBody(id string) ([]byte, error) {
	ev, ok := h.events[id]
	if !ok {
		return nil, Missing("event", id)
	}
	return ev.Body, nil
}

// Receivers is how many endpoints want events of a kind. The lock is held.
func (h *Host) Receivers(provider, kind string) int {
	n := 0
	for _, e := range h.endpoints {
		if e.wants(provider, kind) {
			n++
		}
	}
	return n
}

// Send decides what each event suffers and starts the deliveries.
func (st *Step) Send() {
	h := st.h
	silent := h.faults.hits(Silence, fmt.Sprintf("%s step#%d", st.s.what, st.n))
	last := -1 // the last event that anyone receives: holding it would reorder nothing
	for i, ev := range st.events {
		if h.Receivers(st.s.Provider, ev.Kind) > 0 {
			last = i
		}
	}
	for i, ev := range st.events {
		if h.Receivers(st.s.Provider, ev.Kind) == 0 {
			continue
		}
		what := fmt.Sprintf("%s %s#%d", st.s.what, ev.Kind, st.s.counts[ev.Kind])
		suffers := func(f Fault) bool {
			hit := slices.Contains(st.forced, f) || h.faults.hits(f, what)
			if hit {
				ev.faults = append(ev.faults, f)
			}
			return hit
		}
		if silent || slices.Contains(st.forced, Silence) {
			ev.faults = append(ev.faults, Silence)
			h.counters.Dropped++
			continue
		}
		if suffers(Drop) {
			h.counters.Dropped++
			continue
		}
		if suffers(Duplicate) {
			ev.copies = 2 + int(3*h.faults.draw(Duplicate, what+" copies"))
		}
		if suffers(DelayEvent) {
			ev.delay = time.Duration(float64(h.cfg.Delay) * (1 + h.faults.draw(DelayEvent, what+" length")))
			h.counters.Delayed++
		}
		if i != last && suffers(Reorder) {
			ev.released = make(chan struct{})
			st.s.held = append(st.s.held, ev)
			h.counters.Held++
		}
		for _, e := range h.endpoints {
			if e.wants(st.s.Provider, ev.Kind) {
				h.deliver(ev, e)
			}
		}
	}
}

// releaseBefore lets go the held events of a page that are older than one
// that has just been sent. The lock is held.
func (h *Host) releaseBefore(sent *Event) {
	s := sent.source
	s.held = slices.DeleteFunc(s.held, func(ev *Event) bool {
		older := ev.seq < sent.seq
		if older {
			close(ev.released)
		}
		return older
	})
}
