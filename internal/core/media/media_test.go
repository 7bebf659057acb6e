package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
	"proofroom/internal/darkroom/wire"
)

func TestAPhotographFromUploadToPicture(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	for name, content := range map[string][]byte{"pizza.jpg": photograph(t, aJPEG), "pizza.png": photograph(t, aPNG)} {
		up := f.upload(t, name, content)
		require.False(t, up.Duplicate)
		require.Equal(t, int64(len(content)), up.Bytes)
		require.Equal(t, sha256.Sum256(content), up.SHA256)
		require.Equal(t, catalog.Processing, f.photo(t, up.ID).State)
	}
	require.Empty(t, f.files(t, "tmp"))
	require.Len(t, f.files(t, originals), 2)
	work(t, f.Service, f.db.Pool)
	f.eventuallyDone(t)

	rows, err := f.db.Pool.Query(t.Context(), "SELECT id FROM photos")
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	for _, photo := range ids {
		p := f.photo(t, photo)
		require.Equal(t, catalog.Ready, p.State)
		for kind, longest := range map[Kind]int{Preview: 1600, Size960: 960, Size480: 480, Placeholder: 16} {
			file, err := f.OpenDerivative(t.Context(), photo, kind)
			require.NoError(t, err, kind)
			content, err := io.ReadAll(file)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			require.Len(t, content, int(file.Size))
			sum := sha256.Sum256(content)
			require.Equal(t, `"`+hex.EncodeToString(sum[:])+`"`, file.ETag)
			require.LessOrEqual(t, max(file.Width, file.Height), longest)
			require.InDelta(t, float64(p.Width)/float64(p.Height), float64(file.Width)/float64(file.Height), 0.2)
			if file.ContentType == "image/jpeg" {
				cfg, _, err := image.DecodeConfig(bytes.NewReader(content))
				require.NoError(t, err)
				require.Equal(t, [2]int{file.Width, file.Height}, [2]int{cfg.Width, cfg.Height})
			}
		}
		original, err := f.OpenOriginal(t.Context(), photo)
		require.NoError(t, err)
		content, err := io.ReadAll(original)
		require.NoError(t, err)
		require.NoError(t, original.Close())
		require.Equal(t, p.SHA256, sha256.Sum256(content))
		require.Equal(t, "image/"+strings.Replace(filepath.Ext(p.Name)[1:], "jpg", "jpeg", 1), original.ContentType)
	}
	require.Empty(t, f.files(t, "tmp"))
	require.Equal(t, 10, f.count(t, "SELECT count(*) FROM blobs"))
}

func TestFilesAreServedInRanges(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	content := photograph(t, aJPEG)
	up := f.upload(t, "pizza.jpg", content)
	get := func(header, value string) *http.Response {
		file, err := f.OpenOriginal(t.Context(), up.ID)
		require.NoError(t, err)
		defer func() { require.NoError(t, file.Close()) }()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		w.Header().Set("Etag", file.ETag)
		w.Header().Set("Content-Type", file.ContentType)
		http.ServeContent(w, r, "", file.ModTime, file)
		return w.Result()
	}
	for rang, want := range map[string][]byte{
		"bytes=0-9": content[:10], "bytes=1000-1999": content[1000:2000], "bytes=-7": content[len(content)-7:],
	} {
		res := get("Range", rang)
		require.Equal(t, http.StatusPartialContent, res.StatusCode)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, want, got, rang)
	}
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, get("Range", "bytes=99999999-").StatusCode)
	sum := sha256.Sum256(content)
	require.Equal(t, http.StatusNotModified, get("If-None-Match", `"`+hex.EncodeToString(sum[:])+`"`).StatusCode)
}

func TestRefusedFilesChangeNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{MaxBytes: 100_000})
	good := photograph(t, "testdata/video-001.jpeg")
	short := io.MultiReader(bytes.NewReader(good[:5000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	for name, c := range map[string]struct {
		file string
		r    io.Reader
		want error
	}{
		"empty":        {"a.jpg", strings.NewReader(""), ErrEmpty},
		"text":         {"a.jpg", strings.NewReader("hello"), ErrNoPicture},
		"gif":          {"a.jpg", strings.NewReader("GIF89a\x01\x00\x01\x00"), ErrNoPicture},
		"video":        {"a.heic", strings.NewReader("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42isom"), ErrNoPicture},
		"svg":          {"a.png", strings.NewReader("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"), ErrNoPicture},
		"script":       {"a.jpg", strings.NewReader("<script>alert(1)</script>"), ErrNoPicture},
		"large":        {"a.jpg", bytes.NewReader(photograph(t, aJPEG)), ErrTooLarge},
		"cut at once":  {"a.jpg", iotest.ErrReader(io.ErrUnexpectedEOF), ErrCutShort},
		"cut later":    {"a.jpg", short, ErrCutShort},
		"path":         {"../a.jpg", bytes.NewReader(good), catalog.ErrPhotoName},
		"NUL":          {"a\x00.jpg", bytes.NewReader(good), catalog.ErrPhotoName},
		"writing mark": {"a\u202egpj.exe", bytes.NewReader(good), catalog.ErrPhotoName},
		"long name":    {strings.Repeat("n", 300) + ".jpg", bytes.NewReader(good), catalog.ErrPhotoName},
	} {
		_, err := f.Upload(t.Context(), f.input(c.file, c.r))
		require.ErrorIs(t, err, c.want, name)
	}
	_, err := f.Upload(t.Context(), f.input("a.heic", strings.NewReader("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42isom")))
	require.Contains(t, problem.As(err).Detail, "video")
	exact := append(bytes.Clone(good), make([]byte, 100_000-len(good))...)
	f.upload(t, "as large as it may be.jpg", exact)
	_, err = f.Upload(t.Context(), f.input("a.jpg", bytes.NewReader(append(exact, 0))))
	require.ErrorIs(t, err, ErrTooLarge)

	require.Empty(t, f.files(t, "tmp"))
	require.Len(t, f.files(t, ""), 1)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM photos"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM river_job"))
}

func TestWhoMayUpload(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	other, _ := eventOf(t, f.db.Pool)
	for _, by := range []catalog.By{{}, other} {
		_, err := f.Begin(t.Context(), by, f.event.ID)
		require.ErrorIs(t, err, catalog.ErrNotYours)
	}
	_, err := f.Begin(t.Context(), f.by, uuid.New())
	require.ErrorIs(t, err, catalog.ErrEventNotFound)
	operator := catalog.By{ID: other.ID, Operator: true}
	_, err = f.Begin(t.Context(), operator, f.event.ID)
	require.NoError(t, err)
	_, err = catalog.New(f.db.Pool, catalog.Config{}).Close(t.Context(), f.by, f.event.ID)
	require.NoError(t, err)
	_, err = f.Begin(t.Context(), f.by, f.event.ID)
	require.ErrorIs(t, err, catalog.ErrEventClosed)
}

func TestTheSameFileAgain(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	content := photograph(t, aJPEG)
	first := f.upload(t, "first.jpg", content)
	second := f.upload(t, "second.jpg", content)
	require.Equal(t, first.ID, second.ID)
	require.True(t, second.Duplicate)
	require.False(t, second.Restored)
	require.Equal(t, "first.jpg", f.photo(t, first.ID).Name)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM river_job"))
	require.Len(t, f.files(t, ""), 1)

	b, err := f.Begin(t.Context(), f.by, f.event.ID)
	require.NoError(t, err)
	small := photograph(t, "testdata/video-001.jpeg")
	require.NoError(t, b.Add(t.Context(), "a.jpg", bytes.NewReader(small)))
	require.ErrorIs(t, b.Add(t.Context(), "b.txt", strings.NewReader("text")), ErrNoPicture)
	require.NoError(t, b.Add(t.Context(), "c.jpg", bytes.NewReader(small)))
	require.NoError(t, b.Add(t.Context(), "d.jpg", bytes.NewReader(content)))
	out, err := b.Commit(t.Context())
	require.NoError(t, err)
	require.Len(t, out, 3)
	require.Equal(t, []bool{false, true, true}, []bool{out[0].Duplicate, out[1].Duplicate, out[2].Duplicate})
	require.Equal(t, out[0].ID, out[1].ID)
	require.Equal(t, first.ID, out[2].ID)
	require.Zero(t, b.Len())
}

