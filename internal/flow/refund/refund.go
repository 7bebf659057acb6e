package refund

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

var (
	guardSum = guard.Define("refund.sum", guard.Check, "more is given back than was taken")
	guardKey = guard.Define("refund.provider_key", guard.Key, "a retried call gives the money back twice")

	afterRequest = faultpoint.Define("refund.after_request", "the request is committed, the provider was not asked")
	afterCall    = faultpoint.Define("refund.after_call", "the provider took the refund, its answer is not stored")
)

// Problems of a refund.
var (
	ErrNothing = problem.Define(problem.Conflict, "refund.nothing_left", "There is nothing to give back",
		"Nothing was refunded. The order is not paid, or all of it was given back or is on its way.")
	ErrNoOrder = problem.Define(problem.NotFound, "order.not_found", "There is no such order",
		"Nothing was refunded. Check the order's id.")
)

// Settler brings about what changed facts of an order mean.
type Settler interface {
	ReconsiderTx(ctx context.Context, tx pgx.Tx, f *order.Facts, before order.Derived, delta *order.Delta, cause order.Cause) error
}

// Sayer stores and applies what providers answer.
type Sayer interface {
	Say(ctx context.Context, row payment.Row) error
}

// Service gives money back.
type Service struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	orders    order.Store
	book      account.Book
	settler   Settler
	jobs      jobs.Enqueuer
	queue     string
	providers payment.Providers
	sayer     Sayer
}

// New returns a Service whose jobs go to the named queue.
func New(pool *pgxpool.Pool, log *slog.Logger, settler Settler, enqueuer jobs.Enqueuer, queue string, providers payment.Providers, sayer Sayer) *Service {
	return &Service{pool: pool, log: log, settler: settler, jobs: enqueuer, queue: queue, providers: providers, sayer: sayer}
}

// Full asks for all that is left of an order's sale to go back, for an
// operator. The buyer's access ends with it. reason is kept in the audit log.
func (s *Service) Full(ctx context.Context, operatorID, orderID uuid.UUID, reason string) (order.Request, error) {
	r, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (order.Request, error) {
		return s.fullTx(ctx, tx, operatorID, orderID, reason)
	})
	if err != nil {
		return order.Request{}, err
	}
	return r, afterRequest.Hit()
}

func (s *Service) fullTx(ctx context.Context, tx pgx.Tx, operatorID, orderID uuid.UUID, reason string) (order.Request, error) {
	fs, err := s.orders.LockTx(ctx, tx, []uuid.UUID{orderID})
	if err != nil {
		return order.Request{}, err
	}
	if len(fs) == 0 {
		return order.Request{}, ErrNoOrder
	}
	f := fs[0]
	before := order.Derive(f)
	if before.Kept == nil {
		return order.Request{}, ErrNothing
	}
	left := f.SaleLeft(before.Kept)
	if !guardSum.On() {
		left = f.Order.Gross
	}
	if left <= 0 {
		return order.Request{}, ErrNothing
	}
	auditID, err := s.book.AuditTx(ctx, tx, account.Audit{
		AccountID: operatorID, Action: "refund", Subject: "order:" + orderID.String(),
		Detail: map[string]any{"amount": left, "currency": f.Order.Currency, "reason": reason},
	})
	if err != nil {
		return order.Request{}, err
	}
	r := order.Request{
		ID: id.New(), OrderID: orderID, Payment: before.Kept.Key, Amount: left, Currency: f.Order.Currency, Kind: order.RefundSale,
		CauseKind: order.CauseAudit, CauseID: auditID,
	}
	for _, l := range f.Lines {
		r.LineIDs = append(r.LineIDs, l.ID)
	}
	if _, err := s.orders.RequestRefundTx(ctx, tx, f, r); err != nil {
		return order.Request{}, err
	}
	cause := order.Cause{Kind: order.CauseAudit, ID: auditID}
	if err := s.settler.ReconsiderTx(ctx, tx, f, before, order.NewDelta(), cause); err != nil {
		return order.Request{}, err
	}
	return r, s.jobs.EnqueueTx(ctx, tx, s.queue, order.RefundJob{RequestIDs: []uuid.UUID{r.ID}})
}

// Send asks the provider for the money of one request. It may be called any
// number of times: the request's id is the provider's key.
func (s *Service) Send(ctx context.Context, requestID uuid.UUID) error {
	r, err := s.orders.Request(ctx, s.pool, requestID)
	if err != nil || r.State != order.RequestOpen {
		return err
	}
	p := s.providers.Find(r.Payment.Provider, r.Payment.Account)
	if p == nil {
		return fmt.Errorf("no account %s at %s is configured", r.Payment.Account, r.Payment.Provider)
	}
	call := payment.RefundRequest{RequestID: r.ID, PaymentID: r.Payment.ID, Amount: r.Amount, Currency: r.Currency}
	if !guardKey.On() {
		call.RequestID = id.New()
	}
	facts, err := p.Refund(ctx, call)
	var no *payment.RejectedError
	if errors.Is(err, payment.ErrNotFound) {
		no = &payment.RejectedError{Provider: p.Name(), Code: "not_found", Message: "it does not know the payment"}
	}
	if no != nil || errors.As(err, &no) {
		return s.reject(ctx, p, r, no)
	}
	if err != nil {
		return fmt.Errorf("refund %s: %w", requestID, err)
	}
	if err := afterCall.Hit(); err != nil {
		return err
	}
	return s.sayer.Say(ctx, payment.Reply(p, "refund", r.Payment.ID, facts))
}

// reject records a provider's definite no: the request ends, and the access
// that it had ended comes back, unless the money went back in another way that
// nobody told us of. So the provider is asked first what was refunded.
func (s *Service) reject(ctx context.Context, p payment.Provider, r order.Request, no *payment.RejectedError) error {
	s.log.Warn("a provider refused a refund", "request", r.ID, "order", r.OrderID, "error", no)
	facts, err := p.Fetch(ctx, payment.Pointer{EventType: "refund.refused", ObjectID: r.Payment.ID})
	if err != nil && !errors.Is(err, payment.ErrNotFound) {
		return fmt.Errorf("refund %s was refused (%w); ask what was refunded: %w", r.ID, no, err)
	}
	if err := s.sayer.Say(ctx, payment.Reply(p, "refund.refused", r.Payment.ID, facts)); err != nil {
		return err
	}
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		fs, err := s.orders.LockTx(ctx, tx, []uuid.UUID{r.OrderID})
		if err != nil || len(fs) == 0 {
			return err
		}
		f := fs[0]
		before := order.Derive(f)
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
