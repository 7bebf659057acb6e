package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// step is one action on a session, with the events that it makes.
type step struct {
	*host.Step
	t     *Twin
	cause *call
}

// begin opens a step. cause is the API request that caused it, if one did;
// forced are the faults that all its events suffer.
func (t *Twin) begin(s *session, cause *call, forced []host.Fault) *step {
	return &step{t.host.Begin(s.source, forced), t, cause}
}

// emit makes an event about obj as it is now.
func (st *step) emit(kind string, obj object) {
	id, now := host.NewID("evt_"), st.t.host.Now()
	st.Emit(host.Event{
		ID: id, Kind: kind, Object: fmt.Sprint(obj["id"]), Created: now, Body: st.t.envelope(id, kind, now, obj, st.cause),
	})
}

// envelope is the body of an event.
func (t *Twin) envelope(id, kind string, at time.Time, obj object, cause *call) []byte {
	request := object{"id": nil, "idempotency_key": nil}
	if cause != nil {
		request = object{"id": cause.RequestID, "idempotency_key": orNull(cause.Key)}
	}
	o := object{
		"id": id, "object": "event", "api_version": t.cfg.APIVersion, "created": at.Unix(), "data": object{"object": obj},
		"livemode": false, "pending_webhooks": t.host.Receivers(host.Stripe, kind), "request": request, "type": kind,
	}
	if t.cfg.Account != "" {
		o["account"] = t.cfg.Account
	}
	return encode(o)
}

// sign makes a Stripe-Signature header over body at a time, with one v1 for
// each secret.
func sign(at time.Time, body []byte, secrets ...string) string {
	unix := strconv.FormatInt(at.Unix(), 10)
	header := "t=" + unix
	for _, secret := range secrets {
		if secret != "" {
			header += ",v1=" + mac(unix, body, secret)
		}
	}
	return header
}

func mac(unix string, body []byte, secret string) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(unix + "."))
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func upper(currency string) string { return strings.ToUpper(currency) }
