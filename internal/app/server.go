package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"proofroom/internal/app/backup"
	"proofroom/internal/base/clock"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/media"
	"proofroom/internal/core/media/pool"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
	"proofroom/internal/edge/httpapi"
	"proofroom/internal/edge/webui"
	"proofroom/internal/flow/capture"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/notify"
	"proofroom/internal/flow/people"
	"proofroom/internal/flow/refund"
	"proofroom/internal/flow/settle"
)

// drainTime is how long a stop may take.
const drainTime = 20 * time.Second

// Server is one instance.
type Server struct {
	cfg Config
	log *slog.Logger

	db       *database
	pool     *pgxpool.Pool
	keyed    *pgxpool.Pool // for what providers say, by keys
	quick    *pgxpool.Pool // for webhooks that are fulfilled at once
	registry *prometheus.Registry

	Accounts  *account.Service
	Catalog   *catalog.Service
	Media     *media.Service
	files     *media.Store
	darkroom  *pool.Pool
	jobs      *jobs.Client
	providers payment.Providers
	Settler   *settle.Settler
	Drainer   *inbox.Drainer
	fetcher   *inbox.Fetcher
	receiver  *inbox.Receiver
	refusals  *httpapi.Refusals
	Asker     *inbox.Asker
	Desk      *inbox.Desk
	Checkout  *checkout.Service
	Refunds   *refund.Service
	people    *people.Service
	mail      *notify.Sender

	limits        edge.Limits
	public, admin net.Listener
	draining      atomic.Bool
}

// New makes an instance and listens. Nothing runs before Run.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := backup.Unfinished(cfg.DataDir); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: log, registry: obs.NewRegistry()}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	// First of all, so that a port that is taken costs nothing, and one that the
	// system chose is known. Nobody is answered before Run.
	if s.public, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen for the public: %w", err)
	}
	if s.admin, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.AdminListen); err != nil {
		return fmt.Errorf("listen for the operator: %w", err)
	}
	if err := s.cfg.reachedAt(s.Addr()); err != nil {
		return err
	}
	if s.db, err = openDatabase(ctx, s.cfg, s.log); err != nil {
		return err
	}
	for _, p := range []struct {
		to  **pgxpool.Pool
		cfg pg.PoolConfig
	}{
		{&s.pool, pg.PoolConfig{Name: "proofroom serve"}},
		{&s.keyed, pg.PoolConfig{Name: "proofroom inbox", Keyed: true}},
		{&s.quick, pg.PoolConfig{Name: "proofroom webhooks", Keyed: true, LockWait: inbox.LockWait, MaxConns: 4}},
	} {
		p.cfg.URL, p.cfg.Role = s.db.url, pg.AppRole
		if *p.to, err = pg.Open(ctx, p.cfg); err != nil {
			return err
		}
	}
	if err := pg.CheckSchema(ctx, s.pool); err != nil {
		return err
	}
	if s.files, err = media.OpenStore(ctx, s.cfg.Blobs); err != nil {
		return err
	}
	if s.providers, err = s.cfg.providers(nil); err != nil {
		return err
	}
	if len(s.providers) == 0 {
		s.log.Warn("no payment provider is configured: only what is free can be ordered")
	}
	if err := s.build(ctx); err != nil {
		return err
	}
	return nil
}

