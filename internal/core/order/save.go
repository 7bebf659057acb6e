package order

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/order/internal/db"
)

func (s Store) disputes(ctx context.Context, q pg.DBTX, ids []uuid.UUID, of map[uuid.UUID]*Facts) error {
	disputes, err := s.q.DisputesOf(ctx, q, ids)
	if err != nil {
		return fmt.Errorf("read disputes: %w", err)
	}
	for _, r := range disputes {
		f := of[r.OrderID]
		f.Disputes = append(f.Disputes, Dispute{
			Provider: r.Provider, Account: r.Account, ID: r.DisputeID, OrderID: r.OrderID, PaymentID: r.PaymentID,
			Status: r.Status, Outcome: r.Outcome, Amount: r.Amount, Currency: r.Currency, Seq: r.Seq, InboxID: r.InboxID,
		})
	}
	movements, err := s.q.MovementsOf(ctx, q, ids)
	if err != nil {
		return fmt.Errorf("read disputed money: %w", err)
	}
	for _, r := range movements {
		f := of[r.OrderID]
		f.Movements = append(f.Movements, Movement{
			Provider: r.Provider, Account: r.Account, DisputeID: r.DisputeID, ID: r.MovementID, OrderID: r.OrderID, PaymentID: r.PaymentID,
			Status: r.Status, Amount: r.Amount, Currency: r.Currency, InboxID: r.InboxID,
		})
	}
	return nil
}

func (s Store) saveDisputes(ctx context.Context, tx pgx.Tx, changes []Change) error {
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
	if len(ins.DisputeIds) > 0 {
		n, err := s.q.InsertDisputes(ctx, tx, ins)
		if err != nil {
			return fmt.Errorf("write disputes: %w", err)
		}
		if err := wrote("disputes", n, len(ins.DisputeIds)); err != nil {
			return err
		}
	}
	if len(upd.DisputeIds) > 0 {
		n, err := s.q.UpdateDisputes(ctx, tx, upd)
		if err != nil {
			return fmt.Errorf("write disputes: %w", err)
		}
		if err := wrote("disputes", n, len(upd.DisputeIds)); err != nil {
			return err
		}
	}
	if len(mov.MovementIds) == 0 {
		return nil
	}
	n, err := s.q.InsertMovements(ctx, tx, mov)
	if err != nil {
		return fmt.Errorf("write disputed money: %w", err)
	}
	return wrote("movements of disputed money", n, len(mov.MovementIds))
}

// SendTx notes that the provider is about to be asked for the money of a
// request. first is false when that was noted before, ago so long: the call may
// have been made then.
func (s Store) SendTx(ctx context.Context, tx pgx.Tx, requestID uuid.UUID) (first bool, ago time.Duration, err error) {
	n, err := s.q.SendRequest(ctx, tx, requestID)
	if err != nil {
		return false, 0, fmt.Errorf("note that a refund is asked for: %w", err)
	}
	seconds, err := s.q.RequestAge(ctx, tx, requestID)
	if err != nil {
		return false, 0, fmt.Errorf("read when a refund was asked for: %w", err)
	}
	return n == 1, time.Duration(seconds * float64(time.Second)), nil
}

// Unsend takes back what SendTx noted first: the call was certainly not made.
func (s Store) Unsend(ctx context.Context, q pg.DBTX, requestID uuid.UUID) error {
	if err := s.q.UnsendRequest(ctx, q, requestID); err != nil {
		return fmt.Errorf("take a call back: %w", err)
	}
	return nil
}

// refundsFirst is when the refunds of a payment are looked at first, for those
// that nobody told us of.
const refundsFirst = 5 * time.Minute

// watchRefunds makes sure that somebody looks after payments whose refunds are
// not over.
func (s Store) watchRefunds(ctx context.Context, tx pgx.Tx, payments map[PaymentKey]uuid.UUID) error {
	if len(payments) == 0 {
		return nil
	}
	p := db.WatchRefundsParams{WaitSeconds: refundsFirst.Seconds()}
	for k, orderID := range payments {
		p.Providers, p.Accounts, p.PaymentIds = append(p.Providers, k.Provider), append(p.Accounts, k.Account), append(p.PaymentIds, k.ID)
		p.OrderIds = append(p.OrderIds, orderID)
	}
	if err := s.q.WatchRefunds(ctx, tx, p); err != nil {
		return fmt.Errorf("have refunds watched: %w", err)
	}
	return nil
}

// DueRefund is a payment whose refunds are to be looked at.
type DueRefund struct {
	Payment PaymentKey
	OrderID uuid.UUID
}

// ClaimRefunds takes payments whose refunds are to be looked at, each for one
// caller, and sets their next time by the waits (the last one repeats).
func (s Store) ClaimRefunds(ctx context.Context, q pg.DBTX, waits []time.Duration, limit int) ([]DueRefund, error) {
	p := db.ClaimRefundsParams{Max: int32(limit)}
	for _, w := range waits {
		p.Waits = append(p.Waits, w.Seconds())
	}
	rows, err := s.q.ClaimRefunds(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("claim open refunds: %w", err)
	}
	out := make([]DueRefund, len(rows))
	for i, r := range rows {
		out[i] = DueRefund{PaymentKey{r.Provider, r.Account, r.PaymentID}, r.OrderID}
	}
	return out, nil
}

// UnwatchRefundsTx ends the watch of a payment whose order is locked.
func (s Store) UnwatchRefundsTx(ctx context.Context, tx pgx.Tx, k PaymentKey) error {
	if err := s.q.UnwatchRefunds(ctx, tx, db.UnwatchRefundsParams{Provider: k.Provider, Account: k.Account, PaymentID: k.ID}); err != nil {
		return fmt.Errorf("end the watch of refunds: %w", err)
	}
	return nil
}

// Overdue is a reason that time has brought.
type Overdue struct {
	OrderID uuid.UUID
	Subject string // of the reason
}

// OverdueRefunds finds refunds that were asked for and not answered for longer
// than unknown, and those on their way for longer than pending, as far as nobody
// has noted it.
func (s Store) OverdueRefunds(ctx context.Context, q pg.DBTX, unknown, pending time.Duration, limit int) ([]Overdue, error) {
	rows, err := s.q.OverdueRefunds(ctx, q, db.OverdueRefundsParams{
		UnknownSeconds: unknown.Seconds(), PendingSeconds: pending.Seconds(), Max: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("find overdue refunds: %w", err)
	}
	out := make([]Overdue, len(rows))
	for i, r := range rows {
		out[i] = Overdue(r)
	}
	return out, nil
}
