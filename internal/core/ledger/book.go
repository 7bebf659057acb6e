package ledger

import (
	"errors"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
)

// book is all that the postings of new entries depend on: what stands of their
// orders, and the locked wallets. It has no database, so it can be tested alone.
type book struct {
	orders  map[uuid.UUID]*folio
	wallets map[purse]*Balance
	undoing map[string]bool // keys of entries that this call takes back
}

// purse names a wallet.
type purse struct {
	creator  uuid.UUID
	currency string
}

// folio is what stands of one order.
type folio struct {
	entries  map[string]*Standing // by key
	undone   map[string]bool      // keys of entries taken back
	sale     *Standing
	net      int64 // of the sale, to the creator
	released bool
	refunded int64              // by refunds, less what was undone
	taken    int64              // of the sale, by disputes, less what was reinstated
	surplus  map[string]int64   // by currency: money that bought nothing, less what was refunded of it
	lost     map[string]int64   // by currency: of that money, by disputes, less what was reinstated
	disputes map[claim]*dispute // of the sale, and of the surplus
}

// claim names a dispute in one currency.
type claim struct{ dispute, currency string }

// dispute is what stands of one dispute.
type dispute struct {
	opened int64 // the amount that it disputes of the sale; zero before it is opened
	taken  int64 // of the sale, less what was reinstated
	lost   int64 // of the surplus, less what was reinstated
	closed bool
}

// open is what it may still take of the sale.
func (d *dispute) open() int64 {
	if d.closed {
		return 0
	}
	return max(0, d.opened-d.taken)
}

func (b *book) order(orderID uuid.UUID) *folio {
	f := b.orders[orderID]
	if f == nil {
		f = &folio{
			entries: map[string]*Standing{}, undone: map[string]bool{},
			surplus: map[string]int64{}, lost: map[string]int64{}, disputes: map[claim]*dispute{},
		}
		b.orders[orderID] = f
	}
	return f
}

func (b *book) wallet(e *Entry) *Balance { return b.wallets[purse{e.CreatorID, e.Currency}] }

// add enters an entry that stands, or that is about to.
func (f *folio) add(s *Standing) {
	f.entries[s.Key] = s
	if s.Undoes != "" {
		f.undone[s.Undoes] = true
	}
	switch s.Kind {
	case Sale:
		f.sale, f.net = s, -s.sum(pending)
	case Refund:
		f.refunded += s.Gross
	case RefundUndone:
		f.refunded -= s.Gross
	case Surplus:
		f.surplus[s.Currency] += s.Gross
	case SurplusRefunded:
		f.surplus[s.Currency] -= s.Gross
	case Release:
		f.released = true
	case DisputeOpened:
		f.dispute(s.Dispute, s.Currency).opened = s.Gross
	case DisputeClosed:
		f.dispute(s.Dispute, s.Currency).closed = true
	case DisputeWithdrawn:
		f.take(s, s.Gross, 0)
	case DisputeReinstated:
		f.take(s, -s.Gross, 0)
	case SurplusWithdrawn:
		f.take(s, 0, s.Gross)
	case SurplusReinstated:
		f.take(s, 0, -s.Gross)
	case Fee:
	}
}

func (f *folio) take(s *Standing, taken, lost int64) {
	d := f.dispute(s.Dispute, s.Currency)
	d.taken, d.lost = d.taken+taken, d.lost+lost
	f.taken += taken
	f.lost[s.Currency] += lost
}

func (f *folio) dispute(key, currency string) *dispute {
	c := claim{key, currency}
	if f.disputes[c] == nil {
		f.disputes[c] = &dispute{}
	}
	return f.disputes[c]
}

func (s *Standing) sum(kind string) (sum int64) {
	for _, p := range s.Postings {
		if p.To.Kind == kind {
			sum += p.Amount
		}
	}
	return sum
}

// move applies one posting to a wallet. What is owed to a creator grows with a
// minus, what a creator owes with a plus.
func (b *Balance) move(p Posting) {
	switch p.To.Kind {
	case pending:
		b.Pending -= p.Amount
	case available:
		b.Available -= p.Amount
	case held:
		b.Held -= p.Amount
	case debt:
		b.Debt += p.Amount
	}
}

