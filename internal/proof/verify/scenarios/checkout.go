package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const createPage = "POST /v1/checkout/sessions"

// The same request 64 times at once, to all instances: one order, one page, and
// the same bytes for everybody.
var c01 = verify.Scenario{
	ID: "C01", Title: "one request sent 64 times at once", Severity: verify.Critical,
	Rows: []string{"F1", "T1", "D1"}, Build: verify.Release, Needs: []string{verify.Requests, verify.Overlapping},
	Quick: 3, Full: 12,
	Run: func(ctx context.Context, w *verify.World) error {
		const clients = 64
		for round := range w.Rounds {
			b, err := w.Guest(ctx)
			if err != nil {
				return err
			}
			cart, key := w.Cart(1+round%3), fmt.Sprintf("c01-%d", round)
			answers := make([]verify.Answer, clients)
			errs := make([]error, clients)
			verify.All(clients, func(i int) {
				answers[i], errs[i] = w.Order(ctx, b, key, cart, w.Instances[i%len(w.Instances)])
			})
			w.Count(verify.Rounds, 1)
			for i, a := range answers {
				w.Check(errs[i] == nil, "request %d: %v", i, errs[i])
				w.Check(bytes.Equal(a.Body, answers[0].Body), "request %d was answered %s, and the first %s", i, a, answers[0])
			}
			pages, err := w.Twin.Sessions(ctx, twin.SessionFilter{ClientReferenceID: answers[0].Order().String()})
			if err != nil {
				return err
			}
			w.Check(len(pages) == 1, "%d pages for one request", len(pages))
		}
		counters, err := w.Twin.Counters(ctx)
		if err != nil {
			return err
		}
		w.Check(counters.Requests[createPage] == w.Rounds, "%d calls to the provider for %d requests", counters.Requests[createPage], w.Rounds)
		return w.PayAll(ctx)
	},
}

// One key for two requests: the second is refused and changes nothing.
var c02 = verify.Scenario{
	ID: "C02", Title: "one key, two requests", Severity: verify.High,
	Rows: []string{"F1", "D1"}, Build: verify.Release, Needs: []string{verify.Requests, verify.Overlapping},
	Quick: 4, Full: 20,
	Run: func(ctx context.Context, w *verify.World) error {
		for round := range w.Rounds {
			b, err := w.Guest(ctx)
			if err != nil {
				return err
			}
			key := fmt.Sprintf("c02-%d", round)
			one, other := w.Cart(1), w.Cart(3)
			first, err := w.Order(ctx, b, key, one, w.Instances...)
			if err != nil {
				return err
			}
			w.Check(first.Status == http.StatusCreated, "the first request was answered %s", first)
			before, err := w.Int(ctx, `SELECT count(*) FROM orders`)
			if err != nil {
				return err
			}
			second, err := w.Order(ctx, b, key, other, w.Instances...)
			if err != nil {
				return err
			}
			w.Check(second.Status == http.StatusUnprocessableEntity && second.Code() == "checkout.key_reused", "the second request was answered %s", second)
			again, err := w.Order(ctx, b, key, one, w.Instances...)
			if err != nil {
				return err
			}
			w.Check(bytes.Equal(again.Body, first.Body), "the first request again was answered %s, not %s", again, first)
			after, err := w.Int(ctx, `SELECT count(*) FROM orders`)
			if err != nil {
				return err
			}
			w.Check(after == before, "%d orders were made by refused requests", after-before)
			if err := sideBySide(ctx, w, key+"-race"); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		return w.PayAll(ctx)
	},
}

// sideBySide sends two different requests under one key at once: exactly one is
// taken.
func sideBySide(ctx context.Context, w *verify.World, key string) error {
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	carts := []verify.Cart{w.Cart(1), w.Cart(2)}
	answers := make([]verify.Answer, len(carts))
	errs := make([]error, len(carts))
	verify.All(len(carts), func(i int) {
		answers[i], errs[i] = w.Order(ctx, b, key, carts[i], w.Instances[i%len(w.Instances)])
	})
	statuses := []int{answers[0].Status, answers[1].Status}
	slices.Sort(statuses)
	w.Check(slices.Equal(statuses, []int{http.StatusCreated, http.StatusUnprocessableEntity}), "two requests with one key were answered %s and %s", answers[0], answers[1])
	return errors.Join(errs...)
}

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
		racers, hold, err := raceAt(ctx, w, "inbox.before_apply")
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

// raceAt replaces the instances by two that are held at a point.
func raceAt(ctx context.Context, w *verify.World, point string) ([]*verify.Instance, *verify.Barrier, error) {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return nil, nil, err
	}
	var racers []*verify.Instance
	for _, name := range []string{"X", "Y"} {
		i, err := w.Start(ctx, name, hold.At(point))
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
		event, err := w.EventOf(ctx, paid.Session.ID, "payment_intent.succeeded")
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
	if _, err := w.Twin.Expire(ctx, page.ID); err != nil {
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
	events, err := bothEvents(ctx, w, paid.Session.ID)
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
		return n == 0, err
	})
}

