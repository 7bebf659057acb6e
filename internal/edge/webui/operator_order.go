package webui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/order"
	"proofroom/internal/edge"
	"proofroom/internal/flow/refund"
)

// orderEvidence is an order with all that it rests on, one line each.
type orderEvidence struct {
	Order   order.Order
	Reasons []order.Reason
	Options []refund.Option
	Bought  bool // some payment bought the order
	// Back are the lines that can be refunded; Key keeps a refund pressed twice
	// from being two.
	Back []order.Line
	Key  string

	Lines, Attempts, Payments, Refunds, Requests, Disputes, Decisions []string
}

func (u *ui) orderEvidence(w http.ResponseWriter, r *http.Request) error {
	orderID, err := pathID(r, "id")
	if err != nil {
		return err
	}
	v, err := u.evidenceOf(r.Context(), orderID)
	if err != nil {
		return err
	}
	return u.show(w, r, "An order", operatorOrder(v))
}

func (u *ui) evidenceOf(ctx context.Context, orderID uuid.UUID) (orderEvidence, error) {
	f, err := u.Checkout.Order(ctx, orderID)
	if err != nil {
		return orderEvidence{}, err
	}
	d := order.Derive(f)
	v := orderEvidence{Order: f.Order, Reasons: d.Reviews, Bought: d.Kept != nil, Key: id.New().String()}
	if v.Options, err = u.Operating.Refunds.Options(ctx, orderID); err != nil {
		return orderEvidence{}, err
	}
	for _, l := range f.Lines {
		has := "no access"
		if d.Live[l.ID] && l.Price > 0 {
			v.Back = append(v.Back, l)
		}
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
	return v, nil
}

// keeps is the money that the shop keeps when a reason is acknowledged: what could
// be given back instead; empty when it is not about that.
func (v orderEvidence) keeps(kind refund.ActionKind, subject string) string {
	for _, o := range v.Options {
		if kind == refund.ActionAcknowledge && o.Kind == refund.ActionReturn && o.Subject == subject {
			return price(o.Amount, o.Currency)
		}
	}
	return ""
}

// decisionOf reads a decision from a form.
func decisionOf(f url.Values) (refund.Action, error) {
	lines, err := linesOf(f)
	return refund.Action{Kind: refund.ActionKind(f.Get("kind")), Subject: f.Get("subject"), LineIDs: lines, Note: strings.TrimSpace(f.Get("reason"))}, err
}

func linesOf(f url.Values) ([]uuid.UUID, error) {
	var out []uuid.UUID
	for _, s := range f["line"] {
		lineID, err := uuid.Parse(s)
		if err != nil {
			return nil, errForm.Because(err)
		}
		out = append(out, lineID)
	}
	return out, nil
}

// decisionView is what a decision would do, and the form that makes it.
type decisionView struct {
	Order  order.Order
	Lines  []order.Line
	Action refund.Action
	Effect refund.Effect
	Keeps  string // the money that the shop keeps by it
	Bought bool   // other money bought the order
}

// named are the lines with these ids.
func (v decisionView) named(ids []uuid.UUID) []order.Line {
	return slices.DeleteFunc(slices.Clone(v.Lines), func(l order.Line) bool { return !slices.Contains(ids, l.ID) })
}

// reasons joins why a person would still have to look.
func reasons(left []order.Reason) string {
	var out []string
	for _, r := range left {
		out = append(out, r.Why)
	}
	return strings.Join(out, "; ")
}

// decided reads the form of a decision about the order in the address.
func decided(w http.ResponseWriter, r *http.Request) (orderID uuid.UUID, f url.Values, a refund.Action, err error) {
	if orderID, err = pathID(r, "id"); err != nil {
		return orderID, f, a, err
	}
	if f, err = form(w, r); err != nil {
		return orderID, f, a, err
	}
	a, err = decisionOf(f)
	return orderID, f, a, err
}

// previewDecision shows what a decision would do, and asks whether to.
func (u *ui) previewDecision(w http.ResponseWriter, r *http.Request) error {
	orderID, _, a, err := decided(w, r)
	if err != nil {
		return err
	}
	facts, err := u.Checkout.Order(r.Context(), orderID)
	if err != nil {
		return err
	}
	v, err := u.evidenceOf(r.Context(), orderID)
	if err != nil {
		return err
	}
	effect, err := u.Operating.Refunds.Preview(r.Context(), orderID, a)
	if err != nil {
		return behind(err, orderPath(orderID))
	}
	return u.show(w, r, "What this would do", decisionPage(decisionView{
		Order: facts.Order, Lines: facts.Lines, Action: a, Effect: effect, Keeps: v.keeps(a.Kind, a.Subject), Bought: v.Bought,
	}))
}

func (u *ui) decide(w http.ResponseWriter, r *http.Request) error {
	orderID, f, a, err := decided(w, r)
	if err != nil {
		return err
	}
	if a.Note, err = reasonOf(f); err != nil {
		return behind(err, orderPath(orderID))
	}
	if _, err := u.Operating.Refunds.Resolve(r.Context(), edge.Actor(r.Context()).AccountID, orderID, a); err != nil {
		return behind(err, orderPath(orderID))
	}
	return seeOther(w, r, orderPath(orderID))
}

// refund gives chosen lines back.
func (u *ui) refund(w http.ResponseWriter, r *http.Request) error {
	orderID, err := pathID(r, "id")
	if err != nil {
		return err
	}
	f, err := form(w, r)
	if err != nil {
		return err
	}
	lines, err := linesOf(f)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return behind(errLines, orderPath(orderID))
	}
	reason, err := reasonOf(f)
	if err != nil {
		return behind(err, orderPath(orderID))
	}
	key, err := edge.IdempotencyKey(f.Get("key"))
	if err != nil {
		return errForm.Because(err)
	}
	_, err = u.Operating.Refunds.Ask(r.Context(), refund.Input{
		OperatorID: edge.Actor(r.Context()).AccountID, OrderID: orderID, LineIDs: lines, Reason: reason, Key: key,
	})
	if err != nil {
		return behind(err, orderPath(orderID))
	}
	return seeOther(w, r, orderPath(orderID))
}

var errLines = problem.Define(problem.Unprocessable, "operator.lines", "Nothing is chosen",
	"Nothing was refunded. Choose what to give back.")
