package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckFiles is that of photographs and their files: what a row names lies in the
// store, byte for byte, and no photograph is blamed for what happened to us.
const CheckFiles = "files.stand"

// FilesStand compares every row that names a file with the file.
func (w *World) FilesStand(ctx context.Context) error {
	type row struct {
		Key    string
		Bytes  int64
		Sha256 []byte
	}
	named, err := rows[row](ctx, w, `SELECT DISTINCT key, bytes, sha256 FROM blobs`)
	if err != nil {
		return err
	}
	for _, r := range named {
		size, hash, err := measure(filepath.Join(w.files(), r.Key))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.Found(CheckFiles, "a row names the file %s, which is not there", r.Key)
		case err != nil:
			return err
		case size != r.Bytes || hash != [sha256.Size]byte(r.Sha256):
			w.Found(CheckFiles, "the file %s has %d bytes and is not what its row says (%d bytes)", r.Key, size, r.Bytes)
		}
	}
	return nil
}

func measure(path string) (size int64, hash [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, hash, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, [sha256.Size]byte(h.Sum(nil)), err
}
