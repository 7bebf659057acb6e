package paypal

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// request is what PayPal's speaker keeps of a call.
type request struct {
	whole bool // Prefer: return=representation
	// now answers with the object as it is at the time: what a repetition of the
	// call gets.
	now func() object
}

func of(c *host.Call) *request { return c.Memo.(*request) }

// operation is one route.
type operation struct {
	route   string
	changes bool
	keys    time.Duration // how long its PayPal-Request-Ids are remembered
	do      func(t *Twin, c *host.Call) host.Answer
}

var operations = []operation{
	{"POST /paypal/v2/checkout/orders", true, orderKeys, (*Twin).createOrder},
	{"GET /paypal/v2/checkout/orders/{id}", false, 0, (*Twin).getOrder},
	{"POST /paypal/v2/checkout/orders/{id}/capture", true, orderKeys, (*Twin).captureOrder},
	{"GET /paypal/v2/payments/captures/{id}", false, 0, (*Twin).getCapture},
	{"POST /paypal/v2/payments/captures/{id}/refund", true, refundKeys, (*Twin).refundCapture},
	{"GET /paypal/v2/payments/refunds/{id}", false, 0, (*Twin).getRefund},
	{"GET /paypal/v1/customer/disputes", false, 0, (*Twin).listDisputes},
	{"GET /paypal/v1/customer/disputes/{id}", false, 0, (*Twin).getDispute},
}

const tokenRoute = "POST /paypal/v1/oauth2/token"

// Routes lists the routes of the API.
func (t *Twin) Routes() []string {
	out := []string{tokenRoute}
	for _, op := range operations {
		out = append(out, op.route)
	}
	return out
}

// Mount adds the API, the certificates and the payment page.
func (t *Twin) Mount(mux *http.ServeMux) {
	for _, op := range operations {
		h := host.Operation{Route: op.route, Changes: op.changes, Do: func(c *host.Call) host.Answer { return op.do(t, c) }}
		mux.HandleFunc(op.route, func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, speaker{t, op.keys}, h) })
	}
	token := host.Operation{Route: tokenRoute, Do: t.giveToken}
	mux.HandleFunc(tokenRoute, func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, doorman{speaker{t: t}}, token) })
	unknown := host.Operation{Route: "paypal other", Do: func(*host.Call) host.Answer { return plain(http.StatusNotFound) }}
	mux.HandleFunc("/paypal/", func(w http.ResponseWriter, r *http.Request) { t.host.Serve(w, r, doorman{speaker{t: t}}, unknown) })
	mux.HandleFunc("GET "+certPath+"{name}", t.serveCertificate)
	mux.HandleFunc("GET /paypal/checkoutnow", t.showPage)
	mux.HandleFunc("POST /paypal/checkoutnow", t.doPage)
}

// speaker is how PayPal receives and answers.
type speaker struct {
	t    *Twin
	keys time.Duration
}

// doorman is a speaker who asks for no token.
type doorman struct{ speaker }

func (d doorman) Begin(c *host.Call, _ bool) *host.Answer {
	d.t.host.Lock()
	defer d.t.host.Unlock()
	d.t.reached = c.Request.Host
	c.RequestID = host.RandomOf("0123456789abcdef", 13)
	c.Memo = &request{}
	return nil
}

func (s speaker) Begin(c *host.Call, changes bool) *host.Answer {
	no := func(a host.Answer) *host.Answer { return &a }
	_ = doorman{s}.Begin(c, changes)
	s.t.host.Lock()
	until, known := s.t.tokens[bearer(c.Request)]
	now := s.t.host.Now()
	s.t.host.Unlock()
	if !known || !now.Before(until) {
		return no(plain(http.StatusUnauthorized))
	}
	if c.TooLarge {
		return no(refuse(issue{"MALFORMED_REQUEST_JSON", ""}))
	}
	if c.Request.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return no(plain(http.StatusUnsupportedMediaType))
		}
	}
	of(c).whole = strings.EqualFold(strings.ReplaceAll(c.Request.Header.Get("Prefer"), " ", ""), "return=representation")
	if changes {
		c.Key = c.Request.Header.Get("PayPal-Request-Id")
		if len(c.Key) > 108 {
			return no(refuse(issue{"INVALID_STRING_LENGTH", ""}))
		}
	}
	return nil
}

