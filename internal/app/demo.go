package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/proof/demo"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

type demoCmd struct {
	DataDir string `name:"data-dir" placeholder:"DIR" help:"Where the demonstration keeps its data, and goes on when it is run again. Default: demo in the data folder; with --once a folder that is deleted afterwards."`
	Once    bool   `name:"once" help:"Drive some two hundred orders through a fresh installation and the stand-ins of three providers that misbehave, count what came of it, and fail unless everything adds up."`
	JSON    bool   `name:"json" help:"Print the result as one line of JSON."`
}

// Run shows the program at work, or proves that it works.
func (c *demoCmd) Run(s *streams) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	o := demo.Options{Self: self, Dir: c.DataDir, Out: s.out, Err: s.err, JSON: c.JSON}
	if c.Once {
		return c.once(s, o)
	}
	if o.Dir == "" {
		data := embedded.DefaultDataDir()
		if data == "" {
			return errors.New("there is no home folder to keep data in: set --data-dir")
		}
		o.Dir = filepath.Join(data, "demo")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	return demo.Show(s.ctx, o)
}

func (c *demoCmd) once(s *streams, o demo.Options) (err error) {
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "proofroom-demo-"); err != nil {
			return err
		}
		// As root, the private PostgreSQL runs as another user, who must pass.
		if err := os.Chmod(o.Dir, 0o711); err != nil { //nolint:gosec // what lies in it is closed to others by itself
			return err
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(o.Dir)
				return
			}
			_, _ = fmt.Fprintf(s.err, "What it left, with the logs, is in %s.\n", o.Dir)
		}()
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	err = demo.Once(s.ctx, o, invariants)
	if errors.Is(err, demo.ErrNotGood) {
		return ErrReported
	}
	return err
}

// invariants examines the promises of a database that has come to rest.
func invariants(ctx context.Context, pool *pgxpool.Pool) ([]demo.Invariant, error) {
	found, err := verify.CheckQuiet(ctx, pool)
	out := make([]demo.Invariant, len(found))
	for i, f := range found {
		out[i] = demo.Invariant{ID: f.ID, OK: f.OK, Rows: f.Rows, Violations: f.Violations}
	}
	return out, err
}

// demoRecountCmd is the demonstration's second process. It is no command for
// people.
type demoRecountCmd struct {
	DatabaseURL string `name:"database-url" required:"" help:"The database."`
	TwinURL     string `name:"twin-url" required:"" help:"The stand-in for the providers."`
}

// Run reads a report from standard input, counts again, and answers with JSON.
func (c *demoRecountCmd) Run(s *streams) error {
	var claimed demo.Report
	if err := json.NewDecoder(os.Stdin).Decode(&claimed); err != nil {
		return fmt.Errorf("read the report to count again: %w", err)
	}
	pool, err := pgxpool.New(s.ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	problems, err := demo.Recount(s.ctx, pool, &twin.Control{Base: c.TwinURL}, claimed)
	if err != nil {
		return err
	}
	for _, p := range problems {
		_, _ = fmt.Fprintln(s.err, "recount:", p)
	}
	verdict := map[string]any{"ok": len(problems) == 0, "problems": len(problems)}
	if err := json.NewEncoder(s.out).Encode(verdict); err != nil {
		return err
	}
	if len(problems) > 0 {
		return ErrReported
	}
	return nil
}
