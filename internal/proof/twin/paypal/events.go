package paypal

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"proofroom/internal/proof/twin/host"
)

// envelope is an event as PayPal sends it. Its fields stand in PayPal's order,
// which no library's own order is: who writes it anew writes other bytes.
type envelope struct {
	ID       string   `json:"id"`
	Version  string   `json:"event_version"`
	Created  string   `json:"create_time"`
	About    string   `json:"resource_type"`
	AboutV   string   `json:"resource_version,omitempty"`
	Kind     string   `json:"event_type"`
	Summary  string   `json:"summary"`
	Resource object   `json:"resource"`
	Links    []object `json:"links"`
}

// emit adds an event to a step. about and version are the resource's type.
func (t *Twin) emit(st *host.Step, e host.Event, about, version, summary string, resource object) {
	e.ID, e.Created = "WH-"+transactionID()+"-"+transactionID(), t.host.Now()
	e.Body = t.body(e.ID, e.Kind, e.Created, about, version, summary, resource)
	st.Emit(e)
}

func (t *Twin) body(id, kind string, at time.Time, about, version, summary string, resource object) []byte {
	self := t.base() + "/v1/notifications/webhooks-events/" + id
	return encode(envelope{
		ID: id, Version: "1.0", Created: at.UTC().Format("2006-01-02T15:04:05.000Z"), About: about, AboutV: version, Kind: kind,
		Summary: summary, Resource: resource, Links: []object{link(self, "self", "GET"), link(self+"/resend", "resend", "POST")},
	})
}

func (t *Twin) emitOrder(st *host.Step, kind, summary string, o *order) {
	t.emit(st, host.Event{Kind: kind, Object: o.id}, "checkout-order", "2.0", summary, t.renderOrder(o, true))
}

func (t *Twin) emitCapture(st *host.Step, what, summary string, p *capture) {
	t.emit(st, host.Event{Kind: "PAYMENT.CAPTURE." + what, Object: p.id}, "capture", "2.0",
		summary+" "+written(p.currency, p.amount), t.renderCapture(p))
}

// written is an amount as PayPal's summaries have it.
func written(currency string, minor int64) string {
	sign := map[string]string{"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}[currency]
	if sign != "" {
		sign += " "
	}
	return sign + value(currency, minor) + " " + currency
}

// transmissionID names one sending.
func transmissionID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	x := hex.EncodeToString(b)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
