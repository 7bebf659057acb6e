package twin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Kinds of forgeries. Each differs from a genuine webhook in one thing.
const (
	ForgeWrongSecret  = "wrong_secret"  // signed with a key that nobody has
	ForgeUnsigned     = "unsigned"      // no signature header
	ForgeV0           = "v0_only"       // the right signature under a scheme that proves nothing
	ForgeStale        = "stale"         // rightly signed, 301 seconds ago
	ForgeFuture       = "future"        // rightly signed, 301 seconds ahead
	ForgeAltered      = "altered"       // rightly signed, then one digit of the body changed
	ForgeAppended     = "appended"      // rightly signed, then one byte added
	ForgeReformatted  = "reformatted"   // rightly signed, then the JSON laid out anew
	ForgeBOM          = "bom"           // rightly signed, then a byte order mark put before it
	ForgeOtherAccount = "other_account" // rightly signed, of another account
	ForgeLiveMode     = "live_mode"     // rightly signed, of the other mode
	ForgeOtherBody    = "other_body"    // a genuine event's id over another body, signed with a key that nobody has
)

// Forgeries lists every kind.
var Forgeries = []string{
	ForgeWrongSecret, ForgeUnsigned, ForgeV0, ForgeStale, ForgeFuture, ForgeAltered, ForgeAppended, ForgeReformatted,
	ForgeBOM, ForgeOtherAccount, ForgeLiveMode, ForgeOtherBody,
}

// Forgery orders a webhook that the provider never made.
type Forgery struct {
	Kind string `json:"kind"`
	// Event is a genuine event to start from. Without it the forgery claims that
	// Session was paid.
	Event   string `json:"event,omitempty"`
	Session string `json:"session,omitempty"`
	// Type is the event type claimed for a session: checkout.session.completed
	// (the default) or payment_intent.succeeded.
	Type string `json:"type,omitempty"`
	// URL is where it goes; empty: the first endpoint.
	URL string `json:"url,omitempty"`
	// Secret is the endpoint's, where the URL is not one that the twin knows.
	Secret string `json:"secret,omitempty"`
}

// Forged is what a forgery was answered.
type Forged struct {
	Kind  string `json:"kind"`
	Event string `json:"event"`
	Delivered
}

// forge sends a forged webhook once.
func (t *Twin) forge(ctx context.Context, f Forgery) (Forged, error) {
	if !slices.Contains(Forgeries, f.Kind) {
		return Forged{}, badRequest("there is no forgery %q; there are %v", f.Kind, Forgeries)
	}
	t.mu.Lock()
	endpoints := t.endpoints
	id, body, err := t.forgedBody(f)
	t.mu.Unlock()
	if err != nil {
		return Forged{}, err
	}
	url := f.URL
	if url == "" {
		if len(endpoints) == 0 {
			return Forged{}, badRequest("there is no endpoint; name a URL")
		}
		url = endpoints[0].URL
	}
	secret := f.Secret
	if secret == "" {
		secret = secretFor(endpoints, url)
	}
	body, signature := spoil(f.Kind, body, secret, t.signingTime())
	out := Forged{Kind: f.Kind, Event: id, Delivered: Delivered{url, t.post1(ctx, url, body, signature)}}
	t.mu.Lock()
	t.counters.Forged++
	t.mu.Unlock()
	return out, nil
}

// forgedBody is the body to spoil, with its event's id. t.mu is held.
func (t *Twin) forgedBody(f Forgery) (string, []byte, error) {
	if f.Event != "" {
		ev, ok := t.events[f.Event]
		if !ok {
			return "", nil, missingObject("event", f.Event)
		}
		return ev.id, ev.body, nil
	}
	s, ok := t.sessions[f.Session]
	if !ok {
		return "", nil, missingObject("session", f.Session)
	}
	// What the session would look like, had it been paid.
	paid := *s
	paid.status, paid.paymentStatus = "complete", "paid"
	paid.intent = &intent{
		id: newID("pi_"), created: t.now(), amount: s.amount, received: s.amount, currency: s.currency, status: "succeeded",
		metadata: s.intentMetadata, transferGroup: s.transferGroup, session: &paid,
	}
	obj := t.renderSession(&paid, nil)
	kind := f.Type
	switch kind {
	case "":
		kind = "checkout.session.completed"
	case "checkout.session.completed":
	case "payment_intent.succeeded":
		obj = t.renderIntent(paid.intent, nil)
	default:
		return "", nil, badRequest("a forgery claims checkout.session.completed or payment_intent.succeeded, not %q", kind)
	}
	id := newID("evt_")
	envelope := object{
		"id": id, "object": "event", "api_version": t.cfg.APIVersion, "created": time.Now().Add(t.signOffset).Unix(),
		"data": object{"object": obj}, "livemode": false, "pending_webhooks": 1,
		"request": object{"id": nil, "idempotency_key": nil}, "type": kind,
	}
	if t.cfg.Account != "" {
		envelope["account"] = t.cfg.Account
	}
	body, err := json.MarshalIndent(envelope, "", "  ")
	if err != nil {
		return "", nil, fmt.Errorf("encode a forgery: %w", err)
	}
	return id, body, nil
}

var amounts = regexp.MustCompile(`("amount(?:_total|_subtotal|_received|_captured|_refunded)?": )(\d+)`)

// spoil makes the forgery: what is sent, and the header that goes with it.
func spoil(kind string, body []byte, secret string, now time.Time) ([]byte, string) {
	body = bytes.Clone(body)
	right := sign(now, body, secret)
	wrong := func(b []byte) string { return sign(now, b, "whsec_"+randomText(32)) }
	const tooFar = 301 * time.Second
	switch kind {
	case ForgeWrongSecret:
		return body, wrong(body)
	case ForgeUnsigned:
		return body, ""
	case ForgeV0:
		return body, strings.Replace(right, "v1=", "v0=", 1)
	case ForgeStale:
		return body, sign(now.Add(-tooFar), body, secret)
	case ForgeFuture:
		return body, sign(now.Add(tooFar), body, secret)
	case ForgeAltered:
		if at := amounts.FindSubmatchIndex(body); at != nil {
			last := at[5] - 1
			body[last] = '0' + (body[last]-'0'+1)%10
		} else {
			body[len(body)-3] ^= 1
		}
		return body, right
	case ForgeAppended:
		return append(body, '\n'), right
	case ForgeReformatted:
		var laid bytes.Buffer
		if err := json.Compact(&laid, body); err != nil {
			panic("twin: an own event is no JSON: " + err.Error())
		}
		return laid.Bytes(), right
	case ForgeBOM:
		return append([]byte("\xef\xbb\xbf"), body...), right
	case ForgeOtherAccount:
		body = bytes.Replace(body, []byte(`"api_version"`), []byte(`"account": "acct_1OtherAccount",`+"\n  "+`"api_version"`), 1)
		return body, sign(now, body, secret)
	case ForgeLiveMode:
		// Every livemode in it, the event's own and its object's.
		body = bytes.ReplaceAll(body, []byte(`"livemode": false`), []byte(`"livemode": true`))
		return body, sign(now, body, secret)
	default: // ForgeOtherBody
		body = amounts.ReplaceAll(body, []byte("${1}1"))
		return body, wrong(body)
	}
}
