package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/app/backup"
	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/pgtest"
)

// mainEnv turns the test binary into the program itself.
const mainEnv = "PROOFROOM_TEST_MAIN"

func init() {
	if os.Getenv(mainEnv) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
}

// shop is a world on a private PostgreSQL, with photographs that have files.
type shop struct {
	*world
	dataDir string
	files   map[uuid.UUID][]byte // originals by photograph
}

func newShop(t testing.TB) *shop {
	t.Helper()
	dir := folder(t)
	server, err := embedded.Start(t.Context(), embedded.Config{DataDir: filepath.Join(dir, "postgres"), Settings: map[string]string{"fsync": "off"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	require.NoError(t, pg.Migrate(t.Context(), server.URL("postgres")))
	owner, err := pg.Open(t.Context(), pg.PoolConfig{URL: server.URL("postgres"), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(owner.Close)
	s := &shop{world: newWorldOn(t, server.URL("postgres"), pools{owner, owner}), dataDir: dir, files: map[uuid.UUID][]byte{}}
	s.photos = nil // those have no files
	for range 3 {
		s.upload()
	}
	return s
}

// folder is one that the database's own user can enter, in memory where that is
// a place for files: each copy of a database is a thousand small ones.
func folder(t testing.TB) string {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "prf-backup-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// upload puts a photograph up and has it ready for sale.
func (s *shop) upload() uuid.UUID {
	s.t.Helper()
	var b bytes.Buffer
	require.NoError(s.t, jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 64+len(s.files), 64)), nil))
	up, err := s.srv.Media.Upload(s.t.Context(), media.UploadInput{
		By: catalog.By{ID: s.creator}, EventID: s.event.ID, Name: fmt.Sprintf("own-%d.jpg", len(s.files)), Reader: bytes.NewReader(b.Bytes()),
	})
	require.NoError(s.t, err)
	_, err = s.db.Owner.Exec(s.t.Context(), `UPDATE photos SET state = 'ready', width = 64, height = 64 WHERE id = $1`, up.ID)
	require.NoError(s.t, err)
	s.files[up.ID] = b.Bytes()
	s.photos = append(s.photos, up.ID)
	return up.ID
}

func (s *shop) buy(photo uuid.UUID) (buyer, orderID string) {
	s.t.Helper()
	buyer = s.guest()
	orderID, page := s.order(buyer, "k", photo)
	s.pay(page)
	s.reaches(orderID, "paid")
	return buyer, orderID
}

// backup runs the command.
func (s *shop) backup(place string, change func(*backupTakeCmd)) (backup.Taken, error) {
	s.t.Helper()
	c := backupTakeCmd{To: place, Keep: 2, JSON: true, Scratch: folder(s.t), DataDir: s.dataDir, Blobs: s.srv.cfg.Blobs}
	if change != nil {
		change(&c)
	}
	var out, errs bytes.Buffer
	err := c.Run(&streams{ctx: s.t.Context(), out: &out, err: &errs})
	var taken backup.Taken
	if out.Len() > 0 {
		require.NoError(s.t, json.Unmarshal(out.Bytes(), &taken), out.String())
	}
	return taken, err
}

func verifyBackup(t *testing.T, dir string) (backup.Proof, error) {
	t.Helper()
	return backup.Verify(t.Context(), dir, folder(t), slog.New(slog.DiscardHandler), t.Logf)
}

// traffic buys until it is stopped, which it says how often it did.
func (s *shop) traffic() (stop func() int) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.buy(s.photos[0])
				n++
			}
		}
	})
	return func() int { close(done); wg.Wait(); return n }
}

