package refund

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

var (
	guardKey  = guard.Define("refund.provider_key", guard.Key, "a retried call gives the money back twice")
	guardSent = guard.Define("refund.sent", guard.Claim, "two jobs ask a provider that remembers no keys, and it gives the money back twice")
)

// errUnanswered says that the provider does not show what became of a request.
var errUnanswered = errors.New("the provider shows no refund for it")

// Send asks the provider for the money of one request. It may be called any
// number of times, also at once: the request's id is the provider's key, and a
// provider that remembers none is called once.
func (s *Service) Send(ctx context.Context, requestID uuid.UUID) error {
	r, err := s.orders.Request(ctx, s.pool, requestID)
	if err != nil || r.State != order.RequestOpen {
		return err
	}
	p := s.providers.Find(r.Payment.Provider, r.Payment.Account)
	if p == nil {
		return fmt.Errorf("no account %s at %s is configured", r.Payment.Account, r.Payment.Provider)
	}
	sent, err := s.claim(ctx, r)
	if err != nil {
		return err
	}
	if sent.over {
		return nil
	}
	if memory := p.KeyMemory(); !sent.first && memory > 0 && sent.ago > memory {
		// The same call would be a new one now.
		return s.lookUp(ctx, p, r)
	}
	call := payment.RefundRequest{
		RequestID: r.ID, PaymentID: r.Payment.ID, Amount: r.Amount, Currency: r.Currency, Again: !sent.first,
	}
	if !guardKey.On() {
		call.RequestID = id.New()
	}
	facts, err := p.Refund(ctx, call)
	var no *payment.RejectedError
	switch {
	case errors.Is(err, payment.ErrNotSent), errors.Is(err, payment.ErrCredentials):
		if sent.first {
			err = errors.Join(err, s.orders.Unsend(ctx, s.pool, r.ID))
		}
		return fmt.Errorf("refund %s: %w", r.ID, err)
	case errors.Is(err, payment.ErrStored):
		// Asking again is answered with the same failure; what there is, is not.
		return s.lookUp(ctx, p, r)
	case errors.Is(err, payment.ErrNotFound):
		return s.reject(ctx, p, r, &payment.RejectedError{Provider: p.Name(), Code: "not_found", Message: "it does not know the payment"})
	case errors.As(err, &no):
		return s.reject(ctx, p, r, no)
	case err != nil:
		return fmt.Errorf("refund %s: %w", r.ID, err)
	}
	if err := afterCall.Hit(); err != nil {
		return err
	}
	return s.sayer.Say(ctx, payment.Reply(p, "refund", r.Payment.ID, facts))
}

// sent is how a request stands before the provider is called for it.
type sent struct {
	first bool
	ago   time.Duration // since the first call
	over  bool          // answered or withdrawn meanwhile
}

// claim commits that the provider is about to be called. It locks the order, so
// that what a refund answers is judged with it in view.
func (s *Service) claim(ctx context.Context, r order.Request) (sent, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (sent, error) {
		f, _, err := s.lockTx(ctx, tx, r.OrderID)
		if err != nil {
			return sent{}, err
		}
		if q := f.Request(r.ID); q == nil || q.State != order.RequestOpen {
			return sent{over: true}, nil
		}
		first, ago, err := s.orders.SendTx(ctx, tx, r.ID)
		return sent{first: first || s.unclaimed || !guardSent.On(), ago: ago}, err
	})
}

// lookUp asks the provider what was refunded of the request's payment, when the
// request itself can no longer be repeated.
func (s *Service) lookUp(ctx context.Context, p payment.Provider, r order.Request) error {
	if err := s.fetch(ctx, p, r.Payment.ID, "refund.lookup"); err != nil {
		return err
	}
	now, err := s.orders.Request(ctx, s.pool, r.ID)
	if err == nil && now.State == order.RequestOpen {
		err = fmt.Errorf("refund %s: %w", r.ID, errUnanswered)
	}
	return err
}

// fetch asks for a payment with all its refunds and applies the answer.
func (s *Service) fetch(ctx context.Context, p payment.Provider, paymentID, why string) error {
	facts, err := p.Fetch(ctx, payment.Pointer{EventType: why, ObjectID: paymentID})
	if err != nil {
		return fmt.Errorf("ask what was refunded of %s: %w", paymentID, err)
	}
	return s.sayer.Say(ctx, payment.Reply(p, why, paymentID, facts))
}

// reject records a provider's definite no: the request ends, and the access
// that it had ended comes back, unless the money went back in another way that
// nobody told us of. So the provider is asked first what was refunded.
func (s *Service) reject(ctx context.Context, p payment.Provider, r order.Request, no *payment.RejectedError) error {
	s.log.Warn("a provider refused a refund", "request", r.ID, "order", r.OrderID, "error", no)
	if err := s.fetch(ctx, p, r.Payment.ID, "refund.refused"); err != nil && !errors.Is(err, payment.ErrNotFound) {
		return fmt.Errorf("refund %s was refused (%w): %w", r.ID, no, err)
	}
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		f, before, err := s.lockTx(ctx, tx, r.OrderID)
		if err != nil {
			return err
		}
		q := f.Request(r.ID)
		if q == nil || q.State != order.RequestOpen {
			return nil // answered meanwhile
		}
		q.State, q.Note = order.RequestRejected, no.Message
		delta := order.NewDelta()
		delta.Requests[q.ID] = true
		return s.settler.ReconsiderTx(ctx, tx, f, before, delta, order.Cause{Kind: r.CauseKind, ID: r.CauseID})
	})
}

// Worker runs refund jobs.
type Worker struct {
	river.WorkerDefaults[order.RefundJob]
	Service *Service
}

// Timeout bounds one job.
func (*Worker) Timeout(*river.Job[order.RefundJob]) time.Duration { return time.Minute }

// Work sends each request of the job. One that fails is tried again with the
// whole job; those that were answered are skipped then.
func (w *Worker) Work(ctx context.Context, job *river.Job[order.RefundJob]) error {
	var errs []error
	for _, requestID := range job.Args.RequestIDs {
		errs = append(errs, w.Service.Send(ctx, requestID))
	}
	return jobs.Result(errors.Join(errs...))
}
