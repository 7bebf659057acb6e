package app

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every test that docs/mistakes.md names exists, and every guard.
func TestMistakesAreTested(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/mistakes.md")
	require.NoError(t, err)
	src, err := exec.CommandContext(t.Context(), "git", "grep", "-hE", `^func Test|guard\.Define\(`, "--", "../../*.go").Output()
	require.NoError(t, err)
	names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(doc), -1)
	require.NotEmpty(t, names)
	for _, n := range names {
		require.Contains(t, string(src), "func "+n[1]+"(", "docs/mistakes.md names a test that is not there")
	}
	for _, g := range regexp.MustCompile("guard `([a-z_.]+)`").FindAllStringSubmatch(string(doc), -1) {
		require.True(t, strings.Contains(string(src), `"`+g[1]+`"`), "docs/mistakes.md names guard %s, which is not there", g[1])
	}
}
