package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// skew is how far two instances' clocks are off: as much as a signature may be
// old, so that the providers' own seconds decide.
const skew = 5 * time.Minute

// Instances whose clocks are five minutes ahead and behind, on machines at the
// two ends of the world's time, beside one that is right: signatures are judged by
// each one's own clock, on both sides; leases and expiry by the database's, the
// same for all; events by the clock on their wall.
var x05 = verify.Scenario{
	ID: "X05", Title: "clocks that are off, daylight saving, and events across zones", Severity: verify.Medium,
	Rows: []string{"U2"}, Build: verify.Proof, Needs: []string{verify.FaultsFired, verify.Deliveries, verify.Overlapping},
	Quick: 1, Full: 5,
	Run: func(ctx context.Context, w *verify.World) error {
		c := clocks{right: w.Instances[0]}
		var err error
		c.fast, err = w.Launch(ctx, verify.Launch{Name: "fast", Env: []string{"PROOFROOM_CLOCK_OFFSET=" + skew.String(), "TZ=Pacific/Kiritimati"}})
		if err != nil {
			return err
		}
		c.slow, err = w.Launch(ctx, verify.Launch{Name: "slow", Env: []string{"PROOFROOM_CLOCK_OFFSET=-" + skew.String(), "TZ=America/Los_Angeles"}})
		if err != nil {
			return err
		}
		for _, i := range w.Instances[1:] {
			i.Kill()
		}
		w.Instances = []*verify.Instance{c.right, c.fast, c.slow}
		w.Route(w.Instances...)
		if err := c.walls(ctx, w); err != nil {
			return err
		}
		for round := range w.Rounds {
			if err := errors.Join(c.signatures(ctx, w), c.requests(ctx, w, round), c.fetches(ctx, w), c.pages(ctx, w)); err != nil {
				return err
			}
			w.Count(verify.Rounds, 1)
		}
		return nil
	},
}

type clocks struct{ right, fast, slow *verify.Instance }

