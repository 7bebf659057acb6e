package checkout

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
)

// The one event that everybody buys of, in euro cents.
const (
	currency      = "EUR"
	pricePhoto    = 500
	commissionBps = 1500
	photosForSale = 200
	photosEach    = 2
)

// stock is what is for sale.
type stock struct {
	event, creator uuid.UUID
	photos         []uuid.UUID
}

// guest is somebody who buys once.
type guest struct {
	n     int
	id    uuid.UUID
	token string
	email string
}

// fill puts one event with photographs up.
func fill(ctx context.Context, pool *pgxpool.Pool) (*stock, error) {
	s := &stock{}
	var err error
	if _, s.creator, err = account.New(pool).Provision(ctx, "creator@example.com", "", "bench", []account.Role{account.Creator}); err != nil {
		return nil, err
	}
	shop := catalog.New(pool, catalog.Config{HasOrders: func(context.Context, pg.DBTX, uuid.UUID) (bool, error) { return false, nil }})
	event, err := shop.CreateEvent(ctx, catalog.NewEvent{
		CreatorID: s.creator, Title: "Harbour run", Visibility: catalog.Public, CommissionBps: commissionBps, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00", Prices: catalog.PriceList{Currency: currency, Photo: pricePhoto},
	})
	if err != nil {
		return nil, err
	}
	if _, err := shop.Publish(ctx, catalog.By{ID: s.creator}, event.ID); err != nil {
		return nil, err
	}
	s.event = event.ID
	names := make([]string, photosForSale)
	for i := range photosForSale {
		s.photos, names[i] = append(s.photos, id.New()), fmt.Sprintf("IMG_%04d.JPG", i)
	}
	_, err = pool.Exec(ctx, `INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
		SELECT u.id, $1, $2, sha256(uuid_send(u.id)), u.name, 'ready', 6000, 4000 FROM unnest($3::uuid[], $4::text[]) u(id, name)`,
		s.event, s.creator, s.photos, names)
	return s, err
}

// cart is what a guest buys.
func (s *stock) cart(g guest) []uuid.UUID {
	out := make([]uuid.UUID, photosEach)
	for i := range out {
		out[i] = s.photos[(g.n*photosEach+i)%len(s.photos)]
	}
	return out
}

// invite makes guests, with side in their addresses.
func (s *stock) invite(ctx context.Context, pool *pgxpool.Pool, side string, n int) ([]guest, error) {
	guests := make([]guest, n)
	ids, hashes := make([]uuid.UUID, n), make([][]byte, n)
	for i := range guests {
		secret, hash := id.Token(account.GuestPrefix)
		guests[i] = guest{n: i, id: id.New(), token: secret, email: fmt.Sprintf("%s-%d@example.com", side, i)}
		ids[i], hashes[i] = guests[i].id, hash
	}
	_, err := pool.Exec(ctx, `INSERT INTO guest_sessions (id, token_hash, expires_at)
		SELECT u.id, u.hash, app_now() + interval '1 day' FROM unnest($1::uuid[], $2::bytea[]) u(id, hash)`, ids, hashes)
	return guests, err
}

// request is a guest's whole request, as it goes over the wire.
func (s *stock) request(host string, g guest) []byte {
	var photos []string
	for _, p := range s.cart(g) {
		photos = append(photos, strconv.Quote(p.String()))
	}
	body := fmt.Sprintf(`{"event_id":"%s","photos":[%s],"total":%d,"currency":"%s","email":"%s"}`,
		s.event, strings.Join(photos, ","), photosEach*pricePhoto, currency, g.email)
	// Each guest comes from an address of their own, through a proxy that is
	// trusted: limits count everybody and stop nobody.
	return []byte(fmt.Sprintf("POST /api/v1/checkouts HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"+
		"Idempotency-Key: key-%s\r\nX-Forwarded-For: 10.%d.%d.%d\r\nContent-Length: %d\r\n\r\n%s",
		host, g.token, g.id, byte(g.n>>16), byte(g.n>>8), byte(g.n), len(body), body))
}
