package stripe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"proofroom/internal/proof/twin/host"
)

const (
	// APIVersion is the version of our client.
	APIVersion = "2026-03-25.dahlia"
	// DefaultSecretKey is accepted when no key is configured.
	DefaultSecretKey = "sk_test_twin"

	serverError = "An unknown error occurred."
)

// object is a JSON object of the provider's.
type object map[string]any

// call is one request to the API, with its parameters.
type call struct {
	*host.Call
	params params
}

// endpoint is one route of the API. do runs with the lock held.
type endpoint struct {
	route   string
	schema  schema
	changes bool // may take an idempotency key
	do      func(t *Twin, c *call) (object, *apiError)
}

func endpoints() []endpoint {
	return slices.Concat(sessionEndpoints, paymentEndpoints, refundEndpoints, disputeEndpoints)
}

// Routes lists the routes of the API.
func (t *Twin) Routes() []string {
	var out []string
	for _, e := range endpoints() {
		out = append(out, e.route)
	}
	return out
}

// Mount adds the API and the payment page.
func (t *Twin) Mount(mux *http.ServeMux) {
	for _, e := range endpoints() {
		op := host.Operation{Route: e.route, Changes: e.changes, Do: func(c *host.Call) host.Answer { return t.do(e, c) }}
		mux.HandleFunc(e.route, func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, speaker{t}, op) })
	}
	unknown := host.Operation{Route: "other", Do: func(c *host.Call) host.Answer {
		return errorAnswer(&apiError{
			Status: 404, Type: "invalid_request_error",
			Message: fmt.Sprintf("Unrecognized request URL (%s: %s).", c.Request.Method, c.Request.URL.Path),
		})
	}}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, stranger{speaker{t}}, unknown) })
	t.pageRoutes(mux)
}

// do checks a call's parameters and does its work. The lock is held.
func (t *Twin) do(e endpoint, hc *host.Call) host.Answer {
	c := &call{hc, hc.Memo.(params)}
	err := e.schema.check(c.params)
	var obj object
	if err == nil {
		obj, err = e.do(t, c)
	}
	if err != nil {
		a := errorAnswer(err)
		a.Keep = err.executed
		return a
	}
	return host.Answer{Status: http.StatusOK, Body: encode(obj)}
}

func encode(v any) []byte {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("twin: an object cannot be encoded: " + err.Error())
	}
	return body
}

func errorAnswer(e *apiError) host.Answer {
	return host.Answer{Status: e.Status, Body: encode(struct {
		Error *apiError `json:"error"`
	}{e})}
}

// speaker is how Stripe receives and answers.
type speaker struct{ t *Twin }

// stranger answers routes that there are not: to anybody.
type stranger struct{ speaker }

func (s stranger) Begin(c *host.Call, _ bool) *host.Answer {
	c.RequestID = host.NewID("req_")
	return nil
}

func (s speaker) Begin(c *host.Call, changes bool) *host.Answer {
	c.RequestID = host.NewID("req_")
	refuse := func(e *apiError) *host.Answer { a := errorAnswer(e); return &a }
	if err := s.t.authorize(c.Request); err != nil {
		return refuse(err)
	}
	if c.TooLarge {
		return refuse(invalid("", "", "The request is too large or broke off."))
	}
	raw := c.Request.URL.RawQuery
	if c.Request.Method == http.MethodPost {
		raw = string(c.Body)
	}
	p, err := parseParams(raw)
	if err != nil {
		return refuse(err)
	}
	c.Memo = p
	if changes {
		c.Key = c.Request.Header.Get("Idempotency-Key")
	}
	return nil
}

func (speaker) Refuse(f host.Fault) host.Answer {
	switch f {
	case host.RateLimit:
		return errorAnswer(&apiError{Status: 429, Type: "invalid_request_error", Code: "rate_limit", Message: "Too many requests in too short a time."})
	case host.LockTimeout:
		return errorAnswer(&apiError{Status: 429, Type: "invalid_request_error", Code: "lock_timeout", Message: "Another request holds this object; try again."})
	default:
		return errorAnswer(&apiError{Status: 500, Type: "api_error", Message: serverError})
	}
}

func (s speaker) Head(c *host.Call, a host.Answer, h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", c.RequestID)
	h.Set("Stripe-Version", s.t.cfg.APIVersion)
	h.Set("Cache-Control", "no-cache, no-store")
	if c.Key != "" {
		h.Set("Idempotency-Key", c.Key)
	}
	if a.ReplayOf != "" {
		h.Set("Idempotent-Replayed", "true")
		h.Set("Original-Request", a.ReplayOf)
	}
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
