package ledger

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model says what the journal says, in the plainest Go: no database, no
// postings, no path. It keeps what happened, and counts where the money is from
// nothing each time, one minor unit of a sale after the other.
type model struct {
	orders  []*modelOrder
	paidOut map[purse]int64
	past    []Entry // all that was posted, for sending it again
}

type modelOrder struct {
	sold
	released bool
	refunds  []*modelRefund
	surplus  int64 // what came in and bought nothing
	returned []*modelRefund
	disputes []*modelDispute
	fees     int64
	entries  int // numbers the keys
}

type modelRefund struct {
	entry  Entry
	undone bool
}

type modelDispute struct {
	name   string
	opened int64
	taken  int64 // of the sale
	lost   int64 // of the surplus
	closed bool
}

// count is where an order's money is: the creator's four, and the platform's.
type count struct {
	pending, held, free                                  int64
	clearing, revenue, suspense, fees, writeOff, surplus int64
}

func standing(refunds []*modelRefund) (sum int64) {
	for _, r := range refunds {
		if !r.undone {
			sum += r.entry.Gross
		}
	}
	return sum
}

func (o *modelOrder) count() (c count) {
	refunded, taken, lost, open := standing(o.refunds), int64(0), int64(0), int64(0)
	for _, d := range o.disputes {
		taken += d.taken
		lost += d.lost
		if !d.closed && d.opened > d.taken {
			open += d.opened - d.taken
		}
	}
	owned := int64(0) // units of the creator among those counted
	for unit := range o.gross {
		creators := (unit+1)*o.net/o.gross > owned
		if creators {
			owned++
		}
		switch {
		case unit < refunded+taken: // it is gone
		case !creators:
			c.revenue++
		case unit < refunded+taken+open:
			c.held++
		case o.released:
			c.free++
		default:
			c.pending++
		}
	}
	c.surplus = o.surplus - standing(o.returned)
	c.clearing = o.gross + c.surplus - refunded - taken - lost - o.fees
	c.fees = o.fees
	// What is owed beyond what the provider holds is lost.
	c.suspense = c.surplus
	beyond := refunded + taken + lost
	for beyond -= min(o.gross, refunded+taken); beyond > 0; beyond-- {
		if c.suspense > 0 {
			c.suspense--
		} else {
			c.writeOff++
		}
	}
	return c
}

// wallet is what a creator has of all orders, less what was paid out.
func (m *model) wallet(p purse) (b Balance) {
	free := -m.paidOut[p]
	for _, o := range m.orders {
		if (purse{o.creator, o.currency}) == p {
			c := o.count()
			b.Pending, b.Held, free = b.Pending+c.pending, b.Held+c.held, free+c.free
		}
	}
	b.Available, b.Debt = max(0, free), max(0, -free)
	return b
}

// totals are the platform's accounts by kind and currency, debit positive.
func (m *model) totals() map[[2]string]int64 {
	t := map[[2]string]int64{}
	for _, o := range m.orders {
		c := o.count()
		for kind, n := range map[string]int64{clearing: c.clearing, revenue: -c.revenue, suspense: -c.suspense, fees: c.fees, writeOff: c.writeOff} {
			t[[2]string{kind, o.currency}] += n
		}
	}
	return nonZero(t)
}

// refundable is the most that a refund may be over now, and returnable the most
// that a refund of the surplus may be.
func (o *modelOrder) refundable() int64 { return o.gross - standing(o.refunds) + o.count().surplus }

func (o *modelOrder) returnable() int64 {
	return o.count().surplus - max(0, standing(o.refunds)-o.gross)
}

func (o *modelOrder) next() string {
	o.entries++
	return fmt.Sprint(o.entries)
}

func (o *modelOrder) refundOf(kind Kind, gross int64) Entry {
	r := &modelRefund{entry: o.entry(kind, o.next(), gross)}
	if kind == Refund {
		o.refunds = append(o.refunds, r)
	} else {
		o.returned = append(o.returned, r)
	}
	return r.entry
}

func (o *modelOrder) withCreator() bool {
	c := o.count()
	return c.pending+c.held+c.free > 0
}

