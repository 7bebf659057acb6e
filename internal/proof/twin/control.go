package twin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

func (t *Twin) routes() http.Handler {
	mux := http.NewServeMux()
	t.apiRoutes(mux)
	t.pageRoutes(mux)
	t.controlRoutes(mux)
	// A page of another origin in the operator's browser must not steer the twin.
	return http.NewCrossOriginProtection().Handler(mux)
}

// handle answers a control request with what do returns, as JSON.
func handle[In, Out any](do func(r *http.Request, in In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		out, err := func() (any, error) {
			if r.Method != http.MethodGet {
				body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
				if err != nil {
					return nil, badRequest("the order cannot be read: %v", err)
				}
				if len(body) > 0 {
					if err := strict(body, &in); err != nil {
						return nil, badRequest("the order cannot be read: %v", err)
					}
				}
			}
			return do(r, in)
		}()
		status := http.StatusOK
		if err != nil {
			refusal := &ControlError{http.StatusInternalServerError, err.Error()}
			_ = errors.As(err, &refusal)
			status, out = refusal.Status, refusal
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out)
	}
}

// none is an order or an answer without content.
type none struct{}

func (t *Twin) controlRoutes(mux *http.ServeMux) {
	const at = "/_twin/api"
	mux.Handle("GET "+at+"/state", handle(func(*http.Request, none) (State, error) { return t.view(), nil }))
	mux.Handle("GET "+at+"/counters", handle(func(*http.Request, none) (Counters, error) { return t.view().Counters, nil }))
	mux.Handle("GET "+at+"/sessions", handle(func(r *http.Request, _ none) ([]SessionView, error) {
		return t.listSessions(r.URL.Query())
	}))
	mux.Handle("GET "+at+"/sessions/{id}", handle(func(r *http.Request, _ none) (SessionView, error) {
		return t.oneSession(r.PathValue("id"))
	}))
	mux.Handle("POST "+at+"/sessions/{id}/pay", handle(func(r *http.Request, in PayRequest) (PayResult, error) {
		return t.pay(r.PathValue("id"), in)
	}))
	mux.Handle("POST "+at+"/sessions/{id}/finish", handle(func(r *http.Request, in finishOrder) (PayResult, error) {
		return t.finish(r.PathValue("id"), in.OK, in.Faults)
	}))
	mux.Handle("POST "+at+"/sessions/{id}/expire", handle(func(r *http.Request, _ none) (SessionView, error) {
		return t.expireNow(r.PathValue("id"))
	}))
	mux.Handle("GET "+at+"/refunds", handle(func(*http.Request, none) ([]RefundView, error) { return t.allRefunds(), nil }))
	mux.Handle("POST "+at+"/refunds", handle(func(_ *http.Request, in RefundOrder) (RefundView, error) {
		return t.refundFromDashboard(in)
	}))
	mux.Handle("POST "+at+"/refunds/{id}", handle(func(r *http.Request, in moveOrder) (RefundView, error) {
		return t.moveRefund(r.PathValue("id"), in.Status, in.Faults)
	}))
	mux.Handle("GET "+at+"/events", handle(func(r *http.Request, _ none) ([]EventView, error) {
		return t.listEvents(r.URL.Query())
	}))
	mux.Handle("GET "+at+"/events/{id}", handle(func(r *http.Request, _ none) (EventView, error) {
		return t.oneEvent(r.PathValue("id"))
	}))
	mux.Handle("POST "+at+"/events/{id}/redeliver", handle(func(r *http.Request, in Redelivery) ([]Delivered, error) {
		return t.redeliver(r.Context(), r.PathValue("id"), in)
	}))
	mux.Handle("GET "+at+"/deliveries", handle(func(r *http.Request, _ none) ([]DeliveryView, error) {
		return t.listDeliveries(r.URL.Query()), nil
	}))
	mux.Handle("POST "+at+"/deliveries/retry", handle(func(*http.Request, none) (none, error) { t.retryNow(); return none{}, nil }))
	mux.Handle("POST "+at+"/quiet", handle(func(r *http.Request, in quietOrder) (none, error) {
		return none{}, t.quiet(r.Context(), time.Duration(in.Millis)*time.Millisecond)
	}))
	mux.Handle("POST "+at+"/forge", handle(func(r *http.Request, in Forgery) (Forged, error) { return t.forge(r.Context(), in) }))
	mux.Handle("PUT "+at+"/faults", handle(func(_ *http.Request, in FaultSettings) (FaultSettings, error) { return t.setFaults(in) }))
	mux.Handle("POST "+at+"/shots", handle(func(_ *http.Request, in Shot) (none, error) { return none{}, t.addShot(in) }))
	mux.Handle("PUT "+at+"/endpoints", handle(func(_ *http.Request, in []Endpoint) ([]Endpoint, error) { return t.setEndpoints(in) }))
	mux.Handle("PUT "+at+"/clock", handle(func(_ *http.Request, in Clock) (Clock, error) { return t.setClock(in), nil }))
	mux.Handle("POST "+at+"/forget_keys", handle(func(*http.Request, none) (forgotten, error) { return forgotten{t.ForgetKeys()}, nil }))
	mux.Handle("GET "+at+"/ledger", handle(func(*http.Request, none) (LedgerDump, error) { return t.Ledger(), nil }))
	mux.Handle("POST "+at+"/reset", handle(func(*http.Request, none) (none, error) { t.Reset(); return none{}, nil }))
	mux.HandleFunc(at+"/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"status":404,"error":"the control surface has no such order"}` + "\n"))
	})
}

