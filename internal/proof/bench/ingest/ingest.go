package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"proofroom/internal/proof/bench"
)

// Config says what to measure.
type Config struct {
	Binary   string // this program
	Darkroom string // its darkroom
	Photos   int    // in a round
	Sizes    []Size // of the photographs; at least 3,200 pixels long
	Rounds   int    // of each side
	Cache    string // where the photographs are kept from one time to the next
	// Settings win over PostgreSQL's settings of production. Only tests need any.
	Settings map[string]string
	// Progress is told of each round.
	Progress io.Writer
}

// Cache is where photographs are kept that nothing else is said of.
func Cache() string { return filepath.Join(os.TempDir(), "proofroom-bench-photographs") }

// Run measures. Without a report nothing was measured, or a photograph is not as
// it must be. A report with bench.ErrVoid was disturbed.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	for _, tool := range []string{"vips", "vipsthumbnail"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing, which is what it is measured against (Debian, Ubuntu: apt-get install libvips-tools): %w", tool, err)
		}
	}
	if _, err := os.Stat(cfg.Darkroom); err != nil {
		return nil, fmt.Errorf("no photograph can be developed: %w; run make build", err)
	}
	begun := time.Now()
	files, of, err := Photographs(ctx, cfg.Cache, cfg.Photos, cfg.Sizes)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(cfg.Progress, "%d photographs from %s in %s (%.0f s, not counted)\n", len(files), of, cfg.Cache, time.Since(begun).Seconds())
	r := &Report{Photos: len(files), Cores: runtime.NumCPU(), Source: of}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		r.MB += float64(info.Size()) / 1e6
	}
	r.MB = bench.Round(r.MB, 0)
	for range cfg.Rounds {
		for _, side := range []Side{Vips, Chained, Ours} {
			x, err := round(ctx, cfg, side, files)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side, err)
			}
			r.Rounds = append(r.Rounds, x)
			_, _ = fmt.Fprintln(cfg.Progress, x)
		}
	}
	r.figures()
	if r.Void != "" {
		return r, fmt.Errorf("%w: %s", bench.ErrVoid, r.Void)
	}
	return r, nil
}

// round measures a side once, in a folder of its own.
func round(ctx context.Context, cfg Config, side Side, files []string) (x Round, err error) {
	dir, err := bench.Scratch("ingest")
	if err != nil {
		return x, err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			err = fmt.Errorf("%w (what it left is in %s)", err, dir)
		}
	}()
	x.Side, x.Photos = side, len(files)
	if side == Ours {
		err = ours(ctx, cfg, dir, files, &x)
	} else {
		err = measured(&x, func() (time.Duration, error) { return thumbnails(ctx, dir, files, side == Chained) })
	}
	return x, err
}

// measured fills in what a side took.
func measured(x *Round, do func() (time.Duration, error)) error {
	others, err := bench.WatchOthers()
	if err != nil {
		return err
	}
	took, err := do()
	if err != nil {
		return err
	}
	share, err := others.Share()
	x.Seconds, x.Others = bench.Round(took.Seconds(), 3), bench.Round(share, 3)
	x.PerSCore = bench.Round(float64(x.Photos)/took.Seconds()/float64(runtime.NumCPU()), 3)
	return err
}

// ours measures a fresh installation, after it has seen a few photographs.
func ours(ctx context.Context, cfg Config, dir string, files []string, x *Round) error {
	s, err := open(ctx, dir, cfg.Binary, cfg.Darkroom, cfg.Settings)
	if err != nil {
		return err
	}
	defer s.close()
	warm := files[:min(len(files), max(len(files)/10, 2*runtime.NumCPU()))]
	before, _, err := s.turn(ctx, "Warming up", warm, &Round{Photos: len(warm)})
	if err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	during, after, err := s.turn(ctx, "Harbour run", files, x)
	if err != nil {
		return err
	}
	x.Server, x.Darkroom = mb(during.server), mb(during.children)
	x.Growth = bench.Round(mb(during.server)-mb(before.server), 1)
	x.Left = bench.Round(mb(after.server)-mb(before.server), 1)
	return nil
}

func mb(bytes int64) float64 { return bench.Round(float64(bytes)/1e6, 1) }

// turn uploads files to a new event and examines them, and tells the most memory
// meanwhile and the memory at the end.
func (s *shop) turn(ctx context.Context, title string, files []string, x *Round) (most, last memory, err error) {
	event, err := s.event(ctx, title)
	if err != nil {
		return most, last, err
	}
	stop := watch(s.server.PID)
	err = measured(x, func() (time.Duration, error) { return s.ingest(ctx, event, files) })
	most, werr := stop()
	last, lerr := resident(s.server.PID)
	if err := errors.Join(err, werr, lerr); err != nil {
		return most, last, err
	}
	return most, last, check(ctx, s.db, s.blobs, event, len(files))
}
