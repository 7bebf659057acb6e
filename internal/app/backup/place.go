package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	nameForm   = "20060102T150405.000Z"
	incomplete = "incomplete-"

	manifestFile = "MANIFEST.json"
	hashOfIt     = "MANIFEST.json.sha256"
	sumsFile     = "SHA256SUMS"
	databaseDir  = "database"
	dumpFile     = databaseDir + "/proofroom.dump"
	blobsDir     = "blobs"
)

// What can be wrong with a backup or a place.
var (
	// ErrNoBackup: there is none where one was looked for.
	ErrNoBackup = errors.New("there is no backup")
	// ErrDamaged: a file is missing, changed or too many.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer: it was made by a newer program.
	ErrNewer = errors.New("the backup is of a newer proofroom")
	// ErrBusy: another run works on the place.
	ErrBusy = errors.New("another backup is being made there")
	// ErrNotEmpty: a restore would have to overwrite something.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrNotProven: what was restored does not keep what was promised.
	ErrNotProven = errors.New("what was restored is not right")
)

// Names lists the whole backups of a place, oldest first. A place that is not
// there has none.
func Names(place string) ([]string, error) {
	entries, err := os.ReadDir(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := time.Parse(nameForm, e.Name()); err == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Find returns the folder of a backup: path itself, or the newest in it.
func Find(path string) (string, error) {
	if _, err := os.Stat(filepath.Join(path, manifestFile)); err == nil {
		return path, nil
	}
	if strings.HasPrefix(filepath.Base(path), incomplete) {
		return "", fmt.Errorf("%w: %s was cut short while it was made; use another of the same place", ErrNoBackup, path)
	}
	if _, err := os.Stat(filepath.Join(path, databaseDir)); err == nil {
		return "", fmt.Errorf("%w: %s has lost its %s, so nothing says what it should hold; nothing was changed: use another backup", ErrDamaged, path, manifestFile)
	}
	names, err := Names(path)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%w in %s; make one with: proofroom backup --to DIR", ErrNoBackup, path)
	}
	return filepath.Join(path, names[len(names)-1]), nil
}

// place is a folder of backups, locked.
type place struct {
	dir  string
	lock *os.File
}

// openPlace makes the folder if there is none, keeps others out, and deletes
// what was cut short.
func openPlace(dir string) (*place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the place of backups: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the place of backups: %w", err)
	}
	p := &place{dir: dir, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s; wait for it, or choose another place", ErrBusy, dir)
		}
		return nil, fmt.Errorf("lock the place of backups: %w", err)
	}
	if err := p.clean(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// close lets others in. The kernel does it for a process that was killed.
func (p *place) close() { _ = p.lock.Close() }

func (p *place) clean() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("look into the place of backups: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), incomplete) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(p.dir, e.Name())); err != nil {
			return fmt.Errorf("delete a backup that was cut short: %w", err)
		}
	}
	return nil
}

// prune deletes the oldest backups beyond keep and returns their names.
func (p *place) prune(keep int) ([]string, error) {
	names, err := Names(p.dir)
	if err != nil || keep <= 0 || len(names) <= keep {
		return nil, err
	}
	old := names[:len(names)-keep]
	for _, n := range old {
		// Renamed first: cut short, it is no backup any more.
		gone := filepath.Join(p.dir, incomplete+n)
		if err := os.Rename(filepath.Join(p.dir, n), gone); err != nil {
			return nil, fmt.Errorf("delete an old backup: %w", err)
		}
		if err := os.RemoveAll(gone); err != nil {
			return nil, fmt.Errorf("delete an old backup: %w", err)
		}
	}
	return old, nil
}
