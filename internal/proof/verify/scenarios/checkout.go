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
			pages, err := w.Pages(ctx, answers[0].Order())
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
			if w.Focus == "keyless" {
				break
			}
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
		if err := w.PayAll(ctx); err != nil {
			return err
		}
		return keyless(ctx, w)
	},
}