// signatures are five minutes old to one instance and five minutes ahead to the
// other, and a little less or more than that.
func (c clocks) signatures(ctx context.Context, w *verify.World) error {
	const bit = 30 * time.Second
	for _, tt := range []struct {
		at        *verify.Instance
		good, bad time.Duration // how far ahead the provider's own clock is
	}{{c.fast, bit, -bit}, {c.slow, -bit, bit}} {
		_, orderID, err := w.NewOrder(ctx, 1)
		if err != nil {
			return err
		}
		paid, err := w.Pay(ctx, orderID, silent)
		if err != nil {
			return err
		}
		event, err := w.EventOf(ctx, paid.Page.Ref, "payment_intent.succeeded")
		if err != nil {
			return err
		}
		for _, side := range []struct {
			ahead time.Duration
			want  int
		}{{tt.bad, http.StatusBadRequest}, {tt.good, http.StatusOK}} {
			if err := w.Sign(ctx, side.ahead); err != nil {
				return err
			}
			answers, err := w.Redeliver(ctx, event, 1, tt.at)
			if err != nil {
				return err
			}
			w.Count(verify.FaultsFired, 1)
			for _, a := range answers {
				w.Check(a.Status == side.want, "instance %s, signature %s ahead of the time: %d %s", tt.at.Name, side.ahead, a.Status, a.Answer)
			}
			rows, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE event_id = $1`, event)
			if err != nil {
				return err
			}
			w.Check(rows == 1 == (side.want == http.StatusOK), "instance %s, signature %s ahead of the time: %d rows", tt.at.Name, side.ahead, rows)
		}
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			return err
		}
	}
	if err := w.Sign(ctx, 0); err != nil {
		return err
	}
	// What is no matter of time to its provider is none to us.
	for n, p := range []string{twin.PayPal, twin.Flutterwave} {
		_, orderID, err := w.NewOrderBy(ctx, p, 1)
		if err != nil {
			return err
		}
		paid, err := w.Pay(ctx, orderID, silent)
		if err != nil {
			return err
		}
		event, err := w.EventOf(ctx, paid.Page.Ref, map[string]string{twin.PayPal: "CHECKOUT.ORDER.APPROVED", twin.Flutterwave: "charge.completed"}[p])
		if err != nil {
			return err
		}
		answers, err := w.Redeliver(ctx, event, 1, []*verify.Instance{c.fast, c.slow}[n])
		if err != nil {
			return err
		}
		w.Check(answers[0].Status == http.StatusOK, "a webhook of %s to an instance whose clock is off was answered %d %s", p, answers[0].Status, answers[0].Answer)
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			return err
		}
	}
	return nil
}

// requests are under way at one instance, and the same request comes to others
// whose clocks say that its lease is long over, or has not begun.
func (c clocks) requests(ctx context.Context, w *verify.World, round int) error {
	hold, err := w.NewBarrier(ctx)
	if err != nil {
		return err
	}
	defer hold.Open()
	holder, err := w.Start(ctx, fmt.Sprintf("holder-%d", round), hold.At("checkout.after_call"))
	if err != nil {
		return err
	}
	defer holder.Kill()
	b, err := w.Guest(ctx)
	if err != nil {
		return err
	}
	cart, key := w.Cart(2), fmt.Sprintf("x05-%d", round)
	first := make(chan verify.Answer, 1)
	go func() { first <- w.Checkout(ctx, holder, b, key, cart) }()
	if hold.Await(ctx, 1, w.Patience) == 0 {
		return errors.New("the fault did not fire")
	}
	w.Count(verify.FaultsFired, 1)
	for _, i := range []*verify.Instance{c.fast, c.slow, c.right} {
		a := w.Checkout(ctx, i, b, key, cart)
		w.Check(a.Status == http.StatusConflict && a.Code() == "checkout.running", "instance %s answered a request that is under way elsewhere with %s", i.Name, a)
	}
	term, err := w.Int(ctx, `SELECT max(term) FROM idempotency_keys WHERE actor_id = $1`, b.ID)
	if err != nil {
		return err
	}
	w.Check(term == 1, "a key whose lease runs was taken over %d times", term-1)
	hold.Open()
	a := <-first
	w.Check(a.Status == http.StatusCreated, "the first request was answered %s", a)
	again, err := w.Order(ctx, b, key, cart, c.fast)
	if err != nil {
		return err
	}
	w.Check(bytes.Equal(again.Body, a.Body), "the request again was answered %s, not %s", again, a)
	if _, err := w.Pay(ctx, a.Order(), twin.PayRequest{}); err != nil {
		return err
	}
	return w.Reaches(ctx, a.Order(), "paid")
}

// fetches are under way for a while: no instance takes one from another.
func (c clocks) fetches(ctx context.Context, w *verify.World) error {
	const route = "GET /paypal/v2/checkout/orders/{id}"
	_, orderID, err := w.NewOrderBy(ctx, twin.PayPal, 1)
	if err != nil {
		return err
	}
	approved, err := w.Pay(ctx, orderID, silent)
	if err != nil {
		return err
	}
	event, err := w.EventOf(ctx, approved.Page.Ref, "CHECKOUT.ORDER.APPROVED")
	if err != nil {
		return err
	}
	if err := w.Twin.Shoot(ctx, twin.Shot{Route: route, Fault: twin.Slow, Times: 1, Millis: 1200}); err != nil {
		return err
	}
	if _, err := w.Redeliver(ctx, event, 1, c.right); err != nil {
		return err
	}
	fetching := func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE event_id = $1 AND state = 'fetching'`, event)
		return n == 1, err
	}
	if err := w.Until(ctx, "the order is being asked about", fetching); err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	// The others look several times a second whether there is anything to do.
	verify.Wait(ctx, time.Second)
	still, err := fetching()
	if err != nil {
		return err
	}
	term, err := w.Int(ctx, `SELECT term FROM inbox WHERE event_id = $1`, event)
	if err != nil {
		return err
	}
	w.Check(still && term == 1, "a fetch whose lease runs was taken over %d times", term-1)
	return w.Reaches(ctx, orderID, "paid")
}

// pages that instances with other clocks open live as long as those of others.
func (c clocks) pages(ctx context.Context, w *verify.World) error {
	for _, i := range []*verify.Instance{c.fast, c.slow} {
		b, err := w.Guest(ctx)
		if err != nil {
			return err
		}
		a, err := w.Order(ctx, b, "x05-page", w.Cart(1), i)
		if err != nil {
			return err
		}
		var off int
		// By the database's clock, as the provider was told and as the poller will count.
		err = w.DB.QueryRow(ctx, `SELECT abs(extract(epoch FROM expires_at - created_at - interval '23 hours 30 minutes'))::int FROM attempts WHERE order_id = $1`, a.Order()).Scan(&off)
		if err != nil {
			return err
		}
		w.Check(off <= 2, "instance %s opened a page that lives %d s longer or shorter than it should", i.Name, off)
		page, err := w.Page(ctx, a.Order())
		if err != nil {
			return err
		}
		life := page.ExpiresAt.Sub(page.Created) - 23*time.Hour - 30*time.Minute
		w.Check(life.Abs() < time.Minute, "the provider was told that a page of instance %s lives %s longer", i.Name, life)
		if _, err := w.Pay(ctx, a.Order(), twin.PayRequest{}); err != nil {
			return err
		}
		if err := w.Reaches(ctx, a.Order(), "paid"); err != nil {
			return err
		}
	}
	return nil
}

