package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
)

// paper is a ledger without a database: what stands of one order, and the wallet.
type paper struct {
	standing []*Standing
	wallet   Balance
}

func (p *paper) post(_ context.Context, entries ...Entry) ([]Posted, error) {
	e := &entries[0]
	wallet := p.wallet
	b := &book{orders: map[uuid.UUID]*folio{}, wallets: map[purse]*Balance{{e.CreatorID, e.Currency}: &wallet}}
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			return nil, err
		}
	}
	for _, s := range p.standing {
		b.order(s.OrderID).add(s)
	}
	out, fresh, _, err := b.write(entries)
	if err == nil {
		p.standing, p.wallet = append(p.standing, fresh...), wallet
	}
	return out, err
}

// end is where all money is in the end.
type end struct {
	wallet Balance
	totals lines // of the platform
}

func (p *paper) end() end {
	e := end{wallet: p.wallet, totals: lines{}}
	for _, s := range p.standing {
		for _, posting := range s.Postings {
			if posting.To.CreatorID == uuid.Nil {
				if e.totals[posting.To.Kind] += posting.Amount; e.totals[posting.To.Kind] == 0 {
					delete(e.totals, posting.To.Kind)
				}
			}
		}
	}
	return e
}

// post is a call to a ledger.
type post func(ctx context.Context, entries ...Entry) ([]Posted, error)

// fact is news about an order: the entries that it calls for. A refund that
// failed is known by one fact, and so is a dispute that is closed.
type fact []Entry

// canonical is the order in which a caller posts what it knows of an order.
var canonical = []Kind{
	Sale, Surplus, Refund, RefundUndone, SurplusRefunded,
	DisputeOpened, DisputeWithdrawn, DisputeReinstated, DisputeClosed, SurplusWithdrawn, SurplusReinstated,
}

// deriving posts, at each fact, all that is known then: entries that undo next
// to what they undo, and what is refused left out until there is other news.
func deriving(t require.TestingT, ctx context.Context, post post, facts []fact) {
	var known []Entry
	for _, f := range facts {
		for _, e := range f {
			if !slices.ContainsFunc(known, func(k Entry) bool { return k.Key == e.Key }) {
				known = append(known, e)
			}
		}
		place := func(e Entry) string {
			at := fmt.Sprintf("%02d", slices.Index(canonical, e.Kind))
			switch {
			case e.Undoes != "": // before refunds that stand: it makes room for them
				return "01 " + e.Undoes + " undone"
			case slices.ContainsFunc(known, func(k Entry) bool { return k.Undoes == e.Key }):
				return "01 " + e.Key
			case e.ofDispute():
				return "50 " + e.Dispute + at
			}
			return at + e.Key
		}
		slices.SortStableFunc(known, func(a, b Entry) int {
			if place(a) < place(b) {
				return -1
			}
			return 1
		})
		for entries := slices.Clone(known); len(entries) > 0; {
			_, err := post(ctx, entries...)
			if err == nil {
				break
			}
			var wrong *EntryError
			require.ErrorAs(t, err, &wrong)
			entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Key == wrong.Key || e.Undoes == wrong.Key })
		}
	}
}

// bare posts each fact alone, and what is refused, or finds nothing, again and
// again until nothing changes.
func bare(t require.TestingT, ctx context.Context, post post, facts []fact) {
	waiting, refused := slices.Clone(facts), 0
	for before := -1; before != len(waiting); {
		before, refused = len(waiting), 0
		waiting = slices.DeleteFunc(waiting, func(f fact) bool {
			out, err := post(ctx, f...)
			if err != nil {
				require.ErrorIs(t, err, ErrExceeds)
				refused++
			}
			return err == nil && !slices.Contains(results(out), Nothing)
		})
	}
	require.Zero(t, refused)
}

