package order

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// Entry is a ledger entry that the facts call for. The ledger finds the shares
// and buckets; the key makes it happen once.
type Entry struct {
	Key      string
	Kind     string // one of the ledger's kinds
	Payment  PaymentKey
	Gross    int64
	Currency string
	Undoes   string
	Dispute  string    // the key of the dispute behind it, else empty
	InboxID  uuid.UUID // the observation behind it
}

// WantedRefund is money that must go back without anybody asking.
type WantedRefund struct {
	Kind    RequestKind
	Payment PaymentKey
	Amount  int64
	LineIDs []uuid.UUID
	InboxID uuid.UUID
}

// Derived is what an order's facts mean.
type Derived struct {
	State    State
	Reviews  []Reason // why a person must look, by subject
	Refunded int64    // of the sale, by refunds that succeeded
	Kept     *Payment // the payment that bought the order
	// Choose is set when several payments could be the kept one and none is
	// decided yet: the caller decides and derives again.
	Choose []PaymentKey
	// Late is set when money came for an order that had expired or was
	// canceled, and it is not decided whether it is accepted.
	Late bool
	// Live says of each line whether its buyer should have it. While Frozen, all
	// of them give no access.
	Live    map[uuid.UUID]bool
	Frozen  bool
	Entries []Entry
	Refunds []WantedRefund
}

// Access reports whether the buyer can have the line now.
func (d *Derived) Access(lineID uuid.UUID) bool { return d.Live[lineID] && !d.Frozen }

// Derive finds an order's state, and what should stand because of it. It looks
// at nothing but its argument.
func Derive(f *Facts) Derived {
	d := Derived{Live: map[uuid.UUID]bool{}}
	d.noted(f)
	d.keep(f)
	d.money(f)
	d.refunds(f)
	d.disputes(f)
	d.lines(f)
	d.look(f)
	d.State = d.state(f)
	return d
}

// keep finds the payment that buys the order, if there is one.
func (d *Derived) keep(f *Facts) {
	var fit []*Payment
	for i := range f.Payments {
		if p := &f.Payments[i]; took(p) && fits(&f.Order, p) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		return
	}
	if f.Order.lapsed() && f.Decisions[DecideLate] == "" && f.Decisions[DecideKept] == "" {
		d.Late = true
		return
	}
	if f.Decisions[DecideLate] == LateRefund {
		return
	}
	if kept, ok := f.Decisions[DecideKept]; ok {
		for _, p := range fit {
			if p.Key.String() == kept {
				d.Kept = p
			}
		}
		return
	}
	if len(fit) == 1 {
		d.Kept = fit[0]
		return
	}
	for _, p := range fit {
		d.Choose = append(d.Choose, p.Key)
	}
	slices.SortFunc(d.Choose, func(a, b PaymentKey) int { return strings.Compare(a.String(), b.String()) })
}

// took reports whether the payment's money was taken, at least once.
func took(p *Payment) bool {
	return p.Status == payment.PaymentSucceeded || p.Status == payment.PaymentReversed
}

// fits reports whether the payment is enough, in the order's currency.
func fits(o *Order, p *Payment) bool { return p.Currency == o.Currency && p.Amount >= o.Gross }

func (o *Order) lapsed() bool { return o.State == Expired || o.State == Canceled }

