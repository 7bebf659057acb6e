package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/assets"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// tarball packs files the way npm does.
func tarball(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, b := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(b))}))
		_, err := w.Write(b)
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(w.Close(), z.Close()))
	return buf.Bytes()
}

// npm places a stand-in on the PATH, alone.
func npm(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "npm"), []byte("#!/bin/sh\n"+script), 0o700))
	t.Setenv("PATH", dir)
}

// world is a package of two photographs and a bystander, and a stand-in for
// npm that delivers it.
func world(t *testing.T) (m assets.Manifest, dir, note string) {
	t.Helper()
	one, two := []byte("first photograph"), []byte("second photograph")
	packed := tarball(t, map[string][]byte{
		"img/one.jpg": one, "img/two.jpg": two, "img/three.jpg": []byte("nobody asked for it"),
		"../../escape.jpg": []byte("out"), "package.json": []byte(`{"scripts":{"install":"exit 1"}}`),
	})
	source := filepath.Join(t.TempDir(), "source.tgz")
	require.NoError(t, os.WriteFile(source, packed, 0o600))
	note = filepath.Join(t.TempDir(), "calls")
	npm(t, fmt.Sprintf("echo \"$@\" >> %s\n/bin/cp %s ./delivered.tgz\n", note, source))
	return assets.Manifest{Packages: []assets.Package{{
		Name: "@some/package", Version: "1.2.3",
		Tarball: assets.Tarball{SHA256: sum(packed), Bytes: int64(len(packed))},
		Files: []assets.File{
			{Path: "img/one.jpg", SHA256: sum(one), Bytes: int64(len(one))},
			{Path: "img/two.jpg", SHA256: sum(two), Bytes: int64(len(two))},
		},
	}}}, filepath.Join(t.TempDir(), "cache", "assets"), note
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchKeepsOnlyWhatIsListedAndIsQuietTheNextTime(t *testing.T) {
	m, dir, note := world(t)
	var said bytes.Buffer
	require.NoError(t, fetch(t.Context(), m, dir, &said))
	require.ElementsMatch(t, []string{m.Packages[0].Files[0].SHA256 + ".jpg", m.Packages[0].Files[1].SHA256 + ".jpg"}, listing(t, dir))
	require.Contains(t, said.String(), "fetched 2 of 2 photographs")
	calls, err := os.ReadFile(note)
	require.NoError(t, err)
	require.Contains(t, string(calls), "pack @some/package@1.2.3 --ignore-scripts")

	// Without npm, network or anything on the PATH.
	t.Setenv("PATH", "")
	said.Reset()
	require.NoError(t, fetch(t.Context(), m, dir, &said))
	require.Contains(t, said.String(), "all 2 photographs are there")

	// One lost or cut short is noticed, and that npm is missing.
	require.NoError(t, os.Truncate(assets.PathIn(dir, m.Packages[0].Files[1]), 3))
	require.ErrorIs(t, fetch(t.Context(), m, dir, &said), errNoNPM)
}

func TestFetchRepairsWhatIsMissing(t *testing.T) {
	m, dir, _ := world(t)
	var said bytes.Buffer
	require.NoError(t, fetch(t.Context(), m, dir, &said))
	lost := assets.PathIn(dir, m.Packages[0].Files[1])
	require.NoError(t, os.Remove(lost))
	require.NoError(t, fetch(t.Context(), m, dir, &said))
	require.FileExists(t, lost)
	require.Contains(t, said.String(), "fetched 1 of 2 photographs")
}

func TestFetchRefusesWhatIsNotInTheManifest(t *testing.T) {
	m, dir, _ := world(t)
	var said bytes.Buffer

	other := m
	other.Packages = append([]assets.Package(nil), m.Packages...)
	other.Packages[0].Tarball.SHA256 = strings.Repeat("0", 64)
	err := fetch(t.Context(), other, dir, &said)
	require.ErrorIs(t, err, errContents)
	require.ErrorContains(t, err, "nothing of it was used")
	require.Empty(t, listing(t, dir))

	other.Packages[0] = m.Packages[0]
	other.Packages[0].Files = append([]assets.File(nil), m.Packages[0].Files...)
	other.Packages[0].Files[0].SHA256 = strings.Repeat("1", 64)
	require.ErrorIs(t, fetch(t.Context(), other, dir, &said), errContents)
	require.NotContains(t, listing(t, dir), strings.Repeat("1", 64)+".jpg")

	other.Packages[0].Files[0] = m.Packages[0].Files[0]
	other.Packages[0].Files[0].Path = "img/absent.jpg"
	require.ErrorIs(t, fetch(t.Context(), other, filepath.Join(dir, "fresh"), &said), errContents)
	for _, name := range listing(t, dir) {
		require.NotContains(t, name, "fetching", "no half file stays behind")
	}
}

func TestFetchSaysInOneLineThatTheNetworkIsMissing(t *testing.T) {
	m, dir, _ := world(t)
	npm(t, "echo 'npm error code ENOTFOUND' >&2\necho 'npm error network request failed' >&2\necho 'npm error A complete log of this run can be found in: /x' >&2\nexit 1\n")
	var said bytes.Buffer
	err := fetch(t.Context(), m, dir, &said)
	require.ErrorIs(t, err, errDownload)
	require.ErrorContains(t, err, "network request failed")
	require.NotContains(t, err.Error(), "\n")
	require.Empty(t, listing(t, dir))
}

// TestExitCodes runs the command itself with the real manifest.
func TestExitCodes(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fetch")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := func(path string, args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = []string{"PATH=" + path, "XDG_CACHE_HOME=" + t.TempDir(), "HOME=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		return exit.ExitCode(), string(out)
	}
	code, said := run("/nonexistent")
	require.Equal(t, 3, code)
	require.Contains(t, said, "apt-get install npm")
	require.Len(t, strings.Split(strings.TrimSpace(said), "\n"), 1)

	failing := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(failing, "npm"), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	code, _ = run(failing)
	require.Equal(t, 4, code)

	lying := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(lying, "npm"), []byte("#!/bin/sh\necho no > x.tgz\n"), 0o700))
	code, said = run(lying)
	require.Equal(t, 5, code)
	require.Contains(t, said, "instead of")

	code, _ = run("", "--help")
	require.Equal(t, 2, code)
}
