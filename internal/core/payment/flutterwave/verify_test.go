package flutterwave_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// event is a body as the documentation shows it.
func event(name, id, status string) []byte {
	return fmt.Appendf(nil, `{
  "event": %q,
  "data": {
    "id": %s,
    "tx_ref": %q,
    "flw_ref": "PeterEkene/FLW270177170",
    "amount": 100,
    "currency": "NGN",
    "charged_amount": 100,
    "app_fee": 1.4,
    "merchant_fee": 0,
    "status": %q,
    "payment_type": "card",
    "created_at": "2020-07-06T19:17:04.000Z",
    "account_id": 17321
  }
}`, name, id, attempt, status)
}

func header(values ...string) http.Header {
	h := http.Header{}
	for _, v := range values {
		h.Add("verif-hash", v)
	}
	return h
}

func name(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{"flw3", "main"}, parts...), "|")))
	return hex.EncodeToString(sum[:])
}

func TestEventTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event, id, status string
		object, kind      string
	}{
		{"charge.completed", "285959875", "successful", "285959875", "charge.completed.successful"},
		{"charge.completed", "285959875", "failed", "285959875", "charge.completed.failed"},
		{"charge.completed", `"285959875"`, "PENDING", "285959875", "charge.completed.pending"},
		{"charge.completed", "9007199254740993", "successful", "9007199254740993", "charge.completed.successful"},
		{"refund.completed", "75923", "completed-mpgs", "refund:75923", "refund.completed.completed-mpgs"},
		{"chargeback.initiated", "1390", "initiated", "chargeback:1390", "chargeback.initiated.initiated"},
		{"charge.completed", "5", "", "5", "charge.completed"},
	} {
		for _, h := range []string{hash, oldHash} {
			r, err := client(t).Verify(t.Context(), now, header(h), event(c.event, c.id, c.status))
			require.NoError(t, err)
			require.Equal(t, payment.Receipt{
				EventID:   name(c.event, strings.Trim(c.id, `"`), strings.ToLower(c.status)),
				EventType: c.kind, ObjectID: c.object, Class: payment.ClassPointer, Applier: payment.ApplierOrder,
				Created: time.Date(2020, 7, 6, 19, 17, 4, 0, time.UTC),
			}, r)
		}
	}
	// With its transaction, by which alone chargebacks are looked up.
	body := bytes.Replace(event("chargeback.lost", "1390", "lost"), []byte(`"tx_ref"`), []byte(`"transaction_id": 1554166, "tx_ref"`), 1)
	r, err := client(t).Verify(t.Context(), now, header(hash), body)
	require.NoError(t, err)
	require.Equal(t, "chargeback:1390:1554166", r.ObjectID)

	for _, body := range []string{
		`{"event":"transfer.completed","data":{"id":33286,"status":"SUCCESSFUL"}}`, `{"event":"subscription.cancelled","data":7}`, `{"event":"x"}`,
	} {
		r, err := client(t).Verify(t.Context(), now, header(hash), []byte(body))
		require.NoError(t, err)
		require.Equal(t, payment.ClassIgnored, r.Class)
		require.Equal(t, r.EventID, r.ObjectID)
		require.Len(t, r.EventID, 64)
	}
}

// TestNamesOfEvents: a status is another event, a retry is none, and no field of
// the body that anybody could alter makes another.
func TestNamesOfEvents(t *testing.T) {
	t.Parallel()
	read := func(account string, body []byte) string {
		c := client(t)
		if account != "main" {
			c = other(t, account)
		}
		r, err := c.Verify(t.Context(), now, header(hash), body)
		require.NoError(t, err)
		return r.EventID
	}
	failed := read("main", event("charge.completed", "1", "failed"))
	require.Equal(t, failed, read("main", event("charge.completed", "1", "Failed")), "a retry")
	require.Equal(t, failed, read("main", bytes.Replace(event("charge.completed", "1", "failed"), []byte("100"), []byte("1"), 2)))
	for what, id := range map[string]string{
		"its success":     read("main", event("charge.completed", "1", "successful")),
		"its waiting":     read("main", event("charge.completed", "1", "pending")),
		"another try":     read("main", event("charge.completed", "2", "failed")),
		"a refund":        read("main", event("refund.completed", "1", "failed")),
		"another account": read("second", event("charge.completed", "1", "failed")),
	} {
		require.NotEqual(t, failed, id, what)
	}
}

