package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/app/importdir"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
)

type importCmd struct {
	Dir         string `arg:"" type:"existingdir" help:"The folder; everything below it is looked at."`
	Event       string `name:"event" required:"" placeholder:"ID|SLUG" help:"The event that the photographs go into."`
	Wait        bool   `name:"wait" help:"Wait until every photograph is developed."`
	JSON        bool   `name:"json" help:"Write the summary as JSON."`
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"The database. Without it, the private PostgreSQL that a running serve has in the data folder."`
	DataDir     string `name:"data-dir" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"The data folder, as for serve."`
	Blobs       string `name:"blobs" env:"PROOFROOM_BLOBS" placeholder:"URL" help:"Where photographs are kept, as for serve."`
}

// Run imports, and may be killed and run again. Who can reach the database may
// put photographs into any event, so it acts as an operator.
func (c *importCmd) Run(s *streams) error {
	if c.DataDir == "" {
		c.DataDir = embedded.DefaultDataDir()
	}
	if c.Blobs == "" {
		c.Blobs = filepath.Join(c.DataDir, "files")
	}
	pool, err := openRunning(s.ctx, c.DatabaseURL, c.DataDir, "proofroom import")
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := sameOwner(c.Blobs); err != nil {
		return err
	}
	files, err := media.OpenStore(s.ctx, c.Blobs)
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }()
	queue, err := jobs.New(jobs.Config{Pool: pool})
	if err != nil {
		return err
	}
	sum, err := importdir.Run(s.ctx, importdir.Config{
		Dir: c.Dir, Event: c.Event, By: catalog.By{Operator: true}, Wait: c.Wait, Progress: s.err,
		Catalog: catalog.New(pool, catalog.Config{}), Media: media.New(pool, files, queue, nil, media.Config{}),
	})
	if err != nil {
		return fmt.Errorf("%w\n%d photographs were added before that; run it again, and it goes on where it stopped", err, sum.Created+sum.Restored)
	}
	if c.JSON {
		err = json.NewEncoder(s.out).Encode(sum)
	} else {
		err = tell(s.out, sum)
	}
	if err == nil && len(sum.Problems) > 0 {
		return ErrReported
	}
	return err
}

func tell(w io.Writer, sum importdir.Summary) error {
	for _, p := range sum.Problems {
		if _, err := fmt.Fprintf(w, "%s: %s\n", p.File, p.Reason); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d files: %d new, %d brought back, %d there already, %d refused, %d unreadable, %d waiting for the darkroom (%.1f s)\n",
		sum.Files, sum.Created, sum.Restored, sum.Duplicates, sum.Refused, sum.Unreadable, sum.Processing, sum.Seconds)
	return err
}

// openRunning connects to the database that url names, or to the private one of
// a serve that runs on the data folder.
func openRunning(ctx context.Context, url, dataDir, name string) (*pgxpool.Pool, error) {
	if url == "" {
		if dataDir == "" {
			dataDir = embedded.DefaultDataDir()
		}
		var err error
		if url, err = embedded.Running(filepath.Join(dataDir, "postgres"), "postgres"); err != nil {
			return nil, fmt.Errorf("%w; start proofroom serve first, or name the database with --database-url", err)
		}
	}
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: url, Role: pg.AppRole, Name: name})
	if err != nil {
		return nil, err
	}
	if err := pg.CheckSchema(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// sameOwner refuses to write files that the server could not read: into a folder
// that belongs to another user.
func sameOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil //nolint:nilerr // no folder yet, or an address; opening it says what is wrong
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	owner := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("the folder %s belongs to %s, who could not read what this would put there: run this as %s", dir, owner, owner)
}
