package app

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

func command(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Main(args, &out, &err)
	return code, out.String(), err.String()
}

// The command fails on a violation and only then.
func TestInvariantsCommand(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	code, out, _ := command("invariants", "--database-url", db.URL)
	require.Equal(t, 0, code)
	require.Contains(t, out, "NOT EXERCISED", "nothing is said of an empty installation")

	_, err := db.Owner.Exec(t.Context(), `INSERT INTO wallets (creator_id, currency, pending) VALUES (gen_random_uuid(), 'EUR', 1)`)
	require.NoError(t, err)
	code, out, stderr := command("invariants", "--database-url", db.URL, "--json")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "an invariant is violated")
	var got struct {
		OK         bool
		Invariants []struct {
			ID         string
			OK         bool
			Rows       int
			Violations int
			IDs        []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.False(t, got.OK)
	require.Len(t, got.Invariants, 7)
	require.Equal(t, "I1", got.Invariants[0].ID)
	require.Equal(t, 1, got.Invariants[0].Violations)
	require.Len(t, got.Invariants[0].IDs, 1)

	code, out, _ = command("invariants", "--database-url", db.URL)
	require.Equal(t, 1, code)
	require.Contains(t, out, "wallet ", "it names what is wrong")
}

// What cannot be run is said before anything is started.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	code, out, _ := command("verify", "--list")
	require.Equal(t, 0, code)
	require.Contains(t, out, "C01")
	for _, bad := range [][]string{{"verify", "run"}, {"verify", "run", "C99"}, {"verify", "--instances", "1"}} {
		code, out, stderr := command(bad...)
		require.Equal(t, 1, code, "%v", bad)
		require.Empty(t, out)
		require.NotEmpty(t, stderr)
	}
}
