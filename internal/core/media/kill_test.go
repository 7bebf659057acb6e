package media

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media/pool"
	"proofroom/internal/darkroom/wire"
)

// workerOrder is the environment variable that makes this test binary a worker
// of the queue: what it works on, as JSON.
const workerOrder = "MEDIA_TEST_WORKER"

type childOrder struct {
	URL, Dir, Darkroom string
	Stop               int32 // at which photograph it stops and waits to be killed
}

// stoppingRoom develops some photographs, says so and stands still.
type stoppingRoom struct {
	Room
	seen *atomic.Int32
	stop int32
}

func (r stoppingRoom) Develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error) {
	d, err := r.Room.Develop(ctx, original, opts)
	if r.seen.Add(1) == r.stop {
		_, _ = fmt.Fprintln(os.Stdout, "standing still")
		select {}
	}
	return d, err
}

func workInChild(order string) {
	fail := func(err error) {
		if err != nil {
			_, _ = fmt.Fprintln(os.Stdout, "worker:", err)
			os.Exit(1)
		}
	}
	var o childOrder
	fail(json.Unmarshal([]byte(order), &o))
	ctx := context.Background()
	db, err := pg.Open(ctx, pg.PoolConfig{URL: o.URL, Role: pg.AppRole})
	fail(err)
	files, err := OpenStore(ctx, o.Dir)
	fail(err)
	children := pool.New(pool.Config{Binary: o.Darkroom, Size: 1})
	workers := river.NewWorkers()
	client, err := jobs.New(jobs.Config{
		Pool: db, Workers: workers, Queues: map[string]int{Queue: 1}, Log: slog.New(slog.DiscardHandler),
	})
	fail(err)
	room := stoppingRoom{children, new(atomic.Int32), o.Stop}
	river.AddWorker(workers, NewWorker(New(db, files, client, room, Config{})))
	fail(client.Start(ctx))
	select {}
}

// killingRoom kills its own children when the first of two halves of a
// photograph has gone to one of them.
type killingRoom struct {
	Room
	children func() []int
	opened   atomic.Int32
	killed   atomic.Int32
}

func (r *killingRoom) Develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error) {
	return r.Room.Develop(ctx, func(ctx context.Context) (io.ReadCloser, int64, error) {
		f, size, err := original(ctx)
		if err != nil || r.opened.Add(1) > 1 {
			return f, size, err
		}
		kill := readerFunc(func([]byte) (int, error) {
			for _, pid := range r.children() {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					r.killed.Add(1)
				}
			}
			return 0, io.EOF
		})
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(f, size/2), kill, f), f}, size, nil
	}, opts)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A child of the darkroom is killed when it has half of a photograph: another
// gets all of it, and the photograph is ready once.
func TestADarkroomKilledMidPhotographIsReplaced(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	// Under a name of its own, its children can be told from those of others.
	binary := filepath.Join(filepath.Dir(darkroomBinary), "darkroom-to-be-killed")
	require.NoError(t, os.Link(darkroomBinary, binary))
	r := &killingRoom{Room: room(t, binary), children: func() (pids []int) {
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && target == binary {
				pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
				pids = append(pids, pid)
			}
		}
		return pids
	}}
	s := New(f.db.Pool, f.Service.files, f.queue, r, Config{})
	up := f.upload(t, "a.jpg", photograph(t, aJPEG))
	require.NoError(t, s.Develop(t.Context(), []uuid.UUID{up.ID}))
	require.Equal(t, int32(1), r.killed.Load())
	require.Equal(t, int32(2), r.opened.Load(), "it was tried twice")
	require.Equal(t, catalog.Ready, f.photo(t, up.ID).State)
	require.Equal(t, 5, f.count(t, "SELECT count(*) FROM blobs"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM photos WHERE state = 'ready'"))
}

// A worker is killed with SIGKILL in the middle of a job, between developing a
// photograph and recording it. What it had done stands, and another ends the
// rest.
func TestAKilledWorkersPhotographsAreDevelopedByAnother(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	const photos, stop = 8, 4
	f.uploadAll(t, many(t, photos))
	order, err := json.Marshal(childOrder{URL: f.db.URL, Dir: f.dir, Darkroom: darkroomBinary, Stop: stop})
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), workerOrder+"="+string(order))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "standing still\n", line)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.Equal(t, stop-1, f.count(t, "SELECT count(*) FROM photos WHERE state = 'ready'"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM river_job WHERE state = 'running'"), "the dead worker's job still counts as running")

	work(t, f.Service, f.db.Pool)
	_, err = f.db.Owner.Exec(t.Context(), "UPDATE photos SET queued_at = queued_at - interval '5 minutes'")
	require.NoError(t, err)
	n, err := f.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, photos-stop+1, n)
	f.eventuallyDone(t)
	require.Equal(t, photos, f.count(t, "SELECT count(*) FROM photos WHERE state = 'ready'"))
	require.Equal(t, 5*photos, f.count(t, "SELECT count(*) FROM blobs"))
}
