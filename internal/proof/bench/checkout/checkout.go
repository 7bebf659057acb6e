package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg"
	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/twin"
)

// connections is how many both sides have: what a server opens by itself.
const connections = 16

// repeats is how many requests are sent again at the end.
const repeats = 100

// Config says what to measure.
type Config struct {
	Binary  string // this program
	Clients int    // at once, on both sides
	Orders  int    // in a round of one side
	Rounds  int    // of each side
	// Settings win over PostgreSQL's settings of production. Only tests need any.
	Settings map[string]string
	// Progress is told of each round.
	Progress io.Writer
}

// told is what a guest was answered.
type told struct {
	guest guest
	body  []byte
}

// run is one measurement under way.
type run struct {
	cfg    Config
	db     *pgxpool.Pool // as the database's owner, for counting
	stock  *stock
	pg     *bench.Postgres
	server *bench.Server
	stand  *bench.Process
	raw    map[Side]*raw
	guests map[Side][]guest

	answers map[uuid.UUID]uuid.UUID // order to the guest that it was promised to
	first   []told                  // those that are sent again at the end
	report  Report
}

// Run measures. Without a report nothing was measured, or orders were missing,
// there twice or not as they must be. A report with ErrVoid was disturbed.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	dir, err := bench.Scratch("checkout")
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, raw: map[Side]*raw{}, guests: map[Side][]guest{}, answers: map[uuid.UUID]uuid.UUID{}}
	defer func() {
		r.close()
		if err == nil || errors.Is(err, bench.ErrVoid) {
			err = errors.Join(err, os.RemoveAll(dir))
		} else {
			err = fmt.Errorf("%w (the logs are in %s)", err, dir)
		}
	}()
	if err := r.start(ctx, dir); err != nil {
		return nil, err
	}
	if err := r.measure(ctx); err != nil {
		return nil, err
	}
	if err := r.judge(ctx); err != nil {
		return nil, err
	}
	if r.report.Void != "" {
		return &r.report, fmt.Errorf("%w: %s", bench.ErrVoid, r.report.Void)
	}
	return &r.report, nil
}

// secret is the stand-in's key, which is as long as a real one.
const secret = twin.DefaultSecretKey

// start has everything running.
func (r *run) start(ctx context.Context, dir string) (err error) {
	if r.pg, err = bench.StartPostgres(ctx, dir, r.cfg.Settings); err != nil {
		return err
	}
	if r.db, err = pg.Open(ctx, pg.PoolConfig{URL: r.pg.Database(), MaxConns: 2, Name: "proofroom bench"}); err != nil {
		return err
	}
	if r.stock, err = fill(ctx, r.db); err != nil {
		return fmt.Errorf("put an event up: %w", err)
	}
	each := r.cfg.Orders*r.cfg.Rounds + r.warm()
	for _, side := range []Side{SQLOnly, Raw, Ours} {
		if r.guests[side], err = r.stock.invite(ctx, r.db, string(side), each); err != nil {
			return fmt.Errorf("make guests: %w", err)
		}
	}
	if r.stand, err = bench.Start(ctx, bench.Command{Binary: r.cfg.Binary, Name: "stand-in", Dir: dir, Args: []string{"bench", "stripe-pages"}, Ready: Ready}); err != nil {
		return err
	}
	listen, _ := r.stand.Said["listen"].(string)
	url := "http://" + listen
	if r.server, err = bench.Serve(ctx, r.cfg.Binary, dir, r.pg.Database(), []string{"--stripe-url", url, "--trusted-proxies", "127.0.0.1"},
		[]string{"PROOFROOM_STRIPE_SECRET_KEY=" + secret, "PROOFROOM_STRIPE_WEBHOOK_SECRETS=whsec_bench"}); err != nil {
		return err
	}
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: r.pg.Database(), MaxConns: connections, Role: pg.AppRole, Name: "proofroom bench raw"})
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = r.cfg.Clients
	r.raw[SQLOnly] = &raw{pool: pool, stock: r.stock}
	r.raw[Raw] = &raw{pool: pool, stock: r.stock, url: url, http: &http.Client{Transport: transport, Timeout: answerTime}}
	return r.settings(ctx, dir)
}

// warm is how many orders each side makes before anything is measured: enough
// that plans and connections are made and the tables are not empty.
func (r *run) warm() int { return max(r.cfg.Orders/5, 4*r.cfg.Clients) }

func (r *run) close() {
	if r.server != nil {
		r.server.Kill()
	}
	if r.stand != nil {
		r.stand.Kill()
	}
	if w := r.raw[Raw]; w != nil {
		w.http.CloseIdleConnections()
		w.pool.Close()
	}
	if r.db != nil {
		r.db.Close()
	}
	if r.pg != nil {
		r.pg.Drop()
	}
}

