package order

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Reason is why a person must look at an order.
type Reason struct {
	// Subject names what is wrong, always the same for the same thing:
	// "mismatch:stripe:main:pi_1".
	Subject string
	Why     string // in words
}

// Beginnings of reasons' subjects that more than one place knows.
const (
	mismatchReason = "mismatch:" // + payment key: money that bought nothing
	partialReason  = "partial:"  // + refund key: which lines has it ended?
	unmetReason    = "unmet:"    // + request id: the money did not go back
	overdueReason  = "overdue:"  // + "refund:" and a key, or "request:" and an id
	overdueRefund  = overdueReason + "refund:"
	overdueRequest = overdueReason + "request:"
)

func (d *Derived) reason(subject, why string) {
	d.Reviews = append(d.Reviews, Reason{subject, why})
}

// noted adds the reasons that were noted as decisions, as far as they still hold.
func (d *Derived) noted(f *Facts) {
	for subject, why := range f.Decisions {
		if what, ok := strings.CutPrefix(subject, DecideReview); ok && f.holds(what) {
			d.reason(what, why)
		}
	}
}

// holds reports whether a noted reason is still one: what was overdue may have
// come.
func (f *Facts) holds(subject string) bool {
	if subject == "overdue" {
		return slices.ContainsFunc(f.Attempts, func(a Attempt) bool { return f.UnderWay(&a) })
	}
	if key, ok := strings.CutPrefix(subject, overdueRefund); ok {
		return slices.ContainsFunc(f.Refunds, func(r Refund) bool { return r.Key() == key && r.Pending() })
	}
	if key, ok := strings.CutPrefix(subject, overdueRequest); ok {
		return slices.ContainsFunc(f.Requests, func(r Request) bool { return r.ID.String() == key && r.State == RequestOpen })
	}
	return true
}

// look sorts the reasons, and leaves out those that a person has looked at.
func (d *Derived) look(f *Facts) {
	d.Reviews = slices.DeleteFunc(d.Reviews, func(r Reason) bool {
		_, seen := f.Decisions[DecideSeen+r.Subject]
		return seen
	})
	slices.SortFunc(d.Reviews, func(a, b Reason) int { return strings.Compare(a.Subject, b.Subject) })
	d.Reviews = slices.CompactFunc(d.Reviews, func(a, b Reason) bool { return a.Subject == b.Subject })
}

// Words are the reasons as orders.review keeps them.
func (d *Derived) Words() string {
	words := make([]string, len(d.Reviews))
	for i, r := range d.Reviews {
		words[i] = r.Why
	}
	return strings.Join(words, "; ")
}

// Remedy is what a person can do about a reason.
type Remedy struct {
	Acknowledge bool     // to have looked at it may be all there is to do
	Return      *Payment // money that bought nothing, to give back by a request of Kind
	Kind        RequestKind
	Amount      int64    // of Return, in minor units
	Partial     *Refund  // begun at the provider: say which lines it ended
	Lines       []Line   // of Return: what it gives back; of Partial: those that have not ended
	Withdraw    *Request // asked for, and the provider never said a word
}

// Remedy finds what can be done about one of the order's reasons.
func (f *Facts) Remedy(d *Derived, r Reason) Remedy {
	if key, ok := strings.CutPrefix(r.Subject, mismatchReason); ok {
		return f.giveBack(d, f.paymentNamed(key), RefundSurplus)
	}
	if requestID, ok := cutID(r.Subject, unmetReason); ok {
		switch q := f.Request(requestID); {
		case q == nil:
		case q.Kind == RefundCovered && d.Kept != nil && !f.Disputed(d.Kept):
			if amount := min(q.Amount, f.SaleLeft(d.Kept)); amount > 0 {
				return Remedy{Acknowledge: true, Return: d.Kept, Kind: q.Kind, Amount: amount, Lines: f.linesOf(q.LineIDs)}
			}
		case !q.Kind.ofSale():
			return f.giveBack(d, f.Payment(q.Payment), q.Kind)
		}
	}
	if requestID, ok := cutID(r.Subject, overdueRequest); ok {
		return Remedy{Withdraw: f.Request(requestID)}
	}
	if key, ok := strings.CutPrefix(r.Subject, partialReason); ok && d.Kept != nil {
		for i := range f.Refunds {
			if b := &f.Refunds[i]; b.Key() == key {
				return Remedy{Partial: b, Lines: f.Remaining(d.Kept)}
			}
		}
	}
	return Remedy{Acknowledge: true}
}

func (f *Facts) giveBack(d *Derived, p *Payment, kind RequestKind) Remedy {
	m := Remedy{Acknowledge: true}
	if p == nil || f.Disputed(p) {
		return m
	}
	amount := f.Refundable(p)
	if d.Kept != nil && d.Kept.Key == p.Key {
		amount -= max(0, f.SaleLeft(p)) // that was sold
	}
	if amount > 0 {
		m.Return, m.Kind, m.Amount = p, kind, amount
	}
	return m
}

// Remaining are the lines of a sale that have not ended.
func (f *Facts) Remaining(kept *Payment) []Line {
	ended, all := f.ended(kept)
	if all {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.Lines), func(l Line) bool { return ended[l.ID] })
}

func (f *Facts) linesOf(ids []uuid.UUID) []Line {
	return slices.DeleteFunc(slices.Clone(f.Lines), func(l Line) bool { return !slices.Contains(ids, l.ID) })
}

func (f *Facts) paymentNamed(key string) *Payment {
	for i := range f.Payments {
		if f.Payments[i].Key.String() == key {
			return &f.Payments[i]
		}
	}
	return nil
}

func cutID(subject, prefix string) (uuid.UUID, bool) {
	text, ok := strings.CutPrefix(subject, prefix)
	if !ok {
		return uuid.Nil, false
	}
	requestID, err := uuid.Parse(text)
	return requestID, err == nil
}

// Unmet is the subject of the reason that a request did not succeed.
func Unmet(requestID uuid.UUID) string { return unmetReason + requestID.String() }

// noLines is the value of a decision that names none.
const noLines = "none"

// LinesValue is a decision's value that names lines.
func LinesValue(ids []uuid.UUID) string {
	if len(ids) == 0 {
		return noLines
	}
	text := make([]string, len(ids))
	for i, lineID := range ids {
		text[i] = lineID.String()
	}
	return strings.Join(text, ",")
}

func idsOf(value string) []uuid.UUID {
	if value == "" || value == noLines {
		return nil
	}
	var ids []uuid.UUID
	for text := range strings.SplitSeq(value, ",") {
		if lineID, err := uuid.Parse(text); err == nil {
			ids = append(ids, lineID)
		}
	}
	return ids
}
