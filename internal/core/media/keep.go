package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/media/internal/db"
)

// Named is a file of the store that a row names.
type Named struct {
	Key    string // its name in the store, the end of which is the hash
	Size   int64  // bytes
	SHA256 [sha256.Size]byte
}

// Proper reports whether the file has the name of its bytes, as every file of
// the store has.
func (n Named) Proper() bool { return path.Base(n.Key) == hex.EncodeToString(n.SHA256[:]) }

// EachNamed visits every file that a row names, once for each photograph that
// has it, until visit fails. Files recorded meanwhile may be visited or not.
func EachNamed(ctx context.Context, conn pg.DBTX, visit func(Named) error) error {
	const piece = 1000
	next := db.NamedFilesParams{AfterPhoto: uuid.Nil, Max: piece}
	for {
		rows, err := queries.NamedFiles(ctx, conn, next)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		for _, r := range rows {
			if err := visit(Named{Key: r.Key, Size: r.Bytes, SHA256: [sha256.Size]byte(r.Sha256)}); err != nil {
				return err
			}
		}
		if len(rows) < piece {
			return nil
		}
		next.AfterPhoto, next.AfterKind = rows[piece-1].PhotoID, rows[piece-1].Kind
	}
}

// Growth is what was recorded lately.
type Growth struct {
	Bytes  int64
	Files  int64
	Oldest time.Duration // age of the first file of all; 0: there is none
}

// Grown measures how the store has grown in the time since. It reads the whole
// table.
func Grown(ctx context.Context, conn pg.DBTX, since time.Duration) (Growth, error) {
	r, err := queries.Growth(ctx, conn, since.Seconds())
	if err != nil {
		return Growth{}, fmt.Errorf("measure the growth of the store: %w", err)
	}
	return Growth{Bytes: r.Bytes, Files: r.Files, Oldest: time.Duration(r.Oldest * float64(time.Second))}, nil
}

// ErrChanged says that bytes are not those that their name and row promise.
var ErrChanged = errors.New("media: the file's bytes are not those that were recorded")

// Read copies a file into w and fails with ErrChanged unless it was the one that
// was recorded.
func (s *Store) Read(ctx context.Context, n Named, w io.Writer) error {
	r, err := s.open(ctx, n.Key)
	if err != nil {
		return err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(sum, w), r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read a file: %w", err)
	}
	return n.is(size, sum.Sum(nil))
}

// Keep stores the bytes of r under the name that they had, and fails with
// ErrChanged, leaving nothing behind, unless they are the ones. Keeping what is
// there already changes nothing.
func (s *Store) Keep(ctx context.Context, n Named, r io.Reader) error {
	sum := sha256.New()
	var count counter
	from, err := s.write(ctx, io.TeeReader(r, io.MultiWriter(sum, &count)))
	if err != nil {
		return err
	}
	if err := n.is(count.n, sum.Sum(nil)); err != nil {
		s.discard(ctx, from)
		return err
	}
	return s.move(ctx, from, n.Key)
}

func (n Named) is(size int64, sum []byte) error {
	switch {
	case size != n.Size:
		return fmt.Errorf("%w: %s has %d bytes instead of %d", ErrChanged, n.Key, size, n.Size)
	case [sha256.Size]byte(sum) != n.SHA256:
		return fmt.Errorf("%w: %s", ErrChanged, n.Key)
	}
	return nil
}
