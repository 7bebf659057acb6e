package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"proofroom/internal/app/backup"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/core/media"
)

type backupCmd struct {
	Take   backupTakeCmd   `cmd:"" default:"withargs" help:"Copy the database and the photographs, while everything runs."`
	Verify backupVerifyCmd `cmd:"" help:"Prove a backup: restore it into a scratch folder, start it and examine everything."`
	List   backupListCmd   `cmd:"" help:"List the backups of a place."`
}

type backupTakeCmd struct {
	To          string `name:"to" required:"" placeholder:"DIR" help:"The place of backups; each is a folder in it. Best on another disk, or another machine's."`
	Keep        int    `name:"keep" default:"7" placeholder:"N" help:"How many stay; older ones are deleted after a new one was made (${default}; 0: all)."`
	Verify      bool   `name:"verify" help:"Prove the new backup by restoring it into a scratch folder."`
	Scratch     string `name:"scratch" placeholder:"DIR" help:"Where --verify restores the database to, for as long as it takes. Default: the system's temporary folder."`
	JSON        bool   `name:"json" help:"Print one JSON object."`
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"The database, as its owner: it is dumped. Without it the private PostgreSQL in the data folder is copied whole."`
	DataDir     string `name:"data-dir" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"The data folder, as for serve."`
	Blobs       string `name:"blobs" env:"PROOFROOM_BLOBS" placeholder:"URL" help:"Where photographs are kept, as for serve."`
}

// Run makes a backup.
func (c *backupTakeCmd) Run(s *streams) error {
	if c.DataDir == "" {
		c.DataDir = embedded.DefaultDataDir()
	}
	if c.Blobs == "" {
		c.Blobs = filepath.Join(c.DataDir, "files")
	}
	src := backup.Source{URL: c.DatabaseURL}
	if src.URL == "" {
		url, stop, err := privateDatabase(s.ctx, c.DataDir)
		if err != nil {
			return err
		}
		defer stop()
		src.URL, src.Private = url, true
	}
	var err error
	if src.Files, err = media.OpenStore(s.ctx, c.Blobs); err != nil {
		return err
	}
	defer func() { _ = src.Files.Close() }()
	taken, err := backup.Take(s.ctx, src, backup.Options{Place: c.To, Keep: c.Keep, Say: s.say})
	if err != nil {
		return err
	}
	done := struct {
		backup.Taken
		Proof *backup.Proof `json:"proof,omitempty"`
	}{Taken: taken}
	if c.Verify {
		proof, err := backup.Verify(s.ctx, taken.Dir, c.Scratch, slog.New(slog.DiscardHandler), s.say)
		if err != nil {
			return fmt.Errorf("the backup %s was made, but could not be proven: %w", taken.Dir, err)
		}
		done.Proof = &proof
	}
	if err := noteBackup(c.DataDir, lastBackup{At: taken.At, Dir: taken.Dir, Verified: c.Verify, Lost: len(taken.Lost)}); err != nil {
		return fmt.Errorf("the backup %s was made, but doctor will not know of it: %w", taken.Dir, err)
	}
	if c.JSON {
		err = json.NewEncoder(s.out).Encode(done)
	} else {
		err = printTaken(s.out, taken, done.Proof)
	}
	if err == nil && len(taken.Lost) > 0 {
		err = fmt.Errorf("the backup is whole but for %d files that the store itself has lost, such as %s (%s): bring them back from an older backup; MANIFEST.json lists them",
			len(taken.Lost), taken.Lost[0].Key, taken.Lost[0].Why)
	}
	return err
}

// privateDatabase finds the private PostgreSQL of a serve that runs, or runs it
// for as long as the backup takes.
func privateDatabase(ctx context.Context, dataDir string) (url string, stop func(), err error) {
	dir := filepath.Join(dataDir, "postgres")
	url, err = embedded.Running(dir, "postgres")
	if err == nil || !errors.Is(err, embedded.ErrNotRunning) {
		return url, func() {}, err
	}
	if _, serr := os.Stat(filepath.Join(dir, "postgres", "PG_VERSION")); serr != nil {
		return "", nil, fmt.Errorf("%w, and there is no database: name the data folder with --data-dir, or the database with --database-url", err)
	}
	server, err := embedded.Start(ctx, embedded.Config{DataDir: dir})
	if err != nil {
		return "", nil, fmt.Errorf("start the private PostgreSQL for the backup: %w", err)
	}
	return server.URL("postgres"), func() { _ = server.Stop(context.WithoutCancel(ctx)) }, nil
}

// say tells a person what is being done.
func (s *streams) say(format string, args ...any) { _, _ = fmt.Fprintf(s.err, format+"\n", args...) }

func printTaken(w io.Writer, t backup.Taken, p *backup.Proof) error {
	how := "pg_basebackup of the private PostgreSQL"
	if t.Method == backup.Dump {
		how = "pg_dump of the database"
	}
	_, err := fmt.Fprintf(w, "%s\n  database  %s, schema %d, %d files, %s\n  photos    %d files, %s; copied now: %d files, %s\n  took      %s\n",
		t.Dir, how, t.Schema, t.Database.Files, bytesOf(t.Database.Bytes), t.Blobs.Files, bytesOf(t.Blobs.Bytes), t.Copied.Files, bytesOf(t.Copied.Bytes),
		t.EndedAt.Sub(t.BegunAt).Round(100*time.Millisecond))
	for _, d := range t.Deleted {
		if err == nil {
			_, err = fmt.Fprintf(w, "  deleted   %s\n", d)
		}
	}
	for _, n := range t.Needs {
		if err == nil {
			_, err = fmt.Fprintf(w, "  not in it %s\n", n)
		}
	}
	if err == nil && p != nil {
		err = printProof(w, *p)
	}
	return err
}

func bytesOf(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}

type backupVerifyCmd struct {
	Dir     string `arg:"" help:"A backup, or a place: then its newest."`
	Scratch string `name:"scratch" placeholder:"DIR" help:"Where the database is restored to, for as long as it takes. Default: the system's temporary folder."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
}

