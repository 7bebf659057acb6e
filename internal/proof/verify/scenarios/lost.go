package scenarios

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const (
	droppedEvents = "webhooks_never_sent"
	orderMinutes  = "minutes_until_every_order_was_right"
	refundMinutes = "minutes_until_every_refund_was_right"
	// healed is how long anything may stay wrong.
	healed = 15 * time.Minute
)

// A tenth of the webhooks is never sent, and of Flutterwave's a third. Payments,
// approvals, failures, refunds and disputes nobody tells us of are found by
// asking, within a quarter of an hour of the provider's time.
var w08 = verify.Scenario{
	ID: "W08", Title: "webhooks that never come", Severity: verify.High,
	Rows: []string{"X2", "WS10"}, Build: verify.Release, Needs: []string{droppedEvents, orderMinutes, refundMinutes},
	Quick: 4, Full: 30, // orders of each kind
	Run: func(ctx context.Context, w *verify.World) error {
		if err := w.Twin.SetFaults(ctx, twin.FaultSettings{Seed: w.Rand.Uint64(), Rates: twin.Rates{twin.Drop: 0.1}}); err != nil {
			return err
		}
		if err := lostPayments(ctx, w); err != nil {
			return err
		}
		if err := lostRefunds(ctx, w); err != nil {
			return err
		}
		if err := lostDisputes(ctx, w); err != nil {
			return err
		}
		c, err := w.Twin.Counters(ctx)
		w.Count(droppedEvents, c.Dropped)
		return err
	},
}

// wait is something that is true at the provider since some time of its own, and
// has to become known.
type wait struct {
	what  string
	since time.Duration // of the scenario's time
	sql   string        // says whether it is known
	arg   any
	known bool
}

// vigil lets the provider's time pass and notes when what is waited for is known.
type vigil struct {
	w       *verify.World
	now     time.Duration
	waits   []*wait
	longest time.Duration
}

func (v *vigil) add(what, sql string, arg any) {
	v.waits = append(v.waits, &wait{what: what, since: v.now, sql: sql, arg: arg})
}

// step lets time pass and waits for whoever is due to have looked.
func (v *vigil) step(ctx context.Context, d time.Duration, calm func(context.Context) error) error {
	if d > 0 {
		if err := v.w.Advance(ctx, d); err != nil {
			return err
		}
		v.now += d
	}
	if err := calm(ctx); err != nil {
		return err
	}
	for _, x := range v.waits {
		if x.known {
			continue
		}
		if err := v.w.DB.QueryRow(ctx, x.sql, x.arg).Scan(&x.known); err != nil {
			return err
		}
		took := v.now - x.since
		if x.known {
			v.longest = max(v.longest, took)
		}
		v.w.Check(x.known || took <= healed, "%s: not known after %s", x.what, took)
	}
	return nil
}

func (v *vigil) done() bool {
	for _, x := range v.waits {
		if !x.known {
			return false
		}
	}
	return true
}

