package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found. Its JSON form is for machines; WriteTable is for
// people and says more.
type Report struct {
	OK        bool             `json:"ok"`
	Scenarios []ScenarioResult `json:"scenarios"`
	CutSets   []CutSetResult   `json:"cut_sets"`
	Unproven  []string         `json:"unproven"` // guards and unique keys that no cut set takes away

	Singles []SingleResult `json:"-"`
	Seed    uint64         `json:"-"`
	Elapsed time.Duration  `json:"-"`
}

func newReport(seed uint64) *Report {
	return &Report{Scenarios: []ScenarioResult{}, CutSets: []CutSetResult{}, Unproven: []string{}, Seed: seed}
}

// ScenarioResult is the verdict of one scenario.
type ScenarioResult struct {
	ID       string         `json:"id"`
	Severity Severity       `json:"severity"`
	Verdict  Verdict        `json:"verdict"`
	Build    Build          `json:"build"`
	Pressure map[string]int `json:"pressure"`
	Seconds  float64        `json:"seconds"`
	Notes    []string       `json:"notes,omitempty"`  // what was measured
	Cannot   string         `json:"cannot,omitempty"` // why this machine cannot show it, whoever is at fault

	Title   string   `json:"-"`
	Reasons []string `json:"-"` // why it is no PASS
	Logs    string   `json:"-"` // where the processes' logs were kept
}

// CutSetResult is what happened with all guards of a set taken away.
type CutSetResult struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
	Caught  bool     `json:"caught"`
	By      []string `json:"by"` // the scenario and the check that went red: "C06/I2"

	Reasons []string `json:"-"`
	Seconds float64  `json:"-"`
}

// SingleResult is what happened with one guard of a set taken away: its backup
// holds, or something goes red.
type SingleResult struct {
	Set, Member, Scenario string
	Red                   []string // empty: the backup holds
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}

// settle computes what follows from the parts: a scenario whose control
// experiment failed is VOID, and only a run in which everything passed is good.
// What a machine has no means to show (a privilege that the run lacks) proves
// nothing and breaks nothing: it stays NOT EXERCISED, the last line names it, and
// the verdict is about the rest.
func (r *Report) settle(sets []CutSet) {
	r.OK = len(r.Scenarios)+len(r.CutSets) > 0
	for _, c := range r.CutSets {
		if c.Caught {
			continue
		}
		r.OK = false
		at := slices.IndexFunc(sets, func(s CutSet) bool { return s.Name == c.Name })
		for i := range r.Scenarios {
			if s := &r.Scenarios[i]; s.Verdict == Pass && slices.Contains(sets[at].By, s.ID) {
				s.Verdict = Void
				s.Reasons = append(s.Reasons, fmt.Sprintf("with all guards of %q taken away nothing went red", c.Name))
			}
		}
	}
	shown := 0
	for _, s := range r.Scenarios {
		r.OK = r.OK && (s.Verdict == Pass || s.Cannot != "")
		if s.Cannot == "" {
			shown++
		}
	}
	r.OK = r.OK && shown > 0
}

// WriteJSON writes the report as one line.
func (r *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range r.Scenarios {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s build\t%.1f s\t%s\t%s\n", s.ID, s.Verdict, s.Severity, s.Build, s.Seconds, s.Title, inWords(s.Pressure))
	}
	_ = t.Flush()
	for _, s := range r.Scenarios {
		if len(s.Notes) > 0 {
			_, _ = fmt.Fprintf(&b, "\n%s: %s\n  %s\n", s.ID, s.Title, strings.Join(s.Notes, "\n  "))
		}
	}
	for _, s := range r.Scenarios {
		if s.Verdict == Pass {
			continue
		}
		_, _ = fmt.Fprintf(&b, "\n%s %s\n", s.ID, s.Verdict)
		for _, why := range s.Reasons {
			_, _ = fmt.Fprintf(&b, "  %s\n", why)
		}
		if s.Logs != "" {
			_, _ = fmt.Fprintf(&b, "  logs and evidence: %s\n", s.Logs)
		}
		_, _ = fmt.Fprintf(&b, "  again: "+reproduction+"\n", s.ID, r.Seed)
	}
	if len(r.CutSets) > 0 {
		_, _ = fmt.Fprintf(&b, "\nGuards taken away, all of a set at once:\n")
		for _, c := range r.CutSets {
			what := "caught by " + strings.Join(c.By, ", ")
			if !c.Caught {
				what = "NOT CAUGHT: " + strings.Join(c.Reasons, "; ")
			}
			_, _ = fmt.Fprintf(&b, "  %s: %s\n      %s\n", c.Name, what, strings.Join(c.Members, ", "))
		}
	}
	if len(r.Singles) > 0 {
		_, _ = fmt.Fprintf(&b, "\nOne guard taken away:\n")
		for _, s := range r.Singles {
			what := "its backup holds"
			if len(s.Red) > 0 {
				what = "red: " + strings.Join(s.Red, ", ")
			}
			_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", s.Set, s.Member, s.Scenario, what)
		}
		_ = t.Flush()
	}
	if len(r.Unproven) > 0 {
		_, _ = fmt.Fprintf(&b, "\nNo cut set takes these away: %s\n", strings.Join(r.Unproven, ", "))
	}
	verdict := "GO: everything passed"
	var cannot []string
	for _, s := range r.Scenarios {
		if s.Cannot != "" {
			cannot = append(cannot, s.ID)
		}
	}
	switch {
	case !r.OK:
		verdict = "NO GO"
	case len(cannot) > 0:
		verdict = "GO: everything passed that this machine can show, which is not " + strings.Join(cannot, " ")
	}
	_, _ = fmt.Fprintf(&b, "\n%s, in %s, seed %d.\n", verdict, r.Elapsed.Round(100*time.Millisecond), r.Seed)
	_, err := io.WriteString(w, b.String())
	return err
}

func inWords(pressure map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(pressure)) {
		out = append(out, fmt.Sprintf("%d %s", pressure[k], strings.ReplaceAll(k, "_", " ")))
	}
	return strings.Join(out, ", ")
}
