package paypal_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
)

const (
	webhookID   = "1JE4291016473214C"
	sandboxName = "messageverificationcerts.sandbox.paypal.com"
	liveName    = "messageverificationcerts.paypal.com"
	sandboxCert = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// authority issues certificates: it is the root that a client trusts.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(name string, number byte) authority {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), number))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-10, 0, 0), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return authority{key, parse(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))}
}

func parse(der []byte, err error) *x509.Certificate {
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

// The keys are the same in every process, as the fuzzer's workers need them.
var (
	trusted  = sync.OnceValue(func() authority { return newAuthority("Test root", 1) })
	stranger = sync.OnceValue(func() authority { return newAuthority("Test root", 2) })
	keyOne   = sync.OnceValue(func() *rsa.PrivateKey {
		return keyOf(
			"d5e2b0a4c656bbad0b6cd6bcb8acad99bf2f5aefbaa8672e65db72f72862f48142930efe62a21e96aa4e590c23db67e8051d3df22d7811a50fe7656fdb9c8afe"+
				"71e5bd99563ab922598e19467723088b2d4ffce1dc86d9d0a48cb82c8bcb0597f69f333abe16c16e7c113fb7de3060de0b64222665df4526cb6d756a334d0055",
			"de85fd5aeebe276793736da64322a00bc46a913edee0aac1e03a2c080b7560ac2566f91316996f1ab775c7d628579434df14c13146b986999323dd2d4456cd17"+
				"0ce66d6f697bbff4f9b74cddf01fc36efa4f3aaa1c1ff242a0c01550b849ae1dd8c4b5ee231d996526d77c826c008bf191ce2bdc9e6710f9f9510f77f88a2607")
	})
	keyTwo = sync.OnceValue(func() *rsa.PrivateKey {
		return keyOf(
			"dc8578fa71b60932e21a7e171ff69c8f59d68d8ebf0fbc7e60cd3f46c7f8e8d4390d69f583e20f8a7a68bdb88aab4ade93beb81048bcf3b86b9479c8e73dd3ed"+
				"e3cd3b0836805de951575900d6bad223a874bc8966df70a579bd317e0d2adb34f83fe2613323c7c30018684ee790954521df5268e7b6206ac163d34ea6c18c07",
			"f106b9624ccf8cf340089b7eec93b2edd349fc1a4da12dd9a16cee8e60b0de54de9ea1ba02e6b5e87321408a0ae5bf51ffdc54c5381507b083ff5ba0094346f9"+
				"2974088eecddcdc33470bfd47b9d41282761fb83aaae2c02acb319f14cac4fac7bcb60ac9444ff54955c7e9bc04d18826825dd7319a7074c8881fc98e49f4477")
	})
)

// keyOf is the RSA key of two primes.
func keyOf(p, q string) *rsa.PrivateKey {
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int), E: 65537}, Primes: []*big.Int{new(big.Int), new(big.Int)}}
	phi := big.NewInt(1)
	key.N.SetInt64(1)
	for i, text := range []string{p, q} {
		if _, ok := key.Primes[i].SetString(text, 16); !ok {
			panic("no number")
		}
		key.N.Mul(key.N, key.Primes[i])
		phi.Mul(phi, new(big.Int).Sub(key.Primes[i], big.NewInt(1)))
	}
	key.D = new(big.Int).ModInverse(big.NewInt(int64(key.E)), phi)
	key.Precompute()
	if err := key.Validate(); err != nil {
		panic(err)
	}
	return key
}

func newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// issue makes a certificate for a key, as PEM.
func (a authority) issue(public any, change ...func(*x509.Certificate)) string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: sandboxName}, DNSNames: []string{sandboxName},
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(template)
	}
	return encode(parse(x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)))
}

