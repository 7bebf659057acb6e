package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/bench"
	"proofroom/internal/proof/bench/checkout"
	"proofroom/internal/proof/bench/ingest"
)

// benchSmall measures a little, to see that what is measured is right: what the
// figures say depends on what else the machine does.
func benchSmall(t *testing.T, program string) {
	t.Helper()
	settings := map[string]string{"fsync": "off", "shared_buffers": "64MB"}

	// Both at once would be slow on a small machine.
	orders, err := checkout.Run(t.Context(), checkout.Config{
		Binary: program, Clients: 4, Orders: 40, Rounds: 1, Settings: settings, Progress: t.Output(),
	})
	counts(t, err)
	require.Equal(t, 40+16, orders.Orders, "with those that warm up")
	require.Equal(t, 40+16, orders.Replayed)
	require.Len(t, orders.Rounds, 3)
	require.Positive(t, orders.Ratio)
	require.Positive(t, orders.RatioSQLOnly)
	require.Equal(t, map[string]int{
		"orders": 1, "order_lines": 2, "reservations": 2, "attempts": 1, "open_orders": 1, "order_history": 1, "idempotency_keys": 1,
	}, orders.RowsPerOrder)
	require.Equal(t, "off", orders.Settings.Fsync, "what the figures depend on is told")
	shown(t, orders, "ratio", "ratio_sql_only", "per_s", "p99_ms")

	photos, err := ingest.Run(t.Context(), ingest.Config{
		Binary: program, Darkroom: filepath.Join(filepath.Dir(program), "darkroom"), Photos: 3, Sizes: []ingest.Size{{Width: 3300, Height: 2200}},
		Rounds: 1, Cache: t.TempDir(), Settings: settings, Progress: t.Output(),
	})
	counts(t, err)
	require.Len(t, photos.Rounds, 3)
	require.Positive(t, photos.Ratio)
	require.Positive(t, photos.RatioChained)
	require.Positive(t, photos.RSS)
	shown(t, photos, "ratio", "photos_per_s_core", "rss_mb", "server_rss_growth_mb")
}

// counts accepts that others used the machine, and nothing else.
func counts(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, bench.ErrVoid) {
		require.NoError(t, err)
	}
}

// shown sees to it that a report can be read by people and by programs.
func shown(t *testing.T, r benchReport, names ...string) {
	t.Helper()
	var table, line bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Contains(t, table.String(), "ours")
	require.NoError(t, r.WriteJSON(&line))
	require.Equal(t, 1, bytes.Count(line.Bytes(), []byte("\n")))
	var got map[string]any
	require.NoError(t, json.Unmarshal(line.Bytes(), &got))
	for _, name := range names {
		require.Contains(t, got, name)
	}
}

// What cannot be measured is said before anything is started.
func TestBenchRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{
		{"bench", "checkout", "--clients", "0"},
		{"bench", "checkout", "--orders", "3"},
		{"bench", "checkout", "--rounds", "0"},
		{"bench", "ingest", "--photos", "0"},
		{"bench", "ingest", "--rounds", "0"},
	} {
		code, out, stderr := command(bad...)
		require.Equal(t, 1, code, "%v", bad)
		require.Empty(t, out)
		require.Contains(t, stderr, "measure at least one")
	}
}
