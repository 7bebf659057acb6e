package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The rows of the journal that disputes write, for one dispute named dp_1.

func (o sold) opened(gross int64) Entry { return o.disputed(DisputeOpened, "dp_1", "", gross) }

func (o sold) withdrawn(gross int64) Entry { return o.disputed(DisputeWithdrawn, "dp_1", "", gross) }
func (o sold) closed() Entry               { return o.disputed(DisputeClosed, "dp_1", "", 0) }

func (o sold) reinstated(name string, gross int64) Entry {
	return o.disputed(DisputeReinstated, "dp_1", name, gross)
}

// The rows of disputes, with numbers that can be checked by hand: 85 % net
// unless it is said.
func TestDisputes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.steps
	usd := func(t *testing.T) sold {
		t.Helper()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		w.mustPost(t, o.sale())
		return o
	}

	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		fee := o.entry(Fee, "", 15_00)
		fee.Dispute = o.closed().Dispute
		run(t, []step{
			{o.opened(10_00), lines{pending: 8_50, held: -8_50}, Balance{Held: 8_50}},
			{o.release(), nil, Balance{Held: 8_50}},
			{o.withdrawn(10_00), lines{clearing: -10_00, held: 8_50, revenue: 1_50}, Balance{}},
			{fee, lines{clearing: -15_00, fees: 15_00}, Balance{}},
			{o.closed(), nil, Balance{}},
			{o.release(), nil, Balance{}},
		})
	})
	t.Run("won", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "JPY", 1200, 1080)
		run(t, []step{
			{o.sale(), lines{clearing: 1200, pending: -1080, revenue: -120}, Balance{Pending: 1080}},
			{o.opened(1200), lines{pending: 1080, held: -1080}, Balance{Held: 1080}},
			{o.withdrawn(1200), lines{clearing: -1200, held: 1080, revenue: 120}, Balance{}},
			{o.reinstated("", 1200), lines{clearing: 1200, held: -1080, revenue: -120}, Balance{Held: 1080}},
			{o.closed(), lines{held: 1080, pending: -1080}, Balance{Pending: 1080}},
			{o.release(), lines{pending: 1080, available: -1080}, Balance{Available: 1080}},
		})
	})
	// 9.000 released, 6.000 paid out: what is not there makes debt, and winning
	// pays it. The other order's pending 9.000 is not touched.
	t.Run("opened after a payout makes debt, won pays it first", func(t *testing.T) {
		t.Parallel()
		c := newCreator(t, w.pool)
		o, other := newSold(c, "KWD", 10_000, 9_000), newSold(c, "KWD", 10_000, 9_000)
		w.mustPost(t, o.sale(), other.sale(), o.release())
		w.payOut(t, w.pool, c, "KWD", 6_000)
		run(t, []step{
			{o.opened(10_000), lines{available: 3_000, debt: 6_000, held: -9_000}, Balance{Pending: 9_000, Held: 9_000, Debt: 6_000}},
			{o.closed(), lines{held: 9_000, debt: -6_000, available: -3_000}, Balance{Pending: 9_000, Available: 3_000}},
		})
	})
	t.Run("money taken that was not held goes as a refund does", func(t *testing.T) {
		t.Parallel()
		before, after := usd(t), usd(t)
		w.mustPost(t, after.release())
		w.payOut(t, w.pool, after.creator, "USD", 5_00)
		run(t, []step{
			{before.withdrawn(10_00), lines{clearing: -10_00, pending: 8_50, revenue: 1_50}, Balance{}},
			{after.withdrawn(10_00), lines{clearing: -10_00, available: 3_50, debt: 5_00, revenue: 1_50}, Balance{Debt: 5_00}},
			// The dispute is not closed, but nothing was opened to be held again.
			{after.reinstated("", 10_00), lines{clearing: 10_00, debt: -5_00, available: -3_50, revenue: -1_50}, Balance{Available: 3_50}},
		})
	})
	// 4.00 of 10.00, so 3.40 of 8.50.
	t.Run("a part is disputed, and the rest is released", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		run(t, []step{
			{o.opened(4_00), lines{pending: 3_40, held: -3_40}, Balance{Pending: 5_10, Held: 3_40}},
			{o.release(), nil, Balance{Pending: 5_10, Held: 3_40}},
			{o.withdrawn(4_00), lines{clearing: -4_00, held: 3_40, revenue: 60}, Balance{Pending: 5_10}},
			{o.release(), lines{pending: 5_10, available: -5_10}, Balance{Available: 5_10}},
		})
	})
	// Refunded 4.00, of it 3.40 net: 5.10 is left to be held, and 4.00 of the
	// 10.00 that are taken were the buyer's already.
	t.Run("dispute after a refund", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		run(t, []step{
			{o.refund("1", 4_00), lines{clearing: -4_00, pending: 3_40, revenue: 60}, Balance{Pending: 5_10}},
			{o.opened(10_00), lines{pending: 5_10, held: -5_10}, Balance{Held: 5_10}},
			{o.withdrawn(10_00), lines{clearing: -10_00, held: 5_10, revenue: 90, writeOff: 4_00}, Balance{}},
			{o.reinstated("", 10_00), lines{clearing: 10_00, held: -5_10, revenue: -90, writeOff: -4_00}, Balance{Held: 5_10}},
			{o.closed(), lines{held: 5_10, pending: -5_10}, Balance{Pending: 5_10}},
		})
	})
	t.Run("dispute after a whole refund, that fails then", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		r := o.refund("1", 10_00)
		run(t, []step{
			{r, lines{clearing: -10_00, pending: 8_50, revenue: 1_50}, Balance{}},
			{o.opened(10_00), nil, Balance{}},
			{o.closed(), nil, Balance{}},
			{o.undo(r), lines{clearing: 10_00, pending: -8_50, revenue: -1_50}, Balance{Pending: 8_50}},
			{o.opened(10_00), lines{pending: 8_50, held: -8_50}, Balance{Held: 8_50}},
			{o.closed(), lines{held: 8_50, pending: -8_50}, Balance{Pending: 8_50}},
		})
	})
	// The buyer has the money twice. A refund does not fail for it.
	t.Run("refund after all was taken", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		r := o.refund("1", 10_00)
		w.mustPost(t, o.opened(10_00), o.withdrawn(10_00))
		run(t, []step{
			{r, lines{clearing: -10_00, writeOff: 10_00}, Balance{}},
			{o.reinstated("1", 4_00), lines{clearing: 4_00, writeOff: -4_00}, Balance{}},
			// The dispute's 6.00 are left of 10.00, and 4.00 come back: 3.40 net.
			{o.undo(r), lines{clearing: 10_00, held: -3_40, revenue: -60, writeOff: -6_00}, Balance{Held: 3_40}},
			{o.reinstated("2", 6_00), lines{clearing: 6_00, held: -5_10, revenue: -90}, Balance{Held: 8_50}},
		})
	})
	// 4.00 are disputed. 7.00 are refunded: 5.95 net, of it the free 5.10 first.
	t.Run("a refund takes what is free, then what is held", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		r := o.refund("1", 7_00)
		w.mustPost(t, o.opened(4_00))
		run(t, []step{
			{r, lines{clearing: -7_00, pending: 5_10, held: 85, revenue: 1_05}, Balance{Held: 2_55}},
			{o.undo(r), lines{clearing: 7_00, pending: -5_10, held: -85, revenue: -1_05}, Balance{Pending: 5_10, Held: 3_40}},
		})
	})
	t.Run("won after lost, and after a payout", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		w.mustPost(t, o.release())
		w.payOut(t, w.pool, o.creator, "USD", 8_50)
		run(t, []step{
			{o.opened(10_00), lines{debt: 8_50, held: -8_50}, Balance{Held: 8_50, Debt: 8_50}},
			{o.withdrawn(10_00), lines{clearing: -10_00, held: 8_50, revenue: 1_50}, Balance{Debt: 8_50}},
			{o.closed(), nil, Balance{Debt: 8_50}},
			{o.reinstated("", 10_00), lines{clearing: 10_00, held: -8_50, revenue: -1_50}, Balance{Held: 8_50, Debt: 8_50}},
			{o.closed(), lines{held: 8_50, debt: -8_50}, Balance{}},
		})
	})
	t.Run("closed, and money comes back later", func(t *testing.T) {
		t.Parallel()
		before, after := usd(t), usd(t)
		for _, o := range []sold{before, after} {
			w.mustPost(t, o.opened(10_00), o.withdrawn(4_00))
		}
		run(t, []step{
			{before.closed(), lines{held: 5_10, pending: -5_10}, Balance{Pending: 5_10}},
			{before.reinstated("", 4_00), lines{clearing: 4_00, pending: -3_40, revenue: -60}, Balance{Pending: 8_50}},
			{after.closed(), lines{held: 5_10, pending: -5_10}, Balance{Pending: 5_10}},
			{after.release(), lines{pending: 5_10, available: -5_10}, Balance{Available: 5_10}},
			{after.reinstated("", 4_00), lines{clearing: 4_00, available: -3_40, revenue: -60}, Balance{Available: 8_50}},
		})
	})
	// floor(6.67 x 0.85) = 5.66 and floor(3.34 x 0.85) = 2.83 stay taken.
	t.Run("what comes back in parts adds up", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		w.mustPost(t, o.opened(10_00), o.withdrawn(10_00))
		run(t, []step{
			{o.reinstated("1", 3_33), lines{clearing: 3_33, held: -2_84, revenue: -49}, Balance{Held: 2_84}},
			{o.reinstated("2", 3_33), lines{clearing: 3_33, held: -2_83, revenue: -50}, Balance{Held: 5_67}},
			{o.reinstated("3", 3_34), lines{clearing: 3_34, held: -2_83, revenue: -51}, Balance{Held: 8_50}},
		})
		_, err := w.post(t.Context(), o.reinstated("4", 1))
		require.ErrorIs(t, err, ErrExceeds)
	})
	// The payment was over 12.00, so 2.00 came beyond the sale.
	t.Run("more is taken than was sold", func(t *testing.T) {
		t.Parallel()
		plain, excess := usd(t), usd(t)
		back := excess.entry(SurplusRefunded, "", 2_00)
		run(t, []step{
			{plain.withdrawn(12_00), lines{clearing: -12_00, pending: 8_50, revenue: 1_50, writeOff: 2_00}, Balance{}},
			{excess.entry(Surplus, "", 2_00), lines{clearing: 2_00, suspense: -2_00}, Balance{Pending: 8_50}},
			{excess.withdrawn(12_00), lines{clearing: -12_00, pending: 8_50, revenue: 1_50, suspense: 2_00}, Balance{}},
			// It had been sent back before that was known.
			{back, lines{clearing: -2_00, writeOff: 2_00}, Balance{}},
			{excess.undo(back), lines{clearing: 2_00, writeOff: -2_00}, Balance{}},
		})
	})
	t.Run("a payment that bought nothing is disputed", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		back := o.entry(SurplusRefunded, "", 10_00)
		taken := o.disputed(SurplusWithdrawn, "dp_2", "", 10_00)
		run(t, []step{
			{o.entry(Surplus, "", 10_00), lines{clearing: 10_00, suspense: -10_00}, Balance{Pending: 8_50}},
			{taken, lines{clearing: -10_00, suspense: 10_00}, Balance{Pending: 8_50}},
			{back, lines{clearing: -10_00, writeOff: 10_00}, Balance{Pending: 8_50}},
			{o.disputed(SurplusReinstated, "dp_2", "", 10_00), lines{clearing: 10_00, writeOff: -10_00}, Balance{Pending: 8_50}},
			{o.undo(back), lines{clearing: 10_00, suspense: -10_00}, Balance{Pending: 8_50}},
			{o.release(), lines{pending: 8_50, available: -8_50}, Balance{Available: 8_50}},
		})
	})
	t.Run("the platform takes everything", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "KWD", 4_250, 0)
		w.mustPost(t, o.sale())
		run(t, []step{
			{o.opened(4_250), nil, Balance{}},
			{o.withdrawn(4_250), lines{clearing: -4_250, revenue: 4_250}, Balance{}},
			{o.reinstated("", 4_250), lines{clearing: 4_250, revenue: -4_250}, Balance{}},
			{o.closed(), nil, Balance{}},
		})
	})
	t.Run("two disputes about different parts", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		two := func(kind Kind, gross int64) Entry { return o.disputed(kind, "dp_2", "", gross) }
		run(t, []step{
			{o.opened(4_00), lines{pending: 3_40, held: -3_40}, Balance{Pending: 5_10, Held: 3_40}},
			{two(DisputeOpened, 3_00), lines{pending: 2_55, held: -2_55}, Balance{Pending: 2_55, Held: 5_95}},
			{two(DisputeWithdrawn, 3_00), lines{clearing: -3_00, held: 2_55, revenue: 45}, Balance{Pending: 2_55, Held: 3_40}},
			{two(DisputeClosed, 0), nil, Balance{Pending: 2_55, Held: 3_40}},
			{o.closed(), lines{held: 3_40, pending: -3_40}, Balance{Pending: 5_95}},
		})
	})
	t.Run("two disputes about the same money", func(t *testing.T) {
		t.Parallel()
		o := usd(t)
		two := func(kind Kind, gross int64) Entry { return o.disputed(kind, "dp_2", "", gross) }
		marks := func(t *testing.T, e Entry) {
			t.Helper()
			out := w.mustPost(t, e)
			require.Equal(t, Inserted, out[0].Result)
			all, err := w.store.OrderEntries(t.Context(), w.pool, o.id)
			require.NoError(t, err)
			mine := all[len(all)-1]
			require.Equal(t, e.Dispute, mine.Dispute)
			require.Equal(t, []Posting{{To: e.creator(held), Amount: 1}, {To: e.creator(held), Amount: -1}}, mine.Postings)
			require.Equal(t, Balance{Held: 8_50}, w.wallet(t, o.creator, "USD"))
			require.Empty(t, broken(t, w.pool))
		}
		w.mustPost(t, o.opened(10_00))
		marks(t, two(DisputeOpened, 10_00))
		marks(t, o.closed())
		run(t, []step{
			{o.release(), nil, Balance{Held: 8_50}},
			{two(DisputeWithdrawn, 10_00), lines{clearing: -10_00, held: 8_50, revenue: 1_50}, Balance{}},
			// The first is lost after all: the second's money was taken twice.
			{o.withdrawn(10_00), lines{clearing: -10_00, writeOff: 10_00}, Balance{}},
			{two(DisputeReinstated, 10_00), lines{clearing: 10_00, writeOff: -10_00}, Balance{}},
			{two(DisputeClosed, 0), nil, Balance{}},
			{o.reinstated("", 10_00), lines{clearing: 10_00, held: -8_50, revenue: -1_50}, Balance{Held: 8_50}},
			{two(DisputeClosed, 0), lines{held: 8_50, pending: -8_50}, Balance{Pending: 8_50}},
		})
	})
}

