package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/media"
)

func TestDoctorLooksAtTheMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "files"), 0o700))
	at := func(c *Config) { c.DataDir, c.Blobs = dir, filepath.Join(dir, "files") }
	found, _ := w.examine(at)
	require.Equal(t, fine, found["folders"].State)
	require.Equal(t, look, found["backup"].State)
	require.Contains(t, found["backup"].Detail, "none was made")
	require.Contains(t, found["disk of photographs"].Detail, "free of")
	// The tests' own server is tuned for tests.
	require.Equal(t, look, found["database settings"].State)
	require.Contains(t, found["database settings"].Detail, "max_wal_size = 4GB")
	require.Contains(t, found, "stand-in")
	require.NotContains(t, found, "trusted proxies")

	require.NoError(t, os.Chmod(filepath.Join(dir, "files"), 0o755)) //nolint:gosec // that is the mistake
	require.NoError(t, noteBackup(dir, lastBackup{At: time.Now().Add(-time.Hour), Dir: dir}))
	found, _ = w.examine(func(c *Config) {
		at(c)
		c.TrustedProxies = []string{"10.0.0.0/8", "::/0"}
		c.FlutterwaveSecretHashes, c.StripeWebhookSecrets = []string{"short"}, []string{"sk_test_by_mistake"}
	})
	require.Equal(t, wrong, found["folder "+filepath.Join(dir, "files")].State)
	require.Equal(t, look, found["trusted proxies"].State)
	require.Equal(t, look, found["secrets"].State)
	require.Equal(t, look, found["backup"].State, "it lies beside what it is a copy of")
	require.Contains(t, found["backup"].Detail, "on the same disk")

	found, _ = w.examine(func(c *Config) { c.TrustedProxies = []string{"a proxy"} })
	require.Equal(t, wrong, found["trusted proxies"].State)
}

func TestDoctorKnowsHowLongTheDiskLasts(t *testing.T) {
	t.Parallel()
	const gb = 1e9
	days, says := lasts(100*gb, media.Growth{Bytes: 14 * gb, Oldest: 30 * 24 * time.Hour})
	require.InDelta(t, 50, days, 0.01)
	require.Contains(t, says, "at the rate of the last 7 days (2.0 GB of photographs a day, without the database) it lasts for 50 days")
	days, _ = lasts(100*gb, media.Growth{Bytes: 10 * gb, Oldest: 2 * 24 * time.Hour})
	require.InDelta(t, 20, days, 0.01, "a young shop is measured over its own age")
	for _, unknown := range []media.Growth{{}, {Bytes: gb, Oldest: time.Hour}, {Oldest: 30 * 24 * time.Hour}} {
		_, says := lasts(100*gb, unknown)
		require.Empty(t, says)
	}
	for want, s := range map[string]space{
		fine:  {free: 100 * gb, size: 200 * gb, names: 900, nodes: 1000},
		look:  {free: 2 * gb, size: 200 * gb},
		wrong: {free: gb / 2, size: 200 * gb},
	} {
		state, _ := s.judge()
		require.Equal(t, want, state)
	}
	state, detail := space{free: 100 * gb, size: 200 * gb, names: 10, nodes: 1000}.judge()
	require.Equal(t, look, state)
	require.Contains(t, detail, "only 10 files more")
}

func TestDoctorKnowsWhenBackupsStopped(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]string{time.Hour: fine, 40 * time.Hour: look, 8 * 24 * time.Hour: wrong} {
		state, _ := lastBackup{At: at}.judge(at.Add(age))
		require.Equal(t, want, state, age)
	}
	state, detail := lastBackup{At: at, Dir: "/backups/1", Verified: true, Lost: 2}.judge(at.Add(time.Hour))
	require.Equal(t, look, state)
	require.Equal(t, "the last is of 2026-05-01 03:00:00 UTC (1h0m0s ago), /backups/1, proven by restoring; 2 files were lost in the store before it", detail)
}
