package order

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

// Change is what one transaction learned about one locked order.
type Change struct {
	Facts   *Facts
	Delta   *Delta
	Derived Derived
	Cause   Cause
}

// SaveFactsTx runs FactSteps.
func (s Store) SaveFactsTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	return pg.Pipeline(ctx, tx, s.FactSteps(changes)...)
}

// SaveStatesTx runs StateSteps.
func (s Store) SaveStatesTx(ctx context.Context, tx pgx.Tx, changes []Change) error {
	return pg.Pipeline(ctx, tx, s.StateSteps(changes)...)
}

// FactSteps write what was learned, set-wise: attempts, payments, answered
// requests, refunds, disputes. The orders are locked by LockTx. They fail with
// ErrElsewhere when a new row's key stands already.
func (s Store) FactSteps(changes []Change) []pg.Step {
	return slices.Concat(s.attemptSteps(changes), s.paymentSteps(changes), s.refundSteps(changes), s.disputeSteps(changes))
}

// StateSteps write decisions, then states with their history, and release what
// settled orders had reserved. The changes are derived.
func (s Store) StateSteps(changes []Change) []pg.Step {
	return slices.Concat(s.decisionSteps(changes), s.stateSteps(changes))
}

// writing is a step that must change as many rows as it is given.
func writing[P any](what string, want int, write func(context.Context, db.DBTX, P) (int64, error), p P) []pg.Step {
	if want == 0 {
		return nil
	}
	return []pg.Step{func(ctx context.Context, q pg.DBTX) error {
		n, err := write(ctx, q, p)
		if err != nil {
			return fmt.Errorf("write %s: %w", what, err)
		}
		return wrote(what, n, want)
	}}
}

func wrote(what string, got int64, want int) error {
	if got != int64(want) {
		return fmt.Errorf("%w: %d of %d %s", ErrElsewhere, got, want, what)
	}
	return nil
}

func (s Store) attemptSteps(changes []Change) []pg.Step {
	var p db.UpdateAttemptsParams
	for _, c := range changes {
		for _, a := range c.Facts.Attempts {
			if c.Delta.Attempts[a.ID] {
				p.Ids, p.Refs, p.Statuses = append(p.Ids, a.ID), append(p.Refs, a.Ref), append(p.Statuses, a.Status)
			}
		}
	}
	return writing("attempts", len(p.Ids), s.q.UpdateAttempts, p)
}

func (s Store) paymentSteps(changes []Change) []pg.Step {
	var ins db.InsertPaymentsParams
	var upd db.UpdatePaymentsParams
	for _, c := range changes {
		for i := range c.Facts.Payments {
			p := &c.Facts.Payments[i]
			switch {
			case c.Delta.NewPayments[p.Key]:
				ins.Providers, ins.Accounts, ins.PaymentIds = append(ins.Providers, p.Key.Provider), append(ins.Accounts, p.Key.Account), append(ins.PaymentIds, p.Key.ID)
				ins.OrderIds, ins.AttemptIds = append(ins.OrderIds, p.OrderID), append(ins.AttemptIds, p.AttemptID)
				ins.Statuses, ins.Amounts, ins.Currencies = append(ins.Statuses, p.Status), append(ins.Amounts, p.Amount), append(ins.Currencies, p.Currency)
				ins.Fees, ins.InboxIds = append(ins.Fees, p.Fee), append(ins.InboxIds, p.InboxID)
			case c.Delta.Payments[p.Key]:
				upd.Providers, upd.Accounts, upd.PaymentIds = append(upd.Providers, p.Key.Provider), append(upd.Accounts, p.Key.Account), append(upd.PaymentIds, p.Key.ID)
				upd.Statuses, upd.Amounts, upd.Currencies = append(upd.Statuses, p.Status), append(upd.Amounts, p.Amount), append(upd.Currencies, p.Currency)
				upd.Fees, upd.InboxIds = append(upd.Fees, p.Fee), append(upd.InboxIds, p.InboxID)
			}
		}
	}
	return slices.Concat(
		writing("payments", len(ins.PaymentIds), s.q.InsertPayments, ins),
		writing("payments", len(upd.PaymentIds), s.q.UpdatePayments, upd),
	)
}