// step draws one thing that can happen, applies it to the model and returns the
// entry that says so. ok is false when the thing drawn can't happen now.
func (m *model) step(t *rapid.T, creators []uuid.UUID) (e Entry, want Result, ok bool) {
	what := "sell"
	if len(m.orders) > 0 {
		what = rapid.SampledFrom([]string{
			"sell", "refund", "refund", "undo", "release", "surplus", "return", "unreturn", "fee", "again",
			"open", "open", "withdraw", "withdraw", "reinstate", "close", "lose", "regain",
		}).Draw(t, "what")
	}
	if what == "sell" {
		gross := rapid.Int64Range(1, 300).Draw(t, "gross")
		o := &modelOrder{sold: newSold(rapid.SampledFrom(creators).Draw(t, "creator"), rapid.SampledFrom([]string{"USD", "JPY"}).Draw(t, "currency"),
			gross, rapid.Int64Range(0, gross).Draw(t, "net"))}
		m.orders = append(m.orders, o)
		return o.sale(), Inserted, true
	}
	if what == "again" {
		return rapid.SampledFrom(m.past).Draw(t, "past"), Already, len(m.past) > 0
	}
	o := rapid.SampledFrom(m.orders).Draw(t, "order")
	upTo := func(most int64) int64 { return rapid.Int64Range(1, most).Draw(t, "amount") }
	undo := func(all []*modelRefund) (Entry, Result, bool) {
		i := slices.IndexFunc(all, func(r *modelRefund) bool { return !r.undone })
		if i < 0 {
			return e, "", false
		}
		all[i].undone = true
		return o.undo(all[i].entry), Inserted, true
	}
	switch what {
	case "refund":
		if o.refundable() == 0 {
			return e, want, false
		}
		return o.refundOf(Refund, upTo(o.refundable())), Inserted, true
	case "return":
		if o.returnable() == 0 {
			return e, want, false
		}
		return o.refundOf(SurplusRefunded, upTo(o.returnable())), Inserted, true
	case "undo":
		return undo(o.refunds)
	case "unreturn":
		return undo(o.returned)
	case "release":
		switch c := o.count(); {
		case o.released:
			return o.release(), Already, true
		case c.pending == 0 || slices.ContainsFunc(o.disputes, func(d *modelDispute) bool { return !d.closed && d.opened > d.taken }):
			return o.release(), Nothing, true
		}
		o.released = true
		return o.release(), Inserted, true
	case "surplus":
		e = o.entry(Surplus, o.next(), upTo(300))
		o.surplus += e.Gross
		return e, Inserted, true
	case "fee":
		e = o.entry(Fee, o.next(), upTo(50))
		o.fees += e.Gross
		return e, Inserted, true
	}
	return m.dispute(t, o, what, upTo)
}

// dispute draws what happens to one of up to three disputes of an order.
func (m *model) dispute(t *rapid.T, o *modelOrder, what string, upTo func(int64) int64) (e Entry, want Result, ok bool) {
	n := rapid.IntRange(0, 2).Draw(t, "dispute")
	for len(o.disputes) <= n {
		o.disputes = append(o.disputes, &modelDispute{name: fmt.Sprint("dp", len(o.disputes))})
	}
	d := o.disputes[n]
	switch what {
	case "open":
		if d.opened > 0 {
			return e, want, false
		}
		e = o.disputed(DisputeOpened, d.name, "", upTo(o.gross+10))
		if d.closed || e.Gross <= d.taken || !o.withCreator() {
			return e, Nothing, true
		}
		d.opened = e.Gross
		return e, Inserted, true
	case "close":
		e = o.disputed(DisputeClosed, d.name, "", 0)
		switch {
		case d.closed:
			return e, Already, true
		case d.opened <= d.taken || !o.withCreator():
			return e, Nothing, true
		}
		d.closed = true
		return e, Inserted, true
	case "withdraw":
		e = o.disputed(DisputeWithdrawn, d.name, o.next(), upTo(o.gross+10))
		d.taken += e.Gross
	case "lose":
		e = o.disputed(SurplusWithdrawn, d.name, o.next(), upTo(100))
		d.lost += e.Gross
	case "reinstate":
		if d.taken == 0 {
			return e, want, false
		}
		e = o.disputed(DisputeReinstated, d.name, o.next(), upTo(d.taken))
		d.taken -= e.Gross
	case "regain":
		if d.lost == 0 {
			return e, want, false
		}
		e = o.disputed(SurplusReinstated, d.name, o.next(), upTo(d.lost))
		d.lost -= e.Gross
	}
	return e, Inserted, true
}

