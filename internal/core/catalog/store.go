package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog/internal/db"
)

// Store reads and writes the catalogue in the caller's transaction. It has no
// pool, so it can write nowhere else. Its zero value works; reads also take a
// pool.
type Store struct{ q db.Queries }

// Event reads one event, also a deleted one; ErrEventNotFound if there is none.
// Whether it may be shown is for [Event.Open] to say.
func (s Store) Event(ctx context.Context, conn pg.DBTX, id uuid.UUID) (Event, error) {
	events, err := s.Events(ctx, conn, []uuid.UUID{id})
	if err != nil {
		return Event{}, err
	}
	if len(events) == 0 {
		return Event{}, ErrEventNotFound
	}
	return events[0], nil
}

// Events reads events in the order of ids and leaves out what it does not find.
func (s Store) Events(ctx context.Context, conn pg.DBTX, ids []uuid.UUID) ([]Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := s.q.EventsByID(ctx, conn, ids)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	found := make(map[uuid.UUID]Event, len(rows))
	for _, r := range rows {
		found[r.Event.ID] = eventOf(r)
	}
	out := make([]Event, 0, len(rows))
	for _, id := range ids {
		if e, ok := found[id]; ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// ForSale is what there is to say of an event and photographs that somebody wants
// to buy.
type ForSale struct {
	eventID uuid.UUID
	events  []db.EventsByIDRow
	ids     []uuid.UUID
	photos  []Photo
}

// HoldStep holds an event's currency until the transaction ends, so that an order
// can be written in it. Being a statement of its own, it lets the next one see what
// a change of currency did that it waited for.
func (s Store) HoldStep(eventID uuid.UUID) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		if _, err := s.q.LockEventForSale(ctx, q, eventID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("hold an event: %w", err)
		}
		return nil
	}
}

// ForSaleSteps read an event and photographs of it.
func (s Store) ForSaleSteps(eventID uuid.UUID, photos []uuid.UUID, into *ForSale) []pg.Step {
	into.eventID, into.ids = eventID, photos
	return []pg.Step{
		func(ctx context.Context, q pg.DBTX) error {
			rows, err := s.q.EventsByID(ctx, q, []uuid.UUID{eventID})
			if err != nil {
				return fmt.Errorf("read events: %w", err)
			}
			into.events = rows
			return nil
		},
		func(ctx context.Context, q pg.DBTX) error {
			found, err := s.Photos(ctx, q, photos)
			if err != nil {
				return err
			}
			into.photos = found
			return nil
		},
	}
}

// Event is the event, which must be on sale, else ErrNotOnSale or
// ErrEventNotFound.
func (f *ForSale) Event() (Event, error) {
	if len(f.events) == 0 {
		return Event{}, ErrEventNotFound
	}
	e := eventOf(f.events[0])
	switch {
	case e.DeletedAt != nil || e.Status == Draft:
		return Event{}, ErrEventNotFound
	case e.Status != OnSale:
		return Event{}, ErrNotOnSale
	}
	return e, nil
}

// EventForUpload reads an event that by may add photographs to: its own, and
// not closed. Else ErrEventNotFound, ErrNotYours or ErrEventClosed.
func (s Store) EventForUpload(ctx context.Context, conn pg.DBTX, by By, id uuid.UUID) (Event, error) {
	e, err := s.Event(ctx, conn, id)
	if err != nil {
		return Event{}, err
	}
	if err := e.own(by); err != nil {
		return Event{}, err
	}
	if e.Status == Closed {
		return Event{}, ErrEventClosed
	}
	return e, nil
}

func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrEventNotFound
	}
	return fmt.Errorf("read event: %w", err)
}

// insertTx writes a new event with its bundles and reports false if its slug
// is taken.
func (s Store) insertTx(ctx context.Context, tx pgx.Tx, e Event) (bool, error) {
	n, err := s.q.InsertEvent(ctx, tx, db.InsertEventParams{
		ID: e.ID, CreatorID: e.CreatorID, Slug: e.Slug, Title: e.Title, Description: e.Description,
		Visibility: string(e.Visibility), AccessCode: optional(e.AccessCode),
		Currency: e.Prices.Currency, CommissionBps: int32(e.CommissionBps),
		Timezone: e.Starts.Zone, StartsLocal: e.Starts.Local, EndsLocal: e.Ends.Local,
		StartsAt: e.Starts.At, EndsAt: e.Ends.At,
		Free: e.Prices.Free, PricePhoto: optional(e.Prices.Photo), PriceEvent: optional(e.Prices.Event),
	})
	if err != nil {
		return false, fmt.Errorf("write event: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	return true, s.insertBundlesTx(ctx, tx, e)
}

func (s Store) insertBundlesTx(ctx context.Context, tx pgx.Tx, e Event) error {
	if len(e.Prices.Bundles) == 0 {
		return nil
	}
	p := db.InsertBundlesParams{EventID: e.ID}
	for _, b := range e.Prices.Bundles {
		p.Photos = append(p.Photos, int32(b.Photos))
		p.Prices = append(p.Prices, b.Price)
	}
	if err := s.q.InsertBundles(ctx, tx, p); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	return nil
}

// updateTx writes what can be edited of an event that is locked.
func (s Store) updateTx(ctx context.Context, tx pgx.Tx, e Event) error {
	err := s.q.UpdateEvent(ctx, tx, db.UpdateEventParams{
		ID: e.ID, Slug: e.Slug, Title: e.Title, Description: e.Description,
		Visibility: string(e.Visibility), AccessCode: optional(e.AccessCode), Currency: e.Prices.Currency,
		Timezone: e.Starts.Zone, StartsLocal: e.Starts.Local, EndsLocal: e.Ends.Local,
		StartsAt: e.Starts.At, EndsAt: e.Ends.At,
		Free: e.Prices.Free, PricePhoto: optional(e.Prices.Photo), PriceEvent: optional(e.Prices.Event),
	})
	switch {
	case pg.IsUnique(err, pg.UqEventSlug):
		return ErrSlugTaken.Because(err)
	case err != nil:
		return fmt.Errorf("write event: %w", err)
	}
	if err := s.q.DeleteBundles(ctx, tx, e.ID); err != nil {
		return fmt.Errorf("write bundles: %w", err)
	}
	return s.insertBundlesTx(ctx, tx, e)
}

func eventOf(r db.EventsByIDRow) Event {
	e := r.Event
	out := Event{
		ID: e.ID, CreatorID: e.CreatorID, Slug: e.Slug, Title: e.Title, Description: e.Description,
		Status: Status(e.Status), Visibility: Visibility(e.Visibility), AccessCode: value(e.AccessCode),
		CommissionBps: int(e.CommissionBps),
		Starts:        Wall{Zone: e.Timezone, Local: e.StartsLocal.UTC(), At: e.StartsAt.UTC()},
		Ends:          Wall{Zone: e.Timezone, Local: e.EndsLocal.UTC(), At: e.EndsAt.UTC()},
		Prices:        PriceList{Currency: e.Currency, Free: e.Free, Photo: value(e.PricePhoto), Event: value(e.PriceEvent)},
		CreatedAt:     e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(), DeletedAt: utc(e.DeletedAt),
	}
	for i, n := range r.BundlePhotos {
		out.Prices.Bundles = append(out.Prices.Bundles, Bundle{Photos: int(n), Price: r.BundlePrices[i]})
	}
	return out
}

// optional is nil for what is not set, as the table has it.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
