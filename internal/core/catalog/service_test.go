package catalog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/testkit/pgtest"
)

// fixture is a catalogue on a database of its own, with two creators.
type fixture struct {
	*Service
	db    *pgtest.DB
	ada   By
	other By
}

func setUp(t *testing.T, cfg Config) fixture {
	t.Helper()
	f := fixture{db: pgtest.New(t)}
	f.Service = New(f.db.Pool, cfg)
	f.ada, f.other = By{ID: creator(t, f.db.Pool)}, By{ID: creator(t, f.db.Pool)}
	return f
}

var operator = By{ID: uuid.Max, Operator: true}

func creator(t *testing.T, pool *pgxpool.Pool) uuid.UUID {
	t.Helper()
	account := id.New()
	_, err := pool.Exec(t.Context(), `INSERT INTO accounts (id, email, name, password_hash, roles)
		VALUES ($1, $2, 'Ada', 'x', '{creator}')`, account, account.String()+"@example.com")
	require.NoError(t, err)
	return account
}

func (f fixture) form() NewEvent {
	return NewEvent{
		CreatorID: f.ada.ID, Title: "Harbour Summit", Zone: "Europe/Paris",
		Starts: "2026-07-14T18:00", Ends: "2026-07-14T23:30", CommissionBps: 1500,
		Prices: PriceList{Currency: "EUR", Photo: 300, Event: 2500, Bundles: []Bundle{{5, 1000}, {12, 1900}}},
	}
}

func (f fixture) event(t *testing.T) Event {
	t.Helper()
	e, err := f.CreateEvent(t.Context(), f.form())
	require.NoError(t, err)
	return e
}

func (f fixture) onSale(t *testing.T) Event {
	t.Helper()
	e, err := f.Publish(t.Context(), f.ada, f.event(t).ID)
	require.NoError(t, err)
	return e
}

func ptr[T any](v T) *T { return &v }

func TestAnEventIsStoredAsItWasEntered(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	made := f.event(t)
	e, err := f.Event(t.Context(), f.ada, made.ID, "")
	require.NoError(t, err)
	require.Equal(t, made, e)
	require.Equal(t, Draft, e.Status)
	require.Equal(t, Public, e.Visibility)
	require.Equal(t, "harbour-summit", e.Slug)
	require.Equal(t, 1500, e.CommissionBps)
	require.Equal(t, f.form().Prices, e.Prices)
	require.Equal(t, "2026-07-14T18:00", e.Starts.LocalText())
	require.Equal(t, "2026-07-14T16:00:00Z", e.Starts.At.Format(time.RFC3339))
	require.Equal(t, "2026-07-14T21:30:00Z", e.Ends.At.Format(time.RFC3339))
	require.Equal(t, "Europe/Paris", e.Ends.Zone)
}

// atLeast50 is what a shop with one way to pay takes: 50 units and more, of any
// currency but yen.
func atLeast50(currency string, minor int64) error {
	if currency == "JPY" || minor < 50 {
		return errors.New("The bank does not take it.")
	}
	return nil
}

func TestEventsThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{Chargeable: atLeast50})
	for name, c := range map[string]struct {
		change func(*NewEvent)
		want   *problem.Error
		field  string
	}{
		"short title":     {func(n *NewEvent) { n.Title = " ab " }, ErrEvent, "title"},
		"long title":      {func(n *NewEvent) { n.Title = string(make([]rune, 101)) }, ErrEvent, "title"},
		"NUL":             {func(n *NewEvent) { n.Description = "a\x00b" }, ErrEvent, "description"},
		"bad slug":        {func(n *NewEvent) { n.Slug = "A/b" }, ErrEvent, "slug"},
		"visibility":      {func(n *NewEvent) { n.Visibility = "secret" }, ErrEvent, "visibility"},
		"code missing":    {func(n *NewEvent) { n.Visibility = WithCode }, ErrEvent, "access_code"},
		"commission":      {func(n *NewEvent) { n.CommissionBps = 10001 }, ErrEvent, "commission_bps"},
		"zone":            {func(n *NewEvent) { n.Zone = "Europe/Atlantis" }, ErrZone, "timezone"},
		"start in a gap":  {func(n *NewEvent) { n.Starts = "2026-03-29T02:30" }, ErrTimeGap, "starts_local"},
		"end comes twice": {func(n *NewEvent) { n.Ends = "2026-10-25T02:30" }, ErrTimeOverlap, "ends_local"},
		"ends first":      {func(n *NewEvent) { n.Ends = n.Starts }, ErrTimesOrder, ""},
		"price":           {func(n *NewEvent) { n.Prices.Photo = 49 }, ErrPrices, "photo"},
		"nothing":         {func(n *NewEvent) { n.Prices.Bundles = []Bundle{{Photos: 2}} }, ErrPrices, "bundles[0].price"},
		"nobody takes it": {func(n *NewEvent) { n.Prices.Currency = "JPY" }, ErrPrices, "photo"},
		"currency":        {func(n *NewEvent) { n.Prices.Currency = "BTC" }, ErrCurrency, ""},
	} {
		form := f.form()
		c.change(&form)
		_, err := f.CreateEvent(t.Context(), form)
		require.ErrorIs(t, err, c.want, name)
		if c.field != "" {
			require.Equal(t, c.field, problem.As(err).Fields[0].Name, name)
		}
	}
	var n int
	require.NoError(t, f.db.Pool.QueryRow(t.Context(), "SELECT count(*) FROM events").Scan(&n))
	require.Zero(t, n)
}

