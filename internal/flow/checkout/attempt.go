package checkout

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// errOver says that an order ended while its page was being asked for.
var errOver = errors.New("checkout: the order is over")

// callable returns the order with a newest attempt for whose page the provider
// may be asked now. Usually that is the attempt that there is. When it is spent
// (its key is, or its time), or the provider remembers no keys and was asked
// before, it is given up and the next one made: the same call would be another.
func (s *Service) callable(ctx context.Context, p payment.Provider, f *order.Facts, spent bool) (*order.Facts, error) {
	keyless := p.KeyMemory() == 0
	if !keyless && !spent {
		return f, nil
	}
	seen := newest(f).ID
	err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		f, err := s.lock(ctx, tx, f.Order.ID)
		if err != nil {
			return err
		}
		if !f.Order.State.Open() {
			return errOver
		}
		next := newest(f).ID
		if spent && next == seen {
			if next, err = s.renewTx(ctx, tx, p, f); err != nil {
				return err
			}
		}
		if !keyless {
			return nil
		}
		if first, err := s.firstCall(ctx, tx, next); err != nil || first {
			return err
		}
		if next, err = s.renewTx(ctx, tx, p, f); err != nil {
			return err
		}
		_, err = s.firstCall(ctx, tx, next)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.orders.Get(ctx, s.pool, f.Order.ID)
}

// firstCall claims the only call that there is for an attempt.
func (s *Service) firstCall(ctx context.Context, tx pgx.Tx, attemptID uuid.UUID) (bool, error) {
	first, err := s.orders.CallTx(ctx, tx, attemptID)
	return first || !guardCalled.On() || s.uncalled, err
}

// uncall gives back a call that certainly did nothing: the attempt's one call is
// still to be made.
func (s *Service) uncall(ctx context.Context, orderID, attemptID uuid.UUID) error {
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := s.lock(ctx, tx, orderID); err != nil {
			return err
		}
		return s.orders.UncallTx(ctx, tx, attemptID)
	})
}

// renewTx gives up the newest attempt and makes the next one. Money on the old
// attempt's page, should there be one, still counts.
func (s *Service) renewTx(ctx context.Context, tx pgx.Tx, p payment.Provider, f *order.Facts) (uuid.UUID, error) {
	old := newest(f)
	fresh := order.Attempt{
		ID: id.New(), OrderID: f.Order.ID, Ordinal: old.Ordinal + 1, Provider: old.Provider, Account: old.Account, Status: payment.AttemptOpen,
	}
	if err := s.orders.AttemptTx(ctx, tx, fresh); err != nil {
		return uuid.Nil, err
	}
	if err := s.abandonTx(ctx, tx, p, old); err != nil {
		return uuid.Nil, err
	}
	delta := order.NewDelta()
	f.Merge(payment.Observation{Kind: payment.KindAttempt, AttemptID: old.ID, Status: payment.AttemptAbandoned}, delta)
	f.Attempts = append(f.Attempts, fresh)
	return fresh.ID, s.orders.SaveFactsTx(ctx, tx, []order.Change{{Facts: f, Delta: delta}})
}

// abandonTx has the page of an attempt watched that was perhaps made and whose
// address nobody was told, where it can be asked about all the same.
func (s *Service) abandonTx(ctx context.Context, tx pgx.Tx, p payment.Provider, a *order.Attempt) error {
	if s.ref(p, a) == "" || p.Lingers() == 0 {
		return nil
	}
	return s.orders.LingerTx(ctx, tx, a, order.PageLife+p.Lingers())
}

// ref is the provider's name of the attempt's page: as it was told, or as it is
// known in advance. Empty when there is none to ask about.
func (s *Service) ref(p payment.Provider, a *order.Attempt) string {
	if fore, ok := p.(payment.Foreknower); ok && a.Ref == "" && a.CalledAt != nil {
		return fore.RefOf(a.ID)
	}
	return a.Ref
}
