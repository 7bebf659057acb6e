package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/proof/twin"
)

// What every world's providers prove themselves with.
const (
	WebhookSecret = "whsec_verify"     // Stripe's signing secret
	webhookID     = "WH-VERIFY-1"      // PayPal's id of the webhook
	secretHash    = "verify-hash-4711" // Flutterwave's secret hash
)

const (
	account1  = "main"               // our name of each provider's account
	publicURL = "http://localhost:1" // nobody follows it
)

// Secret is what signs a provider's webhooks.
func Secret(provider string) string {
	return map[string]string{twin.Stripe: WebhookSecret, twin.PayPal: webhookID, twin.Flutterwave: secretHash}[provider]
}

// World is what one scenario breaks: a database of its own, a stand-in for the
// payment provider, and processes of the server.
type World struct {
	DB        *pgxpool.Pool // as the database's owner
	Twin      *twin.Control
	Instances []*Instance // the ones that run from the start
	Operator  string      // an operator's token
	Owner     string      // the token of the event's creator
	Event     uuid.UUID
	Photos    []uuid.UUID
	Rand      *rand.Rand
	// Rounds is how often a scenario that repeats itself does so.
	Rounds int
	// Focus, where it is set, is the one part of the scenario that is wanted.
	Focus string
	// Patience bounds every wait for something that must happen.
	Patience time.Duration

	cluster   *cluster
	own       *cluster // the one that is only this world's
	disk      *Disk    // the small one, if it has one
	darkroom  string
	name, url string
	dir       string
	binary    string
	guardsOff []string
	twinURL   string
	mailHost  string
	mailPort  int
	stand     *twin.Twin
	server    *httptest.Server
	front     *front
	http      *http.Client
	accounts  *account.Service
	pressure  pressure
	clients   clientLog

	mu        sync.Mutex
	processes []*Instance
	barriers  int
	offset    time.Duration
	failures  []string
	refunded  map[string]bool // refunds that the scenario itself began at the provider
	unproven  map[string]bool // bodies of forgeries that no signature tells from genuine ones
	seen      []Finding       // what clients saw that must not be
	original  [32]byte        // hash of the originals
	notes     []string
	missing   []string
	claims    map[uuid.UUID]uuid.UUID // accounts that take over what a guest bought
	raced     map[uuid.UUID]bool
}

// worldConfig says which world to make.
type worldConfig struct {
	cluster   *cluster
	database  Database
	binary    string
	darkroom  string
	instances int
	seed      uint64
	id        string // of the scenario
	rounds    int
	focus     string
	patience  time.Duration
	removed   []string // guards taken away
}

func newWorld(ctx context.Context, cfg worldConfig) (_ *World, err error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(cfg.id))
	w := &World{
		Rand: rand.New(rand.NewPCG(cfg.seed, h.Sum64())), Rounds: cfg.rounds, Focus: cfg.focus, Patience: cfg.patience,
		cluster: cfg.cluster, binary: cfg.binary, darkroom: cfg.darkroom, refunded: map[string]bool{}, unproven: map[string]bool{},
	}
	defer func() {
		if err != nil {
			w.close(false)
		}
	}()
	if w.dir, err = os.MkdirTemp(fastest(), "prf-verify-"); err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	if err = w.furnish(ctx, cfg.database); err != nil {
		return nil, err
	}
	stock := w.cluster.stock
	w.Operator, w.Owner, w.Event, w.Photos = stock.operator, stock.creator, stock.event, stock.photos
	if w.name, w.url, err = w.cluster.clone(ctx); err != nil {
		return nil, err
	}
	if w.DB, err = pg.Open(ctx, pg.PoolConfig{URL: w.url, MaxConns: 8, Name: "proofroom verify"}); err != nil {
		return nil, err
	}
	if w.guardsOff, err = removeGuards(ctx, w.DB, cfg.removed); err != nil {
		return nil, err
	}
	w.accounts = account.New(w.DB)
	w.stand = twin.New(twin.Config{
		Seed: cfg.seed, RetryUnit: 25 * time.Millisecond, Hold: 200 * time.Millisecond, Delay: 200 * time.Millisecond,
		MaxAttempts: 64, DeliveryTimeout: 5 * time.Second, Workers: 64,
	})
	w.server = httptest.NewServer(w.stand.Handler())
	w.twinURL = w.server.URL
	w.Twin = &twin.Control{Base: w.twinURL}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 128
	w.http = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	if w.front, err = newFront(ctx); err != nil {
		return nil, err
	}
	var endpoints []twin.Endpoint
	for _, p := range Providers {
		endpoints = append(endpoints, twin.Endpoint{Provider: p, URL: w.front.url() + webhookPath(p), Secret: Secret(p)})
	}
	if err := w.Twin.SetEndpoints(ctx, endpoints...); err != nil {
		return nil, err
	}
	if err := w.keepCA(ctx); err != nil {
		return nil, err
	}
	if w.mailHost, w.mailPort, err = w.Twin.MailServer(ctx); err != nil {
		return nil, err
	}
	for n := range cfg.instances {
		i, err := w.Start(ctx, string(rune('A'+n)))
		if err != nil {
			return nil, err
		}
		w.Instances = append(w.Instances, i)
	}
	w.Route(w.Instances...)
	return w, nil
}

