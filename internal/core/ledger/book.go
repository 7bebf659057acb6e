package ledger

import (
	"slices"

	"github.com/google/uuid"

	"proofroom/internal/base/money"
)

// book is all that the postings of new entries depend on: what stands of their
// orders, and the locked wallets. It has no database, so it can be tested alone.
type book struct {
	orders  map[uuid.UUID]*folio
	wallets map[purse]*Balance
}

// purse names a wallet.
type purse struct {
	creator  uuid.UUID
	currency string
}

// folio is what stands of one order.
type folio struct {
	entries     map[string]*Standing // by key
	undone      map[string]bool      // keys of entries taken back
	sale        *Standing
	net         int64            // of the sale, to the creator
	refunded    int64            // of the sale, less what was undone
	refundedNet int64            // the creator's share of that
	pending     int64            // the creator's, of this order
	suspense    map[string]int64 // by currency: money of this order that bought nothing
	released    bool
}

func (b *book) order(id uuid.UUID) *folio {
	f := b.orders[id]
	if f == nil {
		f = &folio{entries: map[string]*Standing{}, undone: map[string]bool{}, suspense: map[string]int64{}}
		b.orders[id] = f
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
	f.pending -= s.sum(pending)
	f.suspense[s.Currency] -= s.sum(suspense)
	switch s.Kind {
	case Sale:
		f.sale, f.net = s, -s.sum(pending)
	case Refund:
		f.refunded += s.Gross - s.sum(suspense)
		f.refundedNet += s.share()
	case RefundUndone:
		f.refunded -= s.Gross + s.sum(suspense)
		f.refundedNet += s.share()
	case Release:
		f.released = true
	}
}

func (s *Standing) sum(kinds ...string) (sum int64) {
	for _, p := range s.Postings {
		for _, k := range kinds {
			if p.To.Kind == k {
				sum += p.Amount
			}
		}
	}
	return sum
}

// share is the creator's part of an entry, wherever it was taken from.
func (s *Standing) share() int64 { return s.sum(pending, available, held, debt) }

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

// plan finds the postings of e and enters them. It returns the entry that
// stands under e's key instead, if there is an equal one, and neither for a
// release of nothing.
func (b *book) plan(e *Entry, newID uuid.UUID) (fresh, already *Standing, err error) {
	f := b.order(e.OrderID)
	if s := f.entries[e.Key]; s != nil {
		return nil, s, e.same(s)
	}
	gross := e.Gross
	if e.Kind == Release {
		gross = f.pending
	}
	var ps postings
	if err := b.post(e, f, &ps); err != nil || len(ps) == 0 {
		return nil, nil, err
	}
	s := &Standing{
		ID: newID, Key: e.Key, Kind: e.Kind, OrderID: e.OrderID, Gross: gross, Currency: e.Currency,
		Undoes: e.Undoes, CauseKind: e.CauseKind, CauseID: e.CauseID, Postings: ps,
	}
	f.add(s)
	if w := b.wallet(e); w != nil {
		for _, p := range ps {
			w.move(p)
		}
	}
	return s, nil, nil
}

func (b *book) post(e *Entry, f *folio, ps *postings) error {
	switch e.Kind {
	case Sale:
		return b.sale(e, f, ps)
	case Refund:
		return b.refund(e, f, ps)
	case RefundUndone:
		return b.undo(e, f, ps)
	case Release:
		if err := f.basis(e); err != nil {
			return err
		}
		ps.add(e.creator(pending), f.pending)
		b.toAvailable(e, f.pending, ps)
	case Surplus:
		if e.Undoes != "" {
			if _, err := f.undoable(e, SurplusRefunded); err != nil {
				return err
			}
		}
		ps.add(e.clearing(), e.Gross)
		ps.add(e.platform(suspense), -e.Gross)
	case SurplusRefunded:
		if has := f.suspense[e.Currency]; e.Gross > has {
			return e.fail(ErrExceeds, "the order has %d in suspense, and %d would go back", has, e.Gross)
		}
		ps.add(e.platform(suspense), e.Gross)
		ps.add(e.clearing(), -e.Gross)
	case Fee:
		ps.add(e.platform(fees), e.Gross)
		ps.add(e.clearing(), -e.Gross)
	}
	return nil
}

func (b *book) sale(e *Entry, f *folio, ps *postings) error {
	if f.sale != nil {
		return e.fail(ErrEntryDiffers, "the order was sold by entry %q", f.sale.Key)
	}
	ps.add(e.clearing(), e.Gross)
	ps.add(e.creator(pending), -e.OrderNet)
	ps.add(e.platform(revenue), -(e.OrderGross - e.OrderNet))
	return nil
}

func (b *book) refund(e *Entry, f *folio, ps *postings) error {
	if err := f.basis(e); err != nil {
		return err
	}
	switch {
	case f.sale.Gross != e.OrderGross || f.net != e.OrderNet:
		return e.fail(ErrEntryDiffers, "the order was sold for %d, %d of it net, not for %d, %d net", f.sale.Gross, f.net, e.OrderGross, e.OrderNet)
	case e.Gross > f.sale.Gross-f.refunded+max(0, f.suspense[e.Currency]):
		return e.fail(ErrExceeds, "%d of %d are refunded, %d are in suspense, and %d more would be", f.refunded, f.sale.Gross, f.suspense[e.Currency], e.Gross)
	}
	// The payment may have held more than was sold: what goes back beyond the
	// sale is that.
	gross := min(e.Gross, f.sale.Gross-f.refunded)
	total, err := money.Share(f.refunded+gross, f.net, f.sale.Gross)
	if err != nil {
		return e.fail(ErrInvalid, "%v", err)
	}
	// The bounds matter only after refunds were undone out of order, when the
	// shares that are left may have been rounded all the same way.
	share := min(max(total-f.refundedNet, 0), gross)
	fromPending := min(share, f.pending)
	fromAvailable := min(share-fromPending, b.wallet(e).Available)
	ps.add(e.clearing(), -e.Gross)
	ps.add(e.creator(pending), fromPending)
	ps.add(e.creator(available), fromAvailable)
	ps.add(e.creator(debt), share-fromPending-fromAvailable)
	ps.add(e.platform(revenue), gross-share)
	ps.add(e.platform(suspense), e.Gross-gross)
	return nil
}

func (b *book) undo(e *Entry, f *folio, ps *postings) error {
	if err := f.basis(e); err != nil {
		return err
	}
	r, err := f.undoable(e, Refund)
	if err != nil {
		return err
	}
	share := r.share()
	ps.add(e.clearing(), e.Gross)
	if f.released {
		b.toAvailable(e, share, ps)
	} else {
		ps.add(e.creator(pending), -share)
	}
	rest := r.sum(suspense) // what had gone back beyond the sale
	ps.add(e.platform(revenue), -(e.Gross - rest - share))
	ps.add(e.platform(suspense), -rest)
	return nil
}

// basis checks that the order was sold, in e's currency and for e's creator.
func (f *folio) basis(e *Entry) error {
	if f.sale == nil {
		return e.fail(ErrNoBasis, "the order was not sold")
	}
	if f.sale.Currency != e.Currency {
		return e.fail(ErrEntryDiffers, "the order was sold in %s, not %s", f.sale.Currency, e.Currency)
	}
	for _, p := range f.sale.Postings {
		if p.To.Kind == pending && p.To.CreatorID != e.CreatorID {
			return e.fail(ErrEntryDiffers, "the order was sold for creator %s, not %s", p.To.CreatorID, e.CreatorID)
		}
	}
	return nil
}

// undoable finds the entry of the wanted kind that e takes back.
func (f *folio) undoable(e *Entry, kind Kind) (*Standing, error) {
	r := f.entries[e.Undoes]
	switch {
	case r == nil:
		return nil, e.fail(ErrNoBasis, "the order has no entry %q", e.Undoes)
	case f.undone[e.Undoes]:
		return nil, e.fail(ErrEntryDiffers, "entry %q was taken back before", e.Undoes)
	case r.Kind != kind || r.Gross != e.Gross || r.Currency != e.Currency:
		return nil, e.fail(ErrEntryDiffers, "entry %q is a %s over %d %s, not a %s over %d %s",
			e.Undoes, r.Kind, r.Gross, r.Currency, kind, e.Gross, e.Currency)
	case !slices.Contains(r.Postings, Posting{To: e.clearing(), Amount: -e.Gross}):
		return nil, e.fail(ErrEntryDiffers, "entry %q took the money from another account than %s:%s", e.Undoes, e.Provider, e.Account)
	}
	return r, nil
}

// toAvailable gives amount to the creator, who pays debt with it first.
func (b *book) toAvailable(e *Entry, amount int64, ps *postings) {
	paid := min(amount, b.wallet(e).Debt)
	ps.add(e.creator(debt), -paid)
	ps.add(e.creator(available), -(amount - paid))
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
