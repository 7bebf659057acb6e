package ledger

import "slices"

// idle reports whether e would move nothing, and is to be asked again when it
// would: there is nothing to release, to hold or to free.
func (f *folio) idle(e *Entry) bool {
	switch e.Kind {
	case Release:
		for _, d := range f.disputes {
			if d.open() > 0 {
				return true
			}
		}
		return f.places(e.Currency).pending == 0
	case DisputeOpened:
		d := f.dispute(e.Dispute, e.Currency)
		return d.closed || e.Gross <= d.taken || !f.withCreator()
	case DisputeClosed:
		return f.dispute(e.Dispute, e.Currency).open() == 0 || !f.withCreator()
	case Sale, Refund, RefundUndone, Surplus, SurplusRefunded, Fee,
		DisputeWithdrawn, DisputeReinstated, SurplusWithdrawn, SurplusReinstated:
	}
	return false
}

// withCreator reports whether anything of the sale is still the creator's,
// wherever it is.
func (f *folio) withCreator() bool { return f.net > 0 && f.back() < f.sale.Gross }

// allows checks that e makes sense after what stands.
func (f *folio) allows(e *Entry) error {
	switch e.Kind {
	case Sale:
		if f.sale != nil {
			return e.fail(ErrEntryDiffers, "the order was sold by entry %q", f.sale.Key)
		}
	case Refund:
		return f.refundable(e)
	case RefundUndone:
		if err := f.basis(e); err != nil {
			return err
		}
		return f.undoable(e, Refund)
	case Surplus:
		if e.Undoes != "" {
			return f.undoable(e, SurplusRefunded)
		}
	case SurplusRefunded:
		// Disputes do not count: the provider may give back what was also taken.
		has := f.surplus[e.Currency]
		if f.sale != nil && f.sale.Currency == e.Currency {
			has -= max(0, f.refunded-f.sale.Gross)
		}
		if e.Gross > has {
			return e.fail(ErrExceeds, "the order has %d in suspense, and %d would go back", has, e.Gross)
		}
	case Release, DisputeWithdrawn:
		return f.basis(e)
	case DisputeOpened, DisputeReinstated, DisputeClosed:
		if err := f.basis(e); err != nil {
			return err
		}
		return f.disputed(e)
	case SurplusReinstated:
		return f.disputed(e)
	case Fee, SurplusWithdrawn:
	}
	return nil
}

func (f *folio) refundable(e *Entry) error {
	if err := f.basis(e); err != nil {
		return err
	}
	switch has := f.surplus[e.Currency]; {
	case f.sale.Gross != e.OrderGross || f.net != e.OrderNet:
		return e.fail(ErrEntryDiffers, "the order was sold for %d, %d of it net, not for %d, %d net", f.sale.Gross, f.net, e.OrderGross, e.OrderNet)
	// The payment may have held more than was sold: what goes back beyond the
	// sale is that. What a dispute took does not count, for the provider may
	// give back what was also taken.
	case f.refunded+e.Gross > f.sale.Gross+has:
		return e.fail(ErrExceeds, "%d of %d are refunded, %d came beyond the sale, and %d more would be", f.refunded, f.sale.Gross, has, e.Gross)
	}
	return nil
}

// disputed checks e against what stands of its dispute.
func (f *folio) disputed(e *Entry) error {
	d := f.dispute(e.Dispute, e.Currency)
	switch {
	case e.Kind == DisputeOpened && d.opened > 0:
		return e.fail(ErrEntryDiffers, "dispute %q was opened by another entry, over %d", e.Dispute, d.opened)
	case e.Kind == DisputeClosed && d.closed:
		return e.fail(ErrEntryDiffers, "dispute %q was closed by another entry", e.Dispute)
	case e.Kind == DisputeReinstated && e.Gross > d.taken:
		return e.fail(ErrExceeds, "dispute %q has taken %d, and %d would come back", e.Dispute, d.taken, e.Gross)
	case e.Kind == SurplusReinstated && e.Gross > d.lost:
		return e.fail(ErrExceeds, "dispute %q has taken %d, and %d would come back", e.Dispute, d.lost, e.Gross)
	}
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

// undoable checks the entry, of the wanted kind, that e takes back.
func (f *folio) undoable(e *Entry, kind Kind) error {
	r := f.entries[e.Undoes]
	switch {
	case r == nil:
		return e.fail(ErrNoBasis, "the order has no entry %q", e.Undoes)
	case f.undone[e.Undoes]:
		return e.fail(ErrEntryDiffers, "entry %q was taken back before", e.Undoes)
	case r.Kind != kind || r.Gross != e.Gross || r.Currency != e.Currency:
		return e.fail(ErrEntryDiffers, "entry %q is a %s over %d %s, not a %s over %d %s",
			e.Undoes, r.Kind, r.Gross, r.Currency, kind, e.Gross, e.Currency)
	case !slices.Contains(r.Postings, Posting{To: e.clearing(), Amount: -e.Gross}):
		return e.fail(ErrEntryDiffers, "entry %q took the money from another account than %s:%s", e.Undoes, e.Provider, e.Account)
	}
	return nil
}