func TestSlugsAreUnique(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	a, b := f.event(t), f.event(t)
	require.NotEqual(t, a.Slug, b.Slug)
	form := f.form()
	form.Slug = a.Slug
	_, err := f.CreateEvent(t.Context(), form)
	require.ErrorIs(t, err, ErrSlugTaken)
	_, err = f.UpdateEvent(t.Context(), f.ada, b.ID, EventEdit{Slug: &a.Slug})
	require.ErrorIs(t, err, ErrSlugTaken)
}

func TestStatusGoesForward(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.event(t)
	_, err := f.Close(t.Context(), f.ada, e.ID)
	require.ErrorIs(t, err, ErrNotOnSale)
	for range 2 { // again changes nothing
		e, err = f.Publish(t.Context(), f.ada, e.ID)
		require.NoError(t, err)
		require.Equal(t, OnSale, e.Status)
	}
	require.ErrorIs(t, f.DeleteEvent(t.Context(), f.ada, e.ID), ErrStillOnSale)
	for range 2 {
		e, err = f.Close(t.Context(), f.ada, e.ID)
		require.NoError(t, err)
		require.Equal(t, Closed, e.Status)
	}
	_, err = f.Publish(t.Context(), f.ada, e.ID)
	require.ErrorIs(t, err, ErrNotDraft)
	require.NoError(t, f.DeleteEvent(t.Context(), f.ada, e.ID))
	_, err = f.Event(t.Context(), f.ada, e.ID, "")
	require.ErrorIs(t, err, ErrEventNotFound)
	require.ErrorIs(t, f.DeleteEvent(t.Context(), f.ada, e.ID), ErrEventNotFound)

	form := f.form()
	form.Prices = PriceList{Currency: "EUR"}
	bare, err := f.CreateEvent(t.Context(), form)
	require.NoError(t, err)
	_, err = f.Publish(t.Context(), f.ada, bare.ID)
	require.ErrorIs(t, err, ErrNoPrices)
}

// Guesses are counted, the right code is not, and who has guessed too often is
// not told what was right.
func TestGuessesAreCounted(t *testing.T) {
	t.Parallel()
	spent, usedUp := 0, errors.New("used up")
	f := setUp(t, Config{TryCode: func(context.Context, uuid.UUID) (func(), error) {
		if spent == 2 {
			return nil, usedUp
		}
		spent++
		return func() { spent-- }, nil
	}})
	form := f.form()
	form.Visibility, form.AccessCode = WithCode, "Summer26"
	e, err := f.CreateEvent(t.Context(), form)
	require.NoError(t, err)
	e, err = f.Publish(t.Context(), f.ada, e.ID)
	require.NoError(t, err)
	enter := func(by By, code string) error {
		_, err := f.Event(t.Context(), by, e.ID, code)
		return err
	}
	for range 5 {
		require.NoError(t, enter(By{}, "summer26"))
		require.ErrorIs(t, enter(By{}, ""), ErrCodeNeeded, "no code is no guess")
		require.NoError(t, enter(f.ada, "whatever"), "it is hers")
	}
	require.Zero(t, spent)
	require.ErrorIs(t, enter(By{}, "summer25"), ErrCodeWrong)
	require.ErrorIs(t, enter(By{}, "summer27"), ErrCodeWrong)
	require.ErrorIs(t, enter(By{}, "summer28"), usedUp)
	require.ErrorIs(t, enter(By{}, "summer26"), usedUp)
}

