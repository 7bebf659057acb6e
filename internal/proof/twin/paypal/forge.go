package paypal

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// Kinds of forgeries. Each differs from a genuine webhook in one thing.
const (
	ForgeOtherWebhook = "other_webhook"      // rightly signed, for another application's webhook
	ForgeUnsigned     = "unsigned"           // no headers of PayPal's
	ForgeOtherKey     = "other_key"          // signed with another key than the certificate's
	ForgeAltered      = "altered"            // rightly signed, then one digit of the body changed
	ForgeAppended     = "appended"           // rightly signed, then one byte added
	ForgeReformatted  = "reformatted"        // rightly signed, then the JSON written anew
	ForgeBOM          = "bom"                // rightly signed, then a byte order mark put before it
	ForgeAlgorithm    = "algorithm"          // rightly signed, and named as another algorithm
	ForgeExpired      = "expired"            // a certificate that ran out yesterday
	ForgeOtherCA      = "other_authority"    // PayPal's name on a certificate of another authority
	ForgeOtherName    = "other_name"         // another name on a certificate of the right authority
	ForgeNoCert       = "no_certificate"     // there is nothing at the certificate's address
	ForgeRedirect     = "certificate_moved"  // the certificate's address leads elsewhere
	ForgeHuge         = "certificate_huge"   // the certificate has no end
	ForgeForeignHost  = "certificate_host"   // the certificate is on another host
	ForgeHostSuffix   = "certificate_suffix" // on a host that begins like PayPal's
	ForgeUserInfo     = "certificate_user"   // PayPal's host as the user of another one
	ForgeScheme       = "certificate_scheme" // PayPal's host without TLS
	ForgePath         = "certificate_path"   // on the right host in another place

	// ForgeSameCRC is another body with the same CRC-32, under a genuine
	// signature. PayPal's signature proves no more than that: it is accepted, and
	// whoever believes the body is deceived.
	ForgeSameCRC = "same_crc"
)

// Forgeries lists every kind that must be refused.
var Forgeries = []string{
	ForgeOtherWebhook, ForgeUnsigned, ForgeOtherKey, ForgeAltered, ForgeAppended, ForgeReformatted, ForgeBOM, ForgeAlgorithm, ForgeExpired,
	ForgeOtherCA, ForgeOtherName, ForgeNoCert, ForgeRedirect, ForgeHuge, ForgeForeignHost, ForgeHostSuffix, ForgeUserInfo, ForgeScheme, ForgePath,
}

// Forgeries lists every kind.
func (t *Twin) Forgeries() []string { return append(append([]string(nil), Forgeries...), ForgeSameCRC) }

// Forge makes a forged webhook.
func (t *Twin) Forge(f host.Forgery, e host.Endpoint, at time.Time) (host.Fake, error) {
	id, body, err := t.forgedBody(f, at)
	if err != nil {
		return host.Fake{}, err
	}
	return t.spoil(f.Kind, host.Fake{EventID: id, Body: bytes.Clone(body)}, e.Secret, at), nil
}

// forgedBody is the body to spoil, with its event's id.
func (t *Twin) forgedBody(f host.Forgery, at time.Time) (string, []byte, error) {
	if f.Event != "" {
		body, err := t.host.EventBody(f.Event)
		return f.Event, body, err
	}
	o, ok := t.orders[f.Ref]
	if !ok {
		return "", nil, host.Missing("order", f.Ref)
	}
	// What the order's capture would look like, had it been captured.
	paid := &capture{
		id: transactionID(), created: at, updated: at, status: captureCompleted, amount: o.amount, currency: o.currency,
		customID: o.customID, invoiceID: o.invoiceID, order: o,
	}
	id := "WH-" + transactionID() + "-" + transactionID()
	switch f.Type {
	case "", "PAYMENT.CAPTURE.COMPLETED":
		return id, t.body(id, "PAYMENT.CAPTURE.COMPLETED", at, "capture", "2.0",
			"Payment completed for "+written(paid.currency, paid.amount), t.renderCapture(paid)), nil
	case "CHECKOUT.ORDER.APPROVED":
		return id, t.body(id, f.Type, at, "checkout-order", "2.0", "An order has been approved by buyer", t.renderOrder(o, true)), nil
	}
	return "", nil, host.BadRequest("a forgery claims PAYMENT.CAPTURE.COMPLETED or CHECKOUT.ORDER.APPROVED, not %q", f.Type)
}

var amounts = regexp.MustCompile(`"value":"[0-9.]*([0-9])"`)

