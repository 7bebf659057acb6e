package paypal

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

const (
	certPath = "/v1/notifications/certs/"
	// A chain is a few kilobytes.
	maxCertificate  = 64 << 10
	maxInChain      = 8
	maxCertificates = 16
	certTimeout     = 5 * time.Second
	// So many strangers' requests may have us ask PayPal at the same time.
	certsAtOnce = 4
	minRSA      = 2048
)

// source says where a webhook's certificate may come from, and in whose name.
type source struct {
	scheme string
	hosts  []string // exactly
	prefix string   // of the path
	names  []string // of which the certificate must carry one
}

// certificateSource is PayPal's own for real money or for the sandbox, or that of
// a stand-in, which serves its certificates where it serves its API.
func certificateSource(live bool, base *url.URL, paypals bool) source {
	s := source{
		scheme: "https", prefix: certPath, hosts: []string{"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"},
		names: []string{"messageverificationcerts.sandbox.paypal.com"},
	}
	if live {
		s.hosts, s.names = []string{"api.paypal.com", "api-m.paypal.com"}, []string{"messageverificationcerts.paypal.com"}
	}
	if !paypals {
		s.scheme, s.hosts, s.prefix = base.Scheme, []string{base.Host}, base.Path+certPath
	}
	return s
}

// check refuses every address but that of one certificate at the source. It
// compares text and resolves nothing: what is not written plainly is refused.
func (s source) check(address string) error {
	u, err := url.Parse(address)
	if err != nil || !payment.Printable(address) {
		return payment.Refuse("certificate", "its address cannot be read")
	}
	name, inside := strings.CutPrefix(u.Path, s.prefix)
	plain := u.Scheme == s.scheme && u.User == nil && u.Opaque == "" && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" &&
		address == u.Scheme+"://"+u.Host+u.Path
	if !plain || !slices.Contains(s.hosts, u.Host) || !inside || !safeFile(name) {
		return payment.Refuse("certificate", "its address %q is none of PayPal's", payment.Clip(address, 200))
	}
	return nil
}

// safeFile reports whether s is one plain step of a path.
func safeFile(s string) bool {
	return !strings.HasPrefix(s, ".") && safeID(strings.ReplaceAll(s, ".", ""))
}

// certificates fetches, checks and keeps the certificates of webhooks. PayPal
// rotates them by naming a new address; an old one stays good until it runs out.
type certificates struct {
	source source
	roots  *x509.CertPool // nil: the system's
	http   *http.Client

	flight singleflight.Group
	gate   chan struct{}
	mu     sync.Mutex
	known  map[string][]*x509.Certificate // by address, leaf first
	order  []string                       // addresses, oldest first
}

// key is the public key at an address, if the certificate there is PayPal's at
// the time now. A *payment.VerifyError says that it is not; any other error that
// it could not be found out.
func (c *certificates) key(ctx context.Context, now time.Time, address string) (*rsa.PublicKey, error) {
	if guardHost.On() {
		if err := c.source.check(address); err != nil {
			return nil, err
		}
	}
	chain := c.cached(address)
	if chain == nil {
		var err error
		if chain, err = c.fetch(ctx, now, address); err != nil {
			return nil, err
		}
	}
	if guardChain.On() {
		if err := c.trusted(now, chain); err != nil {
			return nil, err
		}
	}
	key, ok := chain[0].PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minRSA {
		return nil, payment.Refuse("certificate", "its key is no RSA key of %d bits or more", minRSA)
	}
	return key, nil
}

// trusted checks name, validity and chain.
func (c *certificates) trusted(now time.Time, chain []*x509.Certificate) error {
	leaf := chain[0]
	names := leaf.DNSNames
	if len(names) == 0 {
		// PayPal's certificates have carried the name in the subject alone.
		names = []string{leaf.Subject.CommonName}
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(c.source.names, n) }) {
		return payment.Refuse("certificate", "it is for %q", payment.Clip(strings.Join(names, " "), 200))
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return payment.Refuse("certificate", "it is not trusted at %s: %v", now.UTC().Format(time.RFC3339), err)
	}
	return nil
}

func (c *certificates) cached(address string) []*x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[address]
}

// keep remembers a certificate that was trusted, in place of the oldest.
func (c *certificates) keep(address string, chain []*x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order) == maxCertificates {
		delete(c.known, c.order[0])
		c.order = c.order[1:]
	}
	c.known[address] = chain
	c.order = append(c.order, address)
}

// fetch gets a certificate once for all who want it at the same time, and keeps it
// if it is to be trusted. Whoever gives up waiting does not take it from the
// others.
func (c *certificates) fetch(ctx context.Context, now time.Time, address string) ([]*x509.Certificate, error) {
	if pg.InTransaction(ctx) {
		return nil, pg.ErrInTransaction
	}
	got := c.flight.DoChan(address, func() (any, error) {
		if chain := c.cached(address); chain != nil {
			return chain, nil // somebody's call ended just before this one began
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), certTimeout)
		defer cancel()
		select {
		case c.gate <- struct{}{}:
			defer func() { <-c.gate }()
		case <-ctx.Done():
			return nil, fmt.Errorf("paypal: too many certificates are being fetched: %w", ctx.Err())
		}
		chain, err := c.download(ctx, address)
		if err == nil && c.trusted(now, chain) == nil {
			c.keep(address, chain)
		}
		return chain, err
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("paypal: fetch the certificate of a webhook: %w", ctx.Err())
	case r := <-got:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.([]*x509.Certificate), nil
	}
}

func (c *certificates) download(ctx context.Context, address string) ([]*x509.Certificate, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("paypal: fetch the certificate of a webhook: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("paypal: fetch the certificate of a webhook: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("paypal: the certificate of a webhook was answered with status %d", res.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxCertificate+1))
	if err != nil {
		return nil, fmt.Errorf("paypal: fetch the certificate of a webhook: %w", err)
	}
	chain, err := parseChain(raw)
	if err != nil {
		return nil, fmt.Errorf("paypal: the certificate of a webhook cannot be read: %w", err)
	}
	return chain, nil
}

// parseChain reads PEM certificates, leaf first.
func parseChain(raw []byte) ([]*x509.Certificate, error) {
	if len(raw) > maxCertificate {
		return nil, fmt.Errorf("it is larger than %d bytes", maxCertificate)
	}
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(chain) == maxInChain {
			return nil, fmt.Errorf("it has more than %d parts", maxInChain)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("it has no certificate")
	}
	return chain, nil
}
