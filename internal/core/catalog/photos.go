package catalog

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog/internal/db"
)

// Photo reads a photograph, with its event, that is open to by, who may bring
// the event's code.
func (s *Service) Photo(ctx context.Context, by By, photoID uuid.UUID, code string) (Photo, Event, error) {
	p, err := s.store.Photo(ctx, s.pool, photoID)
	if err != nil {
		return Photo{}, Event{}, err
	}
	e, err := s.Event(ctx, by, p.EventID, code)
	if err != nil {
		return Photo{}, Event{}, err
	}
	return p, e, p.Open(by)
}

// PhotosOf returns up to limit photographs of an event in the order in which
// they were added, going on after the last id of the page before, or from the
// first when that is zero. Deleted ones are left out; unless everything is
// asked for, so is all that is not ready or is hidden.
func (s *Service) PhotosOf(ctx context.Context, eventID, after uuid.UUID, limit int, everything bool) ([]Photo, error) {
	rows, err := s.store.q.EventPhotos(ctx, s.pool, db.EventPhotosParams{
		EventID: eventID, AfterID: after, MaxRows: int32(limit), Everything: everything,
	})
	if err != nil {
		return nil, fmt.Errorf("list photographs: %w", err)
	}
	out := make([]Photo, len(rows))
	for i, r := range rows {
		out[i] = photoOf(r.Photo)
	}
	return out, nil
}

// Counts is how many photographs of an event are in which state.
type Counts struct{ Ready, Processing, Unreadable, Hidden int }

// CountPhotos counts the photographs of events; an event without any is left
// out.
func (s *Service) CountPhotos(ctx context.Context, eventIDs []uuid.UUID) (map[uuid.UUID]Counts, error) {
	rows, err := s.store.q.CountPhotos(ctx, s.pool, eventIDs)
	if err != nil {
		return nil, fmt.Errorf("count photographs: %w", err)
	}
	out := make(map[uuid.UUID]Counts, len(rows))
	for _, r := range rows {
		out[r.EventID] = Counts{Ready: int(r.Ready), Processing: int(r.Processing), Unreadable: int(r.Unreadable), Hidden: int(r.Hidden)}
	}
	return out, nil
}

// Known tells which of these files an event has already, deleted ones apart.
func (s *Service) Known(ctx context.Context, eventID uuid.UUID, hashes [][32]byte) (map[[32]byte]uuid.UUID, error) {
	p := db.PhotosByHashParams{}
	for _, h := range hashes {
		p.EventIds = append(p.EventIds, eventID)
		p.Hashes = append(p.Hashes, h[:])
	}
	out := make(map[[32]byte]uuid.UUID)
	if len(hashes) == 0 {
		return out, nil
	}
	rows, err := s.store.q.PhotosByHash(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("find photographs: %w", err)
	}
	for _, r := range rows {
		if r.DeletedAt == nil {
			out[[32]byte(r.Sha256)] = r.ID
		}
	}
	return out, nil
}

// HidePhotos takes photographs down: others see them no more, at once. It
// returns those that were not hidden before. One that by may not change is
// ErrNotYours, one that is not there ErrPhotoNotFound, and then nothing
// changes. Who bought one keeps it.
func (s *Service) HidePhotos(ctx context.Context, by By, ids []uuid.UUID) ([]uuid.UUID, error) {
	return s.changePhotos(ctx, by, ids, s.store.q.HidePhotos)
}

// ShowPhotos undoes HidePhotos.
func (s *Service) ShowPhotos(ctx context.Context, by By, ids []uuid.UUID) ([]uuid.UUID, error) {
	return s.changePhotos(ctx, by, ids, s.store.q.ShowPhotos)
}

// DeletePhotos tombstones photographs, as HidePhotos hides them. Uploading the
// same file again brings one back.
func (s *Service) DeletePhotos(ctx context.Context, by By, ids []uuid.UUID) ([]uuid.UUID, error) {
	return s.changePhotos(ctx, by, ids, s.store.q.DeletePhotos)
}

func (s *Service) changePhotos(ctx context.Context, by By, ids []uuid.UUID,
	write func(context.Context, db.DBTX, []uuid.UUID) ([]uuid.UUID, error),
) ([]uuid.UUID, error) {
	ids = id.Sorted(ids)
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) ([]uuid.UUID, error) {
		found, err := s.store.Photos(ctx, tx, ids)
		if err != nil {
			return nil, err
		}
		if len(found) != len(ids) {
			return nil, ErrPhotoNotFound
		}
		for _, p := range found {
			if !by.owns(p.CreatorID) {
				return nil, ErrNotYours
			}
		}
		return s.store.change(ctx, tx, ids, func() ([]uuid.UUID, error) { return write(ctx, tx, ids) })
	})
}