// wall is a time as somebody enters it for an event, and what comes of it.
type wall struct {
	zone, entered string
	refused       string // the problem's code; empty: it is taken
	shown, at     string // what the event shows, and which moment that is
}

var wallTimes = []wall{
	// Clocks skip it.
	{"Europe/Lisbon", "2026-03-29T01:30", "event.time_skipped", "", ""},
	{"America/New_York", "2026-03-08T02:30", "event.time_skipped", "", ""},
	{"Australia/Lord_Howe", "2026-10-04T02:15", "event.time_skipped", "", ""}, // half an hour
	// It comes twice: asked about, and taken with the answer.
	{"Europe/Lisbon", "2026-10-25T01:30", "event.time_ambiguous", "", ""},
	{"Europe/Lisbon", "2026-10-25T01:30+01:00", "", "2026-10-25T01:30", "2026-10-25T00:30:00Z"},
	{"Europe/Lisbon", "2026-10-25T01:30+00:00", "", "2026-10-25T01:30", "2026-10-25T01:30:00Z"},
	{"Europe/Lisbon", "2026-10-25T01:30+02:00", "event.time_unreadable", "", ""},
	// Nowhere.
	{"Europe/Lisboa", "2026-06-12T18:30", "event.zone_unknown", "", ""},
	{"Local", "2026-06-12T18:30", "event.zone_unknown", "", ""},
	// Everywhere.
	{"Asia/Kathmandu", "2026-06-12T18:30", "", "2026-06-12T18:30", "2026-06-12T12:45:00Z"},
	{"America/St_Johns", "2026-07-01T20:00", "", "2026-07-01T20:00", "2026-07-01T22:30:00Z"},
	{"Pacific/Kiritimati", "2026-01-01T00:10", "", "2026-01-01T00:10", "2025-12-31T10:10:00Z"},
	{"America/Los_Angeles", "2026-11-01T00:30", "", "2026-11-01T00:30", "2026-11-01T07:30:00Z"}, // an hour before the clocks go back
}

// walls puts events up through every instance, and every other one shows them as
// they were entered.
func (c clocks) walls(ctx context.Context, w *verify.World) error {
	token, err := w.Creator(ctx, "traveller@example.com")
	if err != nil {
		return err
	}
	all := []*verify.Instance{c.right, c.fast, c.slow}
	for n, tt := range wallTimes {
		at := all[n%len(all)]
		day := tt.entered[:len("2026-01-01")]
		a := w.Call(ctx, at, http.MethodPost, "/api/v1/events", token, "", map[string]any{
			"title": "Wall clock " + uuid.NewString()[:8], "timezone": tt.zone, "starts_local": tt.entered, "ends_local": day + "T23:30",
			"currency": "EUR", "prices": map[string]any{"photo": 500},
		})
		what := tt.zone + " " + tt.entered
		if tt.refused != "" {
			w.Check(a.Status == http.StatusUnprocessableEntity && a.Code() == tt.refused, "%s was answered %s", what, a)
			continue
		}
		var event struct {
			ID, Slug string
		}
		if err := a.Into(&event); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := w.Call(ctx, at, http.MethodPost, "/api/v1/events/"+event.ID+"/publish", token, "", nil).Into(&event); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, i := range all {
			if err := shows(ctx, w, i, event.ID, tt); err != nil {
				return err
			}
			page := w.Call(ctx, i, http.MethodGet, "/e/"+event.Slug, "", "", nil)
			clock := tt.shown[len("2026-01-01T"):]
			w.Check(page.Status == http.StatusOK && bytes.Contains(page.Body, []byte(clock)) && bytes.Contains(page.Body, []byte(tt.zone)),
				"instance %s's page does not show %s as %s", i.Name, what, clock)
		}
	}
	for _, i := range all {
		err := shows(ctx, w, i, w.Event.String(), wall{"Europe/Lisbon", "", "", "2026-06-12T18:30", "2026-06-12T17:30:00Z"})
		if err != nil {
			return err
		}
	}
	return nil
}

func shows(ctx context.Context, w *verify.World, i *verify.Instance, eventID string, want wall) error {
	var got struct {
		Timezone    string
		StartsLocal string    `json:"starts_local"`
		StartsAt    time.Time `json:"starts_at"`
	}
	if err := w.Call(ctx, i, http.MethodGet, "/api/v1/events/"+eventID, "", "", nil).Into(&got); err != nil {
		return err
	}
	said := strings.Join([]string{got.Timezone, got.StartsLocal, got.StartsAt.UTC().Format(time.RFC3339)}, " ")
	w.Check(said == strings.Join([]string{want.zone, want.shown, want.at}, " "), "instance %s shows %s, entered as %s %s", i.Name, said, want.zone, want.entered)
	return nil
}
