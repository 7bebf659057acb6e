package load

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/core/payment/stripe"
)

// What the accounts prove themselves with.
const (
	StripeKey         = "sk_test_bench"
	StripeSecret      = "whsec_bench"
	PayPalClient      = "bench-client"
	PayPalSecret      = "bench-secret"
	PayPalWebhook     = "WH-BENCH-1"
	FlutterwaveKey    = "FLWSECK_TEST-bench-X"
	FlutterwaveSecret = "bench-hash-4711"
)

const (
	certName = "messageverificationcerts.sandbox.paypal.com"
	certFile = "CERT-360caa42-fca2a594-be7c4be7"
)

// Files of a seal.
const (
	rootFile  = "paypal-root.pem"
	chainFile = "paypal-chain.pem"
	keyFile   = "paypal-key.pem"
)

// RootCA is the file with the root that the server has to trust.
func RootCA(dir string) string { return filepath.Join(dir, rootFile) }

// MakeSeal writes a root, a certificate under it and its key into a folder: what
// PayPal's webhooks are signed and checked with.
func MakeSeal(dir string) error {
	root, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 2),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &root.PublicKey, root)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: certName}, DNSNames: []string{certName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 1), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, root)
	if err != nil {
		return err
	}
	var errs []error
	for name, block := range map[string]*pem.Block{
		rootFile:  {Type: "CERTIFICATE", Bytes: caDER},
		chainFile: {Type: "CERTIFICATE", Bytes: leafDER},
		keyFile:   {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
	} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	return errors.Join(errs...)
}

// signer signs webhooks of all providers. key is nil where none is PayPal's.
type signer struct {
	key *rsa.PrivateKey
	// base is where PayPal's API is.
	base string
}

func newSigner(s Set, dir, base string) (signer, error) {
	out := signer{base: base}
	if !s.Mixed {
		return out, nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return out, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return out, fmt.Errorf("%s holds no key", keyFile)
	}
	out.key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	return out, err
}

// headers are those of a webhook of the nth order, signed at a time.
func (g signer) headers(s Set, n int, at time.Time, body []byte) (http.Header, error) {
	h := http.Header{}
	switch s.Provider(n) {
	case Stripe:
		t := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(StripeSecret))
		_, _ = mac.Write([]byte(t + "."))
		_, _ = mac.Write(body)
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
		h.Set(stripe.SignatureHeader, "t="+t+",v1="+hex.EncodeToString(mac.Sum(nil)))
	case PayPal:
		id, when := ID(KindOrder, s.Batch, n).String(), at.UTC().Format("2006-01-02T15:04:05Z")
		sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", id, when, PayPalWebhook, crc32.ChecksumIEEE(body)))
		sig, err := rsa.SignPKCS1v15(nil, g.key, crypto.SHA256, sum[:])
		if err != nil {
			return nil, err
		}
		h.Set("Content-Type", "application/json")
		h.Set("User-Agent", "PayPal/AUHD-214.0-58682014")
		h.Set("Paypal-Auth-Version", "v2")
		h.Set(paypal.HeaderID, id)
		h.Set(paypal.HeaderTime, when)
		h.Set(paypal.HeaderAlgorithm, "SHA256withRSA")
		h.Set(paypal.HeaderCert, g.base+"/paypal/v1/notifications/certs/"+certFile)
		h.Set(paypal.HeaderSignature, base64.StdEncoding.EncodeToString(sig))
	case Flutterwave:
		h.Set("Content-Type", "application/json")
		h.Set("User-Agent", "axios/1.7.4")
		h.Set(flutterwave.HashHeader, FlutterwaveSecret)
	}
	return h, nil
}
