package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"proofroom/internal/base/pg"
)

// Options say what to run.
type Options struct {
	Binaries  Binaries
	IDs       []string // scenarios; empty: all
	Seed      uint64
	Instances int // processes of the server in each world
	// Quick repeats scenarios less often and takes the required cut sets away.
	Quick bool
	// Ablate takes every cut set away, and each of its members alone.
	Ablate   bool
	Progress io.Writer
}

const (
	// A scenario, with everything that it starts, takes at most this long.
	longestQuick, longestFull = 90 * time.Second, 10 * time.Minute
	// How long to wait for something that must happen, and for something that
	// may not, because a guard is missing.
	patienceNormal, patienceAblated = 15 * time.Second, 4 * time.Second
	// A race that needs luck gets more than one chance to be lost.
	ablationTries  = 3
	ablationRounds = 6
)

// runner is one run.
type runner struct {
	Options
	cluster *cluster
	sets    []CutSet

	mu     sync.Mutex
	report *Report
}

// Run runs scenarios and the control experiments of their cut sets. The error is
// for what keeps it from running at all.
func Run(ctx context.Context, o Options, scenarios []Scenario, sets []CutSet) (*Report, error) {
	if err := CheckCutSets(sets, scenarios, Required()); err != nil {
		return nil, err
	}
	chosen, err := choose(scenarios, o.IDs)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	r := &runner{Options: o, sets: sets, report: newReport(o.Seed)}
	if o.Binaries.Proof == "" {
		r.say("the proof build does not lie beside the program (proofroom-proof): what needs fault points is not exercised")
	}
	if r.cluster, err = startCluster(ctx, fastest(), scratchSettings); err != nil {
		return nil, err
	}
	defer r.cluster.close()
	if err := r.findUnproven(ctx); err != nil {
		return nil, err
	}
	r.work(ctx, r.plan(chosen))
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the run was ended early: %w", err)
	}
	r.sort(chosen)
	r.report.settle(sets)
	r.report.Elapsed = time.Since(begun)
	return r.report, nil
}

func choose(scenarios []Scenario, ids []string) ([]Scenario, error) {
	if len(ids) == 0 {
		return scenarios, nil
	}
	var out []Scenario
	for _, id := range ids {
		at := slices.IndexFunc(scenarios, func(s Scenario) bool { return strings.EqualFold(s.ID, id) })
		if at < 0 {
			return nil, fmt.Errorf("there is no scenario %q: proofroom verify --list names them", id)
		}
		out = append(out, scenarios[at])
	}
	return out, nil
}

// plan lists what to do, the scenarios first.
func (r *runner) plan(chosen []Scenario) []func(context.Context) {
	var tasks []func(context.Context)
	for _, s := range chosen {
		tasks = append(tasks, func(ctx context.Context) { r.scenario(ctx, s) })
	}
	if !r.Ablate && !r.Quick {
		return tasks
	}
	required := Required()
	alone := map[string]bool{} // members that are taken away alone, by scenario
	for _, c := range r.sets {
		var by []Scenario
		for _, id := range c.By {
			if at := slices.IndexFunc(chosen, func(s Scenario) bool { return s.ID == id }); at >= 0 {
				by = append(by, chosen[at])
			}
		}
		if len(by) == 0 || !r.Ablate && !slices.Contains(required, c.Name) {
			continue
		}
		tasks = append(tasks, func(ctx context.Context) { r.cutSet(ctx, c, by) })
		if !r.Ablate || len(c.Members) == 1 {
			continue
		}
		for _, m := range c.Members {
			key := strings.Join([]string{m, by[0].ID, c.Focus}, " ")
			if alone[key] {
				continue
			}
			alone[key] = true
			tasks = append(tasks, func(ctx context.Context) { r.single(ctx, c, m, by[0]) })
		}
	}
	return tasks
}

// work does the tasks, a few at a time: most of their time is waiting.
func (r *runner) work(ctx context.Context, tasks []func(context.Context)) {
	queue := make(chan func(context.Context))
	var lanes sync.WaitGroup
	for range min(max(2, runtime.NumCPU()), 4) {
		lanes.Go(func() {
			for t := range queue {
				if ctx.Err() == nil {
					t(ctx)
				}
			}
		})
	}
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	lanes.Wait()
}

