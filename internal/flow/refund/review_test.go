package refund

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

func (w *world) reasons() []order.Reason {
	d := order.Derive(w.facts())
	return d.Reviews
}

func (w *world) options() map[ActionKind]Option {
	w.t.Helper()
	found, err := w.Options(w.t.Context(), w.orderID)
	require.NoError(w.t, err)
	out := map[ActionKind]Option{}
	for _, o := range found {
		out[o.Kind] = o
	}
	return out
}

// resolve previews a decision, makes it, and compares.
func (w *world) resolve(a Action) Effect {
	w.t.Helper()
	a.Note = "test"
	before := w.facts()
	want, err := w.Preview(w.t.Context(), w.orderID, a)
	require.NoError(w.t, err)
	require.Equal(w.t, before, w.facts(), "a preview changes nothing")
	got, err := w.Resolve(w.t.Context(), w.operator, w.orderID, a)
	require.NoError(w.t, err)
	require.Len(w.t, got.Refunds, len(want.Refunds))
	for i := range got.Refunds { // each has an id of its own
		want.Refunds[i].ID, want.Refunds[i].CauseID = got.Refunds[i].ID, got.Refunds[i].CauseID
	}
	require.Equal(w.t, want, got)
	require.Equal(w.t, got.After, w.state())
	require.Equal(w.t, 1, w.shop.Count(`SELECT count(*) FROM audit_log WHERE action = $1`, "review."+string(a.Kind)))
	_, err = w.Resolve(w.t.Context(), w.operator, w.orderID, a)
	require.ErrorIs(w.t, err, ErrNoReason, "pressed twice")
	return got
}

// Money that bought nothing goes back when a person says so, in its own currency,
// and the order is over.
func TestReturnMismatch(t *testing.T) {
	t.Parallel()
	w := unpaid(t, newBank(23*time.Hour, true))
	w.hear(payment.Observation{Kind: payment.KindPayment, PaymentID: "pay_1", Status: payment.PaymentSucceeded, Amount: 3999, Currency: "USD"})
	require.Equal(t, order.Review, w.state())
	o := w.options()[ActionReturn]
	require.Equal(t, "USD", o.Currency)
	require.Equal(t, int64(3999), o.Amount)
	require.NotEmpty(t, o.Why)

	e := w.resolve(Action{Kind: ActionReturn, Subject: o.Subject})
	require.Equal(t, order.Canceled, e.After)
	require.Equal(t, order.RefundSurplus, e.Refunds[0].Kind)
	require.NoError(t, w.Send(t.Context(), e.Refunds[0].ID))
	require.Equal(t, order.Canceled, w.state())
	require.Zero(t, w.balance("suspense"))
}

// A return that failed can be decided again.
func TestReturnAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(23*time.Hour, true))
	w.hear(payment.Observation{Kind: payment.KindPayment, PaymentID: "pay_2", Status: payment.PaymentSucceeded, Amount: gross})
	w.bank.status = payment.RefundFailed
	require.NoError(t, w.Send(t.Context(), w.sent[0]))
	require.Equal(t, order.Review, w.state())
	e := w.resolve(Action{Kind: ActionReturn, Subject: w.options()[ActionReturn].Subject})
	require.Equal(t, order.Paid, e.After)
	require.Equal(t, "pay_2", e.Refunds[0].Payment.ID)
	w.bank.status = payment.RefundSucceeded
	require.NoError(t, w.Send(t.Context(), e.Refunds[0].ID))
	require.Equal(t, order.Paid, w.state())
	require.Equal(t, []int{0, 1, 2}, w.live())
}

// A part given back at the provider keeps the access until a person says which
// lines it ended; if that refund fails after all, they come back.
func TestEndLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(23*time.Hour, true))
	back := payment.Observation{Kind: payment.KindRefund, RefundID: "elsewhere", Status: payment.RefundSucceeded, Amount: 1000}
	w.hear(back)
	require.Equal(t, order.Review, w.state())
	require.Equal(t, []int{0, 1, 2}, w.live())
	o := w.options()[ActionEndLines]
	require.Len(t, o.Lines, 3)
	require.Equal(t, int64(1000), o.Amount)
	stranger := Action{Kind: ActionEndLines, Subject: o.Subject, LineIDs: []uuid.UUID{w.orderID}, Note: "x"}
	_, err := w.Preview(t.Context(), w.orderID, stranger)
	require.ErrorIs(t, err, ErrLines)

	e := w.resolve(Action{Kind: ActionEndLines, Subject: o.Subject, LineIDs: []uuid.UUID{w.lines[0].ID, w.lines[1].ID}})
	require.Equal(t, order.PartiallyRefunded, e.After)
	require.Len(t, e.Ended, 2)
	require.Equal(t, []int{2}, w.live())
	_, err = w.ask("ended", 0)
	require.ErrorIs(t, err, ErrLines, "it is given back already")
	w.mustAsk("the rest")
	require.Empty(t, w.live())

	back.Status = payment.RefundFailed
	w.hear(back)
	require.Equal(t, []int{0, 1}, w.live())
}

// A reason that needs no deed ends when a person has looked at it, and another
// one of the same kind is another reason.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newBank(23*time.Hour, true))
	w.hear(payment.Observation{Kind: payment.KindPayment, PaymentID: "pay_1", Status: payment.PaymentReversed, Amount: gross})
	require.Equal(t, order.Review, w.state())
	o := w.options()
	require.NotContains(t, o, ActionReturn)
	_, err := w.Preview(t.Context(), w.orderID, Action{Kind: ActionReturn, Subject: o[ActionAcknowledge].Subject})
	require.ErrorIs(t, err, ErrNoReason)
	e := w.resolve(Action{Kind: ActionAcknowledge, Subject: o[ActionAcknowledge].Subject})
	require.Equal(t, order.Paid, e.After)
	require.Empty(t, e.Reviews)
	require.Equal(t, 1, w.shop.Count(`SELECT count(*) FROM decisions WHERE cause_kind = 'audit'`))
	w.hear(payment.Observation{Kind: payment.KindPayment, PaymentID: "pay_2", Status: payment.PaymentSucceeded, Amount: 1})
	require.Equal(t, order.Review, w.state())
	_, err = w.Options(t.Context(), uuid.New())
	require.ErrorIs(t, err, ErrNoOrder)
	_, err = w.Preview(t.Context(), uuid.New(), Action{})
	require.ErrorIs(t, err, ErrNoOrder)
}