// drawFacts draws what may become known of an order, and what it comes to.
func drawFacts(t *rapid.T, o *modelOrder) (facts []fact) {
	upTo := func(most int64) int64 { return rapid.Int64Range(1, most).Draw(t, "amount") }
	if rapid.Bool().Draw(t, "excess") {
		e := o.entry(Surplus, o.next(), upTo(20))
		o.surplus = e.Gross
		facts = append(facts, fact{e})
	}
	for range rapid.IntRange(0, 3).Draw(t, "refunds") {
		failed := rapid.Bool().Draw(t, "failed")
		most := o.refundable()
		if failed {
			most = o.gross
		}
		if most == 0 {
			continue
		}
		e := o.refundOf(Refund, upTo(most))
		f := fact{e}
		if failed {
			o.refunds[len(o.refunds)-1].undone = true
			f = append(f, o.undo(e))
		}
		facts = append(facts, f)
	}
	if back := o.returnable(); back > 0 && rapid.Bool().Draw(t, "sent back") {
		facts = append(facts, fact{o.refundOf(SurplusRefunded, upTo(back))})
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "disputes") {
		d := &modelDispute{name: fmt.Sprint("dp", n), opened: upTo(o.gross + 10)}
		o.disputes = append(o.disputes, d)
		opened := o.disputed(DisputeOpened, d.name, "", d.opened)
		facts = append(facts, fact{opened})
		for i := range rapid.IntRange(0, 2).Draw(t, "withdrawn") {
			e := o.disputed(DisputeWithdrawn, d.name, fmt.Sprint("w", i), upTo(d.opened))
			d.taken += e.Gross
			facts = append(facts, fact{e})
		}
		for i := 0; d.taken > 0 && i < rapid.IntRange(0, 2).Draw(t, "reinstated"); i++ {
			e := o.disputed(DisputeReinstated, d.name, fmt.Sprint("r", i), upTo(d.taken))
			d.taken -= e.Gross
			facts = append(facts, fact{e})
		}
		if d.closed = rapid.Bool().Draw(t, "closed"); d.closed {
			facts = append(facts, fact{opened, o.disputed(DisputeClosed, d.name, "", 0)})
		}
	}
	if rapid.Bool().Draw(t, "another payment") {
		e := o.disputed(SurplusWithdrawn, "dp9", "", upTo(20))
		o.disputes = append(o.disputes, &modelDispute{name: "dp9", lost: e.Gross})
		facts = append(facts, fact{e})
	}
	return facts
}

// Whatever comes first, whatever comes twice, and however the caller asks: the
// money ends where the sums say.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		gross := rapid.Int64Range(1, 60).Draw(rt, "gross")
		o := &modelOrder{sold: newSold(id.New(), "USD", gross, rapid.Int64Range(0, gross).Draw(rt, "net"))}
		// What other orders of the creator left.
		other := rapid.Int64Range(-30, 30).Draw(rt, "of other orders")
		o.released = rapid.Bool().Draw(rt, "released")
		facts := drawFacts(rt, o)
		c := o.count()
		free := other + c.free
		want := end{
			wallet: Balance{Pending: c.pending, Held: c.held, Available: max(0, free), Debt: max(0, -free)},
			totals: lines{},
		}
		for kind, n := range map[string]int64{clearing: c.clearing, revenue: -c.revenue, suspense: -c.suspense, writeOff: c.writeOff} {
			if n != 0 {
				want.totals[kind] = n
			}
		}
		places := make([]int, 2*len(facts))
		for i := range places {
			places[i] = i / 2
		}
		for name, arrive := range []func(require.TestingT, context.Context, post, []fact){deriving, bare} {
			p := &paper{wallet: Balance{Available: max(0, other), Debt: max(0, -other)}}
			_, err := p.post(t.Context(), o.sale())
			require.NoError(rt, err)
			if o.released {
				_, err := p.post(t.Context(), o.release())
				require.NoError(rt, err)
				if o.net == 0 {
					require.Zero(rt, c.free+c.held+c.pending)
				}
			}
			var arriving []fact
			for _, i := range rapid.Permutation(places).Draw(rt, "order of arrival") {
				arriving = append(arriving, facts[i])
			}
			arrive(rt, t.Context(), p.post, arriving)
			require.Equal(rt, want, p.end(), name)
		}
	})
}

