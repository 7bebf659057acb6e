package importdir

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/core/media/pool"
)

func TestAFolderBecomesPhotographs(t *testing.T) {
	t.Parallel()
	darkroom := filepath.Join(t.TempDir(), "darkroom")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", darkroom, "proofroom/cmd/darkroom").CombinedOutput()
	require.NoError(t, err, "%s", out)
	room := pool.New(pool.Config{Binary: darkroom, Size: 1})
	t.Cleanup(room.Close)
	f := setUp(t, room)
	whole := photograph(t, "testdata/branches.jpg")
	f.write(t, "a.jpg", whole)
	f.write(t, "first day/b.png", photograph(t, "prism/test-images/pizza-rgb8-srgb.png"))
	f.write(t, "first day/a copy.jpg", whole)
	f.write(t, "second day/half.jpg", whole[:len(whole)/2])
	f.write(t, "notes.txt", []byte("Call the caterer."))
	f.write(t, "empty.jpg", nil)
	f.write(t, "large.jpg", append(bytes.Clone(whole), make([]byte, 1<<20)...))
	f.write(t, ".DS_Store", []byte("x"))
	f.write(t, ".thumbnails/a.jpg", another(whole, 1))
	f.write(t, "locked.jpg", another(whole, 2))
	require.NoError(t, os.Remove(filepath.Join(f.Dir, "locked.jpg")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(f.Dir, "locked.jpg")))

	workers := river.NewWorkers()
	river.AddWorker(workers, media.NewWorker(f.Media))
	queue, err := jobs.New(jobs.Config{Pool: f.db.Pool, Workers: workers, Queues: map[string]int{media.Queue: 1}, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, queue.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, queue.Stop(context.WithoutCancel(t.Context()))) })

	f.Wait, f.Progress = true, new(bytes.Buffer)
	got, err := Run(t.Context(), f.Config)
	require.NoError(t, err)
	require.Equal(t, Summary{
		Event: f.event.ID, Slug: f.event.Slug, Files: 7, Created: 3, Duplicates: 1, Unreadable: 1, Refused: 3,
		Bytes: got.Bytes, Seconds: got.Seconds, Problems: got.Problems,
	}, got)
	var bad []string
	for _, p := range got.Problems {
		bad = append(bad, p.File)
		require.NotEmpty(t, p.Reason)
	}
	require.ElementsMatch(t, []string{"empty.jpg", "large.jpg", "notes.txt", "second day/half.jpg"}, bad)
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM photos WHERE state = 'ready'"))
	require.Empty(t, f.Progress.(*bytes.Buffer).String(), "no bar where there is no terminal")

	again, err := Run(t.Context(), f.Config)
	require.NoError(t, err)
	require.Equal(t, [4]int{0, 4, 1, 3}, [4]int{again.Created, again.Duplicates, again.Unreadable, again.Refused})
	require.Equal(t, 3, f.count(t, "SELECT count(*) FROM photos"))
}