// The drill: a backup under traffic, more traffic, and an installation from the
// backup in which what was bought can be downloaded and later things are absent.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	place := filepath.Join(folder(t), "place")
	bought := s.photos[0]
	buyer, before := s.buy(bought)
	waiting, page := s.order(buyer, "waiting", s.photos[1])

	stop := s.traffic()
	taken, err := s.backup(place, func(c *backupTakeCmd) { c.Verify = true })
	require.Positive(t, stop())
	require.NoError(t, err)
	require.Equal(t, backup.Base, taken.Method)
	require.EqualValues(t, 3, taken.Blobs.Files)
	require.Empty(t, taken.Lost)
	private(t, taken.Dir)

	late, after := s.buy(s.upload())
	s.pay(page, twin.Silence) // the restored shop is never told

	target := filepath.Join(folder(t), "data")
	var out, errs bytes.Buffer
	require.NoError(t, (&restoreCmd{From: place, DataDir: target, JSON: true}).Run(&streams{ctx: t.Context(), out: &out, err: &errs}))
	var told struct {
		OK bool
		backup.Proof
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &told), out.String())
	require.True(t, told.OK)
	require.EqualValues(t, 3, told.Named.Files)
	require.NotNil(t, told.NewestPayment)
	for _, r := range told.Invariants {
		require.Zero(t, r.Violations, r.ID)
	}

	// It serves, with what was there then and nothing else.
	cfg := s.srv.cfg
	cfg.DatabaseURL, cfg.DataDir, cfg.Blobs, cfg.Listen, cfg.AdminListen = "", target, "", "127.0.0.1:0", "127.0.0.1:0"
	srv, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, halt := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	w := &world{t: t, srv: srv, url: "http://" + srv.Addr()}
	got := w.call(http.MethodGet, "/api/v1/photos/"+bought.String()+"/original", buyer, "", nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	require.Equal(t, s.files[bought], got.body)
	require.Equal(t, "paid", w.call(http.MethodGet, "/api/v1/orders/"+before, buyer, "", nil).json(t)["state"])
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/v1/orders/"+waiting+"/refresh", buyer, "", nil).status)
	require.Equal(t, "paid", w.call(http.MethodGet, "/api/v1/orders/"+waiting, buyer, "", nil).json(t)["state"], "the provider was asked")
	require.Equal(t, http.StatusUnauthorized, w.call(http.MethodGet, "/api/v1/orders/"+after, late, "", nil).status, "who came later is not known")
	require.NotEqual(t, http.StatusOK, w.call(http.MethodGet, "/api/v1/orders/"+after, buyer, "", nil).status)
	halt()
	require.NoError(t, <-ended)

	// What it left may not be restored over, and what was cut short not served.
	err = (&restoreCmd{From: place, DataDir: target}).Run(&streams{ctx: t.Context(), out: &out, err: &errs})
	require.ErrorIs(t, err, backup.ErrNotEmpty)
	cut := filepath.Join(folder(t), "data")
	require.NoError(t, os.MkdirAll(filepath.Join(cut, "restoring"), 0o700))
	cfg.DataDir = cut
	_, err = New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "was cut short")
}

// private requires that nobody else can read a backup.
func private(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, path)
		return nil
	}))
}

// The second backup copies only what is new, and old ones go.
func TestBackupsShareAndEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	place := filepath.Join(folder(t), "place")
	first, err := s.backup(place, nil)
	require.NoError(t, err)
	require.EqualValues(t, 3, first.Copied.Files)
	// A photograph that comes meanwhile is a row with its file: the files are
	// copied after the database.
	url, err := embedded.Running(filepath.Join(s.dataDir, "postgres"), "postgres")
	require.NoError(t, err)
	second, err := backup.Take(t.Context(), backup.Source{URL: url, Private: true, Files: s.srv.files}, backup.Options{
		Place: place, Keep: 2, Say: func(format string, _ ...any) {
			if strings.HasPrefix(format, "copying the database") {
				s.upload()
			}
		},
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, second.Copied.Files)
	require.EqualValues(t, 4, second.Blobs.Files)
	proof, err := verifyBackup(t, second.Dir)
	require.NoError(t, err)
	require.EqualValues(t, 4, proof.Named.Files)

	// A file that the store loses lives on in the backups.
	old := original(t, s.files[s.photos[0]])
	require.NoError(t, os.Remove(filepath.Join(s.srv.cfg.Blobs, old)))
	third, err := s.backup(place, nil)
	require.NoError(t, err)
	require.Empty(t, third.Lost)
	require.EqualValues(t, 4, third.Blobs.Files)
	require.Equal(t, []string{filepath.Base(first.Dir)}, third.Deleted)
	names, err := backup.Names(place)
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Base(second.Dir), filepath.Base(third.Dir)}, names)
	_, err = verifyBackup(t, third.Dir)
	require.NoError(t, err, "links into a deleted backup hold")

	// Elsewhere nothing has it: the rest is copied, and the loss is said.
	elsewhere := filepath.Join(folder(t), "place")
	lossy, err := s.backup(elsewhere, nil)
	require.ErrorContains(t, err, old)
	require.Equal(t, []backup.Lost{{Key: old, Why: "it is not in the store"}}, lossy.Lost)
	require.EqualValues(t, 3, lossy.Blobs.Files)
	proof, err = verifyBackup(t, elsewhere)
	require.NoError(t, err)
	require.EqualValues(t, 1, proof.Lost)

	// doctor knows of the last.
	last, err := readLastBackup(s.dataDir)
	require.NoError(t, err)
	require.Equal(t, lossy.Dir, last.Dir)
}

