package app

import (
	"fmt"
	"strings"
	"time"

	"proofroom/internal/proof/twin"
)

type twinCmd struct {
	Listen    string   `name:"listen" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Address of the API, the payment pages and the control page /_twin/."`
	PublicURL string   `name:"public-url" placeholder:"URL" help:"How browsers reach it. Default: the listening address."`
	Endpoints []string `name:"endpoint" placeholder:"URL=SECRET" help:"Where webhooks go, and the secret that signs them."`
	Seed      uint64   `name:"seed" default:"1" help:"Orders the random faults."`
	LogLevel  string   `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"How much is logged."`

	RetryUnit time.Duration `name:"retry-unit" default:"1s" help:"The first pause before a webhook is sent again; it doubles."`
}

// Run serves the stand-in until a signal comes.
func (c *twinCmd) Run(s *streams) error {
	cfg := twin.Config{
		Addr: c.Listen, PublicURL: c.PublicURL, Seed: c.Seed, RetryUnit: c.RetryUnit,
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
	if _, err := fmt.Fprintf(s.out, "listening on %s\n", addr); err != nil {
		return err
	}
	return t.Run(s.ctx)
}