// lookers waits until those who ask providers have looked at everything that is
// due in a table, and what they heard is applied. Time must not pass meanwhile:
// they take milliseconds, in which the scenario lets minutes pass.
func lookers(w *verify.World, table string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := w.Twin.Quiet(ctx, w.Patience); err != nil {
			return err
		}
		due := 0
		err := w.Until(ctx, "everything that is due in "+table+" was looked at", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM `+table+` WHERE next_check_at <= app_now()`)
			due = max(due, n)
			return n == 0, err
		})
		if err == nil && due > 0 {
			err = asked(ctx, w)
		}
		if err != nil {
			return err
		}
		return atRest(ctx, w)
	}
}

// asked waits until the providers have not been asked anything for a moment: who
// looks at what is due asks about one after the other.
func asked(ctx context.Context, w *verify.World) error {
	last := -1
	for {
		c, err := w.Twin.Counters(ctx)
		if err != nil {
			return err
		}
		n := 0
		for _, each := range c.Requests {
			n += each
		}
		if n == last {
			return nil
		}
		last = n
		if !verify.Wait(ctx, 300*time.Millisecond) {
			return ctx.Err()
		}
	}
}

const (
	isPaid   = `SELECT state = 'paid' FROM orders WHERE id = $1`
	isFailed = `SELECT EXISTS (SELECT FROM payments WHERE order_id = $1 AND status = 'failed')`
)

// lostPayments has orders paid at once, some minutes later, slowly, and not at all.
func lostPayments(ctx context.Context, w *verify.World) error {
	v := &vigil{w: w}
	var slow, hesitant []deal
	for n := range w.Rounds {
		for _, p := range verify.Providers {
			d, err := newDeal(ctx, w, p)
			if err != nil {
				return err
			}
			pay := twin.PayRequest{}
			if p == twin.Flutterwave && n%3 == 0 || n == 0 {
				pay = silent // one of each at least, and a third of Flutterwave's
			}
			switch n % 4 {
			case 1:
				hesitant = append(hesitant, d)
				continue
			case 2:
				pay.Method = twin.MethodDelayed
				slow = append(slow, d)
			case 3:
				// Declined for good: PayPal says so by an event, the others by two.
				pay.Method = map[string]string{twin.PayPal: twin.MethodDenied, twin.Flutterwave: twin.MethodDenied}[p]
			}
			if err := d.pay(ctx, w, pay); err != nil {
				return err
			}
			switch {
			case n%4 == 0, n%4 == 3 && p == twin.Stripe:
				v.add(p+", paid", isPaid, d.order)
			case n%4 == 3 && p == twin.PayPal:
				v.add(p+", denied", isFailed, d.order)
			}
		}
	}
	calm := lookers(w, "open_orders")
	if err := v.step(ctx, 0, calm); err != nil {
		return err
	}
	for n := range 60 {
		// Flutterwave's mobile money ends by itself between four and ten minutes
		// from now; the others' slow money here.
		if n == 4 {
			for i, d := range slow {
				if d.provider == twin.Flutterwave {
					continue
				}
				faults := []twin.Fault{}
				if i%2 == 0 {
					faults = append(faults, twin.Silence)
				}
				if _, err := w.Twin.Finish(ctx, d.ref, i%4 < 2, faults...); err != nil {
					return fmt.Errorf("%s: %w", d.provider, err)
				}
				v.add(d.provider+", slowly", map[bool]string{true: isPaid, false: isFailed}[i%4 < 2], d.order)
			}
			for i := range hesitant {
				d := &hesitant[i]
				if err := d.pay(ctx, w, silent); err != nil {
					return err
				}
				v.add(d.provider+", paid after two minutes", isPaid, d.order)
			}
		}
		if n == 20 {
			if err := v.mobileMoney(ctx, slow); err != nil {
				return err
			}
		}
		if err := v.step(ctx, 30*time.Second, calm); err != nil {
			return err
		}
		if n > 20 && v.done() {
			break
		}
	}
	w.Check(v.done(), "not every order was right at the end")
	w.Count(orderMinutes, minutes(v.longest))
	return nil
}

// mobileMoney adds the payments that have come by now, each since its own time.
func (v *vigil) mobileMoney(ctx context.Context, slow []deal) error {
	state, err := v.w.Twin.State(ctx)
	if err != nil {
		return err
	}
	l, err := v.w.Twin.Ledger(ctx)
	if err != nil {
		return err
	}
	for _, d := range slow {
		for _, e := range l.Entries {
			if d.provider == twin.Flutterwave && e.Ref == d.ref && e.Kind == twin.EntryCharge {
				v.add(d.provider+", mobile money", isPaid, d.order)
				v.waits[len(v.waits)-1].since -= state.Clock.Now.Sub(e.At)
			}
		}
	}
	return nil
}

func minutes(d time.Duration) int { return int(math.Ceil(d.Minutes())) }

// lostRefunds gives money back that is on its way for a while, and tells nobody
// when it has arrived, or failed.
func lostRefunds(ctx context.Context, w *verify.World) error {
	v := &vigil{w: w}
	var sold []deal
	for _, p := range verify.Providers {
		for range 2 {
			d, err := newDeal(ctx, w, p)
			if err == nil {
				err = d.pay(ctx, w, twin.PayRequest{})
			}
			if err == nil {
				a := d.refresh(ctx, w, w.Instances[0])
				w.Check(a.Status == http.StatusOK, "a browser's return was answered %s", a)
				err = w.Reaches(ctx, d.order, "paid")
			}
			if err != nil {
				return err
			}
			sold = append(sold, d)
		}
	}
	if err := w.Twin.SetFaults(ctx, twin.FaultSettings{Seed: w.Rand.Uint64(), Rates: twin.Rates{twin.RefundPending: 1}}); err != nil {
		return err
	}
	for _, d := range sold {
		a := w.Refund(ctx, w.Instances[0], d.order)
		w.Check(a.Status == http.StatusAccepted, "a refund was answered %s", a)
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	given, err := w.Twin.Refunds(ctx)
	if err != nil {
		return err
	}
	for i, r := range given {
		if r.Status != "pending" {
			continue
		}
		to := []string{"succeeded", "failed"}[i%2]
		if _, err := w.Twin.MoveRefund(ctx, r.ID, to, twin.Silence); err != nil {
			return err
		}
		v.add(r.Provider+", a refund that "+to, `SELECT EXISTS (SELECT FROM refunds WHERE refund_id = $1 AND status <> 'pending')`, r.ID)
	}
	calm := lookers(w, "open_refunds")
	for !v.done() && v.now < 2*healed {
		if err := v.step(ctx, 2*time.Minute, calm); err != nil {
			return err
		}
	}
	w.Check(v.done() && len(v.waits) == len(sold), "not every refund was right at the end: %d of %d", len(v.waits), len(sold))
	w.Count(refundMinutes, minutes(v.longest))
	return w.Twin.SetFaults(ctx, twin.FaultSettings{})
}

// lostDisputes opens a chargeback at Flutterwave, which need not tell: it is asked
// every ten minutes by each instance, and soon after its start.
func lostDisputes(ctx context.Context, w *verify.World) error {
	d, err := newDeal(ctx, w, twin.Flutterwave)
	if err == nil {
		err = d.settled(ctx, w)
	}
	if err != nil {
		return err
	}
	if _, err := w.Twin.OpenDispute(ctx, twin.DisputeOrder{Payment: d.payment, Faults: []twin.Fault{twin.Silence}}); err != nil {
		return err
	}
	fresh, err := w.Start(ctx, "fresh")
	if err != nil {
		return err
	}
	if err := w.Reaches(ctx, d.order, "disputed"); err != nil {
		return err
	}
	if err := atRest(ctx, w); err != nil {
		return err
	}
	fresh.Kill()
	return nil
}