func encode(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// internet answers requests by their whole address, and counts them. An address
// that it does not know is one that nobody should have connected to.
type internet struct {
	mu    sync.Mutex
	pages map[string]string
	seen  []string
	gate  chan struct{} // not nil: an answer waits for it
}

func (i *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.seen = append(i.seen, r.URL.String())
	page, ok := i.pages[r.URL.String()]
	gate := i.gate
	i.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if !ok {
		return nil, fmt.Errorf("nobody should connect to %s", r.URL)
	}
	rec := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if to, redirect := strings.CutPrefix(page, "-> "); redirect {
		rec.StatusCode = http.StatusFound
		rec.Header.Set("Location", to)
		page = ""
	}
	rec.Body = http.NoBody
	if page != "" {
		rec.Body = readCloser{strings.NewReader(page)}
	}
	return rec, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func (i *internet) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.seen)
}

// client trusts the test's root and sees only the given internet.
func client(t testing.TB, net *internet, change ...func(*paypal.Config)) *paypal.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(trusted().cert)
	c, err := paypal.New(config(append([]func(*paypal.Config){func(c *paypal.Config) {
		c.HTTPClient, c.RootCAs = &http.Client{Transport: net}, roots
	}}, change...)...))
	require.NoError(t, err)
	return c
}

func goodNet() *internet {
	return &internet{pages: map[string]string{sandboxCert: trusted().issue(&keyOne().PublicKey)}}
}

// event is a body as PayPal lays it out: on one line.
func event(kind, resource string) []byte {
	return fmt.Appendf(nil, `{"id":"WH-58D329510W468432D-8HN650336L201105X","event_version":"1.0","create_time":"2026-05-01T11:59:50.940Z",`+
		`"resource_type":"capture","resource_version":"2.0","event_type":%q,"summary":"Payment completed for $ 15.0 USD & more","resource":%s,"links":[]}`, kind, resource)
}

func captured() []byte { return event("PAYMENT.CAPTURE.COMPLETED", captureBody("COMPLETED")) }

// signed are the headers with which PayPal sends body.
func signed(body []byte) http.Header { return signedBy(keyOne(), sandboxCert, webhookID, body) }

func signedBy(key *rsa.PrivateKey, cert, webhook string, body []byte) http.Header {
	const id, at = "103e3700-8b0c-11e6-8695-6b62a8a99ac4", "2026-05-01T11:59:55Z"
	sum := sha256.Sum256([]byte(fmt.Sprint(id, "|", at, "|", webhook, "|", crc32.ChecksumIEEE(body))))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return http.Header{
		paypal.HeaderID: {id}, paypal.HeaderTime: {at}, paypal.HeaderSignature: {base64.StdEncoding.EncodeToString(sig)},
		paypal.HeaderCert: {cert}, paypal.HeaderAlgorithm: {"SHA256withRSA"},
	}
}

func with(h http.Header, name string, values ...string) http.Header {
	h = h.Clone()
	h[name] = values
	if len(values) == 0 {
		delete(h, name)
	}
	return h
}

func TestVerifyAcceptsWhatPayPalSigns(t *testing.T) {
	t.Parallel()
	body := captured()
	r, err := client(t, goodNet()).Verify(t.Context(), now, signed(body), body)
	require.NoError(t, err)
	require.Equal(t, payment.Receipt{
		EventID: "WH-58D329510W468432D-8HN650336L201105X", EventType: "PAYMENT.CAPTURE.COMPLETED", ObjectID: captureID,
		Class: payment.ClassPointer, Applier: payment.ApplierOrder, Created: time.Date(2026, 5, 1, 11, 59, 50, 940_000_000, time.UTC),
	}, r)
}

