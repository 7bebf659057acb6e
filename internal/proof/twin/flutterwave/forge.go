package flutterwave

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"proofroom/internal/proof/twin/host"
)

// Kinds of forgeries that must be refused. Each differs from a genuine webhook in
// one thing.
const (
	ForgeOtherHash = "other_hash" // another secret hash
	ForgeNoHash    = "no_hash"    // no header
	ForgeEmptyHash = "empty_hash" // a header without a value
	ForgeTwoHashes = "two_hashes" // a wrong header before the right one
	ForgeV4        = "v4"         // signed as API v4 does, without the hash of v3
	ForgeBOM       = "hash_bom"   // the right hash, and a byte order mark before the body
	ForgeNoID      = "no_id"      // the right hash, and no id in data
)

// Kinds of forgeries that the hash cannot tell from genuine webhooks: it does not
// cover the body. They are accepted, and whoever believes one is deceived.
const (
	ForgeClaim    = "claim"    // a genuine event of a payment that is not successful says that it is
	ForgeTakeover = "takeover" // a genuine event with another amount, currency and tx_ref
	ForgeInvented = "invented" // a payment that there is not
)

// Forgeries lists every kind that must be refused.
var Forgeries = []string{ForgeOtherHash, ForgeNoHash, ForgeEmptyHash, ForgeTwoHashes, ForgeV4, ForgeBOM, ForgeNoID}

// Deceptions lists every kind that is accepted and must not be believed.
var Deceptions = []string{ForgeClaim, ForgeTakeover, ForgeInvented}

// Forgeries lists every kind.
func (t *Twin) Forgeries() []string {
	return append(append([]string(nil), Forgeries...), Deceptions...)
}

// Forge makes a forged webhook. Without a genuine event to start from, it claims
// that the page was paid, by a transaction that there is not.
func (t *Twin) Forge(f host.Forgery, e host.Endpoint, at time.Time) (host.Fake, error) {
	id, body, err := t.forgedBody(f, at)
	if err != nil {
		return host.Fake{}, err
	}
	fake := host.Fake{EventID: id, Body: bytes.Clone(body), Header: t.Headers(at, e, body)}
	switch f.Kind {
	case ForgeOtherHash:
		fake.Header.Set(hashHeader, host.RandomText(max(8, len(e.Secret))))
	case ForgeNoHash:
		fake.Header.Del(hashHeader)
	case ForgeEmptyHash:
		fake.Header.Set(hashHeader, "")
	case ForgeTwoHashes:
		fake.Header[http.CanonicalHeaderKey(hashHeader)] = []string{"guess", e.Secret}
	case ForgeV4:
		mac := hmac.New(sha256.New, []byte(e.Secret))
		_, _ = mac.Write(fake.Body)
		fake.Header.Del(hashHeader)
		fake.Header.Set("flutterwave-signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	case ForgeBOM:
		fake.Body = append([]byte("\xef\xbb\xbf"), fake.Body...)
	case ForgeNoID:
		fake.Body = altered(fake.Body, map[string]any{"id": nil})
	case ForgeClaim:
		fake.Body = altered(fake.Body, map[string]any{"status": statusSuccessful})
	case ForgeTakeover:
		fake.Body = altered(fake.Body, map[string]any{"amount": json.Number("0.01"), "currency": "USD", "tx_ref": host.RandomText(12)})
	}
	return fake, nil
}

// forgedBody is the body to spoil, with its event's id.
func (t *Twin) forgedBody(f host.Forgery, at time.Time) (string, []byte, error) {
	if f.Event != "" {
		body, err := t.host.EventBody(f.Event)
		return f.Event, body, err
	}
	l, ok := t.at(f.Ref)
	if !ok {
		return "", nil, host.Missing("page", f.Ref)
	}
	paid := &transaction{
		id: t.number(), txRef: l.page.ref, flwRef: "FLW-MOCK-" + host.RandomOf("0123456789abcdef", 32), page: l.page, link: l, created: at,
		status: statusSuccessful, method: "card", amount: l.amount, currency: l.currency,
	}
	return host.NewID("flwevt_"), encode(chargeEvent{Event: "charge.completed", Data: renderTransaction(paid), Kind: "CARD_TRANSACTION"}), nil
}

// altered is an event with other values in its data.
func altered(body []byte, values map[string]any) []byte {
	var whole map[string]json.RawMessage
	var data map[string]any
	err := json.Unmarshal(body, &whole)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(whole["data"]))
		d.UseNumber()
		err = d.Decode(&data)
	}
	if err != nil {
		panic("twin: an own event is no JSON: " + err.Error())
	}
	for name, v := range values {
		data[name] = v
	}
	whole["data"] = encode(data)
	return encode(whole)
}
