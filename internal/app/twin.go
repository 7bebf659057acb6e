package app

import (
	"fmt"
	"os"
	"strings"
	"time"

	"proofroom/internal/proof/twin"
)

type twinCmd struct {
	Listen    string `name:"listen" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Address of the APIs, the payment pages and the control page /_twin/ (${default})."`
	PublicURL string `name:"public-url" placeholder:"URL" help:"How browsers reach it. Default: the listening address."`

	SecretKey string   `name:"secret-key" default:"sk_test_twin" help:"Stripe's API key that is accepted: serve takes it as --stripe-secret-key."`
	Endpoints []string `name:"endpoint" placeholder:"URL=SECRET" help:"Where Stripe's webhooks go, and the secret that signs them, such as http://127.0.0.1:8080/webhooks/stripe/main=whsec_demo."`

	PayPalClientID     string   `name:"paypal-client-id" default:"twin-paypal-client" help:"PayPal's client id that is accepted."`
	PayPalClientSecret string   `name:"paypal-client-secret" default:"twin-paypal-secret" help:"And its secret."`
	PayPalEndpoints    []string `name:"paypal-endpoint" placeholder:"URL=WEBHOOK-ID" help:"Where PayPal's webhooks go, and the id of the webhook, such as http://127.0.0.1:8080/webhooks/paypal/main=WH-DEMO-1."`
	CAFile             string   `name:"ca-file" placeholder:"FILE" help:"Write the root of PayPal's certificates there when starting: serve takes it as --paypal-root-ca."`

	FlutterwaveSecretKey string   `name:"flutterwave-secret-key" default:"FLWSECK_TEST-twin-X" help:"Flutterwave's API key that is accepted."`
	FlutterwaveEndpoints []string `name:"flutterwave-endpoint" placeholder:"URL=HASH" help:"Where Flutterwave's webhooks go, and the secret hash that they carry, such as http://127.0.0.1:8080/webhooks/flutterwave/main=demo-hash."`

	Seed     uint64 `name:"seed" default:"1" help:"Orders the random faults."`
	LogLevel string `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"How much is logged."`

	RetryUnit time.Duration `name:"retry-unit" default:"1s" help:"The first pause before a webhook is sent again; it doubles."`
}

// Run serves the stand-in until a signal comes.
func (c *twinCmd) Run(s *streams) error {
	cfg := twin.Config{
		Addr: c.Listen, PublicURL: c.PublicURL, Seed: c.Seed, RetryUnit: c.RetryUnit, SecretKeys: []string{c.SecretKey},
		PayPal:      twin.PayPalConfig{ClientID: c.PayPalClientID, Secret: c.PayPalClientSecret},
		Flutterwave: twin.FlutterwaveConfig{SecretKey: c.FlutterwaveSecretKey},
		Logger:      logger(s.err, c.LogLevel),
	}
	var err error
	if cfg.Endpoints, err = c.endpoints(); err != nil {
		return err
	}
	t := twin.New(cfg)
	defer t.Close()
	addr, err := t.Listen()
	if err != nil {
		return err
	}
	if c.CAFile != "" {
		if err := os.WriteFile(c.CAFile, []byte(t.CA()), 0o644); err != nil { //nolint:gosec // a certificate is for everybody
			return fmt.Errorf("PayPal's root cannot be written: %w; name another --ca-file", err)
		}
	}
	if _, err := fmt.Fprint(s.out, c.advice(addr)); err != nil {
		return err
	}
	return t.Run(s.ctx)
}

// endpoints reads where each provider's webhooks go.
func (c *twinCmd) endpoints() ([]twin.Endpoint, error) {
	var out []twin.Endpoint
	for _, of := range []struct {
		provider, flag, form string
		values               []string
	}{
		{twin.Stripe, "--endpoint", "URL=SECRET", c.Endpoints},
		{twin.PayPal, "--paypal-endpoint", "URL=WEBHOOK-ID", c.PayPalEndpoints},
		{twin.Flutterwave, "--flutterwave-endpoint", "URL=HASH", c.FlutterwaveEndpoints},
	} {
		for _, v := range of.values {
			url, secret, ok := strings.Cut(v, "=")
			if !ok || url == "" || secret == "" {
				return nil, fmt.Errorf("%s %q: write %s", of.flag, v, of.form)
			}
			out = append(out, twin.Endpoint{Provider: of.provider, URL: url, Secret: secret})
		}
	}
	return out, nil
}

// advice tells what runs where, and how a server is started that uses it.
func (c *twinCmd) advice(addr string) string {
	first := func(list []string, other string) string {
		if len(list) == 0 {
			return other
		}
		_, secret, _ := strings.Cut(list[0], "=")
		return secret
	}
	root := c.CAFile
	if root == "" {
		root = "FILE"
	}
	text := fmt.Sprintf(`The stand-in for Stripe, PayPal and Flutterwave is at %[1]s, its control page at %[1]s/_twin/. A server for it:
  proofroom serve \
    --stripe-url %[1]s --stripe-secret-key %[2]s --stripe-webhook-secrets %[3]s \
    --paypal-url %[1]s/paypal --paypal-client-id %[4]s --paypal-client-secret %[5]s --paypal-webhook-id %[6]s --paypal-root-ca %[7]s \
    --flutterwave-url %[1]s/flutterwave --flutterwave-secret-key %[8]s --flutterwave-secret-hashes %[9]s
`,
		addr, c.SecretKey, first(c.Endpoints, "SECRET"),
		c.PayPalClientID, c.PayPalClientSecret, first(c.PayPalEndpoints, "WEBHOOK-ID"), root,
		c.FlutterwaveSecretKey, first(c.FlutterwaveEndpoints, "HASH"))
	if c.CAFile == "" {
		text += "FILE is the root of PayPal's certificates, which --ca-file FILE writes.\n"
	}
	return text
}