// money names the entries for what came in.
func (d *Derived) money(f *Facts) {
	if d.Late || len(d.Choose) > 0 {
		return // nothing is posted before it is decided
	}
	for i := range f.Payments {
		p := &f.Payments[i]
		if !took(p) || p.Amount == 0 && p != d.Kept {
			continue
		}
		if p.Status == payment.PaymentReversed {
			d.reason("reversed:"+p.Key.String(), "payment "+p.Key.String()+" was reversed at the provider")
		}
		in := Entry{Kind: "surplus", Payment: p.Key, Currency: p.Currency, InboxID: p.InboxID}
		switch {
		case p == d.Kept:
			if f.Order.Gross > 0 {
				d.Entries = append(d.Entries, Entry{
					Key: "sale:" + p.Key.String(), Kind: "sale", Payment: p.Key,
					Gross: f.Order.Gross, Currency: p.Currency, InboxID: p.InboxID,
				})
			}
			if excess := p.Amount - f.Order.Gross; excess > 0 {
				in.Key, in.Gross = "excess:"+p.Key.String(), excess
				d.Entries = append(d.Entries, in)
				d.want(f, RefundExcess, p, excess, nil, p.InboxID)
			}
		case !fits(&f.Order, p):
			in.Key, in.Gross = "surplus:"+p.Key.String(), p.Amount
			d.Entries = append(d.Entries, in)
			if f.Refundable(p) > 0 {
				d.reason(mismatchReason+p.Key.String(), "payment "+p.Key.String()+" has another amount or currency than the order")
			}
		default:
			kind := RefundSurplus
			if f.Decisions[DecideLate] == LateRefund {
				kind = RefundLate
			}
			in.Key, in.Gross = "surplus:"+p.Key.String(), p.Amount
			d.Entries = append(d.Entries, in)
			d.want(f, kind, p, p.Amount, nil, p.InboxID)
		}
		if p.Fee > 0 {
			d.Entries = append(d.Entries, Entry{
				Key: "fee:" + p.Key.String(), Kind: "fee", Payment: p.Key, Gross: p.Fee, Currency: p.Currency, InboxID: p.InboxID,
			})
		}
	}
}

// want asks for a refund unless it was asked for, or the provider's own refunds
// of the payment leave too little. While the payment is disputed nobody asks: the
// money would go twice.
func (d *Derived) want(f *Facts, kind RequestKind, p *Payment, amount int64, lines []uuid.UUID, inboxID uuid.UUID) {
	for i := range f.Requests {
		if r := &f.Requests[i]; r.Kind == kind && r.Payment == p.Key {
			return
		}
	}
	if f.Disputed(p) {
		return
	}
	amount = min(amount, f.Refundable(p))
	if amount > 0 {
		d.Refunds = append(d.Refunds, WantedRefund{Kind: kind, Payment: p.Key, Amount: amount, LineIDs: lines, InboxID: inboxID})
	}
}

// Refundable is what of a payment can still be asked back: what was taken less
// refunds requested, pending and succeeded, and less what disputes took or may
// take.
func (f *Facts) Refundable(p *Payment) int64 {
	left := p.Amount - f.contested(p)
	for i := range f.Requests {
		if r := &f.Requests[i]; r.Payment == p.Key && f.Active(r) {
			left -= r.Amount
		}
	}
	for i := range f.Refunds {
		if r := &f.Refunds[i]; r.RequestID == nil && r.Payment() == p.Key && !undone(r) {
			left -= r.Amount
		}
	}
	return left
}

// SaleLeft is what of the sale can still be asked back of the payment that
// bought it: the price less what is given back of it. The payment may hold more
// than that, such as an excess whose refund failed, but that was not sold.
func (f *Facts) SaleLeft(kept *Payment) int64 {
	left := f.Order.Gross - f.contested(kept)
	for i := range f.Requests {
		if r := &f.Requests[i]; r.Kind.ofSale() && f.Active(r) {
			left -= r.Amount
		}
	}
	for i := range f.Refunds {
		if r := &f.Refunds[i]; r.RequestID == nil && r.Payment() == kept.Key && !undone(r) {
			left -= r.Amount
		}
	}
	return min(left, f.Refundable(kept))
}

// Active reports whether a request stands: asked for, under way or done. What the
// provider has counts for more than what it answered.
func (f *Facts) Active(r *Request) bool {
	if b := f.answer(r.ID); b != nil {
		return !undone(b)
	}
	return r.State != RequestRejected
}

