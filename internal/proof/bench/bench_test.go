package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStatistics(t *testing.T) {
	t.Parallel()
	require.Zero(t, Median(nil))
	require.InDelta(t, 3, Median([]float64{5, 1, 3}), 0)
	require.InDelta(t, 2.5, Median([]float64{4, 1, 3, 2}), 0)
	require.InDelta(t, 0.5, Spread([]float64{8, 10, 13}), 0)
	require.Zero(t, Spread([]float64{7}))

	l := Latencies{4, 2, 3, 1}
	require.Equal(t, time.Duration(2), l.Percentile(0.5))
	require.Equal(t, time.Duration(4), l.Percentile(0.99))
	require.Equal(t, time.Duration(1), l.Percentile(0))
	require.Zero(t, Latencies(nil).Percentile(0.5))
	require.InDelta(t, 1.235, Round(1.2349, 3), 0)
	require.InDelta(t, 1.5, Millis(1500*time.Microsecond), 0)
}

func TestFdatasync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	took, err := Fdatasync(dir, 5)
	require.NoError(t, err)
	require.Positive(t, took)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestProcessesAreRead(t *testing.T) {
	t.Parallel()
	p, err := parseProcess([]byte("42 (a ) b) S 7 1 1 0 -1 0 0 0 0 0 10 20 3 4 20 0 1 0 100 1000000 9 0"))
	require.NoError(t, err)
	require.Equal(t, process{parent: 7, own: 30, waited: 7, rss: 9 * int64(os.Getpagesize())}, p)
	_, err = parseProcess([]byte("42 (half"))
	require.ErrorIs(t, err, errStat)

	busy, err := parseBusy("cpu  100 10 40 900 50 1 2 3 0 0")
	require.NoError(t, err)
	require.Equal(t, 1560*time.Millisecond, busy, "idle and waiting for the disk are not busy")
	_, err = parseBusy("cpu0 1")
	require.Error(t, err)
}

// A child's time is its parent's, and no other's.
func TestOthersAreTold(t *testing.T) {
	t.Parallel()
	before, err := Of(os.Getpid())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	require.NoError(t, cmd.Run())
	after, err := Of(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, after.Since(before).CPU)
	require.Positive(t, after.RSS)
	_, err = Of(1 << 30)
	require.Error(t, err)

	o, err := WatchOthers()
	require.NoError(t, err)
	share, err := o.Share()
	require.NoError(t, err)
	require.GreaterOrEqual(t, share, 0.0)
}
