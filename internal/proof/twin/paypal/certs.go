package paypal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"proofroom/internal/proof/twin/host"
)

const (
	certPath = "/paypal/v1/notifications/certs/"
	// certName is what PayPal's sandbox signs webhooks as.
	certName = "messageverificationcerts.sandbox.paypal.com"
)

// certificates are those that webhooks are signed with, and those of forgers.
type certificates struct {
	mu     sync.Mutex
	root   *issuer
	middle *issuer
	now    *signer
	served map[string][]byte // PEM by name
}

// issuer can sign certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// signer signs webhooks.
type signer struct {
	name string // in the address of its certificate
	key  *rsa.PrivateKey
}

// leaf says what is unusual about a certificate.
type leaf struct {
	name    string  // CN; default certName
	issuer  *issuer // default PayPal's
	expired bool    // it ran out yesterday
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("twin: a certificate cannot be made: " + err.Error())
	}
	return v
}

func serial() *big.Int { return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))) }

// newIssuer makes an authority: by itself, or under another.
func newIssuer(name string, parent *issuer) *issuer {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name, Organization: []string{"Payment twin"}},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	up := &issuer{c, key}
	if parent != nil {
		up = parent
	}
	der := must(x509.CreateCertificate(rand.Reader, c, up.cert, &key.PublicKey, up.key))
	return &issuer{must(x509.ParseCertificate(der)), key}
}

// ready makes what there is not yet. The lock is held.
func (c *certificates) ready() {
	if c.root == nil {
		c.root = newIssuer("Payment Twin Root", nil)
		c.middle = newIssuer("Payment Twin Intermediate", c.root)
		c.served = map[string][]byte{}
		c.now = c.issue(leaf{})
	}
}

// issue makes a certificate with its key and serves it. The lock is held.
func (c *certificates) issue(l leaf) *signer {
	by := l.issuer
	if by == nil {
		by = c.middle
	}
	if l.name == "" {
		l.name = certName
	}
	s := &signer{"CERT-360caa42-fca2a594-" + host.RandomOf("0123456789abcdef", 8), must(rsa.GenerateKey(rand.Reader, 2048))}
	until := time.Now().AddDate(1, 0, 0)
	if l.expired {
		until = time.Now().AddDate(0, 0, -1)
	}
	cert := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: l.name, Organization: []string{"Payment twin"}}, DNSNames: []string{l.name},
		NotBefore: time.Now().AddDate(0, -1, 0), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, cert, by.cert, &s.key.PublicKey, by.key))
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.served[s.name] = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: by.cert.Raw})...)
	return s
}

// CA is the root of the certificates, in PEM.
func (t *Twin) CA() string {
	t.certs.mu.Lock()
	defer t.certs.mu.Unlock()
	t.certs.ready()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.certs.root.cert.Raw}))
}

// Rotate signs with a new certificate from now on, whose name is returned. An
// expired one ran out yesterday. Old ones stay where they are.
func (t *Twin) Rotate(expired bool) string {
	t.certs.mu.Lock()
	defer t.certs.mu.Unlock()
	t.certs.ready()
	t.certs.now = t.certs.issue(leaf{expired: expired})
	return t.certs.now.name
}

func (t *Twin) current() *signer {
	t.certs.mu.Lock()
	defer t.certs.mu.Unlock()
	t.certs.ready()
	return t.certs.now
}

// issueOne makes a certificate that signs nothing but a forgery.
func (t *Twin) issueOne(l leaf, foreign bool) *signer {
	t.certs.mu.Lock()
	defer t.certs.mu.Unlock()
	t.certs.ready()
	if foreign {
		l.issuer = newIssuer("Payment Twin Root", nil)
	}
	return t.certs.issue(l)
}

// Names that stand for no certificate, but for a server that misbehaves.
const (
	nameRedirect = "CERT-redirect"
	nameHuge     = "CERT-huge"
)

func (t *Twin) serveCertificate(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	current := t.current().name
	t.certs.mu.Lock()
	raw, ok := t.certs.served[name]
	t.certs.mu.Unlock()
	switch {
	case name == nameRedirect:
		http.Redirect(w, r, certPath+current, http.StatusFound)
		return
	case name == nameHuge:
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = io.CopyN(w, endless{}, 32<<20)
		return
	case !ok:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(raw)
}

// endless is a text without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("A", len(p))), nil
}

// The headers of a webhook.
const (
	headerID   = "Paypal-Transmission-Id"
	headerTime = "Paypal-Transmission-Time"
	headerSig  = "Paypal-Transmission-Sig"
	headerCert = "Paypal-Cert-Url"
	headerAlgo = "Paypal-Auth-Algo"
)

// Headers sign a body for the webhook whose id is the endpoint's secret.
func (t *Twin) Headers(at time.Time, e host.Endpoint, body []byte) http.Header {
	return t.sign(t.current(), at, e.Secret, body)
}

func (t *Twin) sign(s *signer, at time.Time, webhook string, body []byte) http.Header {
	t.host.Lock()
	base := t.base()
	t.host.Unlock()
	return signed(s, base, at, webhook, body)
}

// signed makes the headers; base is where certificates are.
func signed(s *signer, base string, at time.Time, webhook string, body []byte) http.Header {
	id, when := transmissionID(), stamp(at)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", id, when, webhook, crc32.ChecksumIEEE(body)))
	sig := must(rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:]))
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "PayPal/AUHD-214.0-58682014")
	h.Set("Accept", "*/*")
	h.Set("Paypal-Auth-Version", "v2")
	h.Set(headerID, id)
	h.Set(headerTime, when)
	h.Set(headerAlgo, "SHA256withRSA")
	h.Set(headerCert, base+strings.TrimPrefix(certPath, "/paypal")+s.name)
	h.Set(headerSig, base64.StdEncoding.EncodeToString(sig))
	return h
}
