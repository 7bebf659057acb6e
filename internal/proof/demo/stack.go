package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/proof/twin"
)

const (
	startTime = 60 * time.Second
	pollEvery = 100 * time.Millisecond

	accountName = "main" // the server's name of each provider's account
	// What the stand-in's webhooks are proven with.
	webhookSecret = "whsec_demo"     // Stripe's signing secret
	webhookID     = "WH-DEMO-1"      // PayPal's id of the webhook
	secretHash    = "demo-hash-only" // Flutterwave's secret hash
)

// Options say what to run, where, and where to tell about it.
type Options struct {
	// Self is the program's own binary. darkroom lies beside it.
	Self string
	// Dir is the data folder; it is made if there is none.
	Dir string
	// Out gets results, Err progress.
	Out, Err io.Writer
	// JSON makes the result one line of JSON.
	JSON bool
}

// Stack is everything running.
type Stack struct {
	Dir      string
	Database string // the superuser's URL
	URL      string // of the shop
	Admin    string // of health and metrics
	Twin     *twin.Control

	pool   *pgxpool.Pool // as superuser, for counting
	pg     *embedded.Server
	twin   *child
	server *child
}

// ports are where the parts listen.
type ports struct{ server, admin, twin string }

// known are the ports that people expect, as far as they are free.
func known() ports { return ports{orFree("8080"), orFree("8081"), orFree("8090")} }

