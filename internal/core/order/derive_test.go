package order_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// cart is an order of two photographs at 4.00 and 6.00 that waits for money.
func cart() *order.Facts {
	orderID := id.New()
	line := func(n int32, price int64) order.Line {
		photo := id.New()
		return order.Line{ID: id.New(), OrderID: orderID, Ordinal: n, Kind: order.LinePhoto, PhotoID: &photo, Price: price}
	}
	return &order.Facts{
		Order:    order.Order{ID: orderID, Currency: "EUR", Gross: 1000, Commission: 150, State: order.AwaitingPayment},
		Lines:    []order.Line{line(1, 400), line(2, 600)},
		Attempts: []order.Attempt{{ID: id.New(), OrderID: orderID, Ordinal: 1, Provider: "stripe", Account: "main", Ref: "cs_1", Status: payment.AttemptOpen}},

		Decisions: map[string]string{},
	}
}

func paid(f *order.Facts, paymentID string, amount int64) payment.Observation {
	return payment.Observation{
		InboxID: id.New(), Provider: "stripe", Account: "main", Kind: payment.KindPayment, AttemptID: f.Attempts[0].ID,
		PaymentID: paymentID, Status: payment.PaymentSucceeded, Amount: amount, Currency: "EUR",
	}
}

func refunded(paymentID, refundID, status string, amount int64) payment.Observation {
	return payment.Observation{
		InboxID: id.New(), Provider: "stripe", Account: "main", Kind: payment.KindRefund,
		PaymentID: paymentID, RefundID: refundID, Status: status, Amount: amount, Currency: "EUR",
	}
}

func page(f *order.Facts, status string) payment.Observation {
	return payment.Observation{InboxID: id.New(), Kind: payment.KindAttempt, AttemptID: f.Attempts[0].ID, Ref: "cs_1", Status: status}
}

func learn(f *order.Facts, obs ...payment.Observation) order.Derived {
	for _, o := range obs {
		f.Merge(o, order.NewDelta())
	}
	return order.Derive(f)
}

func keys(d order.Derived) []string {
	var out []string
	for _, e := range d.Entries {
		out = append(out, fmt.Sprintf("%s %s %d", e.Key, e.Kind, e.Gross))
	}
	slices.Sort(out)
	return out
}

