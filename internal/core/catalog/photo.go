package catalog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog/internal/db"
)

// PhotoState is what a photograph is to those who look at it.
type PhotoState string

// The states of a photograph. The first that applies, from the last to the
// first, is its state.
const (
	Processing PhotoState = "processing" // waits for the darkroom, or is in it
	Ready      PhotoState = "ready"
	Unreadable PhotoState = "unreadable" // Reason says why
	Hidden     PhotoState = "hidden"     // taken down; who bought it keeps it
	Deleted    PhotoState = "deleted"    // by its creator; who bought it keeps it
)

// Photo is one photograph.
type Photo struct {
	ID         uuid.UUID
	EventID    uuid.UUID
	CreatorID  uuid.UUID
	SHA256     [32]byte // of the original file
	Name       string   // of the original file
	State      PhotoState
	Developed  PhotoState // Processing, Ready or Unreadable, whatever State says
	Reason     string     // why it is unreadable, for its creator
	Width      int        // pixels, as shown; 0 until ready
	Height     int
	TakenLocal *time.Time // the camera's wall clock; its own location (UTC) means nothing
	Average    string     // the average colour, as "#rrggbb"
	CreatedAt  time.Time
}

// ErrPhotoNotFound says that there is no such photograph, or that it is not to
// be seen by who asks.
var ErrPhotoNotFound = problem.Define(problem.NotFound, "photo.not_found", "No such photograph",
	"There is no such photograph, or it is not open to you.")

// Open reports with nil that by may see the photograph, given that the event
// is open to them.
func (p Photo) Open(by By) error {
	if by.owns(p.CreatorID) && p.State != Deleted || p.State == Ready {
		return nil
	}
	return ErrPhotoNotFound
}

// NewPhoto is a file to add to an event.
type NewPhoto struct {
	EventID   uuid.UUID
	CreatorID uuid.UUID
	SHA256    [32]byte
	Name      string // checked by CleanPhotoName
}

// Added is what became of a NewPhoto.
type Added struct {
	ID uuid.UUID
	// Duplicate means that the event had these bytes already, and ID is that
	// photograph.
	Duplicate bool
	// Restored means that its creator had deleted it and now has it back.
	Restored bool
	// Again means that it could not be read before and is to be developed again.
	Again bool
}

// AddPhotosTx adds photographs and returns one Added for each, in their order.
// The same bytes twice, in the table or in the batch, are one photograph.
func (s Store) AddPhotosTx(ctx context.Context, tx pgx.Tx, batch []NewPhoto) ([]Added, error) {
	type bytesIn struct {
		event uuid.UUID
		hash  [32]byte
	}
	var p db.InsertPhotosParams
	out := make([]Added, len(batch))
	first := make(map[bytesIn]int, len(batch)) // where in the batch the bytes came first
	for i, n := range batch {
		key := bytesIn{n.EventID, n.SHA256}
		if _, again := first[key]; again {
			continue
		}
		first[key] = i
		out[i].ID = id.New()
		p.Ids = append(p.Ids, out[i].ID)
		p.EventIds = append(p.EventIds, n.EventID)
		p.CreatorIds = append(p.CreatorIds, n.CreatorID)
		p.Hashes = append(p.Hashes, bytes.Clone(n.SHA256[:]))
		p.Names = append(p.Names, n.Name)
	}
	if len(p.Ids) == 0 {
		return out, nil
	}
	inserted, err := s.q.InsertPhotos(ctx, tx, p)
	if err != nil {
		return nil, fmt.Errorf("add photographs: %w", err)
	}
	isNew := make(map[uuid.UUID]bool, len(inserted))
	for _, u := range inserted {
		isNew[u] = true
	}
	if len(inserted) < len(p.Ids) {
		// What was not inserted is there already: the conflict was on the bytes,
		// and reading them back by that very key proves it.
		rows, err := s.q.PhotosByHash(ctx, tx, db.PhotosByHashParams{EventIds: p.EventIds, Hashes: p.Hashes})
		if err != nil {
			return nil, fmt.Errorf("find photographs again: %w", err)
		}
		var back []uuid.UUID // deleted, or not readable so far
		at := map[uuid.UUID]int{}
		for _, r := range rows {
			if isNew[r.ID] {
				continue
			}
			i := first[bytesIn{r.EventID, [32]byte(r.Sha256)}]
			out[i] = Added{ID: r.ID, Duplicate: true, Restored: r.DeletedAt != nil}
			at[r.ID] = i
			if r.DeletedAt != nil || r.State == string(Unreadable) {
				back = append(back, r.ID)
			}
		}
		again, err := s.restoreTx(ctx, tx, back)
		if err != nil {
			return nil, err
		}
		for _, u := range again {
			out[at[u]].Again = true
		}
	}
	for i, n := range batch {
		f := first[bytesIn{n.EventID, n.SHA256}]
		if i != f {
			out[i] = Added{ID: out[f].ID, Duplicate: true}
		} else if !out[i].Duplicate && !isNew[out[i].ID] {
			return nil, fmt.Errorf("add photographs: %s was neither added nor found", n.Name)
		}
	}
	return out, nil
}