// Providers are those that every world can pay with.
var Providers = []string{twin.Stripe, twin.PayPal, twin.Flutterwave}

func webhookPath(provider string) string { return "/webhooks/" + provider + "/" + account1 }

// keepCA writes down the root of PayPal's certificates for the instances.
func (w *World) keepCA(ctx context.Context) error {
	pem, err := w.Twin.CA(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(w.caFile(), []byte(pem), 0o600)
}

func (w *World) caFile() string { return filepath.Join(w.dir, "paypal-ca.pem") }

// Route sends the provider's webhooks to the first of these instances that
// takes them.
func (w *World) Route(to ...*Instance) { w.front.route(to...) }

// Webhooks is an instance's own address for a provider's webhooks.
func (i *Instance) Webhooks(provider string) string { return i.URL + webhookPath(provider) }

// Count notes pressure.
func (w *World) Count(what string, n int) { w.pressure.add(what, n) }

// Span notes that an operation on a thing was under way.
func (w *World) Span(thing string, from, to time.Time) { w.pressure.span(thing, from, to) }

// Check notes a failure of the scenario unless ok, and lets it go on.
func (w *World) Check(ok bool, format string, args ...any) bool {
	if !ok {
		w.mu.Lock()
		w.failures = append(w.failures, fmt.Sprintf(format, args...))
		w.mu.Unlock()
	}
	return ok
}

// Darkroom reports whether instances can develop photographs.
func (w *World) Darkroom() bool { return w.darkroom != "" }

// Note keeps what was measured, for the report.
func (w *World) Note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// Missing notes pressure that could not be brought about: without it the scenario
// proves nothing.
func (w *World) Missing(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missing = append(w.missing, fmt.Sprintf(format, args...))
}

// Advance moves the time of the database and of the provider ahead, as both
// would see it if nobody did anything for so long. The processes' own clocks,
// which date signatures, stay.
func (w *World) Advance(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	w.offset += d
	offset := w.offset
	w.mu.Unlock()
	_, err := w.DB.Exec(ctx, fmt.Sprintf(`CREATE OR REPLACE FUNCTION app_now() RETURNS timestamptz
		LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT clock_timestamp() + interval '%d milliseconds' $$`, offset.Milliseconds()))
	if err != nil {
		return fmt.Errorf("move the database's time: %w", err)
	}
	_, err = w.Twin.SetClock(ctx, offset, 0)
	return err
}

// Sign has the providers date their signatures so far ahead of the time, or
// behind it, until Advance or Sign is called again.
func (w *World) Sign(ctx context.Context, ahead time.Duration) error {
	w.mu.Lock()
	offset := w.offset
	w.mu.Unlock()
	_, err := w.Twin.SetClock(ctx, offset, ahead)
	return err
}

// Creator makes a creator and returns the token.
func (w *World) Creator(ctx context.Context, email string) (string, error) {
	token, _, err := w.accounts.Provision(ctx, email, "", "verify", []account.Role{account.Creator})
	return token, err
}

// AdvanceJobs makes jobs older: the queue reads its times from clocks that
// Advance does not move. Jobs that hang are found then, by whoever leads, and
// jobs that were put off are due.
func (w *World) AdvanceJobs(ctx context.Context, d time.Duration) error {
	_, err := w.DB.Exec(ctx, `UPDATE river_job
		SET attempted_at = attempted_at - make_interval(secs => $1), scheduled_at = scheduled_at - make_interval(secs => $1)
		WHERE finalized_at IS NULL`, d.Seconds())
	return err
}

// EndLeaders lets the lease of the job queue's leader run out, for one that died.
func (w *World) EndLeaders(ctx context.Context) error {
	_, err := w.DB.Exec(ctx, `UPDATE river_leader SET expires_at = now() - interval '1 second'`)
	return err
}

// Dashboard gives money back from the provider's own side.
func (w *World) Dashboard(ctx context.Context, r twin.RefundOrder) (twin.RefundView, error) {
	v, err := w.Twin.RefundFromDashboard(ctx, r)
	if err == nil {
		w.mu.Lock()
		w.refunded[v.ID] = true
		w.mu.Unlock()
	}
	return v, err
}

// disturbed reports whether any process was killed or stopped.
func (w *World) disturbed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.processes, (*Instance).disturbed)
}