// Run proves a backup and deletes what it restored for that.
func (c *backupVerifyCmd) Run(s *streams) error {
	p, err := backup.Verify(s.ctx, c.Dir, c.Scratch, slog.New(slog.DiscardHandler), s.say)
	return tellProof(s, c.JSON, p, err)
}

// tellProof prints what was found, also of what failed.
func tellProof(s *streams, asJSON bool, p backup.Proof, err error) error {
	var perr error
	switch {
	case asJSON:
		told := struct {
			OK    bool   `json:"ok"`
			Error string `json:"error,omitempty"`
			backup.Proof
		}{OK: err == nil, Proof: p}
		if err != nil {
			told.Error = err.Error()
		}
		perr = json.NewEncoder(s.out).Encode(told)
	case p.Invariants != nil:
		perr = printProof(s.out, p)
	}
	return errors.Join(err, perr)
}

func printProof(w io.Writer, p backup.Proof) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush says what failed
	line("backup\t%s", p.Backup)
	line("as of\t%s (%s ago)", p.Manifest.At.Format(time.RFC3339), time.Since(p.Manifest.At).Round(time.Second))
	if p.Schema != p.Manifest.Schema {
		line("schema\t%d, brought to %d", p.Manifest.Schema, p.Schema)
	} else {
		line("schema\t%d", p.Schema)
	}
	for _, r := range p.Invariants {
		line("%s\t%s, %d examined", r.ID, r.Verdict, r.Rows)
	}
	line("photos\t%d files that rows name, %s: each is there and has its hash", p.Named.Files, bytesOf(p.Named.Bytes))
	if p.Lost > 0 {
		line("lost\t%d files that the store had lost before the backup was made", p.Lost)
	}
	if p.NewestPayment == nil {
		line("payments\tnone")
	} else {
		line("payments\tthe newest is of %s (%s ago)", p.NewestPayment.Format(time.RFC3339), time.Since(*p.NewestPayment).Round(time.Second))
	}
	line("took\t%.1f s", p.Seconds)
	return t.Flush()
}

