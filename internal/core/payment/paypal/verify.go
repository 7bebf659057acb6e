package paypal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"time"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

// The headers of a webhook.
const (
	HeaderID        = "Paypal-Transmission-Id"
	HeaderTime      = "Paypal-Transmission-Time"
	HeaderSignature = "Paypal-Transmission-Sig"
	HeaderCert      = "Paypal-Cert-Url"
	HeaderAlgorithm = "Paypal-Auth-Algo"
	// headerWebhook is no header of PayPal's: a sender must not choose whose
	// webhook it signs for.
	headerWebhook = "Paypal-Webhook-Id"
)

const (
	maxBody   = 1 << 20
	maxHeader = 2 << 10
	algorithm = "SHA256withRSA"
)

// The guards of a receipt. They stand in the order in which they are applied.
var (
	guardAlgorithm = guard.Define("paypal.algorithm", guard.Check,
		"a sender chooses how its signature is checked, and chooses a weak way")
	guardHost = guard.Define("paypal.certificate_host", guard.Check,
		"a sender makes us connect to an address of its choice, and signs with a certificate from there")
	guardChain = guard.Define("paypal.certificate", guard.Signature,
		"anyone's certificate, or one that ran out, signs for PayPal")
	guardWebhook = guard.Define("paypal.webhook_id", guard.Check,
		"PayPal's events for another app, or from the sandbox, are taken for ours")
	guardSignature = guard.Define("paypal.signature", guard.Signature,
		"anyone makes us ask about any object")
)

// Verify implements payment.Provider. The reasons of a *payment.VerifyError are
// "unsigned", "malformed", "algorithm", "certificate" and "signature". A certificate that is
// not known yet is fetched; if that fails, the error is a plain one.
//
// PayPal documents no bound for the age of a webhook and sends it again for three
// days, so none is applied: what is replayed is a known event, and only a reason
// to ask.
func (c *Client) Verify(ctx context.Context, now time.Time, header http.Header, body []byte) (payment.Receipt, error) {
	if len(body) > maxBody {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has %d bytes, more than %d", len(body), maxBody)
	}
	t, err := parseTransmission(header)
	if err != nil {
		return payment.Receipt{}, err
	}
	if guardAlgorithm.On() && t.algorithm != algorithm {
		return payment.Receipt{}, payment.Refuse("algorithm", "signed with %q, and only %s is accepted", payment.Clip(t.algorithm, 200), algorithm)
	}
	key, err := c.certs.key(ctx, now, t.certificate)
	if err != nil {
		return payment.Receipt{}, err
	}
	webhook := c.cfg.WebhookID
	if !guardWebhook.On() {
		webhook = header.Get(headerWebhook)
	}
	if guardSignature.On() && !t.fits(key, webhook, body) {
		return payment.Receipt{}, payment.Refuse("signature", "the signature does not fit the body and the webhook %s", c.cfg.WebhookID)
	}
	return receipt(body)
}

// transmission is what the headers of a webhook say.
type transmission struct {
	id, at, certificate, algorithm string
	signature                      []byte
}

func parseTransmission(header http.Header) (transmission, error) {
	var t transmission
	if len(header.Values(HeaderSignature)) == 0 {
		return t, payment.Refuse(payment.Unsigned, "there is no %s header", HeaderSignature)
	}
	var signature string
	for _, h := range []struct {
		name string
		to   *string
	}{
		{HeaderID, &t.id}, {HeaderTime, &t.at}, {HeaderSignature, &signature}, {HeaderCert, &t.certificate}, {HeaderAlgorithm, &t.algorithm},
	} {
		values := header.Values(h.name)
		if len(values) != 1 || values[0] == "" {
			return t, payment.Refuse("signature", "there are %d %s headers instead of one", len(values), h.name)
		}
		if len(values[0]) > maxHeader {
			return t, payment.Refuse("malformed", "the %s header is too long", h.name)
		}
		*h.to = values[0]
	}
	// The signed text joins its parts with bars, so none may have one.
	if !payment.Printable(t.id) || strings.Contains(t.id, "|") {
		return t, payment.Refuse("malformed", "the %s header is no id", HeaderID)
	}
	if _, err := time.Parse(time.RFC3339, t.at); err != nil {
		return t, payment.Refuse("malformed", "the %s header is no time", HeaderTime)
	}
	var err error
	if t.signature, err = base64.StdEncoding.Strict().DecodeString(signature); err != nil {
		return t, payment.Refuse("malformed", "the %s header is no base64", HeaderSignature)
	}
	return t, nil
}

// fits reports whether the signature is the key's for the body at a webhook.
func (t transmission) fits(key *rsa.PublicKey, webhook string, body []byte) bool {
	signed := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", t.id, t.at, webhook, crc32.ChecksumIEEE(body)))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, signed[:], t.signature) == nil
}

// receipt reads from a body what to ask about. The signature does not prove the
// body, so an id is taken only if it can be nothing but an id.
func receipt(body []byte) (payment.Receipt, error) {
	var ev struct {
		ID       string          `json:"id"`
		Type     string          `json:"event_type"`
		Created  time.Time       `json:"create_time"`
		Resource json.RawMessage `json:"resource"`
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return payment.Receipt{}, payment.Refuse("malformed", "the body has a NUL byte")
	}
	if err := json.Unmarshal(body, &ev); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the body is no event: %v", err)
	}
	if !payment.Printable(ev.ID) || !payment.Printable(ev.Type) || ev.Created.IsZero() {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's id or type is empty, too long or not printable, or it has no time")
	}
	r := payment.Receipt{
		EventID: ev.ID, EventType: ev.Type, ObjectID: ev.ID, Created: ev.Created.UTC(),
		Class: payment.ClassIgnored, Applier: payment.ApplierOrder,
	}
	known, ok := events[ev.Type]
	if !ok {
		// What an event that we have no use for is about does not matter.
		return r, nil
	}
	var resource struct {
		ID        string `json:"id"`
		OrderID   string `json:"order_id"`
		DisputeID string `json:"dispute_id"`
	}
	if err := json.Unmarshal(ev.Resource, &resource); err != nil {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's resource is none: %v", err)
	}
	r.Class, r.ObjectID = payment.ClassPointer, resource.ID
	switch {
	case known.about == aDispute:
		r.ObjectID = resource.DisputeID
	case known.about == anOrder && resource.ID == "":
		r.ObjectID = resource.OrderID
	}
	if !safeID(r.ObjectID) {
		return payment.Receipt{}, payment.Refuse("malformed", "the event's object has no usable id")
	}
	return r, nil
}
