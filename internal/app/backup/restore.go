package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/base/pg/pgbackup"
	"proofroom/internal/core/media"
)

// staging is an installation in the making, inside its data folder.
const staging = "restoring"

// Target is where an installation is restored to.
type Target struct {
	DataDir string // a folder that is empty or not there
	// Blobs is where the files go: a folder or an address, as for serve. Empty:
	// files in the data folder.
	Blobs string
	// DatabaseURL names an empty database of the operator's server, which a dump
	// is loaded into. Empty: a private PostgreSQL in the data folder.
	DatabaseURL string
	Log         *slog.Logger
	Say         func(format string, args ...any)

	passing bool // it is deleted at once: nothing has to reach the disk
}

// Unfinished refuses a data folder in which a restore was cut short.
func Unfinished(dataDir string) error {
	dir := filepath.Join(dataDir, staging)
	if _, err := os.Lstat(dir); err != nil {
		return nil //nolint:nilerr // not there, or not ours to see: then others say what is wrong
	}
	return fmt.Errorf("a restore into %s was cut short, and what it left in %s is no installation; the backup is as it was: delete %s and restore again",
		dataDir, dir, dir)
}

// Restore makes an installation from the backup at from (or the newest of a
// place), and puts it into its place once it is proven. An error leaves the
// target as it was, but for a database of the operator's, which it names.
func Restore(ctx context.Context, from string, t Target) (Proof, error) {
	begun := time.Now()
	dir, m, programs, err := open(ctx, from)
	if err != nil {
		return Proof{}, err
	}
	if m.Method == Base && t.DatabaseURL != "" {
		return Proof{}, fmt.Errorf("the backup holds a private PostgreSQL, which cannot be put into another server; nothing was changed: restore it without --database-url")
	}
	if t.DataDir, err = filepath.Abs(t.DataDir); err != nil {
		return Proof{}, err
	}
	if err := fresh(t.DataDir); err != nil {
		return Proof{}, err
	}
	stage := filepath.Join(t.DataDir, staging)
	if err := makeStage(t.DataDir, stage); err != nil {
		return Proof{}, err
	}
	p, err := restore(ctx, dir, m, programs, t, stage)
	if err != nil {
		// What cannot be deleted is refused by serve and by the next restore.
		_ = os.RemoveAll(stage)
		return p, err
	}
	if err := settle(t.DataDir, stage); err != nil {
		return p, err
	}
	p.Seconds = time.Since(begun).Seconds()
	return p, nil
}

// open finds a backup and what it needs.
func open(ctx context.Context, from string) (dir string, m Manifest, programs pgbackup.Programs, err error) {
	if dir, err = Find(from); err != nil {
		return
	}
	if m, err = Read(dir); err != nil {
		return
	}
	programs, err = pgbackup.Find(ctx, m.Major)
	return
}

// fresh refuses a folder that holds anything.
func fresh(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("look into the data folder: %w", err)
	}
	if err := Unfinished(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrNotEmpty, err)
	}
	return fmt.Errorf("%w: %s holds %s and more; nothing was changed: restore into a fresh folder, look at what is there, then let serve use that folder (--data-dir) or exchange the two while it is stopped",
		ErrNotEmpty, dir, entries[0].Name())
}

// makeStage makes the folders. As root, the private PostgreSQL runs as another
// user, who must pass through them; what lies in them is closed by itself.
func makeStage(dataDir, stage string) error {
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // as serve makes it
		return fmt.Errorf("make the data folder: %w", err)
	}
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := errors.Join(os.Mkdir(stage, mode), os.Chmod(stage, mode)); err != nil {
		return fmt.Errorf("make a folder to restore into: %w", err)
	}
	return nil
}