// TestVerifyRefuses has the rejections of E9 that concern Flutterwave.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	good := event("charge.completed", "1", "successful")
	text := string(good)
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		reason string
	}{
		{"no header", http.Header{}, text, "unsigned"},
		{"an empty header", header(""), text, "signature"},
		{"two headers", header(hash, hash), text, "signature"},
		{"one good header of two", header("x", hash), text, "signature"},
		{"another hash", header("guessed"), text, "signature"},
		{"the hash in capitals", header(strings.ToUpper(hash)), text, "signature"},
		{"half the hash", header(hash[:5]), text, "signature"},
		{"the hash and more", header(hash + "x"), text, "signature"},
		{"both hashes at once", header(hash + "," + oldHash), text, "signature"},
		{"the digest of the hash", header(fmt.Sprintf("%x", sha256.Sum256([]byte(hash)))), text, "signature"},
		{"an endless header", header(strings.Repeat("x", 1<<16)), text, "signature"},
		{"the header of v4", http.Header{"Flutterwave-Signature": {hash}}, text, "unsigned"},
		{"too large", header(hash), text + strings.Repeat(" ", 1<<20), "malformed"},
		{"empty", header(hash), "", "malformed"},
		{"no JSON", header(hash), "event=charge.completed", "malformed"},
		{"a BOM before it", header(hash), "\xef\xbb\xbf" + text, "malformed"},
		{"a NUL", header(hash), strings.Replace(text, "card", "ca\x00d", 1), "malformed"},
		{"two values", header(hash), text + "{}", "malformed"},
		{"a list", header(hash), "[]", "malformed"},
		{"no event", header(hash), `{"data":{"id":1}}`, "malformed"},
		{"the old way to name it", header(hash), `{"event.type":"CARD_TRANSACTION","id":1}`, "malformed"},
		{"an event with spaces", header(hash), `{"event":"charge completed","data":{"id":1}}`, "malformed"},
		{"an endless event", header(hash), `{"event":"` + strings.Repeat("e", 65) + `","data":{"id":1}}`, "malformed"},
		{"no data", header(hash), `{"event":"charge.completed"}`, "malformed"},
		{"data of no kind", header(hash), `{"event":"charge.completed","data":7}`, "malformed"},
		{"no id in data", header(hash), `{"event":"charge.completed","id":7,"data":{"status":"successful"}}`, "malformed"},
		{"an id of null", header(hash), `{"event":"charge.completed","data":{"id":null}}`, "malformed"},
		{"an id of letters", header(hash), `{"event":"charge.completed","data":{"id":"chg_1"}}`, "malformed"},
		{"an id with a sign", header(hash), `{"event":"charge.completed","data":{"id":-1}}`, "malformed"},
		{"an id with a fraction", header(hash), `{"event":"charge.completed","data":{"id":1.0}}`, "malformed"},
		{"an id with an exponent", header(hash), `{"event":"charge.completed","data":{"id":1e3}}`, "malformed"},
		{"an endless id", header(hash), `{"event":"charge.completed","data":{"id":` + strings.Repeat("9", 21) + `}}`, "malformed"},
		{"a status beyond ASCII", header(hash), `{"event":"charge.completed","data":{"id":1,"status":"réussi"}}`, "malformed"},
	} {
		r, err := client(t).Verify(t.Context(), now, c.header, []byte(c.body))
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, c.name)
		require.Equal(t, c.reason, refused.Reason, "%s: %s", c.name, refused.Detail)
		require.NotContains(t, refused.Error(), hash, c.name)
		require.NotContains(t, refused.Error(), "guessed", "what was sent may be a secret with a typing error")
		require.Zero(t, r)
	}
}

// TestTheBodyStatesNothing: who knows the hash can write any body. It only makes
// us ask.
func TestTheBodyStatesNothing(t *testing.T) {
	t.Parallel()
	r, err := client(t).Verify(t.Context(), now, header(hash), event("charge.completed", "1", "successful"))
	require.NoError(t, err)
	require.Equal(t, payment.ClassPointer, r.Class)
	require.Empty(t, r.Facts)
	s := scripted(t, map[string]string{"GET /v3/transactions/1/verify": verified("1", "100", "failed")})
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: r.EventType, ObjectID: r.ObjectID})
	require.ErrorIs(t, err, payment.ErrBehind)
}

func FuzzVerify(f *testing.F) {
	for _, name := range []string{"charge.completed", "refund.completed", "chargeback.lost", "transfer.completed", ""} {
		f.Add(hash, event(name, "285959875", "successful"))
		f.Add(oldHash, event(name, `"1"`, "FAILED"))
		f.Add("", event(name, "null", ""))
	}
	f.Add(hash, []byte(`{"event":"charge.completed","data":{"id":1e400,"status":{}}}`))
	f.Add(hash, []byte(`{"event":"charge.completed","data":{"id":1,"ID":2}}`))
	c := client(f)
	f.Fuzz(func(t *testing.T, h string, body []byte) {
		r, err := c.Verify(t.Context(), now, http.Header{"Verif-Hash": {h}}, body)
		if err != nil {
			var refused *payment.VerifyError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, []string{"malformed", "signature"}, refused.Reason)
			require.Zero(t, r)
			return
		}
		require.Contains(t, []string{hash, oldHash}, h)
		require.Empty(t, r.Facts)
		require.Contains(t, []payment.Class{payment.ClassPointer, payment.ClassIgnored}, r.Class)
		for _, id := range []string{r.EventID, r.EventType, r.ObjectID} {
			require.NotEmpty(t, id)
			require.LessOrEqual(t, len(id), 255)
			require.Equal(t, -1, strings.IndexFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }))
		}
		again, err := c.Verify(t.Context(), now.Add(time.Hour), http.Header{"Verif-Hash": {h}}, body)
		require.NoError(t, err)
		require.Equal(t, r, again, "a retry is the same event")
	})
}
