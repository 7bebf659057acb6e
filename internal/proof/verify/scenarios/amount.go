package scenarios

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// Less money than the price, or other money, buys nothing and waits for a
// person; more is kept up to the price and the rest goes back. Money that is said
// to be for another order buys what it says, and money for nobody is a dead
// letter. What PayPal's payers were not shown is not taken at all.
var w09 = verify.Scenario{
	ID: "W09", Title: "the provider took another amount, or for somebody else", Severity: verify.Critical,
	Rows: []string{"F2", "S1"}, Build: verify.Release, Needs: []string{verify.FaultsFired},
	Quick: 1, Full: 8,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			for _, p := range verify.Providers {
				if w.Focus != "" && w.Focus != p {
					continue
				}
				if err := lies(ctx, w, p); err != nil {
					return fmt.Errorf("%s: %w", p, err)
				}
			}
			if w.Focus == "" || w.Focus == "shown" {
				if err := shownLies(ctx, w); err != nil {
					return fmt.Errorf("shown: %w", err)
				}
			}
			if w.Focus == "" {
				if err := someoneElses(ctx, w); err != nil {
					return fmt.Errorf("for somebody else: %w", err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// lies lets a provider take something else than it was asked for.
func lies(ctx context.Context, w *verify.World, provider string) error {
	for _, tt := range []struct {
		pay   twin.PayRequest
		state string
		left  int64 // of an order over 500
	}{
		{twin.PayRequest{Amount: 100}, "review", 100},
		{twin.PayRequest{Currency: "USD"}, "review", 500},
		{twin.PayRequest{Amount: 700}, "paid", 500},
	} {
		d, err := newDeal(ctx, w, provider)
		if err == nil {
			err = d.pay(ctx, w, tt.pay)
		}
		if err != nil {
			return err
		}
		w.Count(verify.FaultsFired, 1)
		if err := w.Reaches(ctx, d.order, tt.state); err != nil {
			return err
		}
		if err := atRest(ctx, w); err != nil {
			return err
		}
		held, _, err := d.held(ctx, w)
		if err != nil {
			return err
		}
		w.Check(held == tt.left, "%s took %+v and holds %d", provider, tt.pay, held)
	}
	return nil
}

// shownLies changes what PayPal's payers agree to: nothing of it is captured.
func shownLies(ctx context.Context, w *verify.World) error {
	for _, pay := range []twin.PayRequest{{Amount: 100, Shown: true}, {Currency: "USD", Shown: true}} {
		d, err := newDeal(ctx, w, twin.PayPal)
		if err == nil {
			err = d.pay(ctx, w, pay)
		}
		if err != nil {
			return err
		}
		w.Count(verify.FaultsFired, 1)
		err = w.Until(ctx, "the approval is known", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM attempts WHERE order_id = $1 AND status <> 'open'`, d.order)
			return n == 1, err
		})
		if err == nil {
			err = atRest(ctx, w)
		}
		if err != nil {
			return err
		}
		_, payments, err := d.held(ctx, w)
		if err != nil {
			return err
		}
		w.Check(payments == 0, "the money of a page that shows %+v was taken", pay)
	}
	return nil
}

// someoneElses lets a payment carry the id of another order, and of none. Stripe's
// pages carry it themselves, so that no payment can say something else.
func someoneElses(ctx context.Context, w *verify.World) error {
	var strays []deal
	for _, p := range []string{twin.PayPal, twin.Flutterwave} {
		one, err := newDeal(ctx, w, p)
		if err != nil {
			return err
		}
		other, err := newDeal(ctx, w, p)
		if err != nil {
			return err
		}
		page, err := w.PageAt(ctx, other.ref)
		if err != nil {
			return err
		}
		// It is the other order's money, whatever page it came by.
		if err := one.pay(ctx, w, twin.PayRequest{AttemptID: page.AttemptID}); err != nil {
			return err
		}
		if err := w.Reaches(ctx, other.order, "paid"); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		stray, err := newDeal(ctx, w, p)
		if err == nil {
			err = stray.pay(ctx, w, twin.PayRequest{AttemptID: id.New().String()})
		}
		if err != nil {
			return err
		}
		w.Count(verify.FaultsFired, 2)
		for _, d := range []deal{one, stray} {
			if err := noGrant(ctx, w, d.order); err != nil {
				return err
			}
		}
		strays = append(strays, stray)
	}
	// Money for nobody is tried for an hour, and then an operator is told.
	if err := said(ctx, w); err != nil {
		return err
	}
	if err := passTime(ctx, w, 20*time.Minute, 8); err != nil {
		return err
	}
	for _, d := range strays {
		if err := noGrant(ctx, w, d.order); err != nil {
			return err
		}
	}
	return nil
}

func noGrant(ctx context.Context, w *verify.World, orderID uuid.UUID) error {
	n, err := w.Int(ctx, `SELECT count(*) FROM entitlements WHERE order_id = $1`, orderID)
	w.Check(n == 0, "order %s has %d grants, and its money was for another", orderID, n)
	return err
}
