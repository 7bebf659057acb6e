package scenarios

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// Changes of the shop between an order and its money.
const (
	unchanged = "nothing"
	dearer    = "another price"
	removed   = "the photograph is gone"
)

// Money lands two hours after its page was closed for good, while the shop has
// changed; and money that its payers sent in time lands as late. It buys what was
// sold at the price of then, or goes back once. PayPal's payers agree too late,
// and nothing is taken.
var c07 = verify.Scenario{
	ID: "C07", Title: "money lands after the end of its page", Severity: verify.Critical,
	Rows: []string{"F1", "U2"}, Build: verify.Release, Needs: []string{verify.FaultsFired},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			if err := lateMoney(ctx, w); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// lateDeal is a deal over one photograph of its own, and what will have changed.
type lateDeal struct {
	deal
	change string
	photo  uuid.UUID
	slow   bool // paid in time, and the money is on its way
}

func lateMoney(ctx context.Context, w *verify.World) error {
	deals, err := lateDeals(ctx, w)
	if err != nil {
		return err
	}
	// The ends of all pages come, and the orders are closed.
	if err := w.Advance(ctx, 24*time.Hour); err != nil {
		return err
	}
	for _, d := range deals {
		if !d.slow {
			err = w.Until(ctx, "order "+d.order.String()+" is over", func() (bool, error) {
				s, err := w.State(ctx, d.order)
				return s == "expired" || s == "canceled", err
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.provider, err)
		}
	}
	if err := w.Advance(ctx, 2*time.Hour); err != nil {
		return err
	}
	var gone []uuid.UUID
	for _, d := range deals {
		if d.change == removed {
			gone = append(gone, d.photo)
		}
	}
	restore, err := change(ctx, w, gone)
	if err != nil {
		return err
	}
	for i := range deals {
		d := &deals[i]
		if d.slow {
			_, err = w.Twin.Finish(ctx, d.ref, true)
		} else {
			err = d.pay(ctx, w, twin.PayRequest{Force: true})
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", d.provider, d.change, err)
		}
		w.Count(verify.FaultsFired, 1)
	}
	for i := range deals {
		if err := deals[i].check(ctx, w); err != nil {
			return err
		}
	}
	return restore()
}

// lateDeals makes a deal for each provider and change, and one of slow money
// where a provider lets it take more than a day. Every other one is paid by the
// pages' own time.
func lateDeals(ctx context.Context, w *verify.World) ([]lateDeal, error) {
	var out []lateDeal
	photos := slices.Clone(w.Photos)
	w.Rand.Shuffle(len(photos), func(i, j int) { photos[i], photos[j] = photos[j], photos[i] })
	for _, slow := range []bool{false, true} {
		for _, p := range verify.Providers {
			for _, what := range []string{unchanged, dearer, removed} {
				if slow && (p == twin.Flutterwave || what != removed) {
					continue // its mobile money takes minutes
				}
				b, err := w.Guest(ctx)
				if err != nil {
					return nil, err
				}
				cart := w.Cart(1)
				cart.Photos = []uuid.UUID{photos[len(out)]}
				d, err := strike(ctx, w, b, cart, p)
				if err == nil && slow {
					if err = d.pay(ctx, w, twin.PayRequest{Method: twin.MethodDelayed}); err == nil {
						err = d.onItsWay(ctx, w)
					}
				}
				if err != nil {
					return nil, err
				}
				out = append(out, lateDeal{deal: d, change: what, photo: cart.Photos[0], slow: slow})
			}
		}
	}
	return out, nil
}

// onItsWay waits until it is known that the deal's money is on its way.
func (d *deal) onItsWay(ctx context.Context, w *verify.World) error {
	return w.Until(ctx, "the money of order "+d.order.String()+" is on its way", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM attempts WHERE order_id = $1 AND status = 'processing'`, d.order)
		return n == 1, err
	})
}

// change makes photographs dearer and takes some away.
func change(ctx context.Context, w *verify.World, gone []uuid.UUID) (restore func() error, err error) {
	_, err = w.DB.Exec(ctx, `UPDATE events SET price_photo = price_photo + 400`)
	if err == nil {
		_, err = w.DB.Exec(ctx, `UPDATE photos SET hidden_at = app_now() WHERE id = ANY($1)`, gone)
	}
	return func() error {
		_, err := w.DB.Exec(ctx, `UPDATE events SET price_photo = price_photo - 400`)
		if err == nil {
			_, err = w.DB.Exec(ctx, `UPDATE photos SET hidden_at = NULL`)
		}
		return err
	}, err
}

// check waits for what must have become of a deal's money.
func (d *lateDeal) check(ctx context.Context, w *verify.World) error {
	want, left, payments := "paid", d.cart.Total, 1
	switch {
	case d.slow:
	case d.provider == twin.PayPal:
		want, left, payments = "", 0, 0 // over, as it was
	case d.change == removed:
		want, left = "expired", 0
	}
	what := fmt.Sprintf("%s, %s, slow %t", d.provider, d.change, d.slow)
	if want != "" {
		if err := w.Reaches(ctx, d.order, want); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := said(ctx, w); err != nil {
		return err
	}
	state, err := w.State(ctx, d.order)
	if err != nil {
		return err
	}
	w.Check(want == state || want == "" && (state == "expired" || state == "canceled"), "%s: the order is %s", what, state)
	held, n, err := d.held(ctx, w)
	w.Check(held == left && n == payments, "%s: the provider took %d payments and holds %d", what, n, held)
	return err
}
