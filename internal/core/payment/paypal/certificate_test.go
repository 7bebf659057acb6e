package paypal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/testkit/pgtest"
)

const certPrefix = "/v1/notifications/certs/"

// evil are addresses to which nobody may connect.
var evil = []string{
	"https://api.sandbox.paypal.com.evil.tld" + certPrefix + "CERT-1",
	"https://evil.tld" + certPrefix + "CERT-1",
	"https://paypal.com" + certPrefix + "CERT-1",
	"https://www.paypal.com" + certPrefix + "CERT-1",
	"https://evil.api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https://xapi.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com@evil.tld" + certPrefix + "CERT-1",
	"https://user:pass@api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https://@api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com:443" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com:8443" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com:" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com." + certPrefix + "CERT-1",
	"https://API.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https://аpi.sandbox.paypal.com" + certPrefix + "CERT-1", // a Cyrillic letter
	"http://api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"HTTPS://api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"ftp://api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"file:///etc/passwd",
	"//api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https:api.sandbox.paypal.com" + certPrefix + "CERT-1",
	"https:///v1/notifications/certs/CERT-1",
	certPrefix + "CERT-1",
	"https://127.0.0.1" + certPrefix + "CERT-1",
	"https://169.254.169.254/latest/meta-data",
	"https://[::1]" + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com" + certPrefix,
	"https://api.sandbox.paypal.com" + certPrefix + ".",
	"https://api.sandbox.paypal.com" + certPrefix + "..",
	"https://api.sandbox.paypal.com" + certPrefix + "../../v1/oauth2/token",
	"https://api.sandbox.paypal.com" + certPrefix + "..%2f..%2foauth2",
	"https://api.sandbox.paypal.com" + certPrefix + "%2e%2e/x",
	"https://api.sandbox.paypal.com" + certPrefix + "a/b",
	"https://api.sandbox.paypal.com" + certPrefix + "a%2fb",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT%2d1",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT-1?x=1",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT-1?",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT-1#x",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT-1#",
	"https://api.sandbox.paypal.com//v1/notifications/certs/CERT-1",
	"https://api.sandbox.paypal.com/v1/notifications/certs//CERT-1",
	"https://api.sandbox.paypal.com/v1/notifications/certsx/CERT-1",
	"https://api.sandbox.paypal.com/x/v1/notifications/certs/CERT-1",
	"https://api.sandbox.paypal.com/V1/notifications/certs/CERT-1",
	`https://api.sandbox.paypal.com\@evil.tld` + certPrefix + "CERT-1",
	`https://evil.tld\.api.sandbox.paypal.com` + certPrefix + "CERT-1",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT 1",
	"https://api.sandbox.paypal.com" + certPrefix + "CERT-1\r\nHost: evil.tld",
	" " + sandboxCert,
	sandboxCert + " ",
	// The other environment's.
	"https://api.paypal.com" + certPrefix + "CERT-1",
	"https://api-m.paypal.com" + certPrefix + "CERT-1",
}

func TestNoAddressMakesUsConnectElsewhere(t *testing.T) {
	t.Parallel()
	body := captured()
	for _, address := range evil {
		// Whoever served the certificate would have its signature believed.
		net := &internet{pages: map[string]string{address: trusted().issue(&keyOne().PublicKey)}}
		_, err := client(t, net).Verify(t.Context(), now, signedBy(keyOne(), address, webhookID, body), body)
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, address)
		require.Equal(t, "certificate", refused.Reason, address)
		require.Zero(t, net.count(), "%s made a connection", address)
	}
	live := client(t, goodNet(), func(c *paypal.Config) { c.Live, c.RootCAs = true, nil })
	_, err := live.Verify(t.Context(), now, signed(body), body)
	var refused *payment.VerifyError
	require.ErrorAs(t, err, &refused, "the sandbox's certificate is not for real money")
	require.Equal(t, "certificate", refused.Reason)
}