// answer finds the refund that answers a request, nil if there is none.
func (f *Facts) answer(requestID uuid.UUID) *Refund {
	for i := range f.Refunds {
		if b := &f.Refunds[i]; b.RequestID != nil && *b.RequestID == requestID {
			return b
		}
	}
	return nil
}

func undone(r *Refund) bool {
	return r.Status == payment.RefundFailed || r.Status == payment.RefundCanceled
}

// refunds names the entries for what went back. A refund is posted as soon as
// the provider has it, since the provider takes it from our balance then; a
// failed one is posted and undone, so that the order of arrival leaves no trace.
// Undone ones come first: they make room for the refund that followed them.
func (d *Derived) refunds(f *Facts) {
	if d.Late || len(d.Choose) > 0 {
		return
	}
	given := map[PaymentKey]int64{}
	for _, failed := range []bool{true, false} {
		for i := range f.Refunds {
			r := &f.Refunds[i]
			p := f.Payment(r.Payment())
			if undone(r) != failed || p == nil || !took(p) {
				continue // without its payment nothing was posted that could be taken back
			}
			e := Entry{Key: "refund:" + r.Key(), Kind: "surplus_refunded", Payment: p.Key, Gross: r.Amount, Currency: r.Currency, InboxID: r.InboxID}
			reverse := "surplus"
			if d.ofSale(f, r) {
				e.Kind, reverse = "refund", "refund_undone"
			}
			d.Entries = append(d.Entries, e)
			if failed {
				e.Kind, e.Undoes, e.Key = reverse, e.Key, "undone:"+e.Key
				d.Entries = append(d.Entries, e)
				continue
			}
			given[p.Key] += r.Amount
			if d.ofSale(f, r) && r.Status == payment.RefundSucceeded {
				d.Refunded += r.Amount
			}
		}
	}
	d.Refunded = min(d.Refunded, f.Order.Gross)
	for i := range f.Payments {
		p := &f.Payments[i]
		if took(p) && given[p.Key] > p.Amount {
			d.reason(fmt.Sprintf("exceeds:%s:%d", p.Key, given[p.Key]),
				"more is said to be refunded of payment "+p.Key.String()+" than it took: some news is missing")
		}
	}
	d.unmet(f, given)
}

// ofSale reports whether a refund takes back what was sold. One begun at the
// provider, of the payment that bought the order, does; where it is larger than
// what was sold, the ledger takes the rest from the money that bought nothing.
func (d *Derived) ofSale(f *Facts, r *Refund) bool {
	if r.RequestID != nil {
		q := f.Request(*r.RequestID)
		return q != nil && q.Kind.ofSale()
	}
	return d.Kept != nil && r.Payment() == d.Kept.Key
}

// unmet finds refunds that we asked for, that the provider refused or that
// failed there, and that nothing else has made up for since.
func (d *Derived) unmet(f *Facts, given map[PaymentKey]int64) {
	met := map[RequestKind]bool{}
	for i := range f.Requests {
		if r := &f.Requests[i]; f.Active(r) {
			met[r.Kind] = true
		}
	}
	for i := range f.Requests {
		r := &f.Requests[i]
		p := f.Payment(r.Payment)
		if f.Active(r) || met[r.Kind] || p == nil || given[p.Key] >= p.Amount || f.Refundable(p) <= 0 || r.Kind.ofSale() && d.Refunded == f.Order.Gross {
			continue
		}
		why := r.Note
		if why == "" {
			why = "it failed at the provider"
		}
		d.reason(Unmet(r.ID), "refund request "+r.ID.String()+" did not succeed: "+why)
	}
}