func TestDerive(t *testing.T) {
	t.Parallel()
	type want struct {
		state   order.State
		entries []string
		refunds []order.RequestKind
		live    int
	}
	tests := map[string]struct {
		obs  func(*order.Facts) []payment.Observation
		want want
	}{
		"nothing heard": {
			func(*order.Facts) []payment.Observation { return nil },
			want{state: order.AwaitingPayment},
		},
		"paid": {
			func(f *order.Facts) []payment.Observation { return []payment.Observation{paid(f, "pi_1", 1000)} },
			want{state: order.Paid, entries: []string{"sale:stripe:main:pi_1 sale 1000"}, live: 2},
		},
		"a failed try, then paid": {
			func(f *order.Facts) []payment.Observation {
				failed := paid(f, "pi_1", 1000)
				failed.Status = payment.PaymentFailed
				return []payment.Observation{failed, paid(f, "pi_1", 1000)}
			},
			want{state: order.Paid, entries: []string{"sale:stripe:main:pi_1 sale 1000"}, live: 2},
		},
		"expired": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{page(f, payment.AttemptExpired)}
			},
			want{state: order.Expired},
		},
		"expired after it was paid changes nothing": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{paid(f, "pi_1", 1000), page(f, payment.AttemptExpired)}
			},
			want{state: order.Paid, entries: []string{"sale:stripe:main:pi_1 sale 1000"}, live: 2},
		},
		"complete but unpaid waits": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{page(f, payment.AttemptProcessing)}
			},
			want{state: order.AwaitingPayment},
		},
		"too little money buys nothing": {
			func(f *order.Facts) []payment.Observation { return []payment.Observation{paid(f, "pi_1", 999)} },
			want{state: order.Review, entries: []string{"surplus:stripe:main:pi_1 surplus 999"}},
		},
		"another currency buys nothing": {
			func(f *order.Facts) []payment.Observation {
				o := paid(f, "pi_1", 1000)
				o.Currency = "USD"
				return []payment.Observation{o}
			},
			want{state: order.Review, entries: []string{"surplus:stripe:main:pi_1 surplus 1000"}},
		},
		"too much money: the price is the sale, the rest goes back": {
			func(f *order.Facts) []payment.Observation { return []payment.Observation{paid(f, "pi_1", 1200)} },
			want{
				state: order.Paid, entries: []string{"excess:stripe:main:pi_1 surplus 200", "sale:stripe:main:pi_1 sale 1000"},
				refunds: []order.RequestKind{order.RefundExcess}, live: 2,
			},
		},
		"refunded whole at the provider": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{paid(f, "pi_1", 1000), refunded("pi_1", "re_1", payment.RefundSucceeded, 1000)}
			},
			want{state: order.Refunded, entries: []string{"refund:stripe:main:re_1 refund 1000", "sale:stripe:main:pi_1 sale 1000"}},
		},
		"a payment with excess refunded whole at the provider": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{paid(f, "pi_1", 1200), refunded("pi_1", "re_1", payment.RefundSucceeded, 1200)}
			},
			want{state: order.Refunded, entries: []string{
				"excess:stripe:main:pi_1 surplus 200", "refund:stripe:main:re_1 refund 1200",
				"sale:stripe:main:pi_1 sale 1000",
			}},
		},
		"refunded in two equal parts at the provider": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{
					paid(f, "pi_1", 1000), refunded("pi_1", "re_1", payment.RefundSucceeded, 500),
					refunded("pi_1", "re_2", payment.RefundSucceeded, 500),
				}
			},
			want{state: order.Refunded, entries: []string{"refund:stripe:main:re_1 refund 500", "refund:stripe:main:re_2 refund 500", "sale:stripe:main:pi_1 sale 1000"}},
		},
		"refunded in part at the provider keeps the access and asks a person": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{paid(f, "pi_1", 1000), refunded("pi_1", "re_1", payment.RefundSucceeded, 300)}
			},
			want{state: order.Review, entries: []string{"refund:stripe:main:re_1 refund 300", "sale:stripe:main:pi_1 sale 1000"}, live: 2},
		},
		"a refund that failed leaves the access": {
			func(f *order.Facts) []payment.Observation {
				return []payment.Observation{
					paid(f, "pi_1", 1000), refunded("pi_1", "re_1", payment.RefundSucceeded, 1000),
					refunded("pi_1", "re_1", payment.RefundFailed, 1000),
				}
			},
			want{state: order.Paid, entries: []string{
				"refund:stripe:main:re_1 refund 1000", "sale:stripe:main:pi_1 sale 1000",
				"undone:refund:stripe:main:re_1 refund_undone 1000",
			}, live: 2},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := cart()
			d := learn(f, tt.obs(f)...)
			got := want{state: d.State, entries: keys(d)}
			for _, r := range d.Refunds {
				got.refunds = append(got.refunds, r.Kind)
			}
			for _, is := range d.Live {
				if is {
					got.live++
				}
			}
			require.Empty(t, cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})))
		})
	}
}

// A second payment is surplus whichever is decided to be the kept one, and the
// decision holds against what comes later.
func TestDeriveSurplus(t *testing.T) {
	t.Parallel()
	f := cart()
	d := learn(f, paid(f, "pi_1", 1000), paid(f, "pi_2", 1000))
	require.Len(t, d.Choose, 2, "nobody has decided yet")
	require.Empty(t, d.Entries, "nothing is posted before it is decided")
	f.Decide(order.DecideKept, "stripe:main:pi_2", id.New(), order.NewDelta())
	d = order.Derive(f)
	require.Equal(t, order.Paid, d.State)
	require.Equal(t, []string{"sale:stripe:main:pi_2 sale 1000", "surplus:stripe:main:pi_1 surplus 1000"}, keys(d))
	require.Equal(t, order.RefundSurplus, d.Refunds[0].Kind)

	f.Requests = append(f.Requests, order.Request{
		ID: id.New(), Payment: d.Refunds[0].Payment, Amount: 1000, Kind: order.RefundSurplus, State: order.RequestOpen,
	})
	back := refunded("pi_1", "re_1", payment.RefundSucceeded, 1000)
	back.RequestID = f.Requests[0].ID
	d = learn(f, back)
	require.Equal(t, order.Paid, d.State, "the surplus payment's refund leaves the order paid")
	require.Empty(t, d.Refunds, "it is asked back once")
	require.Contains(t, keys(d), "refund:stripe:main:re_1 surplus_refunded 1000")
}

