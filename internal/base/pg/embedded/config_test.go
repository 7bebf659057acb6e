package embedded

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	cfg := quick(newFolder(t))
	maps.Copy(cfg.Settings, map[string]string{
		"log_line_prefix":  `it's a \n %p `,
		"proofroom.secret": `''; DROP`,
		"work_mem":         "5MB",
	})
	s := start(t, cfg)
	for name, value := range cfg.Settings {
		require.Equal(t, value, query(t, s.URL("postgres"), "SHOW "+name))
	}
	require.Equal(t, "lz4", query(t, s.URL("postgres"), "SHOW wal_compression"))
	require.Equal(t, "10s", query(t, s.URL("postgres"), "SHOW autovacuum_naptime"))
	require.Equal(t, "pg_catalog.english", query(t, s.URL("postgres"), "SHOW default_text_search_config"), "initdb's own findings are lost")
	stop(t, s)

	for name, value := range map[string]string{
		"listen_addresses": "*", "port": "5432", "fsync = off\nssl": "on", "work_mem": "1MB\nfsync = off", "": "",
	} {
		cfg.Settings = map[string]string{name: value}
		_, err := Start(t.Context(), cfg)
		require.ErrorIs(t, err, ErrSettings, name)
	}
	cfg.Settings = map[string]string{"work_mem": "much"}
	_, err := Start(t.Context(), cfg)
	require.ErrorContains(t, err, `invalid value for parameter "work_mem": "much"`, "the server's own words are missing")
}

func TestSharedBuffersFollowMemory(t *testing.T) {
	t.Parallel()
	for memory, want := range map[uint64]string{0: "128MB", 1 << 30: "128MB", 4 << 30: "512MB", 64 << 30: "1024MB"} {
		require.Equal(t, want, defaults(memory, true)["shared_buffers"])
	}
	require.Equal(t, "on", defaults(0, false)["wal_compression"])
	require.Greater(t, memory(), uint64(64<<20))
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l, err := openLog(path)
	require.NoError(t, err)
	defer l.close()
	write := func(text string) {
		_, err := l.file.WriteString(text)
		require.NoError(t, err)
	}
	write("of an earlier run\n")
	l.begin()
	require.Empty(t, l.tail())
	write(strings.Repeat("a line\n", 1000) + "the last")
	tail := l.tail()
	require.True(t, strings.HasSuffix(tail, "a line\nthe last"), tail)
	require.Len(t, strings.Split(tail, "\n"), 15)

	l.turn(1 << 20)
	require.NotZero(t, l.size(), "turned too early")
	l.turn(1 << 10)
	require.Zero(t, l.size())
	write("new\n")
	require.Equal(t, "new", l.tail())
	older, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(older, []byte("of an earlier run\n")))
	require.True(t, bytes.HasSuffix(older, []byte("the last")))
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	found, err := findBinaries(t.Context(), "")
	require.NoError(t, err)
	require.GreaterOrEqual(t, found[0].major, minMajor)
	require.FileExists(t, found[0].path("initdb"))

	dir := t.TempDir()
	_, err = findBinaries(t.Context(), dir)
	require.ErrorIs(t, err, ErrNotInstalled)
	for _, name := range []string{"postgres", "initdb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9 (Debian)'\n"), 0o755))
	}
	_, err = findBinaries(t.Context(), dir)
	require.ErrorIs(t, err, ErrNotInstalled)
	require.ErrorContains(t, err, "is version 14")
	require.ErrorContains(t, err, "apt-get install postgresql")

	both := []binaries{{dir: "/new", major: 17}, {dir: "/old", major: 15}}
	b, err := forCluster(both, "/c", 15)
	require.NoError(t, err)
	require.Equal(t, "/old", b.dir, "the version that made the database is there, so it is used")
	b, err = forCluster(both, "/c", 0)
	require.NoError(t, err)
	require.Equal(t, "/new", b.dir)
	_, err = forCluster(both, "/c", 16)
	require.ErrorIs(t, err, ErrVersion)

	for text, want := range map[string]int{"postgres (PostgreSQL) 15.18 (Debian 15.18-0)": 15, "postgres (PostgreSQL) 18beta1\n": 18, "postgres (PostgreSQL) 17": 17} {
		major, err := parseMajor(text)
		require.NoError(t, err)
		require.Equal(t, want, major)
	}
	_, err = parseMajor("something else")
	require.Error(t, err)
}

func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		require.Equal(t, "/var/lib/proofroom", DefaultDataDir())
	} else {
		require.True(t, strings.HasSuffix(DefaultDataDir(), "/proofroom"), DefaultDataDir())
	}
}