func TestTheCertificatesHosts(t *testing.T) {
	t.Parallel()
	body := captured()
	for _, c := range []struct {
		live bool
		host string
	}{{false, "api.sandbox.paypal.com"}, {false, "api-m.sandbox.paypal.com"}, {true, "api.paypal.com"}, {true, "api-m.paypal.com"}} {
		net := &internet{}
		address := "https://" + c.host + certPrefix + "CERT-1.pem"
		_, err := client(t, net, func(cfg *paypal.Config) {
			cfg.Live = c.live
			if c.live {
				cfg.RootCAs = nil
			}
		}).Verify(t.Context(), now, signedBy(keyOne(), address, webhookID, body), body)
		notRefused(t, err)
		require.Equal(t, []string{address}, net.seen, "asked, and not reached")
	}
}

func notRefused(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var refused *payment.VerifyError
	require.NotErrorAs(t, err, &refused, "what could not be found out is no refusal")
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	body := captured()
	for _, to := range []string{"https://evil.tld/x", sandboxCert + "x", "http://127.0.0.1/x"} {
		net := &internet{pages: map[string]string{sandboxCert: "-> " + to, to: trusted().issue(&keyOne().PublicKey)}}
		_, err := client(t, net).Verify(t.Context(), now, signed(body), body)
		notRefused(t, err)
		require.Equal(t, []string{sandboxCert}, net.seen)
	}
	// A client of the caller's that follows is not asked to.
	net := &internet{pages: map[string]string{sandboxCert: "-> https://evil.tld/x"}}
	_, err := client(t, net, func(c *paypal.Config) {
		c.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
	}).Verify(t.Context(), now, signed(body), body)
	notRefused(t, err)
	require.Equal(t, []string{sandboxCert}, net.seen)
}

func TestCertificatesThatAreNotPayPals(t *testing.T) {
	t.Parallel()
	body := captured()
	short := newKey(1024)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	self := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: sandboxName}, DNSNames: []string{sandboxName},
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0),
	}
	selfSigned := encode(parse(x509.CreateCertificate(rand.Reader, self, self, &keyOne().PublicKey, keyOne())))
	name := func(cn string, dns ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = cn, dns }
	}
	one := &keyOne().PublicKey
	for what, c := range map[string]struct {
		page string
		ok   bool
	}{
		"PayPal's":                           {trusted().issue(one), true},
		"with the root after it":             {trusted().issue(one) + encode(trusted().cert), true},
		"a name only in the subject":         {trusted().issue(one, name(sandboxName)), true},
		"several names":                      {trusted().issue(one, name("x", "a.example", sandboxName)), true},
		"by itself":                          {selfSigned, false},
		"by a stranger of the same name":     {stranger().issue(one), false},
		"by a stranger who comes along":      {stranger().issue(one) + encode(stranger().cert), false},
		"expired a minute ago":               {trusted().issue(one, func(c *x509.Certificate) { c.NotAfter = now.Add(-60e9) }), false},
		"not valid for a minute yet":         {trusted().issue(one, func(c *x509.Certificate) { c.NotBefore = now.Add(60e9) }), false},
		"for the live environment":           {trusted().issue(one, name(liveName, liveName)), false},
		"for somebody else":                  {trusted().issue(one, name("shop.example", "shop.example")), false},
		"for a name that starts alike":       {trusted().issue(one, name("x", sandboxName+".evil.tld")), false},
		"for all names":                      {trusted().issue(one, name("x", "*.sandbox.paypal.com")), false},
		"the subject against its names":      {trusted().issue(one, name(sandboxName, "evil.tld")), false},
		"a short key":                        {trusted().issue(&short.PublicKey), false},
		"a key of another kind":              {trusted().issue(&elliptical.PublicKey), false},
		"the root itself, and the leaf next": {encode(trusted().cert) + trusted().issue(one), false},
	} {
		net := &internet{pages: map[string]string{sandboxCert: c.page}}
		_, err := client(t, net).Verify(t.Context(), now, signed(body), body)
		if c.ok {
			require.NoError(t, err, what)
			continue
		}
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, what)
		require.Equal(t, "certificate", refused.Reason, what)
	}
}