// Whatever happens in whatever order, the ledger agrees with the model and
// every rule holds after each step.
func TestLedgerAgreesWithModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	creators := []uuid.UUID{newCreator(t, w.pool), newCreator(t, w.pool)}
	rapid.Check(t, func(rt *rapid.T) {
		tx, err := w.pool.Begin(t.Context()) // rolled back, so that each run begins with nothing
		require.NoError(rt, err)
		defer func() { _ = tx.Rollback(t.Context()) }()
		m := &model{paidOut: map[purse]int64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"post": func(rt *rapid.T) {
				var entries []Entry
				want := []Result{}
				for range rapid.IntRange(1, 4).Draw(rt, "entries") {
					e, r, ok := m.step(rt, creators)
					if !ok {
						continue
					}
					entries, want = append(entries, e), append(want, r)
					if r == Inserted {
						m.past = append(m.past, e)
					}
					if r == Nothing {
						break // it would be asked again after what follows
					}
				}
				out, err := w.store.PostTx(t.Context(), tx, entries)
				require.NoError(rt, err)
				require.Equal(rt, want, results(out))
			},
			"too much": func(rt *rapid.T) {
				if len(m.orders) == 0 {
					rt.Skip("nothing is sold")
				}
				o := rapid.SampledFrom(m.orders).Draw(rt, "order")
				over := rapid.Int64Range(1, 100).Draw(rt, "over")
				excess := []Entry{o.refund("too much", o.refundable()+over), o.entry(SurplusRefunded, "too much", o.returnable()+over)}
				for _, d := range o.disputes {
					excess = append(excess, o.disputed(DisputeReinstated, d.name, "too much", d.taken+over),
						o.disputed(SurplusReinstated, d.name, "too much", d.lost+over))
				}
				for _, e := range excess {
					_, err := w.store.PostTx(t.Context(), tx, []Entry{e})
					require.ErrorIs(rt, err, ErrExceeds, e.Kind)
				}
			},
			"pay out": func(rt *rapid.T) {
				for _, c := range creators {
					for _, currency := range []string{"USD", "JPY"} {
						p := purse{c, currency}
						if available := m.wallet(p).Available; available > 0 {
							w.payOut(rt, tx, c, currency, available)
							m.paidOut[p] += available
						}
					}
				}
			},
			"": func(rt *rapid.T) {
				require.Empty(rt, broken(t, tx))
				for _, o := range m.orders {
					got, err := w.store.Wallet(t.Context(), tx, o.creator, o.currency)
					require.NoError(rt, err)
					require.Equal(rt, m.wallet(purse{o.creator, o.currency}), got)
				}
				require.Equal(rt, m.totals(), totals(rt, tx))
			},
		})
	})
}

func totals(t require.TestingT, tx pgx.Tx) map[[2]string]int64 {
	rows, err := tx.Query(background(), `SELECT a.kind, a.currency, sum(p.amount)::bigint FROM ledger_postings p
		JOIN ledger_accounts a ON a.id = p.account_id WHERE a.creator_id IS NULL AND a.kind <> 'in_flight' GROUP BY 1, 2`)
	require.NoError(t, err)
	out := map[[2]string]int64{}
	var k [2]string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&k[0], &k[1], &n}, func() error {
		out[k] = n
		return nil
	})
	require.NoError(t, err)
	return nonZero(out)
}

func nonZero(m map[[2]string]int64) map[[2]string]int64 {
	out := map[[2]string]int64{}
	for k, n := range m {
		if n != 0 {
			out[k] = n
		}
	}
	return out
}
