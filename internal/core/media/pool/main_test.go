package pool

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The binaries under test, built once: the real darkroom, and a stub that
// misbehaves as told.
var darkroomBinary, stubBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	darkroomBinary, stubBinary = filepath.Join(dir, "darkroom"), filepath.Join(dir, "stub")
	for binary, pkg := range map[string]string{
		darkroomBinary: "proofroom/cmd/darkroom",
		stubBinary:     "./testdata/stub",
	} {
		build := exec.Command("go", "build", "-o", binary, pkg)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// newPool makes a pool of one child that ends with the test.
func newPool(t *testing.T, cfg Config) *Pool {
	t.Helper()
	if cfg.Size == 0 {
		cfg.Size = 1
	}
	if cfg.Binary == "" {
		cfg.Binary = darkroomBinary
	}
	cfg.Log = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := New(cfg)
	t.Cleanup(p.Close)
	return p
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// stub places the stub under a name that changes what it does to every
// photograph.
func stub(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.Link(stubBinary, path))
	return path
}

// photo reads one real photograph out of the modules that carry them.
func photo(t *testing.T, module, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(photoModules()[module], filepath.FromSlash(file)))
	require.NoError(t, err)
	return b
}

// photoModules finds the folders of the modules with test photographs by a
// part of their names. They are downloaded but never compiled.
var photoModules = sync.OnceValue(func() map[string]string {
	dirs := map[string]string{}
	for short, m := range map[string]struct{ version, sum string }{
		"bimg":      {"github.com/h2non/bimg@v1.1.9", "h1:WH20Nxko9l/HFm4kZCA3Phbgu2cbHvYzxwxn9YROEGg="},
		"imaging":   {"github.com/kovidgoyal/imaging@v1.9.0", "h1:TxHvhClPANvDW7eLm7PYDTZU1KE15xbqlFv95DA6DmY="},
		"imagemeta": {"github.com/bep/imagemeta@v1.0.1", "h1:p8W9TcQraMbCbP3ubUPyVVEremktUV7LJm0O2t4jC9o="},
	} {
		var info struct{ Dir, Sum, Error string }
		out, err := exec.Command("go", "mod", "download", "-json", m.version).Output()
		if json.Unmarshal(out, &info) != nil || info.Error != "" || info.Sum != m.sum {
			panic(fmt.Sprintf("download %s: %v: %s", m.version, err, out))
		}
		dirs[short] = info.Dir
	}
	return dirs
})

// running tells whether a process exists and is not just a corpse.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, what)
}