// write plans all entries of a call. It returns their results, those that are
// to be inserted, and the place in entries of each of these by its id.
func (b *book) write(entries []Entry) (out []Posted, fresh []*Standing, at map[uuid.UUID]int, err error) {
	out, at = make([]Posted, len(entries)), map[uuid.UUID]int{}
	ask := make([]int, len(entries))
	b.undoing = map[string]bool{}
	for i := range ask {
		ask[i] = i
		if entries[i].Undoes != "" {
			b.undoing[entries[i].Undoes] = true
		}
	}
	// What found nothing to hold or to free may find it after what followed: it
	// is asked again until all of them find nothing.
	for len(ask) > 0 {
		var idle []int
		before := len(fresh)
		for _, i := range ask {
			drafted, already, err := b.plan(&entries[i], id.New())
			switch {
			case err != nil:
				return nil, nil, nil, err
			case already != nil:
				out[i] = Posted{Key: entries[i].Key, ID: already.ID, Result: Already}
			case drafted == nil:
				out[i] = Posted{Key: entries[i].Key, Result: Nothing}
				idle = append(idle, i)
			default:
				out[i] = Posted{Key: entries[i].Key, ID: drafted.ID, Result: Inserted}
				fresh = append(fresh, drafted)
				at[drafted.ID] = i
			}
		}
		if len(fresh) == before {
			break
		}
		ask = idle
	}
	return out, fresh, at, nil
}

// plan finds the postings of e and enters them. It returns the entry that
// stands under e's key instead, if there is an equal one, and neither when
// there is nothing to move.
func (b *book) plan(e *Entry, newID uuid.UUID) (fresh, already *Standing, err error) {
	f := b.order(e.OrderID)
	if s := f.entries[e.Key]; s != nil {
		return nil, s, e.same(s)
	}
	// News of a refund that failed may come after the one that followed it, and
	// find no room for the moment that it stands.
	if err := f.allows(e); err != nil && (!b.undoing[e.Key] || !errors.Is(err, ErrExceeds)) {
		return nil, nil, err
	}
	if f.idle(e) {
		return nil, nil, nil
	}
	s := &Standing{
		ID: newID, Key: e.Key, Kind: e.Kind, OrderID: e.OrderID, Gross: e.Gross, Currency: e.Currency,
		Undoes: e.Undoes, Dispute: e.Dispute, CauseKind: e.CauseKind, CauseID: e.CauseID,
	}
	before := f.places(e.Currency)
	f.add(s)
	if e.Kind == Sale {
		f.net = e.OrderNet
	}
	s.Postings = b.postings(e, before, f.places(e.Currency))
	if e.findsGross() {
		s.Gross = s.moved()
	}
	if w := b.wallet(e); w != nil {
		for _, p := range s.Postings {
			w.move(p)
		}
	}
	return s, nil, nil
}

// moved is what an entry moves: the sum of its debits.
func (s *Standing) moved() (sum int64) {
	for _, p := range s.Postings {
		sum += max(0, p.Amount)
	}
	return sum
}

// postings move the order's money from where it is to where it shall be.
func (b *book) postings(e *Entry, from, to places) (ps postings) {
	ps.add(e.clearing(), e.direction()*e.Gross)
	if e.Kind == Fee {
		ps.add(e.platform(fees), e.Gross)
	}
	ps.add(e.creator(held), from.held-to.held)
	ps.add(e.creator(pending), from.pending-to.pending)
	b.free(e, to.free-from.free, &ps)
	ps.add(e.platform(revenue), from.revenue-to.revenue)
	ps.add(e.platform(suspense), from.suspense-to.suspense)
	ps.add(e.platform(writeOff), to.writtenOff-from.writtenOff)
	if len(ps) == 0 {
		// A dispute opens over what others hold already, or closes and leaves it
		// to them. That must stand, else the last to close would free nothing: it
		// is marked by one minor unit, there and back.
		ps.add(e.creator(held), 1)
		ps.add(e.creator(held), -1)
	}
	return ps
}

// free gives a released order's money to the creator, who pays debt with it
// first, or takes it: what is available, and the rest becomes debt.
func (b *book) free(e *Entry, amount int64, ps *postings) {
	switch {
	case amount > 0:
		paid := min(amount, b.wallet(e).Debt)
		ps.add(e.creator(debt), -paid)
		ps.add(e.creator(available), -(amount - paid))
	case amount < 0:
		there := min(-amount, b.wallet(e).Available)
		ps.add(e.creator(available), there)
		ps.add(e.creator(debt), -amount-there)
	}
}

type postings []Posting

// add leaves out a posting of zero.
func (ps *postings) add(to Account, amount int64) {
	if amount != 0 {
		*ps = append(*ps, Posting{To: to, Amount: amount})
	}
}

func (e *Entry) clearing() Account {
	return Account{Kind: clearing, Provider: e.Provider, Account: e.Account, Currency: e.Currency}
}

func (e *Entry) platform(kind string) Account { return Account{Kind: kind, Currency: e.Currency} }

func (e *Entry) creator(kind string) Account {
	return Account{Kind: kind, CreatorID: e.CreatorID, Currency: e.Currency}
}