func (r *run) settings(ctx context.Context, dir string) error {
	s := &r.report.Settings
	*s = Settings{
		Cores: runtime.NumCPU(), Clients: r.cfg.Clients, Connections: connections,
		Generator: "raw sockets with keep-alive",
	}
	if err := r.db.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),
		current_setting('server_version')`).Scan(&s.Fsync, &s.Commit, &s.PageWrites, &s.Postgres); err != nil {
		return err
	}
	d, err := bench.Fdatasync(dir, 200)
	s.Fdatasync = float64(d.Microseconds())
	return err
}

// measure lets the sides take turns.
func (r *run) measure(ctx context.Context) error {
	sides := []Side{SQLOnly, Raw, Ours}
	for _, side := range sides {
		if _, err := r.round(ctx, side, r.warm()); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	// Not VACUUM: of tables that were empty it would leave plans for empty tables.
	if _, err := r.db.Exec(ctx, `ANALYZE`); err != nil {
		return err
	}
	for range r.cfg.Rounds {
		for _, side := range sides {
			x, err := r.round(ctx, side, r.cfg.Orders)
			if err != nil {
				return fmt.Errorf("%s: %w", side, err)
			}
			r.report.Rounds = append(r.report.Rounds, x)
			_, _ = fmt.Fprintln(r.cfg.Progress, x)
		}
	}
	return nil
}

// round has the clients make n orders of a side, each for a guest of its own.
func (r *run) round(ctx context.Context, side Side, n int) (Round, error) {
	guests := r.guests[side][:n]
	r.guests[side] = r.guests[side][n:]
	workers, finish, err := r.workers(side, guests)
	if err != nil {
		return Round{}, err
	}
	before, err := r.usage()
	if err != nil {
		return Round{}, err
	}
	others, err := bench.WatchOthers()
	if err != nil {
		return Round{}, err
	}
	took := make([]bench.Latencies, len(workers))
	errs := make([]error, len(workers))
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for w, work := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(guests) || ctx.Err() != nil {
					return
				}
				at := time.Now()
				if err := work(ctx, i); err != nil {
					errs[w] = err
					next.Store(int64(len(guests))) // the others need not go on
					return
				}
				took[w] = append(took[w], time.Since(at))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begun)
	share, err := others.Share()
	after, uerr := r.usage()
	if err := errors.Join(append(errs, err, uerr, ctx.Err(), finish())...); err != nil {
		return Round{}, err
	}
	all := slices.Concat(took...)
	per := func(d time.Duration) float64 { return bench.Round(float64(d.Microseconds())/float64(n), 0) }
	return Round{
		Side: side, Orders: n, Seconds: bench.Round(elapsed.Seconds(), 3), PerS: bench.Round(float64(n)/elapsed.Seconds(), 0),
		P50: bench.Millis(all.Percentile(0.5)), P99: bench.Millis(all.Percentile(0.99)), Others: bench.Round(share, 3),
		Database: per(after.database - before.database), Server: per(after.server - before.server), Rest: per(after.rest - before.rest),
	}, nil
}

// used is processor time so far.
type used struct{ database, server, rest time.Duration }

func (r *run) usage() (used, error) {
	all, err := bench.Of(os.Getpid())
	database, err2 := bench.Of(r.pg.PID)
	server, err3 := bench.Of(r.server.PID)
	return used{database.CPU, server.CPU, all.CPU - database.CPU - server.CPU}, errors.Join(err, err2, err3)
}

// workers are functions that make the i-th guest's order; finish ends them.
func (r *run) workers(side Side, guests []guest) (_ []func(context.Context, int) error, finish func() error, _ error) {
	out := make([]func(context.Context, int) error, min(r.cfg.Clients, len(guests)))
	if side != Ours {
		for w := range out {
			out[w] = func(ctx context.Context, i int) error { return r.raw[side].one(ctx, guests[i]) }
		}
		return out, func() error { return nil }, nil
	}
	var conns []*client
	requests, bodies := make([][]byte, len(guests)), make([][]byte, len(guests))
	for i, g := range guests {
		requests[i] = r.stock.request(r.server.Listen, g)
	}
	for w := range out {
		c, err := dial(r.server.Listen)
		if err != nil {
			return nil, nil, err
		}
		out[w] = func(_ context.Context, i int) error {
			status, body, err := c.send(requests[i])
			if err == nil && status != http.StatusCreated {
				err = fmt.Errorf("a checkout was answered %d: %s", status, body)
			}
			bodies[i] = body
			return err
		}
		conns = append(conns, c)
	}
	return out, func() error {
		for _, c := range conns {
			c.close()
		}
		return r.heard(guests, bodies)
	}, nil
}

// heard keeps what was promised to guests.
func (r *run) heard(guests []guest, bodies [][]byte) error {
	for i, body := range bodies {
		var a struct {
			OrderID uuid.UUID `json:"order_id"`
			URL     string    `json:"url"`
		}
		if body == nil {
			continue // it failed, which is told
		}
		if err := json.Unmarshal(body, &a); err != nil || a.OrderID == uuid.Nil || a.URL == "" {
			return fmt.Errorf("an answer names no order with a page: %s", body)
		}
		if first, twice := r.answers[a.OrderID]; twice {
			return fmt.Errorf("order %s was promised to two guests, %s and %s", a.OrderID, first, guests[i].id)
		}
		r.answers[a.OrderID] = guests[i].id
		if len(r.first) < repeats {
			r.first = append(r.first, told{guests[i], body})
		}
	}
	return nil
}