type backupListCmd struct {
	Dir  string `arg:"" help:"The place of backups."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// listed is one line about a backup.
type listed struct {
	Dir string `json:"dir"`
	backup.Manifest
	Wrong string `json:"wrong,omitempty"` // why it cannot be used, as far as its manifest says
}

// Run lists backups by their manifests; verify looks at the rest.
func (c *backupListCmd) Run(s *streams) error {
	names, err := backup.Names(c.Dir)
	if err != nil {
		return err
	}
	all := []listed{}
	for _, n := range names {
		l := listed{Dir: filepath.Join(c.Dir, n)}
		if l.Manifest, err = backup.Read(l.Dir); err != nil {
			l.Wrong = err.Error()
		}
		all = append(all, l)
	}
	if c.JSON {
		return json.NewEncoder(s.out).Encode(map[string]any{"backups": all})
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, l := range all {
		if l.Wrong != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", l.Dir, l.Wrong)
			continue
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\tschema %d\tdatabase %s\t%d files, %s\n", l.Dir, l.Method, l.Schema, bytesOf(l.Database.Bytes), l.Blobs.Files, bytesOf(l.Blobs.Bytes))
	}
	return t.Flush()
}

type restoreCmd struct {
	From        string `name:"from" required:"" placeholder:"DIR" help:"A backup, or a place: then its newest."`
	DataDir     string `name:"data-dir" required:"" env:"PROOFROOM_DATA_DIR" placeholder:"DIR" help:"A fresh data folder: empty, or not there yet."`
	Blobs       string `name:"blobs" env:"PROOFROOM_BLOBS" placeholder:"URL" help:"Where photographs go, as for serve. Default: files in the data folder."`
	DatabaseURL string `name:"database-url" env:"PROOFROOM_DATABASE_URL" placeholder:"URL" help:"An empty database of your own server, for a backup that is a dump. Without it a private PostgreSQL is made in the data folder."`
	JSON        bool   `name:"json" help:"Print one JSON object."`
}

// Run restores.
func (c *restoreCmd) Run(s *streams) error {
	if err := sameOwner(c.DataDir); err != nil {
		return err
	}
	var err error
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return err
	}
	p, err := backup.Restore(s.ctx, c.From, backup.Target{
		DataDir: c.DataDir, Blobs: c.Blobs, DatabaseURL: c.DatabaseURL, Log: logger(s.err, "warn"), Say: s.say,
	})
	if err = tellProof(s, c.JSON, p, err); err != nil || c.JSON {
		return err
	}
	_, err = fmt.Fprintf(s.out, `
Restored into %s. What happened after %s is not in it:
  - Orders that waited for money then are asked about by serve, by itself.
  - Orders made later are not known. Payments for them become dead letters when
    their provider sends them again: have the events since then sent again from
    its dashboard, then look at /operator/queue. See docs/operations.md.
Start it with the settings that the old one had, and --data-dir %s.
`, c.DataDir, p.Manifest.At.Format(time.RFC3339), c.DataDir)
	return err
}

// lastBackup is what is remembered about the newest backup, for doctor and for
// the metrics.
type lastBackup struct {
	At       time.Time `json:"at"`
	Dir      string    `json:"dir"`
	Verified bool      `json:"verified"`
	Lost     int       `json:"lost"`
}

const lastBackupFile = "last-backup.json"

func noteBackup(dataDir string, b lastBackup) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // as serve makes it
		return err
	}
	next := filepath.Join(dataDir, lastBackupFile+".new")
	// It holds no secret, and whoever asks may be another user than who wrote it.
	if err := os.WriteFile(next, append(text, '\n'), 0o644); err != nil { //nolint:gosec // see above
		return err
	}
	return os.Rename(next, filepath.Join(dataDir, lastBackupFile))
}

// readLastBackup returns nil when there was none.
func readLastBackup(dataDir string) (*lastBackup, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, lastBackupFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var b lastBackup
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	return &b, err
}
