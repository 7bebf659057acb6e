package ledger

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
)

// lines is an entry's postings by the kind of account, so that a test reads as
// a row of the journal.
type lines map[string]int64

func (w *world) lines(t *testing.T, orderID uuid.UUID, key string) lines {
	t.Helper()
	all, err := w.store.OrderEntries(t.Context(), w.pool, orderID)
	require.NoError(t, err)
	i := slices.IndexFunc(all, func(e Standing) bool { return e.Key == key })
	require.GreaterOrEqual(t, i, 0, "no entry %s", key)
	out := lines{}
	for _, p := range all[i].Postings {
		require.NotContains(t, out, p.To.Kind)
		require.Equal(t, all[i].Currency, p.To.Currency)
		out[p.To.Kind] = p.Amount
	}
	return out
}

// step is one entry, what it must post, and what the creator has then.
type step struct {
	entry Entry
	want  lines // nil: nothing is posted
	after Balance
}

func (w *world) steps(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		out, err := w.post(t.Context(), s.entry)
		require.NoError(t, err, s.entry.Key)
		if s.want == nil {
			require.Equal(t, Nothing, out[0].Result, s.entry.Key)
		} else {
			require.Equal(t, Inserted, out[0].Result, s.entry.Key)
			require.Equal(t, s.want, w.lines(t, s.entry.OrderID, s.entry.Key), s.entry.Key)
		}
		require.Equal(t, s.after, w.wallet(t, s.entry.CreatorID, s.entry.Currency), s.entry.Key)
		require.Empty(t, broken(t, w.pool))
	}
}