// build makes the parts, lower ones first.
func (s *Server) build(ctx context.Context) error {
	workers := river.NewWorkers()
	queues := map[string]int{settle.QueueMoney: 4}

	s.darkroom = pool.New(pool.Config{Binary: s.cfg.Darkroom, Size: s.cfg.DarkroomSize, Log: s.log})
	developing := s.darkroom.Probe(ctx) == nil
	if developing {
		queues[media.Queue] = s.cfg.DarkroomSize
		if s.cfg.DarkroomSize <= 0 {
			queues[media.Queue] = runtime.GOMAXPROCS(0)
		}
	} else {
		s.log.Warn("the darkroom does not work: photographs wait for another instance", "binary", s.cfg.Darkroom)
	}
	lazy := &lateJobs{}
	s.limits = edge.Limits{DB: s.pool}

	s.Accounts = account.New(s.pool)
	s.Catalog = catalog.New(s.pool, catalog.Config{Chargeable: s.chargeable, HasOrders: hasOrders, TryCode: s.limits.Code})
	s.Media = media.New(s.pool, s.files, lazy, s.darkroom, media.Config{Mark: s.cfg.Watermark, Log: s.log})
	messages := outbox.Store{Host: s.cfg.host()}
	s.people = people.New(s.pool, messages)
	var err error
	if s.mail, err = notify.New(s.pool, s.log, messages, s.Accounts, s.cfg.mail()); err != nil {
		return err
	}
	s.Settler = settle.New(ledger.New(), messages, lazy)
	s.Drainer = inbox.NewDrainer(s.keyed, s.log, map[string]payment.Applier{payment.ApplierOrder: s.Settler})
	var atOnce *inbox.AtOnce
	if !s.cfg.StoreFirst {
		atOnce = &inbox.AtOnce{Pool: s.quick, By: map[string]payment.Fulfiller{payment.ApplierOrder: s.Settler}}
	}
	s.fetcher = inbox.NewFetcher(s.keyed, s.log, s.providers, atOnce, s.Drainer.Wake)
	s.receiver = inbox.NewReceiver(s.keyed, s.log, atOnce, func() { s.Drainer.Wake(); s.fetcher.Wake() })
	s.refusals = httpapi.NewRefusals(s.log, func(ctx context.Context, r payment.Refusal) error {
		return payment.Inbox{}.Refused(ctx, s.pool, r)
	})
	s.Asker = inbox.NewAsker(s.pool, s.providers, s.Drainer)
	s.Desk = inbox.NewDesk(s.pool, s.providers, s.fetcher, s.Drainer)
	captures := capture.New(s.pool, s.log, s.providers, s.Asker)
	s.Checkout = checkout.New(s.pool, checkout.Config{
		PublicURL: s.cfg.PublicURL, Waits: s.cfg.PollWaits, GiveUp: s.cfg.GiveUp, Capture: captures.Capture, Problem: edge.Render,
	}, s.log, s.providers, s.Asker)
	s.Refunds = refund.New(s.pool, s.log, s.Settler, lazy, settle.QueueMoney, s.providers, s.Asker)

	river.AddWorker(workers, &refund.Worker{Service: s.Refunds})
	river.AddWorker(workers, &capture.Worker{Service: captures})
	// Also where its queue is not worked: a job of a kind that is unknown here could
	// not be left to another instance.
	river.AddWorker(workers, media.NewWorker(s.Media))
	if s.jobs, err = jobs.New(jobs.Config{Pool: s.pool, Workers: workers, Queues: queues, Log: s.log}); err != nil {
		return err
	}
	lazy.Client = s.jobs
	return nil
}

// lateJobs breaks the circle that workers need services and services enqueue.
type lateJobs struct{ *jobs.Client }

// photo finds a photograph whatever its state.
func (s *Server) photo(ctx context.Context, photoID uuid.UUID) (catalog.Photo, error) {
	return catalog.Store{}.Photo(ctx, s.pool, photoID)
}

// chargeable says why a price cannot be paid here, if it cannot.
func (s *Server) chargeable(currency string, minor int64) error {
	return checkout.Chargeable(s.providers, currency, minor)
}

// orders looks for orders, for an operator.
func (s *Server) orders(ctx context.Context, f order.Filter) ([]order.Found, error) {
	return order.Store{}.Search(ctx, s.pool, f)
}

func hasOrders(ctx context.Context, conn pg.DBTX, eventID uuid.UUID) (bool, error) {
	return checkout.HasOrders(ctx, conn, eventID)
}

// Addr is where the public is served.
func (s *Server) Addr() string { return s.public.Addr().String() }

// AdminAddr is where health and metrics are served.
func (s *Server) AdminAddr() string { return s.admin.Addr().String() }

