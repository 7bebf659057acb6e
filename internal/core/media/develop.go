package media

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog"
	"proofroom/internal/darkroom/wire"
)

// Folders of the store.
const (
	originals   = "original"
	derivatives = "derived"
)

var (
	derivativesKept = faultpoint.Define("media.derivatives_kept",
		"a photograph's derivatives are in the store; it still counts as processing")
	developed = faultpoint.Define("media.developed",
		"a photograph is committed as ready or unreadable; its job is not done")
)

// Times of a job, below the queue's limit of two minutes: no photograph is begun
// after budget, and one takes a little more than a minute at worst, when the
// darkroom fails on it twice.
const (
	budget       = 45 * time.Second
	resumeAfter  = time.Second
	noRoomFor    = 20 * time.Second
	tempFileLife = 24 * time.Hour
)

// Why Develop gave up for now. No photograph is at fault; what is left should be
// asked for again.
var (
	ErrMore   = errors.New("media: there was no time for all photographs")
	ErrNoRoom = errors.New("media: the darkroom does not work")
)

// Develop develops those of the photographs that still wait for it, each in a
// transaction of its own. Running it again, at once or after a crash, does what
// is left to do. It gives up for now with ErrMore or ErrNoRoom; other errors name
// the photographs that they are about, and did not keep it from the others.
func (s *Service) Develop(ctx context.Context, ids []uuid.UUID) error {
	photos, err := s.catalog.Photos(ctx, s.pool, ids)
	if err != nil {
		return err
	}
	begin := time.Now()
	var failed []error
	for _, p := range photos {
		if p.Developed != catalog.Processing {
			continue
		}
		if time.Since(begin) > budget {
			return errors.Join(append(failed, ErrMore)...)
		}
		err := s.developOne(ctx, p)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrNoRoom):
			return errors.Join(append(failed, err)...)
		case err != nil:
			failed = append(failed, fmt.Errorf("photograph %s: %w", p.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Service) developOne(ctx context.Context, p catalog.Photo) error {
	if pg.InTransaction(ctx) {
		return pg.ErrInTransaction
	}
	d, err := s.room.Develop(ctx, s.original(p), wire.Options{Mark: s.cfg.Mark})
	var unreadable *wire.Unreadable
	switch {
	case errors.As(err, &unreadable):
		return s.refuse(ctx, p, unreadable)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, wire.ErrSource):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	rows := make([]blobRow, 0, len(d.Derivatives))
	for _, v := range d.Derivatives {
		key, hash, err := s.files.put(ctx, derivatives, v.Bytes)
		if err != nil {
			return err
		}
		rows = append(rows, blobRow{
			PhotoID: p.ID, Kind: string(v.Kind), Key: key, Format: "image/" + v.Format,
			Width: int32(v.Width), Height: int32(v.Height), Bytes: int64(len(v.Bytes)), Sha256: hash[:],
		})
	}
	if err := derivativesKept.Hit(); err != nil {
		return err
	}
	err = pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		moved, err := s.catalog.ReadyTx(ctx, tx, []catalog.Developed{{
			PhotoID: p.ID, Width: d.Metadata.Width, Height: d.Metadata.Height,
			Average: d.Average, TakenLocal: taken(d.Metadata.TakenAt),
		}})
		if err != nil || len(moved) == 0 {
			return err // somebody else has developed it: theirs stands
		}
		return insertBlobsTx(ctx, tx, rows)
	})
	if err != nil {
		return err
	}
	return developed.Hit()
}

// taken drops a time that no camera means: clocks that were never set, and what
// a hostile file says.
func taken(local string) string {
	t, err := time.Parse(wire.TakenLayout, local)
	if err != nil || t.Year() < 1900 || t.Year() > 2200 {
		return ""
	}
	return local
}

func (s *Service) refuse(ctx context.Context, p catalog.Photo, u *wire.Unreadable) error {
	s.cfg.Log.InfoContext(ctx, "a photograph cannot be read", "photo", p.ID, "event", p.EventID, "reason", string(u.Reason))
	err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.catalog.UnreadableTx(ctx, tx, []catalog.Refused{{PhotoID: p.ID, Reason: u.Sentence}})
		return err
	})
	if err != nil {
		return err
	}
	return developed.Hit()
}

// original opens the original for the darkroom, which reads it piece by piece:
// the server never holds one. Whatever is wrong with it is wrong with the store.
func (s *Service) original(p catalog.Photo) wire.Original {
	return func(ctx context.Context) (io.ReadCloser, int64, error) {
		f, err := s.OpenOriginal(ctx, p.ID)
		if err != nil {
			return nil, 0, err
		}
		return &verified{f: f, hash: sha256.New(), left: f.Size, want: p.SHA256}, f.Size, nil
	}
}

// verified reads a file and makes sure that it is what was uploaded. It fails
// instead of answering the last bytes of another, so that nobody who needs all
// of it can take it for the photograph.
type verified struct {
	f    *File
	hash hash.Hash
	left int64
	want [32]byte
}

var errAltered = errors.New("the original in the store is not what was uploaded: another hash")

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	if v.left <= 0 && [32]byte(v.hash.Sum(nil)) != v.want {
		return 0, errAltered
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }

// Worker works DevelopJob.
type Worker struct {
	river.WorkerDefaults[DevelopJob]
	service *Service
}

// NewWorker makes the worker of an instance that has a darkroom.
func NewWorker(s *Service) *Worker { return &Worker{service: s} }

// Work develops the job's photographs. What it did not get to is put off without
// counting an attempt.
func (w *Worker) Work(ctx context.Context, job *river.Job[DevelopJob]) error {
	err := w.service.Develop(ctx, job.Args.PhotoIDs)
	switch {
	case errors.Is(err, ErrNoRoom):
		w.service.cfg.Log.WarnContext(ctx, "photographs wait for a darkroom", "job", job.ID, "err", err)
		return river.JobSnooze(noRoomFor)
	case errors.Is(err, ErrMore):
		w.service.cfg.Log.InfoContext(ctx, "photographs wait for the next turn", "job", job.ID, "err", err)
		return river.JobSnooze(resumeAfter)
	}
	return err
}

// Sweep asks again for the development of photographs that have waited too long,
// whose job is lost or was given up, and removes old temporary files. It returns
// how many photographs it asked for. Any number of instances may sweep at once.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	const chunk = 25 * GroupSize
	asked := 0
	for {
		n, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (int, error) {
			ids, err := s.catalog.ClaimStuckTx(ctx, tx, s.cfg.StuckAfter, chunk)
			if err != nil || len(ids) == 0 {
				return 0, err
			}
			var jobs []river.JobArgs
			for rest := ids; len(rest) > 0; {
				n := min(GroupSize, len(rest))
				jobs = append(jobs, DevelopJob{PhotoIDs: rest[:n]})
				rest = rest[n:]
			}
			return len(ids), s.jobs.EnqueueTx(ctx, tx, Queue, jobs...)
		})
		if err != nil {
			return asked, fmt.Errorf("ask for waiting photographs again: %w", err)
		}
		if asked += n; n < chunk {
			break
		}
	}
	if asked > 0 {
		s.cfg.Log.WarnContext(ctx, "photographs had waited too long and were asked for again", "photos", asked)
	}
	_, err := s.files.sweep(ctx, time.Now().Add(-tempFileLife))
	return asked, err
}