// Each row of the journal with numbers that can be checked by hand.
func TestJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.steps
	t.Run("sale, fee, release", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		run(t, []step{
			{o.sale(), lines{clearing: 10_00, pending: -8_50, revenue: -1_50}, Balance{Pending: 8_50}},
			{o.entry(Fee, "", 59), lines{fees: 59, clearing: -59}, Balance{Pending: 8_50}},
			{o.release(), lines{pending: 8_50, available: -8_50}, Balance{Available: 8_50}},
		})
		again := o.release()
		again.Key += "again"
		run(t, []step{{again, nil, Balance{Available: 8_50}}})
	})
	t.Run("surplus comes, goes, comes back", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "JPY", 1200, 1080)
		gone := o.entry(SurplusRefunded, "1", 700)
		run(t, []step{
			{o.entry(Surplus, "1", 1200), lines{clearing: 1200, suspense: -1200}, Balance{}},
			{gone, lines{suspense: 700, clearing: -700}, Balance{}},
			{o.undo(gone), lines{clearing: 700, suspense: -700}, Balance{}},
			{o.entry(SurplusRefunded, "2", 1200), lines{suspense: 1200, clearing: -1200}, Balance{}},
		})
	})
	// Paid 12.00 for 10.00: the provider gives all of it back at once.
	t.Run("a refund beyond the sale takes the rest from suspense", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		all := o.refund("1", 12_00)
		run(t, []step{
			{o.sale(), lines{clearing: 10_00, pending: -8_50, revenue: -1_50}, Balance{Pending: 8_50}},
			{o.entry(Surplus, "1", 2_00), lines{clearing: 2_00, suspense: -2_00}, Balance{Pending: 8_50}},
			{all, lines{clearing: -12_00, pending: 8_50, revenue: 1_50, suspense: 2_00}, Balance{}},
			{o.undo(all), lines{clearing: 12_00, pending: -8_50, revenue: -1_50, suspense: -2_00}, Balance{Pending: 8_50}},
		})
	})
	t.Run("the platform takes nothing, or everything", func(t *testing.T) {
		t.Parallel()
		c := newCreator(t, w.pool)
		whole, none := newSold(c, "KWD", 4_250, 4_250), newSold(c, "KWD", 4_250, 0)
		r := none.refund("1", 4_250)
		run(t, []step{
			{whole.sale(), lines{clearing: 4_250, pending: -4_250}, Balance{Pending: 4_250}},
			{none.sale(), lines{clearing: 4_250, revenue: -4_250}, Balance{Pending: 4_250}},
			{none.release(), nil, Balance{Pending: 4_250}},
			{whole.refund("1", 250), lines{clearing: -250, pending: 250}, Balance{Pending: 4_000}},
			{r, lines{clearing: -4_250, revenue: 4_250}, Balance{Pending: 4_000}},
			{none.undo(r), lines{clearing: 4_250, revenue: -4_250}, Balance{Pending: 4_000}},
		})
	})
	// 10.00 at 85 % net: a third refunded twice and the rest. floor(3.33 x 0.85)
	// = 2.83, floor(6.66 x 0.85) = 5.66, and 8.50: the shares add up exactly.
	t.Run("partial refunds round towards the platform and add up", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		run(t, []step{
			{o.sale(), lines{clearing: 10_00, pending: -8_50, revenue: -1_50}, Balance{Pending: 8_50}},
			{o.refund("1", 3_33), lines{clearing: -3_33, pending: 2_83, revenue: 50}, Balance{Pending: 5_67}},
			{o.refund("2", 3_33), lines{clearing: -3_33, pending: 2_83, revenue: 50}, Balance{Pending: 2_84}},
			{o.refund("3", 3_34), lines{clearing: -3_34, pending: 2_84, revenue: 50}, Balance{}},
			{o.release(), nil, Balance{}},
		})
	})
	// 5 at 3 net: one each. floor(1x3/5)=0, floor(2x3/5)=1, 1, 2, 3.
	t.Run("refunds of one minor unit each", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "JPY", 5, 3)
		run(t, []step{
			{o.sale(), lines{clearing: 5, pending: -3, revenue: -2}, Balance{Pending: 3}},
			{o.refund("1", 1), lines{clearing: -1, revenue: 1}, Balance{Pending: 3}},
			{o.refund("2", 1), lines{clearing: -1, pending: 1}, Balance{Pending: 2}},
			{o.refund("3", 1), lines{clearing: -1, revenue: 1}, Balance{Pending: 2}},
			{o.refund("4", 1), lines{clearing: -1, pending: 1}, Balance{Pending: 1}},
			{o.refund("5", 1), lines{clearing: -1, pending: 1}, Balance{}},
		})
	})
	t.Run("refund after release, with enough available", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 20_00, 17_00)
		r := o.refund("1", 20_00)
		w.mustPost(t, o.sale(), o.release())
		run(t, []step{
			{r, lines{clearing: -20_00, available: 17_00, revenue: 3_00}, Balance{}},
			{o.undo(r), lines{clearing: 20_00, available: -17_00, revenue: -3_00}, Balance{Available: 17_00}},
		})
	})
	t.Run("refund after release and payout makes debt, paid off first", func(t *testing.T) {
		t.Parallel()
		c := newCreator(t, w.pool)
		o, next := newSold(c, "KWD", 10_000, 9_000), newSold(c, "KWD", 10_000, 9_000)
		r := o.refund("1", 10_000)
		w.mustPost(t, o.sale(), o.release())
		w.payOut(t, w.pool, c, "KWD", 6_000)
		run(t, []step{
			{next.sale(), lines{clearing: 10_000, pending: -9_000, revenue: -1_000}, Balance{Pending: 9_000, Available: 3_000}},
			// The other order's pending 9.000 is not touched.
			{r, lines{clearing: -10_000, available: 3_000, debt: 6_000, revenue: 1_000}, Balance{Pending: 9_000, Debt: 6_000}},
			{next.release(), lines{pending: 9_000, debt: -6_000, available: -3_000}, Balance{Available: 3_000}},
		})
	})
	t.Run("a refund undone pays debt first", func(t *testing.T) {
		t.Parallel()
		c := newCreator(t, w.pool)
		o := newSold(c, "USD", 10_00, 9_00)
		r := o.refund("1", 10_00)
		w.mustPost(t, o.sale(), o.release())
		w.payOut(t, w.pool, c, "USD", 4_00)
		run(t, []step{
			{r, lines{clearing: -10_00, available: 5_00, debt: 4_00, revenue: 1_00}, Balance{Debt: 4_00}},
			{o.undo(r), lines{clearing: 10_00, debt: -4_00, available: -5_00, revenue: -1_00}, Balance{Available: 5_00}},
		})
	})
	t.Run("refund before release, another order pending", func(t *testing.T) {
		t.Parallel()
		c := newCreator(t, w.pool)
		o, other := newSold(c, "USD", 10_00, 9_00), newSold(c, "USD", 7_00, 6_30)
		r := o.refund("1", 4_00)
		w.mustPost(t, o.sale(), other.sale())
		run(t, []step{
			{r, lines{clearing: -4_00, pending: 3_60, revenue: 40}, Balance{Pending: 11_70}},
			{o.undo(r), lines{clearing: 4_00, pending: -3_60, revenue: -40}, Balance{Pending: 15_30}},
			{other.release(), lines{pending: 6_30, available: -6_30}, Balance{Pending: 9_00, Available: 6_30}},
		})
	})
	t.Run("refunded in part, released, refunded in full", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 9_00)
		w.mustPost(t, o.sale())
		run(t, []step{
			{o.refund("1", 4_00), lines{clearing: -4_00, pending: 3_60, revenue: 40}, Balance{Pending: 5_40}},
			{o.release(), lines{pending: 5_40, available: -5_40}, Balance{Available: 5_40}},
			{o.refund("2", 6_00), lines{clearing: -6_00, available: 5_40, revenue: 60}, Balance{}},
		})
	})
	// 4 at 2 net, refunded one by one: shares 0, 1, 0, 1. Whichever are undone,
	// the creator has given floor(3x2/4) = 1 of 3, and floor(2x2/4) = 1 of 2.
	t.Run("refunds undone out of order", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "JPY", 4, 2)
		r := [4]Entry{o.refund("1", 1), o.refund("2", 1), o.refund("3", 1), o.refund("4", 1)}
		w.mustPost(t, o.sale(), r[0], r[1], r[2], r[3])
		run(t, []step{
			{o.undo(r[0]), lines{clearing: 1, pending: -1}, Balance{Pending: 1}},
			{o.undo(r[2]), lines{clearing: 1, revenue: -1}, Balance{Pending: 1}},
			{o.refund("5", 1), lines{clearing: -1, revenue: 1}, Balance{Pending: 1}},
			{o.refund("6", 1), lines{clearing: -1, pending: 1}, Balance{}},
		})
	})
	t.Run("a sale and its refund in one call", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
		r := o.refund("1", 10_00)
		out := w.mustPost(t, o.sale(), r, o.sale(), o.undo(r))
		require.Equal(t, []Result{Inserted, Inserted, Already, Inserted}, results(out))
		require.Equal(t, out[0].ID, out[2].ID)
		require.Equal(t, Balance{Pending: 8_50}, w.wallet(t, o.creator, "USD"))
		require.Empty(t, broken(t, w.pool))
	})
	// 2^53 x 2^53 does not fit 64 bits.
	t.Run("a share is computed in 128 bits", func(t *testing.T) {
		t.Parallel()
		o := newSold(newCreator(t, w.pool), "USD", maxGross, maxGross-1)
		w.mustPost(t, o.sale())
		run(t, []step{{
			o.refund("1", maxGross-1),
			lines{clearing: -(maxGross - 1), pending: maxGross - 2, revenue: 1},
			Balance{Pending: 1},
		}})
	})
}

