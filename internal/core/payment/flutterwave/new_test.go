package flutterwave_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment/flutterwave"
)

func TestNewRefusesUnsafeConfigurations(t *testing.T) {
	t.Parallel()
	good := flutterwave.Config{Account: "main", SecretKey: "FLWSECK_TEST-1-X", SecretHashes: []string{"hash-1"}}
	_, err := flutterwave.New(good)
	require.NoError(t, err)

	for name, spoil := range map[string]func(*flutterwave.Config){
		"no account":                   func(c *flutterwave.Config) { c.Account = "" },
		"no key":                       func(c *flutterwave.Config) { c.SecretKey = "" },
		"a key of the v4 API":          func(c *flutterwave.Config) { c.SecretKey = "6d4f7f10-client" },
		"the public key":               func(c *flutterwave.Config) { c.SecretKey = "FLWPUBK_TEST-1-X" },
		"no secret hash":               func(c *flutterwave.Config) { c.SecretHashes = nil },
		"one empty secret hash":        func(c *flutterwave.Config) { c.SecretHashes = []string{"hash-1", ""} },
		"a secret hash with a newline": func(c *flutterwave.Config) { c.SecretHashes = []string{"hash-1\n"} },
		"a base URL without a host":    func(c *flutterwave.Config) { c.BaseURL = "api.flutterwave.com" },
		"a base URL of another scheme": func(c *flutterwave.Config) { c.BaseURL = "ftp://127.0.0.1" },
		"a live key in test mode":      func(c *flutterwave.Config) { c.SecretKey = "FLWSECK-1-X" },
		"a test key in live mode":      func(c *flutterwave.Config) { c.Live = true },
		"a live key to another address": func(c *flutterwave.Config) {
			c.SecretKey, c.Live, c.BaseURL = "FLWSECK-1-X", true, "http://127.0.0.1:1"
		},
		"a live key to a lookalike": func(c *flutterwave.Config) {
			c.SecretKey, c.Live, c.BaseURL = "FLWSECK-1-X", true, "https://api.flutterwave.com.evil.example"
		},
		"a live key over plain http": func(c *flutterwave.Config) {
			c.SecretKey, c.Live, c.BaseURL = "FLWSECK-1-X", true, "http://api.flutterwave.com"
		},
	} {
		bad := good
		spoil(&bad)
		_, err := flutterwave.New(bad)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "FLWSECK-1-X", name)
		require.NotContains(t, err.Error(), "hash-1", name)
	}

	live := good
	live.SecretKey, live.Live, live.BaseURL = "FLWSECK-1-X", true, "https://api.flutterwave.com/"
	c, err := flutterwave.New(live)
	require.NoError(t, err)
	require.Equal(t, "flutterwave", c.Name())
	require.Equal(t, "main", c.Account())
	require.Zero(t, c.KeyMemory(), "no call is remembered")
	require.Equal(t, 24*time.Hour, c.Lingers())
	id := uuid.New()
	require.Equal(t, id.String(), c.RefOf(id))
}
