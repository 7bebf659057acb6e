package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	apiVersion  = "2026-03-25.dahlia"
	maxRequest  = 1 << 20
	serverError = "An unknown error occurred."
)

// object is a JSON object of the provider's.
type object map[string]any

// call is one request to the provider's API.
type call struct {
	route     string // as counters show it
	id        string // of the object in the path
	params    params
	key       string // Idempotency-Key
	requestID string
	host      string // how the client reached us
}

// answer is what a call is answered. It is kept under the call's key.
type answer struct {
	status   int
	body     []byte
	replayOf string // the first call's request id
}

// endpoint is one route of the API. do runs with t.mu held.
type endpoint struct {
	route   string
	schema  schema
	changes bool // may take an idempotency key
	do      func(t *Twin, c *call) (object, *apiError)
}

func (t *Twin) apiRoutes(mux *http.ServeMux) {
	for _, e := range slices.Concat(sessionEndpoints, paymentEndpoints, refundEndpoints) {
		mux.HandleFunc(e.route, func(w http.ResponseWriter, r *http.Request) { t.serveAPI(w, r, e) })
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		c := &call{route: "other", requestID: newID("req_")}
		t.count(c.route)
		t.write(w, c, errorAnswer(&apiError{
			Status: 404, Type: "invalid_request_error",
			Message: fmt.Sprintf("Unrecognized request URL (%s: %s).", r.Method, r.URL.Path),
		}), false)
	})
}

func (t *Twin) serveAPI(w http.ResponseWriter, r *http.Request, e endpoint) {
	c := &call{route: e.route, id: r.PathValue("id"), requestID: newID("req_"), host: r.Host}
	t.count(e.route)
	a, cut := t.answer(r, e, c)
	t.write(w, c, a, cut)
}

// answer does the work of a request. cut tells to break the reply off.
func (t *Twin) answer(r *http.Request, e endpoint, c *call) (answer, bool) {
	if err := t.authorize(r); err != nil {
		return errorAnswer(err), false
	}
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
		if err != nil || len(body) > maxRequest {
			return errorAnswer(invalid("", "", "The request is too large or broke off.")), false
		}
		raw = string(body)
	}
	var err *apiError
	if c.params, err = parseParams(raw); err != nil {
		return errorAnswer(err), false
	}

	t.mu.Lock()
	o := t.faults.take(e.route)
	t.mu.Unlock()
	if o.limited || o.locked {
		return t.limited(o), false
	}
	if e.changes {
		c.key = r.Header.Get("Idempotency-Key")
		if c.key != "" {
			stored, err := t.claimKey(c)
			if err != nil {
				return errorAnswer(err), false
			}
			if stored != nil {
				return *stored, t.cutNow(o)
			}
		}
		t.mu.Lock()
		t.executed[e.route]++
		o.random(&t.faults, e.route, t.executed[e.route])
		t.mu.Unlock()
		if o.limited || o.locked {
			t.release(c)
			return t.limited(o), false
		}
	}
	return t.execute(e, c, o)
}

func (t *Twin) limited(o ordered) answer {
	e := &apiError{Status: 429, Type: "invalid_request_error", Code: "rate_limit", Message: "Too many requests in too short a time."}
	if o.locked {
		e.Code, e.Message = "lock_timeout", "Another request holds this object; try again."
	}
	return errorAnswer(e)
}

// release gives a key up without a trace.
func (t *Twin) release(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settleKey(c, answer{}, false)
}

func (t *Twin) execute(e endpoint, c *call, o ordered) (answer, bool) {
	if o.before {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.counters.ServerErrors++
		t.settleKey(c, answer{}, false)
		return errorAnswer(&apiError{Status: 500, Type: "api_error", Message: serverError}), false
	}
	work := o.slow
	if e.changes {
		work += t.cfg.Latency
	}
	if work > 0 {
		timer := time.NewTimer(work)
		defer timer.Stop()
		// A client that hangs up does not stop the provider.
		select {
		case <-timer.C:
		case <-t.stop.Done():
			t.release(c)
			return errorAnswer(&apiError{Status: 503, Type: "api_error", Message: "The twin is closing."}), false
		}
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireDue()
	err := e.schema.check(c.params)
	var obj object
	if err == nil {
		obj, err = e.do(t, c)
	}
	if err != nil {
		a := errorAnswer(err)
		t.settleKey(c, a, err.executed)
		return a, false
	}
	body, merr := json.MarshalIndent(obj, "", "  ")
	if merr != nil {
		panic("twin: an object cannot be encoded: " + merr.Error())
	}
	a := answer{status: http.StatusOK, body: body}
	if o.after {
		t.counters.ServerErrors++
		a = errorAnswer(&apiError{Status: 500, Type: "api_error", Message: serverError})
	}
	t.settleKey(c, a, !o.forget)
	if o.forget {
		t.counters.ForgottenKeys++
	}
	if o.cut {
		t.counters.CutReplies++
	}
	return a, o.cut
}

func (t *Twin) cutNow(o ordered) bool {
	if o.cut {
		t.mu.Lock()
		t.counters.CutReplies++
		t.mu.Unlock()
	}
	return o.cut
}

func errorAnswer(e *apiError) answer {
	body, err := json.MarshalIndent(struct {
		Error *apiError `json:"error"`
	}{e}, "", "  ")
	if err != nil {
		panic("twin: an error cannot be encoded: " + err.Error())
	}
	return answer{status: e.Status, body: body}
}

// write sends an answer. A cut one stops in the middle of its body, so that no
// client can take it for a request that never arrived and repeat it unasked.
func (t *Twin) write(w http.ResponseWriter, c *call, a answer, cut bool) {
	t.mu.Lock()
	t.counters.Answers[c.route+" "+strconv.Itoa(a.status)]++
	t.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", c.requestID)
	h.Set("Stripe-Version", t.cfg.APIVersion)
	h.Set("Cache-Control", "no-cache, no-store")
	if c.key != "" {
		h.Set("Idempotency-Key", c.key)
	}
	if a.replayOf != "" {
		h.Set("Idempotent-Replayed", "true")
		h.Set("Original-Request", a.replayOf)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if !cut {
		_, _ = w.Write(a.body)
		return
	}
	_, _ = io.Copy(w, bytes.NewReader(a.body[:len(a.body)/2]))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // closes the connection
}

// authorize takes the key as a bearer token or as the user of basic
// authentication.
func (t *Twin) authorize(r *http.Request) *apiError {
	unauthorized := func(message string) *apiError {
		return &apiError{Status: 401, Type: "invalid_request_error", Message: message}
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		key, _, ok = r.BasicAuth()
	}
	switch {
	case !ok || key == "":
		return unauthorized("You did not provide an API key.")
	case !slices.Contains(t.cfg.SecretKeys, key):
		return unauthorized("Invalid API Key provided.")
	}
	if account := r.Header.Get("Stripe-Account"); account != "" && account != t.cfg.Account {
		return &apiError{
			Status: 403, Type: "invalid_request_error", Code: "account_invalid",
			Message: "The provided key does not have access to account '" + account + "'.",
		}
	}
	return nil
}

func (t *Twin) count(route string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counters.Requests[route]++
}