// Run serves until ctx ends or something essential fails, then drains.
func (s *Server) Run(ctx context.Context) error {
	proxies, err := obs.ParseProxies(s.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	if everybody(proxies) {
		s.log.Warn(trustsEverybody)
	}
	metrics := obs.NewHTTPMetrics()
	s.register(metrics)
	public := &http.Server{
		Handler:           obs.HTTP{Log: s.log, Metrics: metrics, Trusted: proxies}.Wrap(s.routes()),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	admin := &http.Server{Handler: s.adminRoutes(), ReadHeaderTimeout: 10 * time.Second}

	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	if err := s.jobs.Start(loops); err != nil {
		return fmt.Errorf("start the job queue: %w", err)
	}
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){s.Drainer.Run, s.fetcher.Run, s.Checkout.Watch, s.mail.Run, s.housekeep} {
		wg.Go(func() { loop(loops) })
	}
	failed := make(chan error, 2)
	serve := func(srv *http.Server, l net.Listener) {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	go serve(public, s.public)
	go serve(admin, s.admin)
	s.log.Info("serving", "url", s.cfg.PublicURL, "listen", s.Addr(), "admin", s.AdminAddr())

	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-s.db.gone():
		err = fmt.Errorf("the private PostgreSQL ended: %w", s.db.private.Err())
	}
	s.draining.Store(true)
	s.log.Info("draining", "longest", drainTime)
	dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err = errors.Join(err, public.Shutdown(dctx))
	s.receiver.Close()
	if ferr := s.refusals.Flush(dctx); ferr != nil {
		s.log.Warn("refused webhooks were not counted", "error", ferr)
	}
	// Developing ends with the photographs in hand; what takes too long goes back
	// to the queue while that can still be reached.
	rctx, giveBack := context.WithTimeout(dctx, drainTime*3/4)
	defer giveBack()
	wg.Go(func() { s.darkroom.Drain(rctx) })
	err = errors.Join(err, s.jobs.Stop(dctx))
	stopLoops()
	wg.Wait()
	err = errors.Join(err, admin.Shutdown(dctx))
	s.Close()
	return err
}

// Close lets go of everything. It is part of Run's end, and of a failed New.
func (s *Server) Close() {
	if s.darkroom != nil {
		s.darkroom.Close()
	}
	for _, p := range []*pgxpool.Pool{s.quick, s.keyed, s.pool} {
		if p != nil {
			p.Close()
		}
	}
	if s.files != nil {
		_ = s.files.Close()
	}
	for _, l := range []net.Listener{s.public, s.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.db != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := s.db.Close(ctx); err != nil {
			s.log.Error("the private PostgreSQL did not stop well", "error", err)
		}
		s.db = nil
	}
}

// routes is everything that the public reaches.
func (s *Server) routes() http.Handler {
	cookies := edge.Cookies{Plain: s.cfg.plain()}
	api := httpapi.New(httpapi.Deps{
		Log: s.log, Cookies: cookies, Origins: []string{s.cfg.PublicURL}, CommissionBps: s.cfg.CommissionBps, Limits: s.limits,
		Accounts: s.Accounts, People: s.people, Catalog: s.Catalog, Media: s.Media, Checkout: s.Checkout, Refunds: s.Refunds,
		Downloads: httpapi.Downloads{Photo: s.photo, Grants: entitlement.New(s.pool), Media: s.Media},
		Operating: httpapi.Operating{Desk: s.Desk, Orders: s.orders},
	})
	hooks := httpapi.Webhooks(httpapi.WebhookDeps{
		Log: s.log, Clock: clock.System(), Providers: s.providers, Receiver: s.receiver, Refusals: s.refusals,
	})
	pages := webui.New(webui.Deps{
		Log: s.log, Cookies: cookies, Origins: []string{s.cfg.PublicURL}, PayOrigins: s.cfg.payOrigins(), Limits: s.limits,
		Pool: s.pool, Accounts: s.Accounts, People: s.people, Catalog: s.Catalog, Pictures: s.Media, Checkout: s.Checkout,
		Original:  func(photoID uuid.UUID) string { return httpapi.Prefix + "/photos/" + photoID.String() + "/original" },
		Operating: webui.Operating{Desk: s.Desk, Orders: s.orders, Refunds: s.Refunds},
	})
	mux := http.NewServeMux()
	mux.Handle(httpapi.Prefix+"/", api)
	mux.Handle("/webhooks/", hooks)
	mux.Handle("/", pages)
	return edge.Answering(bodyInTime(mux))
}

// bodyPatience is how long the body of a request may take to arrive. Uploads
// set their own, which begins anew with each piece.
const bodyPatience = time.Minute

// bodyInTime hangs up on requests whose body does not arrive. It leaves those
// without one alone: a deadline would end a long download as well.
func bodyInTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// Not every writer has deadlines; then the connection has none.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		}
		next.ServeHTTP(w, r)
	})
}
