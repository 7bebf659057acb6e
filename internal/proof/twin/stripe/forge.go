package stripe

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
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

// Forgeries lists every kind.
func (t *Twin) Forgeries() []string { return Forgeries }

// Forge makes a forged webhook.
func (t *Twin) Forge(f host.Forgery, e host.Endpoint, at time.Time) (host.Fake, error) {
	id, body, err := t.forgedBody(f)
	if err != nil {
		return host.Fake{}, err
	}
	body, signature := spoil(f.Kind, body, e.Secret, at)
	return host.Fake{EventID: id, Body: body, Header: headers(signature)}, nil
}

// forgedBody is the body to spoil, with its event's id. The lock is held.
func (t *Twin) forgedBody(f host.Forgery) (string, []byte, error) {
	if f.Event != "" {
		body, err := t.host.EventBody(f.Event)
		return f.Event, body, err
	}
	s, ok := t.sessions[f.Ref]
	if !ok {
		return "", nil, host.Missing("session", f.Ref)
	}
	// What the session would look like, had it been paid.
	paid := *s
	paid.status, paid.paymentStatus = "complete", "paid"
	paid.intent = &intent{
		id: host.NewID("pi_"), created: t.host.Now(), amount: s.amount, received: s.amount, currency: s.currency, status: "succeeded",
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
		return "", nil, host.BadRequest("a forgery claims checkout.session.completed or payment_intent.succeeded, not %q", kind)
	}
	id := host.NewID("evt_")
	return id, t.envelope(id, kind, t.host.SigningTime(), obj, nil), nil
}

var amounts = regexp.MustCompile(`("amount(?:_total|_subtotal|_received|_captured|_refunded)?": )(\d+)`)

// spoil makes the forgery: what is sent, and the header that goes with it.
func spoil(kind string, body []byte, secret string, now time.Time) ([]byte, string) {
	body = bytes.Clone(body)
	right := sign(now, body, secret)
	wrong := func(b []byte) string { return sign(now, b, "whsec_"+host.RandomText(32)) }
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