// Many uploads of one file at the same time: one photograph, one job.
func TestTheSameFileAtOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	content := photograph(t, aJPEG)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[uuid.UUID]int{}
	news := 0
	for range 12 {
		wg.Go(func() {
			up, err := f.Upload(t.Context(), f.input("a.jpg", bytes.NewReader(content)))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			ids[up.ID]++
			if !up.Duplicate {
				news++
			}
		})
	}
	wg.Wait()
	require.Len(t, ids, 1)
	require.Equal(t, 1, news)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM river_job"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM blobs"))
	require.Empty(t, f.files(t, "tmp"))
}

// Whatever stops an upload between its file and its rows, the next try ends it.
func TestAnUploadThatStopsHalfway(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	content := photograph(t, aJPEG)
	broken := New(f.db.Pool, f.Service.files, brokenJobs{}, nil, Config{})
	_, err := broken.Upload(t.Context(), f.input("a.jpg", bytes.NewReader(content)))
	require.ErrorContains(t, err, "the queue is broken")
	require.Equal(t, 0, f.count(t, "SELECT (SELECT count(*) FROM photos) + (SELECT count(*) FROM blobs)"))
	require.Len(t, f.files(t, originals), 1, "an orphan at most")
	up := f.upload(t, "a.jpg", content)
	require.False(t, up.Duplicate)
	require.Len(t, f.files(t, ""), 1)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM river_job"))

	// A batch that is given up leaves nothing.
	b, err := f.Begin(t.Context(), f.by, f.event.ID)
	require.NoError(t, err)
	require.NoError(t, b.Add(t.Context(), "b.jpg", bytes.NewReader(photograph(t, "testdata/video-001.jpeg"))))
	require.Len(t, f.files(t, "tmp"), 1)
	b.Discard(t.Context())
	require.Empty(t, f.files(t, "tmp"))
}

func TestJobsHoldBoundedGroups(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	f.uploadAll(t, many(t, 2*GroupSize+5))
	rows, err := f.db.Pool.Query(t.Context(),
		"SELECT jsonb_array_length(args->'photo_ids') FROM river_job WHERE kind = 'media_develop' AND queue = 'media' ORDER BY id")
	require.NoError(t, err)
	sizes, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	require.Equal(t, []int{GroupSize, GroupSize, 5}, sizes)
}

func TestAnUnreadablePhotographSaysWhy(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	whole := photograph(t, aJPEG)
	bad := f.upload(t, "bad.jpg", whole[:len(whole)/2])
	noise := f.upload(t, "noise.jpg", append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte{0x5a}, 4000)...))
	good := f.upload(t, "good.jpg", whole)
	require.NoError(t, f.Develop(t.Context(), []uuid.UUID{bad.ID, noise.ID, good.ID}))
	for _, photo := range []uuid.UUID{bad.ID, noise.ID} {
		p := f.photo(t, photo)
		require.Equal(t, catalog.Unreadable, p.State)
		require.NotEmpty(t, p.Reason)
		_, err := f.OpenDerivative(t.Context(), photo, Preview)
		require.ErrorIs(t, err, ErrNoFile)
	}
	require.Equal(t, catalog.Ready, f.photo(t, good.ID).State)
}

func TestDevelopingTwiceIsDevelopingOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	ids := f.uploadAll(t, many(t, 4))
	other := New(f.db.Pool, f.Service.files, f.queue, room(t, darkroomBinary), Config{})
	var wg sync.WaitGroup
	for _, s := range []*Service{f.Service, other} {
		wg.Go(func() {
			if err := s.Develop(t.Context(), ids); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	state := func() (out string) {
		require.NoError(t, f.db.Pool.QueryRow(t.Context(), `SELECT
			(SELECT string_agg(p::text, ' ' ORDER BY id) FROM photos p) ||
			(SELECT string_agg(b::text, ' ' ORDER BY photo_id, kind) FROM blobs b)`).Scan(&out))
		return out
	}
	require.Equal(t, 4, f.count(t, "SELECT count(*) FROM photos WHERE state = 'ready'"))
	require.Equal(t, 4*5, f.count(t, "SELECT count(*) FROM blobs"))
	before := state()
	require.NoError(t, f.Develop(t.Context(), ids))
	require.Equal(t, before, state())
}

// slowRoom lets another development of the same photograph finish first.
type slowRoom struct {
	Room
	before func()
}

func (r slowRoom) Develop(ctx context.Context, original wire.Original, opts wire.Options) (wire.Developed, error) {
	d, err := r.Room.Develop(ctx, original, opts)
	r.before()
	d.Average = "#000000" // as another version of the darkroom might find
	d.Derivatives[0].Bytes = append(d.Derivatives[0].Bytes, 0)
	return d, err
}

// A development that ends second, with another result, changes nothing. Without
// the claim on the state its rows would be mixed with the first one's.
func TestTheSecondDevelopmentToEndChangesNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	up := f.upload(t, "a.jpg", photograph(t, aJPEG))
	slow := New(f.db.Pool, f.Service.files, f.queue, slowRoom{f.room, func() {
		if err := f.Develop(t.Context(), []uuid.UUID{up.ID}); err != nil {
			t.Error(err)
		}
	}}, Config{})
	require.NoError(t, slow.Develop(t.Context(), []uuid.UUID{up.ID}))
	p := f.photo(t, up.ID)
	require.Equal(t, catalog.Ready, p.State)
	require.NotEqual(t, "#000000", p.Average)
	require.Equal(t, 5, f.count(t, "SELECT count(*) FROM blobs"))
}

func TestARowThatStandsAlreadyMustBeTheSame(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	up := f.upload(t, "a.jpg", photograph(t, aJPEG))
	rows, err := queries.BlobsOf(t.Context(), f.db.Pool, []uuid.UUID{up.ID})
	require.NoError(t, err)
	again := rows[0].Blob
	insert := func() error {
		return pg.Exec(t.Context(), f.db.Pool, func(ctx context.Context, tx pgx.Tx) error {
			return insertBlobsTx(ctx, tx, []blobRow{again})
		})
	}
	require.NoError(t, insert())
	again.Bytes++
	require.ErrorIs(t, insert(), errDiffers)
	_, err = f.db.Owner.Exec(t.Context(), "UPDATE blobs SET bytes = 1")
	require.ErrorContains(t, err, "PR002")
}

func TestWhatIsWrongWithTheMachineBlamesNoPhotograph(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	ids := f.uploadAll(t, many(t, 3))
	none := New(f.db.Pool, f.Service.files, f.queue, room(t, filepath.Join(t.TempDir(), "no-darkroom")), Config{})
	require.ErrorIs(t, none.Develop(t.Context(), ids), ErrNoRoom)
	require.Equal(t, 3, f.count(t, "SELECT count(*) FROM photos WHERE state = 'processing'"))

	// One original is lost and one is altered: the third is developed.
	path := func(i int) string { return filepath.Join(f.dir, keyOf(originals, f.photo(t, ids[i]).SHA256)) }
	content, err := os.ReadFile(path(1))
	require.NoError(t, err)
	require.NoError(t, os.Remove(path(0)))
	content[100] ^= 1
	require.NoError(t, os.WriteFile(path(1), content, 0o600))
	err = f.Develop(t.Context(), ids)
	require.ErrorContains(t, err, ids[0].String())
	require.ErrorContains(t, err, "not what was uploaded")
	require.NotErrorIs(t, err, ErrNoRoom)
	require.Equal(t, 2, f.count(t, "SELECT count(*) FROM photos WHERE state = 'processing'"))
	require.Equal(t, catalog.Ready, f.photo(t, ids[2]).State)
	require.NoError(t, os.Truncate(path(1), 10))
	_, err = f.OpenOriginal(t.Context(), ids[1])
	require.ErrorContains(t, err, "10 bytes in the store")
}

func TestSweepAsksAgain(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	ids := f.uploadAll(t, many(t, GroupSize+3))
	_, err := f.db.Owner.Exec(t.Context(), "DELETE FROM river_job") // the queue lost them
	require.NoError(t, err)
	n, err := f.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "they have not waited long")
	_, err = f.db.Owner.Exec(t.Context(), "UPDATE photos SET queued_at = queued_at - interval '5 minutes'")
	require.NoError(t, err)
	require.NoError(t, f.Develop(t.Context(), ids[:1]))
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 { // instances sweep at once
		wg.Go(func() {
			n, err := f.Sweep(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			total += n
		})
	}
	wg.Wait()
	require.Equal(t, GroupSize+2, total)
	require.Equal(t, GroupSize+2, f.count(t, "SELECT sum(jsonb_array_length(args->'photo_ids')) FROM river_job"))

	old, young := filepath.Join(f.dir, "tmp", "old"), filepath.Join(f.dir, "tmp", "young")
	for _, path := range []string{old, young} {
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	past := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(old, past, past))
	_, err = f.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"tmp/young"}, f.files(t, "tmp"))
}

