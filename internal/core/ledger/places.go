package ledger

import "proofroom/internal/base/money"

// places is where an order's money in one currency is. All but writtenOff is
// owed to somebody.
type places struct {
	pending, held int64
	free          int64 // with the creator since the release: available, less debt
	revenue       int64
	suspense      int64
	writtenOff    int64
}

// places is a function of the sums of what stands, whatever came first. Think of
// the sale as a line from 0 to its gross: refunds and disputes have taken it up
// to back, open disputes may take it up to most, the rest is free. The creator's
// share of each part is a difference of rounded-down shares, so the parts add
// up to the net. What is given back beyond the line comes out of suspense, which
// a refund may not exceed; a dispute may, and that is a loss.
func (f *folio) places(currency string) (p places) {
	suspense, beyond := f.surplus[currency], f.lost[currency]
	if f.sale != nil && f.sale.Currency == currency {
		gross := f.sale.Gross
		back := f.back()
		most := back
		for _, d := range f.disputes {
			most = min(gross, most+d.open())
		}
		given, kept := f.share(back), f.share(most)
		p.held = kept - given
		if f.released {
			p.free = f.net - kept
		} else {
			p.pending = f.net - kept
		}
		p.revenue = (gross - back) - (f.net - given)
		refunds := max(0, f.refunded-gross)
		suspense -= refunds
		beyond += f.refunded + f.taken - back - refunds
	}
	p.writtenOff = max(0, beyond-suspense)
	p.suspense = suspense - (beyond - p.writtenOff)
	return p
}

// back is what of the sale was given back, by refunds and disputes together.
func (f *folio) back() int64 { return min(f.sale.Gross, f.refunded+f.taken) }

// share is the creator's part of the first n of the sale.
func (f *folio) share(n int64) int64 {
	s, _ := money.Share(n, f.net, f.sale.Gross) // n is at most the gross, so it fits
	return s
}
