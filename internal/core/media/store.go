package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/darkroom/wire"
)

// Store is where files are kept: a folder, or a bucket of a cloud. Files are
// written under a temporary name and moved to the name of their bytes.
type Store struct {
	bucket *blob.Bucket
	dir    string // of a folder, else empty
}

// OpenStore opens the store at a folder's path, which is made if it is missing,
// at a file:// address of one, or at the address of a bucket whose driver is
// linked into the program.
func OpenStore(ctx context.Context, address string) (*Store, error) {
	dir := address
	if scheme, _, ok := strings.Cut(address, "://"); ok && scheme != "file" {
		bucket, err := blob.OpenBucket(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("open the store of files: %w", err)
		}
		return &Store{bucket: bucket}, nil
	} else if ok {
		u, err := url.Parse(address)
		if err != nil || u.Host != "" {
			return nil, fmt.Errorf("the store's address %q cannot be read; write it like file:///var/lib/proofroom/files", address)
		}
		dir = u.Path
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the store of files: %w", err)
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir: true, DirFileMode: 0o700,
		NoTempDir: true, // a file moves into place only within one file system
		Metadata:  fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("open the store of files: %w", err)
	}
	return &Store{bucket: bucket, dir: dir}, nil
}

// NewStore uses a bucket that the caller opened.
func NewStore(bucket *blob.Bucket) *Store { return &Store{bucket: bucket} }

// Close lets go of the store.
func (s *Store) Close() error { return s.bucket.Close() }

const temporary = "tmp/"

// keyOf is where the bytes with a hash are kept: "original/3f/3fb0...".
func keyOf(folder string, hash [32]byte) string {
	h := hex.EncodeToString(hash[:])
	return folder + "/" + h[:2] + "/" + h
}

// ErrStoreFull says that the store is full.
var ErrStoreFull = problem.Define(problem.Unavailable, "photo.no_room", "There is no room for the file",
	"The disk that keeps photographs is full. Nothing of this upload was kept, and what was there before is safe. "+
		"Whoever runs this server has to make room; upload it again after that.").After(time.Minute)

// full tells a store that is full from one that fails otherwise.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrStoreFull.Because(err)
	}
	return err
}

// write streams r into a temporary file and returns its name there. When
// reading fails, the error is that of r, and nothing is left behind.
func (s *Store) write(ctx context.Context, r io.Reader) (key string, err error) {
	if pg.InTransaction(ctx) {
		return "", pg.ErrInTransaction
	}
	// A writer that is closed after its context ended writes nothing.
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	key = temporary + id.New().String()
	w, err := s.bucket.NewWriter(wctx, key, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return "", fmt.Errorf("write a file: %w", full(err))
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel()
		_ = w.Close()
		return "", fmt.Errorf("write a file: %w", full(err))
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("write a file: %w", full(err))
	}
	return key, nil
}

// move gives a temporary file its last name, on the disk and for good. Moving
// the same bytes to the same name again changes nothing.
func (s *Store) move(ctx context.Context, from, to string) error {
	if pg.InTransaction(ctx) {
		return pg.ErrInTransaction
	}
	if s.dir != "" {
		return s.rename(from, to)
	}
	if err := s.bucket.Copy(ctx, to, from, nil); err != nil {
		return fmt.Errorf("move a file into place: %w", err)
	}
	s.discard(ctx, from)
	return nil
}

// rename moves within a folder. A row will name the file, so it must be on the
// disk before the row is.
func (s *Store) rename(from, to string) error {
	source, target := filepath.Join(s.dir, from), filepath.Join(s.dir, to)
	folder := filepath.Dir(target)
	changed := []string{folder}
	if _, err := os.Stat(folder); err != nil {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("move a file into place: %w", full(err))
		}
		changed = append(changed, filepath.Dir(folder), s.dir)
	}
	if err := flush(source); err != nil {
		return fmt.Errorf("move a file into place: %w", full(err))
	}
	if err := os.Rename(source, target); err != nil {
		return fmt.Errorf("move a file into place: %w", full(err))
	}
	for _, dir := range changed {
		if err := flush(dir); err != nil {
			return fmt.Errorf("move a file into place: %w", full(err))
		}
	}
	return nil
}

// flush waits until a file's bytes, or a folder's names, are on the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// put keeps bytes under the name that they give themselves.
func (s *Store) put(ctx context.Context, folder string, b []byte) (key string, hash [32]byte, err error) {
	hash = sha256.Sum256(b)
	key = keyOf(folder, hash)
	from, err := s.write(ctx, bytes.NewReader(b))
	if err != nil {
		return "", hash, err
	}
	return key, hash, s.move(ctx, from, key)
}

// discard removes a temporary file, if it can: a sweep comes later.
func (s *Store) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = s.bucket.Delete(ctx, key)
}

// open reads a file.
func (s *Store) open(ctx context.Context, key string) (*blob.Reader, error) {
	if pg.InTransaction(ctx) {
		return nil, pg.ErrInTransaction
	}
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, fmt.Errorf("open a file: %w", err)
	}
	return r, nil
}

// sweep removes temporary files that were last written before a time.
func (s *Store) sweep(ctx context.Context, before time.Time) (removed int, err error) {
	if pg.InTransaction(ctx) {
		return 0, pg.ErrInTransaction
	}
	list := s.bucket.List(&blob.ListOptions{Prefix: temporary})
	for {
		o, err := list.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return removed, nil
		case err != nil:
			return removed, fmt.Errorf("list temporary files: %w", err)
		case o.IsDir || !o.ModTime.Before(before):
			continue
		}
		err = s.bucket.Delete(ctx, o.Key)
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound { // another instance was first
			return removed, fmt.Errorf("remove a temporary file: %w", err)
		}
		removed++
	}
}

// sniff tells the type of a picture by its first bytes, or what else they seem
// to be.
func sniff(head []byte) (contentType string, picture bool) {
	format, instead := wire.Sniff(head)
	switch {
	case format != "":
		return "image/" + format, true
	case instead != "":
		return instead, false
	}
	seems, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return seems, false
}