type (
	finishOrder struct {
		OK     bool    `json:"ok"`
		Faults []Fault `json:"faults,omitempty"`
	}
	moveOrder struct {
		Status string  `json:"status"`
		Faults []Fault `json:"faults,omitempty"`
	}
	quietOrder struct {
		Millis int `json:"millis"`
	}
	forgotten struct {
		Keys int `json:"keys"`
	}
)

func (t *Twin) view() State {
	t.pending.mu.Lock()
	pending := t.pending.n
	t.pending.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counters
	c.Requests, c.Answers = maps.Clone(c.Requests), maps.Clone(c.Answers)
	f := FaultSettings{Seed: t.faults.seed, Rates: maps.Clone(t.faults.rates)}
	for _, s := range t.faults.shots {
		f.Shots = append(f.Shots, *s)
	}
	return State{
		Clock: t.viewClock(), Faults: f, Endpoints: t.endpoints, Sessions: len(t.bySeq), Refunds: len(t.refundSeq),
		Pending: pending, Counters: c,
	}
}

func (t *Twin) viewClock() Clock {
	return Clock{
		OffsetSeconds: int64(t.offset / time.Second), SignOffsetSeconds: int64(t.signOffset / time.Second), Now: t.now(),
	}
}

// Ledger is the twin's ledger as it stands.
func (t *Twin) Ledger() LedgerDump {
	t.mu.Lock()
	entries := append([]Entry{}, t.ledger...)
	t.mu.Unlock()
	return sumLedger(entries)
}

// listSessions filters by status, client_reference_id or attempt_id, oldest
// first.
func (t *Twin) listSessions(q url.Values) ([]SessionView, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireDue()
	out := []SessionView{}
	for _, s := range t.bySeq {
		if matches(q, "status", s.status) && matches(q, "client_reference_id", s.clientReference) &&
			matches(q, "attempt_id", s.metadata["attempt_id"]) {
			out = append(out, t.viewSession(s))
		}
	}
	return newest(q, out)
}

func matches(q url.Values, name, value string) bool { return !q.Has(name) || q.Get(name) == value }

