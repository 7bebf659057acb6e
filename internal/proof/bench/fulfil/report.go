package fulfil

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

// Report is the result of a measurement. A figure that was not measured is null
// or left out, never zero.
type Report struct {
	// Ratio is that of the mixed side to the floor, StripeOnlyRatio that of Stripe
	// alone: medians, at the number of clients that does best.
	Ratio           *float64  `json:"ratio"`
	StripeOnlyRatio *float64  `json:"stripe_only_ratio"`
	FloorPerS       *float64  `json:"floor_per_s"`
	CeilingPerS     *float64  `json:"ceiling_per_s"`
	FulfilledPerS   *float64  `json:"fulfilled_per_s"` // of the mixed side, or of Stripe alone where that was not measured
	AckP50          *float64  `json:"ack_p50_ms"`      // of the open loop
	AckP99          *float64  `json:"ack_p99_ms"`
	Lost            int       `json:"lost"`
	Duplicates      int       `json:"duplicates"`
	Hot             *Relative `json:"hot_wallet"`
	History         *History  `json:"history"`
	// Fallbacks are facts that were not fulfilled with their receipt, of the sides on
	// which they should be: they were left to the drain, or fulfilling them failed.
	Fallbacks int      `json:"fallbacks"`
	RSS       float64  `json:"rss_mb"` // the most that the server had at the end of a round
	CPU       *CPU     `json:"cpu_us_per_event"`
	Settings  Settings `json:"settings"`

	// Sides has each side at each number of clients.
	Sides  []Side   `json:"sides"`
	Rounds []Round  `json:"rounds"`
	Void   bool     `json:"void"` // others used too much of the machine in a round
	Broken []string `json:"broken"`
	OK     bool     `json:"ok"`
}

// Relative is a rate as part of another.
type Relative struct {
	Relative float64 `json:"relative"`
}

// History compares a database with finished orders to one without.
type History struct {
	Orders        int      `json:"orders"`
	Relative      *float64 `json:"relative"`
	DrainRelative *float64 `json:"drain_relative"`
}

// Settings are what was measured on, as the server says it.
type Settings struct {
	Fsync             string         `json:"fsync"`
	SynchronousCommit string         `json:"synchronous_commit"`
	FullPageWrites    string         `json:"full_page_writes"`
	WALCompression    string         `json:"wal_compression"`
	SharedBuffers     string         `json:"shared_buffers"`
	MaxWALSize        string         `json:"max_wal_size"`
	PostgreSQL        string         `json:"postgresql"`
	FdatasyncMicros   float64        `json:"fdatasync_us"`
	Cores             int            `json:"cores"`
	Clients           []int          `json:"clients"`
	Events            int            `json:"events"` // of each run
	History           int            `json:"history"`
	PerProvider       map[string]int `json:"per_provider"`
	BodyBytes         int            `json:"body_bytes"`
	Environment       []string       `json:"environment"` // settings of the server beyond its own
}

// Side sums up the rounds of one side at one number of clients.
type Side struct {
	Side    string  `json:"side"`
	Clients int     `json:"clients"`
	PerS    float64 `json:"per_s"`           // median
	Spread  float64 `json:"spread"`          // of the rounds, to the median
	Ratio   float64 `json:"ratio,omitempty"` // to the floor's median
	// CPURatio is what an order costs the floor's database, to what it costs server
	// and database: it holds also where others slow both down.
	CPURatio float64 `json:"cpu_ratio,omitempty"`
	AckP50   float64 `json:"ack_p50_ms,omitempty"`
	AckP99   float64 `json:"ack_p99_ms,omitempty"`
	CPU      CPU     `json:"cpu_us_per_event"`
	WAL      float64 `json:"wal_bytes_per_event"`
}

func newReport(o Options) *Report {
	r := &Report{Settings: Settings{
		Cores: runtime.NumCPU(), Clients: o.Clients, Events: o.Events, History: o.History, Environment: append([]string{}, o.Env...), PerProvider: map[string]int{},
	}, Broken: []string{}}
	mixed := load.Set{Mixed: true}
	for n := range load.Orders(o.Events) {
		r.Settings.PerProvider[mixed.Provider(n)]++
	}
	return r
}

// of picks what f reads from the rounds of a side.
func (r *Report) of(side string, clients int, f func(Round) float64) []float64 {
	var out []float64
	for _, x := range r.Rounds {
		if x.Side == side && x.Clients == clients {
			out = append(out, f(x))
		}
	}
	return out
}

// rate is the median rate of a side so far; 0 of none.
func (r *Report) rate(side string, clients int) float64 {
	return bench.Median(r.of(side, clients, func(x Round) float64 { return x.PerS }))
}