// restoreTx brings photographs back, and returns those that are to be developed
// again.
func (s Store) restoreTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (again []uuid.UUID, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := s.q.LockPhotos(ctx, tx, ids); err != nil {
		return nil, fmt.Errorf("lock photographs: %w", err)
	}
	rows, err := s.q.RestorePhotos(ctx, tx, ids)
	if err != nil {
		return nil, fmt.Errorf("restore photographs: %w", err)
	}
	for _, r := range rows {
		if r.State == string(Processing) {
			again = append(again, r.ID)
		}
	}
	return again, nil
}

// Developed is what the darkroom found out about a photograph.
type Developed struct {
	PhotoID       uuid.UUID
	Width, Height int    // pixels, as shown
	Average       string // "#rrggbb"
	TakenLocal    string // "2006-01-02T15:04:05"; empty when unknown
}

// ReadyTx ends the development of photographs that could be read. It returns
// those for which this was the first end; for the others nothing changed.
func (s Store) ReadyTx(ctx context.Context, tx pgx.Tx, batch []Developed) ([]uuid.UUID, error) {
	var p db.ReadyPhotosParams
	for _, d := range batch {
		p.Ids = append(p.Ids, d.PhotoID)
		p.Widths = append(p.Widths, int32(d.Width))
		p.Heights = append(p.Heights, int32(d.Height))
		p.Averages = append(p.Averages, d.Average)
		p.Taken = append(p.Taken, d.TakenLocal)
	}
	return s.change(ctx, tx, p.Ids, func() ([]uuid.UUID, error) { return s.q.ReadyPhotos(ctx, tx, p) })
}

// Refused is a photograph that cannot be read, and why, for its creator.
type Refused struct {
	PhotoID uuid.UUID
	Reason  string
}

// UnreadableTx ends the development of photographs that could not be read. It
// returns those for which this was the first end.
func (s Store) UnreadableTx(ctx context.Context, tx pgx.Tx, batch []Refused) ([]uuid.UUID, error) {
	var p db.UnreadablePhotosParams
	for _, r := range batch {
		p.Ids = append(p.Ids, r.PhotoID)
		p.Reasons = append(p.Reasons, r.Reason)
	}
	return s.change(ctx, tx, p.Ids, func() ([]uuid.UUID, error) { return s.q.UnreadablePhotos(ctx, tx, p) })
}

// change locks photographs by ascending id before it writes them, for a bulk
// update has no order of its own. It returns the ids that really changed.
func (s Store) change(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, write func() ([]uuid.UUID, error)) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := s.q.LockPhotos(ctx, tx, ids); err != nil {
		return nil, fmt.Errorf("lock photographs: %w", err)
	}
	changed, err := write()
	if err != nil {
		return nil, fmt.Errorf("change photographs: %w", err)
	}
	return id.Sorted(changed), nil
}

