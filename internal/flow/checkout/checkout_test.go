package checkout

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// A refused key of ours is no outage: it is said to be the operator's, nothing is
// stored as an answer, and nothing stays reserved by a first call, which did
// nothing.
func TestRefusedKeyIsTheOperators(t *testing.T) {
	t.Parallel()
	d := open(t)
	refused := func(context.Context, string) error { return fmt.Errorf("401: %w", payment.ErrCredentials) }
	d.keyed.Before = refused
	p := d.refused(t, ErrKey, "k", "keyed", 0)
	require.Contains(t, p.Detail, "operator")
	require.Equal(t, order.Canceled, d.state(d.onlyOrder(t)))
	require.Zero(t, d.Count(`SELECT count(*) FROM idempotency_keys`))
	require.Zero(t, d.Count(`SELECT count(*) FROM reservations WHERE released_at IS NULL`))
	d.create(t, "k2", "agreed", 0)

	// After a call whose outcome is not known, a refused key says nothing of it.
	d.keyed.Before, d.keyed.After = nil, func(context.Context, string) error { return errLost }
	d.refused(t, ErrUnknown, "k3", "keyed", 1)
	d.keyed.Before, d.keyed.After = refused, nil
	d.refused(t, ErrKey, "k3", "keyed", 1)
	require.Equal(t, 1, d.Count(`SELECT count(*) FROM orders WHERE state = 'created'`), "its page may be there")
	d.keyed.Before = nil
	d.create(t, "k3", "keyed", 1)
	require.Len(t, d.keyed.Pages(), 1)
}

// A browser that comes back has the provider asked at once, at each of them, and
// money that was agreed to is taken at once.
func TestReturnAsksAtOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"keyed", "agreed", "keyless"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			var captured []uuid.UUID
			d.service.cfg.Capture = func(ctx context.Context, attemptID uuid.UUID) error {
				captured = append(captured, attemptID)
				a := d.Facts(d.onlyOrder(t)).Attempts[0]
				facts, err := d.agreed.Capture(ctx, payment.CaptureRequest{AttemptID: a.ID, Ref: a.Ref, Amount: 500, Currency: "EUR"})
				require.NoError(t, err)
				return d.books.Say(ctx, payment.Reply(d.agreed, "capture", a.Ref, facts))
			}
			r := d.create(t, "k", name, 0)
			require.NoError(t, d.service.Refresh(t.Context(), r.OrderID))
			require.Equal(t, order.AwaitingPayment, d.state(r.OrderID), "the browser is not believed")
			a := d.Facts(r.OrderID).Attempts[0]
			switch name {
			case "keyed":
				d.keyed.Set(a.Ref, "paid")
			case "keyless":
				d.keyless.Set(a.ID.String(), "paid")
			default:
				d.agreed.Set(a.Ref, "approved")
			}
			require.NoError(t, d.service.Refresh(t.Context(), r.OrderID))
			require.Equal(t, order.Paid, d.state(r.OrderID))
			require.Equal(t, name == "agreed", len(captured) == 1)
		})
	}
}

// Spent keys: past the provider's memory the attempt is renewed, and the old
// page, if there is one, still counts.
func TestSpentKeyIsRenewed(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agreed.After = func(context.Context, string) error { return errLost }
	d.refused(t, ErrUnknown, "k", "agreed", 0)
	d.agreed.After = nil
	d.Age(d.onlyOrder(t), "6 hours") // it remembers five
	r := d.create(t, "k", "agreed", 0)
	f := d.Facts(r.OrderID)
	require.Len(t, f.Attempts, 2)
	require.Len(t, d.agreed.Pages(), 2)
	d.say(t, "agreed", payment.Observation{
		Kind: payment.KindPayment, AttemptID: f.Attempts[0].ID, PaymentID: "p", Status: payment.PaymentSucceeded, Amount: 500, Currency: "EUR",
	})
	require.Equal(t, order.Paid, d.state(r.OrderID))
}

// Without a provider named, the first that takes the amount; a named one that
// does not is refused with why.
func TestFirstThatTakesIt(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.keyed.Least, d.agreed.Currencies, d.keyless.NeedsEmail = 501, []string{"JPY"}, true
	require.Equal(t, "keyless", d.create(t, "k1", "", 0).Provider)
	require.Equal(t, "keyed", d.create(t, "k2", "", 0, 1).Provider)
	d.buyer = d.Guest()
	for key, want := range map[string]*struct {
		provider, code string
		email          string
	}{
		"a": {"keyed", ErrTooSmall.Code, "b@example.test"},
		"b": {"agreed", ErrCannotTake.Code, "b@example.test"},
		"c": {"nobody", ErrNoProvider.Code, "b@example.test"},
		"d": {"keyless", ErrSelection.Code, ""},
	} {
		in := d.input(key, want.provider, 0)
		in.Email = want.email
		a, err := d.service.Create(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, 422, a.Status)
		require.Equal(t, want.code, string(a.Body), key)
	}
	require.Zero(t, d.Count(`SELECT count(*) FROM orders WHERE buyer_guest = $1`, d.buyer.ID))
}

func TestChargeable(t *testing.T) {
	t.Parallel()
	d := open(t)
	all := d.service.providers
	require.NoError(t, Chargeable(nil, "EUR", 1), "there may be one later")
	require.NoError(t, Chargeable(all, "EUR", 1))
	d.keyed.Least, d.agreed.Least, d.keyless.Currencies = 50, 70, []string{"JPY"}
	require.NoError(t, Chargeable(all, "EUR", 50), "one of them takes it")
	require.EqualError(t, Chargeable(all, "EUR", 49),
		"Keyed takes no less than €0.50. Agreed takes no less than €0.70. Keyless does not take EUR.")
	for _, reason := range []string{"country", "maximum", "step", "?"} {
		require.NotEmpty(t, cannot(reason, 1, "EUR"))
	}
	require.Equal(t, "PayPal", Title("paypal"))
}