func restore(ctx context.Context, dir string, m Manifest, programs pgbackup.Programs, t Target, stage string) (_ Proof, err error) {
	blobs := t.Blobs
	if blobs == "" {
		blobs = filepath.Join(stage, "files")
	}
	files, err := media.OpenStore(ctx, blobs)
	if err != nil {
		return Proof{}, err
	}
	defer func() { _ = files.Close() }()
	t.Say("copying %d files of the database and %d photographs (%.1f GB), and checking each", m.Database.Files, m.Blobs.Files,
		float64(m.Database.Bytes+m.Blobs.Bytes)/1e9)
	c := copier{ctx: ctx, dir: dir, manifest: m, postgres: filepath.Join(stage, "postgres"), keep: files.Keep}
	if err := c.run(); err != nil {
		return Proof{}, err
	}
	p, err := prove(ctx, dir, m, programs, c.postgres, t, func(n media.Named) error { return files.Read(ctx, n, io.Discard) })
	if err != nil && t.DatabaseURL != "" {
		err = fmt.Errorf("%w\nthe database that was named may hold what was restored: empty it before the next try", err)
	}
	return p, err
}

// copier copies a backup into a place where it can be started, checking every
// byte on the way.
type copier struct {
	ctx      context.Context //nolint:containedctx // of one run
	dir      string
	manifest Manifest
	postgres string // the data folder of a private PostgreSQL
	keep     func(context.Context, media.Named, io.Reader) error
}

func (c copier) run() error {
	if c.manifest.Method == Base {
		for _, name := range c.manifest.Folders {
			if !ofDatabase(name) {
				return damaged(c.dir, "it names the folder "+name)
			}
			if err := os.MkdirAll(c.target(name), 0o700); err != nil {
				return fmt.Errorf("restore the database: %w", err)
			}
		}
	}
	return walk(c.ctx, c.dir, c.manifest, c.file)
}

// ofDatabase reports whether a name is one of the copied cluster, as it was
// written down: without ways around, which would lead out of it.
func ofDatabase(name string) bool {
	return filepath.IsLocal(name) && filepath.Clean(name) == name && (name == databaseDir || strings.HasPrefix(name, databaseDir+"/"))
}

// target is where a file of the database goes: the cluster in its data folder.
func (c copier) target(name string) string {
	return filepath.Join(c.postgres, "postgres", strings.TrimPrefix(name, databaseDir))
}

func (c copier) file(name, path string, want [sha256.Size]byte) error {
	if key, ok := strings.CutPrefix(name, blobsDir+"/"); ok {
		return c.blob(name, key, path, want)
	}
	if c.manifest.Method == Dump {
		return check(name, path, want)
	}
	if !ofDatabase(name) {
		return errBad{name + " is no file of a backup"}
	}
	to := c.target(name)
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("restore the database: %w", err)
	}
	sum, _, err := hashFile(path, out)
	if err = errors.Join(err, out.Close()); err == nil && sum != want {
		return errBad{name + " was changed"}
	}
	return err
}

func (c copier) blob(name, key, path string, want [sha256.Size]byte) error {
	if c.keep == nil {
		return check(name, path, want)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = c.keep(c.ctx, media.Named{Key: key, Size: info.Size(), SHA256: want}, f)
	if errors.Is(err, media.ErrChanged) {
		return errBad{name + " was changed"}
	}
	return err
}

// settle moves what was proven to where serve looks for it, the database last:
// without one, nothing is taken for an installation.
func settle(dataDir, stage string) error {
	if err := flushAll(stage); err != nil {
		return err
	}
	entries, err := os.ReadDir(stage)
	if err != nil {
		return fmt.Errorf("put what was restored into its place: %w", err)
	}
	for _, e := range entries { // "files" sorts before "postgres"
		if err := os.Rename(filepath.Join(stage, e.Name()), filepath.Join(dataDir, e.Name())); err != nil {
			return fmt.Errorf("put what was restored into its place: %w", err)
		}
	}
	if err := os.Remove(stage); err != nil {
		return fmt.Errorf("put what was restored into its place: %w", err)
	}
	return flush(dataDir)
}

// flushAll waits until everything on a folder's file system is on the disk: one
// wait for what are thousands of small files.
func flushAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close()); err != nil {
		return fmt.Errorf("wait for the disk of %s: %w", dir, err)
	}
	return nil
}

