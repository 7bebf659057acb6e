package fulfil

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/base/pg"
	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

//go:embed floor.sql
var floorSQL string

const (
	floorClients = 8
	floorThreads = 2
)

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
	r := Round{Side: SideFloor, Clients: floorClients}
	s.Count -= s.Count % floorClients
	cmd, err := l.floorCommand(ctx, s)
	if err != nil {
		return r, err
	}
	m, err := l.meter(ctx)
	if err != nil {
		return r, err
	}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("run pgbench: %w: %s", err, out)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.CPU.Generator = bench.Round(float64(used.Microseconds())/float64(s.Count), 1)
	if err := m.read(ctx, &r, s.Count, began); err != nil {
		return r, err
	}
	said := tps.FindSubmatch(out)
	if said == nil {
		return r, fmt.Errorf("pgbench does not tell its rate: %s", out)
	}
	// pgbench's own rate leaves out the time of connecting, in the floor's favour.
	rate, err := strconv.ParseFloat(string(said[1]), 64)
	if err != nil {
		return r, err
	}
	r.PerS, r.Seconds = bench.Round(rate, 0), bench.Round(float64(s.Count)/rate, 2)
	if r.Checked, err = check(ctx, l.db, s, s.Numbers()); err != nil {
		return r, err
	}
	if r.Granted != s.Count {
		r.Broken = append(r.Broken, fmt.Sprintf("%d statements ran and %d orders are granted", s.Count, r.Granted))
	}
	return r, nil
}

// floorCommand is pgbench, ready to run floor.sql once for each order of a set,
// whose number divides by that of the clients.
func (l *lab) floorCommand(ctx context.Context, s load.Set) (*exec.Cmd, error) {
	var major int
	if err := l.db.QueryRow(ctx, `SELECT current_setting('server_version_num')::int / 10000`).Scan(&major); err != nil {
		return nil, err
	}
	program, err := pgbench(major)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(l.dir, "floor.sql")
	if err := os.WriteFile(file, []byte(floorSQL), 0o600); err != nil {
		return nil, err
	}
	attempt := load.ID(load.KindAttempt, s.Batch, 0)
	var facts string
	err = l.db.QueryRow(ctx, `SELECT convert_from(bench.facts($1, $2, $3, 1500), 'UTF8')`, attempt, s.Ref(0), s.PaymentID(0)).Scan(&facts)
	if err != nil {
		return nil, err
	}
	body := strings.NewReplacer("{{order}}", load.ID(load.KindOrder, s.Batch, 0).String(), "{{attempt}}", attempt.String(), "{{session}}", s.Ref(0)).Replace(l.body)
	args := []string{
		"-n", "-M", "prepared", "-c", strconv.Itoa(floorClients), "-j", strconv.Itoa(floorThreads), "-t", strconv.Itoa(s.Count / floorClients), "-f", file,
	}
	for name, value := range map[string]string{
		"i": "0", "batch": strconv.Itoa(s.Batch), "first": strconv.Itoa(s.First), "clients": strconv.Itoa(floorClients),
		"clearing": strconv.FormatInt(l.clearing, 10), "revenue": strconv.FormatInt(l.revenue, 10),
		"body": body, "headers": string(l.headers), "facts": facts,
	} {
		args = append(args, "-D", name+"="+value)
	}
	cmd := exec.CommandContext(ctx, program, append(args, l.url)...)
	options := "-c timezone=UTC -c role=" + pg.AppRole
	for name, value := range hotSettings {
		options += " -c " + name + "=" + value
	}
	cmd.Env = append(os.Environ(), "PGOPTIONS="+options)
	return cmd, nil
}
