package scenarios

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/verify"
)

func TestCatalogue(t *testing.T) {
	t.Parallel()
	require.NoError(t, verify.CheckCutSets(CutSets, All, verify.Required()))
	seen := map[string]bool{}
	for _, s := range All {
		require.False(t, seen[s.ID], "%s is there twice", s.ID)
		seen[s.ID] = true
		require.NotEmpty(t, s.Title, s.ID)
		require.NotEmpty(t, s.Rows, s.ID)
		require.NotEmpty(t, s.Needs, "%s must show that it pressed", s.ID)
		require.Positive(t, s.Quick, s.ID)
		require.GreaterOrEqual(t, s.Full, s.Quick, s.ID)
		require.Contains(t, []verify.Severity{verify.Critical, verify.High, verify.Medium}, s.Severity)
		require.Contains(t, []verify.Build{verify.Release, verify.Proof}, s.Build)
	}
	// What is required so far.
	for _, want := range strings.Fields("C01 C02 C04 C05 C06 W01 W04 W05 W06 W07 X01 X05 S01") {
		require.True(t, seen[want], want)
	}
}
