package media

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media/pool"
	"proofroom/internal/testkit/pgtest"
)

// darkroomBinary is the real darkroom, built once for all tests.
var darkroomBinary string

func TestMain(m *testing.M) {
	if order := os.Getenv(workerOrder); order != "" {
		workInChild(order)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "media")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	darkroomBinary = filepath.Join(dir, "darkroom")
	if out, err := exec.Command("go", "build", "-o", darkroomBinary, "proofroom/cmd/darkroom").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the darkroom: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// photograph reads one of the real photographs that come with an imaging module.
func photograph(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(photographs(), filepath.FromSlash(name)))
	require.NoError(t, err)
	return b
}

var photographs = sync.OnceValue(func() string {
	const module, sum = "github.com/kovidgoyal/imaging@v1.9.0", "h1:TxHvhClPANvDW7eLm7PYDTZU1KE15xbqlFv95DA6DmY="
	var info struct{ Dir, Sum, Error string }
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if json.Unmarshal(out, &info) != nil || info.Error != "" || info.Sum != sum {
		panic(fmt.Sprintf("download %s: %v: %s", module, err, out))
	}
	return info.Dir
})

// The same scene in both formats.
const (
	aJPEG = "prism/test-images/pizza-rgb8-srgb.jpg"
	aPNG  = "prism/test-images/pizza-rgb8-srgb.png"
)

// many returns n different files that are photographs.
func many(t *testing.T, n int) [][]byte {
	t.Helper()
	base := photograph(t, "testdata/video-001.jpeg")
	files := make([][]byte, n)
	for i := range files {
		// Bytes after the end of a JPEG do not belong to the picture.
		files[i] = fmt.Appendf(slices.Clone(base), "%06d", i)
	}
	return files
}

// fixture is a media service with a folder, a darkroom and a queue of its own.
type fixture struct {
	*Service
	db    *pgtest.DB
	dir   string
	queue *jobs.Client
	by    catalog.By
	event catalog.Event
}

func setUp(t *testing.T, cfg Config) fixture {
	t.Helper()
	f := fixture{db: pgtest.New(t), dir: t.TempDir()}
	files, err := OpenStore(t.Context(), f.dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	f.queue, err = jobs.New(jobs.Config{Pool: f.db.Pool})
	require.NoError(t, err)
	f.Service = New(f.db.Pool, files, f.queue, room(t, darkroomBinary), cfg)
	f.by, f.event = eventOf(t, f.db.Pool)
	return f
}

func room(t *testing.T, binary string) *pool.Pool {
	t.Helper()
	p := pool.New(pool.Config{Binary: binary, Size: 1})
	t.Cleanup(p.Close)
	return p
}

// eventOf makes an event on sale, and its creator.
func eventOf(t *testing.T, p *pgxpool.Pool) (catalog.By, catalog.Event) {
	t.Helper()
	by := catalog.By{ID: id.New()}
	_, err := p.Exec(t.Context(), `INSERT INTO accounts (id, email, name, password_hash, roles)
		VALUES ($1, $2, 'Ada', 'x', '{creator}')`, by.ID, by.ID.String()+"@example.com")
	require.NoError(t, err)
	c := catalog.New(p, catalog.Config{})
	e, err := c.CreateEvent(t.Context(), catalog.NewEvent{
		CreatorID: by.ID, Title: "Ridge Run", Zone: "Europe/Paris", Starts: "2026-07-14T18:00", Ends: "2026-07-14T23:30",
		Prices: catalog.PriceList{Currency: "EUR", Photo: 300},
	})
	require.NoError(t, err)
	e, err = c.Publish(t.Context(), by, e.ID)
	require.NoError(t, err)
	return by, e
}

func (f fixture) upload(t *testing.T, name string, content []byte) Uploaded {
	t.Helper()
	up, err := f.Upload(t.Context(), f.input(name, strings.NewReader(string(content))))
	require.NoError(t, err)
	return up
}

func (f fixture) input(name string, r io.Reader) UploadInput {
	return UploadInput{By: f.by, EventID: f.event.ID, Name: name, Reader: r}
}

func (f fixture) uploadAll(t *testing.T, files [][]byte) (ids []uuid.UUID) {
	t.Helper()
	b, err := f.Begin(t.Context(), f.by, f.event.ID)
	require.NoError(t, err)
	for i, content := range files {
		require.NoError(t, b.Add(t.Context(), fmt.Sprintf("%03d.jpg", i), strings.NewReader(string(content))))
	}
	out, err := b.Commit(t.Context())
	require.NoError(t, err)
	for _, u := range out {
		ids = append(ids, u.ID)
	}
	return ids
}

func (f fixture) photo(t *testing.T, photo uuid.UUID) catalog.Photo {
	t.Helper()
	p, err := f.catalog.Photo(t.Context(), f.db.Pool, photo)
	require.NoError(t, err)
	return p
}

func (f fixture) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, f.db.Pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// files lists what the folder holds under a prefix.
func (f fixture) files(t *testing.T, prefix string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.dir, path)
		if strings.HasPrefix(rel, prefix) {
			out = append(out, rel)
		}
		return err
	}))
	return out
}

// work runs a queue's workers until the test ends.
func work(t *testing.T, s *Service, p *pgxpool.Pool) {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, NewWorker(s))
	client, err := jobs.New(jobs.Config{
		Pool: p, Workers: workers, Queues: map[string]int{Queue: 1}, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, client.Stop(ctx))
	})
}

func (f fixture) eventuallyDone(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return f.count(t, "SELECT count(*) FROM photos WHERE state = 'processing'") == 0
	}, 60*time.Second, 20*time.Millisecond)
}

// brokenJobs is a queue that fails, as a crash in the middle of a transaction
// would: everything is undone.
type brokenJobs struct{}

func (brokenJobs) EnqueueTx(context.Context, pgx.Tx, string, ...river.JobArgs) error {
	return fmt.Errorf("the queue is broken")
}
