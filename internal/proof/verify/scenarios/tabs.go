package scenarios

import (
	"context"
	"fmt"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// acrossTabs opens one cart with each provider after the others, beginning
// anywhere, and once more with the first: each closes the page before it. All of
// them are paid, also the closed ones, as far as their provider takes money
// without us, and the news comes at once. What is bought is bought once, and
// every other payment goes back once.
func acrossTabs(ctx context.Context, w *verify.World, hold *verify.Barrier, racers []*verify.Instance, first int) error {
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	cart := w.Cart(2)
	var tabs []deal
	end := passing(hold)
	for n := range len(verify.Providers) + 1 {
		d, err := strike(ctx, w, b, cart, verify.Providers[(first+n)%len(verify.Providers)])
		if err != nil {
			end()
			return fmt.Errorf("tab %d: %w", n, err)
		}
		tabs = append(tabs, d)
	}
	end()
	var events []string
	for i := range tabs {
		d := &tabs[i]
		if d.provider == twin.PayPal {
			continue // takes nothing without our call
		}
		pay := silent
		pay.Force = true
		if err := d.pay(ctx, w, pay); err != nil {
			return err
		}
		event, err := w.EventOf(ctx, d.ref, paidEvent[d.provider])
		if err != nil {
			return err
		}
		events = append(events, event)
	}
	// Two are held with their news in hand; the others come when these are let go.
	if err := meet(ctx, w, hold, events[:len(racers)], racers); err != nil {
		return err
	}
	defer letGo(ctx, w, hold, len(racers))()
	for _, event := range events[len(racers):] {
		if _, err := w.Redeliver(ctx, event, 1, racers[0]); err != nil {
			return err
		}
	}
	for i := range tabs {
		if d := &tabs[i]; d.provider == twin.PayPal {
			if err := d.pay(ctx, w, twin.PayRequest{Force: true}); err != nil {
				return err
			}
		}
	}
	if err := w.Until(ctx, "the buyer has the cart", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(DISTINCT photo_id) FROM entitlements WHERE buyer_id = $1 AND revoked_at IS NULL`, b.ID)
		return n == len(cart.Photos), err
	}); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	return keptOnce(ctx, w, tabs, cart.Total)
}

// keptOnce checks that of all that was paid for one cart its price is left, and
// that a page of PayPal's was captured only if it was the last.
func keptOnce(ctx context.Context, w *verify.World, tabs []deal, price int64) error {
	var sum int64
	for i := range tabs {
		held, payments, err := tabs[i].held(ctx, w)
		if err != nil {
			return err
		}
		closed := i < len(tabs)-1
		w.Check(!closed || tabs[i].provider != twin.PayPal || payments == 0, "the closed page %s of PayPal's was captured", tabs[i].ref)
		w.Check(held == 0 || held == price, "%d of %d is left on page %s", held, price, tabs[i].ref)
		sum += held
	}
	w.Check(sum == price, "one cart of %d was paid with %d in all", price, sum)
	return nil
}
