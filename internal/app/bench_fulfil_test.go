package app

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/bench/fulfil"
)

// asProgram, where it is set, makes this test binary the program: a measurement
// starts processes of the file that it runs from.
const asProgram = "TEST_AS_PROOFROOM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" && !slices.Contains(os.Args, "-test.fuzzworker") {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	// For the processes that tests start, and not for those that ask pgtest for a
	// server: these are told apart before any of this runs.
	if err := os.Setenv(asProgram, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// All of a measurement in small: real processes, events of all providers, the
// floor, the drain, and every promise checked. How fast it is on a
// machine that runs other tests says nothing.
func TestBenchFulfil(t *testing.T) {
	t.Parallel()
	code, out, stderr := command("bench", "fulfil", "--events", "200", "--clients", "4", "--rounds", "1",
		"--only", "floor,stripe,mixed,drain", "--pg", "fsync=off", "--json")
	var got fulfil.Report
	require.NoError(t, json.Unmarshal([]byte(out), &got), "%s", stderr)
	require.Empty(t, got.Broken)
	require.Zero(t, got.Lost)
	require.Zero(t, got.Duplicates)
	require.Equal(t, got.Void, code != 0, "%s", stderr)
	for _, f := range []*float64{got.Ratio, got.StripeOnlyRatio, got.FloorPerS, got.CeilingPerS, got.FulfilledPerS} {
		require.NotNil(t, f)
		require.Positive(t, *f)
	}
	require.Nil(t, got.History, "it was not asked for")
	require.Len(t, got.Rounds, 4)
	for _, r := range got.Rounds {
		require.Positive(t, r.Granted, r.Side)
		require.Equal(t, r.Granted, r.Done, r.Side)
		require.Positive(t, r.WAL, r.Side)
	}
	require.Equal(t, "off", got.Settings.Fsync, "as the server reports it")
	require.Equal(t, map[string]int{"stripe": 60, "paypal": 60, "flutterwave": 60}, got.Settings.PerProvider)
	require.Positive(t, got.RSS)
}

// What cannot be measured is said before anything is started.
func TestBenchFulfilRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{{"--events", "10"}, {"--rounds", "0"}, {"--clients", "0"}, {"--history", "0"}} {
		code, out, stderr := command(append([]string{"bench", "fulfil"}, bad...)...)
		require.Equal(t, 1, code, "%v", bad)
		require.Empty(t, out)
		require.Contains(t, stderr, "measure at least")
	}
}
