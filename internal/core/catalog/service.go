package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/catalog/internal/db"
)

// Config says what the catalogue must be told by those above it.
type Config struct {
	// HasOrders reports whether an event has any order, in the transaction of a
	// change of currency, which holds the event's row. Required for such
	// changes: without it they are refused.
	HasOrders func(ctx context.Context, conn pg.DBTX, eventID uuid.UUID) (bool, error)
	// Chargeable reports with nil that an amount, in minor units of a currency, can
	// be charged, or with why not, in whole sentences for who sets prices. Without
	// it any positive price will do.
	Chargeable func(currency string, minor int64) error
	// TryCode counts a try at the access code of an event, or refuses it. right
	// is called when the code was right, which is no guess. Without it codes may
	// be tried as often as a machine can.
	TryCode func(ctx context.Context, eventID uuid.UUID) (right func(), err error)
}

// Service is the catalogue with transactions of its own.
type Service struct {
	pool  *pgxpool.Pool
	cfg   Config
	store Store
}

// New makes a Service.
func New(pool *pgxpool.Pool, cfg Config) *Service {
	if cfg.Chargeable == nil {
		cfg.Chargeable = func(string, int64) error { return nil }
	}
	return &Service{pool: pool, cfg: cfg}
}

// CreateEvent puts up an event as a draft. A slug that is given and taken is
// ErrSlugTaken; one made from the title evades.
func (s *Service) CreateEvent(ctx context.Context, n NewEvent) (Event, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Event, error) {
		return s.createTx(ctx, tx, n)
	})
}

func (s *Service) createTx(ctx context.Context, tx pgx.Tx, n NewEvent) (Event, error) {
	e := Event{
		ID: id.New(), CreatorID: n.CreatorID, Slug: n.Slug, Title: n.Title, Description: n.Description,
		Status: Draft, Visibility: n.Visibility, AccessCode: n.AccessCode, CommissionBps: n.CommissionBps, Prices: n.Prices,
	}
	made := e.Slug == ""
	if made {
		e.Slug = slugFrom(e.Title)
	}
	if e.Visibility == "" {
		e.Visibility = Public
	}
	var err error
	if e.Starts, e.Ends, err = times(n.Zone, n.Starts, n.Ends); err != nil {
		return Event{}, err
	}
	if e, err = e.check(s.cfg.Chargeable); err != nil {
		return Event{}, err
	}
	const tries = 5
	base := e.Slug
	for range tries {
		ok, err := s.store.insertTx(ctx, tx, e)
		switch {
		case err != nil:
			return Event{}, err
		case ok:
			return s.store.Event(ctx, tx, e.ID)
		case !made:
			return Event{}, ErrSlugTaken
		}
		e.Slug = slugAgain(base)
	}
	return Event{}, ErrSlugTaken
}

// UpdateEvent changes an event of by. A change of currency is ErrCurrencyFixed
// once there is an order.
func (s *Service) UpdateEvent(ctx context.Context, by By, eventID uuid.UUID, edit EventEdit) (Event, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Event, error) {
		before, err := s.lockTx(ctx, tx, by, eventID, edit.Prices)
		if err != nil {
			return Event{}, err
		}
		e, err := before.apply(edit)
		if err != nil {
			return Event{}, err
		}
		if e, err = e.check(s.cfg.Chargeable); err != nil {
			return Event{}, err
		}
		if e.Status == OnSale && !e.Prices.Sells() {
			return Event{}, ErrNoPrices
		}
		if e.Prices.Currency != before.Prices.Currency {
			if err := s.currencyFreeTx(ctx, tx, eventID); err != nil {
				return Event{}, err
			}
		}
		if err := s.store.updateTx(ctx, tx, e); err != nil {
			return Event{}, err
		}
		return s.store.Event(ctx, tx, eventID)
	})
}

// lockTx locks an event that by may change and reads it. A price list in
// another currency takes the stronger lock, which waits for orders that are
// being written, and for which those that come next wait.
func (s *Service) lockTx(ctx context.Context, tx pgx.Tx, by By, eventID uuid.UUID, prices *PriceList) (Event, error) {
	seen, err := s.store.Event(ctx, tx, eventID)
	if err != nil {
		return Event{}, err
	}
	if err := seen.own(by); err != nil {
		return Event{}, err
	}
	lock := s.store.q.LockEventForEdit
	if prices != nil {
		lock = s.store.q.LockEventForCurrency
	}
	if _, err := lock(ctx, tx, eventID); err != nil {
		return Event{}, notFound(err)
	}
	e, err := s.store.Event(ctx, tx, eventID)
	if err != nil {
		return Event{}, err
	}
	return e, e.own(by)
}

func (s *Service) currencyFreeTx(ctx context.Context, tx pgx.Tx, eventID uuid.UUID) error {
	if s.cfg.HasOrders == nil {
		return ErrCurrencyFixed.Because(errors.New("nobody can say whether the event has orders"))
	}
	has, err := s.cfg.HasOrders(ctx, tx, eventID)
	if err != nil {
		return fmt.Errorf("ask for orders of the event: %w", err)
	}
	if has {
		return ErrCurrencyFixed
	}
	return nil
}

