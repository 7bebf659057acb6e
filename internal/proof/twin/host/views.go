package host

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// EventView is an event as the control surface shows it.
type EventView struct {
	Provider string    `json:"provider"`
	ID       string    `json:"id"`
	Index    int       `json:"index"`
	Type     string    `json:"type"`
	Object   string    `json:"object"` // id of what it is about
	Ref      string    `json:"ref"`    // its page
	Created  time.Time `json:"created"`
	Faults   []Fault   `json:"faults,omitempty"` // what it was made to suffer
	Copies   int       `json:"copies"`
	Arrived  bool      `json:"arrived"`        // an endpoint acknowledged it
	Body     string    `json:"body,omitempty"` // only where one event is asked for
}

func viewEvent(ev *Event) EventView {
	return EventView{
		Provider: ev.source.Provider, ID: ev.ID, Index: ev.seq, Type: ev.Kind, Object: ev.Object, Ref: ev.source.Ref,
		Created: ev.Created, Faults: ev.faults, Copies: ev.copies, Arrived: ev.arrived,
	}
}

// EventFilter picks events; an empty field picks all. Limit keeps the latest; 0
// is all.
type EventFilter struct {
	Provider, Type, Object, Ref string
	Limit                       int
}

// Events lists events without their bodies, oldest first.
func (h *Host) Events(f EventFilter) []EventView {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []EventView{}
	for _, ev := range h.eventOrder {
		if fits(f.Provider, ev.source.Provider) && fits(f.Type, ev.Kind) && fits(f.Object, ev.Object) && fits(f.Ref, ev.source.Ref) {
			out = append(out, viewEvent(ev))
		}
	}
	return latest(f.Limit, out)
}

// Event is one event with its body.
func (h *Host) Event(id string) (EventView, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ev, ok := h.events[id]
	if !ok {
		return EventView{}, Missing("event", id)
	}
	v := viewEvent(ev)
	v.Body = string(ev.Body)
	return v, nil
}

// DeliveryFilter picks deliveries; an empty field picks all.
type DeliveryFilter struct{ Provider, Event, Ref, State string }

// DeliveryView is an event's way to one endpoint.
type DeliveryView struct {
	Provider string    `json:"provider"`
	Event    string    `json:"event"`
	Type     string    `json:"type"`
	Ref      string    `json:"ref"`
	URL      string    `json:"url"`
	State    string    `json:"state"` // waiting, acknowledged, given_up
	Attempts []Attempt `json:"attempts"`
}

// Deliveries lists the deliveries with their attempts and answers, oldest first.
func (h *Host) Deliveries(f DeliveryFilter) []DeliveryView {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []DeliveryView{}
	for _, d := range h.deliveries {
		src := d.event.source
		if fits(f.Provider, src.Provider) && fits(f.Event, d.event.ID) && fits(f.Ref, src.Ref) && fits(f.State, d.state) {
			out = append(out, DeliveryView{
				Provider: src.Provider, Event: d.event.ID, Type: d.event.Kind, Ref: src.Ref, URL: d.endpoint.URL,
				State: d.state, Attempts: append([]Attempt{}, d.attempts...),
			})
		}
	}
	return out
}

// Pages lists the pages of all providers that a filter picks, each provider's
// oldest first.
func (h *Host) Pages(f PageFilter) []PageView {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.due()
	out := []PageView{}
	for _, p := range h.providers {
		if !fits(f.Provider, p.Name()) {
			continue
		}
		for _, v := range p.Pages() {
			if fits(f.Ref, v.Ref) && fits(f.AttemptID, v.AttemptID) && fits(f.OrderID, v.OrderID) && fits(f.Status, v.Status) {
				out = append(out, v)
			}
		}
	}
	return out
}

// fits reports whether a value is what a filter wants; an empty one wants all.
func fits(want, is string) bool { return want == "" || want == is }

func latest[T any](n int, list []T) []T {
	if n <= 0 {
		return list
	}
	return list[max(0, len(list)-n):]
}

