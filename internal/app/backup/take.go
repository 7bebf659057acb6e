package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"gocloud.dev/gcerrors"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/pgbackup"
	"proofroom/internal/core/media"
)

var (
	databaseCopied = faultpoint.Define("backup.database_copied", "the database is copied, no photograph is")
	beforeName     = faultpoint.Define("backup.before_name", "everything is copied and on the disk; the backup has no name yet")
)

// Source is the installation that is copied.
type Source struct {
	URL     string // of the database, as its owner
	Private bool   // it is the private PostgreSQL
	Files   *media.Store
}

// Options say where backups go.
type Options struct {
	Place string
	Keep  int                              // how many stay; 0: all
	Say   func(format string, args ...any) // progress, for a person
}

// Taken is a backup that was made.
type Taken struct {
	Dir string `json:"dir"`
	Manifest
	Deleted []string `json:"deleted"` // older backups
}

// Take makes a backup of a running installation. It waits for nobody and nobody
// waits for it. Cut short, it leaves no backup. Files that the store has lost
// are in Taken.Lost, which the caller must not pass over in silence.
func Take(ctx context.Context, src Source, o Options) (Taken, error) {
	p, err := openPlace(o.Place)
	if err != nil {
		return Taken{}, err
	}
	defer p.close()
	m := Manifest{Format: format, BegunAt: time.Now().UTC(), Needs: needs, Lost: []Lost{}}
	name := m.BegunAt.Format(nameForm)
	tmp := filepath.Join(p.dir, incomplete+name)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return Taken{}, fmt.Errorf("make the backup's folder: %w", err)
	}
	if err := take(ctx, src, o, p, tmp, &m); err != nil {
		// What cannot be deleted is no backup either, and goes with the next run.
		_ = os.RemoveAll(tmp)
		return Taken{}, fmt.Errorf("%w\nno backup was made; those that were there are as they were", err)
	}
	dir := filepath.Join(p.dir, name)
	if err := os.Rename(tmp, dir); err != nil {
		return Taken{}, fmt.Errorf("give the backup its name: %w", err)
	}
	if err := flush(p.dir); err != nil {
		return Taken{}, err
	}
	t := Taken{Dir: dir, Manifest: m}
	t.Deleted, err = p.prune(o.Keep)
	return t, err
}

func take(ctx context.Context, src Source, o Options, p *place, tmp string, m *Manifest) error {
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: src.URL, MaxConns: 2, Name: "proofroom backup"})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := copyDatabase(ctx, pool, src, o, tmp, m); err != nil {
		return err
	}
	if err := databaseCopied.Hit(); err != nil {
		return err
	}
	list, err := newSums(tmp)
	if err != nil {
		return err
	}
	defer func() { _ = list.file.Close() }()
	if err := list.addDatabase(ctx, tmp, m); err != nil {
		return fmt.Errorf("hash the database: %w", err)
	}
	if err := copyBlobs(ctx, pool, src.Files, o, p, tmp, m, list); err != nil {
		return err
	}
	if m.Sums, err = list.close(); err != nil {
		return err
	}
	m.EndedAt = time.Now().UTC()
	if err := m.write(tmp); err != nil {
		return err
	}
	if err := flushFolders(filepath.Join(tmp, blobsDir)); err != nil {
		return err
	}
	if err := flush(tmp); err != nil {
		return err
	}
	return beforeName.Hit()
}

