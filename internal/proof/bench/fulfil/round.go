package fulfil

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

// Round is one run of one side.
type Round struct {
	Side    string  `json:"side"`
	Clients int     `json:"clients"`
	PerS    float64 `json:"per_s"` // orders granted in a second
	Seconds float64 `json:"seconds"`
	Checked
	AckP50   float64 `json:"ack_p50_ms,omitempty"`
	AckP99   float64 `json:"ack_p99_ms,omitempty"`
	AckMax   float64 `json:"ack_max_ms,omitempty"`
	DrainMS  float64 `json:"drain_ms"` // from the last answer to the empty inbox
	Retries  int     `json:"retries"`  // events that the server had no room for at once
	CPU      CPU     `json:"cpu_us_per_event"`
	CPUShare float64 `json:"cpu_share"` // of all processors, by everything that was measured
	RSS      float64 `json:"rss_mb"`    // of the server, at its end
	WAL      float64 `json:"wal_bytes_per_event"`
	Warnings int     `json:"warnings"` // lines of the server's log at level warn and above
	// Facts says what became of facts with their receipt, as the server counts them:
	// fulfilled or known, left to the drain, or failed and stored for it.
	Facts  map[string]int `json:"facts,omitempty"`
	Others float64        `json:"others"` // share of the machine that others used
	Void   bool           `json:"void"`   // more than bench.MaxOthers
}

// CPU is processor time for each event, in microseconds.
type CPU struct {
	Database  float64 `json:"database"`
	Server    float64 `json:"server"`
	Generator float64 `json:"generator"`
	StandIn   float64 `json:"stand_in"`
}

// both is what an event costs the machine that an operator pays for.
func (c CPU) both() float64 { return c.Database + c.Server }

// emptyPatience is how long an inbox may take to come to rest.
const emptyPatience = 5 * time.Minute

// nothingWaits is whether the inbox is at rest: partial indexes inbox_due and
// inbox_unfetched.
const nothingWaits = `SELECT NOT EXISTS (SELECT FROM inbox WHERE state IN ('received', 'failed') AND ready)
	AND NOT EXISTS (SELECT FROM inbox WHERE state IN ('received', 'failed', 'fetching') AND NOT ready)`

// meter is what is read before and after a run.
type meter struct {
	l        *lab
	others   *bench.Others
	usage    map[string]bench.Usage
	lsn      string
	logBytes int64
	facts    map[string]int
}

func (l *lab) meter(ctx context.Context) (*meter, error) {
	m := &meter{l: l}
	if err := l.db.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&m.lsn); err != nil {
		return nil, err
	}
	var err error
	if l.server != nil {
		info, err := os.Stat(l.server.LogTo)
		if err != nil {
			return nil, err
		}
		m.logBytes = info.Size()
		if m.facts, err = l.facts(ctx); err != nil {
			return nil, err
		}
	}
	if m.usage, err = l.usage(); err != nil {
		return nil, err
	}
	m.others, err = bench.WatchOthers()
	return m, err
}

func (l *lab) usage() (map[string]bench.Usage, error) {
	out := map[string]bench.Usage{}
	pids := map[string]int{"database": l.pg.PID, "stand-in": l.stand.PID}
	if l.server != nil {
		pids["server"] = l.server.PID
	}
	for name, pid := range pids {
		u, err := bench.Of(pid)
		if err != nil {
			return nil, fmt.Errorf("the %s has ended: %w", name, err)
		}
		out[name] = u
	}
	return out, nil
}