// free are ports that the system chooses.
func free() ports { return ports{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"} }

// orFree is an address with the port, or with one that the system chooses where
// that is taken.
func orFree(port string) string {
	l, err := net.Listen("tcp", "127.0.0.1:"+port) //nolint:noctx // it does not wait
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// begin starts everything on a data folder. extra are further arguments of the
// server.
func begin(ctx context.Context, o Options, at ports, extra ...string) (_ *Stack, err error) {
	if err := prepare(o); err != nil {
		return nil, err
	}
	s := &Stack{Dir: o.Dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()

	if s.pg, err = embedded.Start(ctx, embedded.Config{DataDir: filepath.Join(o.Dir, "postgres"), Log: obs.Log(o.Err, slog.LevelError)}); err != nil {
		switch {
		case errors.Is(err, embedded.ErrInUse):
			err = fmt.Errorf("a demonstration runs in %s already: look at that one, stop it, or choose another --data-dir: %w", o.Dir, err)
		case errors.Is(err, embedded.ErrNotInstalled):
			err = fmt.Errorf("run make setup, which installs what is missing: %w", err)
		}
		return nil, err
	}
	s.Database = s.pg.URL("postgres")
	if err := pg.Migrate(ctx, s.Database); err != nil {
		return nil, err
	}
	if s.pool, err = pg.Open(ctx, pg.PoolConfig{URL: s.Database, Name: "proofroom demo", MaxConns: 4}); err != nil {
		return nil, err
	}
	if err := s.startTwin(ctx, o, at); err != nil {
		return nil, err
	}
	if err := s.startServer(ctx, o, at, extra); err != nil {
		return nil, err
	}
	return s, s.ready(ctx)
}

// prepare makes the folder and finds out what is missing before anything runs.
func prepare(o Options) error {
	darkroom := filepath.Join(filepath.Dir(o.Self), "darkroom")
	if _, err := os.Stat(darkroom); err != nil {
		return fmt.Errorf("%s is missing, so no photograph could be developed: run make build", darkroom)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o755); err != nil {
		return fmt.Errorf("the data folder cannot be made: %w; choose another one with --data-dir", err)
	}
	return nil
}

func (s *Stack) logs() string { return filepath.Join(s.Dir, "logs") }

// rootCA is the file with the root of the certificates that the stand-in for
// PayPal signs with.
func (s *Stack) rootCA() string { return filepath.Join(s.Dir, "paypal-root-ca.pem") }

func (s *Stack) startTwin(ctx context.Context, o Options, at ports) (err error) {
	s.twin, err = start(o.Self, s.logs(), "twin", "twin is ready",
		"twin", "--listen", at.twin, "--retry-unit", "100ms", "--ca-file", s.rootCA())
	if err != nil {
		return err
	}
	said, err := s.twin.wait(ctx)
	if err != nil {
		return err
	}
	s.Twin = &twin.Control{Base: text(said["url"]), HTTP: &http.Client{Timeout: 20 * time.Second}}
	return nil
}

func (s *Stack) startServer(ctx context.Context, o Options, at ports, extra []string) (err error) {
	mailHost, mailPort, err := s.Twin.MailServer(ctx)
	if err != nil {
		return err
	}
	args := append([]string{
		"serve", "--database-url", s.Database, "--data-dir", o.Dir, "--listen", at.server, "--admin-listen", at.admin,
		"--stripe-secret-key", twin.DefaultSecretKey, "--stripe-webhook-secrets", webhookSecret, "--stripe-url", s.Twin.Base,
		"--paypal-client-id", twin.DefaultPayPalClient, "--paypal-client-secret", twin.DefaultPayPalSecret,
		"--paypal-webhook-id", webhookID, "--paypal-url", s.Twin.Base + "/paypal", "--paypal-root-ca", s.rootCA(),
		"--flutterwave-secret-key", twin.DefaultFlutterwaveKey, "--flutterwave-secret-hashes", secretHash,
		"--flutterwave-url", s.Twin.Base + "/flutterwave",
		"--smtp-host", mailHost, "--smtp-port", strconv.Itoa(mailPort), "--smtp-tls", "none", "--mail-from", "Proofroom <mail@localhost>",
	}, extra...)
	if s.server, err = start(o.Self, s.logs(), "serve", "serving", args...); err != nil {
		return err
	}
	said, err := s.server.wait(ctx)
	if err != nil {
		return err
	}
	s.URL, s.Admin = "http://"+text(said["listen"]), "http://"+text(said["admin"])
	var endpoints []twin.Endpoint
	for p, secret := range map[string]string{twin.Stripe: webhookSecret, twin.PayPal: webhookID, twin.Flutterwave: secretHash} {
		endpoints = append(endpoints, twin.Endpoint{Provider: p, URL: s.URL + "/webhooks/" + p + "/" + accountName, Secret: secret})
	}
	return s.Twin.SetEndpoints(ctx, endpoints...)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// ready waits until the server says that it is, and refuses one that cannot
// develop photographs.
func (s *Stack) ready(ctx context.Context) error {
	admin := &api{base: s.Admin}
	return until(ctx, "the server is ready", func(ctx context.Context) (bool, error) {
		a, err := admin.do(ctx, http.MethodGet, "/readyz", call{})
		if err != nil || a.status != http.StatusOK {
			return false, s.gone()
		}
		parts := map[string]string{}
		if err := a.into(&parts); err != nil {
			return false, err
		}
		if parts["darkroom"] != "ok" {
			return false, fmt.Errorf("photographs cannot be developed: %s: run make setup build", parts["darkroom"])
		}
		return true, nil
	})
}

// until asks until the answer is yes, an error, or ctx ends.
func until(ctx context.Context, what string, ok func(context.Context) (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		yes, err := ok(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case yes || err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// gone says which part has ended by itself; nil while all run.
func (s *Stack) gone() error {
	select {
	case <-s.server.ended:
		return s.server.why()
	case <-s.twin.ended:
		return s.twin.why()
	case <-s.pg.Done():
		return fmt.Errorf("the private PostgreSQL has ended: %w (its log: %s)", s.pg.Err(), s.pg.LogFile())
	default:
		return nil
	}
}

// Wait returns nil when ctx ends, or which part ended by itself before.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.server.ended:
	case <-s.twin.ended:
	case <-s.pg.Done():
	}
	return s.gone()
}

// Stop ends everything in order: first whoever uses, then what is used.
func (s *Stack) Stop() error {
	errs := []error{s.server.stop(), s.twin.stop()}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), childStop)
		defer cancel()
		errs = append(errs, s.pg.Stop(ctx))
	}
	return errors.Join(errs...)
}