func TestWhoMaySeeAnEvent(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	draft, public := f.event(t), f.onSale(t)
	form := f.form()
	form.Visibility, form.AccessCode = WithCode, "Summer26"
	coded, err := f.CreateEvent(t.Context(), form)
	require.NoError(t, err)
	codedDraft := coded
	coded, err = f.Publish(t.Context(), f.ada, coded.ID)
	require.NoError(t, err)
	nobody := By{}
	for _, c := range []struct {
		name  string
		event Event
		by    By
		code  string
		want  error
	}{
		{"draft, owner", draft, f.ada, "", nil},
		{"draft, operator", draft, operator, "", nil},
		{"draft, other creator", draft, f.other, "", ErrEventNotFound},
		{"draft, anonymous", draft, nobody, "", ErrEventNotFound},
		{"coded draft with its code", codedDraft, nobody, "Summer26", ErrEventNotFound},
		{"public, anonymous", public, nobody, "", nil},
		{"coded, owner", coded, f.ada, "", nil},
		{"coded, anonymous", coded, nobody, "", ErrCodeNeeded},
		{"coded, wrong", coded, nobody, "summer", ErrCodeWrong},
		{"coded, right", coded, nobody, " SUMMER26 ", nil},
	} {
		err := c.event.Open(c.by, c.code)
		if c.want == nil {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorIs(t, err, c.want, c.name)
		}
	}
	_, err = f.EventBySlug(t.Context(), nobody, coded.Slug, "")
	require.ErrorIs(t, err, ErrCodeNeeded)
	found, err := f.EventBySlug(t.Context(), nobody, coded.Slug, "summer26")
	require.NoError(t, err)
	require.Equal(t, coded.ID, found.ID)
	for _, slug := range []string{"no-such-event", "", "a\x00b", "../x"} {
		_, err = f.EventBySlug(t.Context(), nobody, slug, "")
		require.ErrorIs(t, err, ErrEventNotFound, "%q", slug)
	}
}

func TestOnlyTheOwnerChangesAnEvent(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	draft, public := f.event(t), f.onSale(t)
	for _, by := range []By{{}, f.other} {
		for _, c := range []struct {
			event Event
			want  error
		}{{draft, ErrEventNotFound}, {public, ErrNotYours}} {
			_, err := f.UpdateEvent(t.Context(), by, c.event.ID, EventEdit{Title: ptr("Mine now")})
			require.ErrorIs(t, err, c.want)
			_, err = f.Publish(t.Context(), by, c.event.ID)
			require.ErrorIs(t, err, c.want)
			_, err = f.Close(t.Context(), by, c.event.ID)
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, f.DeleteEvent(t.Context(), by, c.event.ID), c.want)
		}
	}
	e, err := f.UpdateEvent(t.Context(), operator, public.ID, EventEdit{Title: ptr("Corrected")})
	require.NoError(t, err)
	require.Equal(t, "Corrected", e.Title)
}

func TestAnEditChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	e := f.onSale(t)
	got, err := f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Description: ptr("Bring a friend.\r\nOr two.")})
	require.NoError(t, err)
	want := e
	want.Description, want.UpdatedAt = "Bring a friend.\nOr two.", got.UpdatedAt
	require.Equal(t, want, got)

	// Another zone keeps the readings of the clock and moves the instants.
	got, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Zone: ptr("America/New_York")})
	require.NoError(t, err)
	require.Equal(t, "2026-07-14T18:00", got.Starts.LocalText())
	require.Equal(t, "2026-07-14T22:00:00Z", got.Starts.At.Format(time.RFC3339))

	// An ambiguous reading whose offset was stated survives an edit of the other end.
	form := f.form()
	form.Starts, form.Ends = "2026-10-25T02:30+01:00", "2026-10-25T09:00"
	twice, err := f.CreateEvent(t.Context(), form)
	require.NoError(t, err)
	twice, err = f.UpdateEvent(t.Context(), f.ada, twice.ID, EventEdit{Ends: ptr("2026-10-25T10:00")})
	require.NoError(t, err)
	require.Equal(t, "2026-10-25T01:30:00Z", twice.Starts.At.Format(time.RFC3339))
	_, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Ends: ptr("2026-07-14T17:00")})
	require.ErrorIs(t, err, ErrTimesOrder)

	got, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Prices: &PriceList{Free: true}})
	require.NoError(t, err)
	require.Equal(t, PriceList{Currency: "EUR", Free: true}, got.Prices)
	_, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Prices: &PriceList{Currency: "EUR"}})
	require.ErrorIs(t, err, ErrNoPrices, "what is on sale keeps a price list")
	// Without the code's visibility the code goes.
	got, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Visibility: ptr(WithCode), AccessCode: ptr("abcd")})
	require.NoError(t, err)
	require.Equal(t, "abcd", got.AccessCode)
	got, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Visibility: ptr(Unlisted)})
	require.NoError(t, err)
	require.Empty(t, got.AccessCode)
}

