package app

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What docs/operations.md and the files in deploy/ say is what the program has.
func TestOperationsSayWhatIs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	settings := map[string]bool{}
	for f := range reflect.TypeFor[Config]().Fields() {
		settings[f.Tag.Get("env")] = true
	}
	for _, f := range append(files, "../../docs/operations.md") {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`PROOFROOM_[A-Z_]+`).FindAllString(string(text), -1) {
			require.True(t, settings[name], "%s names the setting %s, which is not there", f, name)
		}
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	source, err := filepath.Glob("../*/*/*.go")
	require.NoError(t, err)
	more, err := filepath.Glob("*.go")
	require.NoError(t, err)
	all := ""
	for _, f := range append(source, more...) {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		all += string(text)
	}
	for _, name := range regexp.MustCompile(`proofroom_(?:inbox|webhooks|http|backup)[a-z_]*`).FindAllString(string(doc), -1) {
		require.Contains(t, all, `"`+name+`"`, "docs/operations.md names a metric that is not there")
	}

	// The unit waits for longer than a stop takes: the drain, then the database.
	unit, err := os.ReadFile("../../deploy/proofroom.service")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(unit)
	require.NotNil(t, found)
	seconds, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	require.Greater(t, time.Duration(seconds)*time.Second, 2*drainTime)
}
