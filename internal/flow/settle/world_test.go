package settle_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/settle"
	"proofroom/internal/testkit/till"
)

// world is a shop whose orders are settled for real.
type world struct {
	t       testing.TB
	shop    *till.Shop
	jobs    *queue
	ledger  *ledger.Store
	settler *settle.Settler
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, shop: till.New(t, "EUR"), jobs: &queue{}, ledger: ledger.New()}
	w.settler = settle.New(w.ledger, outbox.Store{}, w.jobs)
	return w
}

// deal is one order as its provider speaks of it.
type deal struct {
	w        *world
	provider string
	order    *order.Facts
}

// sell opens an order of a guest for photographs, 10 % commission, with a page.
func (w *world) sell(provider string, photos ...uuid.UUID) deal {
	w.t.Helper()
	return w.sellTo(w.shop.Guest().ID, provider, photos...)
}

func (w *world) sellTo(guest uuid.UUID, provider string, photos ...uuid.UUID) deal {
	w.t.Helper()
	o := order.Order{ID: id.New(), EventID: w.shop.Event, CreatorID: w.shop.Creator, Currency: "EUR", Cart: []byte{}, BuyerGuest: &guest, BuyerID: guest, Email: "b@example.test"}
	var lines []order.Line
	for i, p := range photos {
		l := order.Line{ID: id.New(), OrderID: o.ID, Ordinal: int32(i + 1), Kind: order.LinePhoto, EventID: w.shop.Event, PhotoID: &p, Name: "x", Price: till.Price, Commission: till.Price / 10}
		if p == uuid.Nil {
			l.Kind, l.PhotoID, l.Price, l.Commission = order.LineEvent, nil, 3000, 300
		}
		lines = append(lines, l)
		o.Gross, o.Commission = o.Gross+l.Price, o.Commission+l.Commission
	}
	a := order.Attempt{ID: id.New(), OrderID: o.ID, Ordinal: 1, Provider: provider, Account: "main"}
	var store order.Store
	require.NoError(w.t, pg.Exec(w.t.Context(), w.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		if err := store.OpenTx(ctx, tx, order.New{Order: o, Lines: lines, Attempt: a}, time.Hour); err != nil {
			return err
		}
		return store.PageTx(ctx, tx, a.ID, "page-"+a.ID.String(), "https://example.test/", nil)
	}))
	require.NoError(w.t, pg.Exec(w.t.Context(), w.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		fs, err := store.LockTx(ctx, tx, []uuid.UUID{o.ID})
		if err != nil {
			return err
		}
		return store.SaveStatesTx(ctx, tx, []order.Change{{
			Facts: fs[0], Delta: order.NewDelta(), Derived: order.Derive(fs[0]), Cause: order.Cause{Kind: order.CauseCheckout, ID: o.ID},
		}})
	}))
	return deal{w, provider, w.shop.Facts(o.ID)}
}

// now reads the order again.
func (d deal) now() *order.Facts { d.w.t.Helper(); return d.w.shop.Facts(d.order.Order.ID) }

func (d deal) state() order.State { d.w.t.Helper(); return d.now().Order.State }

// news is what one inbox row says.
type news []payment.Observation

// apply applies rows in one transaction and returns what they must wait for.
func (w *world) apply(rows ...news) ([]payment.Outcome, error) {
	var obs []payment.Observation
	for _, r := range rows {
		obs = append(obs, r...)
	}
	return pg.InTx(w.t.Context(), w.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) ([]payment.Outcome, error) {
		return w.settler.ApplyTx(ctx, tx, slices.Clone(obs))
	})
}

// hear applies rows one by one; those that wait are tried again after each.
func (w *world) hear(rows ...news) {
	w.t.Helper()
	var waiting []news
	waits := func(r news) bool {
		out, err := w.apply(r)
		require.NoError(w.t, err)
		return slices.ContainsFunc(out, func(o payment.Outcome) bool { return o.Verdict == payment.Retry })
	}
	for _, r := range rows {
		if waits(r) {
			waiting = append(waiting, r)
			continue
		}
		if slices.ContainsFunc(r, func(o payment.Observation) bool { return o.Kind == payment.KindPayment }) {
			waiting = slices.DeleteFunc(waiting, func(r news) bool { return !waits(r) })
		}
	}
	require.Empty(w.t, waiting, "rows that wait for ever")
}

// fact fills in what every observation of the deal has, as one inbox row.
func (d deal) fact(obs ...payment.Observation) news {
	row := id.New()
	for i := range obs {
		o := &obs[i]
		o.InboxID, o.Provider, o.Account = row, d.provider, "main"
		switch o.Kind {
		case payment.KindAttempt:
			o.AttemptID, o.Ref = d.order.Attempts[0].ID, d.order.Attempts[0].Ref
		case payment.KindPayment:
			o.AttemptID = d.order.Attempts[0].ID
		}
		if o.Kind != payment.KindAttempt && o.Currency == "" {
			o.Currency = "EUR"
		}
	}
	return obs
}

