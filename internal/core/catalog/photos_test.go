package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
)

func (f fixture) files(event uuid.UUID, contents ...string) (out []NewPhoto) {
	for i, c := range contents {
		out = append(out, NewPhoto{EventID: event, CreatorID: f.ada.ID, SHA256: sha256.Sum256([]byte(c)), Name: fmt.Sprintf("%d.jpg", i)})
	}
	return out
}

func (f fixture) add(t *testing.T, batch []NewPhoto) []Added {
	t.Helper()
	added, err := f.tryAdd(t.Context(), batch)
	require.NoError(t, err)
	return added
}

func (f fixture) tryAdd(ctx context.Context, batch []NewPhoto) ([]Added, error) {
	return pg.InTx(ctx, f.db.Pool, func(ctx context.Context, tx pgx.Tx) ([]Added, error) {
		return f.store.AddPhotosTx(ctx, tx, batch)
	})
}

func (f fixture) ready(t *testing.T, ids ...uuid.UUID) []uuid.UUID {
	t.Helper()
	var batch []Developed
	for _, u := range ids {
		batch = append(batch, Developed{PhotoID: u, Width: 1600, Height: 1067, Average: "#a0b0c0", TakenLocal: "2026-07-14T19:03:05"})
	}
	moved, err := pg.InTx(t.Context(), f.db.Pool, func(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
		return f.store.ReadyTx(ctx, tx, batch)
	})
	require.NoError(t, err)
	return moved
}

func (f fixture) unreadable(t *testing.T, ids ...uuid.UUID) []uuid.UUID {
	t.Helper()
	var batch []Refused
	for _, u := range ids {
		batch = append(batch, Refused{PhotoID: u, Reason: "It is damaged."})
	}
	moved, err := pg.InTx(t.Context(), f.db.Pool, func(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
		return f.store.UnreadableTx(ctx, tx, batch)
	})
	require.NoError(t, err)
	return moved
}

func (f fixture) photo(t *testing.T, photo uuid.UUID) Photo {
	t.Helper()
	p, err := f.store.Photo(t.Context(), f.db.Pool, photo)
	require.NoError(t, err)
	return p
}

func (f fixture) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, f.db.Pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func TestTheSameBytesAreOnePhotograph(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e, second := f.onSale(t), f.onSale(t)
	first := f.add(t, f.files(e.ID, "a", "b", "a"))
	require.Equal(t, first[0].ID, first[2].ID)
	require.Equal(t, []bool{false, false, true}, []bool{first[0].Duplicate, first[1].Duplicate, first[2].Duplicate})

	again := f.add(t, f.files(e.ID, "c", "b", "a"))
	require.False(t, again[0].Duplicate)
	require.Equal(t, Added{ID: first[1].ID, Duplicate: true}, again[1])
	require.Equal(t, Added{ID: first[0].ID, Duplicate: true}, again[2])
	require.Equal(t, 3, f.count(t, "SELECT count(*) FROM photos"))

	elsewhere := f.add(t, f.files(second.ID, "a"))
	require.False(t, elsewhere[0].Duplicate, "another event has a photograph of its own")
	require.NotEqual(t, first[0].ID, elsewhere[0].ID)

	known, err := f.Known(t.Context(), e.ID, [][32]byte{sha256.Sum256([]byte("a")), sha256.Sum256([]byte("z"))})
	require.NoError(t, err)
	require.Equal(t, map[[32]byte]uuid.UUID{sha256.Sum256([]byte("a")): first[0].ID}, known)
}