// The process dies between every two writes of a checkout. Either the client
// asks again with the same key and gets its one order, or nobody does, and the
// order is swept without leaving a page that can be paid.
var c04 = verify.Scenario{
	ID: "C04", Title: "killed at each point of a checkout", Severity: verify.Critical,
	Rows: []string{"F1", "T1"}, Build: verify.Proof,
	Needs: []string{verify.FaultsFired, verify.InFlight, verify.Indeterminate},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for range w.Rounds {
			for _, point := range []string{"checkout.after_open", "checkout.after_call", "checkout.after_page"} {
				for _, retries := range []bool{true, false} {
					if w.Focus != "" && w.Focus != point {
						continue
					}
					if err := killedCheckout(ctx, w, point, retries); err != nil {
						return fmt.Errorf("%s, retries %t: %w", point, retries, err)
					}
				}
			}
			if w.Focus == "" || w.Focus == "takeover" {
				if err := takenOver(ctx, w); err != nil {
					return fmt.Errorf("taken over: %w", err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return w.PayAll(ctx)
	},
}

// atOnce is how many buyers check out on the instance that will die.
const atOnce = 4

func killedCheckout(ctx context.Context, w *verify.World, point string, retries bool) error {
	survivor := w.Instances[0]
	victim, err := w.Start(ctx, "victim", verify.KillAt(point, 1+w.Rand.IntN(atOnce)))
	if err != nil {
		return err
	}
	buyers := make([]verify.Buyer, atOnce)
	carts := make([]verify.Cart, atOnce)
	for i := range buyers {
		if buyers[i], err = w.Guest(ctx); err != nil {
			return err
		}
		carts[i] = w.Cart(1 + i%3)
	}
	answers := make([]verify.Answer, atOnce)
	verify.All(atOnce, func(i int) { answers[i] = w.Checkout(ctx, victim, buyers[i], "c04", carts[i]) })
	if !victim.Died(ctx, w.Patience) {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	for _, a := range answers {
		if a.Status == 0 {
			w.Count(verify.InFlight, 1)
		}
	}
	// The dead process's lease runs out. What it left is then somebody else's.
	if err := w.Advance(ctx, 31*time.Second); err != nil {
		return err
	}
	if !retries {
		return swept(ctx, w)
	}
	for i, b := range buyers {
		a, err := w.Order(ctx, b, "c04", carts[i], survivor)
		if err != nil {
			return err
		}
		w.Check(a.Status == http.StatusCreated, "the request sent again was answered %s", a)
		if _, err := w.Page(ctx, a.Order()); err != nil {
			return err
		}
	}
	return nil
}

// swept lets the time pass after which somebody looks after forgotten orders.
func swept(ctx context.Context, w *verify.World) error {
	if err := w.Advance(ctx, 3*time.Minute); err != nil {
		return err
	}
	return w.Until(ctx, "forgotten orders are swept", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM orders WHERE state = 'created'`)
		return n == 0, err
	})
}

// takenOver stops a process in the middle of a checkout for longer than its
// lease. Another one takes the request over and answers; the order is paid. When
// the first one goes on, it must not say anything else.
func takenOver(ctx context.Context, w *verify.World) error {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	slow, err := w.Start(ctx, "slow", hold.At("checkout.after_call"))
	if err != nil {
		return err
	}
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	cart := w.Cart(2)
	late := make(chan verify.Answer, 1)
	go func() { late <- w.Checkout(ctx, slow, b, "c04-slow", cart) }()
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return errors.New("the fault did not fire")
	}
	slow.Pause()
	w.Count(verify.FaultsFired, 1)
	if err := w.Advance(ctx, 31*time.Second); err != nil {
		return err
	}
	a, err := w.Order(ctx, b, "c04-slow", cart, w.Instances[0])
	if err != nil {
		return err
	}
	w.Check(a.Status == http.StatusCreated, "the request taken over was answered %s", a)
	if _, err := w.Pay(ctx, a.Order(), twin.PayRequest{}); err != nil {
		return err
	}
	if err := w.Reaches(ctx, a.Order(), "paid"); err != nil {
		return err
	}
	slow.Resume()
	hold.Open()
	got := <-late
	w.Check(bytes.Equal(got.Body, a.Body), "the request that lost its key was answered %s, and its successor %s", got, a)
	slow.Kill()
	return nil
}

// The provider makes a page and its reply is cut: the same request again finds
// the same page.
var c05 = verify.Scenario{
	ID: "C05", Title: "the provider's reply is cut", Severity: verify.Critical,
	Rows: []string{"F1", "S1"}, Build: verify.Release, Needs: []string{verify.FaultsFired, verify.Indeterminate},
	Quick: 6, Full: 30,
	Run: func(ctx context.Context, w *verify.World) error {
		for round := range w.Rounds {
			b, err := w.Guest(ctx)
			if err != nil {
				return err
			}
			cut := 1 + round%2
			if err := w.Twin.Shoot(ctx, twin.Shot{Route: createPage, Fault: twin.CutReply, Times: cut}); err != nil {
				return err
			}
			a, err := w.Order(ctx, b, fmt.Sprintf("c05-%d", round), w.Cart(1+round%3), w.Instances...)
			if err != nil {
				return err
			}
			w.Check(a.Status == http.StatusCreated, "the request sent again was answered %s", a)
			w.Count(verify.Rounds, 1)
			if a.Order() == uuid.Nil {
				continue
			}
			if _, err := w.Page(ctx, a.Order()); err != nil {
				return err
			}
		}
		counters, err := w.Twin.Counters(ctx)
		if err != nil {
			return err
		}
		w.Count(verify.FaultsFired, counters.CutReplies)
		return w.PayAll(ctx)
	},
}

// The browser returns, the webhooks arrive and the poller asks at the same
// moment: all three are held with their news in hand and let go at once.
var c06 = verify.Scenario{
	ID: "C06", Title: "browser, webhook and poller bring one payment at once", Severity: verify.Critical,
	Rows: []string{"F1", "F2", "T1"}, Build: verify.Proof, Needs: []string{verify.Rounds, verify.FaultsFired, verify.Overlapping},
	Quick: 30, Full: 200,
	Run: func(ctx context.Context, w *verify.World) error {
		_, hold, err := raceAt(ctx, w, "inbox.before_apply")
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
	events, err := bothEvents(ctx, w, paid.Session.ID)
	if err != nil {
		return err
	}
	// The poller's turn has come for this order.
	if _, err := w.DB.Exec(ctx, `UPDATE open_orders SET next_check_at = app_now() WHERE order_id = $1`, orderID); err != nil {
		return err
	}
	returned := make(chan verify.Answer, 1)
	go func() {
		returned <- w.Call(ctx, w.Instances[1], http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refresh", b.Token, "", nil)
	}()
	if err := meet(ctx, w, hold, events, w.Instances); err != nil {
		return err
	}
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
