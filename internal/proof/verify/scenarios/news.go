package scenarios

import (
	"context"
	"errors"
	"net/http"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const refundWave = "POST /flutterwave/v3/transactions/{id}/refund"

// replyLost cuts the answer to a refund at Flutterwave, which would give as much
// again to whoever asks again, and whose refunds carry no name of ours.
func replyLost(ctx context.Context, w *verify.World) error {
	// Paid with so much that there is more to give, and nobody is told of anything.
	d, err := newDeal(ctx, w, twin.Flutterwave)
	if err == nil {
		err = w.Twin.SetFaults(ctx, twin.FaultSettings{
			Rates: twin.Rates{twin.Drop: 1}, Shots: []twin.Shot{{Route: refundWave, Fault: twin.CutReply}},
		})
	}
	if err == nil {
		err = d.pay(ctx, w, twin.PayRequest{Amount: 900})
	}
	if err == nil {
		a := d.refresh(ctx, w, w.Instances[0])
		w.Check(a.Status == http.StatusOK, "a browser's return was answered %s", a)
		err = w.Reaches(ctx, d.order, "paid")
	}
	if err == nil {
		err = answered(ctx, w, &d)
	}
	if err != nil {
		return err
	}
	held, _, err := d.held(ctx, w)
	if err != nil {
		return err
	}
	w.Check(held == d.cart.Total, "of 900 paid for %d, %d is left", d.cart.Total, held)
	if err := w.Twin.Shoot(ctx, twin.Shot{Route: refundWave, Fault: twin.CutReply}); err != nil {
		return err
	}
	a := w.Refund(ctx, w.Instances[0], d.order)
	w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	if err := answered(ctx, w, &d); err != nil {
		return err
	}
	if err := w.Twin.SetFaults(ctx, twin.FaultSettings{}); err != nil {
		return err
	}
	return w.Reaches(ctx, d.order, "refunded")
}

// unnamedRefund is the same without anything left over: a refund that is not
// recognised as ours counts twice.
func unnamedRefund(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Flutterwave)
	if err == nil {
		err = d.settled(ctx, w)
	}
	if err == nil {
		err = w.Twin.Shoot(ctx, twin.Shot{Route: refundWave, Fault: twin.CutReply})
	}
	if err != nil {
		return err
	}
	a := w.Refund(ctx, w.Instances[0], d.order)
	w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	if err := answered(ctx, w, &d); err != nil {
		return err
	}
	return w.Reaches(ctx, d.order, "refunded")
}

// answered lets the retries of refunds come until all requests of an order are
// answered.
func answered(ctx context.Context, w *verify.World, d *deal) error {
	w.Count(verify.FaultsFired, 1)
	err := w.Until(ctx, "the refunds of order "+d.order.String()+" are answered", func() (bool, error) {
		if err := w.DueJobs(ctx); err != nil {
			return false, err
		}
		n, err := w.Int(ctx, `SELECT count(*) FILTER (WHERE state = 'answered') * 100 + count(*) FILTER (WHERE state <> 'answered') FROM refund_requests WHERE order_id = $1`, d.order)
		return n >= 100 && n%100 == 0, err
	})
	return errors.Join(err, atRest(ctx, w))
}

// disputeNews lets two events of one dispute be applied at once. Each leads to
// all that there is to know about it.
func disputeNews(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Stripe)
	if err == nil {
		err = d.settled(ctx, w)
	}
	if err == nil {
		err = atRest(ctx, w)
	}
	if err != nil {
		return err
	}
	racers, hold, err := raceAt(ctx, w, newsInHand)
	if err != nil {
		return err
	}
	defer hold.Open()
	dispute, err := w.Twin.OpenDispute(ctx, twin.DisputeOrder{Payment: d.payment, Amount: d.cart.Total, Faults: []twin.Fault{twin.Silence}})
	if err != nil {
		return err
	}
	if err := meet(ctx, w, hold, dispute.Events[:len(racers)], racers); err != nil {
		return err
	}
	defer letGo(ctx, w, hold, len(racers))()
	w.Count(verify.FaultsFired, hold.Arrived())
	return w.Reaches(ctx, d.order, "disputed")
}

// refundUndone lets two events of a refund that was begun at the provider and has
// failed there be applied at once: both are the first that is heard of it, and are
// held before they post anything.
func refundUndone(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Stripe)
	if err == nil {
		err = d.settled(ctx, w)
	}
	if err == nil {
		err = atRest(ctx, w)
	}
	if err != nil {
		return err
	}
	racers, hold, err := raceAt(ctx, w, "settle.after_grants")
	if err != nil {
		return err
	}
	defer hold.Open()
	r, err := w.Dashboard(ctx, twin.RefundOrder{Payment: d.payment, Faults: []twin.Fault{twin.Silence}})
	if err == nil {
		_, err = w.Twin.MoveRefund(ctx, r.ID, "failed", twin.Silence)
	}
	var events []string
	for _, kind := range []string{"charge.refunded", "refund.failed"} {
		event, missing := w.EventOf(ctx, d.ref, kind)
		events, err = append(events, event), errors.Join(err, missing)
	}
	if err == nil {
		err = meet(ctx, w, hold, events, racers)
	}
	if err != nil {
		return err
	}
	defer letGo(ctx, w, hold, len(racers))()
	w.Count(verify.FaultsFired, hold.Arrived())
	if err := w.Until(ctx, "the failed refund is known", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM refunds WHERE refund_id = $1 AND status = 'failed'`, r.ID)
		return n > 0, err
	}); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	return w.Reaches(ctx, d.order, "paid")
}
