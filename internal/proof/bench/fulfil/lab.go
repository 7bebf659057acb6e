package fulfil

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/load"
)

//go:embed schema.sql
var schemaSQL string

// lab is one database with its server and the providers' stand-in.
type lab struct {
	binary string
	dir    string
	pg     *bench.Postgres
	url    string        // of the database, as its owner
	db     *pgxpool.Pool // the same
	stand  *bench.Process
	base   string // of the stand-in
	server *bench.Server
	env    []string // of the server

	batches  int
	headers  []byte // of an event, as they are kept
	body     string // of an event, with the gaps that bench.orders fills
	clearing int64  // ledger accounts
	revenue  int64
}

// openLab starts a database with the shop in it, and the stand-in. No server runs
// yet.
func openLab(ctx context.Context, binary string, env []string, settings map[string]string) (_ *lab, err error) {
	l := &lab{binary: binary, env: env}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close(false))
		}
	}()
	if l.dir, err = bench.Scratch("fulfil"); err != nil {
		return nil, err
	}
	if l.pg, err = bench.StartPostgres(ctx, l.dir, settings); err != nil {
		return nil, err
	}
	l.url = l.pg.Database()
	if err := l.furnish(ctx); err != nil {
		return nil, err
	}
	if err := load.MakeSeal(l.dir); err != nil {
		return nil, fmt.Errorf("make keys for PayPal's webhooks: %w", err)
	}
	if l.stand, err = bench.Start(ctx, bench.Command{
		Binary: binary, Name: "stand-in", Dir: l.dir, Args: []string{"bench", "stand-in", l.dir}, Ready: "stand-in",
	}); err != nil {
		return nil, err
	}
	l.base, _ = l.stand.Said["url"].(string)
	return l, nil
}

// furnish connects to the database and puts the shop into it.
func (l *lab) furnish(ctx context.Context) (err error) {
	if l.db, err = openPool(ctx, l.url, "", 4); err != nil {
		return err
	}
	if _, err := l.db.Exec(ctx, schemaSQL); err != nil {
		return fmt.Errorf("make what the measurement needs: %w", err)
	}
	if _, err := l.db.Exec(ctx, `SELECT bench.shop($1)`, load.Creators); err != nil {
		return fmt.Errorf("fill the shop: %w", err)
	}
	l.headers, l.body = load.Kept(time.Now())
	return l.db.QueryRow(ctx, `SELECT (SELECT id FROM ledger_accounts WHERE kind = 'clearing' AND provider = 'stripe'),
		(SELECT id FROM ledger_accounts WHERE kind = 'revenue')`).Scan(&l.clearing, &l.revenue)
}

// hotSettings are those of the hot path's connections.
var hotSettings = map[string]string{
	"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "plan_cache_mode": "force_generic_plan", "jit": "off",
}