// outcome is what one run of a scenario left.
type outcome struct {
	failures   []string // of the scenario itself, and of coming to rest
	findings   []Finding
	invariants []InvariantResult
	pressure   map[string]int
	notes      []string
	missing    []string // pressure that could not be brought about
	cannot     string   // why this machine cannot show it
	logs       string
}

// once runs a scenario in a world of its own and judges what is left.
func (r *runner) once(ctx context.Context, s Scenario, cfg worldConfig) (out outcome) {
	longest := longestFull
	if r.Quick {
		longest = longestQuick
	}
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cfg.cluster, cfg.instances, cfg.id = r.cluster, r.Instances, s.ID
	cfg.database, cfg.darkroom = s.Database, r.Binaries.Darkroom
	if s.Bare && len(cfg.removed) > 0 {
		cfg.instances = 0
	}
	w, err := newWorld(ctx, cfg)
	var cannot *cannotError
	if errors.As(err, &cannot) {
		out.cannot = cannot.why
		return out
	}
	if err != nil {
		out.failures = append(out.failures, fmt.Sprintf("the world was not made: %v", err))
		return out
	}
	defer func() {
		keep := len(cfg.removed) == 0 && len(out.failures)+len(out.findings) > 0 && run.Err() == nil
		if keep {
			out.logs = w.dir
			if err := w.keepEvidence(context.WithoutCancel(ctx)); err != nil {
				out.failures = append(out.failures, err.Error())
			}
		}
		w.close(keep)
	}()
	if err := s.Run(ctx, w); err != nil {
		out.failures = append(out.failures, err.Error())
	}
	// What was to be seen without a guard may have been seen already; such a world
	// may never come to rest.
	if len(cfg.removed) == 0 || !w.sawSomething() {
		if err := w.quiesce(ctx); err != nil {
			out.failures = append(out.failures, err.Error())
		}
	}
	out.findings, out.invariants, err = w.judge(ctx)
	if err != nil {
		out.failures = append(out.failures, err.Error())
	}
	w.mu.Lock()
	out.failures = append(w.failures, out.failures...)
	out.notes, out.missing = w.notes, w.missing
	w.mu.Unlock()
	out.pressure = w.pressure.totals()
	return out
}

func (r *runner) binary(s Scenario) (string, Build) {
	if s.Build == Proof {
		return r.Binaries.Proof, Proof
	}
	return r.Binaries.Release, Release
}

func (r *runner) scenario(ctx context.Context, s Scenario) {
	begun := time.Now()
	binary, build := r.binary(s)
	res := ScenarioResult{ID: s.ID, Severity: s.Severity, Build: build, Title: s.Title, Pressure: map[string]int{}}
	if binary == "" {
		res.Verdict, res.Reasons = Unexercised, []string{"it needs the proof build: make build"}
	} else {
		rounds := s.Full
		if r.Quick {
			rounds = s.Quick
		}
		out := r.once(ctx, s, worldConfig{binary: binary, seed: r.Seed, rounds: rounds, patience: patienceNormal})
		res.judge(s, out)
	}
	res.Seconds = seconds(time.Since(begun))
	r.mu.Lock()
	r.report.Scenarios = append(r.report.Scenarios, res)
	r.mu.Unlock()
	r.say("%s %s in %.1f s: %s (%s)", s.ID, res.Verdict, res.Seconds, s.Title, inWords(res.Pressure))
	for _, why := range slices.Concat(res.Reasons, res.Notes) {
		r.say("  %s", why)
	}
}

// judge computes the verdict.
func (res *ScenarioResult) judge(s Scenario, out outcome) {
	if out.pressure != nil {
		res.Pressure = out.pressure
	}
	res.Logs, res.Reasons, res.Notes = out.logs, out.failures, out.notes
	if out.cannot != "" {
		res.Verdict, res.Cannot, res.Reasons = Unexercised, out.cannot, []string{out.cannot}
		return
	}
	for _, f := range out.findings {
		res.Reasons = append(res.Reasons, f.String())
	}
	if len(res.Reasons) > 0 {
		res.Verdict = Fail
		return
	}
	res.Verdict = Pass
	for _, need := range s.Needs {
		if res.Pressure[need] == 0 {
			res.Verdict = Unexercised
			res.Reasons = append(res.Reasons, "there was no pressure: 0 "+strings.ReplaceAll(need, "_", " "))
		}
	}
	if len(out.missing) > 0 {
		res.Verdict = Unexercised
		res.Reasons = append(res.Reasons, out.missing...)
	}
	if !slices.ContainsFunc(out.invariants, func(i InvariantResult) bool { return i.OK }) {
		res.Verdict = Unexercised
		res.Reasons = append(res.Reasons, "no invariant examined anything")
	}
}

