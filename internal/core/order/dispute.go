package order

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// Dispute is a payment that its payer contests, as the provider knows it.
type Dispute struct {
	Provider, Account, ID string
	OrderID               uuid.UUID
	PaymentID             string
	Status                string
	Outcome               string // of a closed one
	Amount                int64  // what is contested
	Currency              string
	Seq                   int64 // of the newest fetch that told the outcome
	InboxID               uuid.UUID
}

// Payment is the key of the payment that is contested.
func (q *Dispute) Payment() PaymentKey { return PaymentKey{q.Provider, q.Account, q.PaymentID} }

// Key names the dispute in ledger entries.
func (q *Dispute) Key() string { return q.Provider + ":" + q.Account + ":" + q.ID }

// Open reports whether the dispute is undecided. A warning is no dispute yet.
func (q *Dispute) Open() bool { return q.Status == payment.DisputeOpen }

// Lost reports whether the payer was found right. What is closed and not said to
// be won or prevented is lost: access is the smaller harm to restore.
func (q *Dispute) Lost() bool {
	return q.Status == payment.DisputeClosed && q.Outcome != payment.DisputeWon && q.Outcome != payment.DisputePrevented
}

// warning reports whether it is, or ended as, a warning.
func (q *Dispute) warning() bool {
	return q.Status == payment.DisputeWarning || q.Status == payment.DisputeWarningClosed
}

// Movement is money that a dispute moved: each happens once.
type Movement struct {
	Provider, Account, DisputeID, ID string
	OrderID                          uuid.UUID
	PaymentID                        string
	Status                           string // withdrawn, reinstated or fee
	Amount                           int64
	Currency                         string
	InboxID                          uuid.UUID
}

// Dispute is the key of the dispute that moved the money.
func (m *Movement) Dispute() string { return m.Provider + ":" + m.Account + ":" + m.DisputeID }

// Key names the movement among all.
func (m *Movement) Key() string { return m.Dispute() + ":" + m.ID }

func (f *Facts) mergeDispute(o payment.Observation, d *Delta) {
	fresh := Dispute{
		Provider: o.Provider, Account: o.Account, ID: o.DisputeID, OrderID: f.Order.ID, PaymentID: o.PaymentID,
		Status: o.Status, Outcome: o.Outcome, Amount: o.Amount, Currency: o.Currency, InboxID: o.InboxID,
	}
	if o.Status == payment.DisputeClosed {
		fresh.Seq = o.Seq
	}
	q := f.dispute(fresh.Key())
	if q == nil {
		f.Disputes = append(f.Disputes, fresh)
		d.NewDisputes[fresh.Key()] = true
		return
	}
	before := *q
	if payment.Advances(payment.KindDispute, q.Status, o.Status) {
		if q.warning() && !fresh.warning() {
			q.Amount, q.Currency = o.Amount, o.Currency // a warning contests nothing yet
		}
		q.Status, q.InboxID = o.Status, o.InboxID
	}
	if o.Status == payment.DisputeClosed && (before.Status != o.Status || o.Seq >= q.Seq) {
		if q.Outcome != o.Outcome {
			q.InboxID = o.InboxID
		}
		q.Outcome, q.Seq = o.Outcome, o.Seq
	}
	if *q != before && !d.NewDisputes[q.Key()] {
		d.Disputes[q.Key()] = true
	}
}

func (f *Facts) dispute(key string) *Dispute {
	for i := range f.Disputes {
		if f.Disputes[i].Key() == key {
			return &f.Disputes[i]
		}
	}
	return nil
}

func (f *Facts) mergeMovement(o payment.Observation, d *Delta) {
	m := Movement{
		Provider: o.Provider, Account: o.Account, DisputeID: o.DisputeID, ID: o.MovementID, OrderID: f.Order.ID, PaymentID: o.PaymentID,
		Status: o.Status, Amount: o.Amount, Currency: o.Currency, InboxID: o.InboxID,
	}
	if slices.ContainsFunc(f.Movements, func(had Movement) bool { return had.Key() == m.Key() }) {
		return
	}
	f.Movements = append(f.Movements, m)
	d.NewMovements[m.Key()] = true
}

