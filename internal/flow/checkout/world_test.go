package checkout

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/till"
)

// desk is a shop with a provider of each sort and one buyer.
type desk struct {
	*till.Shop
	keyed   *till.Provider
	agreed  till.Agreed
	keyless till.Keyless
	books   *till.Books
	service *Service
	buyer   account.Actor
}

var errLost = errors.New("the reply was lost")

func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{Shop: till.New(t, "EUR"), keyed: till.Keyed("keyed"), agreed: till.NewAgreed("agreed"), keyless: till.NewKeyless("keyless")}
	providers := payment.Providers{d.keyed, d.agreed, d.keyless}
	d.books = &till.Books{Shop: d.Shop, Providers: providers}
	d.service = New(d.DB.Pool, Config{
		PublicURL: "https://photos.test", Waits: []time.Duration{time.Hour}, GiveUp: 72 * time.Hour,
		Problem: func(p *problem.Error) (int, []byte) {
			return map[problem.Kind]int{problem.Unprocessable: 422, problem.Gone: 410}[p.Kind], []byte(p.Code)
		},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)), providers, d.books)
	d.buyer = d.Guest()
	return d
}

func (d *desk) input(key, provider string, photos ...int) Input {
	in := Input{Buyer: d.buyer, Key: key, EventID: d.Event, Total: int64(len(photos)) * till.Price, Currency: "EUR", Email: "b@example.test", Provider: provider}
	for _, i := range photos {
		in.Photos = append(in.Photos, d.Photos[i])
	}
	return in
}

// create checks out and wants a page.
func (d *desk) create(t *testing.T, key, provider string, photos ...int) Result {
	t.Helper()
	a, err := d.service.Create(t.Context(), d.input(key, provider, photos...))
	require.NoError(t, err)
	require.Equal(t, 201, a.Status, "%s", a.Body)
	return read(t, a)
}

func read(t *testing.T, a Answer) (r Result) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.Body, &r))
	return r
}

// refused checks out and wants a problem.
func (d *desk) refused(t *testing.T, want error, key, provider string, photos ...int) problem.Error {
	t.Helper()
	_, err := d.service.Create(t.Context(), d.input(key, provider, photos...))
	require.ErrorIs(t, err, want)
	return *problem.As(err)
}

// look has the watch look at the order now.
func (d *desk) look(t *testing.T, orderID uuid.UUID) {
	t.Helper()
	d.Exec(`UPDATE open_orders SET next_check_at = app_now() - interval '1 ms' WHERE order_id = $1`, orderID)
	n, err := d.service.WatchOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the order is watched")
}

func (d *desk) watched(orderID uuid.UUID) bool {
	return d.Count(`SELECT count(*) FROM open_orders WHERE order_id = $1`, orderID) == 1
}

func (d *desk) state(orderID uuid.UUID) order.State { return d.Facts(orderID).Order.State }

func (d *desk) onlyOrder(t *testing.T) uuid.UUID {
	t.Helper()
	var orderID uuid.UUID
	require.NoError(t, d.DB.Owner.QueryRow(t.Context(), `SELECT id FROM orders`).Scan(&orderID))
	return orderID
}

// takeOver lets the lease of a running key lapse.
func (d *desk) takeOver() { d.Exec(`UPDATE idempotency_keys SET lease_until = app_now()`) }

func (d *desk) say(t *testing.T, provider string, o payment.Observation) {
	t.Helper()
	o.Provider, o.Account = provider, "main"
	require.NoError(t, d.books.Say(t.Context(), payment.Row{ID: id.New(), Receipt: payment.Receipt{Facts: []payment.Observation{o}}}))
}