// TestVerifyRefuses has the rejections of E9 that concern PayPal. Each row fails
// only by the check that it names.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	body := captured()
	good := signed(body)
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, body, "", "\t"))
	// Go's own way of writing it again escapes the ampersand.
	again, err := json.Marshal(json.RawMessage(body))
	require.NoError(t, err)
	require.NotEqual(t, string(body), string(again))
	nul := event("PAYMENT.CAPTURE.COMPLETED", "{\"id\": \"a\x00\"}")
	bom := append([]byte("\xef\xbb\xbf"), body...)
	huge := append(bytes.Clone(body), bytes.Repeat([]byte(" "), 1<<20)...)

	weak := sha1.Sum([]byte(fmt.Sprint(good.Get(paypal.HeaderID), "|", good.Get(paypal.HeaderTime), "|", webhookID, "|", crc32.ChecksumIEEE(body))))
	sig1, err := rsa.SignPKCS1v15(rand.Reader, keyOne(), crypto.SHA1, weak[:])
	require.NoError(t, err)
	sha1Signed := with(with(good, paypal.HeaderAlgorithm, "SHA1withRSA"), paypal.HeaderSignature, base64.StdEncoding.EncodeToString(sig1))

	for _, c := range []struct {
		name   string
		header http.Header
		body   []byte
		reason string
	}{
		{"pretty-printed", good, pretty.Bytes(), "signature"},
		{"written again by a JSON library", good, again, "signature"},
		{"a BOM before it", good, bom, "signature"},
		{"one byte more", good, append(bytes.Clone(body), '\n'), "signature"},
		{"one byte less", good, body[:len(body)-1], "signature"},
		{"one byte altered", good, bytes.Replace(body, []byte("15.00"), []byte("15.01"), 1), "signature"},
		{"empty", good, nil, "signature"},
		{"too large", signed(huge), huge, "malformed"},
		{"for another webhook", signedBy(keyOne(), sandboxCert, "8PT597110X687430L", body), body, "signature"},
		{
			"for another webhook, and saying so",
			with(signedBy(keyOne(), sandboxCert, "8PT597110X687430L", body), "Paypal-Webhook-Id", "8PT597110X687430L"), body, "signature",
		},
		{"by another key", signedBy(keyTwo(), sandboxCert, webhookID, body), body, "signature"},
		{"another id", with(good, paypal.HeaderID, "103e3700-8b0c-11e6-8695-6b62a8a99ac5"), body, "signature"},
		{"another time", with(good, paypal.HeaderTime, "2026-05-01T11:59:56Z"), body, "signature"},
		{"a weak algorithm, well signed", sha1Signed, body, "algorithm"},
		{"another name for the algorithm", with(good, paypal.HeaderAlgorithm, "SHA1withRSA"), body, "algorithm"},
		{"no algorithm at all", with(good, paypal.HeaderAlgorithm, "none"), body, "algorithm"},
		{"lower case", with(good, paypal.HeaderAlgorithm, "sha256withrsa"), body, "algorithm"},
		{"no signature", with(good, paypal.HeaderSignature), body, "unsigned"},
		{"no id", with(good, paypal.HeaderID), body, "signature"},
		{"no time", with(good, paypal.HeaderTime), body, "signature"},
		{"no certificate", with(good, paypal.HeaderCert), body, "signature"},
		{"no algorithm", with(good, paypal.HeaderAlgorithm), body, "signature"},
		{"two signatures", with(good, paypal.HeaderSignature, good.Get(paypal.HeaderSignature), good.Get(paypal.HeaderSignature)), body, "signature"},
		{"an empty signature", with(good, paypal.HeaderSignature, ""), body, "signature"},
		{"half a signature", with(good, paypal.HeaderSignature, good.Get(paypal.HeaderSignature)[:172]), body, "signature"},
		{"no base64", with(good, paypal.HeaderSignature, "%%%"), body, "malformed"},
		{"an endless header", with(good, paypal.HeaderSignature, strings.Repeat("A", 4096)), body, "malformed"},
		{"a bar in the id", with(good, paypal.HeaderID, "a|b"), body, "malformed"},
		{"no time at all", with(good, paypal.HeaderTime, "yesterday"), body, "malformed"},
		{"signed, with a NUL", signed(nul), nul, "malformed"},
		{"signed, with a BOM", signed(bom), bom, "malformed"},
	} {
		_, err := client(t, goodNet()).Verify(t.Context(), now, c.header, c.body)
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, c.name)
		require.Equal(t, c.reason, refused.Reason, "%s: %s", c.name, refused.Detail)
		require.NotContains(t, refused.Error(), "s3cret", c.name)
	}
}

