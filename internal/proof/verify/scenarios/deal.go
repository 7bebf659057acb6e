package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// paidEvent is the type of the event by which each provider says that it took
// money.
var paidEvent = map[string]string{
	twin.Stripe: "payment_intent.succeeded", twin.PayPal: "PAYMENT.CAPTURE.COMPLETED", twin.Flutterwave: "charge.completed",
}

// deal is one order on its way.
type deal struct {
	provider string
	buyer    verify.Buyer
	cart     verify.Cart
	order    uuid.UUID
	ref      string // its page
	payment  string // once it is paid
}

// strike orders a cart as a buyer, and finds the page to pay it on.
func strike(ctx context.Context, w *verify.World, b verify.Buyer, cart verify.Cart, provider string) (deal, error) {
	d := deal{provider: provider, buyer: b, cart: cart.By(provider)}
	a, err := w.Order(ctx, b, "deal-"+id.Short(12), d.cart, w.Instances...)
	if err == nil && a.Status != http.StatusCreated {
		err = fmt.Errorf("a checkout with %s was answered %s", provider, a)
	}
	if err != nil {
		return d, err
	}
	d.order = a.Order()
	page, err := w.Page(ctx, d.order)
	d.ref = page.Ref
	return d, err
}

// newDeal is that of a new buyer over one photograph.
func newDeal(ctx context.Context, w *verify.World, provider string) (deal, error) {
	b, err := w.Guest(ctx)
	if err != nil {
		return deal{}, err
	}
	return strike(ctx, w, b, w.Cart(1), provider)
}

// pay pays a deal's page. At PayPal it is only agreed to then.
func (d *deal) pay(ctx context.Context, w *verify.World, r twin.PayRequest) error {
	paid, err := w.Twin.Pay(ctx, d.ref, r)
	d.payment = paid.Payment
	return err
}

// settled pays a deal and waits until the order is paid.
func (d *deal) settled(ctx context.Context, w *verify.World) error {
	if err := d.pay(ctx, w, twin.PayRequest{}); err != nil {
		return err
	}
	if err := w.Reaches(ctx, d.order, "paid"); err != nil {
		return fmt.Errorf("%s: %w", d.provider, err)
	}
	return d.find(ctx, w)
}

// find learns the provider's id of the payment.
func (d *deal) find(ctx context.Context, w *verify.World) error {
	page, err := w.PageAt(ctx, d.ref)
	if err == nil && len(page.Payments) == 0 {
		err = fmt.Errorf("nothing was paid on page %s of %s", d.ref, d.provider)
	}
	if err == nil {
		d.payment = page.Payments[len(page.Payments)-1]
	}
	return err
}

// refresh is a browser that comes back from paying.
func (d *deal) refresh(ctx context.Context, w *verify.World, i *verify.Instance) verify.Answer {
	return w.Call(ctx, i, http.MethodPost, "/api/v1/orders/"+d.order.String()+"/refresh", d.buyer.Token, "", nil)
}

// held is what the provider holds of a deal's money.
func (d *deal) held(ctx context.Context, w *verify.World) (sum int64, payments int, err error) {
	l, err := w.Twin.Ledger(ctx)
	for _, p := range l.Payments {
		if p.Ref == d.ref && p.Charges > 0 {
			sum += p.Charged - p.Refunded - p.Disputed
			payments++
		}
	}
	return sum, payments, err
}

// ending is where an order has come to: the same, whatever order its news came in.
type ending struct {
	State  string
	Live   int // grants that are not revoked
	Frozen int // of them
	Totals map[string]int64
}

func endingOf(ctx context.Context, w *verify.World, orderID uuid.UUID) (e ending, err error) {
	err = w.DB.QueryRow(ctx, `SELECT state, (SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND revoked_at IS NULL),
		(SELECT count(*) FROM entitlements e WHERE e.order_id = o.id AND revoked_at IS NULL AND frozen_at IS NOT NULL) FROM orders o WHERE id = $1`,
		orderID).Scan(&e.State, &e.Live, &e.Frozen)
	if err != nil {
		return e, err
	}
	got, err := w.DB.Query(ctx, `SELECT a.kind, sum(p.amount)::bigint FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
		JOIN ledger_entries e ON e.id = p.entry_id WHERE e.order_id = $1 GROUP BY a.kind HAVING sum(p.amount) <> 0`, orderID)
	if err != nil {
		return e, err
	}
	e.Totals = map[string]int64{}
	var kind string
	var sum int64
	_, err = pgx.ForEachRow(got, []any{&kind, &sum}, func() error {
		e.Totals[kind] = sum
		return nil
	})
	return e, err
}

// said waits until everything that can be applied now is applied. Rows that wait
// for others, or for their time, may be left.
func said(ctx context.Context, w *verify.World) error {
	return w.Until(ctx, "what was said is applied", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state = 'fetching' OR state IN ('received', 'failed') AND next_attempt_at <= app_now())
			+ (SELECT count(*) FROM river_job WHERE state IN ('available', 'running'))`)
		return n == 0, err
	})
}

// passTime lets time pass in steps until nothing waits any more.
func passTime(ctx context.Context, w *verify.World, step time.Duration, steps int) error {
	for range steps {
		if err := errors.Join(w.Advance(ctx, step), w.DueJobs(ctx)); err != nil {
			return err
		}
		if err := said(ctx, w); err != nil {
			return err
		}
		left, err := w.Int(ctx, `SELECT (SELECT count(*) FROM inbox WHERE state NOT IN ('done', 'ignored', 'dead'))
			+ (SELECT count(*) FROM river_job WHERE finalized_at IS NULL)`)
		if err != nil || left == 0 {
			return err
		}
	}
	return atRest(ctx, w)
}
