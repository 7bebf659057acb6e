package flutterwave

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"time"

	"proofroom/internal/proof/twin/host"
)

// operation is one route.
type operation struct {
	route   string
	changes bool
	do      func(t *Twin, c *host.Call) host.Answer
}

var operations = []operation{
	{"POST /flutterwave/v3/payments", true, (*Twin).createLink},
	{"POST /flutterwave/v3/payments/link/disable", true, (*Twin).disableLink},
	{"GET /flutterwave/v3/transactions", false, (*Twin).listTransactions},
	{"GET /flutterwave/v3/transactions/verify_by_reference", false, (*Twin).verifyByReference},
	{"GET /flutterwave/v3/transactions/{id}/verify", false, (*Twin).verify},
	{"POST /flutterwave/v3/transactions/{id}/refund", true, (*Twin).refundTransaction},
	{"GET /flutterwave/v3/refunds", false, (*Twin).listRefunds},
	{"GET /flutterwave/v3/refunds/{id}", false, (*Twin).getRefund},
	{"GET /flutterwave/v3/chargebacks", false, (*Twin).listDisputes},
}

// Routes lists the routes of the API.
func (t *Twin) Routes() []string {
	out := make([]string, len(operations))
	for i, op := range operations {
		out[i] = op.route
	}
	return out
}

// Mount adds the API and the payment page.
func (t *Twin) Mount(mux *http.ServeMux) {
	for _, op := range operations {
		h := host.Operation{Route: op.route, Changes: op.changes, Do: func(c *host.Call) host.Answer { return op.do(t, c) }}
		mux.HandleFunc(op.route, func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, speaker{t}, h) })
	}
	unknown := host.Operation{Route: "flutterwave other", Do: func(c *host.Call) host.Answer {
		return refuse(http.StatusNotFound, "Cannot "+c.Request.Method+" "+c.Request.URL.Path)
	}}
	mux.HandleFunc("/flutterwave/", func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, speaker{t}, unknown) })
	mux.HandleFunc("GET "+pagePath+"{link}", t.showPage)
	mux.HandleFunc("POST "+pagePath+"{link}", t.doPage)
}

// speaker is how Flutterwave receives and answers.
type speaker struct{ t *Twin }

// Begin implements host.Speaker. No call has a key, whatever headers it has.
func (s speaker) Begin(c *host.Call, _ bool) *host.Answer {
	no := func(a host.Answer) *host.Answer { return &a }
	c.RequestID = host.RandomOf("0123456789abcdef", 16)
	if c.Request.Header.Get("Authorization") != "Bearer "+s.t.cfg.SecretKey {
		return no(refuse(http.StatusUnauthorized, "Invalid authorization key"))
	}
	if c.TooLarge {
		return no(refuse(http.StatusBadRequest, "The request is too large or broke off"))
	}
	if c.Request.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return no(refuse(http.StatusBadRequest, "The body is no JSON"))
		}
	}
	return nil
}

// Refuse implements host.Speaker.
func (speaker) Refuse(f host.Fault) host.Answer {
	switch f {
	case host.RateLimit, host.LockTimeout:
		return refuse(http.StatusTooManyRequests, "Too many requests, try again later")
	default:
		return refuse(http.StatusInternalServerError, "An error occurred while processing your request")
	}
}

// Claim implements host.Speaker: there are no keys.
func (speaker) Claim(*host.Call) *host.Answer { return nil }

// Settle implements host.Speaker: there are no keys.
func (speaker) Settle(*host.Call, host.Answer, bool) {}

// Head implements host.Speaker.
func (speaker) Head(_ *host.Call, _ host.Answer, h http.Header) {
	h.Set("Content-Type", "application/json; charset=utf-8")
}

// envelope is what everything is answered in.
type envelope struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Meta    any    `json:"meta,omitempty"`
	Data    any    `json:"data"`
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("twin: an object cannot be encoded: " + err.Error())
	}
	return body
}

func refuse(status int, message string) host.Answer {
	return host.Answer{Status: status, Body: encode(envelope{Status: "error", Message: message})}
}

func bad(message string) host.Answer { return refuse(http.StatusBadRequest, message) }

func good(message string, data any) host.Answer {
	return host.Answer{Status: http.StatusOK, Body: encode(envelope{Status: "success", Message: message, Data: data})}
}

// noTransaction is what is said of every id and reference that is not known.
var noTransaction = bad("No transaction was found for this id")

type pageInfo struct {
	Total       int `json:"total"`
	CurrentPage int `json:"current_page"`
	TotalPages  int `json:"total_pages"`
	PageSize    int `json:"page_size,omitempty"`
}

// listed answers one page of a list, newest first. entries are oldest first.
func listed[T any](c *host.Call, message string, size int, entries []T, render func(T) any) host.Answer {
	page := 1
	if text := c.Request.URL.Query().Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return bad("page must be a number")
		}
		page = n
	}
	data := []any{}
	for i := (page - 1) * size; i < min(page*size, len(entries)); i++ {
		data = append(data, render(entries[len(entries)-1-i]))
	}
	info := pageInfo{Total: len(entries), CurrentPage: page, TotalPages: max(1, (len(entries)+size-1)/size), PageSize: size}
	return host.Answer{Status: http.StatusOK, Body: encode(envelope{
		Status: "success", Message: message, Meta: map[string]any{"page_info": info}, Data: data,
	})}
}

// days reads a list's from and to, whole days. A missing one is no bound.
func days(c *host.Call) (within func(time.Time) bool, ok bool) {
	q := c.Request.URL.Query()
	bounds := map[string]time.Time{}
	for _, name := range []string{"from", "to"} {
		if text := q.Get(name); text != "" {
			at, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return nil, false
			}
			bounds[name] = at
		}
	}
	return func(at time.Time) bool {
		from, to := bounds["from"], bounds["to"]
		return !at.Before(from) && (to.IsZero() || at.Before(to.Add(24*time.Hour)))
	}, true
}

// read decodes a body. A field that Flutterwave does not know is refused, as a
// judge of clients does.
func read(c *host.Call, into any) error {
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
