package flutterwave

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

const (
	// HashHeader carries the dashboard's secret hash.
	HashHeader = "verif-hash"

	maxBody   = 1 << 20
	maxHeader = 1 << 10
	// maxWord keeps an event's name and status short enough to be kept together.
	maxWord = 64

	chargeCompleted = "charge.completed"
)

// The guards of a receipt.
var (
	guardHash = guard.Define("flutterwave.signature", guard.Signature,
		"anyone can have us ask Flutterwave about anything, as often as they like")
	guardStatus = guard.Define("flutterwave.event_status", guard.Fingerprint,
		"a first event of a payment that failed takes the name of its success")
)

// Verify implements payment.Provider. The reasons of a *payment.VerifyError are
// "unsigned", "malformed" and "signature". A replay is not noticed here and does no harm: a
// webhook only says what to ask about.
func (c *Client) Verify(_ context.Context, _ time.Time, header http.Header, body []byte) (payment.Receipt, error) {
	if len(body) > maxBody {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has %d bytes, more than %d", len(body), maxBody)
	}
	if guardHash.On() {
		if err := c.checkHash(header.Values(HashHeader)); err != nil {
			return payment.Receipt{}, err
		}
	}
	return c.receipt(body)
}

func (c *Client) checkHash(values []string) error {
	if len(values) == 0 {
		return payment.Refuse(payment.Unsigned, "there is no %s header", HashHeader)
	}
	if len(values) != 1 {
		return payment.Refuse("signature", "there are %d %s headers instead of one", len(values), HashHeader)
	}
	if values[0] == "" || len(values[0]) > maxHeader {
		return payment.Refuse("signature", "the %s header is empty or too long", HashHeader)
	}
	got := sha256.Sum256([]byte(values[0]))
	matches := 0
	for _, want := range c.hashes {
		// Digests are of one length, so that not even that of a secret shows.
		matches |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	if matches == 0 {
		return payment.Refuse("signature", "the %s header is none of the configured secret hashes", HashHeader)
	}
	return nil
}

// receipt reads which object a body is about. Nothing else of it is used.
func (c *Client) receipt(body []byte) (payment.Receipt, error) {
	if bytes.IndexByte(body, 0) >= 0 {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has a NUL byte")
	}
	var ev struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &ev); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the body is no event: %v", err)
	}
	if !word(ev.Event) {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's name is empty, too long or not printable")
	}
	var data struct {
		ID            json.Number `json:"id"`
		Status        string      `json:"status"`
		TransactionID json.Number `json:"transaction_id"`
		CreatedAt     string      `json:"created_at"`
	}
	var prefix string
	switch {
	case ev.Event == chargeCompleted:
	case strings.HasPrefix(ev.Event, "refund."):
		prefix = refundObject
	case strings.HasPrefix(ev.Event, "chargeback."):
		prefix = chargebackObject
	default:
		// Of another shape perhaps, and of no use: its own bytes are its name.
		sum := sha256.Sum256(body)
		id := c.eventID(ev.Event, hex.EncodeToString(sum[:]), "")
		return payment.Receipt{
			EventID: id, EventType: ev.Event, ObjectID: id, Class: payment.ClassIgnored, Applier: payment.ApplierOrder,
		}, nil
	}
	if err := json.Unmarshal(ev.Data, &data); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's data cannot be read: %v", err)
	}
	id, status := data.ID.String(), strings.ToLower(data.Status)
	if !goodID(id) {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's data has no usable id")
	}
	r := payment.Receipt{
		EventType: ev.Event, ObjectID: prefix + id, Class: payment.ClassPointer, Applier: payment.ApplierOrder,
	}
	if of := data.TransactionID.String(); prefix == chargebackObject && goodID(of) {
		r.ObjectID += ":" + of
	}
	switch {
	case status == "":
	case word(status):
		r.EventType += "." + status
	default:
		return payment.Receipt{}, payment.Refuse("malformed", "the event's status is too long or not printable")
	}
	if !guardStatus.On() {
		status = ""
	}
	r.EventID = c.eventID(ev.Event, id, status)
	if at, err := time.Parse(time.RFC3339, data.CreatedAt); err == nil {
		r.Created = at.UTC()
	}
	return r, nil
}

// eventID names an event: Flutterwave does not. The status is part of the name,
// for a payment has one event for each status that it reaches.
func (c *Client) eventID(event, object, status string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"flw3", c.account, event, object, status}, "|")))
	return hex.EncodeToString(sum[:])
}

// word reports whether s is a short text of ASCII without control characters and
// spaces.
func word(s string) bool { return len(s) <= maxWord && payment.Printable(s) }
