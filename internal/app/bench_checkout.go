package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"proofroom/internal/base/obs"
	"proofroom/internal/proof/bench/checkout"
)

type benchCheckoutCmd struct {
	Clients int  `name:"clients" default:"32" placeholder:"N" help:"Clients that order at the same time, and workers of the bare loop (${default})."`
	Orders  int  `name:"orders" default:"10000" placeholder:"N" help:"Orders of each side in each round (${default})."`
	Rounds  int  `name:"rounds" default:"3" placeholder:"N" help:"How often each side is measured, in turns (${default})."`
	JSON    bool `name:"json" help:"End with the report as one line of JSON."`
}

// Run measures on this machine, in a scratch folder that it makes and deletes. It
// fails unless the figures count.
func (c *benchCheckoutCmd) Run(s *streams) error {
	if c.Clients < 1 || c.Rounds < 1 || c.Orders < c.Clients {
		return errors.New("measure at least one round, and as many orders as there are clients")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	report, err := checkout.Run(s.ctx, checkout.Config{
		Binary: self, Clients: c.Clients, Orders: c.Orders, Rounds: c.Rounds, Progress: s.err,
	})
	if report == nil {
		return err
	}
	return reported(s, c.JSON, report, err)
}

// benchStripePagesCmd is the process that opens pages in Stripe's name. It is no
// command for people.
type benchStripePagesCmd struct{}

// Run answers until it is stopped.
func (benchStripePagesCmd) Run(s *streams) error {
	return checkout.ServeStandIn(s.ctx, obs.Log(s.err, slog.LevelInfo))
}