func TestNothingIsCalledInsideATransaction(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	up := f.upload(t, "a.jpg", photograph(t, aJPEG))
	b, err := f.Begin(t.Context(), f.by, f.event.ID)
	require.NoError(t, err)
	require.NoError(t, b.Add(t.Context(), "b.jpg", bytes.NewReader(photograph(t, aPNG))))
	for name, call := range map[string]func(context.Context) error{
		"upload":  func(ctx context.Context) error { return b.Add(ctx, "c.jpg", bytes.NewReader(photograph(t, aPNG))) },
		"commit":  func(ctx context.Context) error { _, err := b.Commit(ctx); return err },
		"open":    func(ctx context.Context) error { _, err := f.OpenOriginal(ctx, up.ID); return err },
		"develop": func(ctx context.Context) error { return f.Develop(ctx, []uuid.UUID{up.ID}) },
		"sweep":   func(ctx context.Context) error { _, err := f.Service.files.sweep(ctx, time.Now()); return err },
	} {
		err := pg.Exec(t.Context(), f.db.Pool, func(ctx context.Context, _ pgx.Tx) error { return call(ctx) })
		require.ErrorIs(t, err, pg.ErrInTransaction, name)
	}
}

func TestABucketWorksLikeAFolder(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	files := NewStore(memblob.OpenBucket(nil))
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	s := New(f.db.Pool, files, f.queue, f.room, Config{})
	content := photograph(t, aJPEG)
	up, err := s.Upload(t.Context(), f.input("a.jpg", bytes.NewReader(content)))
	require.NoError(t, err)
	require.NoError(t, s.Develop(t.Context(), []uuid.UUID{up.ID}))
	file, err := s.OpenOriginal(t.Context(), up.ID)
	require.NoError(t, err)
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Equal(t, content, got)
	n, err := files.sweep(t.Context(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Zero(t, n, "no temporary file is left")
}

func TestStoreAddresses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, address := range []string{filepath.Join(dir, "a/b"), "file://" + filepath.Join(dir, "c")} {
		s, err := OpenStore(t.Context(), address)
		require.NoError(t, err)
		_, _, err = s.put(t.Context(), derivatives, []byte("x"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	for _, address := range []string{"file://host/path", "nothing://x", filepath.Join(dir, "file", "below")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
		_, err := OpenStore(t.Context(), address)
		require.Error(t, err, address)
	}
}

func TestTimesThatNoCameraMeans(t *testing.T) {
	t.Parallel()
	require.Equal(t, "2026-07-14T18:00:00", taken("2026-07-14T18:00:00"))
	for _, local := range []string{"", "0000-01-01T00:00:00", "1800-01-01T00:00:00", "9999-12-31T23:59:59", "2026-02-30T00:00:00"} {
		require.Empty(t, taken(local), "%q", local)
	}
	require.False(t, errors.Is(ErrMore, ErrNoRoom))
}
