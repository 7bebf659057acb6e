package refund

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
)

// ErrNoReason says that nothing in the order calls for the decision.
var ErrNoReason = problem.Define(problem.Conflict, "review.no_reason", "Nothing in the order calls for this now",
	"Nothing was changed. Somebody else may have decided it, or the provider has said more since: look at the order again.")

// ActionKind is what a person decides.
type ActionKind string

// The kinds of decisions.
const (
	// ActionReturn asks the provider to give back money that bought nothing.
	ActionReturn ActionKind = "return"
	// ActionEndLines says which lines a partial refund begun at the provider ended.
	ActionEndLines ActionKind = "end_lines"
	// ActionAcknowledge: the reason was looked at and holds the order no longer.
	ActionAcknowledge ActionKind = "acknowledge"
	// ActionWithdraw ends a request that the provider never answered: it was not
	// made there. The access that it had ended comes back.
	ActionWithdraw ActionKind = "withdraw"
)

// Action is a decision about one reason of one order.
type Action struct {
	Kind    ActionKind
	Subject string      // the reason's
	LineIDs []uuid.UUID // ActionEndLines: whose access ends; none: all stay
	Note    string      // why; kept in the audit log
}

// Option is a decision that can be made now.
type Option struct {
	Kind     ActionKind
	Subject  string
	Why      string // the reason's words
	Amount   int64  // in minor units: what would go back, did go back, or was asked for; else 0
	Currency string
	Lines    []order.Line // ActionEndLines: those to choose from
}

// Effect is what a decision changes, or would.
type Effect struct {
	Before, After order.State
	Reviews       []order.Reason  // what is left
	Ended         []uuid.UUID     // lines whose access ends
	Restored      []uuid.UUID     // lines whose access comes back
	Entries       []order.Entry   // of the ledger, new ones
	Refunds       []order.Request // new ones
}

// Options lists what can be decided about an order. ErrNoOrder.
func (s *Service) Options(ctx context.Context, orderID uuid.UUID) ([]Option, error) {
	f, err := s.orders.Get(ctx, s.pool, orderID)
	if errors.Is(err, order.ErrNotFound) {
		return nil, ErrNoOrder
	}
	if err != nil {
		return nil, err
	}
	d := order.Derive(f)
	var out []Option
	for _, r := range d.Reviews {
		m := f.Remedy(&d, r)
		add := func(kind ActionKind, amount int64, currency string, lines []order.Line) {
			out = append(out, Option{Kind: kind, Subject: r.Subject, Why: r.Why, Amount: amount, Currency: currency, Lines: lines})
		}
		if m.Return != nil {
			add(ActionReturn, m.Amount, m.Return.Currency, nil)
		}
		if m.Partial != nil {
			add(ActionEndLines, m.Partial.Amount, m.Partial.Currency, m.Lines)
		}
		if m.Withdraw != nil {
			add(ActionWithdraw, m.Withdraw.Amount, m.Withdraw.Currency, nil)
		}
		if m.Acknowledge {
			add(ActionAcknowledge, 0, "", nil)
		}
	}
	return out, nil
}

// previewed carries an effect out of a transaction that is to be undone.
type previewed struct{ effect Effect }

func (previewed) Error() string { return "refund: only a preview" }

// Preview says what a decision would change. It runs the decision's own code in a
// transaction that is rolled back.
func (s *Service) Preview(ctx context.Context, orderID uuid.UUID, a Action) (Effect, error) {
	err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		e, err := s.resolveTx(ctx, tx, orderID, a, order.Cause{Kind: order.CauseAudit, ID: id.New()})
		if err != nil {
			return err
		}
		return previewed{e}
	})
	if only := (previewed{}); errors.As(err, &only) {
		return only.effect, nil
	}
	return Effect{}, err
}

