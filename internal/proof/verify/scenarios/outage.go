package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// What the server needs fails and comes back: the database, a provider, its own
// handler. Nothing that was acknowledged is lost, nothing happens twice, and what
// cannot be applied waits for a person.
var w05 = verify.Scenario{
	ID: "W05", Title: "the database, a provider and a handler fail, and come back", Severity: verify.Critical,
	Rows: []string{"F2", "X2"}, Build: verify.Proof,
	Needs: []string{verify.FaultsFired, verify.Indeterminate, verify.Overlapping},
	Quick: 1, Full: 4,
	Run: func(ctx context.Context, w *verify.World) error {
		for round := range w.Rounds {
			for _, part := range []struct {
				name string
				run  func(context.Context, *verify.World, int) error
			}{{"database", databaseAway}, {"commit", commitsLost}, {"provider", providerAway}, {"poison", poisoned}} {
				if w.Focus != "" && w.Focus != part.name {
					continue
				}
				if err := part.run(ctx, w, round); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

// pages opens an order with each provider.
func pages(ctx context.Context, w *verify.World) (map[string]uuid.UUID, error) {
	out := map[string]uuid.UUID{}
	for _, p := range verify.Providers {
		_, orderID, err := w.NewOrderBy(ctx, p, 1)
		if err != nil {
			return nil, err
		}
		out[p] = orderID
	}
	return out, nil
}

// cable replaces the instances by two whose way to the database can be cut.
func cable(ctx context.Context, w *verify.World, name string, faults ...string) (*verify.Line, error) {
	line, err := w.DatabaseLine(ctx)
	if err != nil {
		return nil, err
	}
	var fresh []*verify.Instance
	for n := range 2 {
		i, err := w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("%s-%d", name, n), Faults: faults, Database: line})
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, i)
	}
	replaceAll(w, fresh...)
	return line, nil
}

// databaseAway cuts the database off for ten seconds while payers pay. No event is
// acknowledged meanwhile, and no client is told anything that does not hold.
func databaseAway(ctx context.Context, w *verify.World, round int) error {
	line, err := cable(ctx, w, fmt.Sprintf("cable-%d", round))
	if err != nil {
		return err
	}
	orders, err := pages(ctx, w)
	if err != nil {
		return err
	}
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	cart, key := w.Cart(2), fmt.Sprintf("w05-%d", round)
	line.Cut()
	w.Count(verify.FaultsFired, 1)
	for _, p := range verify.Providers {
		if _, err := w.Pay(ctx, orders[p], twin.PayRequest{}); err != nil {
			return err
		}
	}
	a := w.Checkout(ctx, w.Instances[0], b, key, cart)
	w.Check(a.Status == http.StatusServiceUnavailable, "without a database a checkout was answered %s", a)
	for _, p := range []string{twin.Stripe, twin.Flutterwave} {
		page, err := w.Page(ctx, orders[p])
		if err != nil {
			return err
		}
		events, err := w.Twin.Events(ctx, twin.EventFilter{Ref: page.Ref})
		if err != nil {
			return err
		}
		answers, err := w.Redeliver(ctx, events[0].ID, 2, w.Instances...)
		if err != nil {
			return err
		}
		for _, d := range answers {
			w.Check(d.Status == http.StatusServiceUnavailable, "without a database an event of %s was answered %d %s", p, d.Status, d.Answer)
		}
	}
	if err := w.Advance(ctx, 10*time.Second); err != nil {
		return err
	}
	line.Restore()
	// The client asks again, and so do the providers.
	if _, err := w.Order(ctx, b, key, cart, w.Instances...); err != nil {
		return err
	}
	if err := w.Twin.RetryNow(ctx); err != nil {
		return err
	}
	for _, p := range verify.Providers {
		if err := w.Reaches(ctx, orders[p], "paid"); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return atRest(ctx, w)
}

// commitsLost loses the connection in the middle of the transaction that applies
// a payment: once before its commit, once after it, when the reply is on its way
// and nobody knows.
func commitsLost(ctx context.Context, w *verify.World, round int) error {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	line, err := cable(ctx, w, fmt.Sprintf("commit-%d", round), hold.At("settle.before_commit"))
	if err != nil {
		return err
	}
	for _, before := range []bool{true, false} {
		_, orderID, err := w.NewOrder(ctx, 1)
		if err != nil {
			return err
		}
		if _, err := w.Pay(ctx, orderID, twin.PayRequest{}); err != nil {
			return err
		}
		if hold.Await(ctx, 1, w.Patience) == 0 {
			return errors.New("the fault did not fire")
		}
		if before {
			line.Cut()
			end := passing(hold)
			line.Restore()
			w.Count(verify.FaultsFired, 1)
			err = w.Reaches(ctx, orderID, "paid")
			end()
		} else {
			lost := line.LoseCommits()
			hold.Release()
			err = w.Until(ctx, "the reply to a commit is lost", func() (bool, error) { return line.Lost() > 0, nil })
			w.Count(verify.FaultsFired, lost())
			end := passing(hold)
			if err == nil {
				err = w.Reaches(ctx, orderID, "paid")
			}
			if err == nil {
				err = atRest(ctx, w)
			}
			end()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	inLine   = 6                // so many replies lost in a row make a breaker open, and one more
	aloneFor = 16 * time.Second // it stays open, and a bit
)

// providerAway cuts PayPal off. What it said waits and is not given up, it is left
// alone, and the other providers' payments go on.
func providerAway(ctx context.Context, w *verify.World, round int) error {
	line, err := w.ProviderLine(ctx)
	if err != nil {
		return err
	}
	only, err := w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("alone-%d", round), PayPal: line})
	if err != nil {
		return err
	}
	replaceAll(w, only)
	// A first one, so that PayPal's certificate is known.
	_, known, err := w.NewOrderBy(ctx, twin.PayPal, 1)
	if err == nil {
		_, err = w.Pay(ctx, known, twin.PayRequest{})
	}
	if err == nil {
		err = w.Reaches(ctx, known, "paid")
	}
	if err == nil {
		err = atRest(ctx, w)
	}
	if err != nil {
		return err
	}
	orders := make([]uuid.UUID, inLine)
	events := make([]string, inLine)
	for n := range orders {
		if _, orders[n], err = w.NewOrderBy(ctx, twin.PayPal, 1); err != nil {
			return err
		}
		approved, err := w.Pay(ctx, orders[n], silent)
		if err != nil {
			return err
		}
		if events[n], err = w.EventOf(ctx, approved.Page.Ref, "CHECKOUT.ORDER.APPROVED"); err != nil {
			return err
		}
	}
	line.Cut()
	w.Count(verify.FaultsFired, 1)
	for _, e := range events {
		if err := arrives(ctx, w, e); err != nil {
			return err
		}
	}
	err = w.Until(ctx, "PayPal is left alone", func() (bool, error) { return line.Refused() >= inLine-1, nil })
	if err != nil {
		return err
	}
	// By the leases that were taken: the poller, whose orders are due as well,
	// calls on its own.
	const fetches = `SELECT coalesce(sum(term), 0)::int FROM inbox WHERE provider = 'paypal' AND class = 'pointer'`
	tried, err := w.Int(ctx, fetches)
	if err != nil {
		return err
	}
	for range 3 {
		if err := w.Advance(ctx, time.Minute); err != nil {
			return err
		}
		for _, p := range []string{twin.Stripe, twin.Flutterwave} {
			_, orderID, err := w.NewOrderBy(ctx, p, 1)
			if err == nil {
				_, err = w.Pay(ctx, orderID, twin.PayRequest{})
			}
			if err == nil {
				err = w.Reaches(ctx, orderID, "paid")
			}
			if err != nil {
				return fmt.Errorf("while PayPal is away, %s: %w", p, err)
			}
		}
	}
	// An open page is no business of the breaker's: a buyer may still ask for one.
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	cart := w.Cart(1).By(twin.PayPal)
	a := w.Checkout(ctx, only, b, "w05-away", cart)
	w.Check(a.Status == http.StatusServiceUnavailable, "a checkout with a provider that is away was answered %s", a)
	counted, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE provider = 'paypal' AND state = 'dead' OR attempts > 0 AND state IN ('received', 'failed', 'fetching')`)
	if err != nil {
		return err
	}
	w.Check(counted == 0, "%d events were given up, or counted a try, because nobody answered", counted)
	more, err := w.Int(ctx, fetches)
	if err != nil {
		return err
	}
	w.Check(more-tried < inLine, "a provider that is away was asked about its events %d times more", more-tried)
	line.Restore()
	if round%2 == 0 {
		// A fresh process knows nothing of the outage.
		fresh, err := w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("fresh-%d", round), PayPal: line})
		if err != nil {
			return err
		}
		replaceAll(w, fresh)
	} else {
		verify.Wait(ctx, aloneFor) // the one that left PayPal alone tries again
	}
	if err := errors.Join(w.AdvanceJobs(ctx, time.Hour), w.EndLeaders(ctx), w.Advance(ctx, 2*time.Minute)); err != nil {
		return err
	}
	if _, err := w.Order(ctx, b, "w05-away", cart, w.Instances...); err != nil {
		return err
	}
	for _, orderID := range orders {
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			return err
		}
	}
	return atRest(ctx, w)
}

// poison makes the database refuse chosen payments, as a fault of our own would.
const poison = `
	CREATE TABLE IF NOT EXISTS scratch_poison (payment_id text PRIMARY KEY);
	CREATE OR REPLACE FUNCTION scratch_poison() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
	  IF EXISTS (SELECT FROM scratch_poison p WHERE p.payment_id = NEW.payment_id) THEN
	    RAISE EXCEPTION 'this payment cannot be stored';
	  END IF;
	  RETURN NEW;
	END $$;
	CREATE OR REPLACE TRIGGER scratch_poison BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION scratch_poison()`

// poisoned has a handler that fails for some events: in a batch with others they
// are found and put off, and the others apply. One fails for a while only and is
// tried again; one for longer than an hour, and then it waits for an operator,
// whose button works once.
func poisoned(ctx context.Context, w *verify.World, round int) error {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	drain, err := w.Launch(ctx, verify.Launch{
		Name: fmt.Sprintf("drain-%d", round), Faults: []string{hold.At("inbox.before_apply")}, Env: []string{verify.StoreFirst},
	})
	if err != nil {
		return err
	}
	replaceAll(w, drain)
	if _, err := w.DB.Exec(ctx, poison); err != nil {
		return err
	}
	// One opens the batch, five are in it. Two of them are poison.
	const batch = 6
	orders := make([]uuid.UUID, batch)
	events := make([]string, batch)
	payments := make([]string, batch)
	for n := range orders {
		if _, orders[n], err = w.NewOrder(ctx, 1); err != nil {
			return err
		}
		paid, err := w.Pay(ctx, orders[n], silent)
		if err != nil {
			return err
		}
		payments[n] = paid.Payment
		if events[n], err = w.EventOf(ctx, paid.Page.Ref, "payment_intent.succeeded"); err != nil {
			return err
		}
	}
	short, long := 2, 4
	for _, n := range []int{short, long} {
		if _, err := w.DB.Exec(ctx, `INSERT INTO scratch_poison VALUES ($1)`, payments[n]); err != nil {
			return err
		}
		// Nobody else is to find out about it.
		if _, err := w.DB.Exec(ctx, `UPDATE open_orders SET next_check_at = app_now() + interval '1 day' WHERE order_id = $1`, orders[n]); err != nil {
			return err
		}
	}
	if _, err := w.Redeliver(ctx, events[0], 1, drain); err != nil {
		return err
	}
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return errors.New("the fault did not fire")
	}
	for _, e := range events[1:] {
		if err := arrives(ctx, w, e); err != nil {
			return err
		}
	}
	end := passing(hold)
	defer end()
	for n, orderID := range orders {
		if n == short || n == long {
			continue
		}
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			return fmt.Errorf("beside poison: %w", err)
		}
	}
	stands := func(event, state string) error {
		return w.Until(ctx, "the event is "+state, func() (bool, error) {
			n, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE event_id = $1 AND state = $2`, event, state)
			return n == 1, err
		})
	}
	if err := errors.Join(stands(events[short], "failed"), stands(events[long], "failed")); err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 2)
	// The handler is good again for one of them.
	if _, err := w.DB.Exec(ctx, `DELETE FROM scratch_poison WHERE payment_id = $1`, payments[short]); err != nil {
		return err
	}
	if err := w.Advance(ctx, time.Minute); err != nil {
		return err
	}
	if err := w.Reaches(ctx, orders[short], "paid"); err != nil {
		return err
	}
	// For the other one it is not, for more than an hour.
	if err := w.Advance(ctx, 61*time.Minute); err != nil {
		return err
	}
	if err := stands(events[long], "dead"); err != nil {
		return err
	}
	other, err := w.Start(ctx, fmt.Sprintf("other-%d", round))
	if err != nil {
		return err
	}
	w.Instances = []*verify.Instance{drain, other}
	return replayed(ctx, w, events[long], payments[long], orders[long])
}

