package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"proofroom/internal/base/obs"
	"proofroom/internal/proof/bench/fulfil"
	"proofroom/internal/proof/bench/load"
)

type benchFulfilCmd struct {
	Events  int               `name:"events" default:"60000" placeholder:"N" help:"Webhooks of each run (${default}); a tenth of them are repetitions."`
	Clients []int             `name:"clients" default:"32,64" placeholder:"N" help:"Connections that send at the same time; each number is measured (${default})."`
	Rounds  int               `name:"rounds" default:"2" placeholder:"N" help:"How often each side takes its turn (${default})."`
	History int               `name:"history" default:"1000000" placeholder:"N" help:"Finished orders of the side history (${default})."`
	Quick   bool              `name:"quick" help:"6,000 webhooks a run and 20,000 finished orders: to see that it works."`
	Only    []string          `name:"only" placeholder:"SIDE" enum:"floor,stripe,mixed,hot,open,stored,drain,history" help:"Measure only these: floor, stripe, mixed, hot, open, stored, drain, history."`
	PG      map[string]string `name:"pg" placeholder:"NAME=VALUE" help:"Settings of PostgreSQL beyond those of production."`
	Env     []string          `name:"env" placeholder:"NAME=VALUE" help:"Settings of the server beyond its own, as in its environment."`
	Pprof   string            `name:"pprof" placeholder:"DIR" help:"Write a CPU profile of the server, of five seconds of each run, into this folder."`
	Keep    bool              `name:"keep" help:"Leave the databases and the logs where they are, and say where."`
	JSON    bool              `name:"json" help:"End with the report as one line of JSON."`
}

// Run measures on this machine, in scratch folders that it makes and deletes. It
// fails unless the figures count.
func (c *benchFulfilCmd) Run(s *streams) error {
	if c.Quick {
		c.Events, c.History = 6000, 20_000
	}
	if c.Events < 100 || c.Rounds < 1 || c.History < 1 || len(c.Clients) == 0 || slices.Min(c.Clients) < 1 {
		return errors.New("measure at least 100 webhooks, one round, one finished order and one client")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	report, err := fulfil.Run(s.ctx, fulfil.Options{
		Binary: self, Events: c.Events, Clients: c.Clients, Rounds: c.Rounds, History: c.History, Sides: c.Only,
		Settings: c.PG, Env: c.Env, Profile: c.Pprof, Keep: c.Keep, Progress: s.err,
	})
	if report == nil {
		return err
	}
	return reported(s, c.JSON, report, err)
}

// benchGeneratorCmd is the process that sends. It is no command for people.
type benchGeneratorCmd struct{}

// Run reads what to send from standard input.
func (benchGeneratorCmd) Run(s *streams) error { return load.Serve(s.ctx, os.Stdin, s.out) }

// benchStandInCmd is the process that answers for the providers. It is no command
// for people.
type benchStandInCmd struct {
	Dir string `arg:"" help:"The folder with the keys."`
}

// Run answers until it is stopped.
func (c *benchStandInCmd) Run(s *streams) error {
	l, err := new(net.ListenConfig).Listen(s.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	h, err := load.StandIn(c.Dir, base)
	if err != nil {
		return err
	}
	obs.Log(s.err, slog.LevelInfo).Info("stand-in", "url", base)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-s.ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
