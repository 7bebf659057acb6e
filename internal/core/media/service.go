package media

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/jobs"
	"proofroom/internal/core/catalog"
	"proofroom/internal/darkroom/wire"
)

// Queue is the queue of jobs that need the darkroom. An instance without one
// leaves it to others.
const Queue = "media"

// GroupSize is how many photographs one transaction adds and one job develops,
// at most.
const GroupSize = 20

// DevelopJob develops a group of photographs. It is enqueued in the transaction
// that adds them.
type DevelopJob struct {
	PhotoIDs []uuid.UUID `json:"photo_ids"`
}

// Kind names the job in the queue.
func (DevelopJob) Kind() string { return "media_develop" }

// Room is the darkroom: *pool.Pool. Its errors are a *wire.Unreadable when the
// photograph is at fault, wrap wire.ErrSource when its file could not be read,
// and are anything else when the darkroom is at fault.
type Room interface {
	Develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error)
}

// Config says how files are kept. Zero values take the defaults.
type Config struct {
	MaxBytes   int64         // of an original; default 50 MB
	StuckAfter time.Duration // how long a photograph waits until Sweep asks again; default 4 min
	Mark       string        // the words across every preview; default: the darkroom's own
	Log        *slog.Logger  // default: nothing is logged
}

// Service keeps the files of photographs.
type Service struct {
	pool    *pgxpool.Pool
	files   *Store
	jobs    jobs.Enqueuer
	room    Room
	cfg     Config
	catalog catalog.Store
}

// New makes a Service. room is nil where there is no darkroom; then Develop must
// not be called.
func New(pool *pgxpool.Pool, files *Store, enqueuer jobs.Enqueuer, room Room, cfg Config) *Service {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 50 << 20
	}
	if cfg.StuckAfter <= 0 {
		cfg.StuckAfter = 4 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{pool: pool, files: files, jobs: enqueuer, room: room, cfg: cfg}
}

// MaxBytes is the largest original that is taken, in bytes.
func (s *Service) MaxBytes() int64 { return s.cfg.MaxBytes }
