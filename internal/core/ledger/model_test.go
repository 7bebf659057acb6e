package ledger

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
)

// model says what the journal says, in the plainest Go: no database, no
// postings, one creator's money as five numbers.
type model struct {
	orders  []*modelOrder
	wallets map[purse]*Balance
	totals  map[[2]string]int64 // kind of account and currency, debit positive
	past    []Entry             // all that was posted, for sending it again
}

type modelOrder struct {
	sold
	released bool
	pending  int64
	refunds  []*modelRefund
	suspense int64
	returned []*modelRefund
}

type modelRefund struct {
	entry  Entry
	rest   int64 // beyond the sale, out of suspense
	net    int64
	undone bool
}

func (m *model) wallet(o *modelOrder) *Balance {
	p := purse{o.creator, o.currency}
	if m.wallets[p] == nil {
		m.wallets[p] = &Balance{}
	}
	return m.wallets[p]
}

func (m *model) money(o *modelOrder, clearingBy, revenueBy, suspenseBy, feesBy int64) {
	for kind, by := range map[string]int64{clearing: clearingBy, revenue: revenueBy, suspense: suspenseBy, fees: feesBy} {
		m.totals[[2]string{kind, o.currency}] += by
	}
}

func (o *modelOrder) refunded() (gross, net int64) {
	for _, r := range o.refunds {
		if !r.undone {
			gross, net = gross+r.entry.Gross-r.rest, net+r.net
		}
	}
	return gross, net
}

func (m *model) sell(o *modelOrder) Entry {
	m.orders = append(m.orders, o)
	o.pending = o.net
	m.wallet(o).Pending += o.net
	m.money(o, o.gross, -(o.gross - o.net), 0, 0)
	return o.sale()
}

func (m *model) refund(o *modelOrder, total int64) Entry {
	before, netBefore := o.refunded()
	gross := total
	if left := o.gross - before; gross > left {
		gross = left
	}
	rest := total - gross
	share := new(big.Int).Mul(big.NewInt(before+gross), big.NewInt(o.net))
	share.Div(share, big.NewInt(o.gross))
	net := share.Int64() - netBefore
	if net < 0 {
		net = 0
	}
	if net > gross {
		net = gross
	}
	w := m.wallet(o)
	switch {
	case !o.released:
		o.pending -= net
		w.Pending -= net
	case w.Available >= net:
		w.Available -= net
	default:
		w.Debt += net - w.Available
		w.Available = 0
	}
	o.suspense -= rest
	m.money(o, -total, gross-net, rest, 0)
	r := &modelRefund{entry: o.refund(fmt.Sprint(len(o.refunds)), total), rest: rest, net: net}
	o.refunds = append(o.refunds, r)
	return r.entry
}

func (m *model) credit(w *Balance, amount int64) {
	if amount <= w.Debt {
		w.Debt -= amount
		return
	}
	w.Available += amount - w.Debt
	w.Debt = 0
}

func (m *model) undo(o *modelOrder, r *modelRefund) Entry {
	r.undone = true
	if o.released {
		m.credit(m.wallet(o), r.net)
	} else {
		o.pending += r.net
		m.wallet(o).Pending += r.net
	}
	o.suspense += r.rest
	m.money(o, r.entry.Gross, -(r.entry.Gross - r.rest - r.net), -r.rest, 0)
	return o.undo(r.entry)
}

func (m *model) release(o *modelOrder) Entry {
	if o.pending > 0 {
		o.released = true
	}
	m.wallet(o).Pending -= o.pending
	m.credit(m.wallet(o), o.pending)
	o.pending = 0
	return o.release()
}