// lines says which lines the buyer should have, and asks for money back for
// those that the buyer had already.
func (d *Derived) lines(f *Facts) {
	if d.Kept == nil {
		return
	}
	ended, allGone := f.ended(d.Kept)
	lost := false
	for i := range f.Disputes {
		if q := &f.Disputes[i]; q.Payment() == d.Kept.Key {
			d.Frozen = d.Frozen || q.Open()
			lost = lost || q.Lost()
		}
	}
	var had []uuid.UUID
	var hadPrice int64
	for i := range f.Lines {
		l := &f.Lines[i]
		if f.Decisions[DecideLine+l.ID.String()] != "" {
			had = append(had, l.ID)
			hadPrice += l.Price
		}
		d.Live[l.ID] = !ended[l.ID] && !allGone && !lost
	}
	if hadPrice > 0 {
		d.want(f, RefundCovered, d.Kept, hadPrice, had, d.Kept.InboxID)
	}
	if allGone {
		return
	}
	for i := range f.Refunds {
		r := &f.Refunds[i]
		if f.foreign(r, d.Kept) && f.Decisions[DecideEnded+r.Key()] == "" {
			d.reason(partialReason+r.Key(), "part of the money was refunded at the provider by "+r.Key()+": decide which lines end")
		}
	}
}

// foreign reports whether the refund takes back the kept payment and was begun at
// the provider, so that it says nothing of lines.
func (f *Facts) foreign(r *Refund, kept *Payment) bool {
	return r.RequestID == nil && r.Payment() == kept.Key && !undone(r)
}

// ended finds the lines that refunds have ended, or that the buyer had already.
// all is set when refunds begun at the provider, with what we asked for, are the
// whole price.
func (f *Facts) ended(kept *Payment) (lines map[uuid.UUID]bool, all bool) {
	lines = map[uuid.UUID]bool{}
	foreign, asked := int64(0), int64(0)
	for i := range f.Refunds {
		if r := &f.Refunds[i]; f.foreign(r, kept) {
			foreign += r.Amount
			for _, id := range idsOf(f.Decisions[DecideEnded+r.Key()]) {
				lines[id] = true
			}
		}
	}
	for i := range f.Requests {
		if r := &f.Requests[i]; r.Kind.ofSale() && f.Active(r) {
			asked += r.Amount
			for _, id := range r.LineIDs {
				lines[id] = true
			}
		}
	}
	for i := range f.Lines {
		if id := f.Lines[i].ID; f.Decisions[DecideLine+id.String()] != "" {
			lines[id] = true
		}
	}
	return lines, foreign > 0 && asked+foreign >= f.Order.Gross
}

// state is the first of the states that applies.
func (d *Derived) state(f *Facts) State {
	switch {
	case len(d.Reviews) > 0:
		return Review
	case f.disputed():
		return Disputed
	case d.Kept != nil && f.Order.Gross > 0 && d.Refunded == f.Order.Gross:
		return Refunded
	case d.Kept != nil && d.Refunded > 0:
		return PartiallyRefunded
	case d.Kept != nil:
		return Paid
	}
	if s := pageState(f); s != "" {
		return s
	}
	if f.Decisions[DecideLate] == LateRefund {
		return Expired // its money came too late and went back
	}
	if over(f) && slices.ContainsFunc(f.Payments, func(p Payment) bool { return took(&p) }) {
		return Canceled // its money bought nothing, and nothing can be paid any more
	}
	for i := range f.Attempts {
		if f.Attempts[i].Ref != "" {
			return AwaitingPayment
		}
	}
	return Created
}

// pageState is what the hosted pages say when none can take money any more:
// expired, canceled, or nothing.
func pageState(f *Facts) State {
	s := State("")
	for i := range f.Attempts {
		if f.Attempts[i].Live() {
			return ""
		}
		switch f.Attempts[i].Status {
		case payment.AttemptExpired:
			s = Expired
		case payment.AttemptSucceeded:
			// Its money is judged by the payment; the page itself is over.
		default:
			if s == "" {
				s = Canceled
			}
		}
	}
	return s
}

// over reports whether no page of the order can be paid any more.
func over(f *Facts) bool {
	return !slices.ContainsFunc(f.Attempts, func(a Attempt) bool { return a.Live() })
}
