package importdir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
)

// Whatever files are named that lie in a folder, each is found once, below the
// folder, and its name is taken or refused with a reason that can be shown.
func FuzzFolder(f *testing.F) {
	for _, s := range []string{"a.jpg", "Tag 1/été.JPG", ".hidden", ".git/x.jpg", "a\nb.jpg", "\xff.jpg", "a\u202egpj.exe", " ", "-rf", "a\\b.jpg", strings.Repeat("x", 255)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		dir := t.TempDir()
		rel := filepath.Clean(name)
		if !filepath.IsLocal(name) || rel == "." || strings.ContainsRune(name, 0) || strings.Count(rel, "/") > 5 {
			return
		}
		path := filepath.Join(dir, rel)
		if os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(path, []byte("x"), 0o600) != nil {
			return // a name that the file system does not take
		}
		require.NoError(t, os.Symlink(path, filepath.Join(dir, "link.jpg.of.ours")))
		files, err := list(dir)
		require.NoError(t, err)
		hidden := false
		for part := range strings.SplitSeq(rel, "/") {
			hidden = hidden || strings.HasPrefix(part, ".")
		}
		if hidden {
			require.Empty(t, files)
			return
		}
		require.Equal(t, []string{rel}, files)
		var r run
		if _, err := catalog.CleanPhotoName(filepath.Base(rel)); err != nil {
			p := problem.As(err)
			r.refuse(rel, p.Title+". "+p.Detail)
			out, err := json.Marshal(r.out)
			require.NoError(t, err)
			require.NotContains(t, string(out), "\n")
		}
	})
}