// step draws one thing that can happen, applies it to the model and returns the
// entry that says so. ok is false when the thing drawn can't happen now.
func (m *model) step(t *rapid.T, creators []uuid.UUID) (e Entry, want Result, ok bool) {
	pick := func() *modelOrder { return rapid.SampledFrom(m.orders).Draw(t, "order") }
	what := "sell"
	if len(m.orders) > 0 {
		what = rapid.SampledFrom([]string{"sell", "refund", "refund", "undo", "release", "surplus", "return", "unreturn", "fee", "again"}).Draw(t, "what")
	}
	want = Inserted
	switch what {
	case "sell":
		gross := rapid.Int64Range(1, 5000).Draw(t, "gross")
		o := &modelOrder{sold: newSold(rapid.SampledFrom(creators).Draw(t, "creator"), rapid.SampledFrom([]string{"USD", "JPY"}).Draw(t, "currency"),
			gross, rapid.Int64Range(0, gross).Draw(t, "net"))}
		return m.sell(o), want, true
	case "refund":
		o := pick()
		before, _ := o.refunded()
		most := o.gross - before + o.suspense
		if most == 0 {
			return e, want, false
		}
		return m.refund(o, rapid.Int64Range(1, most).Draw(t, "gross")), want, true
	case "undo":
		o := pick()
		i := slices.IndexFunc(o.refunds, func(r *modelRefund) bool { return !r.undone })
		if i < 0 {
			return e, want, false
		}
		return m.undo(o, o.refunds[i]), want, true
	case "release":
		o := pick()
		if o.released {
			return o.release(), Already, true
		}
		if o.pending == 0 {
			want = Nothing
		}
		return m.release(o), want, true
	case "surplus":
		o := pick()
		e = o.entry(Surplus, id.New().String(), rapid.Int64Range(1, 5000).Draw(t, "gross"))
		o.suspense += e.Gross
		m.money(o, e.Gross, 0, -e.Gross, 0)
		return e, want, true
	case "return":
		o := pick()
		if o.suspense == 0 {
			return e, want, false
		}
		e = o.entry(SurplusRefunded, id.New().String(), rapid.Int64Range(1, o.suspense).Draw(t, "gross"))
		o.suspense -= e.Gross
		o.returned = append(o.returned, &modelRefund{entry: e})
		m.money(o, -e.Gross, 0, e.Gross, 0)
		return e, want, true
	case "unreturn":
		o := pick()
		i := slices.IndexFunc(o.returned, func(r *modelRefund) bool { return !r.undone })
		if i < 0 {
			return e, want, false
		}
		r := o.returned[i]
		r.undone = true
		o.suspense += r.entry.Gross
		m.money(o, r.entry.Gross, 0, -r.entry.Gross, 0)
		return o.undo(r.entry), want, true
	case "fee":
		o := pick()
		e = o.entry(Fee, id.New().String(), rapid.Int64Range(1, 500).Draw(t, "gross"))
		m.money(o, -e.Gross, 0, 0, e.Gross)
		return e, want, true
	}
	return rapid.SampledFrom(m.past).Draw(t, "past"), Already, len(m.past) > 0
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
		m := &model{wallets: map[purse]*Balance{}, totals: map[[2]string]int64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"post": func(rt *rapid.T) {
				var entries []Entry
				want := []Result{}
				for range rapid.IntRange(1, 4).Draw(rt, "entries") {
					if e, r, ok := m.step(rt, creators); ok {
						entries, want = append(entries, e), append(want, r)
						if r == Inserted {
							m.past = append(m.past, e)
						}
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
				before, _ := o.refunded()
				over := rapid.Int64Range(1, 100).Draw(rt, "over")
				_, err := w.store.PostTx(t.Context(), tx, []Entry{o.refund("too much", o.gross-before+o.suspense+over)})
				require.ErrorIs(rt, err, ErrExceeds)
				_, err = w.store.PostTx(t.Context(), tx, []Entry{o.entry(SurplusRefunded, "too much", o.suspense+over)})
				require.ErrorIs(rt, err, ErrExceeds)
			},
			"pay out": func(rt *rapid.T) {
				for p, b := range m.wallets {
					if b.Available > 0 {
						w.payOut(rt, tx, p.creator, p.currency, b.Available)
						b.Available = 0
					}
				}
			},
			"": func(rt *rapid.T) {
				require.Empty(rt, broken(t, tx))
				for p, want := range m.wallets {
					got, err := w.store.Wallet(t.Context(), tx, p.creator, p.currency)
					require.NoError(rt, err)
					require.Equal(rt, *want, got)
				}
				require.Equal(rt, nonZero(m.totals), totals(rt, tx))
			},
		})
	})
}

func totals(t require.TestingT, tx pgx.Tx) map[[2]string]int64 {
	rows, err := tx.Query(background(), `SELECT a.kind, a.currency, sum(p.amount)::bigint FROM ledger_postings p
		JOIN ledger_accounts a ON a.id = p.account_id WHERE a.kind IN ('clearing', 'revenue', 'suspense', 'fees') GROUP BY 1, 2`)
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
