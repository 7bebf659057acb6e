package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minMajor is the oldest supported major version of PostgreSQL.
const minMajor = 15

// binaries is one installation of PostgreSQL.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// findBinaries lists the supported installations, best first: dir alone if it is
// named, else the one on PATH, then those in the distributions' folders, newest
// first. An installation needs postgres and initdb in one folder.
func findBinaries(ctx context.Context, dir string) ([]binaries, error) {
	var found []binaries
	var seen, rejected []string
	try := func(dir string) {
		if slices.Contains(seen, dir) {
			return
		}
		seen = append(seen, dir)
		b, err := inspect(ctx, dir)
		if err != nil {
			rejected = append(rejected, err.Error())
			return
		}
		found = append(found, b)
	}

	if dir != "" {
		try(dir)
	} else {
		if p, err := exec.LookPath("postgres"); err == nil {
			// The name on PATH is often a link; initdb lies beside its target.
			if real, err := filepath.EvalSymlinks(p); err == nil {
				p = real
			}
			try(filepath.Dir(p))
		}
		onPath := len(found)
		for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"} {
			dirs, _ := filepath.Glob(pattern) // the pattern is constant and well formed
			for _, d := range dirs {
				try(d)
			}
		}
		slices.SortStableFunc(found[onPath:], func(a, b binaries) int { return b.major - a.major })
	}
	if len(found) > 0 {
		return found, nil
	}
	why := "looked on PATH and in /usr/lib/postgresql"
	if len(rejected) > 0 {
		why = strings.Join(rejected, "; ")
	}
	return nil, fmt.Errorf("%w in version %d or newer: %s; install it (Debian, Ubuntu: apt-get install postgresql) or name a database with PROOFROOM_DATABASE_URL",
		ErrNotInstalled, minMajor, why)
}

// inspect asks the postgres in dir for its version.
func inspect(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: dir}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(b.path(name)); err != nil {
			return b, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("%s --version: %w", b.path("postgres"), err)
	}
	b.major, err = parseMajor(string(out))
	if err != nil {
		return b, fmt.Errorf("%s: %w", b.path("postgres"), err)
	}
	if b.major < minMajor {
		return b, fmt.Errorf("%s is version %d", b.path("postgres"), b.major)
	}
	return b, nil
}

// parseMajor reads the major version from "postgres (PostgreSQL) 15.18 (...)".
func parseMajor(version string) (int, error) {
	_, rest, ok := strings.Cut(version, "(PostgreSQL) ")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	major, err := strconv.Atoi(rest[:digits])
	if !ok || err != nil {
		return 0, fmt.Errorf("no version in %q", strings.TrimSpace(version))
	}
	return major, nil
}

// forCluster picks the installation that made the cluster, or the best one for a
// cluster that is still to be made (major 0).
func forCluster(found []binaries, cluster string, major int) (binaries, error) {
	if major == 0 {
		return found[0], nil
	}
	var have []string
	for _, b := range found {
		if b.major == major {
			return b, nil
		}
		have = append(have, fmt.Sprintf("%d in %s", b.major, b.dir))
	}
	return binaries{}, fmt.Errorf("%w: %s was made by PostgreSQL %d, and here is %s; nothing was changed. "+
		"Either install PostgreSQL %d (or name the folder of its programs), "+
		"or carry the data over: with both versions installed run pg_upgrade into a new cluster and put it in this place, "+
		"or dump with pg_dumpall under version %d, move the folder away, start, and restore the dump",
		ErrVersion, cluster, major, strings.Join(have, ", "), major, major)
}
