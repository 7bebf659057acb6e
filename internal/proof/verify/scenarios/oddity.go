package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// What only some providers do: money that a call of ours has to take, which can
// be declined, pending, denied, lost with the process that asked for it, and too
// late; and several answers about one page.
var c09 = verify.Scenario{
	ID: "C09", Title: "the providers' own oddities", Severity: verify.Critical,
	Rows: []string{"F1", "F2", "T1", "S2"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.InFlight},
	Quick: 1, Full: 5,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			for _, part := range []struct {
				name string
				run  func(context.Context, *verify.World) error
			}{
				{"uncaptured", uncaptured},
				{"captures", captures},
				{"killed", killedCaptures},
				{"closed", closedBeforeCapture},
				{"raced", racedCapture},
				{"past", pastCapture},
				{"several", severalCharges},
				{"behind", behind},
				{"mixed", mixedUp},
			} {
				if w.Focus != "" && w.Focus != part.name {
					continue
				}
				if err := part.run(ctx, w); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// uncaptured: the payer has agreed, and nobody tells us.
func uncaptured(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.PayPal)
	if err == nil {
		err = d.pay(ctx, w, silent)
	}
	if err == nil {
		err = w.Advance(ctx, 61*time.Second)
	}
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	return w.Reaches(ctx, d.order, "paid")
}

// captures end in each way that there is.
func captures(ctx context.Context, w *verify.World) error {
	for _, tt := range []struct {
		method string
		then   func(d *deal) error
		paid   bool
	}{
		{method: twin.MethodDelayed, then: func(d *deal) error {
			if err := d.onItsWay(ctx, w); err != nil {
				return err
			}
			_, err := w.Twin.Finish(ctx, d.ref, true)
			return err
		}, paid: true},
		{method: twin.MethodDelayed, then: func(d *deal) error {
			if err := d.onItsWay(ctx, w); err != nil {
				return err
			}
			_, err := w.Twin.Finish(ctx, d.ref, false)
			return err
		}},
		{method: twin.MethodDeclined},
		{method: twin.MethodDenied},
		{method: twin.MethodDecline, then: func(d *deal) error {
			// The card is declined when we ask for the money; the payer agrees anew.
			if err := d.failed(ctx, w); err != nil {
				return err
			}
			return d.pay(ctx, w, twin.PayRequest{})
		}, paid: true},
	} {
		d, err := newDeal(ctx, w, twin.PayPal)
		if err == nil {
			err = d.pay(ctx, w, twin.PayRequest{Method: tt.method})
		}
		if err == nil && tt.then != nil {
			err = tt.then(&d)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", tt.method, err)
		}
		w.Count(verify.FaultsFired, 1)
		if tt.paid {
			err = w.Reaches(ctx, d.order, "paid")
		} else if err = d.failed(ctx, w); err == nil {
			err = noGrant(ctx, w, d.order)
		}
		if err != nil {
			return fmt.Errorf("%s, paid %t: %w", tt.method, tt.paid, err)
		}
	}
	return nil
}

// failed waits until it is known that a try to pay has failed.
func (d *deal) failed(ctx context.Context, w *verify.World) error {
	return w.Until(ctx, "order "+d.order.String()+" knows of a failed payment", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM payments WHERE order_id = $1 AND status = 'failed'`, d.order)
		return n > 0, err
	})
}

// alone makes one new instance the only one that works, until it is let go.
func alone(ctx context.Context, w *verify.World, orders ...string) (*verify.Instance, func(), error) {
	standing := w.Instances
	victim, err := w.Start(ctx, "victim", orders...)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range standing {
		i.Pause()
	}
	w.Instances = []*verify.Instance{victim}
	w.Route(victim)
	return victim, func() {
		for _, i := range standing {
			i.Resume()
		}
		w.Instances = standing
		w.Route(standing...)
		victim.Kill()
	}, nil
}

// killedCaptures dies before and after the call that takes the money.
func killedCaptures(ctx context.Context, w *verify.World) error {
	for _, point := range []string{"capture.after_check", "capture.after_call"} {
		d, err := newDeal(ctx, w, twin.PayPal)
		if err != nil {
			return err
		}
		victim, resume, err := alone(ctx, w, verify.KillAt(point, 1))
		if err != nil {
			return err
		}
		err = d.pay(ctx, w, silent)
		if err == nil {
			var event string
			if event, err = w.EventOf(ctx, d.ref, "CHECKOUT.ORDER.APPROVED"); err == nil {
				_, err = w.Redeliver(ctx, event, 1, victim)
			}
		}
		if err == nil && !victim.Died(ctx, w.Patience) {
			err = errors.New("the fault did not fire")
		}
		resume()
		if err != nil {
			return fmt.Errorf("%s: %w", point, err)
		}
		w.Count(verify.FaultsFired, 1)
		w.Count(verify.InFlight, 1)
		// The queue finds the job of the dead process, or the poller the order.
		if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx), w.Advance(ctx, 61*time.Second)); err != nil {
			return err
		}
		if err := w.Reaches(ctx, d.order, "paid"); err != nil {
			return fmt.Errorf("%s: %w", point, err)
		}
		if err := w.Until(ctx, "the dead process's job is done", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM river_job WHERE finalized_at IS NULL`)
			return n == 0, errors.Join(err, w.DueJobs(ctx))
		}); err != nil {
			return fmt.Errorf("%s: %w", point, err)
		}
		if err := once(ctx, w, &d); err != nil {
			return err
		}
	}
	return nil
}

