package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a backup says of itself, copying it leaves files in the folder of the
// database that is restored and nowhere else, and what is not as it should be is
// an error. The hashes of the list and the manifest are right: whoever writes a
// backup can make them.
func FuzzManifest(f *testing.F) {
	empty := fmt.Sprintf("%x", sha256.Sum256(nil))
	for _, s := range [][3]string{
		{`{"format":1,"method":"base","folders":["database","database/base"],"sums_sha256":"?"}`, empty + "  database/PG_VERSION\n", "database/PG_VERSION"},
		{`{"format":1,"method":"base","folders":["database../../out"],"sums_sha256":"?"}`, empty + "  database../../out\n", "out"},
		{`{"format":1,"method":"base","folders":["database/../out","/tmp","..",""],"sums_sha256":"?"}`, empty + "  database/../out\n", "out"},
		{`{"format":1,"method":"dump","sums_sha256":"?"}`, empty + "  database/proofroom.dump\n", "database/proofroom.dump"},
		{`{"format":2,"schema":9223372036854775807}`, "", ""},
		{`{"format":-1,"method":"x","sums_sha256":"?"}`, "x  y\n", "y"},
		{"null", "\x00", "a"},
		{"", "", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, manifest, list, name string) {
		root := t.TempDir()
		dir, stage := filepath.Join(root, "backup"), filepath.Join(root, "new", "stage")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, databaseDir), 0o700))
		require.NoError(t, os.MkdirAll(filepath.Join(stage, "postgres", "postgres"), 0o700))
		if filepath.IsLocal(name) && !strings.ContainsRune(name, 0) {
			path := filepath.Join(dir, name)
			if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
				_ = os.WriteFile(path, nil, 0o600) // a name that the file system does not take is not there
			}
		}
		sum := sha256.Sum256([]byte(list))
		manifest = strings.Replace(manifest, `"?"`, `"`+hex.EncodeToString(sum[:])+`"`, 1)
		sum = sha256.Sum256([]byte(manifest))
		for file, text := range map[string]string{sumsFile: list, manifestFile: manifest, hashOfIt: hex.EncodeToString(sum[:]) + "  " + manifestFile + "\n"} {
			if os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600) != nil {
				return // the name made a folder of it
			}
		}
		m, err := Read(dir)
		if err != nil {
			return
		}
		before := files(t, root, filepath.Join(stage, "postgres", "postgres"))
		c := copier{ctx: t.Context(), dir: dir, manifest: m, postgres: filepath.Join(stage, "postgres")}
		err = c.run()
		require.Equal(t, before, files(t, root, filepath.Join(stage, "postgres", "postgres")), "something was written elsewhere: %v", err)
	})
}

// files lists what lies below a folder, except for what lies below another.
func files(t *testing.T, root, except string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == except {
			return fs.SkipDir
		}
		if strings.HasPrefix(except, path) {
			return nil // on the way there
		}
		out = append(out, path)
		return nil
	}))
	return out
}