// ClaimStuckTx returns up to limit photographs whose development was asked for
// longer ago than that and has not ended, and counts them as asked for now: so
// many instances may ask, and each photograph goes to one of them.
func (s Store) ClaimStuckTx(ctx context.Context, tx pgx.Tx, older time.Duration, limit int) ([]uuid.UUID, error) {
	ids, err := s.q.ClaimStuckPhotos(ctx, tx, db.ClaimStuckPhotosParams{
		Older:   pgtype.Interval{Microseconds: older.Microseconds(), Valid: true},
		MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("claim photographs: %w", err)
	}
	return id.Sorted(ids), nil
}

// Photos reads photographs in the order of ids, also deleted ones, and leaves
// out what it does not find.
func (s Store) Photos(ctx context.Context, conn pg.DBTX, ids []uuid.UUID) ([]Photo, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := s.q.PhotosByID(ctx, conn, ids)
	if err != nil {
		return nil, fmt.Errorf("read photographs: %w", err)
	}
	out := make([]Photo, 0, len(rows))
	at := make(map[uuid.UUID]int, len(ids))
	for i, u := range ids {
		at[u] = i
	}
	for _, r := range rows {
		out = append(out, photoOf(r.Photo))
	}
	slices.SortFunc(out, func(a, b Photo) int { return at[a.ID] - at[b.ID] })
	return out, nil
}

// Photo reads one photograph, also a deleted one; ErrPhotoNotFound if there is
// none. Whether it may be shown is for [Photo.Open] to say.
func (s Store) Photo(ctx context.Context, conn pg.DBTX, photo uuid.UUID) (Photo, error) {
	photos, err := s.Photos(ctx, conn, []uuid.UUID{photo})
	if err != nil {
		return Photo{}, err
	}
	if len(photos) == 0 {
		return Photo{}, ErrPhotoNotFound
	}
	return photos[0], nil
}

// Photos are the photographs, in the order in which they were asked for. One that
// is of another event, not ready, hidden, deleted or named twice makes it
// ErrPhotoNotFound, which names each such id by its place.
func (f *ForSale) Photos() ([]Photo, error) {
	sold := make(map[uuid.UUID]bool, len(f.photos))
	for _, p := range f.photos {
		sold[p.ID] = p.EventID == f.eventID && p.State == Ready
	}
	var missing []problem.Field
	for i, u := range f.ids {
		if !sold[u] {
			missing = append(missing, problem.Field{
				Name: fmt.Sprintf("photo_ids[%d]", i), Detail: fmt.Sprintf("There is no photograph %s for sale in this event, or it is named twice.", u),
			})
		}
		delete(sold, u)
	}
	if missing != nil {
		return nil, ErrPhotoNotFound.WithFields(missing...)
	}
	return f.photos, nil
}

// PhotosForSale reads photographs of one event as [ForSale.Photos] gives them.
func (s Store) PhotosForSale(ctx context.Context, conn pg.DBTX, eventID uuid.UUID, ids []uuid.UUID) ([]Photo, error) {
	found, err := s.Photos(ctx, conn, ids)
	if err != nil {
		return nil, err
	}
	f := ForSale{eventID: eventID, ids: ids, photos: found}
	return f.Photos()
}

// Deliverable reports whether an event still stands and all of these
// photographs of it can still be downloaded by who pays now.
func (s Store) Deliverable(ctx context.Context, conn pg.DBTX, eventID uuid.UUID, photos []uuid.UUID) (bool, error) {
	ok, err := s.q.Deliverable(ctx, conn, db.DeliverableParams{EventID: eventID, PhotoIds: id.Sorted(photos)})
	if err != nil {
		return false, fmt.Errorf("look whether photographs can be delivered: %w", err)
	}
	return ok, nil
}

func photoOf(p db.Photo) Photo {
	out := Photo{
		ID: p.ID, EventID: p.EventID, CreatorID: p.CreatorID, SHA256: [32]byte(p.Sha256), Name: p.Name,
		State: PhotoState(p.State), Developed: PhotoState(p.State), Reason: p.Reason,
		Width: int(p.Width), Height: int(p.Height), TakenLocal: utc(p.TakenLocal), Average: p.Average,
		CreatedAt: p.CreatedAt.UTC(),
	}
	switch {
	case p.DeletedAt != nil:
		out.State = Deleted
	case p.HiddenAt != nil:
		out.State = Hidden
	}
	return out
}
