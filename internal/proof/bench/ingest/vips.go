package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// derivative is one size that both sides make: its kind, the length of its long
// side in pixels, and the quality of its JPEG.
type derivative struct {
	kind          string
	side, quality int
}

// derivatives are what the darkroom makes of photographs of at least 3,200 pixels
// in length, the largest first, besides a placeholder.
var derivatives = []derivative{{"preview", 1600, 82}, {"960", 960, 80}, {"480", 480, 80}}

// thumbnails has one vipsthumbnail a core make every derivative of the files and
// returns how long that took. chained makes each from the next larger.
func thumbnails(ctx context.Context, dir string, files []string, chained bool) (time.Duration, error) {
	cores := runtime.NumCPU()
	errs := make([]error, cores)
	var wg sync.WaitGroup
	begun := time.Now()
	for core := range cores {
		wg.Go(func() {
			var mine []string
			for i := core; i < len(files); i += cores {
				mine = append(mine, files[i])
			}
			if len(mine) > 0 {
				errs[core] = share(ctx, dir, mine, chained)
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if err := errors.Join(errs...); err != nil {
		return took, err
	}
	return took, whole(dir, len(files))
}

// share makes the derivatives of one core's files.
func share(ctx context.Context, dir string, files []string, chained bool) error {
	from := files
	for _, d := range derivatives {
		into := filepath.Join(dir, d.kind)
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		args := []string{
			"--size", fmt.Sprintf("%dx%d>", d.side, d.side),
			"--output", filepath.Join(into, fmt.Sprintf("%%s.jpg[Q=%d,strip,optimize_coding]", d.quality)),
		}
		cmd := exec.CommandContext(ctx, "vipsthumbnail", append(args, from...)...)
		cmd.Env = append(os.Environ(), "VIPS_CONCURRENCY=1")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			return fmt.Errorf("vipsthumbnail: %w: %s", errors.Join(err), bytes.TrimSpace(out))
		}
		if !chained {
			continue
		}
		from = make([]string, len(files))
		for i, f := range files {
			from[i] = filepath.Join(into, strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))+".jpg")
		}
	}
	return nil
}

// whole sees to it that every derivative of n photographs is there in its size.
func whole(dir string, n int) error {
	for _, d := range derivatives {
		files, err := filepath.Glob(filepath.Join(dir, d.kind, "*.jpg"))
		if err != nil {
			return err
		}
		if len(files) != n {
			return fmt.Errorf("%w: vipsthumbnail made %d files of size %d from %d photographs", ErrIncomplete, len(files), d.side, n)
		}
		for _, f := range files {
			if err := sized(f, d.side); err != nil {
				return err
			}
		}
	}
	return nil
}

// sized sees to it that a JPEG has a long side.
func sized(path string, side int) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	defer func() { _ = f.Close() }()
	head, format, err := image.DecodeConfig(f)
	if err != nil || format != "jpeg" || max(head.Width, head.Height) != side {
		return fmt.Errorf("%w: %s is a %s of %d x %d pixels and should be a jpeg of %d in length (%w)",
			ErrIncomplete, path, format, head.Width, head.Height, side, errors.Join(err))
	}
	return nil
}