func (speaker) Refuse(f host.Fault) host.Answer {
	switch f {
	case host.RateLimit:
		return plain(http.StatusTooManyRequests)
	case host.LockTimeout:
		return refuse(issue{"PREVIOUS_REQUEST_IN_PROGRESS", ""})
	default:
		return plain(http.StatusInternalServerError)
	}
}

func (s speaker) Head(c *host.Call, _ host.Answer, h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Paypal-Debug-Id", c.RequestID)
	h.Set("Cache-Control", "max-age=0, no-cache, no-store, must-revalidate")
}

// keyRecord is what is remembered of one PayPal-Request-Id.
type keyRecord struct {
	created time.Time
	call    string // whose it is
	running bool
	now     func() object
}

func keyOf(c *host.Call) string { return c.Request.URL.Path + "\x00" + c.Key }

// Claim takes the key for a call, or answers with the latest state of what the
// first call made. Of two at the same time the second fails.
func (s speaker) Claim(c *host.Call) *host.Answer {
	t, key := s.t, keyOf(c)
	old, ok := t.keys[key]
	if ok && !old.running && t.host.Now().Sub(old.created) >= s.keys {
		delete(t.keys, key)
		ok = false
	}
	var a host.Answer
	switch {
	case ok && old.running:
		t.host.Counters().KeyConflicts++
		a = refuse(issue{"PREVIOUS_REQUEST_IN_PROGRESS", ""})
	case ok:
		t.host.Counters().Replays++
		a = good(http.StatusOK, old.now())
	default:
		if o := t.orders[c.ID()]; o != nil {
			if o.capturing != "" {
				a = refuse(issue{"ORDER_COMPLETION_IN_PROGRESS", ""})
				return &a
			}
			o.capturing = c.RequestID
		}
		t.keys[key] = &keyRecord{created: t.host.Now(), call: c.RequestID, running: true}
		return nil
	}
	return &a
}

// Settle ends a call's hold on its key.
func (s speaker) Settle(c *host.Call, _ host.Answer, keep bool) {
	if o := s.t.orders[c.ID()]; o != nil && o.capturing == c.RequestID {
		o.capturing = ""
	}
	rec, ok := s.t.keys[keyOf(c)]
	if !ok || rec.call != c.RequestID {
		return // a reset came between
	}
	if !keep || of(c).now == nil {
		delete(s.t.keys, keyOf(c))
		return
	}
	rec.running, rec.now = false, of(c).now
}

// ForgetKeys drops every remembered key. The lock is held.
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

// giveToken answers POST /v1/oauth2/token.
func (t *Twin) giveToken(c *host.Call) host.Answer {
	id, secret, ok := c.Request.BasicAuth()
	if !ok || id != t.cfg.ClientID || secret != t.cfg.Secret {
		return host.Answer{Status: http.StatusUnauthorized, Body: encode(object{
			"error": "invalid_client", "error_description": "Client Authentication failed",
		})}
	}
	if !strings.Contains(string(c.Body), "grant_type=client_credentials") {
		return host.Answer{Status: http.StatusBadRequest, Body: encode(object{
			"error": "unsupported_grant_type", "error_description": "unsupported grant_type",
		})}
	}
	token := "A21AA" + host.RandomText(80)
	t.tokens[token] = t.host.Now().Add(tokenLife)
	return good(http.StatusOK, object{
		"scope": "https://uri.paypal.com/services/payments/payment https://uri.paypal.com/services/disputes/read-seller", "access_token": token,
		"token_type": "Bearer", "app_id": "APP-80W284485P519543T", "expires_in": int(tokenLife / time.Second),
		"nonce": stamp(t.host.Now()) + host.RandomText(43),
	})
}

// read decodes the body of a request; an empty one is an empty object.
func read(c *host.Call, into any) *issue {
	if len(c.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.Body, into); err != nil {
		return &issue{"MALFORMED_REQUEST_JSON", ""}
	}
	return nil
}