// Counters is what has happened since the start or the last reset.
type Counters struct {
	Requests map[string]int `json:"requests"` // API requests by route
	Answers  map[string]int `json:"answers"`  // by route and status

	Replays       int `json:"replays"`        // answers from the memory of a key
	KeyConflicts  int `json:"key_conflicts"`  // the first call was still running
	KeyMismatches int `json:"key_mismatches"` // the key came with other parameters
	ForgottenKeys int `json:"forgotten_keys"`
	CutReplies    int `json:"cut_replies"`
	ServerErrors  int `json:"server_errors"` // ordered ones, before and after effects

	Declined int `json:"declined"`
	PaidLate int `json:"paid_late"` // payments on closed pages

	Events       int `json:"events"`
	Sent         int `json:"sent"` // webhooks put on the wire, whatever the answer
	Acknowledged int `json:"acknowledged"`
	Retries      int `json:"retries"`
	Duplicates   int `json:"duplicates"` // sent beyond the first, retries not counted
	Redelivered  int `json:"redelivered"`
	Dropped      int `json:"dropped"`
	Delayed      int `json:"delayed"`
	Held         int `json:"held"`
	OutOfOrder   int `json:"out_of_order"` // arrived after a later event of their page
	Forged       int `json:"forged"`
}

// Clock is the twin's time against the machine's.
type Clock struct {
	// OffsetSeconds moves pages' expiry, the age of keys and all times stated.
	OffsetSeconds int64 `json:"offset_seconds"`
	// SignOffsetSeconds moves the time in signatures only. Leave it at 0 while
	// the servers keep the machine's time.
	SignOffsetSeconds int64     `json:"sign_offset_seconds"`
	Now               time.Time `json:"now"`
}

// FaultSettings is what is ordered at the moment.
type FaultSettings struct {
	Seed  uint64 `json:"seed"`
	Rates Rates  `json:"rates"`
	Shots []Shot `json:"shots,omitempty"`
}

// State is the twin at a glance.
type State struct {
	Clock     Clock         `json:"clock"`
	Faults    FaultSettings `json:"faults"`
	Endpoints []Endpoint    `json:"endpoints"`
	Pages     int           `json:"pages"`
	Refunds   int           `json:"refunds"`
	Disputes  int           `json:"disputes"`
	Pending   int           `json:"pending"` // deliveries not yet finished
	Counters  Counters      `json:"counters"`
}

// Counted is what was counted up to this moment.
func (h *Host) Counted() Counters {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counted()
}

func (h *Host) counted() Counters {
	c := h.counters
	c.Requests, c.Answers = maps.Clone(c.Requests), maps.Clone(c.Answers)
	return c
}

// View is the state at this moment.
func (h *Host) View() State {
	h.pending.mu.Lock()
	pending := h.pending.n
	h.pending.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counted()
	f := FaultSettings{Seed: h.faults.seed, Rates: maps.Clone(h.faults.rates)}
	for _, s := range h.faults.shots {
		f.Shots = append(f.Shots, *s)
	}
	out := State{Clock: h.viewClock(), Faults: f, Endpoints: h.endpoints, Pending: pending, Counters: c}
	for _, p := range h.providers {
		out.Pages += len(p.Pages())
		out.Refunds += len(p.Refunds())
		out.Disputes += len(p.Disputes())
	}
	return out
}

// ControlError is an order that the control surface refuses.
type ControlError struct {
	Status  int    `json:"status"`
	Message string `json:"error"`
}

func (e *ControlError) Error() string { return "twin: " + e.Message }

// BadRequest refuses an order that makes no sense.
func BadRequest(format string, args ...any) error {
	return &ControlError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// Conflict refuses an order that the state of things forbids.
func Conflict(format string, args ...any) error {
	return &ControlError{http.StatusConflict, fmt.Sprintf(format, args...)}
}

// Missing refuses an order about something that is not there.
func Missing(what, id string) error {
	return &ControlError{http.StatusNotFound, fmt.Sprintf("there is no %s %q", what, id)}
}

func wholeURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme != "" && u.Host != ""
}