func TestTroubleWithACertificateIsNoRefusal(t *testing.T) {
	t.Parallel()
	body := captured()
	leaf := trusted().issue(&keyOne().PublicKey)
	for what, page := range map[string]string{
		"an empty page":     "",
		"a page of a proxy": "<html>sign in</html>",
		"a key":             "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"half of it":        leaf[:len(leaf)/2],
		"no certificate":    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"too many":          strings.Repeat(leaf, 9),
		"too much":          leaf + strings.Repeat("#", 64<<10),
	} {
		net := &internet{pages: map[string]string{sandboxCert: page}}
		c := client(t, net)
		_, err := c.Verify(t.Context(), now, signed(body), body)
		notRefused(t, err)
		net.mu.Lock()
		net.pages[sandboxCert] = leaf
		net.mu.Unlock()
		_, err = c.Verify(t.Context(), now, signed(body), body)
		require.NoError(t, err, "%s: and is asked for again", what)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	const next = "https://api.sandbox.paypal.com" + certPrefix + "CERT-2"
	net := goodNet()
	net.pages[next] = trusted().issue(&keyTwo().PublicKey, func(c *x509.Certificate) { c.NotAfter = now.AddDate(1, 0, 0) })
	c, body := client(t, net), captured()
	for range 3 {
		_, err := c.Verify(t.Context(), now, signed(body), body)
		require.NoError(t, err)
		_, err = c.Verify(t.Context(), now, signedBy(keyTwo(), next, webhookID, body), body)
		require.NoError(t, err, "a new certificate needs nothing but its address")
	}
	require.Equal(t, 2, net.count(), "each is fetched once")
	later := now.AddDate(0, 2, 0)
	_, err := c.Verify(t.Context(), later, signed(body), body)
	var refused *payment.VerifyError
	require.ErrorAs(t, err, &refused, "a certificate that is kept runs out all the same")
	_, err = c.Verify(t.Context(), later, signedBy(keyTwo(), next, webhookID, body), body)
	require.NoError(t, err)
}

func TestCertificatesAreKeptInBounds(t *testing.T) {
	t.Parallel()
	net := &internet{pages: map[string]string{}}
	page, body := trusted().issue(&keyOne().PublicKey), captured()
	c := client(t, net)
	address := func(n int) string { return "https://api.sandbox.paypal.com" + certPrefix + "CERT-" + strconv.Itoa(n) }
	verify := func(n int) {
		net.mu.Lock()
		net.pages[address(n)] = page
		net.mu.Unlock()
		_, err := c.Verify(t.Context(), now, signedBy(keyOne(), address(n), webhookID, body), body)
		require.NoError(t, err)
	}
	for n := range 17 {
		verify(n)
	}
	verify(16)
	require.Equal(t, 17, net.count(), "the newest is kept")
	verify(0)
	require.Equal(t, 18, net.count(), "the oldest gave way")
}

func TestOneFetchForAllWhoWait(t *testing.T) {
	t.Parallel()
	net := goodNet()
	net.gate = make(chan struct{})
	c, body := client(t, net), captured()
	h := signed(body)
	// Whoever goes away takes the certificate from nobody.
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := c.Verify(gone, now, h, body); left <- err }()
	require.Eventually(t, func() bool { return net.count() == 1 }, 5e9, 1e6)
	errs := make(chan error, 16)
	for range cap(errs) {
		go func() { _, err := c.Verify(t.Context(), now, h, body); errs <- err }()
	}
	leave()
	notRefused(t, <-left)
	close(net.gate)
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 1, net.count())
}

func TestACertificateIsNotFetchedInsideATransaction(t *testing.T) {
	t.Parallel()
	net, db, body := goodNet(), pgtest.New(t), captured()
	c := client(t, net)
	inside := func(ctx context.Context, _ pgx.Tx) error {
		_, err := c.Verify(ctx, now, signed(body), body)
		return err
	}
	require.ErrorIs(t, pg.Exec(t.Context(), db.Pool, inside), pg.ErrInTransaction)
	require.Zero(t, net.count())
	_, err := c.Verify(t.Context(), now, signed(body), body)
	require.NoError(t, err)
	require.NoError(t, pg.Exec(t.Context(), db.Pool, inside), "one that is known needs no call")
}

