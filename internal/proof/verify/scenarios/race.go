package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// One cart in two tabs, with two keys: the older page is closed. The provider
// lets it be paid all the same, and all the news comes at once: the buyer has
// everything once, and the rest of the money goes back.
var c03 = verify.Scenario{
	ID: "C03", Title: "two tabs, and both pages are paid", Severity: verify.Critical,
	Rows: []string{"F1", "D1"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.Overlapping},
	Quick: 2, Full: 12,
	Run: func(ctx context.Context, w *verify.World) error {
		photo := w.Cart(1)
		whole := verify.Cart{Whole: true, Total: verify.PriceEvent}
		racers, hold, err := raceAt(ctx, w, newsInHand)
		if err != nil {
			return err
		}
		defer hold.Open()
		for round := range w.Rounds {
			for _, part := range []struct {
				name       string
				one, other verify.Cart
			}{{"photo", photo, photo}, {"event", whole, whole}, {"mixed", photo, whole}} {
				if w.Focus != "" && w.Focus != part.name {
					continue
				}
				if err := twoTabs(ctx, w, hold, racers, fmt.Sprintf("c03-%s-%d", part.name, round), part.one, part.other); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
			if w.Focus == "" {
				if err := acrossTabs(ctx, w, hold, racers, w.Rand.IntN(len(verify.Providers))); err != nil {
					return fmt.Errorf("across providers: %w", err)
				}
			}
			if w.Focus == "" || w.Focus == "again" {
				if err := paidAgain(ctx, w, hold, racers); err != nil {
					return fmt.Errorf("paid again: %w", err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		w.Count(verify.FaultsFired, hold.Arrived())
		return nil
	},
}

// newsInHand is the point at which news is claimed and nothing of it is applied.
const newsInHand = "inbox.before_apply"

// raceAt replaces the instances by two that are held at a point: newsInHand, or
// further on. They store events first, so that whoever sends one has its answer
// while its news is held; W01, W07 and Z01 race those that are fulfilled at once.
func raceAt(ctx context.Context, w *verify.World, point string) ([]*verify.Instance, *verify.Barrier, error) {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return nil, nil, err
	}
	var racers []*verify.Instance
	for _, name := range []string{"X", "Y"} {
		i, err := w.Launch(ctx, verify.Launch{Name: name, Faults: []string{hold.At(point)}, Env: []string{verify.StoreFirst}})
		if err != nil {
			return nil, nil, err
		}
		racers = append(racers, i)
	}
	for _, i := range w.Instances {
		i.Kill() // only the racers apply anything
	}
	w.Instances = racers
	w.Route(racers...)
	return racers, hold, nil
}

// letGo releases those that wait at a barrier at once, notes how many met, and
// lets everybody pass who comes until the returned function is called.
func letGo(ctx context.Context, w *verify.World, hold *verify.Barrier, want int) (end func()) {
	held := hold.Await(ctx, want, 1500*time.Millisecond)
	w.Count(verify.Overlapping, held*(held-1)/2)
	hold.Release()
	return passing(hold)
}

func passing(hold *verify.Barrier) (end func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				hold.Release()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

func twoTabs(ctx context.Context, w *verify.World, hold *verify.Barrier, racers []*verify.Instance, key string, one, other verify.Cart) error {
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	var orders []uuid.UUID
	end := passing(hold)
	for n, cart := range []verify.Cart{one, other} {
		a, err := w.Order(ctx, b, fmt.Sprintf("%s-%d", key, n), cart, racers...)
		if err != nil {
			end()
			return err
		}
		w.Check(a.Status == http.StatusCreated, "tab %d was answered %s", n, a)
		orders = append(orders, a.Order())
		if n == 0 && one.Whole == other.Whole {
			// The same cart again would be shown the same page, while it is open.
			if err := closePage(ctx, w, orders[0]); err != nil {
				end()
				return err
			}
		}
	}
	end()
	var events []string
	for _, orderID := range orders {
		pay := silent
		pay.Force = true
		paid, err := w.Pay(ctx, orderID, pay)
		if err != nil {
			return err
		}
		event, err := w.EventOf(ctx, paid.Page.Ref, "payment_intent.succeeded")
		if err != nil {
			return err
		}
		events = append(events, event)
	}
	if err := meet(ctx, w, hold, events, racers); err != nil {
		return err
	}
	defer letGo(ctx, w, hold, len(events))()
	return atRest(ctx, w)
}

// bothEvents are the two kinds of news of a page that was paid.
func bothEvents(ctx context.Context, w *verify.World, session string) ([]string, error) {
	intent, err := w.EventOf(ctx, session, "payment_intent.succeeded")
	if err != nil {
		return nil, err
	}
	completed, err := w.EventOf(ctx, session, "checkout.session.completed")
	return []string{intent, completed}, err
}

// meet sends one event to each racer, the next when the one before is held: else
// one of them might take both in one go.
func meet(ctx context.Context, w *verify.World, hold *verify.Barrier, events []string, racers []*verify.Instance) error {
	for n, event := range events {
		already := hold.Waiting()
		if _, err := w.Redeliver(ctx, event, 1, racers[n]); err != nil {
			return err
		}
		hold.Await(ctx, already+1, time.Second)
	}
	return nil
}

// closePage lets a page expire and waits until its order knows.
func closePage(ctx context.Context, w *verify.World, orderID uuid.UUID) error {
	page, err := w.Page(ctx, orderID)
	if err != nil {
		return err
	}
	if _, err := w.Twin.Expire(ctx, page.Ref); err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "expired")
}

// paidAgain pays one page twice, and both kinds of news of the second payment
// come at once.
func paidAgain(ctx context.Context, w *verify.World, hold *verify.Barrier, racers []*verify.Instance) error {
	end := passing(hold)
	_, orderID, err := w.NewOrder(ctx, 1)
	if err == nil {
		_, err = w.Pay(ctx, orderID, twin.PayRequest{})
	}
	if err == nil {
		err = w.Reaches(ctx, orderID, "paid")
	}
	if err == nil {
		err = atRest(ctx, w)
	}
	end()
	if err != nil {
		return err
	}
	pay := silent
	pay.Force = true
	paid, err := w.Pay(ctx, orderID, pay)
	if err != nil {
		return err
	}
	events, err := bothEvents(ctx, w, paid.Page.Ref)
	if err == nil {
		err = meet(ctx, w, hold, events, racers)
	}
	if err != nil {
		return err
	}
	defer letGo(ctx, w, hold, len(racers))()
	return atRest(ctx, w)
}

// atRest waits until all news is applied and all jobs are done.
func atRest(ctx context.Context, w *verify.World) error {
	return w.Until(ctx, "the news is applied", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored', 'dead'))
			+ (SELECT count(*) FROM river_job WHERE finalized_at IS NULL)`)
		if err == nil && n > 0 {
			err = w.DueJobs(ctx) // one that failed waits for its next try
		}
		return n == 0, err
	})
}

// The browser returns, the webhooks arrive and the poller asks at the same
// moment: all three are held with their news in hand and let go at once.
var c06 = verify.Scenario{
	ID: "C06", Title: "browser, webhook and poller bring one payment at once", Severity: verify.Critical,
	Rows: []string{"F1", "F2", "T1"}, Build: verify.Proof, Needs: []string{verify.Rounds, verify.FaultsFired, verify.Overlapping},
	Quick: 16, Full: 200,
	Run: func(ctx context.Context, w *verify.World) error {
		_, hold, err := raceAt(ctx, w, newsInHand)
		if err != nil {
			return err
		}
		defer hold.Open()
		for range w.Rounds {
			if err := finalise(ctx, w, hold); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		w.Count(verify.FaultsFired, hold.Arrived())
		twice, err := w.Int(ctx, `SELECT count(*) FROM (SELECT order_id FROM order_history WHERE state = 'paid' GROUP BY order_id HAVING count(*) > 1) t`)
		w.Check(twice == 0, "%d orders became paid more than once", twice)
		return err
	},
}

func finalise(ctx context.Context, w *verify.World, hold *verify.Barrier) error {
	b, orderID, err := w.NewOrder(ctx, 1+w.Rand.IntN(3))
	if err != nil {
		return err
	}
	paid, err := w.Pay(ctx, orderID, twin.PayRequest{Faults: []twin.Fault{twin.Silence}})
	if err != nil {
		return err
	}
	events, err := bothEvents(ctx, w, paid.Page.Ref)
	if err != nil {
		return err
	}
	if err := meet(ctx, w, hold, events, w.Instances); err != nil {
		return err
	}
	// Now that nobody is free to take their news along, the poller's turn comes
	// for this order, and the browser returns.
	if _, err := w.DB.Exec(ctx, `UPDATE open_orders SET next_check_at = app_now() WHERE order_id = $1`, orderID); err != nil {
		return err
	}
	returned := make(chan verify.Answer, 1)
	go func() {
		returned <- w.Call(ctx, w.Instances[1], http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refresh", b.Token, "", nil)
	}()
	// Two webhooks on two instances, the browser and the poller.
	defer letGo(ctx, w, hold, 4)()
	if a := <-returned; !w.Check(a.Status == http.StatusOK, "the browser's return was answered %s", a) {
		return nil
	}
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return err
	}
	return atRest(ctx, w)
}
