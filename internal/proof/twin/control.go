package twin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"proofroom/internal/proof/twin/host"
)

func (t *Twin) routes() http.Handler {
	mux := http.NewServeMux()
	for _, p := range t.host.Providers() {
		p.Mount(mux)
	}
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
				body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, host.MaxRequest))
				if err != nil {
					return nil, host.BadRequest("the order cannot be read: %v", err)
				}
				if len(body) > 0 {
					if err := strict(body, &in); err != nil {
						return nil, host.BadRequest("the order cannot be read: %v", err)
					}
				}
			}
			return do(r, in)
		}()
		status := http.StatusOK
		if err != nil {
			refusal := &ControlError{Status: http.StatusInternalServerError, Message: err.Error()}
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
	t.moneyRoutes(mux, at)
	mux.Handle("GET "+at+"/state", handle(func(*http.Request, none) (State, error) { return t.host.View(), nil }))
	mux.Handle("GET "+at+"/counters", handle(func(*http.Request, none) (Counters, error) { return t.host.Counted(), nil }))
	mux.Handle("GET "+at+"/events", handle(func(r *http.Request, _ none) ([]EventView, error) {
		q := r.URL.Query()
		n, err := limit(q)
		f := EventFilter{Provider: q.Get("provider"), Type: q.Get("type"), Object: q.Get("object"), Ref: q.Get("ref"), Limit: n}
		return t.host.Events(f), err
	}))
	mux.Handle("GET "+at+"/events/{id}", handle(func(r *http.Request, _ none) (EventView, error) {
		return t.host.Event(r.PathValue("id"))
	}))
	mux.Handle("POST "+at+"/events/{id}/redeliver", handle(func(r *http.Request, in Redelivery) ([]Delivered, error) {
		return t.host.Redeliver(r.Context(), r.PathValue("id"), in)
	}))
	mux.Handle("GET "+at+"/deliveries", handle(func(r *http.Request, _ none) ([]DeliveryView, error) {
		q := r.URL.Query()
		return t.host.Deliveries(DeliveryFilter{
			Provider: q.Get("provider"), Event: q.Get("event"), Ref: q.Get("ref"), State: q.Get("state"),
		}), nil
	}))
	mux.Handle("POST "+at+"/deliveries/retry", handle(func(*http.Request, none) (none, error) { t.host.RetryNow(); return none{}, nil }))
	mux.Handle("POST "+at+"/quiet", handle(func(r *http.Request, in quietOrder) (none, error) {
		return none{}, t.host.Quiet(r.Context(), time.Duration(in.Millis)*time.Millisecond)
	}))
	mux.Handle("POST "+at+"/forge", handle(func(r *http.Request, in Forgery) (Forged, error) { return t.host.Forge(r.Context(), in) }))
	mux.Handle("PUT "+at+"/faults", handle(func(_ *http.Request, in FaultSettings) (FaultSettings, error) { return t.host.SetFaults(in) }))
	mux.Handle("POST "+at+"/shots", handle(func(_ *http.Request, in Shot) (none, error) { return none{}, t.host.Shoot(in) }))
	mux.Handle("PUT "+at+"/endpoints", handle(func(_ *http.Request, in []Endpoint) ([]Endpoint, error) { return t.host.SetEndpoints(in) }))
	mux.Handle("PUT "+at+"/clock", handle(func(_ *http.Request, in Clock) (Clock, error) { return t.host.SetClock(in), nil }))
	mux.Handle("POST "+at+"/forget_keys", handle(func(*http.Request, none) (forgotten, error) { return forgotten{t.ForgetKeys()}, nil }))
	mux.Handle("GET "+at+"/ledger", handle(func(*http.Request, none) (LedgerDump, error) { return t.Ledger(), nil }))
	mux.Handle("GET "+at+"/paypal/ca", handle(func(*http.Request, none) (authority, error) { return authority{t.paypal.CA()}, nil }))
	mux.Handle("POST "+at+"/paypal/certificate", handle(func(_ *http.Request, in rotation) (certificate, error) {
		return certificate{t.paypal.Rotate(in.Expired)}, nil
	}))
	mux.Handle("GET "+at+"/mail", handle(func(*http.Request, none) (mailServer, error) {
		if t.mailErr != nil {
			return mailServer{}, host.Conflict("no mail is taken: %v", t.mailErr)
		}
		return mailServer{t.mail.Addr().IP.String(), t.mail.Addr().Port}, nil
	}))
	mux.Handle("/_twin/mail/", http.StripPrefix("/_twin/mail", t.mail.Handler()))
	mux.Handle("POST "+at+"/reset", handle(func(*http.Request, none) (none, error) { t.Reset(); return none{}, nil }))
	mux.HandleFunc(at+"/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"status":404,"error":"the control surface has no such order"}` + "\n"))
	})
}

