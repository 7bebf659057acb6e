package scenarios

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// Money goes back once, whoever dies on the way, and never more than came.
var w11 = verify.Scenario{
	ID: "W11", Title: "refunds, killed on the way and asked for twice", Severity: verify.Critical,
	Rows: []string{"F2", "D2"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.InFlight, verify.Overlapping},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			for _, part := range []struct {
				name string
				run  func(context.Context, *verify.World) error
			}{
				{"request", killedAfterRequest},
				{"twice", askedTwice},
				{"sum", leftOver},
				{"call", killedAfterCall},
				{"lost", replyLost},
				{"unnamed", unnamedRefund},
				{"news", refundNews},
				{"dispute", disputeNews},
				{"undone", refundUndone},
			} {
				if w.Focus != "" && w.Focus != part.name {
					continue
				}
				if err := part.run(ctx, w); err != nil {
					return err
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// sold makes an order that is paid, with as much as the provider is told.
func sold(ctx context.Context, w *verify.World, pay twin.PayRequest) (uuid.UUID, error) {
	_, orderID, err := w.NewOrder(ctx, 1)
	if err != nil {
		return orderID, err
	}
	if _, err := w.Pay(ctx, orderID, pay); err != nil {
		return orderID, err
	}
	return orderID, w.Reaches(ctx, orderID, "paid")
}

// killedAfterRequest dies with the request committed and the operator not
// answered.
func killedAfterRequest(ctx context.Context, w *verify.World) error {
	orderID, err := sold(ctx, w, twin.PayRequest{})
	if err != nil {
		return err
	}
	victim, err := w.Start(ctx, "victim", verify.KillAt("refund.after_request", 1))
	if err != nil {
		return err
	}
	a := w.Refund(ctx, victim, orderID)
	if !victim.Died(ctx, w.Patience) {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	if a.Status == 0 {
		w.Count(verify.InFlight, 1)
	}
	// The operator does not know, and asks again.
	again := w.Refund(ctx, w.Instances[0], orderID)
	w.Check(again.Status == http.StatusConflict, "a refund asked for again was answered %s", again)
	return w.Reaches(ctx, orderID, "refunded")
}

// killedAfterCall dies with the money gone back and the answer not stored, for
// an operator's refund and for an excess that goes back by itself. The order was
// paid with so much that the provider would give as much again.
func killedAfterCall(ctx context.Context, w *verify.World) error {
	standing := slices.Clone(w.Instances)
	victim, err := w.Start(ctx, "victim", verify.KillAt("refund.after_call", 1))
	if err != nil {
		return err
	}
	for _, i := range standing {
		i.Pause() // the job is the victim's
	}
	resume := func() {
		for _, i := range standing {
			i.Resume()
		}
	}
	defer resume()
	w.Instances = []*verify.Instance{victim}
	w.Route(victim)
	defer func() { w.Instances = standing; w.Route(standing...) }()
	_, orderID, err := w.NewOrder(ctx, 1)
	if err != nil {
		return err
	}
	// Of 1100, 600 are too much and go back by themselves; the provider would
	// give 500 more.
	if _, err := w.Pay(ctx, orderID, twin.PayRequest{Amount: 1100}); err != nil {
		return err
	}
	if !victim.Died(ctx, w.Patience) {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	w.Count(verify.InFlight, 1)
	w.Route(standing...)
	// The queue finds the job of the dead process after a while.
	if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx)); err != nil {
		return err
	}
	resume()
	fresh, err := w.Start(ctx, "fresh")
	if err != nil {
		return err
	}
	defer fresh.Kill()
	w.Route(fresh)
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	a := w.Refund(ctx, fresh, orderID)
	w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	if err := w.Reaches(ctx, orderID, "refunded"); err != nil {
		return err
	}
	return atRest(ctx, w) // the queue notes the end of a job a little later
}

// askedTwice is two operators at once, and two instances.
func askedTwice(ctx context.Context, w *verify.World) error {
	orderID, err := sold(ctx, w, twin.PayRequest{})
	if err != nil {
		return err
	}
	const operators = 8
	answers := make([]verify.Answer, operators)
	verify.All(operators, func(i int) { answers[i] = w.Refund(ctx, w.Instances[i%len(w.Instances)], orderID) })
	taken := 0
	for _, a := range answers {
		w.Span(orderID.String(), a.From, a.To)
		switch a.Status {
		case http.StatusAccepted:
			taken++
		case http.StatusConflict:
		default:
			w.Check(false, "one of many refunds at once was answered %s", a)
		}
	}
	w.Check(taken == 1, "%d of %d refunds of one order were taken", taken, operators)
	return w.Reaches(ctx, orderID, "refunded")
}

// leftOver leaves money at the provider that is not the order's: an excess whose
// refund failed. No refund of the order may take it.
func leftOver(ctx context.Context, w *verify.World) error {
	orderID, err := sold(ctx, w, twin.PayRequest{Amount: 1100})
	if err != nil {
		return err
	}
	page, err := w.Page(ctx, orderID)
	if err != nil {
		return err
	}
	var excess twin.RefundView
	err = w.Until(ctx, "the excess has gone back", func() (bool, error) {
		given, err := w.Twin.Refunds(ctx)
		at := slices.IndexFunc(given, func(r twin.RefundView) bool {
			return r.Ref == page.Ref && r.Amount == 600 && r.Status == "succeeded"
		})
		if at >= 0 {
			excess = given[at]
		}
		return at >= 0, err
	})
	if err != nil {
		return err
	}
	if _, err := w.Twin.MoveRefund(ctx, excess.ID, "failed"); err != nil {
		return err
	}
	err = w.Until(ctx, "the refund is known to have failed", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM refunds WHERE refund_id = $1 AND status = 'failed'`, excess.ID)
		return n == 1, err
	})
	if err != nil {
		return err
	}
	a := w.Refund(ctx, w.Instances[0], orderID)
	w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	err = w.Until(ctx, "all that was sold is given back", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM orders WHERE id = $1 AND refunded = gross`, orderID)
		return n == 1, err
	})
	if err != nil {
		return err
	}
	again := w.Refund(ctx, w.Instances[0], orderID)
	w.Check(again.Status == http.StatusConflict, "a refund of what was given back already was answered %s", again)
	// The excess is still with us: that is for a person.
	return w.Reaches(ctx, orderID, "review")
}

// refundNews lets the answer to our own call and the provider's events about the
// same refund be applied at once.
func refundNews(ctx context.Context, w *verify.World) error {
	orderID, err := sold(ctx, w, twin.PayRequest{})
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
	a := w.Refund(ctx, racers[0], orderID)
	w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	defer letGo(ctx, w, hold, 3)()
	w.Count(verify.FaultsFired, hold.Arrived())
	return w.Reaches(ctx, orderID, "refunded")
}