func TestTheCurrencyStaysOnceThereIsAnOrder(t *testing.T) {
	t.Parallel()
	var orders sync.Map // events that have one
	f := setUp(t, Config{HasOrders: func(_ context.Context, _ pg.DBTX, eventID uuid.UUID) (bool, error) {
		_, has := orders.Load(eventID)
		return has, nil
	}})
	e := f.onSale(t)
	usd := EventEdit{Prices: &PriceList{Currency: "USD", Photo: 300}}
	got, err := f.UpdateEvent(t.Context(), f.ada, e.ID, usd)
	require.NoError(t, err)
	require.Equal(t, "USD", got.Prices.Currency)
	orders.Store(e.ID, true)
	_, err = f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Prices: &PriceList{Currency: "GHS", Photo: 300}})
	require.ErrorIs(t, err, ErrCurrencyFixed)
	_, err = f.UpdateEvent(t.Context(), f.ada, e.ID, usd)
	require.NoError(t, err, "other prices in the same currency are fine")

	none := setUp(t, Config{}) // nobody can say whether there are orders
	_, err = none.UpdateEvent(t.Context(), none.ada, none.onSale(t).ID, usd)
	require.ErrorIs(t, err, ErrCurrencyFixed)
}

// An order that is being written holds the currency: the change waits for it
// and is then refused. Without the stronger lock it would slip in between.
func TestAChangeOfCurrencyWaitsForAnOrder(t *testing.T) {
	t.Parallel()
	var ordered sync.Map
	f := setUp(t, Config{HasOrders: func(_ context.Context, _ pg.DBTX, eventID uuid.UUID) (bool, error) {
		_, has := ordered.Load(eventID)
		return has, nil
	}})
	e := f.onSale(t)
	tx, err := f.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	seen, err := f.forSale(t.Context(), tx, e.ID)
	require.NoError(t, err)
	require.Equal(t, "EUR", seen.Prices.Currency)

	refused := make(chan error, 1)
	go func() {
		_, err := f.UpdateEvent(t.Context(), f.ada, e.ID, EventEdit{Prices: &PriceList{Currency: "USD", Photo: 300}})
		refused <- err
	}()
	require.Eventually(t, func() bool {
		var waiting int
		err := f.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting == 1
	}, 4*time.Second, 5*time.Millisecond)
	ordered.Store(e.ID, true)
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorIs(t, <-refused, ErrCurrencyFixed)
}

// forSale reads an event as whoever sells it does.
func (f *fixture) forSale(ctx context.Context, tx pgx.Tx, eventID uuid.UUID) (Event, error) {
	var sale ForSale
	if err := pg.Pipeline(ctx, tx, append([]pg.Step{f.store.HoldStep(eventID)}, f.store.ForSaleSteps(eventID, nil, &sale)...)...); err != nil {
		return Event{}, err
	}
	return sale.Event()
}

func TestOnlyEventsOnSaleAreSold(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	draft, open := f.event(t), f.onSale(t)
	closed, err := f.Close(t.Context(), f.ada, f.onSale(t).ID)
	require.NoError(t, err)
	for eventID, want := range map[uuid.UUID]error{draft.ID: ErrEventNotFound, closed.ID: ErrNotOnSale, id.New(): ErrEventNotFound, open.ID: nil} {
		err := pg.Exec(t.Context(), f.db.Pool, func(ctx context.Context, tx pgx.Tx) error {
			_, err := f.forSale(ctx, tx, eventID)
			return err
		})
		if want == nil {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, want)
		}
	}
}

func TestListsOfEvents(t *testing.T) {
	t.Parallel()
	f := setUp(t, Config{})
	var want []uuid.UUID
	for _, day := range []string{"03", "01", "02", "01"} {
		form := f.form()
		form.Starts, form.Ends = "2026-07-"+day+"T18:00", "2026-07-"+day+"T19:00"
		e, err := f.CreateEvent(t.Context(), form)
		require.NoError(t, err)
		_, err = f.Publish(t.Context(), f.ada, e.ID)
		require.NoError(t, err)
		want = append(want, e.ID)
	}
	want = []uuid.UUID{want[0], want[2], want[3], want[1]}
	f.event(t) // a draft
	hidden := f.onSale(t)
	_, err := f.UpdateEvent(t.Context(), f.ada, hidden.ID, EventEdit{Visibility: ptr(Unlisted)})
	require.NoError(t, err)

	var got []uuid.UUID
	var at ListCursor
	for {
		page, err := f.Listed(t.Context(), at, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got = append(got, e.ID)
			at = ListCursor{Starts: e.Starts.At, ID: e.ID}
		}
	}
	require.Equal(t, want, got)

	mine, err := f.OfCreator(t.Context(), f.ada.ID, uuid.Nil, 4)
	require.NoError(t, err)
	require.Len(t, mine, 4)
	rest, err := f.OfCreator(t.Context(), f.ada.ID, mine[3].ID, 10)
	require.NoError(t, err)
	require.Len(t, rest, 2)
	none, err := f.OfCreator(t.Context(), f.other.ID, uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, none)
}