func TestVerifyRefusesSignedBodiesThatAreNoEvents(t *testing.T) {
	t.Parallel()
	good := string(captured())
	const id = "WH-58D329510W468432D-8HN650336L201105X"
	for name, body := range map[string]string{
		"no JSON":                 "hello",
		"two values":              good + "{}",
		"a list":                  "[]",
		"no event id":             strings.Replace(good, id, "", 1),
		"an endless event id":     strings.Replace(good, id, strings.Repeat("e", 256), 1),
		"a control character":     strings.Replace(good, id, `WH-\u0000`, 1),
		"a letter beyond ASCII":   strings.Replace(good, id, "WH-é", 1),
		"no type":                 strings.Replace(good, "PAYMENT.CAPTURE.COMPLETED", "", 1),
		"no time":                 strings.Replace(good, "create_time", "created", 1),
		"a number as a time":      strings.Replace(good, `"2026-05-01T11:59:50.940Z"`, "7", 1),
		"no resource":             strings.Replace(good, `"resource":`, `"resource_":`, 1),
		"a resource of no kind":   string(event("PAYMENT.CAPTURE.COMPLETED", "7")),
		"a resource without id":   string(event("PAYMENT.CAPTURE.COMPLETED", `{"status":"COMPLETED"}`)),
		"an id that climbs":       string(event("PAYMENT.CAPTURE.COMPLETED", `{"id":"../../v1/oauth2/token"}`)),
		"an id with a query":      string(event("PAYMENT.CAPTURE.COMPLETED", `{"id":"A?fields=x"}`)),
		"an id that is encoded":   string(event("PAYMENT.CAPTURE.COMPLETED", `{"id":"%2e%2e"}`)),
		"a dispute by another id": string(event("CUSTOMER.DISPUTE.CREATED", `{"id":"A"}`)),
	} {
		_, err := client(t, goodNet()).Verify(t.Context(), now, signed([]byte(body)), []byte(body))
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, "malformed", refused.Reason, name)
	}
}

func TestEventTable(t *testing.T) {
	t.Parallel()
	object := fmt.Sprintf(`{"id":%q}`, captureID)
	c := client(t, goodNet())
	for kind, resource := range map[string]string{
		"CHECKOUT.ORDER.APPROVED": object, "CHECKOUT.ORDER.COMPLETED": object,
		"CHECKOUT.PAYMENT-APPROVAL.REVERSED": fmt.Sprintf(`{"order_id":%q}`, captureID),
		"PAYMENT.CAPTURE.PENDING":            object, "PAYMENT.CAPTURE.COMPLETED": object, "PAYMENT.CAPTURE.DENIED": object, "PAYMENT.CAPTURE.DECLINED": object,
		"PAYMENT.CAPTURE.REFUNDED": object, "PAYMENT.CAPTURE.REVERSED": object, "PAYMENT.REFUND.PENDING": object, "PAYMENT.REFUND.FAILED": object,
		"CUSTOMER.DISPUTE.CREATED":  fmt.Sprintf(`{"dispute_id":%q}`, captureID),
		"CUSTOMER.DISPUTE.UPDATED":  fmt.Sprintf(`{"id":"x","dispute_id":%q}`, captureID),
		"CUSTOMER.DISPUTE.RESOLVED": fmt.Sprintf(`{"dispute_id":%q}`, captureID),
	} {
		body := event(kind, resource)
		r, err := c.Verify(t.Context(), now, signed(body), body)
		require.NoError(t, err, kind)
		require.Equal(t, payment.ClassPointer, r.Class, kind)
		require.Equal(t, captureID, r.ObjectID, kind)
		require.Empty(t, r.Facts, "nothing in a body is believed")
	}
	for kind, resource := range map[string]string{
		"BILLING.PLAN.CREATED": `{"id":"P-1"}`, "PAYMENT.SALE.COMPLETED": `null`, "PAYMENT.PAYOUTSBATCH.SUCCESS": `{"batch_header":{}}`, "CAPTURE": `[1]`,
	} {
		body := event(kind, resource)
		r, err := c.Verify(t.Context(), now, signed(body), body)
		require.NoError(t, err, kind)
		require.Equal(t, payment.ClassIgnored, r.Class, kind)
		require.Equal(t, r.EventID, r.ObjectID)
	}
}

