package scenarios

import (
	"context"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// keyless cuts the reply of a provider that remembers no keys: the page that was
// perhaps made is given up, and another attempt has its own. The buyer goes on
// elsewhere then, and every page that anybody was told of is closed.
func keyless(ctx context.Context, w *verify.World) error {
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	if err := w.Twin.Shoot(ctx, twin.Shot{Route: "POST /flutterwave/v3/payments", Fault: twin.CutReply}); err != nil {
		return err
	}
	cart := w.Cart(1)
	a, err := w.Order(ctx, b, "c05-keyless", cart.By(twin.Flutterwave), w.Instances...)
	if err != nil {
		return err
	}
	attempts, err := w.Int(ctx, `SELECT count(*) FROM attempts WHERE order_id = $1`, a.Order())
	if err != nil {
		return err
	}
	w.Check(attempts == 2, "a call without an answer left %d attempts", attempts)
	other, err := strike(ctx, w, b, cart, twin.Stripe)
	if err != nil {
		return err
	}
	return other.settled(ctx, w)
}