// Unproven notes the body of a forgery that carries all that its provider's
// signature covers: it is stored, and must not be believed.
func (w *World) Unproven(body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unproven[body] = true
}

func (w *World) accepted(body []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unproven[string(body)]
}

// Until polls a condition with a bound and says what did not come about.
func (w *World) Until(ctx context.Context, what string, ok func() (bool, error)) error {
	return poll(ctx, w.Patience, what, ok)
}

func poll(ctx context.Context, longest time.Duration, what string, ok func() (bool, error)) error {
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("%s: not within %s", what, longest)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Int runs a query that returns one number.
func (w *World) Int(ctx context.Context, sql string, args ...any) (int, error) {
	var n int
	err := w.DB.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

// State is an order's state.
func (w *World) State(ctx context.Context, orderID uuid.UUID) (string, error) {
	var s string
	err := w.DB.QueryRow(ctx, `SELECT state FROM orders WHERE id = $1`, orderID).Scan(&s)
	return s, err
}

// Reaches waits until an order is in a state.
func (w *World) Reaches(ctx context.Context, orderID uuid.UUID, state string) error {
	last := ""
	err := w.Until(ctx, "order "+orderID.String()+" is "+state, func() (bool, error) {
		var err error
		last, err = w.State(ctx, orderID)
		return last == state, err
	})
	if err != nil && last != "" {
		return fmt.Errorf("%w (it is %s)", err, last)
	}
	return err
}

// close ends everything. keep leaves the folder with the logs.
func (w *World) close(keep bool) {
	w.mu.Lock()
	processes := w.processes
	w.mu.Unlock()
	for _, i := range processes {
		i.Kill()
	}
	if w.front != nil {
		w.front.close()
	}
	if w.server != nil {
		w.stand.Close()
		w.server.CloseClientConnections()
		w.server.Close()
	}
	if w.http != nil {
		w.http.CloseIdleConnections()
	}
	if w.DB != nil {
		w.DB.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	switch {
	case w.own != nil:
		w.own.close()
	case w.name != "":
		_ = w.cluster.drop(ctx, w.name)
	}
	w.disk.close()
	if !keep {
		_ = os.RemoveAll(w.dir)
	}
}

// quiesce waits until nothing is under way: no webhook, no inbox row, no job,
// no order that still has to be swept.
func (w *World) quiesce(ctx context.Context) error {
	var left string
	err := poll(ctx, w.Patience, "everything is terminal", func() (bool, error) {
		state, err := w.Twin.State(ctx)
		if err != nil {
			return false, err
		}
		var rows, jobs, created int
		err = w.DB.QueryRow(ctx, `SELECT
			(SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored', 'dead')),
			(SELECT count(*) FROM river_job WHERE finalized_at IS NULL),
			(SELECT count(*) FROM orders WHERE state = 'created')`).Scan(&rows, &jobs, &created)
		left = fmt.Sprintf("%d webhooks under way, %d inbox rows, %d jobs, %d orders without a page", state.Pending, rows, jobs, created)
		return state.Pending+rows+jobs+created == 0, err
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w (left: %s)", err, left)
	}
	return err
}