// once checks that a page was paid once.
func once(ctx context.Context, w *verify.World, d *deal) error {
	held, payments, err := d.held(ctx, w)
	w.Check(payments == 1 && held == d.cart.Total, "the provider took %d payments for one page of %d and holds %d", payments, d.cart.Total, held)
	return err
}

const capturePage = "POST /paypal/v2/checkout/orders/{id}/capture"

// closedBeforeCapture agrees, and the call that takes the money fails once. Before
// it is made again the buyer goes on in another tab, and the page is closed.
func closedBeforeCapture(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.PayPal)
	if err == nil {
		err = w.Twin.Shoot(ctx, twin.Shot{Route: capturePage, Fault: twin.ErrorBefore})
	}
	if err == nil {
		err = d.pay(ctx, w, twin.PayRequest{})
	}
	if err == nil {
		err = w.Until(ctx, "the call has failed", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM river_job j JOIN attempts a ON j.args::text LIKE '%' || a.id || '%'
				WHERE a.order_id = $1 AND j.kind = 'payment_capture' AND j.finalized_at IS NULL AND cardinality(j.errors) > 0`, d.order)
			return n == 1, err
		})
	}
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	if err := w.AdvanceJobs(ctx, -time.Hour); err != nil { // it is not made again before the page is closed
		return err
	}
	other, err := strike(ctx, w, d.buyer, d.cart, twin.Stripe)
	if err == nil {
		// The provider's times are whole seconds.
		err = errors.Join(w.Advance(ctx, 2*time.Second), w.DueJobs(ctx))
	}
	if err == nil {
		err = d.heard(ctx, w)
	}
	if err != nil {
		return err
	}
	_, payments, err := d.held(ctx, w)
	if err != nil {
		return err
	}
	w.Check(payments == 0, "the money of a page that was closed was taken")
	// What is agreed to afterwards is not even asked for.
	if err := d.pay(ctx, w, twin.PayRequest{Force: true}); err != nil {
		return err
	}
	return other.settled(ctx, w)
}

// heard waits until what the payer agreed to is known and done with.
func (d *deal) heard(ctx context.Context, w *verify.World) error {
	if err := w.Twin.Quiet(ctx, w.Patience); err != nil {
		return err
	}
	return atRest(ctx, w)
}

// racedCapture closes the page between the check and the call: the money comes
// and is late. The cart is bought once all the same.
func racedCapture(ctx context.Context, w *verify.World) error {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	d, err := newDeal(ctx, w, twin.PayPal)
	if err != nil {
		return err
	}
	_, resume, err := alone(ctx, w, hold.At("capture.after_check"))
	if err != nil {
		return err
	}
	defer resume()
	if err := d.pay(ctx, w, twin.PayRequest{}); err != nil {
		return err
	}
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	w.Raced(d.order)
	other, err := strike(ctx, w, d.buyer, d.cart, twin.Stripe)
	if err != nil {
		return err
	}
	state, err := w.State(ctx, d.order)
	if err != nil {
		return err
	}
	w.Check(state == "canceled", "the older order is %s", state)
	hold.Open()
	if err := w.Reaches(ctx, d.order, "paid"); err != nil {
		return err
	}
	// And the other page too: nobody told its payer. Its money buys nothing.
	if err := other.pay(ctx, w, twin.PayRequest{}); err != nil {
		return err
	}
	if err := w.Reaches(ctx, other.order, "refunded"); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil { // the queue notes the end of a job a little later
		return err
	}
	return keptOnce(ctx, w, []deal{other, d}, d.cart.Total)
}

// pastCapture agrees in time and is heard of too late: what was agreed to longer
// ago than the page may be paid is never captured.
func pastCapture(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.PayPal)
	if err != nil {
		return err
	}
	// Our own end comes first: an operator may have set pages to be short.
	if _, err := w.DB.Exec(ctx, `UPDATE attempts SET expires_at = app_now() + interval '10 minutes' WHERE order_id = $1`, d.order); err != nil {
		return err
	}
	if err := d.pay(ctx, w, silent); err != nil {
		return err
	}
	if _, err := w.DB.Exec(ctx, `UPDATE open_orders SET next_check_at = app_now() + interval '20 minutes' WHERE order_id = $1`, d.order); err != nil {
		return err
	}
	if err := w.Advance(ctx, 11*time.Minute); err != nil {
		return err
	}
	event, err := w.EventOf(ctx, d.ref, "CHECKOUT.ORDER.APPROVED")
	if err == nil {
		_, err = w.Redeliver(ctx, event, 1, w.Instances[0])
	}
	if err == nil {
		err = d.heard(ctx, w)
	}
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	_, payments, err := d.held(ctx, w)
	if err != nil {
		return err
	}
	w.Check(payments == 0, "the money of a page past its time was taken")
	// The poller ends the order then.
	if err := w.Advance(ctx, 10*time.Minute); err != nil {
		return err
	}
	return w.Until(ctx, "the order is over", func() (bool, error) {
		s, err := w.State(ctx, d.order)
		return s == "expired" || s == "canceled", err
	})
}

// severalCharges are the answers of Flutterwave about one tx_ref: failed ones,
// one that failed and is successful after all, and two successful ones.
func severalCharges(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Flutterwave)
	if err != nil {
		return err
	}
	for range 2 {
		if err := d.pay(ctx, w, twin.PayRequest{Method: twin.MethodDecline}); err != nil {
			return err
		}
	}
	if err := d.failed(ctx, w); err != nil {
		return err
	}
	if _, err := w.Twin.MovePayment(ctx, d.payment, "successful"); err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	if err := w.Reaches(ctx, d.order, "paid"); err != nil {
		return fmt.Errorf("failed, then successful: %w", err)
	}
	if err := d.pay(ctx, w, twin.PayRequest{Force: true}); err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	if err := w.Until(ctx, "the second payment goes back", func() (bool, error) {
		held, payments, err := d.held(ctx, w)
		return payments == 2 && held == d.cart.Total, err
	}); err != nil {
		return err
	}
	return w.Reaches(ctx, d.order, "paid")
}

const verifyWave = "GET /flutterwave/v3/transactions/{id}/verify"

// behind is a provider that does not show yet what its own event says: a payment
// that failed is successful after all, and the first look still finds it failed.
func behind(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Flutterwave)
	if err == nil {
		err = d.pay(ctx, w, twin.PayRequest{Method: twin.MethodDecline})
	}
	if err == nil {
		err = d.failed(ctx, w)
	}
	if err == nil {
		err = d.heard(ctx, w)
	}
	if err == nil {
		err = w.Twin.Shoot(ctx, twin.Shot{Route: verifyWave, Fault: twin.Stale})
	}
	if err == nil {
		_, err = w.Twin.MovePayment(ctx, d.payment, "successful")
	}
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	return w.Reaches(ctx, d.order, "paid")
}

// mixedUp is a provider that answers about another payment than it was asked about.
func mixedUp(ctx context.Context, w *verify.World) error {
	for n := range 2 {
		d, err := newDeal(ctx, w, twin.Flutterwave)
		if err == nil && n == 1 {
			w.Count(verify.FaultsFired, 1)
			err = w.Twin.Shoot(ctx, twin.Shot{Route: verifyWave, Fault: twin.MixedUp})
		}
		if err == nil {
			err = d.settled(ctx, w)
		}
		if err == nil {
			err = d.heard(ctx, w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