// Money for an order that had expired is decided once.
func TestDeriveLate(t *testing.T) {
	t.Parallel()
	f := cart()
	learn(f, page(f, payment.AttemptExpired))
	f.Order.State = order.Expired
	d := learn(f, paid(f, "pi_1", 1000))
	require.True(t, d.Late)
	require.Empty(t, d.Entries)

	f.Decide(order.DecideLate, order.LateRefund, id.New(), order.NewDelta())
	d = order.Derive(f)
	require.Nil(t, d.Kept)
	require.Equal(t, []string{"surplus:stripe:main:pi_1 surplus 1000"}, keys(d))
	require.Equal(t, order.RefundLate, d.Refunds[0].Kind)
}

// Whatever the order and repetition of what is heard, it means the same.
func TestDeriveOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := cart()
		var obs []payment.Observation
		for i, status := range rapid.SliceOfN(rapid.SampledFrom([]string{
			payment.PaymentPending, payment.PaymentFailed, payment.PaymentSucceeded,
		}), 1, 3).Draw(t, "payment") {
			o := paid(base, "pi_1", 1000)
			o.Status, o.InboxID = status, uuid.UUID{15: byte(i + 1)}
			obs = append(obs, o)
		}
		for i, status := range rapid.SliceOfN(rapid.SampledFrom([]string{
			payment.RefundPending, payment.RefundSucceeded, payment.RefundFailed,
		}), 0, 3).Draw(t, "refund") {
			obs = append(obs, refunded("pi_1", fmt.Sprintf("re_%d", i%2), status, 500))
		}
		if rapid.Bool().Draw(t, "expired") {
			obs = append(obs, page(base, payment.AttemptExpired))
		}
		shuffled := rapid.Permutation(append(slices.Clone(obs), obs[0])).Draw(t, "order")

		one, other := *base, *base
		one.Attempts, other.Attempts = slices.Clone(base.Attempts), slices.Clone(base.Attempts)
		one.Decisions, other.Decisions = map[string]string{}, map[string]string{}
		a, b := learn(&one, obs...), learn(&other, shuffled...)
		require.Equal(t, a.State, b.State)
		require.Equal(t, keys(a), keys(b))
		require.Equal(t, a.Live, b.Live)
		require.Equal(t, a.Refunded, b.Refunded)
	})
}

// A page that another attempt's order names is for a person to look at.
func TestMergeOtherPage(t *testing.T) {
	t.Parallel()
	f := cart()
	o := page(f, payment.AttemptSucceeded)
	o.Ref = "cs_other"
	d := learn(f, o)
	require.Equal(t, order.Review, d.State)
}

// An excess whose refund failed stays with the payment, and is not the sale's to
// give back.
func TestSaleLeft(t *testing.T) {
	t.Parallel()
	f := cart()
	d := learn(f, paid(f, "pi_1", 1600))
	require.Equal(t, int64(1000), f.SaleLeft(d.Kept))
	ask := func(kind order.RequestKind, amount int64) uuid.UUID {
		r := order.Request{ID: id.New(), Payment: d.Kept.Key, Kind: kind, Amount: amount, Currency: "EUR", State: order.RequestOpen}
		f.Requests = append(f.Requests, r)
		return r.ID
	}
	excess := ask(order.RefundExcess, 600)
	require.Equal(t, int64(1000), f.SaleLeft(d.Kept))
	failed := refunded("pi_1", "re_1", payment.RefundFailed, 600)
	failed.RequestID = excess
	learn(f, failed)
	require.Equal(t, int64(1600), f.Refundable(d.Kept), "the provider still has it all")
	ask(order.RefundCovered, 400)
	require.Equal(t, int64(600), f.SaleLeft(d.Kept))
	learn(f, refunded("pi_1", "re_2", payment.RefundSucceeded, 100)) // begun at the provider
	require.Equal(t, int64(500), f.SaleLeft(d.Kept))
	ask(order.RefundSale, 500)
	require.Equal(t, int64(0), f.SaleLeft(d.Kept), "although the provider has more")
}
