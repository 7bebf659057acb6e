package till

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/pgtest"
)

// Price is what a photograph costs, in minor units.
const Price = 500

// Shop is a database with an event on sale.
type Shop struct {
	T       testing.TB
	DB      *pgtest.DB
	Creator uuid.UUID
	Event   uuid.UUID
	Photos  []uuid.UUID
}

// New puts up an event with five photographs at Price in the currency.
func New(t testing.TB, currency string) *Shop {
	t.Helper()
	s := &Shop{T: t, DB: pgtest.New(t), Creator: id.New(), Event: id.New()}
	s.exec(`INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, 'C', 'x', '{creator}')`, s.Creator, s.Creator.String()+"@example.test")
	s.exec(`INSERT INTO events (id, creator_id, slug, title, status, currency, price_photo, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at)
		VALUES ($1, $2, 'a-run', 'A run', 'on_sale', $3, $4, 1000, 'UTC', '2026-05-01', '2026-05-02', '2026-05-01Z', '2026-05-02Z')`,
		s.Event, s.Creator, currency, Price)
	for i := range 5 {
		photo := id.New()
		s.exec(`INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
			VALUES ($1, $2, $3, sha256($4::bytea), $5, 'ready', 1500, 1000)`, photo, s.Event, s.Creator, photo[:], fmt.Sprintf("photo-%d.jpg", i))
		s.Photos = append(s.Photos, photo)
	}
	return s
}

func (s *Shop) exec(sql string, args ...any) {
	s.T.Helper()
	_, err := s.DB.Owner.Exec(s.T.Context(), sql, args...)
	require.NoError(s.T, err)
}

// Exec changes the database as its owner.
func (s *Shop) Exec(sql string, args ...any) { s.T.Helper(); s.exec(sql, args...) }

// Count runs a query that counts.
func (s *Shop) Count(sql string, args ...any) int {
	s.T.Helper()
	var n int
	require.NoError(s.T, s.DB.Owner.QueryRow(s.T.Context(), sql, args...).Scan(&n))
	return n
}

// Guest is a buyer without an account.
func (s *Shop) Guest() account.Actor {
	s.T.Helper()
	g := id.New()
	s.exec(`INSERT INTO guest_sessions (id, token_hash, expires_at) VALUES ($1, sha256($2::bytea), app_now() + interval '1 day')`, g, g[:])
	return account.Actor{Kind: account.KindGuest, ID: g}
}

// Facts reads an order.
func (s *Shop) Facts(orderID uuid.UUID) *order.Facts {
	s.T.Helper()
	f, err := order.Store{}.Get(s.T.Context(), s.DB.Pool, orderID)
	require.NoError(s.T, err)
	return f
}

// Order is an order of a guest for one photograph, with a page at the provider.
func (s *Shop) Order(p payment.Provider) *order.Facts {
	s.T.Helper()
	o := order.Order{ID: id.New(), EventID: s.Event, CreatorID: s.Creator, Currency: "EUR", Gross: Price, Cart: []byte{}}
	guest := s.Guest().ID
	o.BuyerGuest, o.BuyerID = &guest, guest
	a := order.Attempt{ID: id.New(), OrderID: o.ID, Ordinal: 1, Provider: p.Name(), Account: p.Account()}
	line := order.Line{ID: id.New(), OrderID: o.ID, Ordinal: 1, Kind: order.LinePhoto, EventID: s.Event, PhotoID: &s.Photos[0], Name: "x", Price: Price}
	var store order.Store
	page, err := p.CreateCheckout(s.T.Context(), payment.CheckoutRequest{
		AttemptID: a.ID, OrderID: o.ID, Currency: o.Currency, Lines: []payment.CheckoutLine{{Name: "x", Price: Price}},
	})
	require.NoError(s.T, err)
	err = pg.Exec(s.T.Context(), s.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.OpenTx(ctx, tx, order.New{Order: o, Lines: []order.Line{line}, Attempt: a}, time.Hour); err != nil {
			return err
		}
		return store.PageTx(ctx, tx, a.ID, page.Ref, page.URL, nil)
	})
	require.NoError(s.T, err)
	return s.Facts(o.ID)
}

// Age moves an order and its pages into the past, as an interval of SQL.
func (s *Shop) Age(orderID uuid.UUID, interval string) {
	s.T.Helper()
	s.exec(`UPDATE attempts SET created_at = created_at - $2::interval, called_at = called_at - $2::interval,
		expires_at = expires_at - $2::interval, watch_until = watch_until - $2::interval WHERE order_id = $1`, orderID, interval)
	s.exec(`UPDATE open_orders SET next_check_at = app_now() - interval '1 ms' WHERE order_id = $1`, orderID)
}

// Books applies what providers say to orders, with nothing but the orders'
// own rules: no grants, no ledger. Late money is accepted.
type Books struct {
	Shop      *Shop
	Providers payment.Providers

	mu    sync.Mutex
	said  []payment.Row
	asked []string
}

// Ask fetches a page and applies what it proves.
func (b *Books) Ask(ctx context.Context, provider, acct, ref, why string) error {
	b.mu.Lock()
	b.asked = append(b.asked, ref)
	b.mu.Unlock()
	p := b.Providers.Find(provider, acct)
	page, err := p.FetchCheckout(ctx, ref)
	if err != nil {
		return err
	}
	return b.Say(ctx, payment.Reply(p, why, ref, page.Facts))
}

// Say applies an answer.
func (b *Books) Say(ctx context.Context, row payment.Row) error {
	b.mu.Lock()
	b.said = append(b.said, row)
	b.mu.Unlock()
	if len(row.Receipt.Facts) == 0 {
		return nil
	}
	return pg.Exec(ctx, b.Shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error { return b.applyTx(ctx, tx, row) })
}

// applyTx applies a row, all of which is about one order.
func (*Books) applyTx(ctx context.Context, tx pgx.Tx, row payment.Row) error {
	var store order.Store
	attempt := row.Receipt.Facts[0].AttemptID
	of, _, err := store.OrdersOf(ctx, tx, []uuid.UUID{attempt}, nil)
	if err != nil {
		return err
	}
	fs, err := store.LockTx(ctx, tx, []uuid.UUID{of[attempt]})
	if err != nil {
		return err
	}
	delta := order.NewDelta()
	for _, o := range row.Receipt.Facts {
		o.InboxID = row.ID
		fs[0].Merge(o, delta)
	}
	if order.Derive(fs[0]).Late {
		fs[0].Decide(order.DecideLate, order.LateAccept, row.ID, delta)
	}
	c := []order.Change{{Facts: fs[0], Delta: delta, Derived: order.Derive(fs[0]), Cause: order.Cause{Kind: order.CauseInbox, ID: row.ID}}}
	if err := store.SaveFactsTx(ctx, tx, c); err != nil {
		return err
	}
	return store.SaveStatesTx(ctx, tx, c)
}

// Said are the rows that were said with this event type.
func (b *Books) Said(eventType string) []payment.Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.said), func(r payment.Row) bool { return r.Receipt.EventType != eventType })
}

// Asked are the pages that were asked about, in order, and forgets them.
func (b *Books) Asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.asked
	b.asked = nil
	return out
}
