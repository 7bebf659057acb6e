package scenarios

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// can checks whether a buyer gets the original of a photograph, on any instance.
func can(ctx context.Context, w *verify.World, b verify.Buyer, photo uuid.UUID, may bool, when string) {
	for _, i := range w.Instances {
		a, whole := w.Download(ctx, i, b, photo, may, nil)
		w.Check(whole == may && (may || a.Status == http.StatusForbidden), "%s a download was answered %s", when, a)
	}
}

// linesOf are an order's lines by photograph.
func linesOf(ctx context.Context, w *verify.World, orderID uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	got, err := w.DB.Query(ctx, `SELECT photo_id, id FROM order_lines WHERE order_id = $1`, orderID)
	if err != nil {
		return nil, err
	}
	out := map[uuid.UUID]uuid.UUID{}
	var photo, line uuid.UUID
	_, err = pgx.ForEachRow(got, []any{&photo, &line}, func() error {
		out[photo] = line
		return nil
	})
	return out, err
}

// partByPart gives a single photograph and a bundle of one buyer back in parts:
// each part ends the access of exactly its lines.
func partByPart(ctx context.Context, w *verify.World) error {
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	photos := w.Cart(4).Photos
	single, err := strike(ctx, w, b, verify.Cart{Photos: photos[:1], Total: 500}, twin.PayPal)
	if err == nil {
		err = single.settled(ctx, w)
	}
	if err != nil {
		return err
	}
	bulk, err := strike(ctx, w, b, verify.Cart{Photos: photos[1:], Total: 1200}, twin.Flutterwave)
	if err == nil {
		err = bulk.settled(ctx, w)
	}
	if err != nil {
		return err
	}
	lines, err := linesOf(ctx, w, bulk.order)
	if err != nil {
		return err
	}
	owns := map[uuid.UUID]bool{}
	for _, p := range photos {
		owns[p] = true
	}
	for n, step := range []struct {
		order uuid.UUID
		lines []uuid.UUID
		ends  []uuid.UUID
		state string
	}{
		{bulk.order, []uuid.UUID{lines[photos[1]]}, photos[1:2], "partially_refunded"},
		{single.order, nil, photos[:1], "refunded"},
		{bulk.order, []uuid.UUID{lines[photos[2]], lines[photos[3]]}, photos[2:], "refunded"},
	} {
		a := w.RefundLines(ctx, w.Instances[n%len(w.Instances)], step.order, step.lines...)
		w.Check(a.Status == http.StatusAccepted, "a refund of lines was answered %s", a)
		for _, p := range step.ends {
			owns[p] = false
		}
		for _, p := range photos {
			can(ctx, w, b, p, owns[p], fmt.Sprintf("after step %d", n))
		}
		if err := w.Reaches(ctx, step.order, step.state); err != nil {
			return err
		}
	}
	held, _, err := bulk.held(ctx, w)
	w.Check(held == 0, "%d is left of a bundle that was given back by line", held)
	return err
}

// bulkAndSingle has one photograph paid twice, alone and in a bundle. The news of
// the single one is held while the bundle is asked back, and both are let go.
func bulkAndSingle(ctx context.Context, w *verify.World) error {
	racers, hold, err := raceAt(ctx, w, newsInHand)
	if err != nil {
		return err
	}
	defer hold.Open()
	end := passing(hold)
	single, bulk, err := twiceOver(ctx, w)
	end()
	if err != nil {
		return err
	}
	event, err := w.EventOf(ctx, single.ref, paidEvent[single.provider])
	if err == nil {
		err = meet(ctx, w, hold, []string{event}, racers)
	}
	if err != nil {
		return err
	}
	a := w.Refund(ctx, racers[1], bulk.order)
	w.Check(a.Status == http.StatusAccepted, "a refund of a bundle was answered %s", a)
	for _, p := range bulk.cart.Photos {
		can(ctx, w, bulk.buyer, p, false, "after the refund of a bundle")
	}
	defer letGo(ctx, w, hold, len(racers))()
	w.Count(verify.FaultsFired, hold.Arrived())
	if err := w.Reaches(ctx, single.order, "paid"); err != nil {
		return err
	}
	if err := w.Reaches(ctx, bulk.order, "refunded"); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	can(ctx, w, single.buyer, single.cart.Photos[0], true, "bought alone, and given back in a bundle,")
	can(ctx, w, single.buyer, bulk.cart.Photos[1], false, "given back in a bundle")
	return nil
}

// twiceOver opens a photograph alone, and then in a bundle, which is paid. The
// older page is paid too, and nobody is told.
func twiceOver(ctx context.Context, w *verify.World) (single, bulk deal, err error) {
	b, err := w.Guest(ctx)
	if err != nil {
		return single, bulk, err
	}
	photos := w.Cart(3).Photos
	if single, err = strike(ctx, w, b, verify.Cart{Photos: photos[:1], Total: 500}, twin.Flutterwave); err != nil {
		return single, bulk, err
	}
	if bulk, err = strike(ctx, w, b, verify.Cart{Photos: photos, Total: 1200}, twin.Stripe); err != nil {
		return single, bulk, err
	}
	if err = bulk.settled(ctx, w); err != nil {
		return single, bulk, err
	}
	if err = atRest(ctx, w); err != nil {
		return single, bulk, err
	}
	pay := silent
	pay.Force = true
	return single, bulk, single.pay(ctx, w, pay)
}

// contested freezes access while a payment is disputed, also of a download that
// has begun; won, it comes back, and lost, it is gone.
func contested(ctx context.Context, w *verify.World, provider, outcome string) error {
	d, err := newDeal(ctx, w, provider)
	if err == nil {
		err = d.settled(ctx, w)
	}
	if err != nil {
		return err
	}
	photo := d.cart.Photos[0]
	var dispute twin.DisputeView
	var opened error
	_, whole := w.Download(ctx, w.Instances[0], d.buyer, photo, true, func() {
		if dispute, opened = w.Twin.OpenDispute(ctx, twin.DisputeOrder{Payment: d.payment}); opened == nil {
			opened = w.Reaches(ctx, d.order, "disputed")
		}
		verify.Wait(ctx, recheck+recheck/5)
	})
	if opened != nil {
		return opened
	}
	w.Check(!whole, "a download went on to its end long after its payment was disputed")
	can(ctx, w, d.buyer, photo, false, "disputed,")
	a := w.Refund(ctx, w.Instances[1], d.order)
	w.Check(a.Status == http.StatusConflict, "a refund of a disputed payment was answered %s", a)
	if _, err := w.Twin.MoveDispute(ctx, dispute.ID, outcome); err != nil {
		return err
	}
	err = w.Until(ctx, "the end of the dispute is known", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM disputes WHERE order_id = $1 AND status = 'closed'`, d.order)
		return n == 1, err
	})
	if err == nil {
		err = atRest(ctx, w)
	}
	if err != nil {
		return err
	}
	won := outcome == twin.DisputeWon
	can(ctx, w, d.buyer, photo, won, "after a dispute that was "+outcome)
	return w.Reaches(ctx, d.order, map[bool]string{true: "paid", false: "disputed"}[won])
}
