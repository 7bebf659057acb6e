package scenarios

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// Everything at once: buyers who pay, decline, pay too much, pay twice and give
// up, operators who refund, a provider that cuts, repeats, reorders and drops,
// and processes that are killed all the while. When the faults end, everything
// must heal.
var z01 = verify.Scenario{
	ID: "Z01", Title: "everything at once", Severity: verify.Critical,
	Rows: []string{"F1", "F2", "T1", "T2", "X2"}, Build: verify.Release,
	Needs: []string{verify.Requests, verify.FaultsFired, verify.InFlight, verify.Indeterminate},
	Quick: 6, Full: 40, // seconds
	Run: func(ctx context.Context, w *verify.World) error {
		err := w.Twin.SetFaults(ctx, twin.FaultSettings{Seed: w.Rand.Uint64(), Rates: twin.Rates{
			twin.CutReply: 0.05, twin.ErrorAfter: 0.03, twin.ErrorBefore: 0.04, twin.RateLimit: 0.04, twin.LockTimeout: 0.03,
			twin.PayExpired: 0.3, twin.RefundPending: 0.1,
			twin.Duplicate: 0.2, twin.Reorder: 0.2, twin.DelayEvent: 0.1,
		}})
		if err != nil {
			return err
		}
		// A job that failed late waits for its next try, and a machine at its limit
		// is slow: rest is far off at the end of this.
		w.Patience *= 3
		s := &storm{w: w}
		weather, calm := context.WithTimeout(ctx, time.Duration(w.Rounds)*time.Second)
		defer calm()
		var people sync.WaitGroup
		for range 8 {
			mine := rand.New(rand.NewPCG(w.Rand.Uint64(), w.Rand.Uint64()))
			people.Go(func() {
				for weather.Err() == nil {
					s.note(s.buy(ctx, mine))
				}
			})
		}
		mine := rand.New(rand.NewPCG(w.Rand.Uint64(), w.Rand.Uint64()))
		for weather.Err() == nil {
			if err := s.crash(ctx, weather, mine); err != nil {
				calm()
				people.Wait()
				return err
			}
		}
		people.Wait()
		if err := s.heal(ctx); err != nil {
			return err
		}
		return s.failed()
	},
}

type storm struct {
	w *verify.World

	mu     sync.Mutex
	living []*verify.Instance
	sold   []uuid.UUID
	errs   []error
	lives  int
}

// note keeps an error that is none of the storm's own.
func (s *storm) note(err error) {
	var refused *twin.ControlError
	if err == nil || errors.As(err, &refused) { // a page that is closed already, say
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func (s *storm) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *storm) instance(mine *rand.Rand) *verify.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.living == nil {
		s.living = s.w.Instances
	}
	return s.living[mine.IntN(len(s.living))]
}

// crash kills a process, and starts another in its place.
func (s *storm) crash(ctx, weather context.Context, mine *rand.Rand) error {
	victim := s.instance(mine)
	if !verify.Wait(weather, time.Duration(300+mine.IntN(700))*time.Millisecond) {
		return nil
	}
	if mine.IntN(3) == 0 {
		victim.Pause()
		verify.Wait(weather, time.Duration(mine.IntN(300))*time.Millisecond)
		victim.Resume()
		return nil
	}
	victim.Kill()
	s.w.Count(verify.FaultsFired, 1)
	return s.replace(ctx, victim)
}

func (s *storm) replace(ctx context.Context, dead ...*verify.Instance) error {
	for _, d := range dead {
		d.Kill()
		s.lives++
		fresh, err := s.w.Start(ctx, fmt.Sprintf("life-%d", s.lives))
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.living = slices.DeleteFunc(slices.Clone(s.living), func(i *verify.Instance) bool { return i == d })
		s.living = append(s.living, fresh)
		s.w.Instances = s.living
		s.w.Route(s.living...)
		s.mu.Unlock()
	}
	return nil
}

// ask sends a request to whoever lives, until it is answered or given up.
func (s *storm) ask(ctx context.Context, mine *rand.Rand, patience int, send func(*verify.Instance) verify.Answer) verify.Answer {
	var a verify.Answer
	for range patience {
		a = send(s.instance(mine))
		if a.Status == 0 {
			s.w.Count(verify.InFlight, 1)
		}
		if a.Status != 0 && a.Status < 500 && a.Status != http.StatusConflict && a.Status != http.StatusTooManyRequests {
			return a
		}
		verify.Wait(ctx, time.Duration(10+mine.IntN(60))*time.Millisecond)
	}
	return a
}