func (s Store) refundSteps(changes []Change) []pg.Step {
	var ins db.InsertRefundsParams
	var upd db.UpdateRefundsParams
	var req db.UpdateRequestsParams
	watch := map[PaymentKey]uuid.UUID{}
	for _, c := range changes {
		for i := range c.Facts.Refunds {
			r := &c.Facts.Refunds[i]
			if c.Delta.NewRefunds[r.Key()] && r.Pending() {
				watch[r.Payment()] = r.OrderID
			}
			switch {
			case c.Delta.NewRefunds[r.Key()]:
				ins.Providers, ins.Accounts, ins.RefundIds = append(ins.Providers, r.Provider), append(ins.Accounts, r.Account), append(ins.RefundIds, r.ID)
				ins.OrderIds, ins.PaymentIds, ins.RequestIds = append(ins.OrderIds, r.OrderID), append(ins.PaymentIds, r.PaymentID), append(ins.RequestIds, orNil(r.RequestID))
				ins.Statuses, ins.Amounts, ins.Currencies = append(ins.Statuses, r.Status), append(ins.Amounts, r.Amount), append(ins.Currencies, r.Currency)
				ins.InboxIds = append(ins.InboxIds, r.InboxID)
			case c.Delta.Refunds[r.Key()]:
				upd.Providers, upd.Accounts, upd.RefundIds = append(upd.Providers, r.Provider), append(upd.Accounts, r.Account), append(upd.RefundIds, r.ID)
				upd.RequestIds, upd.Statuses, upd.InboxIds = append(upd.RequestIds, orNil(r.RequestID)), append(upd.Statuses, r.Status), append(upd.InboxIds, r.InboxID)
			}
		}
		for _, q := range c.Facts.Requests {
			if c.Delta.Requests[q.ID] {
				req.Ids, req.States, req.Notes = append(req.Ids, q.ID), append(req.States, q.State), append(req.Notes, q.Note)
			}
		}
	}
	return slices.Concat(
		s.watchSteps(watch),
		writing("refund requests", len(req.Ids), s.q.UpdateRequests, req),
		writing("refunds", len(ins.RefundIds), s.q.InsertRefunds, ins),
		writing("refunds", len(upd.RefundIds), s.q.UpdateRefunds, upd),
	)
}

func (s Store) disputeSteps(changes []Change) []pg.Step {
	var ins db.InsertDisputesParams
	var upd db.UpdateDisputesParams
	var mov db.InsertMovementsParams
	for _, c := range changes {
		for i := range c.Facts.Disputes {
			q := &c.Facts.Disputes[i]
			switch {
			case c.Delta.NewDisputes[q.Key()]:
				ins.Providers, ins.Accounts, ins.DisputeIds = append(ins.Providers, q.Provider), append(ins.Accounts, q.Account), append(ins.DisputeIds, q.ID)
				ins.OrderIds, ins.PaymentIds = append(ins.OrderIds, q.OrderID), append(ins.PaymentIds, q.PaymentID)
				ins.Statuses, ins.Outcomes = append(ins.Statuses, q.Status), append(ins.Outcomes, q.Outcome)
				ins.Amounts, ins.Currencies = append(ins.Amounts, q.Amount), append(ins.Currencies, q.Currency)
				ins.Seqs, ins.InboxIds = append(ins.Seqs, q.Seq), append(ins.InboxIds, q.InboxID)
			case c.Delta.Disputes[q.Key()]:
				upd.Providers, upd.Accounts, upd.DisputeIds = append(upd.Providers, q.Provider), append(upd.Accounts, q.Account), append(upd.DisputeIds, q.ID)
				upd.Statuses, upd.Outcomes = append(upd.Statuses, q.Status), append(upd.Outcomes, q.Outcome)
				upd.Amounts, upd.Currencies = append(upd.Amounts, q.Amount), append(upd.Currencies, q.Currency)
				upd.Seqs, upd.InboxIds = append(upd.Seqs, q.Seq), append(upd.InboxIds, q.InboxID)
			}
		}
		for i := range c.Facts.Movements {
			m := &c.Facts.Movements[i]
			if !c.Delta.NewMovements[m.Key()] {
				continue
			}
			mov.Providers, mov.Accounts = append(mov.Providers, m.Provider), append(mov.Accounts, m.Account)
			mov.DisputeIds, mov.MovementIds = append(mov.DisputeIds, m.DisputeID), append(mov.MovementIds, m.ID)
			mov.OrderIds, mov.PaymentIds = append(mov.OrderIds, m.OrderID), append(mov.PaymentIds, m.PaymentID)
			mov.Statuses, mov.Amounts = append(mov.Statuses, m.Status), append(mov.Amounts, m.Amount)
			mov.Currencies, mov.InboxIds = append(mov.Currencies, m.Currency), append(mov.InboxIds, m.InboxID)
		}
	}
	return slices.Concat(
		writing("disputes", len(ins.DisputeIds), s.q.InsertDisputes, ins),
		writing("disputes", len(upd.DisputeIds), s.q.UpdateDisputes, upd),
		writing("movements of disputed money", len(mov.MovementIds), s.q.InsertMovements, mov),
	)
}

