package app

import (
	"fmt"
	"strings"
	"time"

	"proofroom/internal/proof/twin"
)

type twinCmd struct {
	Listen    string   `name:"listen" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Address of the API, the payment pages and the control page /_twin/ (${default})."`
	PublicURL string   `name:"public-url" placeholder:"URL" help:"How browsers reach it. Default: the listening address."`
	SecretKey string   `name:"secret-key" default:"sk_test_twin" help:"The API key that is accepted: serve takes it as --stripe-secret-key."`
	Endpoints []string `name:"endpoint" placeholder:"URL=SECRET" help:"Where webhooks go, and the secret that signs them, such as http://127.0.0.1:8080/webhooks/stripe/main=whsec_demo."`
	Seed      uint64   `name:"seed" default:"1" help:"Orders the random faults."`
	LogLevel  string   `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"How much is logged."`

	RetryUnit time.Duration `name:"retry-unit" default:"1s" help:"The first pause before a webhook is sent again; it doubles."`
}

// Run serves the stand-in until a signal comes.
func (c *twinCmd) Run(s *streams) error {
	cfg := twin.Config{
		Addr: c.Listen, PublicURL: c.PublicURL, Seed: c.Seed, RetryUnit: c.RetryUnit, SecretKeys: []string{c.SecretKey},
		Logger: logger(s.err, c.LogLevel),
	}
	for _, e := range c.Endpoints {
		url, secret, ok := strings.Cut(e, "=")
		if !ok {
			return fmt.Errorf("--endpoint %q: write URL=SECRET", e)
		}
		cfg.Endpoints = append(cfg.Endpoints, twin.Endpoint{URL: url, Secret: secret})
	}
	t := twin.New(cfg)
	defer t.Close()
	addr, err := t.Listen()
	if err != nil {
		return err
	}
	secret := "SECRET"
	if len(cfg.Endpoints) > 0 {
		secret = cfg.Endpoints[0].Secret
	}
	_, err = fmt.Fprintf(s.out, "The stand-in is at %s, its control page at %s/_twin/. A server for it:\n"+
		"  proofroom serve --stripe-url %s --stripe-secret-key %s --stripe-webhook-secrets %s\n", addr, addr, addr, c.SecretKey, secret)
	if err != nil {
		return err
	}
	return t.Run(s.ctx)
}