// mailServer is where mail is taken.
type mailServer struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// moneyRoutes are those about pages, payments, refunds and disputes of every
// provider, and about Stripe's sessions.
func (t *Twin) moneyRoutes(mux *http.ServeMux, at string) {
	mux.Handle("GET "+at+"/pages", handle(func(r *http.Request, _ none) ([]PageView, error) {
		q := r.URL.Query()
		return t.host.Pages(PageFilter{
			Provider: q.Get("provider"), Ref: q.Get("ref"), AttemptID: q.Get("attempt_id"), OrderID: q.Get("order_id"), Status: q.Get("status"),
		}), nil
	}))
	mux.Handle("POST "+at+"/pages/{id}/pay", handle(func(r *http.Request, in PayRequest) (PayResult, error) {
		return t.pay(r.PathValue("id"), in)
	}))
	mux.Handle("POST "+at+"/pages/{id}/finish", handle(func(r *http.Request, in finishOrder) (PayResult, error) {
		return t.finish(r.PathValue("id"), in.OK, in.Faults)
	}))
	mux.Handle("POST "+at+"/pages/{id}/expire", handle(func(r *http.Request, _ none) (PageView, error) {
		return t.expire(r.PathValue("id"))
	}))
	mux.Handle("POST "+at+"/payments/{id}", handle(func(r *http.Request, in moveOrder) (PayResult, error) {
		return with(t, "payment", r.PathValue("id"), func(p host.Provider) (PayResult, error) {
			return p.MovePayment(r.PathValue("id"), in.Status, in.Faults)
		})
	}))
	mux.Handle("GET "+at+"/refunds", handle(func(r *http.Request, _ none) ([]RefundView, error) {
		return every(t, r, host.Provider.Refunds), nil
	}))
	mux.Handle("POST "+at+"/refunds", handle(func(_ *http.Request, in RefundOrder) (RefundView, error) { return t.refund(in) }))
	mux.Handle("POST "+at+"/refunds/{id}", handle(func(r *http.Request, in moveOrder) (RefundView, error) {
		return with(t, "refund", r.PathValue("id"), func(p host.Provider) (RefundView, error) {
			return p.MoveRefund(r.PathValue("id"), in.Status, in.Faults)
		})
	}))
	mux.Handle("GET "+at+"/disputes", handle(func(r *http.Request, _ none) ([]DisputeView, error) {
		return every(t, r, host.Provider.Disputes), nil
	}))
	mux.Handle("POST "+at+"/disputes", handle(func(_ *http.Request, in DisputeOrder) (DisputeView, error) {
		return with(t, "payment", in.Payment, func(p host.Provider) (DisputeView, error) { return p.OpenDispute(in) })
	}))
	mux.Handle("POST "+at+"/disputes/{id}", handle(func(r *http.Request, in moveOrder) (DisputeView, error) {
		return with(t, "dispute", r.PathValue("id"), func(p host.Provider) (DisputeView, error) {
			return p.MoveDispute(r.PathValue("id"), in.Status, in.Faults)
		})
	}))
	mux.Handle("GET "+at+"/sessions", handle(func(r *http.Request, _ none) ([]SessionView, error) {
		q := r.URL.Query()
		t.host.Lock()
		defer t.host.Unlock()
		t.stripe.Tick()
		return t.stripe.Sessions(SessionFilter{
			Status: q.Get("status"), ClientReferenceID: q.Get("client_reference_id"), AttemptID: q.Get("attempt_id"),
		}), nil
	}))
	mux.Handle("GET "+at+"/sessions/{id}", handle(func(r *http.Request, _ none) (SessionView, error) {
		t.host.Lock()
		defer t.host.Unlock()
		t.stripe.Tick()
		return t.stripe.Session(r.PathValue("id"))
	}))
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
	authority struct {
		PEM string `json:"pem"`
	}
	rotation struct {
		Expired bool `json:"expired,omitempty"`
	}
	certificate struct {
		Name string `json:"name"`
	}
	forgotten struct {
		Keys int `json:"keys"`
	}
)

// with carries out an order at the provider that owns an id, after what is due.
func with[Out any](t *Twin, what, id string, do func(p host.Provider) (Out, error)) (Out, error) {
	t.host.Lock()
	defer t.host.Unlock()
	p, err := t.host.Owner(what, id)
	if err != nil {
		var out Out
		return out, err
	}
	p.Tick()
	return do(p)
}

// every collects what all providers, or the one that is asked for, have.
func every[Out any](t *Twin, r *http.Request, list func(host.Provider) []Out) []Out {
	t.host.Lock()
	defer t.host.Unlock()
	only := r.URL.Query().Get("provider")
	out := []Out{}
	for _, p := range t.host.Providers() {
		if only == "" || only == p.Name() {
			out = slices.Concat(out, list(p))
		}
	}
	return out
}

func (t *Twin) pay(ref string, in PayRequest) (PayResult, error) {
	return with(t, "page", ref, func(p host.Provider) (PayResult, error) { return p.Pay(ref, in) })
}

func (t *Twin) finish(ref string, ok bool, faults []Fault) (PayResult, error) {
	return with(t, "page", ref, func(p host.Provider) (PayResult, error) { return p.Finish(ref, ok, faults) })
}

func (t *Twin) expire(ref string) (PageView, error) {
	return with(t, "page", ref, func(p host.Provider) (PageView, error) { return p.Expire(ref) })
}

func (t *Twin) refund(in RefundOrder) (RefundView, error) {
	what, id := "payment", in.Payment
	if id == "" {
		what, id = "page", in.Ref
	}
	return with(t, what, id, func(p host.Provider) (RefundView, error) { return p.Refund(in) })
}

// limit is how many of a list's last are asked for; 0 is all.
func limit(q url.Values) (int, error) {
	if !q.Has("limit") {
		return 0, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 0 {
		return 0, host.BadRequest("the limit %q is no number", q.Get("limit"))
	}
	return n, nil
}