// Verify restores the database of a backup (or of the newest of a place) into a
// new folder in scratch (empty: the system's temporary folder) that it deletes
// afterwards, and proves it there. The files of photographs are checked where
// they are.
func Verify(ctx context.Context, from, scratch string, log *slog.Logger, say func(string, ...any)) (_ Proof, err error) {
	begun := time.Now()
	dir, m, programs, err := open(ctx, from)
	if err != nil {
		return Proof{}, err
	}
	if scratch, err = os.MkdirTemp(scratch, "proofroom-verify-"); err != nil {
		return Proof{}, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	stage := filepath.Join(scratch, staging)
	if err := errors.Join(os.Chmod(scratch, 0o711), makeStage(scratch, stage)); err != nil { //nolint:gosec // the database's user must pass, see makeStage
		return Proof{}, err
	}
	say("checking %d files of the database and %d photographs (%.1f GB)", m.Database.Files, m.Blobs.Files, float64(m.Database.Bytes+m.Blobs.Bytes)/1e9)
	c := copier{ctx: ctx, dir: dir, manifest: m, postgres: filepath.Join(stage, "postgres")}
	if err := c.run(); err != nil {
		return Proof{}, err
	}
	// Every listed file has its hash by now; a row must want that one.
	has := func(n media.Named) error {
		info, err := os.Stat(filepath.Join(dir, blobsDir, n.Key))
		switch {
		case err != nil:
			return err
		case !n.Proper() || info.Size() != n.Size:
			return media.ErrChanged
		}
		return nil
	}
	p, err := prove(ctx, dir, m, programs, c.postgres, Target{Log: log, Say: say, passing: true}, has)
	p.Seconds = time.Since(begun).Seconds()
	return p, err
}

// server is a database that was restored, running.
type server struct {
	url  string
	stop func() error
}

// start runs the restored database, and fills it first if it comes from a dump.
func start(ctx context.Context, dir string, m Manifest, programs pgbackup.Programs, postgres string, t Target) (*server, error) {
	s := &server{url: t.DatabaseURL, stop: func() error { return nil }}
	if s.url == "" {
		var settings map[string]string
		if t.passing {
			settings = map[string]string{"fsync": "off"}
		}
		private, err := embedded.Start(ctx, embedded.Config{DataDir: postgres, Settings: settings, Log: t.Log})
		if err != nil {
			return nil, fmt.Errorf("start the restored PostgreSQL: %w", err)
		}
		s.url = private.URL("postgres")
		s.stop = func() error { return private.Stop(context.WithoutCancel(ctx)) }
	}
	if m.Method == Base {
		return s, nil
	}
	if err := load(ctx, filepath.Join(dir, dumpFile), s.url, programs); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// load fills an empty database from a dump.
func load(ctx context.Context, file, url string, programs pgbackup.Programs) error {
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: url, MaxConns: 1, Name: "proofroom restore"})
	if err != nil {
		return err
	}
	defer pool.Close()
	var tables int
	err = pool.QueryRow(ctx, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'`).Scan(&tables)
	if err != nil {
		return fmt.Errorf("look into the database: %w", err)
	}
	if tables > 0 {
		return fmt.Errorf("%w: the database holds %d tables; nothing was changed: make an empty one (createdb) and name that", ErrNotEmpty, tables)
	}
	_, err = pool.Exec(ctx, `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '`+pg.AppRole+`') THEN CREATE ROLE `+pg.AppRole+` NOLOGIN; END IF; END $$`)
	if err != nil {
		return fmt.Errorf("make the role %s: %w", pg.AppRole, err)
	}
	if err := programs.Load(ctx, url, file); err != nil {
		return fmt.Errorf("load the database: %w", err)
	}
	return nil
}