// Many uploads of the same files at once, in opposite orders: one photograph
// for each file, and everybody is told the same. Without the
// unique key there is one for each upload.
func TestTheSameBytesAtOnce(t *testing.T) {
	t.Parallel()
	const uploads, files = 8, 20
	run := func(t *testing.T, f fixture) (ids []map[uuid.UUID]bool) {
		t.Helper()
		e := f.onSale(t)
		contents := make([]string, files)
		for i := range contents {
			contents[i] = fmt.Sprint(i)
		}
		ids = make([]map[uuid.UUID]bool, files)
		for i := range ids {
			ids[i] = map[uuid.UUID]bool{}
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for u := range uploads {
			wg.Go(func() {
				batch := f.files(e.ID, contents...)
				if u%2 == 1 {
					for i, j := 0, files-1; i < j; i, j = i+1, j-1 {
						batch[i], batch[j] = batch[j], batch[i]
					}
				}
				added, err := f.tryAdd(t.Context(), batch)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				for i, a := range added {
					if u%2 == 1 {
						i = files - 1 - i
					}
					ids[i][a.ID] = true
				}
			})
		}
		wg.Wait()
		return ids
	}

	t.Run("guarded", func(t *testing.T) {
		t.Parallel()
		f := setUp(t, Config{})
		for _, same := range run(t, f) {
			require.Len(t, same, 1)
		}
		require.Equal(t, files, f.count(t, "SELECT count(*) FROM photos"))
	})
	t.Run("without uq_photo_bytes", func(t *testing.T) {
		t.Parallel()
		f := setUp(t, Config{})
		_, err := f.db.Owner.Exec(t.Context(), "ALTER TABLE photos DROP CONSTRAINT uq_photo_bytes")
		require.NoError(t, err)
		run(t, f)
		require.Greater(t, f.count(t, "SELECT count(*) FROM photos"), files, "the key is what guards")
	})
}

func TestDevelopmentEndsOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	added := f.add(t, f.files(e.ID, "a", "b"))
	a, b := added[0].ID, added[1].ID
	require.Equal(t, Processing, f.photo(t, a).State)

	require.Equal(t, []uuid.UUID{a}, f.ready(t, a))
	require.Empty(t, f.ready(t, a))
	require.Empty(t, f.unreadable(t, a), "what is ready stays ready")
	p := f.photo(t, a)
	require.Equal(t, Ready, p.State)
	require.Equal(t, [2]int{1600, 1067}, [2]int{p.Width, p.Height})
	require.Equal(t, "#a0b0c0", p.Average)
	require.Equal(t, "2026-07-14T19:03:05", p.TakenLocal.Format("2006-01-02T15:04:05"))

	require.Equal(t, []uuid.UUID{b}, f.unreadable(t, b))
	require.Empty(t, f.ready(t, b))
	p = f.photo(t, b)
	require.Equal(t, Unreadable, p.State)
	require.Equal(t, "It is damaged.", p.Reason)
}

func TestWhoMaySeeAPhotograph(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	added := f.add(t, f.files(e.ID, "ready", "processing", "unreadable", "hidden", "deleted", "hidden before it is ready"))
	f.ready(t, added[0].ID, added[3].ID, added[4].ID)
	f.unreadable(t, added[2].ID)
	_, err := f.HidePhotos(t.Context(), f.ada, []uuid.UUID{added[3].ID, added[5].ID})
	require.NoError(t, err)
	_, err = f.DeletePhotos(t.Context(), f.ada, []uuid.UUID{added[4].ID})
	require.NoError(t, err)
	f.ready(t, added[5].ID)

	states := []PhotoState{Ready, Processing, Unreadable, Hidden, Deleted, Hidden}
	nobody := By{}
	for i, want := range states {
		p := f.photo(t, added[i].ID)
		require.Equal(t, want, p.State)
		for by, may := range map[By]bool{
			f.ada: want != Deleted, operator: want != Deleted, f.other: want == Ready, nobody: want == Ready,
		} {
			_, _, err := f.Photo(t.Context(), by, p.ID, "")
			if may {
				require.NoError(t, err, "%s", want)
			} else {
				require.ErrorIs(t, err, ErrPhotoNotFound, "%s", want)
			}
		}
	}

	public, err := f.PhotosOf(t.Context(), e.ID, uuid.Nil, 10, false)
	require.NoError(t, err)
	require.Len(t, public, 1)
	own, err := f.PhotosOf(t.Context(), e.ID, uuid.Nil, 10, true)
	require.NoError(t, err)
	require.Len(t, own, 5)
	counts, err := f.CountPhotos(t.Context(), []uuid.UUID{e.ID})
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]Counts{e.ID: {Ready: 1, Processing: 1, Unreadable: 1, Hidden: 2}}, counts)

	shown, err := f.ShowPhotos(t.Context(), f.ada, []uuid.UUID{added[5].ID})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{added[5].ID}, shown)
	require.Equal(t, Ready, f.photo(t, added[5].ID).State, "it became ready while nobody saw it")
}

func TestOnlyTheOwnerChangesPhotographs(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	added := f.add(t, f.files(e.ID, "a", "b"))
	ids := []uuid.UUID{added[0].ID, added[1].ID}
	for _, by := range []By{{}, f.other} {
		_, err := f.DeletePhotos(t.Context(), by, ids)
		require.ErrorIs(t, err, ErrNotYours)
		_, err = f.HidePhotos(t.Context(), by, ids)
		require.ErrorIs(t, err, ErrNotYours)
	}
	_, err := f.DeletePhotos(t.Context(), f.ada, append(ids, id.New()))
	require.ErrorIs(t, err, ErrPhotoNotFound)
	require.Equal(t, 0, f.count(t, "SELECT count(*) FROM photos WHERE deleted_at IS NOT NULL OR hidden_at IS NOT NULL"))
	gone, err := f.DeletePhotos(t.Context(), operator, ids)
	require.NoError(t, err)
	require.Equal(t, id.Sorted(ids), gone)
	gone, err = f.DeletePhotos(t.Context(), operator, ids)
	require.NoError(t, err)
	require.Empty(t, gone)
}

