package assets

import (
	"bytes"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheManifestIsWhole(t *testing.T) {
	t.Parallel()
	events := map[string]int{}
	for _, e := range Events() {
		require.NotEmpty(t, e.Title)
		events[e.ID] = len(e.Photos)
	}
	require.Equal(t, map[string]int{"harbour-summit": 26, "summer-night": 18, "ridge-run": 50}, events)

	sums := map[string]bool{}
	for _, p := range Load().Packages {
		require.Regexp(t, `^[0-9a-f]{64}$`, p.Tarball.SHA256)
		require.NotEmpty(t, p.Licence)
		for _, f := range p.Files {
			require.Regexp(t, `^[0-9a-f]{64}$`, f.SHA256)
			require.False(t, sums[f.SHA256], "%s is there twice", f.Path)
			sums[f.SHA256] = true
			require.True(t, filepath.IsLocal(f.Path), f.Path)
			require.Equal(t, ".jpg", filepath.Ext(f.Path))
			require.NotEmpty(t, f.Credit, f.Path)
			require.NotEmpty(t, f.Licence, f.Path)
			require.True(t, f.Bytes > 0 && f.Width > 0 && f.Height > 0, f.Path)
			_, known := events[f.Event]
			require.Equal(t, f.Use == Photo, known, "%s is for sale in an event, or for something else", f.Path)
			for _, person := range f.Persons {
				require.Len(t, person.Name, 1)
				if person.Box == nil {
					continue
				}
				require.Len(t, person.Box, 4, f.Path)
				require.True(t, person.Box[0] < person.Box[2] && person.Box[2] <= f.Width, f.Path)
				require.True(t, person.Box[1] < person.Box[3] && person.Box[3] <= f.Height, f.Path)
			}
		}
	}
}

// TestTheSelfiesHaveSomethingToFind: who is kept as a selfie is in photographs
// for sale, but for the stranger, who is in none.
func TestTheSelfiesHaveSomethingToFind(t *testing.T) {
	t.Parallel()
	forSale := map[string]int{}
	for _, f := range Files(Photo) {
		for _, p := range f.Persons {
			forSale[p.Name]++
		}
	}
	selfies := map[string]int{}
	for _, f := range Files(Selfie) {
		for _, p := range f.Persons {
			selfies[p.Name] = forSale[p.Name]
		}
	}
	require.Equal(t, map[string]int{"A": 2, "M": 0}, selfies)
}

func TestCreditsNameEverybody(t *testing.T) {
	t.Parallel()
	text := Credits()
	for _, p := range Load().Packages {
		require.Contains(t, text, p.Name+" "+p.Version)
		for _, f := range p.Files {
			require.Contains(t, text, f.Credit)
			require.Contains(t, text, f.Licence)
		}
	}
	require.Contains(t, text, "Yan Krukau (4)")
}

func TestThePlaceOfThePhotographs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	dir, err := Dir()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(home, ".cache", "proofroom", "assets"), dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "elsewhere"))
	dir, err = Dir()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(home, "elsewhere", "proofroom", "assets"), dir)

	f := Files(Photo)[0]
	path, ok := Path(f)
	require.False(t, ok)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(path, make([]byte, f.Bytes-1), 0o600))
	_, ok = Path(f)
	require.False(t, ok, "it is too short")
	require.NoError(t, os.WriteFile(path, make([]byte, f.Bytes), 0o600))
	_, ok = Path(f)
	require.True(t, ok)

	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	_, err = Dir()
	require.ErrorContains(t, err, "XDG_CACHE_HOME")
	_, ok = Path(f)
	require.False(t, ok)
}

func TestGeneratedPictures(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(12) {
		b := Generated(seed, 300, 200)
		require.Equal(t, b, Generated(seed, 300, 200))
		require.False(t, seen[string(b)])
		seen[string(b)] = true
		img, err := jpeg.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, 300, img.Bounds().Dx())
		require.Equal(t, 200, img.Bounds().Dy())
	}
	for _, size := range [][2]int{{1, 1}, {1, 500}, {500, 1}, {1500, 2250}} {
		_, err := jpeg.Decode(bytes.NewReader(Generated(18446744073709551615, size[0], size[1])))
		require.NoError(t, err)
	}
	require.False(t, strings.HasPrefix(string(Generated(1, 8, 8)), string(Generated(2, 8, 8))))
}