func (e Event) apply(edit EventEdit) (Event, error) {
	set(&e.Slug, edit.Slug)
	set(&e.Title, edit.Title)
	set(&e.Description, edit.Description)
	set(&e.Visibility, edit.Visibility)
	set(&e.AccessCode, edit.AccessCode)
	currency := e.Prices.Currency
	set(&e.Prices, edit.Prices)
	if e.Prices.Currency == "" {
		e.Prices.Currency = currency
	}
	if edit.Zone == nil && edit.Starts == nil && edit.Ends == nil {
		return e, nil
	}
	// An end that is not edited keeps its reading, and its instant if the zone
	// stays: a reading alone may name two.
	zone, was := e.Starts.Zone, e
	set(&zone, edit.Zone)
	keep := func(w Wall) string {
		if zone == w.Zone {
			loc, err := LoadZone(zone)
			if err == nil {
				return w.Local.Format("2006-01-02T15:04:05") + w.At.In(loc).Format("Z07:00")
			}
		}
		return w.LocalText()
	}
	starts, ends := keep(was.Starts), keep(was.Ends)
	set(&starts, edit.Starts)
	set(&ends, edit.Ends)
	var err error
	e.Starts, e.Ends, err = times(zone, starts, ends)
	return e, err
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Publish puts a draft on sale; one that is on sale already stays so. An event
// without a price list is ErrNoPrices.
func (s *Service) Publish(ctx context.Context, by By, eventID uuid.UUID) (Event, error) {
	return s.move(ctx, by, eventID, Draft, OnSale, ErrNotDraft)
}

// Close ends the sale; an event that is closed already stays so.
func (s *Service) Close(ctx context.Context, by By, eventID uuid.UUID) (Event, error) {
	return s.move(ctx, by, eventID, OnSale, Closed, ErrNotOnSale)
}

func (s *Service) move(ctx context.Context, by By, eventID uuid.UUID, was, next Status, refusal error) (Event, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Event, error) {
		e, err := s.lockTx(ctx, tx, by, eventID, nil)
		switch {
		case err != nil:
			return Event{}, err
		case e.Status == next:
			return e, nil
		case e.Status != was:
			return Event{}, refusal
		case next == OnSale && !e.Prices.Sells():
			return Event{}, ErrNoPrices
		}
		n, err := s.store.q.MoveEvent(ctx, tx, db.MoveEventParams{ID: eventID, Was: string(was), Next: string(next)})
		if err != nil {
			return Event{}, fmt.Errorf("move event: %w", err)
		}
		if n == 0 {
			return Event{}, refusal
		}
		return s.store.Event(ctx, tx, eventID)
	})
}

// DeleteEvent tombstones a draft or a closed event: nobody finds it any more,
// and what was bought in it stays. An event on sale is ErrStillOnSale.
func (s *Service) DeleteEvent(ctx context.Context, by By, eventID uuid.UUID) error {
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := s.lockTx(ctx, tx, by, eventID, nil); err != nil {
			return err
		}
		n, err := s.store.q.DeleteEvent(ctx, tx, eventID)
		if err != nil {
			return fmt.Errorf("delete event: %w", err)
		}
		if n == 0 {
			return ErrStillOnSale
		}
		return nil
	})
}

// Event reads an event that is open to by, who may bring a code.
func (s *Service) Event(ctx context.Context, by By, eventID uuid.UUID, code string) (Event, error) {
	e, err := s.store.Event(ctx, s.pool, eventID)
	if err != nil {
		return Event{}, err
	}
	if e.DeletedAt != nil {
		return Event{}, ErrEventNotFound
	}
	return e, s.enter(ctx, e, by, code)
}

// enter is [Event.Open] with a limit on guesses: whoever has used it up is not
// told whether the code is right.
func (s *Service) enter(ctx context.Context, e Event, by By, code string) error {
	if s.cfg.TryCode == nil || !errors.Is(e.Open(by, ""), ErrCodeNeeded) || strings.TrimSpace(code) == "" {
		return e.Open(by, code)
	}
	right, err := s.cfg.TryCode(ctx, e.ID)
	if err != nil {
		return err
	}
	if err := e.Open(by, code); err != nil {
		return err
	}
	right()
	return nil
}

// EventBySlug is Event by the last part of its address.
func (s *Service) EventBySlug(ctx context.Context, by By, slug, code string) (Event, error) {
	if checkSlug(slug) != nil {
		return Event{}, ErrEventNotFound
	}
	eventID, err := s.store.q.EventBySlug(ctx, s.pool, slug)
	if err != nil {
		return Event{}, notFound(err)
	}
	return s.Event(ctx, by, eventID, code)
}

// ListCursor is where a list of public events goes on. The zero value is its
// beginning.
type ListCursor struct {
	Starts time.Time
	ID     uuid.UUID
}

// Listed returns up to limit public events on sale, latest start first.
func (s *Service) Listed(ctx context.Context, after ListCursor, limit int) ([]Event, error) {
	if after.Starts.IsZero() {
		after = ListCursor{Starts: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ID: uuid.Max}
	}
	ids, err := s.store.q.ListedEvents(ctx, s.pool, db.ListedEventsParams{
		BeforeStarts: after.Starts, BeforeID: after.ID, MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return s.store.Events(ctx, s.pool, ids)
}

// OfCreator returns up to limit events of a creator, newest first, also drafts
// and closed ones. before is the last id of the page before, or zero.
func (s *Service) OfCreator(ctx context.Context, creatorID, before uuid.UUID, limit int) ([]Event, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	ids, err := s.store.q.CreatorEvents(ctx, s.pool, db.CreatorEventsParams{
		CreatorID: creatorID, BeforeID: before, MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return s.store.Events(ctx, s.pool, ids)
}