// buy is one buyer's visit.
func (s *storm) buy(ctx context.Context, mine *rand.Rand) error {
	b, err := s.w.Guest(ctx)
	if err != nil {
		return err
	}
	var tabs []verify.Answer
	for tab := range 1 + mine.IntN(2) {
		cart := s.w.Cart(1 + mine.IntN(4))
		if mine.IntN(6) == 0 {
			cart = verify.Cart{Whole: true, Total: verify.PriceEvent}
		}
		a := s.ask(ctx, mine, 1+mine.IntN(30), func(i *verify.Instance) verify.Answer {
			return s.w.Checkout(ctx, i, b, fmt.Sprintf("tab-%d", tab), cart)
		})
		if a.Page() != "" {
			tabs = append(tabs, a)
		}
	}
	for _, a := range tabs {
		orderID := a.Order()
		s.note(s.pay(ctx, mine, orderID, a.Page()))
		if mine.IntN(2) == 0 {
			s.ask(ctx, mine, 3, func(i *verify.Instance) verify.Answer {
				return s.w.Call(ctx, i, http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refresh", b.Token, "", nil)
			})
		}
	}
	return s.operate(ctx, mine)
}

// pay is what a payer does with a page that we named: nobody knows others.
func (s *storm) pay(ctx context.Context, mine *rand.Rand, orderID uuid.UUID, pageID string) error {
	if mine.IntN(8) == 0 {
		return nil // looked, and left
	}
	page, err := s.w.PageAt(ctx, pageID)
	if err != nil {
		return err
	}
	var pay twin.PayRequest
	switch mine.IntN(12) {
	case 0:
		pay.Amount = page.Amount + 300
	case 1:
		pay.Amount = page.Amount / 2
	case 2:
		pay.Method = twin.MethodDelayed
	case 3:
		pay.Method = twin.MethodDecline
	}
	if page.Status == twin.PageOpen && mine.IntN(5) == 0 {
		// Nobody tells us: the poller finds it. Of money on a page that is closed
		// only the provider can tell.
		pay.Faults = []twin.Fault{[]twin.Fault{twin.Drop, twin.Silence}[mine.IntN(2)]}
	}
	paid, err := s.w.Twin.Pay(ctx, page.Ref, pay)
	if err != nil {
		return err
	}
	switch paid.Outcome {
	case "processing":
		_, err = s.w.Twin.Finish(ctx, page.Ref, mine.IntN(2) == 0)
	case "declined":
		_, err = s.w.Twin.Pay(ctx, page.Ref, twin.PayRequest{})
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.sold = append(s.sold, orderID)
	s.mu.Unlock()
	if len(pay.Faults) == 0 && mine.IntN(8) == 0 { // the same page once more
		_, err = s.w.Twin.Pay(ctx, page.Ref, twin.PayRequest{Force: true})
	}
	return err
}

// operate is what an operator does now and then.
func (s *storm) operate(ctx context.Context, mine *rand.Rand) error {
	s.mu.Lock()
	var orderID uuid.UUID
	if len(s.sold) > 0 && mine.IntN(3) == 0 {
		orderID = s.sold[mine.IntN(len(s.sold))]
	}
	s.mu.Unlock()
	if orderID == uuid.Nil {
		return nil
	}
	s.w.Refund(ctx, s.instance(mine), orderID)
	given, err := s.w.Twin.Refunds(ctx)
	if err != nil || len(given) == 0 {
		return err
	}
	r := given[mine.IntN(len(given))]
	switch {
	case r.Status == "pending" && mine.IntN(2) == 0:
		_, err = s.w.Twin.MoveRefund(ctx, r.ID, []string{"succeeded", "failed", "canceled"}[mine.IntN(3)])
	case r.Status == "succeeded" && mine.IntN(10) == 0:
		_, err = s.w.Twin.MoveRefund(ctx, r.ID, "failed")
	}
	return err
}

// heal ends the faults and lets time pass, as it would overnight.
func (s *storm) heal(ctx context.Context) error {
	w := s.w
	if err := w.Twin.SetFaults(ctx, twin.FaultSettings{}); err != nil {
		return err
	}
	given, err := w.Twin.Refunds(ctx)
	if err != nil {
		return err
	}
	for _, r := range given {
		if r.Status == "pending" {
			if _, err := w.Twin.MoveRefund(ctx, r.ID, "succeeded"); err != nil {
				return err
			}
		}
	}
	for _, i := range s.living {
		i.Kill()
	}
	if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx)); err != nil {
		return err
	}
	if err := s.replace(ctx, slices.Clone(s.living)...); err != nil {
		return err
	}
	// Through the poller's first looks, and past the sweep of forgotten orders.
	for _, d := range []time.Duration{time.Minute, 3 * time.Minute, 6 * time.Minute, 16 * time.Minute} {
		if err := w.Advance(ctx, d); err != nil {
			return err
		}
		err := w.Until(ctx, "the poller has looked at everything that is due", func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM open_orders WHERE next_check_at <= app_now()`)
			return n == 0, err
		})
		if err != nil {
			return err
		}
	}
	if err := w.AdvanceJobs(ctx, time.Hour); err != nil {
		return err
	}
	return atRest(ctx, w)
}