// All permutations of facts, each twice in a row, with the ends worked by hand.
func TestAllPermutations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newSold(newCreator(t, w.pool), "USD", 10_00, 8_50)
	failed, closed := o.refund("f", 4_00), func(name string) fact {
		return fact{o.disputed(DisputeOpened, name, "", 6_00), o.disputed(DisputeClosed, name, "", 0)}
	}
	for name, c := range map[string]struct {
		facts []fact
		want  end
	}{
		// 3.00 refunded and 4.00 taken: of 7.00 the creator gives 5.95.
		"a refund that failed, one that did not, and a dispute won in part": {
			[]fact{
				{failed, o.undo(failed)},
				{o.refund("1", 3_00)},
				{o.opened(10_00), o.closed()},
				{o.withdrawn(10_00)},
				{o.reinstated("", 6_00)},
			},
			end{Balance{Pending: 2_55}, lines{clearing: 3_00, revenue: -45}},
		},
		"refunded and lost": {
			[]fact{{o.refund("1", 10_00)}, {o.opened(10_00)}, {o.withdrawn(10_00)}, {o.opened(10_00), o.closed()}},
			end{Balance{}, lines{clearing: -10_00, writeOff: 10_00}},
		},
		"refunded, lost and won later": {
			[]fact{{o.refund("1", 10_00)}, {o.opened(10_00)}, {o.withdrawn(10_00)}, {o.opened(10_00), o.closed()}, {o.reinstated("", 10_00)}},
			end{Balance{}, lines{}},
		},
		// 4.00 refunded, 6.00 left, which both disputed and neither took.
		"two disputes of what is left after a refund, both won": {
			[]fact{{o.refund("1", 4_00)}, {o.disputed(DisputeOpened, "a", "", 6_00)}, {o.disputed(DisputeOpened, "b", "", 6_00)}, closed("a"), closed("b")},
			end{Balance{Pending: 5_10}, lines{clearing: 6_00, revenue: -90}},
		},
		"two disputes, one of them still open": {
			[]fact{{o.refund("1", 4_00)}, {o.disputed(DisputeOpened, "a", "", 6_00)}, {o.disputed(DisputeOpened, "b", "", 6_00)}, closed("a")},
			end{Balance{Held: 5_10}, lines{clearing: 6_00, revenue: -90}},
		},
		// 12.00 came for 10.00, and 12.00 were taken after 1.00 of the excess went back.
		"an excess, sent back in part, and a dispute of all": {
			[]fact{{o.entry(Surplus, "", 2_00)}, {o.entry(SurplusRefunded, "", 1_00)}, {o.opened(12_00), o.closed()}, {o.withdrawn(12_00)}},
			end{Balance{}, lines{clearing: -1_00, writeOff: 1_00}},
		},
	} {
		for _, order := range permutations(len(c.facts)) {
			var facts []fact
			for _, i := range order {
				facts = append(facts, c.facts[i], c.facts[i])
			}
			for _, arrive := range []func(require.TestingT, context.Context, post, []fact){deriving, bare} {
				p := &paper{}
				_, err := p.post(t.Context(), o.sale())
				require.NoError(t, err)
				arrive(t, t.Context(), p.post, facts)
				require.Equal(t, c.want, p.end(), "%s: %v", name, order)
			}
		}
	}

	// The same in the database, for the first of them.
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(background()) }()
	failed2 := func(o sold) (f, u Entry) { f = o.refund("f", 4_00); return f, o.undo(f) }
	orders := permutations(5)
	for _, order := range orders {
		o := newSold(o.creator, "USD", 10_00, 8_50)
		f, u := failed2(o)
		facts := []fact{{f, u}, {o.refund("1", 3_00)}, {o.opened(10_00), o.closed()}, {o.withdrawn(10_00)}, {o.reinstated("", 6_00)}}
		_, err := w.store.PostTx(t.Context(), tx, []Entry{o.sale()})
		require.NoError(t, err)
		var sorted []fact
		for _, i := range order {
			sorted = append(sorted, facts[i])
		}
		deriving(t, t.Context(), func(ctx context.Context, entries ...Entry) ([]Posted, error) {
			point, err := tx.Begin(ctx)
			if err != nil {
				return nil, err
			}
			out, err := w.store.PostTx(ctx, point, entries)
			if err != nil {
				return nil, errors.Join(err, point.Rollback(ctx))
			}
			return out, point.Commit(ctx)
		}, sorted)
	}
	n := int64(len(orders))
	b, err := w.store.Wallet(t.Context(), tx, o.creator, "USD")
	require.NoError(t, err)
	require.Equal(t, Balance{Pending: n * 2_55}, b)
	require.Equal(t, map[[2]string]int64{{clearing, "USD"}: n * 3_00, {revenue, "USD"}: -n * 45}, totals(t, tx))
	require.Empty(t, broken(t, tx))
}

// permutations of the numbers below n.
func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// spy counts the statements that a transaction runs.
type spy struct {
	pgx.Tx
	queries []string
}

func (s *spy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.queries = append(s.queries, sql)
	return s.Tx.Query(ctx, sql, args...)
}

// The hot path: a sale, and the fee that comes with it, read nothing of the past.
func TestSalesReadNoHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCreator(t, w.pool)
	read := func(entries ...Entry) bool {
		tx, err := w.pool.Begin(t.Context())
		require.NoError(t, err)
		s := &spy{Tx: tx}
		_, err = w.store.PostTx(t.Context(), s, entries)
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		require.NotEmpty(t, s.queries)
		return slices.ContainsFunc(s.queries, func(sql string) bool { return sql[:len("-- name: PostingsOfOrders")] == "-- name: PostingsOfOrders" })
	}
	a, b := newSold(c, "USD", 10_00, 8_50), newSold(c, "USD", 10_00, 8_50)
	require.False(t, read(a.sale(), a.entry(Fee, "", 59), b.sale()))
	require.True(t, read(a.opened(10_00)))
}