// replayed is the operator's part.
func replayed(ctx context.Context, w *verify.World, event, payment string, orderID uuid.UUID) error {
	const queue = "/api/v1/operator/inbox"
	var rowID uuid.UUID
	if err := w.DB.QueryRow(ctx, `SELECT id FROM inbox WHERE event_id = $1`, event).Scan(&rowID); err != nil {
		return err
	}
	type stuck struct {
		ID      uuid.UUID
		EventID string `json:"event_id"`
		State   string
		Replays int
		Note    string
	}
	var list struct{ Items []stuck }
	a := w.Call(ctx, w.Instances[0], http.MethodGet, queue+"?state=dead", w.Operator, "", nil)
	if err := a.Into(&list); err != nil {
		return err
	}
	found := false
	for _, s := range list.Items {
		found = found || s.ID == rowID && s.EventID == event && s.State == "dead" && s.Note != ""
	}
	w.Check(found, "the operator's list does not show the event that was given up: %s", a)
	preview := func() (fails bool, changes int, err error) {
		var effect struct {
			Fails  bool
			Orders []struct{ After string }
		}
		a := w.Call(ctx, w.Instances[1], http.MethodPost, queue+"/"+rowID.String()+"/preview", w.Operator, "", nil)
		err = a.Into(&effect)
		return effect.Fails, len(effect.Orders), err
	}
	fails, _, err := preview()
	if err != nil {
		return err
	}
	w.Check(fails, "a preview of what still cannot be applied promises that it can")
	if _, err := w.DB.Exec(ctx, `DELETE FROM scratch_poison WHERE payment_id = $1`, payment); err != nil {
		return err
	}
	fails, changes, err := preview()
	if err != nil {
		return err
	}
	w.Check(!fails && changes == 1, "a preview says fails %t, and %d orders change", fails, changes)
	state, err := w.State(ctx, orderID)
	if err != nil {
		return err
	}
	w.Check(state == "awaiting_payment", "after previews the order is %s", state)
	// Two people press, and one of them does not trust the mouse.
	const presses = 8
	answers := make([]verify.Answer, presses)
	var once sync.Mutex
	taken := 0
	verify.All(presses, func(n int) {
		a := w.Call(ctx, w.Instances[n%len(w.Instances)], http.MethodPost, queue+"/"+rowID.String()+"/replay", w.Operator, "",
			map[string]any{"replays": 0, "reason": "mended"})
		w.Span("replay "+rowID.String(), a.From, a.To)
		once.Lock()
		defer once.Unlock()
		if a.Status == http.StatusOK {
			taken++
		}
		answers[n] = a
	})
	for _, a := range answers {
		w.Check(a.Status == http.StatusOK || a.Status == http.StatusConflict && a.Code() == "inbox.not_stuck", "a replay was answered %s", a)
	}
	w.Check(taken == 1, "%d of %d replays were taken", taken, presses)
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return err
	}
	again := w.Call(ctx, w.Instances[0], http.MethodPost, queue+"/"+rowID.String()+"/replay", w.Operator, "", map[string]any{"replays": 1, "reason": "again"})
	w.Check(again.Status == http.StatusConflict, "a replay of what was applied was answered %s", again)
	noted, err := w.Int(ctx, `SELECT count(*) FROM audit_log WHERE action = 'inbox.replay' AND subject = $1`, "inbox:"+rowID.String())
	w.Check(noted == 1, "%d replays stand in the audit log", noted)
	return err
}
