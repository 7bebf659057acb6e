package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sums writes SHA256SUMS.
type sums struct {
	file *os.File
	w    *bufio.Writer
	hash hash.Hash
}

func newSums(dir string) (*sums, error) {
	f, err := os.OpenFile(filepath.Join(dir, sumsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", sumsFile, err)
	}
	h := sha256.New()
	return &sums{file: f, w: bufio.NewWriter(io.MultiWriter(f, h)), hash: h}, nil
}

func (s *sums) add(path string, sum [sha256.Size]byte) error {
	_, err := fmt.Fprintf(s.w, "%x  %s\n", sum, path)
	return err
}

// close ends the file and returns its own hash.
func (s *sums) close() (string, error) {
	if err := errors.Join(s.w.Flush(), s.file.Sync(), s.file.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", sumsFile, err)
	}
	return hex.EncodeToString(s.hash.Sum(nil)), nil
}

// hashFile reads a file to its end, into w as well.
func hashFile(path string, w io.Writer) (sum [sha256.Size]byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(h, w), f)
	return [sha256.Size]byte(h.Sum(nil)), size, errors.Join(err, f.Close())
}

// addDatabase hashes the files of a copied database.
func (s *sums) addDatabase(ctx context.Context, dir string, m *Manifest) error {
	return filepath.WalkDir(filepath.Join(dir, databaseDir), func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			m.Folders = append(m.Folders, name)
			return nil
		case !e.Type().IsRegular() || strings.ContainsAny(name, "\n\\"):
			return fmt.Errorf("%s is no plain file: tablespaces cannot be backed up", name)
		}
		sum, size, err := hashFile(path, io.Discard)
		if err != nil {
			return err
		}
		m.Database.add(size)
		return s.add(name, sum)
	})
}

// visitor gets each file of a backup: its name in the backup, its path, and the
// hash that it must have. An errBad is written down and the walk goes on.
type visitor func(name, path string, sum [sha256.Size]byte) error

type errBad struct{ what string }

func (e errBad) Error() string { return e.what }

// walk visits every file of a backup and says everything that is wrong.
func walk(ctx context.Context, dir string, m Manifest, visit visitor) error {
	// First the list itself: what it does not name would not be looked at.
	list, _, err := hashFile(filepath.Join(dir, sumsFile), io.Discard)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(dir, sumsFile+" is missing")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", sumsFile, err)
	}
	if hex.EncodeToString(list[:]) != m.Sums {
		return damaged(dir, sumsFile+" was changed")
	}
	f, err := os.Open(filepath.Join(dir, sumsFile))
	if err != nil {
		return fmt.Errorf("read %s: %w", sumsFile, err)
	}
	defer func() { _ = f.Close() }()

	var wrong []string
	ofDatabase := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return err
		}
		stated, name, ok := strings.Cut(lines.Text(), "  ")
		sum, err := hex.DecodeString(stated)
		if !ok || err != nil || len(sum) != sha256.Size || !filepath.IsLocal(name) {
			return damaged(dir, sumsFile+" has a line that cannot be read: "+lines.Text())
		}
		if strings.HasPrefix(name, databaseDir+"/") {
			ofDatabase[name] = true
		}
		err = visit(name, filepath.Join(dir, name), [sha256.Size]byte(sum))
		var bad errBad
		switch {
		case errors.As(err, &bad):
			wrong = append(wrong, bad.what)
		case errors.Is(err, fs.ErrNotExist):
			wrong = append(wrong, name+" is missing")
		case err != nil:
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", sumsFile, err)
	}
	// One file too many can change what PostgreSQL does with the others.
	err = filepath.WalkDir(filepath.Join(dir, databaseDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !ofDatabase[name] {
			wrong = append(wrong, name+" was added")
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the backup: %w", err)
	}
	if len(wrong) > 0 {
		return damaged(dir, wrong...)
	}
	return nil
}

// check is the visitor that only looks.
func check(name, path string, want [sha256.Size]byte) error {
	sum, _, err := hashFile(path, io.Discard)
	if err == nil && sum != want {
		return errBad{name + " was changed"}
	}
	return err
}
