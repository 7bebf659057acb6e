package checkout

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"proofroom/internal/proof/bench"
)

// Side is who makes orders.
type Side string

// The sides, in the order of their turns.
const (
	SQLOnly Side = "sql_only" // the bare loop without the call
	Raw     Side = "raw"      // the bare loop with the call
	Ours    Side = "ours"
)

// Round is one turn of a side.
type Round struct {
	Side    Side    `json:"side"`
	Orders  int     `json:"orders"`
	Seconds float64 `json:"seconds"`
	PerS    float64 `json:"per_s"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	// Processor time for an order, in microseconds: of the database, of the server
	// (ours only), and of clients and stand-in.
	Database float64 `json:"database_cpu_us"`
	Server   float64 `json:"server_cpu_us"`
	Rest     float64 `json:"rest_cpu_us"`
	Others   float64 `json:"others"` // share of the machine that others used
}

// Settings are what the figures depend on.
type Settings struct {
	Fsync       string  `json:"fsync"`
	Commit      string  `json:"synchronous_commit"`
	PageWrites  string  `json:"full_page_writes"`
	Postgres    string  `json:"postgres"`
	Fdatasync   float64 `json:"fdatasync_us"`
	Cores       int     `json:"cores"`
	Clients     int     `json:"clients"`
	Connections int     `json:"connections"`
	Generator   string  `json:"generator"`
}

// Report is what was measured. Ratios and rates are of the medians.
type Report struct {
	Ratio        float64 `json:"ratio"`
	RatioSQLOnly float64 `json:"ratio_sql_only"`
	PerS         float64 `json:"per_s"`
	P99          float64 `json:"p99_ms"`

	P50          float64          `json:"p50_ms"`
	RawPerS      float64          `json:"raw_per_s"`
	SQLOnlyPerS  float64          `json:"sql_only_per_s"`
	Spread       map[Side]float64 `json:"spread"`
	Orders       int              `json:"orders"` // ours, counted by SQL
	Replayed     int              `json:"replayed"`
	ServerRSS    float64          `json:"server_rss_mb"`
	RowsPerOrder map[string]int   `json:"rows_per_order"`
	Rounds       []Round          `json:"rounds"`
	Settings     Settings         `json:"settings"`
	Void         string           `json:"void,omitempty"` // why the figures say nothing
}

func (x Round) String() string {
	return fmt.Sprintf("%-8s %6.0f/s  p50 %5.1f ms  p99 %5.1f ms  processor per order: database %.0f us, server %.0f us, clients and stand-in %.0f us; others %.1f %% of the machine",
		x.Side, x.PerS, x.P50, x.P99, x.Database, x.Server, x.Rest, 100*x.Others)
}

// figures fills in the medians.
func (rep *Report) figures() {
	per, p50, p99 := map[Side][]float64{}, []float64(nil), []float64(nil)
	worst := 0.0
	for _, x := range rep.Rounds {
		per[x.Side] = append(per[x.Side], x.PerS)
		worst = max(worst, x.Others)
		if x.Side == Ours {
			p50, p99 = append(p50, x.P50), append(p99, x.P99)
		}
	}
	rep.PerS, rep.RawPerS, rep.SQLOnlyPerS = bench.Median(per[Ours]), bench.Median(per[Raw]), bench.Median(per[SQLOnly])
	rep.Ratio, rep.RatioSQLOnly = bench.Round(rep.PerS/rep.RawPerS, 3), bench.Round(rep.PerS/rep.SQLOnlyPerS, 3)
	rep.P50, rep.P99 = bench.Median(p50), bench.Median(p99)
	rep.Spread = map[Side]float64{}
	for side, rates := range per {
		rep.Spread[side] = bench.Round(bench.Spread(rates), 3)
	}
	rep.Void = bench.Void(worst)
}

// WriteJSON writes the report as one line.
func (rep *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(rep) }

// WriteTable writes the report for people.
func (rep *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	s := rep.Settings
	for _, line := range [][2]string{
		{"ours / bare loop with the call", fmt.Sprintf("%.2f", rep.Ratio)},
		{"ours / bare loop, SQL only", fmt.Sprintf("%.2f", rep.RatioSQLOnly)},
		{"ours", fmt.Sprintf("%.0f orders a second, p50 %.1f ms, p99 %.1f ms", rep.PerS, rep.P50, rep.P99)},
		{"bare loop", fmt.Sprintf("%.0f with the call, %.0f without", rep.RawPerS, rep.SQLOnlyPerS)},
		{"spread of rounds", fmt.Sprintf("ours %.0f %%, bare loop %.0f %%, SQL only %.0f %%", 100*rep.Spread[Ours], 100*rep.Spread[Raw], 100*rep.Spread[SQLOnly])},
		{"counted in the database", fmt.Sprintf("%d orders of ours, each promised once; %d repeated requests got the same answer", rep.Orders, rep.Replayed)},
		{"server", fmt.Sprintf("%.1f MB", rep.ServerRSS)},
		{"machine", fmt.Sprintf("%d cores, fdatasync %.0f us, PostgreSQL %s, fsync %s, synchronous_commit %s, full_page_writes %s",
			s.Cores, s.Fdatasync, s.Postgres, s.Fsync, s.Commit, s.PageWrites)},
		{"both sides", fmt.Sprintf("%d clients, %d connections; ours over %s", s.Clients, s.Connections, s.Generator)},
	} {
		if _, err := fmt.Fprintf(t, "%s\t%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	for _, table := range slices.Sorted(maps.Keys(rep.RowsPerOrder)) {
		if _, err := fmt.Fprintf(t, "rows in %s\t%d an order, on each side\n", table, rep.RowsPerOrder[table]); err != nil {
			return err
		}
	}
	if rep.Void != "" {
		if _, err := fmt.Fprintf(t, "VOID\t%s\n", rep.Void); err != nil {
			return err
		}
	}
	return t.Flush()
}
