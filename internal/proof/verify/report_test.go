package verify

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func keysOf(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// Machines read exactly this.
func TestReportJSON(t *testing.T) {
	t.Parallel()
	r := Report{
		Scenarios: []ScenarioResult{{ID: "X01", Severity: Critical, Verdict: Pass, Build: Release, Pressure: map[string]int{Requests: 3}, Seconds: 1.5, Title: "t", Reasons: []string{"r"}, Logs: "l"}},
		CutSets:   []CutSetResult{{Name: "a", Members: []string{"order.lock"}, Caught: true, By: []string{"X01/I1"}, Reasons: []string{"r"}}},
		Unproven:  []string{"x"},
		Singles:   []SingleResult{{Set: "a"}}, Seed: 7,
	}
	r.settle([]CutSet{{Name: "a", By: []string{"X01"}}})
	var b bytes.Buffer
	require.NoError(t, r.WriteJSON(&b))
	require.Equal(t, 1, bytes.Count(b.Bytes(), []byte("\n")), "one line")
	var got map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.Equal(t, []string{"cut_sets", "ok", "scenarios", "unproven"}, keysOf(got))
	require.Equal(t, true, got["ok"])
	require.Equal(t, []string{"build", "id", "pressure", "seconds", "severity", "verdict"}, keysOf(got["scenarios"].([]any)[0].(map[string]any)))
	require.Equal(t, map[string]any{
		"name": "a", "members": []any{"order.lock"}, "caught": true, "by": []any{"X01/I1"},
	}, got["cut_sets"].([]any)[0])
}

// Lists are lists also when they are empty.
func TestEmptyReportJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := newReport(1)
	r.settle(nil)
	require.NoError(t, r.WriteJSON(&b))
	require.JSONEq(t, `{"ok":false,"scenarios":[],"cut_sets":[],"unproven":[]}`, b.String(), "nothing proven is not good")
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := Scenario{ID: "X01", Needs: []string{FaultsFired}}
	good := outcome{pressure: map[string]int{FaultsFired: 1}, invariants: []InvariantResult{{ID: "I1", OK: true}}}
	verdict := func(change func(*outcome)) Verdict {
		out := good
		change(&out)
		var res ScenarioResult
		res.judge(s, out)
		if res.Verdict != Pass {
			require.NotEmpty(t, res.Reasons)
		}
		return res.Verdict
	}
	require.Equal(t, Pass, verdict(func(*outcome) {}))
	require.Equal(t, Unexercised, verdict(func(o *outcome) { o.pressure = map[string]int{} }), "a fault that never fired")
	require.Equal(t, Unexercised, verdict(func(o *outcome) { o.invariants = []InvariantResult{{ID: "I1", Verdict: NotExercised}} }))
	require.Equal(t, Fail, verdict(func(o *outcome) { o.failures = []string{"x"} }))
	require.Equal(t, Fail, verdict(func(o *outcome) { o.findings = []Finding{{"I1", "x"}} }))
}

func TestVoid(t *testing.T) {
	t.Parallel()
	sets := []CutSet{{Name: "a", By: []string{"X01"}}, {Name: "b", By: []string{"X02"}}}
	r := Report{
		Scenarios: []ScenarioResult{{ID: "X01", Verdict: Pass}, {ID: "X02", Verdict: Pass}},
		CutSets:   []CutSetResult{{Name: "a", Caught: false}, {Name: "b", Caught: true}},
	}
	r.settle(sets)
	require.False(t, r.OK)
	require.Equal(t, Void, r.Scenarios[0].Verdict)
	require.Equal(t, Pass, r.Scenarios[1].Verdict)
	var b bytes.Buffer
	require.NoError(t, r.WriteTable(&b))
	require.Contains(t, b.String(), "proofroom verify run X01 --seed 0")
	require.Contains(t, b.String(), "NOT CAUGHT")
	require.Contains(t, b.String(), "NO GO")
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := []Scenario{{ID: "X01"}, {ID: "X02"}}
	got, err := choose(all, []string{"x02"})
	require.NoError(t, err)
	require.Equal(t, "X02", got[0].ID)
	_, err = choose(all, []string{"X03"})
	require.ErrorContains(t, err, "--list")
}

// What a machine has no means to show is named and is no failure; a run that could
// show nothing proves nothing.
func TestWhatAMachineCannotShow(t *testing.T) {
	t.Parallel()
	r := newReport(7)
	var cannot ScenarioResult
	cannot.ID = "X09"
	cannot.judge(Scenario{ID: "X09", Needs: []string{FaultsFired}}, outcome{cannot: "no disk may be mounted"})
	require.Equal(t, Unexercised, cannot.Verdict)
	require.Equal(t, []string{"no disk may be mounted"}, cannot.Reasons)
	r.Scenarios = []ScenarioResult{cannot}
	r.settle(nil)
	require.False(t, r.OK)
	r.Scenarios = append(r.Scenarios, ScenarioResult{ID: "X03", Verdict: Pass, Notes: []string{"took 3 ms"}})
	r.settle(nil)
	require.True(t, r.OK)
	var out strings.Builder
	require.NoError(t, r.WriteTable(&out))
	require.Contains(t, out.String(), "X09 NOT EXERCISED\n  no disk may be mounted")
	require.Contains(t, out.String(), "GO: everything passed that this machine can show, which is not X09")
	require.Contains(t, out.String(), "took 3 ms")

	// Pressure that did not come about is another matter.
	missing := ScenarioResult{ID: "X07"}
	missing.judge(Scenario{ID: "X07"}, outcome{missing: []string{"nothing came by a.b"}, invariants: []InvariantResult{{OK: true}}})
	require.Equal(t, Unexercised, missing.Verdict)
	r.Scenarios = append(r.Scenarios, missing)
	r.settle(nil)
	require.False(t, r.OK)
}