// copyDatabase comes before the files: see the package's comment.
func copyDatabase(ctx context.Context, pool *pgxpool.Pool, src Source, o Options, tmp string, m *Manifest) error {
	err := pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000`).Scan(&m.Postgres, &m.Major)
	if err != nil {
		return fmt.Errorf("ask the database for its version: %w", err)
	}
	// A migration while it is copied would make this wrong: it is compared after.
	if m.Schema, err = pg.Schema(ctx, pool); err != nil {
		return err
	}
	if m.Schema == 0 {
		return errors.New("the database is not one of Proofroom: it has no schema; name the right one with --database-url or --data-dir")
	}
	programs, err := pgbackup.Find(ctx, m.Major)
	if err != nil {
		return err
	}
	o.Say("copying the database (PostgreSQL %d, schema %d)", m.Major, m.Schema)
	if src.Private {
		m.Method = Base
		if err := programs.Base(ctx, src.URL, filepath.Join(tmp, databaseDir)); err != nil {
			return fmt.Errorf("copy the database: %w", err)
		}
		if err := now(ctx, pool, m); err != nil {
			return err
		}
		if err := programs.VerifyBase(ctx, filepath.Join(tmp, databaseDir)); err != nil {
			return fmt.Errorf("the copy of the database is not right: %w", err)
		}
	} else {
		m.Method = Dump
		if err := os.Mkdir(filepath.Join(tmp, databaseDir), 0o700); err != nil {
			return fmt.Errorf("make the backup's folder: %w", err)
		}
		if err := programs.Dump(ctx, src.URL, filepath.Join(tmp, dumpFile)); err != nil {
			return fmt.Errorf("copy the database: %w", err)
		}
		if err := now(ctx, pool, m); err != nil {
			return err
		}
	}
	after, err := pg.Schema(ctx, pool)
	if err == nil && after != m.Schema {
		err = fmt.Errorf("the schema went from %d to %d while it was copied; run the backup again", m.Schema, after)
	}
	return err
}

func now(ctx context.Context, pool *pgxpool.Pool, m *Manifest) error {
	if err := pool.QueryRow(ctx, `SELECT app_now()`).Scan(&m.At); err != nil {
		return fmt.Errorf("ask the database for the time: %w", err)
	}
	m.At = m.At.UTC()
	return nil
}

// copyBlobs copies every file that a row names now, which are all that the copied
// rows name.
func copyBlobs(ctx context.Context, pool *pgxpool.Pool, files *media.Store, o Options, p *place, tmp string, m *Manifest, list *sums) error {
	names, err := Names(p.dir)
	if err != nil {
		return err
	}
	older := ""
	if len(names) > 0 {
		older = filepath.Join(p.dir, names[len(names)-1], blobsDir)
	}
	to := filepath.Join(tmp, blobsDir)
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("make the backup's folder: %w", err)
	}
	o.Say("copying photographs")
	tell := time.Now()
	err = media.EachNamed(ctx, pool, func(n media.Named) error {
		if !filepath.IsLocal(n.Key) {
			return fmt.Errorf("a row names the file %q, which is no place in the store", n.Key)
		}
		path := filepath.Join(to, n.Key)
		if _, err := os.Lstat(path); err == nil {
			return nil // several photographs have it
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("copy a photograph: %w", err)
		}
		if older == "" || !linked(filepath.Join(older, n.Key), path, n.Size) {
			lost, err := copyBlob(ctx, files, n, path)
			if err != nil {
				return err
			}
			if lost != "" {
				m.Lost = append(m.Lost, Lost{n.Key, lost})
				return nil
			}
			m.Copied.add(n.Size)
		}
		m.Blobs.add(n.Size)
		if time.Since(tell) > 5*time.Second {
			tell = time.Now()
			o.Say("%d files, %.1f GB", m.Blobs.Files, float64(m.Blobs.Bytes)/1e9)
		}
		return list.add(filepath.Join(blobsDir, n.Key), n.SHA256)
	})
	if err != nil {
		return fmt.Errorf("copy the photographs: %w", err)
	}
	return nil
}

// linked shares a file with an older backup: a name is the hash of the bytes, so
// one of the same name and size is the same. Where there are no links, the file
// is copied.
func linked(old, path string, size int64) bool {
	info, err := os.Lstat(old)
	return err == nil && info.Mode().IsRegular() && info.Size() == size && os.Link(old, path) == nil
}

// copyBlob copies one file out of the store and says why it is lost, if it is.
func copyBlob(ctx context.Context, files *media.Store, n media.Named, path string) (lost string, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = files.Read(ctx, n, f)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, fs.ErrNotExist):
		lost, err = "it is not in the store", nil
	case errors.Is(err, media.ErrChanged):
		lost, err = "its bytes in the store are not those that were recorded", nil
	}
	if err == nil && lost == "" {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && lost != "" {
		err = os.Remove(path)
	}
	return lost, err
}

// flush waits until the names in a folder are on the disk.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("wait for the disk of %s: %w", dir, err)
	}
	return nil
}

// flushFolders does that for all folders of a tree. Its files are on the disk.
func flushFolders(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = flush(path)
		}
		return err
	})
}
