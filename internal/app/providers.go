package app

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/core/payment/stripe"
)

// providers are the accounts that the settings name, in the order in which they
// are offered. An account is configured by its key; the rest of it must then be
// there as well. client makes their calls; nil is one of their own.
func (c *Config) providers(client *http.Client) (payment.Providers, error) {
	var out payment.Providers
	if c.StripeSecretKey != "" {
		p, err := stripe.New(stripe.Config{
			Account: c.StripeAccount, SecretKey: c.StripeSecretKey, WebhookSecrets: c.StripeWebhookSecrets, BaseURL: c.StripeURL, HTTPClient: client,
			LiveMode: strings.HasPrefix(c.StripeSecretKey, "sk_live_") || strings.HasPrefix(c.StripeSecretKey, "rk_live_"),
		})
		if err != nil {
			return nil, fmt.Errorf("configure Stripe: %w", err)
		}
		out = append(out, p)
	}
	if c.PayPalClientID != "" {
		roots, err := c.payPalRoots()
		if err != nil {
			return nil, fmt.Errorf("configure PayPal: %w", err)
		}
		p, err := paypal.New(paypal.Config{
			Account: c.PayPalAccount, ClientID: c.PayPalClientID, ClientSecret: c.PayPalClientSecret, WebhookID: c.PayPalWebhookID,
			BaseURL: c.PayPalURL, RootCAs: roots, Live: c.PayPalLive, HTTPClient: client,
		})
		if err != nil {
			return nil, fmt.Errorf("configure PayPal: %w", err)
		}
		out = append(out, p)
	}
	if c.FlutterwaveSecretKey != "" {
		p, err := flutterwave.New(flutterwave.Config{
			Account: c.FlutterwaveAccount, SecretKey: c.FlutterwaveSecretKey, SecretHashes: c.FlutterwaveSecretHashes,
			BaseURL: c.FlutterwaveURL, Live: !strings.HasPrefix(c.FlutterwaveSecretKey, "FLWSECK_TEST"), HTTPClient: client,
		})
		if err != nil {
			return nil, fmt.Errorf("configure Flutterwave: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// payPalRoots reads the stand-in's root; nil is the system's.
func (c *Config) payPalRoots() (*x509.CertPool, error) {
	if c.PayPalRootCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.PayPalRootCA)
	if err != nil {
		return nil, fmt.Errorf("read the root certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", c.PayPalRootCA)
	}
	return roots, nil
}
