package capture

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/till"
)

// desk is a shop whose one order was agreed to at a provider like PayPal.
type desk struct {
	*till.Shop
	provider till.Agreed
	books    *till.Books
	service  *Service
	order    uuid.UUID
	attempt  uuid.UUID
	page     string
}

func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{Shop: till.New(t, "EUR"), provider: till.NewAgreed("agreed")}
	providers := payment.Providers{d.provider, till.Keyed("keyed")}
	d.books = &till.Books{Shop: d.Shop, Providers: providers}
	d.service = New(d.DB.Pool, slog.New(slog.DiscardHandler), providers, d.books)
	f := d.Order(d.provider)
	d.order, d.attempt, d.page = f.Order.ID, f.Attempts[0].ID, f.Attempts[0].Ref
	d.provider.Set(d.page, "approved")
	require.NoError(t, d.books.Ask(t.Context(), "agreed", "main", d.page, "test"))
	require.Equal(t, payment.AttemptApproved, d.Facts(d.order).Attempts[0].Status)
	return d
}

func (d *desk) capture(t *testing.T) {
	t.Helper()
	require.NoError(t, d.service.Capture(t.Context(), d.attempt))
}

func (d *desk) close(t *testing.T) {
	t.Helper()
	page, err := d.provider.CloseCheckout(t.Context(), d.page, "")
	require.NoError(t, err)
	require.NoError(t, d.books.Say(t.Context(), payment.Reply(d.provider, "close", d.page, page.Facts)))
}

func TestCaptureTakesTheMoneyOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { require.NoError(t, d.service.Capture(t.Context(), d.attempt)) })
	}
	wg.Wait()
	require.Equal(t, order.Paid, d.Facts(d.order).Order.State)
	require.Len(t, d.Facts(d.order).Payments, 1)
	d.capture(t)
	calls := d.provider.Calls("capture")
	d.capture(t)
	require.Equal(t, calls, d.provider.Calls("capture"), "what is paid is not asked for again")
	require.NotEmpty(t, d.books.Said("capture"))
}

// Each way in which an order stops waiting for money, and the same without the
// check: then the money is taken.
func TestCaptureOnlyWhileTheOrderWaits(t *testing.T) {
	t.Parallel()
	ended := map[string]func(t *testing.T, d *desk){
		"closed":    func(t *testing.T, d *desk) { d.close(t) },
		"past time": func(_ *testing.T, d *desk) { d.Age(d.order, "24 hours") },
		"ended by the provider's own time": func(_ *testing.T, d *desk) {
			d.Exec(`UPDATE attempts SET expires_at = app_now()`)
		},
		"under way": func(t *testing.T, d *desk) {
			require.NoError(t, d.books.Say(t.Context(), payment.Reply(d.provider, "test", d.page, []payment.Observation{{
				Provider: "agreed", Account: "main", Kind: payment.KindPayment, AttemptID: d.attempt, PaymentID: "p", Status: payment.PaymentPending, Amount: till.Price, Currency: "EUR",
			}})))
		},
		"paid elsewhere": func(t *testing.T, d *desk) {
			require.NoError(t, d.books.Say(t.Context(), payment.Reply(d.provider, "test", d.page, []payment.Observation{{
				Provider: "keyed", Account: "main", Kind: payment.KindPayment, AttemptID: d.attempt, PaymentID: "p", Status: payment.PaymentSucceeded, Amount: till.Price, Currency: "EUR",
			}})))
		},
	}
	for name, end := range ended {
		for _, unchecked := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " without the check"}[unchecked], func(t *testing.T) {
				t.Parallel()
				d := open(t)
				d.service.unchecked = unchecked
				end(t, d)
				d.capture(t)
				want := 0
				if unchecked {
					want = 1
				}
				require.Equal(t, want, d.provider.Calls("capture"))
			})
		}
	}
}

// The order is closed between the check and the call: the money comes, is kept
// as a fact of the order, and is late.
func TestCaptureOvertakenByAClose(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.provider.Before = func(ctx context.Context, call string) error {
		if call == "capture" {
			d.close(t)
		}
		return ctx.Err()
	}
	d.capture(t)
	f := d.Facts(d.order)
	require.Len(t, f.Payments, 1)
	require.Equal(t, order.LateAccept, f.Decisions[order.DecideLate], "it came late, and was treated so")
}

// A lost reply is unknown: the same call again, with the same key, finds the
// money taken once.
func TestCaptureReplyLost(t *testing.T) {
	t.Parallel()
	d := open(t)
	lost := errors.New("the reply was lost")
	d.provider.After = func(_ context.Context, call string) error {
		if call == "capture" && d.provider.Calls("capture") == 1 {
			return lost
		}
		return nil
	}
	w := &Worker{Service: d.service}
	job := &river.Job[order.CaptureJob]{Args: order.CaptureJob{AttemptIDs: []uuid.UUID{d.attempt, id.New()}}}
	err := w.Work(t.Context(), job)
	require.ErrorIs(t, err, lost)
	require.False(t, jobs.Canceled(err), "it is tried again")
	require.True(t, d.Facts(d.order).Order.State.Open())
	require.NoError(t, w.Work(t.Context(), job))
	require.Len(t, d.Facts(d.order).Payments, 1)
	require.Equal(t, order.Paid, d.Facts(d.order).Order.State)
}

// A refusal ends the call and not the order: its payer may agree again.
func TestCaptureRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.provider.Set(d.page, "open")
	d.capture(t)
	require.Empty(t, d.books.Said("capture"))
	require.True(t, d.Facts(d.order).Order.State.Open())
	d.provider.Set(d.page, "approved")
	d.capture(t)
	require.Equal(t, order.Paid, d.Facts(d.order).Order.State)
}

// A page of another amount or currency is not captured, and asking the provider
// does not make a circle: that the payer agreed is not said again.
func TestCaptureOfAnotherAmount(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.Exec(`UPDATE orders SET gross = gross + 1`)
	d.capture(t)
	require.Equal(t, 1, d.provider.Calls("capture"))
	require.Empty(t, d.books.Said("capture"))
	require.Empty(t, d.Facts(d.order).Payments)
}

func TestCaptureSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := open(t)
	require.NoError(t, d.service.Capture(t.Context(), id.New()), "an attempt that there is not")
	d.Exec(`UPDATE attempts SET provider = 'keyed'`)
	require.ErrorContains(t, d.service.Capture(t.Context(), d.attempt), "waits for no capture")
	d.Exec(`UPDATE attempts SET provider = 'gone'`)
	require.ErrorContains(t, d.service.Capture(t.Context(), d.attempt), "is configured")
}
