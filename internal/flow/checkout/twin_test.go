package checkout

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/flutterwave"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/core/payment/stripe"
	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/till"
)

// realDesk is a desk with the three providers' own adapters, in front of a
// stand-in that tells nobody anything.
func realDesk(t *testing.T) (*desk, *twin.Control) {
	t.Helper()
	tw := twin.New(twin.Config{RetryUnit: 10 * time.Millisecond})
	srv := httptest.NewServer(tw.Handler())
	t.Cleanup(func() { srv.Close(); tw.Close() })
	control := &twin.Control{Base: srv.URL}
	ca, err := control.CA(t.Context())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca)))

	card, err := stripe.New(stripe.Config{Account: "main", SecretKey: twin.DefaultSecretKey, WebhookSecrets: []string{"whsec_test"}, BaseURL: srv.URL})
	require.NoError(t, err)
	pal, err := paypal.New(paypal.Config{
		Account: "main", ClientID: twin.DefaultPayPalClient, ClientSecret: twin.DefaultPayPalSecret, WebhookID: "WH-1", BaseURL: srv.URL + "/paypal", RootCAs: roots,
	})
	require.NoError(t, err)
	wave, err := flutterwave.New(flutterwave.Config{
		Account: "main", SecretKey: twin.DefaultFlutterwaveKey, SecretHashes: []string{"a hash that nobody guesses"}, BaseURL: srv.URL + "/flutterwave",
	})
	require.NoError(t, err)

	providers := payment.Providers{card, pal, wave}
	d := &desk{Shop: till.New(t, "EUR")}
	d.books = &till.Books{Shop: d.Shop, Providers: providers}
	d.service = New(d.DB.Pool, Config{
		PublicURL: "https://photos.test", Waits: []time.Duration{time.Hour}, GiveUp: 72 * time.Hour,
		Problem: func(p *problem.Error) (int, []byte) {
			return map[problem.Kind]int{problem.Unprocessable: 422, problem.Gone: 410}[p.Kind], []byte(p.Code)
		},
		// As flow/capture does after its checks.
		Capture: func(ctx context.Context, attemptID uuid.UUID) error {
			var orderID uuid.UUID
			require.NoError(t, d.DB.Owner.QueryRow(ctx, `SELECT order_id FROM attempts WHERE id = $1`, attemptID).Scan(&orderID))
			f := d.Facts(orderID)
			a := f.Attempt(attemptID)
			facts, err := pal.Capture(ctx, payment.CaptureRequest{AttemptID: a.ID, Ref: a.Ref, Amount: f.Order.Gross, Currency: f.Order.Currency})
			require.NoError(t, err)
			return d.books.Say(ctx, payment.Reply(pal, "capture", a.Ref, facts))
		},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)), providers, d.books)
	d.buyer = d.Guest()
	return d, control
}

var allThree = []string{stripe.Name, paypal.Name, flutterwave.Name}

// With each provider's own adapter: paid, and heard of by the browser's return.
func TestProvidersReturn(t *testing.T) {
	t.Parallel()
	for _, name := range allThree {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, control := realDesk(t)
			r := d.create(t, "k", name, 0)
			require.NotEmpty(t, r.URL)
			require.Equal(t, r, d.create(t, "k", name, 0))
			require.NoError(t, d.service.Refresh(t.Context(), r.OrderID))
			require.Equal(t, order.AwaitingPayment, d.state(r.OrderID))
			_, err := control.Pay(t.Context(), d.Facts(r.OrderID).Attempts[0].Ref, twin.PayRequest{})
			require.NoError(t, err)
			require.NoError(t, d.service.Refresh(t.Context(), r.OrderID))
			f := d.Facts(r.OrderID)
			require.Equal(t, order.Paid, f.Order.State, "%+v", f.Attempts)
			require.Len(t, f.Payments, 1)
			require.False(t, d.watched(r.OrderID))
		})
	}
}

// With each provider's own adapter: the older page of an overlapping cart is
// closed, and money that a provider takes there all the same is late, not lost.
func TestProvidersClose(t *testing.T) {
	t.Parallel()
	for _, name := range allThree {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, control := realDesk(t)
			older := d.create(t, "k1", name, 0)
			newer := d.create(t, "k2", name, 0, 1)
			require.NotEqual(t, older.OrderID, newer.OrderID)
			require.False(t, d.state(older.OrderID).Open())
			require.True(t, d.state(newer.OrderID).Open())
			a := d.Facts(older.OrderID).Attempts[0]
			require.Equal(t, name == flutterwave.Name, d.watched(older.OrderID))
			_, err := control.Pay(t.Context(), a.Ref, twin.PayRequest{Force: true})
			require.NoError(t, err)
			switch name {
			case paypal.Name:
				// Its payer agreed too late. Nothing was taken, and nothing is.
				require.NoError(t, d.books.Ask(t.Context(), name, "main", a.Ref, "poll"))
				require.False(t, d.Facts(older.OrderID).Payable(a.ID))
				return
			case flutterwave.Name:
				d.look(t, older.OrderID)
			default:
				require.NoError(t, d.books.Ask(t.Context(), name, "main", a.Ref, "poll"))
			}
			require.Equal(t, order.Paid, d.state(older.OrderID))
			require.Equal(t, order.LateAccept, d.Facts(older.OrderID).Decisions[order.DecideLate])
		})
	}
}

// With each provider's own adapter: the reply that names the page is lost.
func TestProvidersLostReply(t *testing.T) {
	t.Parallel()
	routes := map[string]string{
		stripe.Name: "POST /v1/checkout/sessions", paypal.Name: "POST /paypal/v2/checkout/orders", flutterwave.Name: "POST /flutterwave/v3/payments",
	}
	for _, name := range allThree {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, control := realDesk(t)
			require.NoError(t, control.Shoot(t.Context(), twin.Shot{Route: routes[name], Fault: twin.CutReply}))
			d.refused(t, ErrUnknown, "k", name, 0)
			r := d.create(t, "k", name, 0)
			f := d.Facts(r.OrderID)
			pages, err := control.Pages(t.Context(), twin.PageFilter{Provider: name})
			require.NoError(t, err)
			if name != flutterwave.Name {
				require.Len(t, pages, 1)
				require.Len(t, f.Attempts, 1)
				return
			}
			require.Len(t, pages, 2)
			require.Len(t, f.Attempts, 2)
			_, err = control.Pay(t.Context(), f.Attempts[0].ID.String(), twin.PayRequest{})
			require.NoError(t, err)
			d.look(t, r.OrderID)
			require.Equal(t, order.Paid, d.state(r.OrderID), "the page that nobody was told of was paid")
		})
	}
}
