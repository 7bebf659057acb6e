package settle_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/till"
)

// refunds are the requests of an order as kinds and amounts.
func (d deal) refunds() map[order.RequestKind]int64 {
	d.w.t.Helper()
	out := map[order.RequestKind]int64{}
	for _, q := range d.now().Requests {
		out[q.Kind] += q.Amount
	}
	return out
}

func (d deal) money(amount int64, currency, suffix string) news {
	return d.fact(payment.Observation{Kind: payment.KindPayment, PaymentID: d.pay(suffix), Status: payment.PaymentSucceeded, Amount: amount, Currency: currency})
}

// E1, 6.2 h: the same payment told at once by twenty, through different events, is
// one sale, one grant and one receipt.
func TestOnePaymentToldByMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		told := d.paid()
		if i%2 == 1 {
			told = d.money(till.Price, "EUR", "")
		}
		wg.Go(func() { _, errs[i] = w.apply(told) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, order.Paid, d.state())
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM ledger_entries`))
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM entitlements`))
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM messages`))
	w.sound()
}

// E2, 6.2 a, g: what comes before its payment waits for it, and says for what.
func TestNewsBeforeItsPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	for _, early := range []news{
		d.refunded("", payment.RefundSucceeded, till.Price), d.disputed(1, payment.DisputeOpen, "", payment.MoneyWithdrawn),
	} {
		out, err := w.apply(early)
		require.NoError(t, err)
		require.Equal(t, payment.Retry, out[0].Verdict)
		require.Equal(t, d.pay(""), out[0].Missing)
	}
	require.Equal(t, order.AwaitingPayment, d.state())
}

// E4, 6.4: money that is too little, in another currency or of another order
// buys nothing, is kept aside, and waits for a person.
func TestMoneyThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, money := range map[string]func(deal) news{
		"one cent less":    func(d deal) news { return d.money(till.Price-1, "EUR", "") },
		"another currency": func(d deal) news { return d.money(till.Price, "USD", "") },
	} {
		d := w.sell("stripe", w.shop.Photos[0])
		w.hear(money(d), money(d))
		require.Equal(t, order.Review, d.state(), name)
		require.Empty(t, d.ending().Live, name)
		require.NotZero(t, d.ending().Totals["suspense"], name)
		require.Empty(t, d.refunds(), "nobody gives it back unasked")
	}
	// The payment that bought one order is shown for another.
	one, other := w.sell("stripe", w.shop.Photos[0]), w.sell("stripe", w.shop.Photos[1])
	w.hear(one.paid())
	stolen := other.money(till.Price, "EUR", "")
	stolen[0].PaymentID = one.pay("")
	w.hear(stolen)
	require.Equal(t, order.Paid, one.state())
	require.Equal(t, order.Review, other.state())
	require.Empty(t, other.ending().Live)
	require.Empty(t, other.ending().Totals)
	w.sound()
}

// E4: more than the price buys the order, and the rest goes back once.
func TestMoreThanThePrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("paypal", w.shop.Photos[0])
	w.hear(d.money(till.Price+150, "EUR", ""), d.money(till.Price+150, "EUR", ""))
	require.Equal(t, order.Paid, d.state())
	require.Equal(t, map[order.RequestKind]int64{order.RefundExcess: 150}, d.refunds())
	require.Equal(t, int64(-150), d.ending().Totals["suspense"])
	w.sound()
}

// E6: the refund of a double payment leaves the order that was paid alone.
func TestSecondPaymentGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[:2]...)
	w.hear(d.paid(), d.money(1000, "EUR", "-again"), d.money(1000, "EUR", "-again"))
	require.Equal(t, map[order.RequestKind]int64{order.RefundSurplus: 1000}, d.refunds())
	q := d.now().Requests[0]
	require.Equal(t, d.pay("-again"), q.Payment.ID, "the one that bought the order stays")
	back := d.refunded("", payment.RefundSucceeded, 1000)
	back[0].PaymentID, back[0].RequestID = q.Payment.ID, q.ID
	w.hear(back, back)
	require.Equal(t, order.Paid, d.state())
	require.Len(t, d.ending().Live, 2)
	require.Zero(t, d.ending().Totals["suspense"])
	w.sound()
}

// E8: money after the end is fulfilled if everything can still be delivered, at
// the price of then; else it goes back once. The end after the money is no news,
// and a page that is filled in and not paid buys nothing.
func TestMoneyAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end   func(deal) news
		world string // what changed meanwhile
		state order.State
		back  int64
	}{
		"nothing changed":     {end: deal.expired, state: order.Paid},
		"another price":       {deal.expired, `UPDATE events SET price_photo = 9900`, order.Paid, 0},
		"a photo was hidden":  {deal.expired, `UPDATE photos SET hidden_at = app_now()`, order.Expired, 2 * till.Price},
		"a photo was deleted": {deal.expired, `UPDATE photos SET deleted_at = app_now()`, order.Expired, 2 * till.Price},
		"its page was closed for a newer checkout": {
			func(d deal) news {
				return d.fact(payment.Observation{Kind: payment.KindAttempt, Status: payment.AttemptClosed})
			},
			"", order.Paid, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.sell("stripe", w.shop.Photos[:2]...)
			w.hear(tt.end(d))
			require.Contains(t, []order.State{order.Expired, order.Canceled}, d.state())
			if tt.world != "" {
				w.shop.Exec(tt.world)
			}
			w.hear(d.paid(), tt.end(d), d.paid())
			require.Equal(t, tt.state, d.state())
			require.Equal(t, tt.back, d.refunds()[order.RefundLate])
			require.Equal(t, tt.back > 0, len(d.ending().Live) == 0)
			w.sound()
		})
	}
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	w.hear(d.fact(payment.Observation{Kind: payment.KindAttempt, Status: payment.AttemptProcessing}))
	require.Equal(t, order.AwaitingPayment, d.state(), "filled in is not paid")
	w.hear(d.failed())
	require.Empty(t, d.ending().Live)
	w.hear(d.paid(), d.expired())
	require.Equal(t, order.Paid, d.state())
}

// 6.3: a line that the buyer has already is refunded by itself, and does not
// spoil the others; a whole event covers what comes later.
func TestWhatIsOwnedIsRefunded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guest := w.shop.Guest().ID
	first := w.sellTo(guest, "stripe", w.shop.Photos[0])
	w.hear(first.expired())
	second := w.sellTo(guest, "paypal", w.shop.Photos[:2]...)
	w.hear(second.paid(), first.paid(), first.paid())
	require.Equal(t, order.Paid, second.state())
	require.Equal(t, map[order.RequestKind]int64{order.RefundCovered: till.Price}, first.refunds())
	require.Empty(t, first.ending().Live)

	whole := w.sellTo(guest, "stripe", uuid.Nil)
	w.hear(whole.paid())
	require.Equal(t, []int{0, 1}, second.ending().Live, "owned before the whole: it stays")
	third := w.sellTo(guest, "stripe", w.shop.Photos[3])
	w.hear(third.paid())
	require.Equal(t, map[order.RequestKind]int64{order.RefundCovered: till.Price}, third.refunds())
	w.sound()
}

// E7, 6.4: a dispute after the creator could be paid makes a debt once when it is
// lost, and gives it back once when it is won after all; access follows.
func TestDisputeAfterRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[:2]...)
	w.hear(d.paid())
	require.NoError(t, pg.Exec(t.Context(), w.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		_, err := w.ledger.PostTx(ctx, tx, []ledger.Entry{{
			Key: "release", Kind: ledger.Release, OrderID: d.order.Order.ID, CreatorID: w.shop.Creator, Currency: "EUR",
			CauseKind: "audit", CauseID: id.New(),
		}})
		return err
	}))
	wallet := func() ledger.Balance {
		b, err := w.ledger.Wallet(t.Context(), w.shop.DB.Pool, w.shop.Creator, "EUR")
		require.NoError(t, err)
		return b
	}
	require.Equal(t, ledger.Balance{Available: 900}, wallet())
	took := payment.MoneyWithdrawn
	w.hear(d.disputed(1, payment.DisputeOpen, "", took), d.disputed(1, payment.DisputeOpen, "", took))
	e := d.ending()
	require.Equal(t, order.Disputed, e.State)
	require.Equal(t, 2, e.Frozen)
	w.hear(d.disputed(2, payment.DisputeClosed, payment.DisputeLost, took))
	require.Empty(t, d.ending().Live)
	require.Equal(t, ledger.Balance{}, wallet())
	w.hear(d.disputed(3, payment.DisputeClosed, payment.DisputeWon, took, payment.MoneyReinstated))
	e = d.ending()
	require.Equal(t, order.Paid, e.State)
	require.Len(t, e.Live, 2)
	require.Zero(t, e.Frozen)
	require.Equal(t, ledger.Balance{Available: 900}, wallet())
	require.Equal(t, 2, w.shop.Count(`SELECT count(*) FROM entitlements`), "the same rows came back")
	w.sound()
}

// A warning moves nothing, freezes nothing and refuses nothing.
func TestWarningIsNoDispute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	w.hear(d.paid(), d.disputed(1, payment.DisputeWarning, ""), d.disputed(2, payment.DisputeWarningClosed, ""))
	require.Equal(t, order.Paid, d.state())
	require.Zero(t, d.ending().Frozen)
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM ledger_entries`))
	w.sound()
}

