package ingest

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"proofroom/internal/proof/bench"
)

// Side is who makes derivatives.
type Side string

// The sides, in the order of their turns.
const (
	Vips    Side = "vips"         // vipsthumbnail, each size from the photograph
	Chained Side = "vips_chained" // vipsthumbnail, each size from the next larger
	Ours    Side = "ours"
)

// Round is one turn of a side.
type Round struct {
	Side     Side    `json:"side"`
	Photos   int     `json:"photos"`
	Seconds  float64 `json:"seconds"`
	PerSCore float64 `json:"photos_per_s_core"`
	Others   float64 `json:"others"` // share of the machine that others used
	// Ours only, in MB: the most memory of the server and of its children at once,
	// and how much more the server had at most, and at the end, than at most while
	// it warmed up.
	Server   float64 `json:"server_rss_mb,omitempty"`
	Darkroom float64 `json:"darkroom_rss_mb,omitempty"`
	Growth   float64 `json:"server_rss_growth_mb,omitempty"`
	Left     float64 `json:"server_rss_growth_left_mb,omitempty"`
}

func (x Round) String() string {
	s := fmt.Sprintf("%-12s %7.1f s  %6.2f photographs a second and core; others %.1f %% of the machine", x.Side, x.Seconds, x.PerSCore, 100*x.Others)
	if x.Side == Ours {
		s += fmt.Sprintf("; server %.0f MB (%+.1f at most, %+.1f at the end), darkroom %.0f MB", x.Server, x.Growth, x.Left, x.Darkroom)
	}
	return s
}

// Report is what was measured. Ratios and rates are of the medians, memory is the
// most of all rounds.
type Report struct {
	Ratio    float64 `json:"ratio"` // to vipsthumbnail that makes each size from the photograph
	PerSCore float64 `json:"photos_per_s_core"`
	RSS      float64 `json:"rss_mb"` // of server and darkroom together
	Growth   float64 `json:"server_rss_growth_mb"`

	RatioChained float64          `json:"ratio_chained"`
	VipsPerSCore float64          `json:"vips_photos_per_s_core"`
	Spread       map[Side]float64 `json:"spread"`
	Photos       int              `json:"photos"`
	MB           float64          `json:"photos_mb"`
	Source       string           `json:"source"`
	Cores        int              `json:"cores"`
	Rounds       []Round          `json:"rounds"`
	OursAlone    string           `json:"ours_alone"` // what only our side does
	Void         string           `json:"void,omitempty"`
}

// alone is what only our side does, within the time that is measured.
const alone = "upload over HTTP, hash, originals and derivatives kept and flushed, rows and jobs, metadata, watermark, placeholder, average colour"

// figures fills in the medians.
func (r *Report) figures() {
	per := map[Side][]float64{}
	worst := 0.0
	for _, x := range r.Rounds {
		per[x.Side] = append(per[x.Side], x.PerSCore)
		worst = max(worst, x.Others)
		r.RSS, r.Growth = max(r.RSS, bench.Round(x.Server+x.Darkroom, 1)), max(r.Growth, x.Growth)
	}
	r.PerSCore, r.VipsPerSCore = bench.Median(per[Ours]), bench.Median(per[Vips])
	r.Ratio = bench.Round(r.PerSCore/r.VipsPerSCore, 3)
	r.RatioChained = bench.Round(r.PerSCore/bench.Median(per[Chained]), 3)
	r.Spread = map[Side]float64{}
	for side, rates := range per {
		r.Spread[side] = bench.Round(bench.Spread(rates), 3)
	}
	r.OursAlone, r.Void = alone, bench.Void(worst)
}

// WriteJSON writes the report as one line.
func (r *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines := [][2]string{
		{"ours / vipsthumbnail", fmt.Sprintf("%.2f (each size from the photograph), %.2f (chained)", r.Ratio, r.RatioChained)},
		{"ours", fmt.Sprintf("%.2f photographs a second and core, until all are ready", r.PerSCore)},
		{"vipsthumbnail", fmt.Sprintf("%.2f, one process for each of %d cores, VIPS_CONCURRENCY=1", r.VipsPerSCore, r.Cores)},
		{"ours alone does", r.OursAlone},
		{"spread of rounds", fmt.Sprintf("ours %.0f %%, vipsthumbnail %.0f %%, chained %.0f %%", 100*r.Spread[Ours], 100*r.Spread[Vips], 100*r.Spread[Chained])},
		{"memory", fmt.Sprintf("server and darkroom %.0f MB at most; the server grew by %.1f MB at most after warming up", r.RSS, r.Growth)},
		{"photographs", fmt.Sprintf("%d with %.0f MB, from %s", r.Photos, r.MB, r.Source)},
	}
	if r.Void != "" {
		lines = append(lines, [2]string{"VOID", r.Void})
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(t, "%s\t%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return t.Flush()
}
