package pool

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"proofroom/internal/darkroom/wire"
)

// TestTheServerNeverHoldsAPhotograph sends many large ones and counts what was
// allocated for all of them together.
func TestTheServerNeverHoldsAPhotograph(t *testing.T) {
	// Not parallel: it measures what is allocated meanwhile.
	p := newPool(t, Config{Binary: stubBinary})
	require.NoError(t, p.Probe(t.Context()))
	const photographs, size = 50, 12 << 20
	original := func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(io.LimitReader(io.MultiReader(strings.NewReader("good:"), zeroReader{}), size)), size, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range photographs {
		_, err := p.Develop(t.Context(), original, wire.Options{})
		require.NoError(t, err)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(photographs*size/40), "less than a fortieth of what went through")
}

// TestAFileThatCannotBeReadBlamesNeitherPhotographNorDarkroom: what a slow or
// broken store did is told as that, and a child that got a part of it is ended.
func TestAFileThatCannotBeReadBlamesNeitherPhotographNorDarkroom(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	pid := idlePID(t, p)
	broken := errors.New("the disk is gone")
	_, err := p.Develop(t.Context(), func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, broken }, wire.Options{})
	require.ErrorIs(t, err, wire.ErrSource)
	require.ErrorIs(t, err, broken)
	require.Equal(t, pid, idlePID(t, p), "nothing was sent")

	halfway := func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("\xff\xd8\xff"), iotest.ErrReader(broken))), 1 << 20, nil
	}
	_, err = p.Develop(t.Context(), halfway, wire.Options{})
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, ErrUnavailable)
	var bad *wire.Unreadable
	require.False(t, errors.As(err, &bad))
	eventually(t, "the child is dead", func() bool { return !running(pid) })
}

// slowReader lets the time that a photograph may take pass before each byte.
type slowReader struct {
	io.Reader
	pause time.Duration
}

func (r slowReader) Read(b []byte) (int, error) {
	<-time.After(r.pause)
	return r.Reader.Read(b[:1])
}

func TestASlowStoreIsNotThePhotographsFault(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	p := newPool(t, Config{Binary: stubBinary, Timeout: timeout})
	slow := func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(slowReader{strings.NewReader("good"), timeout / 3}), 4, nil
	}
	_, err := p.Develop(t.Context(), slow, wire.Options{})
	require.NoError(t, err, "all of it took longer than the time for one photograph")
	// And who cancels need not wait for it.
	ctx, cancel := context.WithTimeout(t.Context(), timeout/2)
	defer cancel()
	_, err = p.Develop(ctx, slow, wire.Options{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// develops gives the pool a photograph that is ready once the named pipe that
// it answers is opened for writing.
func develops(t *testing.T, p *Pool) (gate string, done chan error) {
	t.Helper()
	gate, done = filepath.Join(t.TempDir(), "gate"), make(chan error, 1)
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	go func() {
		_, err := p.Develop(t.Context(), wire.Bytes([]byte("until:"+gate)), wire.Options{})
		done <- err
	}()
	eventually(t, "the child has the photograph", func() bool { return isBusy(p) })
	return gate, done
}

func TestDrainFinishesWhatIsInHandAndTakesNoMore(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	gate, done := develops(t, p)
	waiting := make(chan error, 1)
	go func() {
		_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
		waiting <- err
	}()
	drained := make(chan struct{})
	go func() {
		p.Drain(t.Context())
		close(drained)
	}()
	require.ErrorIs(t, <-waiting, ErrClosed, "what waited for a child goes back at once")
	_, err := p.Develop(t.Context(), wire.Bytes([]byte("good")), wire.Options{})
	require.ErrorIs(t, err, ErrClosed)
	select {
	case <-drained:
		t.Fatal("a photograph was in hand")
	default:
	}
	f, err := os.OpenFile(gate, os.O_WRONLY, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, <-done, "it was finished")
	<-drained
	require.ErrorIs(t, p.Probe(t.Context()), ErrClosed)
}

func TestDrainGivesBackWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary})
	_, done := develops(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Drain(ctx)
	require.ErrorIs(t, <-done, ErrClosed)
	p.Drain(ctx) // again, and after Close, it has nothing to do
}

func TestCloseEndsADrain(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{Binary: stubBinary, Size: 2})
	gate, done := filepath.Join(t.TempDir(), "gate"), make(chan error, 1)
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	go func() {
		_, err := p.Develop(t.Context(), wire.Bytes([]byte("until:"+gate)), wire.Options{})
		done <- err
	}()
	eventually(t, "one of two is at work", func() bool { return len(p.places) == 1 })
	drained := make(chan struct{})
	go func() {
		p.Drain(context.WithoutCancel(t.Context()))
		close(drained)
	}()
	eventually(t, "the drain holds the other place", func() bool { return len(p.places) == 2 })
	p.Close()
	<-drained
	require.ErrorIs(t, <-done, ErrClosed)
}

// TestTheServerIsHiddenFromItsChildren: the kernel shows its memory and
// environment to no other process of its user; what that is worth is shown
// beside the darkroom.
func TestTheServerIsHiddenFromItsChildren(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{})
	require.NoError(t, p.Probe(t.Context()))
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	require.NoError(t, err)
	require.Zero(t, dumpable)
	require.Empty(t, p.Lacks(), "this kernel offers every layer")
}
