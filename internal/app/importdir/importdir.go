package importdir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
)

// Config says what to import, and into what.
type Config struct {
	Dir     string     // with everything below it; hidden files and links are passed over
	Event   string     // id or slug
	By      catalog.By // on whose behalf: the event's creator, or an operator
	Catalog *catalog.Service
	Media   *media.Service
	// Wait keeps Run until every photograph is developed or found unreadable.
	// Somebody must be working the media queue.
	Wait bool
	// Progress is where a bar is drawn, if it is a terminal; may be nil.
	Progress io.Writer
}

// Summary is what a run did. Every file that was looked at is in exactly one of
// Created, Restored, Duplicates and Refused.
type Summary struct {
	Event uuid.UUID `json:"event_id"`
	Slug  string    `json:"event"`
	Files int       `json:"files"`
	// Created are photographs that the event did not have, Restored those that
	// had been deleted from it.
	Created  int `json:"created"`
	Restored int `json:"restored"`
	// Duplicates are files whose bytes the event already had, before this run or
	// from an earlier file of it.
	Duplicates int `json:"duplicates"`
	// Unreadable are photographs from this folder that the darkroom has found
	// unreadable so far; Processing are those that it has not seen yet.
	Unreadable int     `json:"unreadable"`
	Processing int     `json:"processing"`
	Refused    int     `json:"refused"`
	Bytes      int64   `json:"bytes"` // of created and restored photographs
	Seconds    float64 `json:"seconds"`
	// Problems names each file that was refused or is unreadable.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one file that nobody will see.
type Problem struct {
	File   string `json:"file"` // below the folder
	Reason string `json:"reason"`
}

// run is one import under way.
type run struct {
	cfg   Config
	event catalog.Event
	batch *media.Batch
	bar   bar
	out   Summary
	// waiting are the files in batch; photos are all photographs of this folder.
	waiting []string
	photos  map[uuid.UUID]string
}

// Run imports. With an error it also returns what was done until then; running
// again does the rest.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	begin := time.Now()
	r := &run{cfg: cfg, photos: map[uuid.UUID]string{}}
	err := r.all(ctx)
	r.bar.end()
	r.out.Seconds = time.Since(begin).Round(time.Millisecond).Seconds()
	return r.out, err
}

func (r *run) all(ctx context.Context) error {
	var err error
	if r.event, err = r.find(ctx); err != nil {
		return err
	}
	r.out.Event, r.out.Slug = r.event.ID, r.event.Slug
	if r.batch, err = r.cfg.Media.Begin(ctx, r.cfg.By, r.event.ID); err != nil {
		return err
	}
	defer func() { r.batch.Discard(ctx) }()
	files, err := list(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("look through %s: %w", r.cfg.Dir, err)
	}
	r.out.Files = len(files)
	r.bar = newBar(r.cfg.Progress, "importing", len(files))
	for len(files) > 0 {
		group := files[:min(media.GroupSize, len(files))]
		files = files[len(group):]
		if err := r.group(ctx, group); err != nil {
			return err
		}
		r.bar.add(len(group))
	}
	r.bar.end()
	return r.settle(ctx)
}

func (r *run) find(ctx context.Context) (catalog.Event, error) {
	if eventID, err := uuid.Parse(r.cfg.Event); err == nil {
		return r.cfg.Catalog.Event(ctx, r.cfg.By, eventID, "")
	}
	return r.cfg.Catalog.EventBySlug(ctx, r.cfg.By, r.cfg.Event, "")
}

// list finds the files below dir, in an order that is always the same.
func list(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("it is not a folder")
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch hidden := path != dir && strings.HasPrefix(d.Name(), "."); {
		case err != nil:
			return err
		case hidden && d.IsDir():
			return fs.SkipDir
		case !hidden && d.Type().IsRegular():
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			files = append(files, rel)
		}
		return nil
	})
	return files, err
}

// group imports some files in one transaction. Those that the event has already
// are found by their hashes, so that starting again costs only reading.
func (r *run) group(ctx context.Context, files []string) error {
	hashes := make(map[string][32]byte, len(files))
	var all [][32]byte
	for _, name := range files {
		sum, err := hashOf(filepath.Join(r.cfg.Dir, name))
		if err != nil {
			r.refuse(name, plain(err))
			continue
		}
		hashes[name] = sum
		all = append(all, sum)
	}
	known, err := r.cfg.Catalog.Known(ctx, r.event.ID, all)
	if err != nil {
		return err
	}
	for _, name := range files {
		sum, ok := hashes[name]
		if !ok {
			continue
		}
		if photo, has := known[sum]; has {
			r.out.Duplicates++
			r.photos[photo] = name
			continue
		}
		if err := r.add(ctx, name); err != nil {
			return err
		}
	}
	return r.commit(ctx)
}

func hashOf(path string) (sum [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}

func (r *run) add(ctx context.Context, name string) error {
	f, err := os.Open(filepath.Join(r.cfg.Dir, name))
	if err != nil {
		r.refuse(name, plain(err))
		return nil
	}
	defer func() { _ = f.Close() }()
	err = r.batch.Add(ctx, filepath.Base(name), f)
	if p := problem.As(err); p != nil {
		r.refuse(name, p.Title+". "+p.Detail)
		return nil
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	r.waiting = append(r.waiting, name)
	return nil
}

func (r *run) commit(ctx context.Context) error {
	names := r.waiting
	r.waiting = nil
	added, err := r.batch.Commit(ctx)
	if err != nil {
		return err
	}
	for i, a := range added {
		r.photos[a.ID] = names[i]
		switch {
		case a.Restored:
			r.out.Restored++
			r.out.Bytes += a.Bytes
		case a.Duplicate:
			r.out.Duplicates++
		default:
			r.out.Created++
			r.out.Bytes += a.Bytes
		}
	}
	return nil
}

func (r *run) refuse(name, reason string) {
	r.out.Refused++
	r.out.Problems = append(r.out.Problems, Problem{File: name, Reason: reason})
}

// plain drops the path from an error that is told with it anyway.
func plain(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return "The file cannot be read: " + p.Err.Error() + "."
	}
	return "The file cannot be read: " + err.Error() + "."
}

const look = 500 * time.Millisecond

// settle looks how far the folder's photographs are, and waits for them if asked.
func (r *run) settle(ctx context.Context) error {
	var developing bar
	defer func() { developing.end() }()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for first := true; ; first = false {
		bad, err := r.count(ctx)
		if err != nil {
			return err
		}
		if first && r.cfg.Wait {
			developing = newBar(r.cfg.Progress, "developing", len(r.photos))
		}
		developing.set(len(r.photos) - r.out.Processing)
		if !r.cfg.Wait || r.out.Processing == 0 {
			r.out.Problems = append(r.out.Problems, bad...)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d photographs are imported and wait to be developed: %w", r.out.Processing, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// count reads the states of the folder's photographs.
func (r *run) count(ctx context.Context) ([]Problem, error) {
	r.out.Processing, r.out.Unreadable = 0, 0
	var bad []Problem
	const pageSize = 1000
	for after := uuid.Nil; ; {
		page, err := r.cfg.Catalog.PhotosOf(ctx, r.event.ID, after, pageSize, true)
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			name, ours := r.photos[p.ID]
			switch {
			case !ours:
			case p.Developed == catalog.Processing:
				r.out.Processing++
			case p.Developed == catalog.Unreadable:
				r.out.Unreadable++
				bad = append(bad, Problem{File: name, Reason: p.Reason})
			}
		}
		if len(page) < pageSize {
			return bad, nil
		}
		after = page[len(page)-1].ID
	}
}
