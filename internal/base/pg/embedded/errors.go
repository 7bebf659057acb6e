package embedded

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// What can be wrong with the folder or the machine. Every error of Start wraps
// at most one of them and says what is safe and what to do.
var (
	// ErrInUse: another parent, or a server that Proofroom did not start, works
	// on the folder.
	ErrInUse = errors.New("embedded postgres: the data folder is in use")
	// ErrVersion: the folder was made by another major version.
	ErrVersion = errors.New("embedded postgres: the data folder belongs to another major version")
	// ErrNoSpace: the disk is full, or a quota or file size limit is reached.
	ErrNoSpace = errors.New("embedded postgres: no space left for the database")
	// ErrNotWritable: the folder cannot be written or reached by the user that
	// has to.
	ErrNotWritable = errors.New("embedded postgres: the data folder cannot be used")
	// ErrNotInstalled: no PostgreSQL of a supported version was found.
	ErrNotInstalled = errors.New("embedded postgres: PostgreSQL is not installed")
	// ErrPathTooLong: the socket's path is longer than the kernel allows.
	ErrPathTooLong = errors.New("embedded postgres: the path of the socket is too long")
	// ErrSettings: a setting was refused before the server was started.
	ErrSettings = errors.New("embedded postgres: bad setting")
)

// folderError explains an error of the file system about a path of ours.
func folderError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return noSpace(path, err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w; nothing was changed: give this folder to user id %d, or choose another data folder",
			ErrNotWritable, err, os.Geteuid())
	}
	return fmt.Errorf("embedded postgres: %s: %w", path, err)
}

func noSpace(path string, err error) error {
	return fmt.Errorf("%w in %s: what was committed is safe: free space there or raise the limit, then start again: %w",
		ErrNoSpace, path, err)
}

// outputError explains why initdb or postgres ended, from what it wrote last.
func (f *folder) outputError(what string, err error, output string) error {
	output = strings.TrimSpace(output)
	if output == "" {
		output = "(it wrote nothing)"
	}
	detail := fmt.Errorf("%s: %w; its last lines:\n%s", what, err, output)
	for _, full := range []string{"No space left on device", "Disk quota exceeded", "File too large", "Check free disk space"} {
		if strings.Contains(output, full) {
			return noSpace(f.dir, detail)
		}
	}
	if errors.Is(err, os.ErrPermission) { // of the start itself
		return fmt.Errorf("%w: user %s may not run it: %w", ErrNotWritable, f.account.name, detail)
	}
	if strings.Contains(output, "Permission denied") || strings.Contains(output, "Read-only file system") {
		advice := f.blockedAt()
		if advice == "" {
			advice = fmt.Sprintf("check that user %s may write below %s", f.account.name, f.dir)
		}
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, advice, detail)
	}
	return fmt.Errorf("embedded postgres: %w", detail)
}