// An import is killed with SIGKILL again and again while it works. The run that
// is left alone ends where one undisturbed run ends.
func TestAKilledImportIsRunAgain(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	const files, copies, kills = 400, 20, 3
	base := photograph(t, "testdata/video-001.jpeg")
	for i := range files {
		f.write(t, fmt.Sprintf("%d/%03d.jpg", i/100, i), another(base, i))
	}
	for i := range copies {
		f.write(t, fmt.Sprintf("copies/%03d.jpg", i), another(base, i*7))
	}
	text, err := json.Marshal(order{URL: f.db.URL, Files: f.files, Dir: f.Dir, Event: f.event.ID.String()})
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	count := func() int { return f.count(t, "SELECT count(*) FROM photos") }
	for kill := range kills {
		child := exec.CommandContext(t.Context(), self)
		child.Env = append(os.Environ(), childOrder+"="+string(text))
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		require.NoError(t, child.Start())
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		before := count()
		require.Eventually(t, func() bool { return count() > before }, 20*time.Second, time.Millisecond, "kill %d", kill)
		require.NoError(t, child.Process.Kill())
		require.ErrorContains(t, <-ended, "killed", "it must not have ended by itself")
		require.Less(t, count(), files, "it must have been killed before its end")
	}
	left := count()
	got, err := Run(t.Context(), f.Config)
	require.NoError(t, err)
	require.Equal(t, files+copies, got.Files)
	require.Equal(t, files-left, got.Created)
	require.Equal(t, left+copies, got.Duplicates)
	require.Zero(t, got.Refused)
	require.Equal(t, files, got.Processing)

	undisturbed := f.Config
	other := f.newEvent(t)
	undisturbed.Event = other.Slug
	_, err = Run(t.Context(), undisturbed)
	require.NoError(t, err)
	content := func(e catalog.Event) []string {
		rows, err := f.db.Pool.Query(t.Context(), `SELECT encode(p.sha256, 'hex') || ' ' || p.state || ' ' || b.key || ' ' || b.bytes || ' ' || b.format
			FROM photos p JOIN blobs b ON b.photo_id = p.id WHERE p.event_id = $1 ORDER BY p.sha256`, e.ID)
		require.NoError(t, err)
		out, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return out
	}
	require.Len(t, content(f.event), files)
	require.Equal(t, content(other), content(f.event))
	// Each photograph is in exactly one job, and its file is whole.
	require.Equal(t, files, f.count(t, `SELECT count(DISTINCT p.id) FROM photos p
		JOIN river_job j ON j.args->'photo_ids' ? p.id::text WHERE p.event_id = $1`, f.event.ID))
	require.Equal(t, 2*files, f.count(t, "SELECT sum(jsonb_array_length(args->'photo_ids')) FROM river_job"))
	for _, p := range f.allPhotos(t) {
		file, err := f.Media.OpenOriginal(t.Context(), p.ID)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
}

func (f fixture) allPhotos(t *testing.T) []catalog.Photo {
	t.Helper()
	photos, err := f.Catalog.PhotosOf(t.Context(), f.event.ID, id.New(), 1, true)
	require.NoError(t, err)
	require.Empty(t, photos)
	photos, err = f.Catalog.PhotosOf(t.Context(), f.event.ID, [16]byte{}, 10_000, true)
	require.NoError(t, err)
	return photos
}

func TestImportsThatCannotBegin(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.write(t, "a.jpg", photograph(t, "testdata/video-001.jpeg"))
	with := func(change func(*Config)) error {
		cfg := f.Config
		change(&cfg)
		_, err := Run(t.Context(), cfg)
		return err
	}
	require.ErrorIs(t, with(func(c *Config) { c.Event = "no-such-event" }), catalog.ErrEventNotFound)
	require.ErrorIs(t, with(func(c *Config) { c.Event = id.New().String() }), catalog.ErrEventNotFound)
	require.ErrorIs(t, with(func(c *Config) { c.By = catalog.By{} }), catalog.ErrNotYours)
	require.ErrorIs(t, with(func(c *Config) { c.Dir = filepath.Join(f.Dir, "none") }), os.ErrNotExist)
	require.ErrorContains(t, with(func(c *Config) { c.Dir = filepath.Join(f.Dir, "a.jpg") }), "not a folder")
	_, err := f.Catalog.Close(t.Context(), f.By, f.event.ID)
	require.NoError(t, err)
	require.ErrorIs(t, with(func(*Config) {}), catalog.ErrEventClosed)
	require.Zero(t, f.count(t, "SELECT count(*) FROM photos"))
}

func TestNobodyDevelops(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.write(t, "a.jpg", photograph(t, "testdata/video-001.jpeg"))
	f.Wait = true
	// Long enough to put the file in on a machine that is busy; nobody develops it
	// however long one waits.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got, err := Run(ctx, f.Config)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 1, got.Created)
	require.Equal(t, 1, got.Processing)
}

// A bar is drawn on a terminal: here a real one, read from its other side.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer func() { _ = master.Close() }()
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	drawn := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(master) // fails once the terminal is closed
		drawn <- string(b)
	}()
	f := setUp(t, nil)
	base := photograph(t, "testdata/video-001.jpeg")
	for i := range 30 {
		f.write(t, fmt.Sprintf("%02d.jpg", i), another(base, i))
	}
	f.Progress = terminal
	_, err = Run(t.Context(), f.Config)
	require.NoError(t, err)
	require.NoError(t, terminal.Close())
	text := <-drawn
	require.Contains(t, text, "importing")
	require.Contains(t, text, "30 / 30")
}
