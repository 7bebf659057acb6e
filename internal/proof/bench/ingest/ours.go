package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/bench"
)

const (
	groupSize = 20 // photographs in one upload
	lookEvery = 20 * time.Millisecond
	// patience bounds how long the darkroom may need for one photograph on average.
	patience = 10 * time.Second
)

// ErrIncomplete says that a photograph did not become ready, or that one of its
// derivatives is missing or not what it must be.
var ErrIncomplete = errors.New("not every photograph is ready")

// shop is a fresh installation.
type shop struct {
	pg     *bench.Postgres
	db     *pgxpool.Pool
	server *bench.Server
	blobs  string
	token  string
	client http.Client
	by     catalog.By
}

func open(ctx context.Context, dir, binary, darkroom string, settings map[string]string) (_ *shop, err error) {
	s := &shop{blobs: filepath.Join(dir, "files")}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.pg, err = bench.StartPostgres(ctx, dir, settings); err != nil {
		return nil, err
	}
	if s.db, err = pg.Open(ctx, pg.PoolConfig{URL: s.pg.Database(), MaxConns: 2, Name: "proofroom bench"}); err != nil {
		return nil, err
	}
	var creator uuid.UUID
	if s.token, creator, err = account.New(s.db).Provision(ctx, "creator@example.com", "", "bench", []account.Role{account.Creator}); err != nil {
		return nil, err
	}
	s.by = catalog.By{ID: creator}
	s.server, err = bench.Serve(ctx, binary, dir, s.pg.Database(), []string{"--darkroom", darkroom, "--blobs", s.blobs}, nil)
	return s, err
}

func (s *shop) close() {
	s.client.CloseIdleConnections()
	if s.server != nil {
		s.server.Kill()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.pg != nil {
		s.pg.Drop()
	}
}

// event makes an event to upload to.
func (s *shop) event(ctx context.Context, title string) (uuid.UUID, error) {
	e, err := catalog.New(s.db, catalog.Config{}).CreateEvent(ctx, catalog.NewEvent{
		CreatorID: s.by.ID, Title: title, Visibility: catalog.Public, CommissionBps: 1500, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00", Prices: catalog.PriceList{Currency: "EUR", Photo: 500},
	})
	return e.ID, err
}

// ingest uploads files to an event and waits until all are ready.
func (s *shop) ingest(ctx context.Context, event uuid.UUID, files []string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(len(files))*patience)
	defer cancel()
	groups := make(chan []string)
	errs := make([]error, runtime.NumCPU())
	var wg sync.WaitGroup
	begun := time.Now()
	for w := range errs {
		wg.Go(func() {
			for group := range groups {
				if errs[w] == nil { // a failed one takes what is left and drops it
					errs[w] = s.upload(ctx, event, group)
				}
			}
		})
	}
	for rest := files; len(rest) > 0; {
		n := min(groupSize, len(rest))
		groups <- rest[:n]
		rest = rest[n:]
	}
	close(groups)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return s.ready(ctx, event, begun)
}

// ready waits until no photograph of an event is processing.
func (s *shop) ready(ctx context.Context, event uuid.UUID, begun time.Time) (time.Duration, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var left int
		if err := s.db.QueryRow(ctx, `SELECT count(*) FROM photos WHERE event_id = $1 AND state = 'processing'`, event).Scan(&left); err != nil {
			return 0, fmt.Errorf("wait for photographs: %w", err)
		}
		if left == 0 {
			return time.Since(begun), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %d are still processing: %w", ErrIncomplete, left, ctx.Err())
		}
	}
}

// upload sends files in one request, reading them as they go.
func (s *shop) upload(ctx context.Context, event uuid.UUID, files []string) (err error) {
	body, pipe := io.Pipe()
	form := multipart.NewWriter(pipe)
	go func() { _ = pipe.CloseWithError(write(form, files)) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.server.Listen+"/api/v1/events/"+event.String()+"/photos", body)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var got struct{ Items []struct{ Outcome string } }
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("an upload was answered %s: %s", res.Status, text)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	for _, item := range got.Items {
		if item.Outcome != "created" {
			return fmt.Errorf("%w: an upload was answered %s", ErrIncomplete, text)
		}
	}
	if len(got.Items) != len(files) {
		return fmt.Errorf("%w: %d of %d files were taken", ErrIncomplete, len(got.Items), len(files))
	}
	return nil
}

func write(form *multipart.Writer, files []string) error {
	buf := make([]byte, 1<<20)
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		part, err := form.CreateFormFile("files", filepath.Base(path))
		if err == nil {
			_, err = io.CopyBuffer(part, struct{ io.Reader }{f}, buf)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return form.Close()
}

// kept is a row of a derivative.
type kept struct {
	kind, key, format string
	width, height     int
}

// check examines what became of an event's photographs: n of them, ready, each
// with its derivatives, whose files lie in the store.
func check(ctx context.Context, db *pgxpool.Pool, blobs string, event uuid.UUID, n int) error {
	var ready int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM photos WHERE event_id = $1 AND state = 'ready' AND width > 0 AND taken_local IS NOT NULL`, event).Scan(&ready); err != nil {
		return err
	}
	if ready != n {
		return fmt.Errorf("%w: %d of %d are", ErrIncomplete, ready, n)
	}
	rows, err := db.Query(ctx, `SELECT b.kind, b.key, b.format, b.width, b.height FROM blobs b JOIN photos p ON p.id = b.photo_id
		WHERE p.event_id = $1 AND b.kind <> 'original'`, event)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k kept, err error) {
		return k, row.Scan(&k.kind, &k.key, &k.format, &k.width, &k.height)
	})
	if err != nil {
		return err
	}
	found := map[string]int{}
	for _, k := range all {
		found[k.kind]++
		side := 16 // of a placeholder
		for _, d := range derivatives {
			if d.kind == k.kind {
				side = d.side
				if err := sized(filepath.Join(blobs, k.key), side); err != nil {
					return err
				}
			}
		}
		if max(k.width, k.height) != side {
			return fmt.Errorf("%w: a derivative %s has %d x %d pixels", ErrIncomplete, k.kind, k.width, k.height)
		}
	}
	for _, kind := range []string{"preview", "960", "480", "placeholder"} {
		if found[kind] != n {
			return fmt.Errorf("%w: there are %d derivatives %s of %d photographs", ErrIncomplete, found[kind], kind, n)
		}
	}
	return nil
}

// memory is resident memory in bytes.
type memory struct{ server, children int64 }

// watch notes the most memory that the server and its children have until stop is
// called.
func watch(pid int) (stop func() (memory, error)) {
	done, result := make(chan struct{}), make(chan error, 1)
	var most memory
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			now, err := resident(pid)
			if err != nil {
				result <- err
				return
			}
			most.server, most.children = max(most.server, now.server), max(most.children, now.children)
			select {
			case <-tick.C:
			case <-done:
				result <- nil
				return
			}
		}
	}()
	return func() (memory, error) {
		close(done)
		err := <-result
		return most, err
	}
}

// resident looks at a process and its descendants.
func resident(pid int) (memory, error) {
	all, err := bench.Of(pid)
	if err != nil {
		return memory{}, err
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return memory{}, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return memory{}, fmt.Errorf("%q tells no memory", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	own := pages * int64(os.Getpagesize())
	return memory{server: own, children: max(0, all.RSS-own)}, err
}