// pay is the order's payment; suffix tells several apart.
func (d deal) pay(suffix string) string { return "pay-" + d.order.Attempts[0].ID.String() + suffix }

// paid is money in full, as the provider's adapter states it.
func (d deal) paid() news {
	p := payment.Observation{Kind: payment.KindPayment, PaymentID: d.pay(""), Status: payment.PaymentSucceeded, Amount: d.order.Order.Gross, Fee: 29}
	page := payment.Observation{Kind: payment.KindAttempt, Status: payment.AttemptSucceeded}
	switch d.provider {
	case "stripe": // the page's event: the fee is not in it
		p.Fee = 0
		return d.fact(page, p)
	case "paypal": // the order is complete, and its capture says whether money came
		page.Status = payment.AttemptProcessing
		return d.fact(page, p)
	}
	return d.fact(p)
}

// failed is a try that was refused.
func (d deal) failed() news {
	p := payment.Observation{Kind: payment.KindPayment, PaymentID: d.pay(""), Status: payment.PaymentFailed, Amount: d.order.Order.Gross}
	if d.provider != "stripe" { // each try is an object of its own
		p.PaymentID = d.pay("-refused")
	}
	return d.fact(p)
}

// expired is the end of the page.
func (d deal) expired() news {
	return d.fact(payment.Observation{Kind: payment.KindAttempt, Status: payment.AttemptExpired})
}

// refunded is money given back at the provider, by nobody of ours.
func (d deal) refunded(suffix, status string, amount int64) news {
	r := payment.Observation{
		Kind: payment.KindRefund, PaymentID: d.pay(""), RefundID: "re-" + d.order.Attempts[0].ID.String() + suffix, Status: status, Amount: amount,
		Unnamed: d.provider == "flutterwave",
	}
	if d.provider == "stripe" {
		return d.fact(r)
	}
	// A refund is fetched with what it takes back.
	return d.fact(append(d.paid()[len(d.paid())-1:], r)...)
}

// disputed is a dispute as one fetch shows it, with the money moved by then.
func (d deal) disputed(seq int64, status, outcome string, moved ...string) news {
	q := payment.Observation{
		Kind: payment.KindDispute, PaymentID: d.pay(""), DisputeID: "dp-" + d.order.Attempts[0].ID.String(),
		Status: status, Outcome: outcome, Amount: d.order.Order.Gross, Seq: seq,
	}
	obs := []payment.Observation{q}
	for _, m := range moved {
		o := payment.Observation{
			Kind: payment.KindDisputeMoney, PaymentID: q.PaymentID, DisputeID: q.DisputeID, MovementID: q.DisputeID + ":" + m, Status: m, Amount: q.Amount,
		}
		if m == payment.MoneyFee {
			o.Amount = 1500
		}
		obs = append(obs, o)
	}
	return d.fact(obs...)
}

// ending is how an order stands: its state, its live lines by ordinal, and what
// its entries add up to by account.
type ending struct {
	State  order.State
	Live   []int
	Frozen int
	Totals map[string]int64
}

func (d deal) ending() ending {
	d.w.t.Helper()
	f := d.now()
	e := ending{State: f.Order.State, Totals: map[string]int64{}}
	grants, err := entitlement.Store{}.LinesByOrder(d.w.t.Context(), d.w.shop.DB.Pool, []uuid.UUID{f.Order.ID})
	require.NoError(d.w.t, err)
	for _, g := range grants {
		if g.Result() != entitlement.Live {
			continue
		}
		e.Live = append(e.Live, slices.IndexFunc(f.Lines, func(l order.Line) bool { return l.ID == g.LineID }))
		if g.FrozenAt != nil {
			e.Frozen++
		}
	}
	slices.Sort(e.Live)
	entries, err := d.w.ledger.OrderEntries(d.w.t.Context(), d.w.shop.DB.Pool, f.Order.ID)
	require.NoError(d.w.t, err)
	for _, entry := range entries {
		for _, p := range entry.Postings {
			if e.Totals[p.To.Kind] += p.Amount; e.Totals[p.To.Kind] == 0 {
				delete(e.Totals, p.To.Kind)
			}
		}
	}
	return e
}

// sound runs the invariants that need nothing but orders, grants and ledger.
func (w *world) sound() {
	w.t.Helper()
	for _, name := range []string{"I1", "I2", "I3", "I5"} {
		sql, err := os.ReadFile("../../proof/verify/invariants/" + name + ".sql")
		require.NoError(w.t, err)
		var examined, violations int
		var ids []string
		require.NoError(w.t, w.shop.DB.Owner.QueryRow(w.t.Context(), string(sql)).Scan(&examined, &violations, &ids))
		require.Zero(w.t, violations, "%s: %v", name, ids)
	}
}

func (d deal) String() string { return fmt.Sprintf("%s of %s", d.order.Order.ID, d.provider) }