// Others took the money back twice, or for ever: a dispute after the payout
// makes debt once, what is earned next pays it, and winning restores it once.
func TestDisputeAfterPayout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCreator(t, w.pool)
	o, next := newSold(c, "USD", 10_00, 8_50), newSold(c, "USD", 20_00, 17_00)
	w.mustPost(t, o.sale(), o.release())
	w.payOut(t, w.pool, c, "USD", 8_50)
	lost := []Entry{o.sale(), o.opened(10_00), o.withdrawn(10_00), o.closed()}
	for range 2 { // the same news twice
		w.mustPost(t, lost...)
		require.Equal(t, Balance{Debt: 8_50}, w.wallet(t, c, "USD"))
	}
	w.mustPost(t, next.sale(), next.release())
	require.Equal(t, Balance{Available: 8_50}, w.wallet(t, c, "USD"))
	won := []Entry{o.sale(), o.opened(10_00), o.withdrawn(10_00), o.reinstated("", 10_00), o.closed()}
	for range 2 {
		w.mustPost(t, won...)
		require.Equal(t, Balance{Available: 17_00}, w.wallet(t, c, "USD"))
	}
	require.Empty(t, broken(t, w.pool))
}

// A sale that is refunded and lost as well costs the creator it once, whichever
// comes first; the second time is the platform's loss.
func TestDisputeAndRefundDebitOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, refundFirst := range []bool{true, false} {
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		w.mustPost(t, o.sale(), o.release())
		w.payOut(t, w.pool, o.creator, "USD", 8_50)
		entries := []Entry{o.refund("1", 10_00), o.withdrawn(10_00)}
		if !refundFirst {
			entries[0], entries[1] = entries[1], entries[0]
		}
		for _, e := range entries {
			w.mustPost(t, e)
		}
		require.Equal(t, Balance{Debt: 8_50}, w.wallet(t, o.creator, "USD"))
		require.Equal(t, lines{clearing: -10_00, writeOff: 10_00}, w.lines(t, o.id, entries[1].Key))
	}
	require.Empty(t, broken(t, w.pool))
}