// original is where an original lies in the store.
func original(t *testing.T, b []byte) string {
	t.Helper()
	hash := id.Hash(string(b))
	return fmt.Sprintf("original/%x/%x", hash[:1], hash)
}

// Whatever was done to a backup, it is refused before anything is restored. And
// what does not add up in the running installation does not in its backup.
func TestDamagedBackupsAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.buy(s.photos[0])
	place := filepath.Join(folder(t), "place")
	taken, err := s.backup(place, nil)
	require.NoError(t, err)
	_, err = s.db.Owner.Exec(t.Context(), `UPDATE wallets SET pending = pending + 1`)
	require.NoError(t, err)
	_, err = s.backup(place, func(c *backupTakeCmd) { c.Verify = true })
	require.ErrorIs(t, err, backup.ErrNotProven)
	require.ErrorContains(t, err, "invariant I")
	blob := "blobs/" + original(t, s.files[s.photos[0]])
	someTable := "database/global/pg_control"
	for name, tt := range map[string]struct {
		path   string
		change func([]byte) []byte // nil: the file is removed
		want   error
		says   string
	}{
		"a changed photograph": {blob, flip, backup.ErrDamaged, blob + " was changed"},
		"a lost photograph":    {blob, nil, backup.ErrDamaged, blob + " is missing"},
		"a changed database":   {someTable, flip, backup.ErrDamaged, someTable + " was changed"},
		"a lost table":         {"database/PG_VERSION", nil, backup.ErrDamaged, "PG_VERSION is missing"},
		"one file too many":    {"database/standby.signal", func([]byte) []byte { return nil }, backup.ErrDamaged, "standby.signal was added"},
		"a changed manifest":   {"MANIFEST.json", flip, backup.ErrDamaged, "MANIFEST.json does not have the hash"},
		"a manifest unsealed":  {"MANIFEST.json.sha256", nil, backup.ErrDamaged, "MANIFEST.json does not have the hash"},
		"a lost manifest":      {"MANIFEST.json", nil, backup.ErrDamaged, "has lost its MANIFEST.json"},
		"a changed list":       {"SHA256SUMS", flip, backup.ErrDamaged, "SHA256SUMS was changed"},
		"a lost list":          {"SHA256SUMS", nil, backup.ErrDamaged, "SHA256SUMS is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := shared(t, taken.Dir)
			change(t, filepath.Join(dir, tt.path), tt.change)
			target := filepath.Join(folder(t), "data")
			_, err := backup.Restore(t.Context(), dir, backup.Target{DataDir: target, Log: slog.New(slog.DiscardHandler), Say: t.Logf})
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.says)
			left, _ := os.ReadDir(target) // it may not even be there
			require.Empty(t, left)
			if tt.path == blob {
				_, err = verifyBackup(t, dir)
				require.ErrorContains(t, err, tt.says)
			}
		})
	}
	t.Run("a newer one", func(t *testing.T) {
		t.Parallel()
		dir := shared(t, taken.Dir)
		reseal(t, dir, func(m map[string]any) { m["schema"] = 99 })
		_, err := backup.Read(dir)
		require.ErrorIs(t, err, backup.ErrNewer)
		require.ErrorContains(t, err, "schema 99")
	})
	// The hashes alone would let this pass: it is the rows that miss a file.
	t.Run("a row without its file", func(t *testing.T) {
		t.Parallel()
		dir := shared(t, taken.Dir)
		change(t, filepath.Join(dir, blob), nil)
		change(t, filepath.Join(dir, "SHA256SUMS"), func(b []byte) []byte {
			lines := strings.Split(string(b), "\n")
			return []byte(strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasSuffix(l, blob) }), "\n"))
		})
		sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		require.NoError(t, err)
		reseal(t, dir, func(m map[string]any) { m["sums_sha256"] = fmt.Sprintf("%x", id.Hash(string(sums))) })
		target := filepath.Join(folder(t), "data")
		_, err = backup.Restore(t.Context(), dir, backup.Target{DataDir: target, Log: slog.New(slog.DiscardHandler), Say: t.Logf})
		require.ErrorIs(t, err, backup.ErrNotProven)
		require.ErrorContains(t, err, strings.TrimPrefix(blob, "blobs/"))
		left, err := os.ReadDir(target)
		require.NoError(t, err)
		require.Empty(t, left, "nothing was put into its place")
	})
}