// read ends the measurement of a run of so many events.
func (m *meter) read(ctx context.Context, r *Round, events int, began time.Time) error {
	var err error
	if r.Others, err = m.others.Share(); err != nil {
		return err
	}
	r.Others, r.Void = bench.Round(r.Others, 3), r.Others > bench.MaxOthers
	now, err := m.l.usage()
	if err != nil {
		return err
	}
	per := func(name string) float64 {
		return bench.Round(float64(now[name].Since(m.usage[name]).CPU.Microseconds())/float64(events), 1)
	}
	r.CPU.Database, r.CPU.Server, r.CPU.StandIn = per("database"), per("server"), per("stand-in")
	r.CPUShare = bench.Round((r.CPU.Database+r.CPU.Server+r.CPU.StandIn+r.CPU.Generator)*float64(events)/
		float64(time.Since(began).Microseconds()*int64(runtime.NumCPU())), 2)
	r.RSS = bench.Round(float64(now["server"].RSS)/(1<<20), 1)
	var wal int64
	if err := m.l.db.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::bigint`, m.lsn).Scan(&wal); err != nil {
		return err
	}
	r.WAL = bench.Round(float64(wal)/float64(events), 0)
	if m.l.server == nil {
		return nil
	}
	facts, err := m.l.facts(ctx)
	if err != nil {
		return err
	}
	for outcome, n := range facts {
		if n -= m.facts[outcome]; n > 0 {
			if r.Facts == nil {
				r.Facts = map[string]int{}
			}
			r.Facts[outcome] = n
		}
	}
	r.Warnings, err = warnings(m.l.server.LogTo, m.logBytes)
	return err
}

var factsCounted = regexp.MustCompile(`(?m)^proofroom_facts_received_total\{outcome="(\w+)"\} ([0-9.e+]+)$`)

// facts reads what the server has counted.
func (l *lab) facts(ctx context.Context) (map[string]int, error) {
	raw, err := l.admin(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, found := range factsCounted.FindAllSubmatch(raw, -1) {
		n, err := strconv.ParseFloat(string(found[2]), 64)
		if err != nil {
			return nil, fmt.Errorf("read the server's metrics: %w", err)
		}
		out[string(found[1])] = int(n)
	}
	return out, nil
}

// admin asks the server's own address for operators.
func (l *lab) admin(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.Admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the server for %s: %w", path, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server answered %s with status %d", path, res.StatusCode)
	}
	return raw, err
}

// warnings counts the lines of a log, from an offset, that somebody should read.
func warnings(path string, from int64) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, 0); err != nil {
		return 0, err
	}
	n := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte(`"level":"WARN"`)) || bytes.Contains(lines.Bytes(), []byte(`"level":"ERROR"`)) {
			n++
		}
	}
	return n, lines.Err()
}

// run says how to send.
type run struct {
	side    string
	set     load.Set
	events  int
	clients int
	rate    float64 // of the open loop; 0: closed
	profile string  // folder for the server's CPU profile; empty: none
}

// ours sends events to the server and waits until all that they say is done.
func (l *lab) ours(ctx context.Context, how run) (_ Round, err error) {
	r, s, events := Round{Side: how.side, Clients: how.clients}, how.set, how.events
	g, err := l.generate(ctx, load.Job{
		Addr: l.server.Listen, Set: s, Events: events, Clients: how.clients, Rate: how.rate, Seed: 1, SealDir: l.dir, Base: l.base,
	})
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			g.Kill()
		}
	}()
	m, err := l.meter(ctx)
	if err != nil {
		return r, err
	}
	profiled := make(chan error, 1)
	if how.profile == "" {
		profiled <- nil
	} else {
		go func() {
			profiled <- l.profile(ctx, filepath.Join(how.profile, fmt.Sprintf("%s-%d.pprof", how.side, how.clients)))
		}()
	}
	began := time.Now()
	res, err := g.drive()
	if err != nil {
		return r, err
	}
	if err := l.await(ctx); err != nil {
		return r, err
	}
	end := time.Now()
	if err := <-profiled; err != nil {
		return r, err
	}
	r.CPU.Generator = bench.Round(float64(res.CPUMicros)/float64(events), 1)
	if err := m.read(ctx, &r, events, began); err != nil {
		return r, err
	}
	if r.Checked, err = check(ctx, l.db, s, res.Acked(s)); err != nil {
		return r, err
	}
	took := end.Sub(time.Unix(0, res.FirstByte))
	r.Seconds, r.PerS = bench.Round(took.Seconds(), 2), bench.Round(float64(r.Granted)/took.Seconds(), 0)
	r.DrainMS = bench.Round(bench.Millis(end.Sub(time.Unix(0, res.LastReply))), 0)
	r.AckP50, r.AckP99, r.AckMax, r.Retries = bench.Round(res.P50Millis, 2), bench.Round(res.P99Millis, 2), bench.Round(res.MaxMillis, 1), res.Retries
	if sent := load.Orders(events); r.Granted != sent {
		r.Broken = append(r.Broken, fmt.Sprintf("%d orders were paid for and %d are granted", sent, r.Granted))
	}
	return r, nil
}

// profileSeconds is how long the server is profiled.
const profileSeconds = 5

// profile writes what the server spends its time on to a file.
func (l *lab) profile(ctx context.Context, file string) error {
	raw, err := l.admin(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds))
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// await polls until nothing waits in the inbox.
func (l *lab) await(ctx context.Context) error {
	deadline := time.NewTimer(emptyPatience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var done bool
		if err := l.db.QueryRow(ctx, nothingWaits).Scan(&done); err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("the inbox was not empty within %s", emptyPatience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// generator is the process that sends, ready to begin.
type generator struct {
	*bench.Process
	out *bufio.Reader
}

// generate starts a generator and waits until everything is made and signed.
func (l *lab) generate(ctx context.Context, j load.Job) (*generator, error) {
	job, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p, err := bench.Start(ctx, bench.Command{Binary: l.binary, Name: "generator", Dir: l.dir, Args: []string{"bench", "generator"}})
	if err != nil {
		return nil, err
	}
	g := &generator{Process: p, out: bufio.NewReader(p.Stdout)}
	if _, err = p.Stdin.Write(append(job, '\n')); err == nil {
		_, err = g.out.ReadBytes('\n')
	}
	if err != nil {
		g.Kill()
		return nil, errors.Join(fmt.Errorf("prepare the events: %w", err), p.Wait())
	}
	return g, nil
}

// drive lets it send everything.
func (g *generator) drive() (load.Result, error) {
	var r load.Result
	if _, err := g.Stdin.Write([]byte("go\n")); err != nil {
		return r, err
	}
	text, err := g.out.ReadBytes('\n')
	if werr := g.Wait(); werr != nil {
		return r, werr
	}
	if err != nil {
		return r, fmt.Errorf("read what the generator did: %w", err)
	}
	return r, json.Unmarshal(text, &r)
}
