package media

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/media/internal/db"
	"proofroom/internal/darkroom/wire"
)

// Kind names a file of a photograph.
type Kind string

// The files of a photograph. All but the original are made by the darkroom and,
// but for the placeholder, watermarked.
const (
	Original    Kind = "original"
	Preview     Kind = Kind(wire.Preview)
	Size960     Kind = Kind(wire.Size960)
	Size480     Kind = Kind(wire.Size480)
	Placeholder Kind = Kind(wire.Placeholder)
)

// ErrNoFile says that a photograph has no such file, or not yet.
var ErrNoFile = problem.Define(problem.NotFound, "photo.no_file", "There is no such picture of it",
	"The kinds are preview, 960, 480 and placeholder, and they are there once the photograph is ready.")

// File is one file, open for reading from any place. Close it.
type File struct {
	io.ReadSeekCloser
	Kind        Kind
	Size        int64  // bytes
	ContentType string // "image/jpeg"
	ETag        string // strong: the quoted hash of the bytes
	Width       int    // pixels; 0 for an original
	Height      int
	ModTime     time.Time // when it was recorded, UTC
}

// OpenOriginal opens the file as it was uploaded. Whether the caller may have it
// is for core/entitlement to say.
func (s *Service) OpenOriginal(ctx context.Context, photoID uuid.UUID) (*File, error) {
	return s.openFile(ctx, photoID, Original)
}

// OpenDerivative opens a picture that the darkroom made. It never opens an
// original. Whether the caller may see it is for core/catalog to say.
func (s *Service) OpenDerivative(ctx context.Context, photoID uuid.UUID, kind Kind) (*File, error) {
	switch kind {
	case Preview, Size960, Size480, Placeholder:
		return s.openFile(ctx, photoID, kind)
	}
	return nil, ErrNoFile
}

func (s *Service) openFile(ctx context.Context, photoID uuid.UUID, kind Kind) (*File, error) {
	row, err := queries.Blob(ctx, s.pool, db.BlobParams{PhotoID: photoID, Kind: string(kind)})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoFile
	}
	if err != nil {
		return nil, fmt.Errorf("find a file: %w", err)
	}
	b := row.Blob
	r, err := s.files.open(ctx, b.Key)
	if err != nil {
		return nil, fmt.Errorf("the %s of photograph %s: %w", kind, photoID, err)
	}
	if r.Size() != b.Bytes {
		return nil, errors.Join(
			fmt.Errorf("the %s of photograph %s has %d bytes in the store instead of %d", kind, photoID, r.Size(), b.Bytes), r.Close())
	}
	return &File{
		ReadSeekCloser: r, Kind: kind, Size: b.Bytes, ContentType: b.Format,
		ETag: `"` + hex.EncodeToString(b.Sha256) + `"`, Width: int(b.Width), Height: int(b.Height), ModTime: b.CreatedAt.UTC(),
	}, nil
}
