package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// silent is a payment whose webhooks the scenario sends itself.
var silent = twin.PayRequest{Faults: []twin.Fault{twin.Silence}}

// One event a hundred times at once, to all instances.
var w01 = verify.Scenario{
	ID: "W01", Title: "one event a hundred times", Severity: verify.Critical,
	Rows: []string{"F2", "T2", "X2", "D2"}, Build: verify.Release, Needs: []string{verify.Deliveries, verify.Overlapping},
	Quick: 3, Full: 15,
	Run: func(ctx context.Context, w *verify.World) error {
		for round := range w.Rounds {
			_, orderID, err := w.NewOrder(ctx, 1+round%3)
			if err != nil {
				return err
			}
			paid, err := w.Pay(ctx, orderID, silent)
			if err != nil {
				return err
			}
			kind := []string{"checkout.session.completed", "payment_intent.succeeded"}[round%2]
			event, err := w.EventOf(ctx, paid.Page.Ref, kind)
			if err != nil {
				return err
			}
			answers, err := w.Redeliver(ctx, event, 100/len(w.Instances), w.Instances...)
			if err != nil {
				return err
			}
			for _, a := range answers {
				w.Check(a.Status == http.StatusOK, "a sending of %s was answered %d %s", kind, a.Status, a.Answer)
			}
			if err := w.Reaches(ctx, orderID, "paid"); err != nil {
				return err
			}
			rows, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE event_id = $1`, event)
			if err != nil {
				return err
			}
			w.Check(rows == 1, "one event has %d rows", rows)
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// points of an event's way at which the process dies, in its order: where it is
// fulfilled with its receipt, and where it is stored first.
var points = []struct {
	name       string
	storeFirst bool
}{
	{"inbox.before_store", false},
	{"inbox.before_fulfil", false},
	{"settle.after_grants", false},
	{"settle.after_ledger", false},
	{"settle.before_commit", false},
	{"inbox.in_fulfil", false},
	{"inbox.after_fulfil", false},
	{"inbox.in_store", true},
	{"inbox.after_store", true},
	{"webhook.before_answer", true},
	{"inbox.before_apply", true},
	{"settle.after_grants", true},
	{"settle.after_ledger", true},
	{"settle.before_commit", true},
	{"inbox.after_apply", true},
}

// The process dies at each point between the receipt of an event and its effect.
// The provider sends again what was not answered; everything happens once.
var w04 = verify.Scenario{
	ID: "W04", Title: "killed at each point of an event's way", Severity: verify.Critical,
	Rows: []string{"F2", "T2", "S5"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.InFlight},
	Quick: 1, Full: 5,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			for _, point := range points {
				if w.Focus != "" && w.Focus != point.name {
					continue
				}
				if err := killedOnTheWay(ctx, w, point.name, point.storeFirst); err != nil {
					return fmt.Errorf("%s: %w", point.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

func killedOnTheWay(ctx context.Context, w *verify.World, point string, storeFirst bool) error {
	survivor := w.Instances[0]
	_, orderID, err := w.NewOrder(ctx, 1)
	if err != nil {
		return err
	}
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	// Held first and killed from outside then, so that whatever else this
	// process would do before it dies, such as answering, it has time to do.
	as := verify.Launch{Name: "victim", Faults: []string{hold.At(point)}}
	if storeFirst {
		as.Env = []string{verify.StoreFirst}
	}
	victim, err := w.Launch(ctx, as)
	if err != nil {
		return err
	}
	// Only the victim works, until it is dead.
	for _, i := range w.Instances {
		i.Pause()
		defer i.Resume()
	}
	w.Route(victim, survivor)
	if _, err := w.Pay(ctx, orderID, twin.PayRequest{}); err != nil {
		return err
	}
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	verify.Wait(ctx, 100*time.Millisecond) // for what it does beside what is held
	state, err := w.Twin.State(ctx)
	if err != nil {
		return err
	}
	open, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored', 'dead')`)
	if err != nil {
		return err
	}
	w.Count(verify.InFlight, state.Pending+open+hold.Waiting())
	victim.Kill()
	hold.Open()
	for _, i := range w.Instances {
		i.Resume()
	}
	w.Route(survivor)
	if err := w.Twin.RetryNow(ctx); err != nil {
		return err
	}
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return err
	}
	// And once more, whatever was sent before.
	events, err := w.Twin.Events(ctx, twin.EventFilter{Type: "checkout.session.completed"})
	if err != nil {
		return err
	}
	answers, err := w.Redeliver(ctx, events[len(events)-1].ID, 2, survivor)
	for _, a := range answers {
		w.Check(a.Status == http.StatusOK, "an event sent again was answered %d %s", a.Status, a.Answer)
	}
	return err
}

// Several kinds of events about one payment at once, and one that says that it
// failed, which is older than its success and arrives last.
var w07 = verify.Scenario{
	ID: "W07", Title: "several kinds of events for one payment", Severity: verify.Critical,
	Rows: []string{"F2", "S2"}, Build: verify.Release, Needs: []string{verify.Deliveries, verify.Overlapping},
	Quick: 10, Full: 60,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			_, orderID, err := w.NewOrder(ctx, 1+w.Rand.IntN(3))
			if err != nil {
				return err
			}
			declined := silent
			declined.Method = twin.MethodDecline
			if _, err := w.Pay(ctx, orderID, declined); err != nil {
				return err
			}
			paid, err := w.Pay(ctx, orderID, silent)
			if err != nil {
				return err
			}
			if err := together(ctx, w, orderID, paid.Page.Ref); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

func together(ctx context.Context, w *verify.World, orderID uuid.UUID, session string) error {
	kinds := []string{"payment_intent.succeeded", "checkout.session.completed", "charge.succeeded", "payment_intent.payment_failed"}
	late := w.Rand.IntN(2) == 0 // the failure comes last, or with the others
	errs := make([]error, len(kinds))
	send := func(n int) {
		event, err := w.EventOf(ctx, session, kinds[n])
		if err != nil {
			errs[n] = err
			return
		}
		from := time.Now()
		answers, err := w.Redeliver(ctx, event, 1, w.Instances[n%len(w.Instances)])
		errs[n] = err
		w.Span(session, from, time.Now())
		for _, a := range answers {
			w.Check(a.Status == http.StatusOK, "%s was answered %d %s", kinds[n], a.Status, a.Answer)
		}
	}
	atOnce := len(kinds)
	if late {
		atOnce--
	}
	verify.All(atOnce, send)
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return errors.Join(append(errs, err)...)
	}
	if late {
		send(len(kinds) - 1)
	}
	return errors.Join(errs...)
}
