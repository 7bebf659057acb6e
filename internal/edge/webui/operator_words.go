package webui

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
)

// orderEvidence is an order with all that it rests on, one line each.
type orderEvidence struct {
	Order   order.Order
	Reasons []order.Reason

	Lines, Attempts, Payments, Refunds, Requests, Disputes, Decisions []string
}

func (u *ui) orderEvidence(w http.ResponseWriter, r *http.Request) error {
	orderID, err := pathID(r, "id")
	if err != nil {
		return err
	}
	f, err := u.Checkout.Order(r.Context(), orderID)
	if err != nil {
		return err
	}
	return u.show(w, r, "An order", operatorOrder(evidenceOf(f)))
}

func evidenceOf(f *order.Facts) orderEvidence {
	d := order.Derive(f)
	v := orderEvidence{Order: f.Order, Reasons: d.Reviews}
	for _, l := range f.Lines {
		has := "no access"
		switch {
		case d.Live[l.ID] && d.Frozen:
			has = "access is paused"
		case d.Live[l.ID]:
			has = "the buyer has it"
		}
		v.Lines = append(v.Lines, fmt.Sprintf("%s, %s: %s", l.Name, price(l.Price, f.Order.Currency), has))
	}
	for _, a := range f.Attempts {
		v.Attempts = append(v.Attempts, fmt.Sprintf("%s: %s, page %s", a.Provider, a.Status, a.Ref))
	}
	for _, p := range f.Payments {
		v.Payments = append(v.Payments, fmt.Sprintf("%s: %s, %s", p.Key, p.Status, price(p.Amount, p.Currency)))
	}
	for _, r := range f.Refunds {
		begun := "begun at the provider"
		if r.RequestID != nil {
			begun = "asked for by us"
		}
		v.Refunds = append(v.Refunds, fmt.Sprintf("%s of payment %s: %s, %s, %s", r.ID, r.PaymentID, r.Status, price(r.Amount, r.Currency), begun))
	}
	for _, q := range f.Requests {
		v.Requests = append(v.Requests, strings.TrimSuffix(fmt.Sprintf("%s, of payment %s: %s, %s", price(q.Amount, q.Currency), q.Payment.ID, q.State, q.Note), ", "))
	}
	for _, q := range f.Disputes {
		v.Disputes = append(v.Disputes, strings.TrimSpace(fmt.Sprintf("%s of payment %s, %s: %s %s", q.ID, q.PaymentID, price(q.Amount, q.Currency), q.Status, q.Outcome)))
	}
	for subject, value := range f.Decisions {
		v.Decisions = append(v.Decisions, subject+": "+value)
	}
	slices.Sort(v.Decisions)
	return v
}

// moment writes a time for an operator.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

// stateName writes a state of an order for an operator.
func stateName(s order.State) string { return strings.ReplaceAll(string(s), "_", " ") }

// bodyText is a body as text: what is no text is shown as such.
func bodyText(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}

// factWords says a fact in one line.
func factWords(o payment.Observation) string {
	parts := []string{string(o.Kind), o.Status}
	if o.Outcome != "" {
		parts = append(parts, "("+o.Outcome+")")
	}
	if o.Currency != "" {
		parts = append(parts, price(o.Amount, o.Currency))
	}
	for _, named := range []struct{ name, id string }{
		{"payment", o.PaymentID}, {"refund", o.RefundID}, {"dispute", o.DisputeID}, {"movement", o.MovementID}, {"page", o.Ref},
	} {
		if named.id != "" {
			parts = append(parts, named.name+" "+named.id)
		}
	}
	if o.AttemptID != uuid.Nil {
		parts = append(parts, "our attempt "+o.AttemptID.String())
	}
	return strings.Join(parts, " ")
}

// verdictWords says what would become of an event.
func verdictWords(e inbox.Effect) string {
	why := ""
	if e.Note != "" {
		why = ": " + e.Note
	}
	switch {
	case e.Fails:
		return "It would fail again, and nothing would change" + why + "."
	case e.Verdict == payment.Retry:
		return "What it needs is still missing, so it would be put off again" + why + "."
	case e.Verdict == payment.Ignored:
		return "It is not about anything of ours, and would be set aside" + why + "."
	case len(e.Orders) == 0:
		return "It would be done, and change nothing: all that it says is known."
	}
	return "It would be applied, and change the following."
}