// spoil makes the forgery. The lock is held.
func (t *Twin) spoil(kind string, f host.Fake, webhook string, at time.Time) host.Fake {
	base := t.base()
	by := t.current()
	address := ""
	switch kind {
	case ForgeOtherWebhook:
		other := host.RandomOf("0123456789ABCDEFGHJK", len(webhook))
		f.Header = signed(by, base, at, other, f.Body)
		f.Header.Set("Paypal-Webhook-Id", other) // as somebody would say who may choose
		return f
	case ForgeExpired:
		by = t.issueOne(leaf{expired: true}, false)
	case ForgeOtherCA:
		by = t.issueOne(leaf{}, true)
	case ForgeOtherName:
		by = t.issueOne(leaf{name: "www.example.com"}, false)
	case ForgeNoCert:
		address = base + "/v1/notifications/certs/CERT-none"
	case ForgeRedirect:
		address = base + "/v1/notifications/certs/" + nameRedirect
	case ForgeHuge:
		address = base + "/v1/notifications/certs/" + nameHuge
	case ForgeForeignHost:
		address = "https://certificates.example.com/v1/notifications/certs/" + by.name
	case ForgeHostSuffix:
		address = "https://api.paypal.com.example.com/v1/notifications/certs/" + by.name
	case ForgeUserInfo:
		address = "https://api.sandbox.paypal.com@example.com/v1/notifications/certs/" + by.name
	case ForgeScheme:
		address = "http://api.sandbox.paypal.com/v1/notifications/certs/" + by.name
	case ForgePath:
		address = base + "/certs/" + by.name
	}
	f.Header = signed(by, base, at, webhook, f.Body)
	if address != "" {
		f.Header.Set(headerCert, address)
	}
	switch kind {
	case ForgeUnsigned:
		for _, name := range []string{headerID, headerTime, headerSig, headerCert, headerAlgo} {
			f.Header.Del(name)
		}
	case ForgeOtherKey:
		f.Header = signed(t.issueOne(leaf{}, false), base, at, webhook, f.Body)
		f.Header.Set(headerCert, base+"/v1/notifications/certs/"+by.name)
	case ForgeAlgorithm:
		f.Header.Set(headerAlgo, "SHA1withRSA")
	case ForgeAltered:
		alter(f.Body)
	case ForgeAppended:
		f.Body = append(f.Body, '\n')
	case ForgeReformatted:
		var any map[string]any
		if err := json.Unmarshal(f.Body, &any); err != nil {
			panic("twin: an own event is no JSON: " + err.Error())
		}
		f.Body, _ = json.Marshal(any)
	case ForgeBOM:
		f.Body = append([]byte("\xef\xbb\xbf"), f.Body...)
	case ForgeSameCRC:
		f.Body = sameCRC(f.Body)
	}
	return f
}

// alter changes the last digit of every amount.
func alter(body []byte) {
	found := amounts.FindAllSubmatchIndex(body, -1)
	for _, at := range found {
		body[at[2]] = '0' + (body[at[2]]-'0'+1)%10
	}
	if len(found) == 0 {
		body[len(body)-3] ^= 1
	}
}

// sameCRC is another event with the CRC-32 of this one: its amounts are others,
// and a field is added whose letters make up for it. A CRC is linear, so each
// letter that is a or c turns fixed bits of it over, and 64 of them can turn over
// any.
func sameCRC(genuine []byte) []byte {
	want := crc32.ChecksumIEEE(genuine)
	const letters = 64
	body := bytes.Clone(genuine)
	alter(body)
	body = append(bytes.TrimSuffix(body, []byte("}")), `,"note":"`...)
	from := len(body)
	body = append(body, strings.Repeat("a", letters)+`"}`...)
	base := crc32.ChecksumIEEE(body)
	// Gauss: each row is what a set of letters turns over, and which they are.
	type row struct {
		turns uint32
		set   uint64
	}
	var rows [32]row
	for i := range letters {
		body[from+i] = 'c'
		r := row{crc32.ChecksumIEEE(body) ^ base, 1 << i}
		body[from+i] = 'a'
		for bit := 31; bit >= 0 && r.turns != 0; bit-- {
			if r.turns>>bit&1 == 0 {
				continue
			}
			if rows[bit].set == 0 {
				rows[bit] = r
				break
			}
			r.turns ^= rows[bit].turns
			r.set ^= rows[bit].set
		}
	}
	left, set := want^base, uint64(0)
	for bit := 31; bit >= 0; bit-- {
		if left>>bit&1 == 1 {
			left ^= rows[bit].turns
			set ^= rows[bit].set
		}
	}
	for i := range letters {
		if set>>i&1 == 1 {
			body[from+i] = 'c'
		}
	}
	return body
}
