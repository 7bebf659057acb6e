package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
	"proofroom/internal/darkroom/wire"
)

// Reasons to refuse a file. Nothing is kept of one that is refused.
var (
	ErrEmpty = problem.Define(problem.Unprocessable, "photo.empty", "The file is empty",
		"It has no bytes. Check it on your camera or computer and upload it again.")
	ErrNoPicture = problem.Define(problem.Unprocessable, "photo.not_a_picture", "Not a picture of a kind that is taken",
		"JPEG, PNG, WebP, HEIC and AVIF are taken. Export the picture as JPEG and upload that.")
	ErrTooLarge = problem.Define(problem.TooLarge, "photo.too_large", "The file is too large",
		"Export the picture with fewer pixels or less quality and upload that.")
	ErrCutShort = problem.Define(problem.Invalid, "photo.cut_short", "The file did not arrive whole",
		"The transfer broke off. Upload the file again; nothing of it was kept.")
)

var (
	fileKept = faultpoint.Define("media.file_kept",
		"the originals are in the store under their last names; no row names them")
	rowsCommitted = faultpoint.Define("media.rows_committed",
		"photographs, rows of their files and the job are committed; the uploader has no answer yet")
)

// UploadInput is one file for an event.
type UploadInput struct {
	By      catalog.By
	EventID uuid.UUID
	Name    string // the file's own name, without a path
	Reader  io.Reader
}

// Uploaded is a file that was taken.
type Uploaded struct {
	catalog.Added
	Name   string
	Bytes  int64
	SHA256 [32]byte
}

// Upload takes one file. The errors are those of Begin and Batch.Add.
func (s *Service) Upload(ctx context.Context, in UploadInput) (Uploaded, error) {
	b, err := s.Begin(ctx, in.By, in.EventID)
	if err != nil {
		return Uploaded{}, err
	}
	if err := b.Add(ctx, in.Name, in.Reader); err != nil {
		return Uploaded{}, err
	}
	out, err := b.Commit(ctx)
	if err != nil {
		return Uploaded{}, err
	}
	return out[0], nil
}

// Batch takes files for one event, one after the other, and adds them to it in
// groups. It belongs to one goroutine.
type Batch struct {
	s      *Service
	event  catalog.Event
	staged []staged
}

// staged is a file that lies under a temporary name.
type staged struct {
	key    string
	name   string
	format string
	bytes  int64
	hash   [32]byte
}

// Begin begins to take files for an event that by owns. It answers as
// catalog.Store.EventForUpload does.
func (s *Service) Begin(ctx context.Context, by catalog.By, eventID uuid.UUID) (*Batch, error) {
	e, err := s.catalog.EventForUpload(ctx, s.pool, by, eventID)
	if err != nil {
		return nil, err
	}
	return &Batch{s: s, event: e}, nil
}

// Len is how many files wait for Commit.
func (b *Batch) Len() int { return len(b.staged) }

// Add stores a file under a temporary name. One that is refused changes nothing:
// catalog.ErrPhotoName, ErrEmpty, ErrNoPicture, ErrTooLarge, ErrCutShort. Any
// other error is the store's (ErrStoreFull, if that is why), and the file may be
// sent again.
func (b *Batch) Add(ctx context.Context, name string, r io.Reader) error {
	name, err := catalog.CleanPhotoName(name)
	if err != nil {
		return err
	}
	in := &source{r: r}
	head := make([]byte, wire.SniffLength)
	n, _ := io.ReadFull(in, head) // a short file is no error, and in keeps real ones
	head = head[:n]
	switch {
	case in.err != nil:
		return ErrCutShort.Because(in.err)
	case n == 0:
		return ErrEmpty
	}
	format, ok := sniff(head)
	if !ok {
		return ErrNoPicture.Detailf("JPEG, PNG, WebP, HEIC and AVIF are taken, and this file seems to be %s. Export the picture as JPEG and upload that.", format)
	}
	hash, count := sha256.New(), new(counter)
	limited := io.LimitReader(io.MultiReader(bytes.NewReader(head), in), b.s.cfg.MaxBytes+1)
	key, err := b.s.files.write(ctx, io.TeeReader(limited, io.MultiWriter(hash, count)))
	switch {
	case in.err != nil:
		return ErrCutShort.Because(in.err)
	case err != nil:
		return err
	case count.n > b.s.cfg.MaxBytes:
		b.s.files.discard(ctx, key)
		return ErrTooLarge.Detailf("It has more than %d MB. Export the picture with fewer pixels or less quality and upload that.", b.s.cfg.MaxBytes>>20)
	}
	b.staged = append(b.staged, staged{key: key, name: name, format: format, bytes: count.n, hash: [32]byte(hash.Sum(nil))})
	return nil
}

// Commit adds the files to the event and has them developed. It returns one
// Uploaded for each, in the order of Add, and empties the batch, also when it
// fails; then the files may be sent again, and none becomes two photographs.
func (b *Batch) Commit(ctx context.Context) ([]Uploaded, error) {
	files := b.staged
	b.staged = nil
	out := make([]Uploaded, 0, len(files))
	for len(files) > 0 {
		group := files[:min(GroupSize, len(files))]
		added, err := b.s.addGroup(ctx, b.event, group)
		if err != nil {
			for _, f := range files {
				b.s.files.discard(ctx, f.key)
			}
			return nil, err
		}
		for i, f := range group {
			out = append(out, Uploaded{Added: added[i], Name: f.name, Bytes: f.bytes, SHA256: f.hash})
		}
		files = files[len(group):]
	}
	return out, nil
}

// Discard forgets files that were added and not committed.
func (b *Batch) Discard(ctx context.Context) {
	for _, f := range b.staged {
		b.s.files.discard(ctx, f.key)
	}
	b.staged = nil
}

func (s *Service) addGroup(ctx context.Context, e catalog.Event, group []staged) ([]catalog.Added, error) {
	photos := make([]catalog.NewPhoto, len(group))
	for i, f := range group {
		if err := s.files.move(ctx, f.key, keyOf(originals, f.hash)); err != nil {
			return nil, err
		}
		photos[i] = catalog.NewPhoto{EventID: e.ID, CreatorID: e.CreatorID, SHA256: f.hash, Name: f.name}
	}
	if err := fileKept.Hit(); err != nil {
		return nil, err
	}
	added, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) ([]catalog.Added, error) {
		added, err := s.catalog.AddPhotosTx(ctx, tx, photos)
		if err != nil {
			return nil, err
		}
		var rows []blobRow
		var job DevelopJob
		for i, f := range group {
			if added[i].Again || !added[i].Duplicate {
				job.PhotoIDs = append(job.PhotoIDs, added[i].ID)
			}
			if added[i].Duplicate {
				continue // whoever added it recorded its file
			}
			rows = append(rows, blobRow{
				PhotoID: added[i].ID, Kind: string(Original), Key: keyOf(originals, f.hash),
				Format: f.format, Bytes: f.bytes, Sha256: f.hash[:],
			})
		}
		if len(job.PhotoIDs) == 0 {
			return added, nil
		}
		if len(rows) > 0 {
			if err := insertBlobsTx(ctx, tx, rows); err != nil {
				return nil, err
			}
		}
		return added, s.jobs.EnqueueTx(ctx, tx, Queue, job)
	})
	if err != nil {
		return nil, fmt.Errorf("add photographs to an event: %w", err)
	}
	return added, rowsCommitted.Hit()
}

// source remembers a failure of the reader itself, as against one of the store
// that its bytes go to.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
