package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

// selfEnv turns the test binary into withpg itself.
const selfEnv = "PROOFROOM_TEST_WITHPG"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(selfEnv); ok {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func withpg(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, pgtest.URLEnv+"=") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(append(cmd.Env, selfEnv+"=1"), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestCommandGetsAServerForItsLife(t *testing.T) {
	t.Parallel()
	cmd := withpg(t, nil, "sh", "-c", `echo "$PROOFROOM_TEST_DATABASE_URL"; read line; exit 7`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	conn, err := pgx.Connect(t.Context(), lines.Text())
	require.NoError(t, err)
	require.NoError(t, conn.Ping(t.Context()))
	require.NoError(t, in.Close())
	require.Error(t, cmd.Wait())
	require.Equal(t, 7, cmd.ProcessState.ExitCode())
	require.Error(t, conn.Ping(t.Context()))
	_, err = pgx.Connect(t.Context(), lines.Text())
	require.Error(t, err)
}

func TestSignalsReachTheCommand(t *testing.T) {
	t.Parallel()
	url := pgtest.URLEnv + "=postgres://taken/as?it=is"
	cmd := withpg(t, []string{url}, "sh", "-c", `trap 'exit 9' TERM; echo "$PROOFROOM_TEST_DATABASE_URL"; while :; do read line; done`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "postgres://taken/as?it=is", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	// The shell runs its trap when its read returns.
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			require.Error(t, err)
			require.Equal(t, 9, cmd.ProcessState.ExitCode())
			return
		case <-ticks.C:
			_, _ = in.Write([]byte("\n"))
		}
	}
}

func TestKilledCommandAndMissingCommand(t *testing.T) {
	t.Parallel()
	url := []string{pgtest.URLEnv + "=postgres://unused"}
	killed := withpg(t, url, "sh", "-c", "kill -KILL $$")
	require.Error(t, killed.Run())
	require.Equal(t, 128+9, killed.ProcessState.ExitCode())
	missing := withpg(t, url, "/no/such/command")
	missing.Stderr = nil
	require.Error(t, missing.Run())
	require.Equal(t, 1, missing.ProcessState.ExitCode())
}

func TestWithoutCommandItHoldsTheServer(t *testing.T) {
	t.Parallel()
	cmd := withpg(t, nil)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	url, ok := strings.CutPrefix(lines.Text(), "export "+pgtest.URLEnv+"='")
	require.True(t, ok, lines.Text())
	conn, err := pgx.Connect(t.Context(), strings.TrimSuffix(url, "'"))
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait())
}