// newest cuts a list to its last n, where a limit was asked for.
func newest[T any](q url.Values, list []T) ([]T, error) {
	if !q.Has("limit") {
		return list, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 0 {
		return nil, badRequest("the limit %q is no number", q.Get("limit"))
	}
	return list[max(0, len(list)-n):], nil
}

func (t *Twin) oneSession(id string) (SessionView, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireDue()
	s, ok := t.sessions[id]
	if !ok {
		return SessionView{}, missingObject("session", id)
	}
	return t.viewSession(s), nil
}

func (t *Twin) expireNow(id string) (SessionView, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sessions[id]
	if !ok {
		return SessionView{}, missingObject("session", id)
	}
	if s.status != "open" {
		return SessionView{}, conflict("the session %s is %s already", id, s.status)
	}
	t.expire(s, nil)
	return t.viewSession(s), nil
}

func (t *Twin) allRefunds() []RefundView {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []RefundView{}
	for _, r := range t.refundSeq {
		out = append(out, viewRefund(r))
	}
	return out
}

// listEvents filters by type, object or session, oldest first.
func (t *Twin) listEvents(q url.Values) ([]EventView, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []EventView{}
	for _, ev := range t.eventOrder {
		if matches(q, "type", ev.kind) && matches(q, "object", ev.object) && matches(q, "session", ev.session.id) {
			out = append(out, viewEvent(ev))
		}
	}
	return newest(q, out)
}

func (t *Twin) oneEvent(id string) (EventView, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ev, ok := t.events[id]
	if !ok {
		return EventView{}, missingObject("event", id)
	}
	v := viewEvent(ev)
	v.Body = string(ev.body)
	return v, nil
}

// listDeliveries filters by event, session or state, oldest first.
func (t *Twin) listDeliveries(q url.Values) []DeliveryView {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []DeliveryView{}
	for _, d := range t.deliveries {
		if matches(q, "event", d.event.id) && matches(q, "session", d.event.session.id) && matches(q, "state", d.state) {
			out = append(out, viewDelivery(d))
		}
	}
	return out
}

// retryNow sends at once what waits for its next attempt.
func (t *Twin) retryNow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.kick)
	t.kick = make(chan struct{})
}

// quiet waits until no delivery is under way.
func (t *Twin) quiet(ctx context.Context, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := t.pending.wait(ctx); err != nil {
		return &ControlError{http.StatusRequestTimeout, "deliveries are still under way"}
	}
	return nil
}

func (t *Twin) setFaults(in FaultSettings) (FaultSettings, error) {
	if err := in.Rates.check(); err != nil {
		return in, badRequest("%v", err)
	}
	var shots []*Shot
	for _, s := range in.Shots {
		if err := checkShot(&s); err != nil {
			return in, err
		}
		shots = append(shots, &s)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = newFaults(in.Seed, in.Rates)
	t.faults.shots = shots
	return in, nil
}

func checkShot(s *Shot) error {
	if s.Route == "" || !requestFault(s.Fault) || s.Times < 0 || s.Skip < 0 || s.Millis < 0 {
		return badRequest("a shot needs a route or * and one of cut_reply, error_after, error_before, forget_key, rate_limit, lock_timeout, slow")
	}
	s.Times = max(s.Times, 1)
	return nil
}

func (t *Twin) addShot(s Shot) error {
	if err := checkShot(&s); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults.shots = append(t.faults.shots, &s)
	return nil
}

func (t *Twin) setEndpoints(in []Endpoint) ([]Endpoint, error) {
	for _, e := range in {
		u, err := url.Parse(e.URL)
		if err != nil || u.Host == "" || e.Secret == "" {
			return nil, badRequest("an endpoint needs a whole URL and a secret")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoints = append([]Endpoint(nil), in...)
	return in, nil
}

func (t *Twin) setClock(in Clock) Clock {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offset = time.Duration(in.OffsetSeconds) * time.Second
	t.signOffset = time.Duration(in.SignOffsetSeconds) * time.Second
	t.expireDue()
	return t.viewClock()
}
