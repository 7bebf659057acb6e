package paypal_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment/paypal"
)

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	t.Parallel()
	_, err := paypal.New(config())
	require.NoError(t, err)
	for name, spoil := range map[string]func(*paypal.Config){
		"no account":                   func(c *paypal.Config) { c.Account = "" },
		"no client id":                 func(c *paypal.Config) { c.ClientID = "" },
		"no secret":                    func(c *paypal.Config) { c.ClientSecret = " " },
		"no webhook id":                func(c *paypal.Config) { c.WebhookID = "" },
		"a webhook id with a bar":      func(c *paypal.Config) { c.WebhookID = "A|B" },
		"a base URL without a host":    func(c *paypal.Config) { c.BaseURL = "api-m.paypal.com" },
		"a base URL of another scheme": func(c *paypal.Config) { c.BaseURL = "ftp://127.0.0.1" },
		"a base URL with a user":       func(c *paypal.Config) { c.BaseURL = "http://a:b@127.0.0.1" },
		"a base URL with a query":      func(c *paypal.Config) { c.BaseURL = "http://127.0.0.1?x=1" },
		"live money elsewhere":         func(c *paypal.Config) { c.Live, c.BaseURL = true, "http://127.0.0.1:1" },
		"live money at a lookalike":    func(c *paypal.Config) { c.Live, c.BaseURL = true, "https://api-m.paypal.com.evil.example" },
		"live money over plain http":   func(c *paypal.Config) { c.Live, c.BaseURL = true, "http://api-m.paypal.com" },
		"live money in the sandbox":    func(c *paypal.Config) { c.Live, c.BaseURL = true, "https://api-m.sandbox.paypal.com" },
		"a test at the live address":   func(c *paypal.Config) { c.BaseURL = "https://api-m.paypal.com" },
		"live money by other roots":    func(c *paypal.Config) { c.Live, c.RootCAs = true, x509.NewCertPool() },
	} {
		_, err := paypal.New(config(spoil))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "s3cret", name)
	}
	c, err := paypal.New(config(func(c *paypal.Config) { c.Live, c.BaseURL = true, "https://api-m.paypal.com/" }))
	require.NoError(t, err)
	require.Equal(t, "paypal", c.Name())
	require.Equal(t, "main", c.Account())
	require.Equal(t, 5*time.Hour, c.KeyMemory())
	require.Zero(t, c.Lingers())
}
