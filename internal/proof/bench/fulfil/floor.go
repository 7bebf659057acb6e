package fulfil

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

//go:embed floor.sql
var floorSQL string

const (
	floorClients = 8
	floorThreads = 2
)

// plannerSettings are those of the hot path's connections; the floor has them too.
const plannerSettings = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan -c jit=off"

// pgbench finds the program: beside the server that runs, or on PATH.
func pgbench(major int) (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	slices.Reverse(dirs)
	for _, dir := range append([]string{fmt.Sprintf("/usr/lib/postgresql/%d/bin", major)}, dirs...) {
		if path := filepath.Join(dir, "pgbench"); exec.Command(path, "--version").Run() == nil { //nolint:noctx // it ends at once
			return path, nil
		}
	}
	path, err := exec.LookPath("pgbench")
	if err != nil {
		return "", fmt.Errorf("pgbench is not installed, and the floor needs it (Debian, Ubuntu: apt-get install postgresql): %w", err)
	}
	return path, nil
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)`)

// floor fulfils the orders of a set one by one with floor.sql.
func (l *lab) floor(ctx context.Context, s load.Set) (Round, error) {
	r := Round{Side: "floor", Clients: floorClients}
	var major int
	if err := l.db.QueryRow(ctx, `SELECT current_setting('server_version_num')::int / 10000`).Scan(&major); err != nil {
		return r, err
	}
	program, err := pgbench(major)
	if err != nil {
		return r, err
	}
	file := filepath.Join(l.dir, "floor.sql")
	if err := os.WriteFile(file, []byte(floorSQL), 0o600); err != nil {
		return r, err
	}
	each := s.Count / floorClients
	body := strings.NewReplacer("{{order}}", load.ID(load.KindOrder, s.Batch, 0).String(), "{{attempt}}", load.ID(load.KindAttempt, s.Batch, 0).String(),
		"{{session}}", s.Ref(0)).Replace(l.body)
	var facts string
	err = l.db.QueryRow(ctx, `SELECT convert_from(bench.facts($1, $2, $3, 1500), 'UTF8')`,
		load.ID(load.KindAttempt, s.Batch, 0), s.Ref(0), s.PaymentID(0)).Scan(&facts)
	if err != nil {
		return r, err
	}
	args := []string{"-n", "-M", "prepared", "-c", strconv.Itoa(floorClients), "-j", strconv.Itoa(floorThreads), "-t", strconv.Itoa(each), "-f", file}
	for name, value := range map[string]string{
		"i": "0", "batch": strconv.Itoa(s.Batch), "first": strconv.Itoa(s.First), "clients": strconv.Itoa(floorClients),
		"clearing": strconv.FormatInt(l.clearing, 10), "revenue": strconv.FormatInt(l.revenue, 10),
		"body": body, "headers": string(l.headers), "facts": facts,
	} {
		args = append(args, "-D", name+"="+value)
	}
	cmd := exec.CommandContext(ctx, program, append(args, l.pg.Database())...)
	cmd.Env = append(os.Environ(), "PGOPTIONS=-c role=proofroom_app -c timezone=UTC "+plannerSettings)
	m, err := l.meter(ctx)
	if err != nil {
		return r, err
	}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("run pgbench: %w: %s", err, out)
	}
	if cmd.ProcessState != nil {
		r.CPU.Generator = bench.Round(float64((cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()).Microseconds())/float64(each*floorClients), 1)
	}
	if err := m.read(ctx, &r, each*floorClients, began); err != nil {
		return r, err
	}
	said := tps.FindSubmatch(out)
	if said == nil {
		return r, errors.Join(errors.New("pgbench does not tell its rate"), fmt.Errorf("%s", out))
	}
	// The rate of pgbench leaves out the time of connecting, in the floor's favour.
	if r.PerS, err = strconv.ParseFloat(string(said[1]), 64); err != nil {
		return r, err
	}
	r.PerS = bench.Round(r.PerS, 0)
	acked := make([]int, each*floorClients)
	for i := range acked {
		acked[i] = s.First + i
	}
	if r.Checked, err = check(ctx, l.db, s, acked); err != nil {
		return r, err
	}
	r.Seconds = bench.Round(float64(len(acked))/r.PerS, 2)
	if r.Granted != len(acked) {
		r.Broken = append(r.Broken, fmt.Sprintf("%d statements ran and %d orders are granted", len(acked), r.Granted))
	}
	return r, nil
}