func flip(b []byte) []byte { b[len(b)/2] ^= 1; return b }

// change rewrites a file of a shared copy, without touching the one it shares.
func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		require.NoError(t, os.Remove(path))
	}
	if how != nil {
		require.NoError(t, os.WriteFile(path, how(b), 0o600))
	}
}

// reseal changes a manifest as somebody would who knows how.
func reseal(t *testing.T, dir string, how func(map[string]any)) {
	t.Helper()
	var text []byte
	change(t, filepath.Join(dir, "MANIFEST.json"), func(b []byte) []byte {
		m := map[string]any{}
		require.NoError(t, json.Unmarshal(b, &m))
		how(m)
		var err error
		text, err = json.Marshal(m)
		require.NoError(t, err)
		return bytes.Clone(text)
	})
	change(t, filepath.Join(dir, "MANIFEST.json.sha256"), func([]byte) []byte {
		return fmt.Appendf(nil, "%x  MANIFEST.json\n", id.Hash(string(text)))
	})
}

// shared is a copy of a backup whose files are links.
func shared(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(folder(t), filepath.Base(dir))
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Mkdir(filepath.Join(to, name), 0o700)
		}
		return os.Link(path, filepath.Join(to, name))
	}))
	return to
}

// A run that is killed leaves nothing that anybody takes for a backup, and the
// next one clears it away. Two at once are refused.
func TestKilledBackupIsNone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	place := filepath.Join(folder(t), "place")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "backup", "--to", place, "--data-dir", s.dataDir, "--blobs", s.srv.cfg.Blobs)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	require.NoError(t, cmd.Start())
	begun := func() []string {
		found, err := filepath.Glob(filepath.Join(place, "incomplete-*", "database", "*"))
		require.NoError(t, err)
		return found
	}
	require.Eventually(t, func() bool { return len(begun()) > 0 }, 20*time.Second, time.Millisecond)
	_, err = s.backup(place, nil)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.NotEmpty(t, begun(), "it was killed while it worked")

	names, err := backup.Names(place)
	require.NoError(t, err)
	require.Empty(t, names)
	_, err = backup.Find(place)
	require.ErrorIs(t, err, backup.ErrNoBackup)
	cut, err := filepath.Glob(filepath.Join(place, "incomplete-*"))
	require.NoError(t, err)
	_, err = verifyBackup(t, cut[0])
	require.ErrorIs(t, err, backup.ErrNoBackup)

	taken, err := s.backup(place, nil)
	require.NoError(t, err)
	entries, err := os.ReadDir(place)
	require.NoError(t, err)
	require.Equal(t, []string{".lock", filepath.Base(taken.Dir)}, []string{entries[0].Name(), entries[1].Name()})
	require.Len(t, entries, 2)
}

// The operator's own database is dumped, and comes back in a private PostgreSQL
// or in an empty database of theirs.
func TestDumpOfTheOperatorsDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buyer := w.guest()
	orderID, page := w.order(buyer, "k", w.photos[0])
	w.pay(page)
	w.reaches(orderID, "paid")
	place := filepath.Join(folder(t), "place")
	s := &shop{world: w, dataDir: w.srv.cfg.DataDir}
	taken, err := s.backup(place, func(c *backupTakeCmd) { c.DatabaseURL, c.Verify = w.srv.cfg.DatabaseURL, true })
	require.NoError(t, err)
	require.Equal(t, backup.Dump, taken.Method)

	full := pgtest.New(t)
	to := backup.Target{DataDir: filepath.Join(folder(t), "data"), DatabaseURL: full.URL, Log: slog.New(slog.DiscardHandler), Say: t.Logf}
	_, err = backup.Restore(t.Context(), place, to)
	require.ErrorIs(t, err, backup.ErrNotEmpty)
	_, err = full.Owner.Exec(t.Context(), `DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC`)
	require.NoError(t, err)
	_, err = backup.Restore(t.Context(), place, to)
	require.NoError(t, err)
	var state string
	require.NoError(t, full.Pool.QueryRow(t.Context(), `SELECT state FROM orders WHERE id = $1`, orderID).Scan(&state), "the program's role may read it")
	require.Equal(t, "paid", state)
}