func TestADeletedPhotographComesBackAndAHiddenOneDoesNot(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	added := f.add(t, f.files(e.ID, "a", "b"))
	f.ready(t, added[0].ID, added[1].ID)
	_, err := f.HidePhotos(t.Context(), operator, []uuid.UUID{added[0].ID})
	require.NoError(t, err)
	_, err = f.DeletePhotos(t.Context(), f.ada, []uuid.UUID{added[0].ID, added[1].ID})
	require.NoError(t, err)
	again := f.add(t, f.files(e.ID, "a", "b"))
	require.Equal(t, []Added{{ID: added[0].ID, Duplicate: true, Restored: true}, {ID: added[1].ID, Duplicate: true, Restored: true}}, again)
	require.Equal(t, Hidden, f.photo(t, added[0].ID).State, "uploading it again does not undo a takedown")
	require.Equal(t, Ready, f.photo(t, added[1].ID).State)
}

func TestWhatIsForSaleAndWhatCanStillBeDelivered(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e, second := f.onSale(t), f.onSale(t)
	added := f.add(t, f.files(e.ID, "a", "b", "c"))
	f.ready(t, added[0].ID, added[1].ID)
	foreign := f.add(t, f.files(second.ID, "a"))[0].ID
	f.ready(t, foreign)
	a, b, c := added[0].ID, added[1].ID, added[2].ID

	deliverable := func(event uuid.UUID, photos ...uuid.UUID) bool {
		ok, err := f.store.Deliverable(t.Context(), f.db.Pool, event, photos)
		require.NoError(t, err)
		return ok
	}
	sold, err := f.store.PhotosForSale(t.Context(), f.db.Pool, e.ID, []uuid.UUID{b, a})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{b, a}, []uuid.UUID{sold[0].ID, sold[1].ID})
	for name, ids := range map[string][]uuid.UUID{
		"processing": {a, c}, "of another event": {a, foreign}, "unknown": {a, id.New()}, "twice": {a, a},
	} {
		_, err := f.store.PhotosForSale(t.Context(), f.db.Pool, e.ID, ids)
		require.ErrorIs(t, err, ErrPhotoNotFound, name)
		require.ErrorContains(t, err, "photo_ids[1]", name)
		require.NotContains(t, err.Error(), "photo_ids[0]", name)
	}
	require.True(t, deliverable(e.ID, a, b))
	require.True(t, deliverable(e.ID, a, a))
	require.True(t, deliverable(e.ID))
	require.False(t, deliverable(e.ID, a, c))
	require.False(t, deliverable(e.ID, foreign))
	require.False(t, deliverable(id.New()))
	_, err = f.Close(t.Context(), f.ada, e.ID)
	require.NoError(t, err)
	require.True(t, deliverable(e.ID, a, b), "the files are still there")
	_, err = f.HidePhotos(t.Context(), operator, []uuid.UUID{b})
	require.NoError(t, err)
	require.False(t, deliverable(e.ID, a, b))
	require.NoError(t, f.DeleteEvent(t.Context(), f.ada, e.ID))
	require.False(t, deliverable(e.ID))
}

func TestStuckPhotographsAreClaimedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	added := f.add(t, f.files(e.ID, "a", "b", "c"))
	f.ready(t, added[2].ID)
	claim := func(older time.Duration) []uuid.UUID {
		ids, err := pg.InTx(t.Context(), f.db.Pool, func(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
			return f.store.ClaimStuckTx(ctx, tx, older, 10)
		})
		require.NoError(t, err)
		return ids
	}
	require.Empty(t, claim(time.Minute))
	_, err := f.db.Pool.Exec(t.Context(), "UPDATE photos SET queued_at = queued_at - interval '2 minutes'")
	require.NoError(t, err)
	require.Equal(t, id.Sorted([]uuid.UUID{added[0].ID, added[1].ID}), claim(time.Minute))
	require.Empty(t, claim(time.Minute), "they were asked for just now")
}

func TestTheDatabaseKeepsItsRows(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	f.add(t, f.files(e.ID, "a"))
	owner := f.db.Owner // whom no grant stops
	for _, sql := range []string{"DELETE FROM photos", "DELETE FROM events", "TRUNCATE photos CASCADE"} {
		_, err := owner.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "PR002", sql)
	}
	_, err := owner.Exec(t.Context(), "UPDATE photos SET state = 'unreadable'")
	require.True(t, pg.IsCheck(err, pg.PhotoReason), "%v", err)
	_, err = owner.Exec(t.Context(), "UPDATE photos SET state = 'ready'")
	require.True(t, pg.IsCheck(err, pg.PhotoSize), "%v", err)
}