// cutSet takes all guards of a set away and demands that something goes red.
func (r *runner) cutSet(ctx context.Context, c CutSet, by []Scenario) {
	begun := time.Now()
	res := CutSetResult{Name: c.Name, Members: c.Members, By: []string{}}
	if r.Binaries.Proof == "" {
		res.Reasons = []string{"it needs the proof build: make build"}
	}
	for try := 0; try < ablationTries && !res.Caught && r.Binaries.Proof != "" && ctx.Err() == nil; try++ {
		s := by[try%len(by)]
		out := r.without(ctx, s, c, c.Members, uint64(try))
		found := red(out.findings, c.Breaks)
		for _, check := range found {
			res.Caught = true
			res.By = append(res.By, s.ID+"/"+check)
		}
		if len(found) == 0 {
			res.Reasons = append(res.Reasons, fmt.Sprintf("%s stayed true%s", s.ID, because(append(out.failures, texts(out.findings)...))))
		}
	}
	res.Seconds = seconds(time.Since(begun))
	r.mu.Lock()
	r.report.CutSets = append(r.report.CutSets, res)
	r.mu.Unlock()
	if res.Caught {
		r.say("without %q (%s): caught by %s in %.1f s", c.Name, strings.Join(c.Members, " "), strings.Join(res.By, ", "), res.Seconds)
	} else {
		r.say("without %q (%s): NOT CAUGHT in %.1f s: %s", c.Name, strings.Join(c.Members, " "), res.Seconds, strings.Join(res.Reasons, "; "))
	}
}

// single takes one guard of a set away.
func (r *runner) single(ctx context.Context, c CutSet, member string, s Scenario) {
	if r.Binaries.Proof == "" {
		return
	}
	var found []string
	for _, f := range r.without(ctx, s, c, []string{member}, 0).findings {
		if !slices.Contains(found, f.Check) {
			found = append(found, f.Check)
		}
	}
	slices.Sort(found)
	r.mu.Lock()
	r.report.Singles = append(r.report.Singles, SingleResult{Set: c.Name, Member: member, Scenario: s.ID, Red: found})
	r.mu.Unlock()
	what := "its backup holds"
	if len(found) > 0 {
		what = "red: " + strings.Join(found, ", ")
	}
	r.say("without %s of %q alone: %s", member, c.Name, what)
}

func (r *runner) without(ctx context.Context, s Scenario, c CutSet, members []string, try uint64) outcome {
	rounds := c.Rounds
	if rounds == 0 {
		rounds = min(s.Quick, ablationRounds)
	}
	return r.once(ctx, s, worldConfig{
		binary: r.Binaries.Proof, seed: r.Seed + try, rounds: rounds, focus: c.Focus,
		patience: patienceAblated, removed: members,
	})
}

func texts(findings []Finding) []string {
	out := make([]string, len(findings))
	for i, f := range findings {
		out[i] = f.String()
	}
	return out
}

func because(failures []string) string {
	if len(failures) == 0 {
		return ""
	}
	return " (" + strings.Join(failures[:min(len(failures), 3)], "; ") + ")"
}

func (r *runner) findUnproven(ctx context.Context) error {
	_, url, err := r.cluster.clone(ctx)
	if err != nil {
		return err
	}
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: url, MaxConns: 1, Name: "proofroom verify"})
	if err != nil {
		return err
	}
	defer pool.Close()
	r.report.Unproven, err = unproven(ctx, pool, r.sets)
	return err
}

// sort puts results into the order of the catalogue.
func (r *runner) sort(chosen []Scenario) {
	at := func(id string) int { return slices.IndexFunc(chosen, func(s Scenario) bool { return s.ID == id }) }
	slices.SortStableFunc(r.report.Scenarios, func(a, b ScenarioResult) int { return at(a.ID) - at(b.ID) })
	set := func(name string) int { return slices.IndexFunc(r.sets, func(c CutSet) bool { return c.Name == name }) }
	slices.SortStableFunc(r.report.CutSets, func(a, b CutSetResult) int { return set(a.Name) - set(b.Name) })
	slices.SortStableFunc(r.report.Singles, func(a, b SingleResult) int { return set(a.Set) - set(b.Set) })
}

func (r *runner) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.Progress, format+"\n", args...)
}