// A refund failed, another took its place, and the first is only heard of now:
// there is no room for it, but it goes as it comes.
func TestFailedRefundIsHeardOfLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	first, gone := o.refund("1", 10_00), o.entry(SurplusRefunded, "1", 2_00)
	w.mustPost(t, o.sale(), o.entry(Surplus, "", 2_00), o.refund("2", 10_00), o.entry(SurplusRefunded, "2", 2_00))
	for _, e := range []Entry{first, gone} {
		_, err := w.post(t.Context(), e)
		require.ErrorIs(t, err, ErrExceeds)
		out := w.mustPost(t, e, o.undo(e))
		require.Equal(t, []Result{Inserted, Inserted}, results(out))
		require.Equal(t, lines{clearing: -e.Gross, writeOff: e.Gross}, w.lines(t, o.id, e.Key))
		require.Equal(t, lines{clearing: e.Gross, writeOff: -e.Gross}, w.lines(t, o.id, o.undo(e).Key))
	}
	require.Equal(t, Balance{}, w.wallet(t, o.creator, "USD"))
	require.Empty(t, broken(t, w.pool))
}

// What finds nothing to hold or to free is asked again when what follows in the
// same call makes room.
func TestAskedAgainInOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	r := o.refund("1", 10_00)
	w.mustPost(t, o.sale(), r)
	out := w.mustPost(t, o.release(), o.closed(), o.opened(10_00), o.undo(r))
	require.Equal(t, []Result{Inserted, Inserted, Inserted, Inserted}, results(out))
	require.Equal(t, Balance{Available: 8_50}, w.wallet(t, o.creator, "USD"))
	require.Empty(t, broken(t, w.pool))

	again := w.mustPost(t, o.release(), o.closed(), o.opened(10_00), o.undo(r))
	for i := range again {
		require.Equal(t, Posted{Key: out[i].Key, ID: out[i].ID, Result: Already}, again[i])
	}
}