// TestAStandInServesItsOwn: with another base URL the certificate comes from
// exactly there.
func TestAStandInServesItsOwn(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(trusted().issue(&keyOne().PublicKey)))
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(trusted().cert)
	c, err := paypal.New(config(func(c *paypal.Config) { c.BaseURL, c.RootCAs = srv.URL+"/paypal/", roots }))
	require.NoError(t, err)
	body := captured()
	u, err := url.Parse(srv.URL)
	require.NoError(t, err)
	for _, address := range []string{
		srv.URL + certPrefix + "CERT-1",
		srv.URL + "/paypalx" + certPrefix + "CERT-1",
		srv.URL + "/paypal/.." + certPrefix + "CERT-1",
		"https://" + u.Host + "/paypal" + certPrefix + "CERT-1",
		"http://localhost:" + u.Port() + "/paypal" + certPrefix + "CERT-1",
		"http://" + u.Hostname() + "/paypal" + certPrefix + "CERT-1",
		sandboxCert,
	} {
		_, err := c.Verify(t.Context(), now, signedBy(keyOne(), address, webhookID, body), body)
		var refused *payment.VerifyError
		require.ErrorAs(t, err, &refused, address)
	}
	require.Zero(t, asked.Load())
	_, err = c.Verify(t.Context(), now, signedBy(keyOne(), srv.URL+"/paypal"+certPrefix+"CERT-1", webhookID, body), body)
	require.NoError(t, err)
}

func FuzzCertificateAddress(f *testing.F) {
	f.Add(sandboxCert)
	for _, address := range evil {
		f.Add(address)
	}
	body := captured()
	page := trusted().issue(&keyOne().PublicKey)
	f.Fuzz(func(t *testing.T, address string) {
		net := &internet{pages: map[string]string{address: page}}
		_, err := client(t, net).Verify(t.Context(), now, signedBy(keyOne(), address, webhookID, body), body)
		if err != nil && net.count() == 0 {
			return
		}
		require.Len(t, net.seen, 1)
		u, err := url.Parse(net.seen[0])
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Contains(t, []string{"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"}, u.Host)
		name, ok := strings.CutPrefix(u.EscapedPath(), certPrefix)
		require.True(t, ok)
		require.NotContains(t, name, "/")
		require.NotContains(t, name, "%")
		require.NotEqual(t, "..", name)
		require.Empty(t, u.RawQuery)
	})
}

func FuzzCertificateChain(f *testing.F) {
	good := trusted().issue(&keyOne().PublicKey)
	f.Add([]byte(good))
	f.Add([]byte(good + encode(trusted().cert)))
	f.Add([]byte(stranger().issue(&keyOne().PublicKey) + encode(stranger().cert)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(strings.Replace(good, "M", "N", 1)))
	f.Add([]byte{})
	body := captured()
	h := signed(body)
	f.Fuzz(func(t *testing.T, page []byte) {
		net := &internet{pages: map[string]string{sandboxCert: string(page)}}
		if _, err := client(t, net).Verify(t.Context(), now, h, body); err == nil {
			// Only the trusted root can have signed for this key.
			require.Contains(t, string(page), "BEGIN CERTIFICATE")
			leaf := decode(t, page)
			require.NoError(t, leaf.CheckSignatureFrom(trusted().cert))
			require.Equal(t, &keyOne().PublicKey, leaf.PublicKey)
		}
	})
}

func decode(t *testing.T, page []byte) *x509.Certificate {
	t.Helper()
	for {
		block, rest := pem.Decode(page)
		require.NotNil(t, block)
		if page = rest; block.Type == "CERTIFICATE" {
			return parse(block.Bytes, nil)
		}
	}
}