// TestAnotherBodyWithTheSameChecksum shows why nothing in a body is believed: who
// holds one signed event can put any words under its signature.
func TestAnotherBodyWithTheSameChecksum(t *testing.T) {
	t.Parallel()
	body := captured()
	forged := bytes.Replace(body, []byte(captureID), []byte("99999999999999999"), 1)
	forged = append(bytes.TrimSuffix(forged, []byte("}")), []byte(`,"x":"`)...)
	forged = collide(forged, crc32.ChecksumIEEE(body), []byte(`"}`))
	require.Equal(t, crc32.ChecksumIEEE(body), crc32.ChecksumIEEE(forged))
	r, err := client(t, goodNet()).Verify(t.Context(), now, signed(body), forged)
	require.NoError(t, err, "the signature cannot tell")
	require.Equal(t, payment.ClassPointer, r.Class)
	require.Empty(t, r.Facts)
}

// collide puts 32 letters between prefix and suffix so that the whole has the
// wanted CRC32: each letter has one bit to choose, and the checksum is linear.
func collide(prefix []byte, want uint32, suffix []byte) []byte {
	const n = 40
	build := func(bits uint64) []byte {
		out := bytes.Clone(prefix)
		for i := range n {
			out = append(out, 'A'+byte(bits>>i&1)*0x20)
		}
		return append(out, suffix...)
	}
	zero := crc32.ChecksumIEEE(build(0))
	type row struct {
		sum  uint32
		bits uint64
	}
	var basis [32]row
	for i := range n {
		r := row{crc32.ChecksumIEEE(build(1<<i)) ^ zero, 1 << i}
		for b := 31; b >= 0; b-- {
			if r.sum>>b&1 == 0 {
				continue
			}
			if basis[b].sum == 0 {
				basis[b] = r
				break
			}
			r.sum, r.bits = r.sum^basis[b].sum, r.bits^basis[b].bits
		}
	}
	left, bits := want^zero, uint64(0)
	for b := 31; b >= 0; b-- {
		if left>>b&1 == 1 {
			left, bits = left^basis[b].sum, bits^basis[b].bits
		}
	}
	return build(bits)
}

func FuzzVerify(f *testing.F) {
	body := captured()
	h := signed(body)
	get := h.Get
	f.Add(get(paypal.HeaderID), get(paypal.HeaderTime), get(paypal.HeaderSignature), get(paypal.HeaderCert), get(paypal.HeaderAlgorithm), body, false)
	f.Add("", "", "", "", "", body, true)
	f.Add("a|b", "2026-05-01T11:59:55+25:00", "AAAA", sandboxCert+"/..", "none", []byte("{}"), false)
	for _, b := range [][]byte{
		event("CUSTOMER.DISPUTE.CREATED", `{"dispute_id":"PP-D-1"}`), event("PAYMENT.CAPTURE.REVERSED", `null`), []byte(`{"id":1}`), []byte("null"),
		append([]byte("\xef\xbb\xbf"), body...), event("CHECKOUT.ORDER.APPROVED", `{"order_id":"../x"}`),
	} {
		f.Add("", "", "", "", "", b, true)
	}
	net := goodNet()
	c := client(f, net)
	f.Fuzz(func(t *testing.T, id, at, sig, cert, algorithm string, body []byte, sign bool) {
		h := http.Header{
			paypal.HeaderID: {id}, paypal.HeaderTime: {at}, paypal.HeaderSignature: {sig}, paypal.HeaderCert: {cert}, paypal.HeaderAlgorithm: {algorithm},
		}
		if sign {
			h = signed(body)
		}
		r, err := c.Verify(t.Context(), now, h, body)
		if err != nil {
			require.Zero(t, r)
			return
		}
		require.Equal(t, sandboxCert, h.Get(paypal.HeaderCert), "only one address has a certificate")
		if !sign {
			require.Equal(t, get(paypal.HeaderSignature), sig, "accepted and not signed")
		}
		for _, s := range []string{r.EventID, r.EventType, r.ObjectID} {
			require.NotEmpty(t, s)
			require.LessOrEqual(t, len(s), 255)
			require.Equal(t, -1, strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }))
		}
		if r.Class == payment.ClassPointer {
			require.NotContains(t, r.ObjectID, "/")
			require.NotContains(t, r.ObjectID, ".")
		}
		require.Empty(t, r.Facts)
	})
}