func results(out []Posted) []Result {
	r := make([]Result, len(out))
	for i := range out {
		r[i] = out[i].Result
	}
	return r
}

func TestSameEntryAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	refund, surplus, fee := o.refund("1", 4_00), o.entry(Surplus, "", 1_00), o.entry(Fee, "", 30)
	all := []Entry{
		o.sale(), surplus, fee, refund, o.undo(refund), o.release(), o.entry(SurplusRefunded, "", 1_00),
		o.opened(10_00), o.withdrawn(8_00), o.reinstated("", 3_00), o.closed(),
		o.disputed(SurplusWithdrawn, "dp_2", "", 50), o.disputed(SurplusReinstated, "dp_2", "", 20),
	}
	first := w.mustPost(t, all...)
	before := w.wallet(t, o.creator, "USD")

	again := w.mustPost(t, all...)
	for i := range again {
		require.Equal(t, Posted{Key: all[i].Key, ID: first[i].ID, Result: Already}, again[i])
		one := w.mustPost(t, all[i]) // also alone, where the order's history may not be read
		require.Equal(t, again[i], one[0])
	}
	require.Equal(t, before, w.wallet(t, o.creator, "USD"))

	// The key stands for something else.
	for _, e := range all {
		twin := newSold(newCreator(t, w.pool), "USD", o.gross, o.net) // a refund of it would make sense
		w.mustPost(t, twin.sale(), twin.entry(Surplus, "", 1_00))
		other := e
		other.OrderID, other.CreatorID = twin.id, twin.creator
		if e.Kind == Sale {
			other.OrderID = id.New()
		}
		if e.Dispute != "" {
			w.mustPost(t, twin.opened(10_00), twin.withdrawn(8_00), twin.disputed(SurplusWithdrawn, "dp_2", "", 50))
			other.Dispute = twin.disputed(e.Kind, "dp_1", "", 0).Dispute
			if e.Kind == DisputeOpened {
				other.Dispute += "3"
			}
			if e.Kind == SurplusReinstated {
				other.Dispute = twin.disputed(e.Kind, "dp_2", "", 0).Dispute
			}
		}
		kind := e
		kind.Kind, kind.Undoes = Fee, ""
		if e.Kind == Fee {
			kind.Kind = Surplus
		}
		kind.Gross = max(e.Gross, 1)
		currency := e
		currency.Currency = "EUR"
		gross := e
		gross.Gross++
		gross.OrderGross++
		dispute := e
		dispute.Dispute += "4"
		for what, e := range map[string]Entry{"order": other, "kind": kind, "currency": currency, "gross": gross, "dispute": dispute} {
			if what == "gross" && e.findsGross() || what == "dispute" && !e.ofDispute() {
				continue // its amount is the ledger's to find, or it has no dispute
			}
			_, err := w.post(t.Context(), e)
			want := ErrEntryDiffers
			if what == "order" && e.Undoes != "" {
				want = ErrNoBasis
			}
			require.ErrorIs(t, err, want, "another %s under %s", what, e.Key)
			var wrong *EntryError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, e.Key, wrong.Key)
			require.Equal(t, e.OrderID, wrong.OrderID)
		}
	}
	require.Empty(t, broken(t, w.pool))
	require.Equal(t, before, w.wallet(t, o.creator, "USD"))
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCreator(t, w.pool)
	o, unsold := newSold(c, "USD", 10_00, 8_50), newSold(c, "USD", 10_00, 8_50)
	r, s := o.refund("r", 4_00), o.entry(SurplusRefunded, "s", 2_00)
	undone := o.undo(r)
	disputed := newSold(c, "USD", 10_00, 8_50)
	w.mustPost(t, o.sale(), o.entry(Surplus, "s", 5_00), r, s, undone)
	w.mustPost(t, disputed.sale(), disputed.opened(10_00), disputed.withdrawn(4_00), disputed.closed())
	lost := disputed.disputed(SurplusWithdrawn, "dp_2", "", 1_00)
	w.mustPost(t, lost)

	change := func(e Entry, f func(*Entry)) Entry { f(&e); return e }
	for name, c := range map[string]struct {
		e    Entry
		want error
	}{
		"a second sale":                    {change(o.sale(), func(e *Entry) { e.Key += "2" }), ErrEntryDiffers},
		"a refund of what was not sold":    {unsold.refund("1", 1_00), ErrNoBasis},
		"a release of what was not sold":   {unsold.release(), ErrNoBasis},
		"a refund of more than there is":   {o.refund("2", 13_01), ErrExceeds}, // 10.00 of the sale, 3.00 in suspense
		"other shares than the sale's":     {change(o.refund("2", 1_00), func(e *Entry) { e.OrderNet = 8_00 }), ErrEntryDiffers},
		"a refund in another currency":     {change(o.refund("2", 1_00), func(e *Entry) { e.Currency = "EUR" }), ErrEntryDiffers},
		"a refund of another creator":      {change(o.refund("2", 1_00), func(e *Entry) { e.CreatorID = id.New() }), ErrEntryDiffers},
		"a release for another creator":    {change(o.release(), func(e *Entry) { e.CreatorID = id.New() }), ErrEntryDiffers},
		"an undoing of nothing":            {change(undone, func(e *Entry) { e.Key, e.Undoes = "u", "no such key" }), ErrNoBasis},
		"a second undoing":                 {change(undone, func(e *Entry) { e.Key = "u" }), ErrEntryDiffers},
		"an undoing over another amount":   {change(o.undo(s), func(e *Entry) { e.Gross = 1_99 }), ErrEntryDiffers},
		"an undoing at another account":    {change(o.undo(s), func(e *Entry) { e.Account = "second" }), ErrEntryDiffers},
		"an undoing of the wrong kind":     {change(o.undo(s), func(e *Entry) { e.Undoes = o.sale().Key }), ErrEntryDiffers},
		"more surplus back than there is":  {o.entry(SurplusRefunded, "2", 3_01), ErrExceeds},
		"surplus back in another currency": {change(o.entry(SurplusRefunded, "2", 1_00), func(e *Entry) { e.Currency = "EUR" }), ErrExceeds},
		"no amount":                        {o.entry(Fee, "2", 0), ErrInvalid},
		"a negative amount":                {o.entry(Fee, "2", -1), ErrInvalid},
		"an amount beyond all prices":      {o.entry(Fee, "2", maxGross+1), ErrInvalid},
		"no key":                           {change(o.entry(Fee, "2", 1), func(e *Entry) { e.Key = "" }), ErrInvalid},
		"no order":                         {change(o.entry(Fee, "2", 1), func(e *Entry) { e.OrderID = uuid.Nil }), ErrInvalid},
		"no cause":                         {change(o.entry(Fee, "2", 1), func(e *Entry) { e.CauseID = uuid.Nil }), ErrInvalid},
		"no provider":                      {change(o.entry(Fee, "2", 1), func(e *Entry) { e.Provider = "" }), ErrInvalid},
		"no creator":                       {change(unsold.sale(), func(e *Entry) { e.CreatorID = uuid.Nil }), ErrInvalid},
		"a net above the gross":            {change(unsold.sale(), func(e *Entry) { e.OrderNet = 10_01 }), ErrInvalid},
		"a sale over part of the order":    {change(unsold.sale(), func(e *Entry) { e.Gross = 9_99 }), ErrInvalid},
		"an undoing without a name":        {change(undone, func(e *Entry) { e.Key, e.Undoes = "u", "" }), ErrInvalid},
		"a fee that undoes":                {change(o.entry(Fee, "2", 1), func(e *Entry) { e.Undoes = r.Key }), ErrInvalid},
		"a kind that is none":              {o.entry("gift", "2", 1), ErrInvalid},

		"a dispute of what was not sold":      {unsold.opened(1_00), ErrNoBasis},
		"money taken of what was not sold":    {unsold.withdrawn(1_00), ErrNoBasis},
		"a dispute without a name":            {change(o.opened(1_00), func(e *Entry) { e.Dispute = "" }), ErrInvalid},
		"a refund with the name of a dispute": {change(o.refund("2", 1_00), func(e *Entry) { e.Dispute = "dp" }), ErrInvalid},
		"a dispute over nothing":              {o.opened(0), ErrInvalid},
		"money taken by nobody":               {change(o.withdrawn(1_00), func(e *Entry) { e.Provider = "" }), ErrInvalid},
		"a dispute in another currency":       {change(o.opened(1_00), func(e *Entry) { e.Currency = "EUR" }), ErrEntryDiffers},
		"a dispute of another creator":        {change(o.opened(1_00), func(e *Entry) { e.CreatorID = id.New() }), ErrEntryDiffers},
		"a dispute opened by another entry":   {change(disputed.opened(10_00), func(e *Entry) { e.Key += "2" }), ErrEntryDiffers},
		"a dispute closed by another entry":   {change(disputed.closed(), func(e *Entry) { e.Key += "2" }), ErrEntryDiffers},
		"more reinstated than was taken":      {disputed.reinstated("", 4_01), ErrExceeds},
		"reinstated of another dispute":       {disputed.disputed(DisputeReinstated, "dp_2", "", 1_00), ErrExceeds},
		"more surplus reinstated than taken":  {disputed.disputed(SurplusReinstated, "dp_2", "", 1_01), ErrExceeds},
		"surplus reinstated in other money":   {change(disputed.disputed(SurplusReinstated, "dp_2", "", 1), func(e *Entry) { e.Currency = "EUR" }), ErrExceeds},
	} {
		_, err := w.post(t.Context(), c.e)
		require.ErrorIs(t, err, c.want, name)
		var wrong *EntryError
		require.ErrorAs(t, err, &wrong, name)
	}
	require.Empty(t, broken(t, w.pool))
	require.Equal(t, Balance{Pending: 13_60}, w.wallet(t, c, "USD"))
	out, err := w.post(t.Context())
	require.NoError(t, err)
	require.Empty(t, out)
}
