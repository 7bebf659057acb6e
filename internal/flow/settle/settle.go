package settle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
)

var (
	// Without ranks an event that arrives late turns an order back.
	guardRank = guard.Define("settle.rank", guard.Claim, "a late or repeated event changes a settled order again")
	// Without the comparison any payment buys any order.
	guardAmount = guard.Define("settle.amount", guard.Check, "an order is delivered for less money than its price")

	afterFacts   = faultpoint.Define("settle.after_facts", "payments are written, grants and ledger are not")
	afterGrants  = faultpoint.Define("settle.after_grants", "grants are written, the ledger is not")
	afterLedger  = faultpoint.Define("settle.after_ledger", "the ledger is written, the order's state is not")
	beforeCommit = faultpoint.Define("settle.before_commit", "everything is written and nothing committed")
)

// QueueMoney is the queue of jobs that move money.
const QueueMoney = "money"

// Settler applies observations to orders.
type Settler struct {
	orders  order.Store
	grants  entitlement.Store
	ledger  *ledger.Store
	outbox  outbox.Store
	catalog catalog.Store
	jobs    jobs.Enqueuer
}

// New returns a Settler.
func New(l *ledger.Store, o outbox.Store, enqueuer jobs.Enqueuer) *Settler {
	return &Settler{ledger: l, outbox: o, jobs: enqueuer}
}

// ApplyTx implements payment.Applier.
func (s *Settler) ApplyTx(ctx context.Context, tx pgx.Tx, obs []payment.Observation) ([]payment.Outcome, error) {
	found, outcomes, err := s.resolve(ctx, tx, obs)
	if err != nil || len(found) == 0 {
		return outcomes, err
	}
	plans, err := s.plans(ctx, tx, found)
	if err != nil {
		return nil, err
	}
	if err := s.effect(ctx, tx, changing(plans)); err != nil {
		return nil, err
	}
	if err := s.captures(ctx, tx, plans); err != nil {
		return nil, err
	}
	answered := map[uuid.UUID]bool{}
	for _, o := range outcomes {
		answered[o.InboxID] = true
	}
	for _, os := range found {
		for _, o := range os {
			if !answered[o.InboxID] {
				answered[o.InboxID] = true
				outcomes = append(outcomes, payment.Outcome{InboxID: o.InboxID, Verdict: payment.Done})
			}
		}
	}
	return outcomes, nil
}