// openPool connects without the bounds on time that a server sets itself: to seed
// and to count takes long. With a role it is a connection of the hot path.
func openPool(ctx context.Context, url, role string, size int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = size
	p := cfg.ConnConfig.RuntimeParams
	p["application_name"], p["timezone"] = "proofroom bench", "UTC"
	if role != "" {
		p["role"] = role
		maps.Copy(p, hotSettings)
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// storeFirst has the server answer when an event is stored, and fulfil it after.
const storeFirst = "PROOFROOM_STORE_FIRST=true"

// serve starts the server, as role proofroom_app, configured for all providers and
// with further settings of its environment.
func (l *lab) serve(ctx context.Context, env ...string) (err error) {
	l.server, err = bench.Serve(ctx, l.binary, l.dir, l.url,
		[]string{"--stripe-url", l.base, "--paypal-url", l.base + "/paypal", "--paypal-root-ca", load.RootCA(l.dir), "--flutterwave-url", l.base + "/flutterwave"},
		append([]string{
			"PROOFROOM_STRIPE_SECRET_KEY=" + load.StripeKey, "PROOFROOM_STRIPE_WEBHOOK_SECRETS=" + load.StripeSecret,
			"PROOFROOM_PAYPAL_CLIENT_ID=" + load.PayPalClient, "PROOFROOM_PAYPAL_CLIENT_SECRET=" + load.PayPalSecret,
			"PROOFROOM_PAYPAL_WEBHOOK_ID=" + load.PayPalWebhook,
			"PROOFROOM_FLUTTERWAVE_SECRET_KEY=" + load.FlutterwaveKey, "PROOFROOM_FLUTTERWAVE_SECRET_HASHES=" + load.FlutterwaveSecret,
		}, append(env, l.env...)...))
	return err
}

// stopServer stops the server in order, if it runs.
func (l *lab) stopServer() error {
	if l.server == nil {
		return nil
	}
	s := l.server
	l.server = nil
	return s.Stop()
}

// close ends everything; with keep the folder stays.
func (l *lab) close(keep bool) error {
	if l.server != nil {
		l.server.Kill()
	}
	if l.stand != nil {
		l.stand.Kill()
	}
	if l.db != nil {
		l.db.Close()
	}
	if l.pg != nil {
		l.pg.Drop()
	}
	return remove(l.dir, keep)
}

// set names the next batch of orders.
func (l *lab) set(count int, mixed, hot bool) load.Set {
	l.batches++
	return load.Set{Batch: l.batches, Count: count, Mixed: mixed, Hot: hot}
}

// seedChunk is how many orders one statement makes: enough to be fast, few enough
// to be shared by two connections.
const seedChunk = 20_000

// seed makes the orders of a set; with done they are paid already.
func (l *lab) seed(ctx context.Context, s load.Set, done bool, progress func(made int)) error {
	type span struct{ first, last int }
	spans := make(chan span)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			for c := range spans {
				_, err := l.db.Exec(ctx, `SELECT bench.orders($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
					s.Batch, c.first, c.last, load.Creators, s.Mixed, s.Hot, done, l.headers, l.body)
				if err != nil {
					errs[i] = fmt.Errorf("make orders: %w", err)
					cancel()
					return
				}
			}
		})
	}
	made := 0
feed:
	for first := s.First; first < s.First+s.Count; first += seedChunk {
		select {
		case spans <- span{first, min(first+seedChunk, s.First+s.Count) - 1}:
			progress(made)
			made += seedChunk
		case <-ctx.Done():
			break feed
		}
	}
	close(spans)
	wg.Wait()
	return errors.Join(errors.Join(errs...), context.Cause(ctx))
}

// finished makes orders that were paid long ago, with all that came of them.
func (l *lab) finished(ctx context.Context, count int, tell func(string, ...any)) error {
	s := l.set(count, false, false)
	told := 0
	err := l.seed(ctx, s, true, func(made int) {
		if made >= told+100_000 {
			told = made
			tell("%d of %d", made, count)
		}
	})
	if err != nil {
		return err
	}
	if _, err := l.db.Exec(ctx, `SELECT bench.settle_wallets()`); err != nil {
		return fmt.Errorf("add up the wallets: %w", err)
	}
	return nil
}

// settle ends the seeding: statistics of what is there, and a checkpoint, so that
// none falls between rounds. Tables that are still empty are left alone: to
// analyze them would take the planner's guess away.
func (l *lab) settle(ctx context.Context) error {
	rows, err := l.db.Query(ctx, `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`)
	if err != nil {
		return err
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		tables = append(tables, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var filled []string
	for _, t := range tables {
		var some bool
		if err := l.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+t+`)`).Scan(&some); err != nil {
			return err
		}
		if some {
			filled = append(filled, t)
		}
	}
	if _, err := l.db.Exec(ctx, `ANALYZE `+strings.Join(filled, ", ")); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	_, err = l.db.Exec(ctx, `CHECKPOINT`)
	return err
}

// shown reads settings as the server reports them.
func (l *lab) shown(ctx context.Context, names ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, n := range names {
		var v string
		if err := l.db.QueryRow(ctx, `SELECT current_setting($1)`, n).Scan(&v); err != nil {
			return nil, err
		}
		out[n] = v
	}
	return out, nil
}