// Disputed reports whether an undecided dispute contests the payment: nothing of
// it is given back meanwhile.
func (f *Facts) Disputed(p *Payment) bool {
	return slices.ContainsFunc(f.Disputes, func(q Dispute) bool { return q.Open() && q.Payment() == p.Key })
}

// contested is what of a payment disputes took or may take.
func (f *Facts) contested(p *Payment) (sum int64) {
	for i := range f.Disputes {
		if q := &f.Disputes[i]; q.Payment() == p.Key && (q.Open() || q.Lost()) {
			sum += q.Amount
		}
	}
	return sum
}

// disputed reports whether money of the order is contested or was lost.
func (f *Facts) disputed() bool {
	return slices.ContainsFunc(f.Disputes, func(q Dispute) bool { return q.Open() || q.Lost() })
}

// disputes names the entries for what disputes hold and move. A warning moves
// nothing: one that moved money all the same is a dispute to the ledger. Money
// that bought nothing is nobody's to hold.
func (d *Derived) disputes(f *Facts) {
	if d.Late || len(d.Choose) > 0 {
		return
	}
	sorted := slices.Clone(f.Disputes)
	slices.SortFunc(sorted, func(a, b Dispute) int { return strings.Compare(a.Key(), b.Key()) })
	for i := range sorted {
		q := &sorted[i]
		moved := f.movements(q.Key())
		p := f.Payment(q.Payment())
		if p == nil || !took(p) || q.warning() && len(moved) == 0 {
			continue
		}
		e := Entry{Payment: p.Key, Gross: q.Amount, Currency: q.Currency, Dispute: q.Key(), InboxID: q.InboxID}
		prefix, withdrawn, reinstated := "dispute:"+q.Key(), "dispute_withdrawn", "dispute_reinstated"
		ofSale := p == d.Kept && f.Order.Gross > 0
		if !ofSale {
			withdrawn, reinstated = "surplus_withdrawn", "surplus_reinstated"
		}
		if ofSale && q.Amount > 0 {
			e.Key, e.Kind = prefix+":opened", "dispute_opened"
			d.Entries = append(d.Entries, e)
		}
		taken := int64(0)
		for _, m := range moved {
			e := Entry{Payment: p.Key, Gross: m.Amount, Currency: m.Currency, Dispute: q.Key(), InboxID: m.InboxID}
			switch m.Status {
			case payment.MoneyWithdrawn:
				e.Key, e.Kind = prefix+":money:"+m.ID, withdrawn
				taken += m.Amount
			case payment.MoneyFee:
				e.Key, e.Kind = prefix+":fee:"+m.ID, "fee"
			case payment.MoneyReinstated:
				// What comes back before it is known to have been taken waits for that.
				if taken < m.Amount {
					continue
				}
				e.Key, e.Kind = prefix+":money:"+m.ID, reinstated
				taken -= m.Amount
			}
			d.Entries = append(d.Entries, e)
		}
		if ofSale && q.Amount > 0 && (q.Status == payment.DisputeClosed || q.Status == payment.DisputeWarningClosed) {
			e.Key, e.Kind = prefix+":closed", "dispute_closed"
			d.Entries = append(d.Entries, e)
		}
	}
}

// movements lists what a dispute moved: taken first, then fees, then given back,
// each by id.
func (f *Facts) movements(dispute string) []Movement {
	var out []Movement
	for _, m := range f.Movements {
		if m.Dispute() == dispute {
			out = append(out, m)
		}
	}
	place := []string{payment.MoneyWithdrawn, payment.MoneyFee, payment.MoneyReinstated}
	slices.SortFunc(out, func(a, b Movement) int {
		if c := slices.Index(place, a.Status) - slices.Index(place, b.Status); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}