func (s Store) decisionSteps(changes []Change) []pg.Step {
	var p db.InsertDecisionsParams
	for _, c := range changes {
		for subject, d := range c.Delta.Decisions {
			p.OrderIds, p.Subjects = append(p.OrderIds, c.Facts.Order.ID), append(p.Subjects, subject)
			p.Values = append(p.Values, d.Value)
			p.CauseKinds, p.CauseIds = append(p.CauseKinds, d.Cause.Kind), append(p.CauseIds, d.Cause.ID)
		}
	}
	return writing("decisions", len(p.OrderIds), s.q.InsertDecisions, p)
}

func (s Store) stateSteps(changes []Change) []pg.Step {
	var p db.UpdateStatesParams
	var h db.InsertHistoryParams
	var settled, unwatched, reopened []uuid.UUID
	for _, c := range changes {
		o, d := &c.Facts.Order, &c.Derived
		review := d.Words()
		// An order may be disputed or in review before the payment that buys it is
		// known, and stay so.
		bought := d.Kept != nil && o.PaidAt == nil
		if o.State == d.State && o.Review == review && o.Refunded == d.Refunded && !bought {
			continue
		}
		if o.State != d.State {
			o.Version++
			h.OrderIds, h.Seqs, h.States = append(h.OrderIds, o.ID), append(h.Seqs, o.Version), append(h.States, string(d.State))
			h.CauseKinds, h.CauseIds = append(h.CauseKinds, c.Cause.Kind), append(h.CauseIds, c.Cause.ID)
			if d.State.Open() && !o.State.Open() {
				reopened = append(reopened, o.ID)
			}
			if !d.State.Open() {
				settled = append(settled, o.ID)
				if !c.Facts.lingering() {
					unwatched = append(unwatched, o.ID)
				}
			}
		}
		o.State, o.Review, o.Refunded = d.State, review, d.Refunded
		p.Ids, p.States, p.Reviews = append(p.Ids, o.ID), append(p.States, string(o.State)), append(p.Reviews, o.Review)
		p.Refundeds, p.Versions, p.Paids = append(p.Refundeds, o.Refunded), append(p.Versions, o.Version), append(p.Paids, d.Kept != nil)
	}
	steps := writing("orders", len(p.Ids), s.q.UpdateStates, p)
	if len(h.OrderIds) > 0 {
		steps = append(steps, func(ctx context.Context, q pg.DBTX) error {
			if err := s.q.InsertHistory(ctx, q, h); err != nil {
				return fmt.Errorf("write order history: %w", err)
			}
			return nil
		})
	}
	// Who looked at what was wrong may find that its money is still awaited.
	for _, orderID := range reopened {
		steps = append(steps, s.watchStep(orderID, 0))
	}
	if len(settled) > 0 {
		steps = append(steps, func(ctx context.Context, q pg.DBTX) error {
			if err := s.q.ReleaseReservations(ctx, q, settled); err != nil {
				return fmt.Errorf("release reservations: %w", err)
			}
			return nil
		})
	}
	// Whoever looks after open orders is done with it. Money that a provider takes
	// all the same is heard of by its own message, or is looked for by whoever
	// watches a page that lingers, and who ends that watch.
	if len(unwatched) > 0 {
		steps = append(steps, func(ctx context.Context, q pg.DBTX) error {
			if err := s.q.Unwatch(ctx, q, unwatched); err != nil {
				return fmt.Errorf("end the watch of orders: %w", err)
			}
			return nil
		})
	}
	return append(steps, s.pendingSteps(changes)...)
}

// orNil is the zero id for none, as it goes into arrays of queries.
func orNil(maybe *uuid.UUID) uuid.UUID {
	if maybe == nil {
		return uuid.Nil
	}
	return *maybe
}