// best is the number of clients at which a side is fastest.
func (r *Report) best(side string) (Side, bool) {
	var found []Side
	for _, s := range r.Sides {
		if s.Side == side {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return Side{}, false
	}
	return slices.MaxFunc(found, func(a, b Side) int { return int(a.PerS - b.PerS) }), true
}

// finish sums the rounds up. It is bench.ErrVoid where they do not count.
func (r *Report) finish() error {
	floor := r.rate(SideFloor, floorClients)
	floorCPU := bench.Median(r.of(SideFloor, floorClients, func(x Round) float64 { return x.CPU.Database }))
	eventsOf := func(x Round) int {
		if x.Side == SideDrain {
			return x.Granted
		}
		return r.Settings.Events
	}
	for _, x := range r.Rounds {
		if slices.ContainsFunc(r.Sides, func(s Side) bool { return s.Side == x.Side && s.Clients == x.Clients }) {
			continue
		}
		median := func(f func(Round) float64) float64 { return bench.Round(bench.Median(r.of(x.Side, x.Clients, f)), 2) }
		rates := r.of(x.Side, x.Clients, func(x Round) float64 { return x.PerS })
		s := Side{
			Side: x.Side, Clients: x.Clients, PerS: bench.Median(rates), Spread: bench.Round(bench.Spread(rates), 3),
			AckP50: median(func(x Round) float64 { return x.AckP50 }), AckP99: median(func(x Round) float64 { return x.AckP99 }),
			WAL: median(func(x Round) float64 { return x.WAL }),
			CPU: CPU{
				Database: median(func(x Round) float64 { return x.CPU.Database }), Server: median(func(x Round) float64 { return x.CPU.Server }),
				Generator: median(func(x Round) float64 { return x.CPU.Generator }), StandIn: median(func(x Round) float64 { return x.CPU.StandIn }),
			},
		}
		if floor > 0 && s.CPU.both() > 0 && x.Side != SideFloor {
			s.CPURatio = bench.Round(floorCPU/(s.CPU.both()*float64(eventsOf(x))/float64(max(x.Granted, 1))), 3)
			if x.Side != SideOpen {
				s.Ratio = bench.Round(s.PerS/floor, 3)
			}
		}
		r.Sides = append(r.Sides, s)
	}
	for _, x := range r.Rounds {
		r.Lost, r.Duplicates, r.Void, r.RSS = r.Lost+x.Lost, r.Duplicates+x.Duplicates, r.Void || x.Void, max(r.RSS, x.RSS)
		r.Fallbacks += x.Facts["left"] + x.Facts["failed"]
		for _, b := range x.Broken {
			r.Broken = append(r.Broken, fmt.Sprintf("%s, %d clients: %s", x.Side, x.Clients, b))
		}
	}
	if r.Lost+r.Duplicates+len(r.Broken) > 0 {
		r.Sides = nil // no figure of what broke a promise
		return bench.ErrVoid
	}
	if floor > 0 {
		r.FloorPerS = &floor
	}
	if s, ok := r.best(SideStripe); ok {
		r.FulfilledPerS, r.CPU = &s.PerS, &s.CPU
		if floor > 0 {
			r.StripeOnlyRatio = &s.Ratio
		}
		if rate := r.rate(SideHot, slices.Max(r.Settings.Clients)); rate > 0 {
			r.Hot = &Relative{bench.Round(rate/r.rate(SideStripe, slices.Max(r.Settings.Clients)), 3)}
		}
	}
	if s, ok := r.best(SideMixed); ok {
		r.FulfilledPerS, r.CPU = &s.PerS, &s.CPU
		if floor > 0 {
			r.Ratio = &s.Ratio
		}
	}
	if s, ok := r.best(SideDrain); ok {
		r.CeilingPerS = &s.PerS
	}
	if s, ok := r.best(stripeHistory); ok {
		part := func(of, to string, clients int) *float64 {
			x := bench.Round(r.rate(of, clients)/r.rate(to, clients), 3)
			return &x
		}
		r.History = &History{
			Orders: r.Settings.History, Relative: part(stripeHistory, stripeEmpty, s.Clients), DrainRelative: part(storedHistory, storedEmpty, s.Clients),
		}
	}
	if s, ok := r.best(SideOpen); ok {
		r.AckP50, r.AckP99 = &s.AckP50, &s.AckP99
	}
	if r.Void {
		return bench.ErrVoid
	}
	r.OK = true
	return nil
}

// WriteJSON writes it as one line.
func (r *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteTable writes it for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "side\tclients\torders/s\tspread\tto floor\tby CPU\tack p50\tp99 ms\tdb us\tserver us\tgenerator us\tWAL B\t")
	for _, s := range r.Sides {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f %%\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n",
			s.Side, s.Clients, s.PerS, s.Spread*100, s.Ratio, s.CPURatio, s.AckP50, s.AckP99, s.CPU.Database, s.CPU.Server, s.CPU.Generator, s.WAL)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	s := &r.Settings
	_, err := fmt.Fprintf(w, "PostgreSQL %s, fsync %s, synchronous_commit %s, full_page_writes %s, fdatasync %.0f us, %d cores, %d events a run, bodies of %d bytes\n",
		s.PostgreSQL, s.Fsync, s.SynchronousCommit, s.FullPageWrites, s.FdatasyncMicros, s.Cores, s.Events, s.BodyBytes)
	if r.History != nil {
		_, _ = fmt.Fprintf(w, "with %d finished orders: %.2f of the rate without, where events are stored first %.2f\n",
			r.History.Orders, *r.History.Relative, *r.History.DrainRelative)
	}
	if r.Fallbacks > 0 {
		_, _ = fmt.Fprintf(w, "%d facts were not fulfilled with their receipt\n", r.Fallbacks)
	}
	for _, b := range r.Broken {
		_, _ = fmt.Fprintln(w, "BROKEN:", b)
	}
	if r.Lost+r.Duplicates > 0 {
		_, _ = fmt.Fprintf(w, "BROKEN: %d acknowledged events are lost, %d effects are there twice\n", r.Lost, r.Duplicates)
	}
	if r.Void {
		_, _ = fmt.Fprintln(w, strings.ToUpper("void:"), "others used more than a tenth of this machine in a round; measure again when it is quiet")
	}
	return err
}
