package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
)

// cli is the command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Serve this installation."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database to this program's schema."`
	Import     importCmd     `cmd:"" help:"Put a folder of photographs into an event."`
	Twin       twinCmd       `cmd:"" help:"Run the stand-in for Stripe, PayPal and Flutterwave."`
	Invariants invariantsCmd `cmd:"" help:"Examine the database: does everything that was promised hold?"`
	Doctor     doctorCmd     `cmd:"" help:"Look for what would keep this installation from working: keys, webhooks, clock, database, darkroom."`
	Backup     backupCmd     `cmd:"" help:"Copy the database and the photographs, and prove the copy."`
	Restore    restoreCmd    `cmd:"" help:"Make an installation from a backup, in a fresh folder, and prove it."`
	Verify     verifyCmd     `cmd:"" help:"Prove on this machine that the promises hold: break everything, then judge what is left."`
	Bench      benchCmd      `cmd:"" help:"Measure on this machine how fast it is, and against what."`
	Admin      adminCmd      `cmd:"" help:"Accounts and tokens, on the server's own machine."`
	Demo       demoCmd       `cmd:"" help:"Show everything at work: a database, a stand-in for the payment provider, events and buyers."`

	DemoRecount demoRecountCmd `cmd:"" hidden:"" help:"Count again what a demonstration did."`
}

// streams are where a command writes.
type streams struct {
	ctx      context.Context //nolint:containedctx // kong binds values, and this is the process's own
	out, err io.Writer
}

// ErrReported says that a command failed and has said why already.
var ErrReported = errors.New("reported")

// Main runs the command that args name and returns the process's exit code: 0
// only for success.
func Main(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, letGo := withLifeline(ctx)
	defer letGo()
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("proofroom"),
		kong.Description("A self-hosted marketplace for event photographs."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
	)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "proofroom:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "proofroom: %v\nTry: proofroom --help\n", err)
		return 2
	}
	err = k.Run(&streams{ctx: ctx, out: stdout, err: stderr})
	if err == nil {
		return 0
	}
	if !errors.Is(err, ErrReported) {
		_, _ = fmt.Fprintln(stderr, "proofroom:", err)
	}
	return 1
}

func logger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return obs.Log(w, l)
}

type serveCmd struct{ Config }

// Run serves until a signal comes.
func (c *serveCmd) Run(s *streams) error {
	log := logger(s.err, c.LogLevel)
	srv, err := New(s.ctx, c.Config, log)
	if err != nil {
		return err
	}
	if err := srv.announceSetup(s.ctx, s.out); err != nil {
		srv.Close()
		return err
	}
	return srv.Run(s.ctx)
}

// announceSetup prints the one-time link of the first operator while there is none.
func (s *Server) announceSetup(ctx context.Context, w io.Writer) error {
	secret, err := s.Accounts.EnsureSetupLink(ctx)
	if err != nil || secret == "" {
		return err
	}
	_, err = fmt.Fprintf(w, "There is no operator yet. Open this link once, within a day, to become the first:\n  %s/setup/%s\n", s.cfg.PublicURL, secret)
	return err
}

type migrateCmd struct {
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" required:"" placeholder:"URL" help:"The database, as its owner."`
}

// Run migrates.
func (c *migrateCmd) Run(s *streams) error {
	if err := pg.Migrate(s.ctx, c.DatabaseURL); err != nil {
		return err
	}
	newest, err := pg.Newest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "The schema is at %d.\n", newest)
	return err
}

type adminCmd struct {
	Token adminTokenCmd `cmd:"" help:"Make an account and an API token for it, or only the token if the account exists."`
}

type adminTokenCmd struct {
	DatabaseURL string   `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"The database. Without it, the private PostgreSQL that a running serve has in the data folder."`
	DataDir     string   `name:"data-dir" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"The data folder, as for serve."`
	Email       string   `arg:"" help:"The account's e-mail address."`
	Name        string   `name:"name" default:"admin" help:"What the token is for."`
	Roles       []string `name:"roles" default:"attendee" enum:"attendee,creator,operator" help:"Roles of a new account."`
	Password    string   `name:"password" env:"PROOFROOM_PASSWORD" help:"Password of a new account; without it a long random one that nobody knows."`
}

// Run makes the token and prints it as JSON.
func (c *adminTokenCmd) Run(s *streams) error {
	pool, err := openRunning(s.ctx, c.DatabaseURL, c.DataDir, "proofroom admin")
	if err != nil {
		return err
	}
	defer pool.Close()
	roles := make([]account.Role, len(c.Roles))
	for i, r := range c.Roles {
		roles[i] = account.Role(r)
	}
	secret, accountID, err := account.New(pool).Provision(s.ctx, c.Email, c.Password, c.Name, roles)
	if err != nil {
		return err
	}
	return json.NewEncoder(s.out).Encode(map[string]string{"account_id": accountID.String(), "token": secret})
}