// Resolve brings a person's decision about. The same decision again finds
// nothing left to decide: ErrNoReason.
func (s *Service) Resolve(ctx context.Context, operatorID, orderID uuid.UUID, a Action) (Effect, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Effect, error) {
		auditID, err := s.book.AuditTx(ctx, tx, account.Audit{
			AccountID: operatorID, Action: "review." + string(a.Kind), Subject: "order:" + orderID.String(),
			Detail: map[string]any{"subject": a.Subject, "lines": a.LineIDs, "note": a.Note},
		})
		if err != nil {
			return Effect{}, err
		}
		return s.resolveTx(ctx, tx, orderID, a, order.Cause{Kind: order.CauseAudit, ID: auditID})
	})
}

func (s *Service) resolveTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID, a Action, cause order.Cause) (Effect, error) {
	f, before, err := s.lockTx(ctx, tx, orderID)
	if err != nil {
		return Effect{}, err
	}
	at := slices.IndexFunc(before.Reviews, func(r order.Reason) bool { return r.Subject == a.Subject })
	if at < 0 {
		return Effect{}, ErrNoReason
	}
	asked := len(f.Requests)
	if err := s.decideTx(ctx, tx, f, before, f.Remedy(&before, before.Reviews[at]), a, cause); err != nil {
		return Effect{}, err
	}
	after := order.Derive(f)
	return effect(&before, &after, f.Order.State, f.Requests[asked:]), nil
}

func (s *Service) decideTx(ctx context.Context, tx pgx.Tx, f *order.Facts, before order.Derived, m order.Remedy, a Action, cause order.Cause) error {
	delta := order.NewDelta()
	switch {
	case a.Kind == ActionReturn && m.Return != nil:
		r := order.Request{
			ID: id.New(), OrderID: f.Order.ID, Payment: m.Return.Key, Amount: m.Amount, Currency: m.Return.Currency, Kind: m.Kind,
			CauseKind: cause.Kind, CauseID: cause.ID,
		}
		for _, l := range m.Lines {
			r.LineIDs = append(r.LineIDs, l.ID)
		}
		return s.requestTx(ctx, tx, f, before, delta, r)
	case a.Kind == ActionEndLines && m.Partial != nil:
		for _, lineID := range a.LineIDs {
			if !slices.ContainsFunc(m.Lines, func(l order.Line) bool { return l.ID == lineID }) {
				return ErrLines
			}
		}
		f.DecideBy(order.DecideEnded+m.Partial.Key(), order.LinesValue(a.LineIDs), cause, delta)
	case a.Kind == ActionAcknowledge && m.Acknowledge:
		f.DecideBy(order.DecideSeen+a.Subject, a.Note, cause, delta)
	case a.Kind == ActionWithdraw && m.Withdraw != nil:
		m.Withdraw.State, m.Withdraw.Note = order.RequestRejected, "withdrawn: "+a.Note
		delta.Requests[m.Withdraw.ID] = true
		if m.Withdraw.Kind == order.RefundSale {
			// The person knows that it did not succeed; whoever wants it asks again.
			f.DecideBy(order.DecideSeen+order.Unmet(m.Withdraw.ID), a.Note, cause, delta)
		}
	default:
		return ErrNoReason
	}
	return s.settler.ReconsiderTx(ctx, tx, f, before, delta, cause)
}

// effect is the difference between what an order's facts meant and mean.
func effect(before, after *order.Derived, state order.State, asked []order.Request) Effect {
	e := Effect{Before: before.State, After: state, Reviews: after.Reviews, Refunds: slices.Clone(asked)}
	for lineID, is := range after.Live {
		switch was := before.Live[lineID]; {
		case was && !is:
			e.Ended = append(e.Ended, lineID)
		case is && !was:
			e.Restored = append(e.Restored, lineID)
		}
	}
	e.Ended, e.Restored = id.Sorted(e.Ended), id.Sorted(e.Restored)
	for _, entry := range after.Entries {
		if !slices.ContainsFunc(before.Entries, func(had order.Entry) bool { return had.Key == entry.Key }) {
			e.Entries = append(e.Entries, entry)
		}
	}
	return e
}