// An order may be disputed, or in review for other money, before the payment that
// buys it is known: it is bought all the same, and stays what it is.
func TestBoughtWhileDisputedOrInReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, first := range []func(d deal) []news{
		func(d deal) []news {
			pending := payment.Observation{Kind: payment.KindPayment, PaymentID: d.pay(""), Status: payment.PaymentPending, Amount: d.order.Order.Gross}
			return []news{d.fact(pending), d.disputed(1, payment.DisputeOpen, "")}
		},
		func(d deal) []news {
			return []news{d.fact(payment.Observation{
				Kind: payment.KindPayment, PaymentID: d.pay("-small"), Status: payment.PaymentSucceeded, Amount: 1,
			})}
		},
	} {
		d := w.sell("stripe", w.shop.Photos[i])
		w.hear(first(d)...)
		before := d.state()
		w.hear(d.paid())
		require.Equal(t, before, d.state())
		require.NotNil(t, d.now().Order.PaidAt, "case %d", i)
		w.sound()
	}
}

// 6.2 b: an effect that fails takes all of its group back, its facts too.
func TestFailedEffectLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	w.shop.Exec(`ALTER TABLE messages ADD CONSTRAINT no_receipts CHECK (kind <> 'receipt') NOT VALID`)
	_, err := w.apply(d.paid())
	require.Error(t, err)
	require.Equal(t, order.AwaitingPayment, d.state())
	require.Empty(t, d.now().Payments)
	require.Equal(t, 0, w.shop.Count(`SELECT (SELECT count(*) FROM entitlements) + (SELECT count(*) FROM ledger_entries)`))
	w.shop.Exec(`ALTER TABLE messages DROP CONSTRAINT no_receipts`)
	w.hear(d.paid())
	require.Equal(t, order.Paid, d.state())
}

// What a provider keeps of a payment may be told later than the payment, and is
// booked once.
func TestFeeToldLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.sell("stripe", w.shop.Photos[0])
	w.hear(d.paid())
	told := d.paid()
	told[1].Fee = 29
	w.hear(told, told, d.paid())
	require.Equal(t, int64(29), d.ending().Totals["fees"])
	require.Equal(t, int64(till.Price-29), d.ending().Totals["clearing"])
	w.sound()
}
