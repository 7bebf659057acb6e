package stripe

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

const (
	// SignatureHeader carries the time and the signatures of a webhook.
	SignatureHeader = "Stripe-Signature"

	maxBody   = 1 << 20
	maxHeader = 8 << 10
	// latest is the end of the year 9999: times beyond cannot be kept.
	latest = 253402300799
	// Tolerance is how far the signed time may be from now, either way. A replay
	// is bounded by it on one side; on the other, nobody can sign ahead.
	tolerance = 300 * time.Second
)

// The guards of a receipt. They stand in the order in which they are applied.
var (
	guardSignature = guard.Define("stripe.signature", guard.Signature,
		"anyone can state that an order was paid")
	guardTolerance = guard.Define("stripe.tolerance", guard.Signature,
		"a recorded webhook can be sent again for ever, and one signed ahead is accepted")
	guardLivemode = guard.Define("stripe.livemode", guard.Check,
		"a test payment buys for real")
	guardAccount = guard.Define("stripe.account", guard.Check,
		"a payment to another account buys here")
)

// Verify implements payment.Provider. The reasons of a *payment.VerifyError are
// "unsigned", "malformed", "signature", "stale", "mode" and "account".
func (c *Client) Verify(_ context.Context, now time.Time, header http.Header, body []byte) (payment.Receipt, error) {
	if len(body) > maxBody {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has %d bytes, more than %d", len(body), maxBody)
	}
	signed, err := parseSignature(header.Values(SignatureHeader))
	if err != nil {
		return payment.Receipt{}, err
	}
	if guardSignature.On() && !signed.matches(c.cfg.WebhookSecrets, body) {
		return payment.Receipt{}, payment.Refuse("signature", "no v1 signature fits the body under any configured secret")
	}
	if off := now.Sub(signed.at); guardTolerance.On() && (off > tolerance || off < -tolerance) {
		return payment.Receipt{}, payment.Refuse("stale", "signed %s from now, more than %s", off, tolerance)
	}
	return c.receipt(body)
}

// receipt parses a body that is Stripe's word.
func (c *Client) receipt(body []byte) (payment.Receipt, error) {
	var ev struct {
		ID       string `json:"id"`
		Object   string `json:"object"`
		Type     string `json:"type"`
		Created  int64  `json:"created"`
		Livemode *bool  `json:"livemode"`
		Account  string `json:"account"`
		Data     struct {
			Object json.RawMessage `json:"object"`
		} `json:"data"`
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has a NUL byte")
	}
	if err := json.Unmarshal(body, &ev); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the body is no event: %v", err)
	}
	if ev.Object != "event" || ev.Livemode == nil || len(ev.Data.Object) == 0 {
		return payment.Receipt{}, payment.Refuse("malformed", "the body is no event with an object")
	}
	if ev.Created < 0 || ev.Created > latest {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's time %d is none", ev.Created)
	}
	if !payment.Printable(ev.ID) || !payment.Printable(ev.Type) {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's id or type is empty, too long or not printable")
	}
	if guardLivemode.On() && *ev.Livemode != c.cfg.LiveMode {
		return payment.Receipt{}, payment.Refuse("mode", "the event's live mode is %t and ours %t", *ev.Livemode, c.cfg.LiveMode)
	}
	if guardAccount.On() && ev.Account != c.cfg.ConnectedAccount {
		return payment.Receipt{}, payment.Refuse("account", "the event is of the account %q and not of %q", ev.Account, c.cfg.ConnectedAccount)
	}
	var object struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(ev.Data.Object, &object); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's object is none: %v", err)
	}
	_, isFact := factEvents[ev.Type]
	switch {
	case payment.Printable(object.ID):
	case isFact || pointers[ev.Type]:
		return payment.Receipt{}, payment.Refuse("malformed", "the event's object has no usable id")
	default:
		// Some types that we have no use for are about no object, as a balance.
		object.ID = ev.ID
	}
	return c.classify(payment.Receipt{
		EventID: ev.ID, EventType: ev.Type, ObjectID: object.ID, Created: time.Unix(ev.Created, 0).UTC(),
	}, ev.Data.Object), nil
}

// signature is a parsed Stripe-Signature header.
type signature struct {
	t  string // the time as it was signed
	at time.Time
	v1 [][]byte
}

// parseSignature reads "t=<unix>,v1=<hex>[,v1=<hex>][,v0=<hex>]". Other schemes
// than v1 are skipped: v0 is for tests and protects nothing.
func parseSignature(values []string) (signature, error) {
	var s signature
	if len(values) == 0 {
		return s, payment.Refuse(payment.Unsigned, "there is no %s header", SignatureHeader)
	}
	if len(values) != 1 {
		return s, payment.Refuse("signature", "there are %d %s headers instead of one", len(values), SignatureHeader)
	}
	if len(values[0]) > maxHeader {
		return s, payment.Refuse("malformed", "the %s header is too long", SignatureHeader)
	}
	for part := range strings.SplitSeq(values[0], ",") {
		scheme, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return s, payment.Refuse("malformed", "the %s header has a part without a value", SignatureHeader)
		}
		switch scheme {
		case "t":
			if s.t != "" {
				return s, payment.Refuse("malformed", "the %s header has two times", SignatureHeader)
			}
			// Unsigned and at most 12 digits: no sign, no overflow, year 33658.
			unix, err := strconv.ParseUint(value, 10, 40)
			if err != nil || len(value) > 12 {
				return s, payment.Refuse("malformed", "the %s header's time is no number", SignatureHeader)
			}
			s.t, s.at = value, time.Unix(int64(unix), 0)
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil && len(mac) == sha256.Size {
				s.v1 = append(s.v1, mac)
			}
		}
	}
	if s.t == "" {
		return s, payment.Refuse("malformed", "the %s header has no time", SignatureHeader)
	}
	if len(s.v1) == 0 {
		return s, payment.Refuse("signature", "the %s header has no v1 signature", SignatureHeader)
	}
	return s, nil
}

// matches reports whether any signature fits body under any secret. Every pair
// is compared, in constant time.
func (s signature) matches(secrets []string, body []byte) bool {
	found := false
	for _, secret := range secrets {
		h := hmac.New(sha256.New, []byte(secret))
		_, _ = h.Write([]byte(s.t + "."))
		_, _ = h.Write(body)
		want := h.Sum(nil)
		for _, mac := range s.v1 {
			found = hmac.Equal(want, mac) || found
		}
	}
	return found
}