// FulfilTx implements payment.Fulfiller.
func (s *Settler) FulfilTx(ctx context.Context, tx pgx.Tx, obs []payment.Observation) (map[uuid.UUID]bool, error) {
	left := map[uuid.UUID]bool{} // rows that say something else, too
	var attempts []uuid.UUID
	for _, o := range obs {
		if ofPayment(o.Kind) || o.AttemptID == uuid.Nil {
			left[o.InboxID] = true
		} else {
			attempts = append(attempts, o.AttemptID)
		}
	}
	byAttempt, _, err := s.orders.OrdersOf(ctx, tx, attempts, nil)
	if err != nil {
		return nil, err
	}
	found := map[uuid.UUID][]payment.Observation{}
	for _, o := range obs {
		// A payment that belongs to another order is found out by its key.
		if orderID := byAttempt[o.AttemptID]; orderID == uuid.Nil {
			left[o.InboxID] = true
		} else if !left[o.InboxID] {
			found[orderID] = append(found[orderID], o)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	plans, err := s.plans(ctx, tx, inOrder(found))
	if err != nil {
		return nil, err
	}
	done := map[uuid.UUID]bool{}
	plans = slices.DeleteFunc(plans, func(p *plan) bool {
		if p.plain() {
			return false
		}
		for _, o := range p.said {
			left[o.InboxID] = true
		}
		return true
	})
	if err := s.effect(ctx, tx, changing(plans)); err != nil {
		return nil, err
	}
	for _, p := range plans {
		for _, o := range p.said {
			if !left[o.InboxID] {
				done[o.InboxID] = done[o.InboxID] || !p.delta.Empty()
			}
		}
	}
	return done, nil
}

// plans locks the orders and learns what is said about them.
func (s *Settler) plans(ctx context.Context, tx pgx.Tx, found map[uuid.UUID][]payment.Observation) ([]*plan, error) {
	facts, err := s.orders.LockTx(ctx, tx, slices.Collect(maps.Keys(found)))
	if err != nil {
		return nil, err
	}
	plans := make([]*plan, len(facts))
	for i, f := range facts {
		p := &plan{facts: f, before: order.Derive(f), delta: order.NewDelta(), said: found[f.Order.ID]}
		for _, o := range p.said {
			p.learn(o)
			p.cause = order.Cause{Kind: order.CauseInbox, ID: o.InboxID}
		}
		plans[i] = p
	}
	return plans, nil
}

// changing are the plans of orders about which something new is said.
func changing(plans []*plan) []*plan {
	var work []*plan
	for _, p := range plans {
		if !p.delta.Empty() {
			work = append(work, p)
		}
	}
	return work
}

// plain reports whether the order is bought by what is said now, or all of it was
// known, and nothing else follows: no question, no person, no call.
func (p *plan) plain() bool {
	for _, o := range p.said {
		if o.Kind == payment.KindAttempt && o.Status == payment.AttemptApproved {
			return false // its money is asked for, also when that is no news
		}
	}
	if p.delta.Empty() {
		return true
	}
	after := order.Derive(p.facts)
	return p.before.Kept == nil && after.Kept != nil && after.State == order.Paid && !after.Frozen &&
		len(after.Refunds)+len(after.Reviews)+len(p.delta.Decisions) == 0
}

// ReconsiderTx derives a locked order again after the caller changed its facts
// (a refund request), and brings about the difference to before.
func (s *Settler) ReconsiderTx(ctx context.Context, tx pgx.Tx, f *order.Facts, before order.Derived, delta *order.Delta, cause order.Cause) error {
	return s.effect(ctx, tx, []*plan{{facts: f, before: before, delta: delta, cause: cause}})
}

// plan is the work on one locked order.
type plan struct {
	facts  *order.Facts
	before order.Derived
	delta  *order.Delta
	after  order.Derived
	said   []payment.Observation
	cause  order.Cause // the observation that was learned last
}

func (p *plan) learn(o payment.Observation) {
	if !guardRank.On() {
		p.forget(o)
	}
	if !guardAmount.On() && o.Kind == payment.KindPayment {
		o.Amount, o.Currency = p.facts.Order.Gross, p.facts.Order.Currency
	}
	if o.Kind == kindStranger {
		p.facts.Decide(order.DecideReview+"payment:"+paymentKey(o).String(),
			"payment "+paymentKey(o).String()+" belongs to order "+o.Status, o.InboxID, p.delta)
		return
	}
	p.facts.Merge(o, p.delta)
}

// resolve finds the order of each observation. Rows without one get their
// outcome here.
func (s *Settler) resolve(ctx context.Context, tx pgx.Tx, obs []payment.Observation) (map[uuid.UUID][]payment.Observation, []payment.Outcome, error) {
	var attempts []uuid.UUID
	var payments []order.PaymentKey
	for _, o := range obs {
		if o.AttemptID != uuid.Nil {
			attempts = append(attempts, o.AttemptID)
		}
		if o.PaymentID != "" {
			payments = append(payments, paymentKey(o))
		}
	}
	byAttempt, byPayment, err := s.orders.OrdersOf(ctx, tx, attempts, payments)
	if err != nil {
		return nil, nil, err
	}
	// A payment may be stated in the same group as its refund.
	for _, o := range obs {
		if o.Kind == payment.KindPayment && byAttempt[o.AttemptID] != uuid.Nil && byPayment[paymentKey(o)] == uuid.Nil {
			byPayment[paymentKey(o)] = byAttempt[o.AttemptID]
		}
	}
	found := map[uuid.UUID][]payment.Observation{}
	var outcomes []payment.Outcome
	answered := map[uuid.UUID]bool{}
	answer := func(o payment.Observation, out payment.Outcome) {
		if !answered[o.InboxID] {
			answered[o.InboxID] = true
			out.InboxID = o.InboxID
			outcomes = append(outcomes, out)
		}
	}
	for _, o := range obs {
		orderID := byAttempt[o.AttemptID]
		owner := byPayment[paymentKey(o)]
		switch {
		case ofPayment(o.Kind) && owner != uuid.Nil:
			found[owner] = append(found[owner], o)
		case ofPayment(o.Kind):
			answer(o, payment.Outcome{
				Verdict: payment.Retry, Missing: o.PaymentID,
				Note: string(o.Kind) + " " + cmp.Or(o.RefundID, o.DisputeID) + " is of payment " + o.PaymentID + ", which is not known yet",
			})
		case o.AttemptID == uuid.Nil:
			answer(o, payment.Outcome{Verdict: payment.Ignored, Note: "the object carries no id of ours"})
		case orderID == uuid.Nil:
			answer(o, payment.Outcome{Verdict: payment.Retry, Note: "no order has attempt " + o.AttemptID.String()})
		default:
			found[orderID] = append(found[orderID], o)
		}
	}
	return s.strangers(inOrder(found), byPayment), outcomes, nil
}

// inOrder puts payments before what happened to them, whatever order the rows
// came in.
func inOrder(found map[uuid.UUID][]payment.Observation) map[uuid.UUID][]payment.Observation {
	for _, os := range found {
		slices.SortStableFunc(os, func(a, b payment.Observation) int { return cmp.Compare(precedence(a), precedence(b)) })
	}
	return found
}

// strangers turns a payment that belongs to another order into something for a
// person to look at: its money bought that order, and cannot buy this one.
func (s *Settler) strangers(found map[uuid.UUID][]payment.Observation, byPayment map[order.PaymentKey]uuid.UUID) map[uuid.UUID][]payment.Observation {
	for orderID, os := range found {
		for i, o := range os {
			if owner := byPayment[paymentKey(o)]; o.Kind == payment.KindPayment && owner != orderID {
				os[i].Kind, os[i].Status = kindStranger, owner.String()
			}
		}
	}
	return found
}

// kindStranger marks, inside this package, a payment seen under a second order.
const kindStranger payment.Kind = "stranger"

// ofPayment reports whether such a fact finds its order by the payment that it
// names.
func ofPayment(k payment.Kind) bool {
	return k == payment.KindRefund || k == payment.KindDispute || k == payment.KindDisputeMoney
}

func precedence(o payment.Observation) int {
	switch {
	case o.Kind == payment.KindAttempt:
		return 0
	case ofPayment(o.Kind):
		return 2
	}
	return 1
}

func paymentKey(o payment.Observation) order.PaymentKey {
	return order.PaymentKey{Provider: o.Provider, Account: o.Account, ID: o.PaymentID}
}

// forget undoes what ranks protect, for the proof that they are needed.
func (p *plan) forget(o payment.Observation) {
	for i := range p.facts.Payments {
		if q := &p.facts.Payments[i]; q.Key == paymentKey(o) && o.Kind == payment.KindPayment {
			q.Status = ""
		}
	}
	for i := range p.facts.Refunds {
		if r := &p.facts.Refunds[i]; r.ID == o.RefundID && o.Kind == payment.KindRefund {
			r.Status = ""
		}
	}
	for i := range p.facts.Attempts {
		if a := &p.facts.Attempts[i]; a.ID == o.AttemptID && o.Kind == payment.KindAttempt {
			a.Status = ""
		}
	}
	for i := range p.facts.Disputes {
		if q := &p.facts.Disputes[i]; q.ID == o.DisputeID && o.Kind == payment.KindDispute {
			q.Status, q.Seq = "", 0
		}
	}
}

// effect decides what depends on today, and writes what follows from the
// facts, in the order of locks that doc.go states.
func (s *Settler) effect(ctx context.Context, tx pgx.Tx, work []*plan) error {
	if len(work) == 0 {
		return nil
	}
	changes := make([]order.Change, len(work))
	for i, p := range work {
		if err := s.decide(ctx, tx, p); err != nil {
			return err
		}
		changes[i] = order.Change{Facts: p.facts, Delta: p.delta, Cause: p.cause}
	}
	if err := s.grant(ctx, tx, work, s.orders.FactSteps(changes)); err != nil {
		return err
	}
	if err := afterGrants.Hit(); err != nil {
		return err
	}
	if err := s.refunds(ctx, tx, work); err != nil {
		return err
	}
	if err := s.post(ctx, tx, work); err != nil {
		return err
	}
	if err := afterLedger.Hit(); err != nil {
		return err
	}
	for i, p := range work {
		changes[i].Derived = p.after
	}
	if err := s.outbox.MessagesTx(ctx, tx, receipts(work), s.orders.StateSteps(changes)...); err != nil {
		return err
	}
	return beforeCommit.Hit()
}

// decide derives the order and writes down what must not be asked twice.
func (s *Settler) decide(ctx context.Context, tx pgx.Tx, p *plan) error {
	p.after = order.Derive(p.facts)
	if p.after.Late {
		verdict := order.LateAccept
		ok, err := s.deliverable(ctx, tx, p.facts)
		if err != nil {
			return err
		}
		if !ok {
			verdict = order.LateRefund
		}
		p.facts.DecideBy(order.DecideLate, verdict, p.cause, p.delta)
		p.after = order.Derive(p.facts)
	}
	if len(p.after.Choose) > 0 {
		kept := p.after.Choose[0]
		if p.before.Kept != nil {
			kept = p.before.Kept.Key
		}
		p.facts.DecideBy(order.DecideKept, kept.String(), p.cause, p.delta)
		p.after = order.Derive(p.facts)
	}
	return nil
}

// deliverable reports whether everything that an order sold can still be
// delivered.
func (s *Settler) deliverable(ctx context.Context, tx pgx.Tx, f *order.Facts) (bool, error) {
	var photos []uuid.UUID
	for _, l := range f.Lines {
		if l.PhotoID != nil {
			photos = append(photos, *l.PhotoID)
		}
	}
	n, err := s.catalog.Deliverable(ctx, tx, f.Order.EventID, photos)
	if err != nil {
		return false, fmt.Errorf("look whether a late order can be delivered: %w", err)
	}
	return n, nil
}

// refunds asks for the money that must go back, in one job for the group.
func (s *Settler) refunds(ctx context.Context, tx pgx.Tx, work []*plan) error {
	var job order.RefundJob
	for _, p := range work {
		for _, w := range p.after.Refunds {
			r := order.Request{
				ID: id.New(), OrderID: p.facts.Order.ID, Payment: w.Payment, Amount: w.Amount, Kind: w.Kind, LineIDs: w.LineIDs,
				Currency: p.facts.Payment(w.Payment).Currency, CauseKind: order.CauseInbox, CauseID: w.InboxID,
			}
			inserted, err := s.orders.RequestRefundTx(ctx, tx, p.facts, r)
			if err != nil {
				return err
			}
			if inserted {
				job.RequestIDs = append(job.RequestIDs, r.ID)
			}
		}
	}
	if len(job.RequestIDs) == 0 {
		return nil
	}
	return s.jobs.EnqueueTx(ctx, tx, QueueMoney, job)
}

// post writes the ledger entries that the facts call for. Those that stand
// already are only compared: one that was refused before may have room now.
func (s *Settler) post(ctx context.Context, tx pgx.Tx, work []*plan) error {
	var entries []ledger.Entry
	for _, p := range work {
		o := &p.facts.Order
		for _, e := range p.after.Entries {
			entries = append(entries, ledger.Entry{
				Key: e.Key, Kind: ledger.Kind(e.Kind), OrderID: o.ID, CreatorID: o.CreatorID,
				Provider: e.Payment.Provider, Account: e.Payment.Account, Currency: e.Currency, Gross: e.Gross,
				OrderGross: o.Gross, OrderNet: o.Net(), Undoes: e.Undoes, Dispute: e.Dispute, CauseKind: order.CauseInbox, CauseID: e.InboxID,
			})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if len(work) > 1 {
		if _, err := s.ledger.PostTx(ctx, tx, entries); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		return nil
	}
	return s.postAlone(ctx, tx, work[0], entries)
}

// postAlone posts the entries of a group of one order: what a failing group is
// halved down to. An entry that contradicts what stands is left out, with what
// undoes it, and the order is for a person to look at until other news makes
// room for it; the rest is posted.
func (s *Settler) postAlone(ctx context.Context, tx pgx.Tx, p *plan, entries []ledger.Entry) error {
	for len(entries) > 0 {
		point, err := tx.Begin(ctx) // a savepoint
		if err != nil {
			return fmt.Errorf("post: %w", err)
		}
		_, err = s.ledger.PostTx(ctx, point, entries)
		if err == nil {
			return point.Commit(ctx)
		}
		var wrong *ledger.EntryError
		if !errors.As(err, &wrong) {
			return fmt.Errorf("post: %w", err)
		}
		if err := point.Rollback(ctx); err != nil {
			return fmt.Errorf("post: %w", err)
		}
		entries = slices.DeleteFunc(entries, func(e ledger.Entry) bool { return e.Key == wrong.Key || e.Undoes == wrong.Key })
		// Too much given back is what the facts say themselves, and may pass.
		if !errors.Is(err, ledger.ErrExceeds) || len(p.after.Reviews) == 0 {
			p.facts.DecideBy(order.DecideReview+"ledger:"+wrong.Key, "the ledger refused an entry: "+wrong.Error(), p.cause, p.delta)
			p.after = order.Derive(p.facts)
		}
	}
	return nil
}

// receipts are promised to each order that became paid just now.
func receipts(work []*plan) []outbox.Message {
	var messages []outbox.Message
	for _, p := range work {
		if p.after.Kept != nil && p.before.Kept == nil {
			messages = append(messages, outbox.Message{
				OrderID: p.facts.Order.ID, Kind: outbox.Receipt, Recipient: p.facts.Order.Email, InboxID: p.after.Kept.InboxID,
			})
		}
	}
	return messages
}
