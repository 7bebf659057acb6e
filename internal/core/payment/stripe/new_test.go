package stripe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment/stripe"
)

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	t.Parallel()
	good := stripe.Config{Account: "main", SecretKey: "sk_test_1", WebhookSecrets: []string{"whsec_1"}}
	_, err := stripe.New(good)
	require.NoError(t, err)

	for name, spoil := range map[string]func(*stripe.Config){
		"no account":                    func(c *stripe.Config) { c.Account = "" },
		"no key":                        func(c *stripe.Config) { c.SecretKey = "" },
		"no webhook secret":             func(c *stripe.Config) { c.WebhookSecrets = nil },
		"one empty webhook secret":      func(c *stripe.Config) { c.WebhookSecrets = []string{"whsec_1", ""} },
		"a base URL without a host":     func(c *stripe.Config) { c.BaseURL = "api.stripe.com" },
		"a base URL of another scheme":  func(c *stripe.Config) { c.BaseURL = "ftp://127.0.0.1" },
		"a live key in test mode":       func(c *stripe.Config) { c.SecretKey = "sk_live_1" },
		"a restricted live key in test": func(c *stripe.Config) { c.SecretKey = "rk_live_1" },
		"a test key in live mode":       func(c *stripe.Config) { c.LiveMode = true },
		"a live key to another address": func(c *stripe.Config) {
			c.SecretKey, c.LiveMode, c.BaseURL = "sk_live_1", true, "http://127.0.0.1:1"
		},
		"a restricted live key to a lookalike": func(c *stripe.Config) {
			c.SecretKey, c.LiveMode, c.BaseURL = "rk_live_1", true, "https://api.stripe.com.evil.example"
		},
		"a live key over plain http": func(c *stripe.Config) {
			c.SecretKey, c.LiveMode, c.BaseURL = "sk_live_1", true, "http://api.stripe.com"
		},
	} {
		bad := good
		spoil(&bad)
		_, err := stripe.New(bad)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "sk_live_1", name)
	}

	live := good
	live.SecretKey, live.LiveMode, live.BaseURL = "sk_live_1", true, "https://api.stripe.com/"
	c, err := stripe.New(live)
	require.NoError(t, err)
	require.Equal(t, "stripe", c.Name())
	require.Equal(t, "main", c.Account())
	require.Equal(t, 23*time.Hour, c.KeyMemory())
}
