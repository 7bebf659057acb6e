package scenarios

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const replays = "replays"

// ages at which somebody sends again what was captured: beyond an hour of ours, a
// day of Stripe's keys and redeliveries, the three days of retries, and a month.
var ages = []time.Duration{61 * time.Minute, 25 * time.Hour, 4 * 24 * time.Hour, 31 * 24 * time.Hour}

// Genuine events of long ago are sent again: as they were captured, with the
// signature of then, and anew, as the provider itself would. Stripe's are refused
// by their age, or change nothing; PayPal's and Flutterwave's signatures have no
// age that counts, so theirs are taken and change nothing.
var w02 = verify.Scenario{
	ID: "W02", Title: "genuine events of long ago, sent again", Severity: verify.Critical,
	Rows: []string{"F2", "S5"}, Build: verify.Release, Needs: []string{verify.Deliveries, replays},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			if err := sentAgain(ctx, w); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// captured is an event of an order that is settled.
type captured struct {
	deal
	event, kind string
	settled     ending
}

// refundEvent is the type of the event by which each provider says that money
// went back.
var refundEvent = map[string]string{twin.Stripe: "charge.refunded", twin.PayPal: "PAYMENT.CAPTURE.REFUNDED", twin.Flutterwave: "refund.completed"}

func sentAgain(ctx context.Context, w *verify.World) error {
	kept, err := capturedEvents(ctx, w)
	if err != nil {
		return err
	}
	rows, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE class <> 'reply'`)
	if err != nil {
		return err
	}
	var passed time.Duration
	for _, age := range ages {
		if err := w.Advance(ctx, age-passed); err != nil {
			return err
		}
		passed = age
		for _, signed := range []time.Duration{age, 0} {
			if err := w.SignedAgo(ctx, signed); err != nil {
				return err
			}
			for _, c := range kept {
				answers, err := w.Redeliver(ctx, c.event, 2, w.Instances...)
				if err != nil {
					return err
				}
				want := http.StatusOK
				if c.provider == twin.Stripe && signed > 0 {
					want = http.StatusBadRequest
				}
				for _, a := range answers {
					w.Check(a.Status == want, "%s of %s ago, signed %s ago, was answered %d %s", c.kind, age, signed, a.Status, a.Answer)
				}
				w.Count(replays, len(answers))
			}
			// What is said again is asked for again, once in ten seconds.
			if err := passTime(ctx, w, 11*time.Second, 3); err != nil {
				return err
			}
		}
		for _, c := range kept {
			now, err := endingOf(ctx, w, c.order)
			if err != nil {
				return err
			}
			w.Check(reflect.DeepEqual(now, c.settled), "%s sent again after %s turned %+v into %+v", c.kind, age, c.settled, now)
		}
	}
	now, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE class <> 'reply'`)
	w.Check(now == rows, "%d events became %d by being sent again", rows, now)
	return err
}

// capturedEvents settles two orders with each provider, one of which is given
// back, and keeps what the provider said of them.
func capturedEvents(ctx context.Context, w *verify.World) ([]captured, error) {
	var kept []captured
	for _, p := range verify.Providers {
		for _, back := range []bool{false, true} {
			d, err := newDeal(ctx, w, p)
			if err == nil {
				err = d.settled(ctx, w)
			}
			if err != nil {
				return nil, err
			}
			kind := paidEvent[p]
			if back {
				kind = refundEvent[p]
				a := w.Refund(ctx, w.Instances[0], d.order)
				w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
				if err := w.Reaches(ctx, d.order, "refunded"); err != nil {
					return nil, err
				}
			}
			event := ""
			if err := w.Until(ctx, p+" says "+kind, func() (bool, error) {
				events, err := w.Twin.Events(ctx, twin.EventFilter{Type: kind, Ref: d.ref})
				if len(events) > 0 {
					event = events[len(events)-1].ID
				}
				return len(events) > 0, err
			}); err != nil {
				return nil, err
			}
			kept = append(kept, captured{deal: d, event: event, kind: kind})
		}
	}
	if err := w.Twin.Quiet(ctx, w.Patience); err != nil {
		return nil, err
	}
	if err := atRest(ctx, w); err != nil {
		return nil, err
	}
	for i := range kept {
		var err error
		if kept[i].settled, err = endingOf(ctx, w, kept[i].order); err != nil {
			return nil, err
		}
	}
	return kept, nil
}
