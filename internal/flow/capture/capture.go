package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

var (
	// That a page is captured once is the provider's own rule as well; when is ours.
	guardPayable = guard.Define("capture.payable", guard.Check, "money is taken for an order that no longer waits for it")

	afterCheck = faultpoint.Define("capture.after_check", "the order waits for its money, the provider was not called")
	afterCall  = faultpoint.Define("capture.after_call", "the provider took the money, its answer is not stored")
)

const (
	callTimeout = 20 * time.Second
	// jobTimeout leaves room for a job of a whole group, a few at a time.
	jobTimeout = 2 * time.Minute
	atOnce     = 4
)

// Sayer stores and applies what providers answer.
type Sayer interface {
	Say(ctx context.Context, row payment.Row) error
}

// Service captures payments.
type Service struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	orders    order.Store
	providers payment.Providers
	sayer     Sayer
	// What a proof took away.
	unchecked bool
}

// New returns a Service.
func New(pool *pgxpool.Pool, log *slog.Logger, providers payment.Providers, sayer Sayer) *Service {
	return &Service{pool: pool, log: log, providers: providers, sayer: sayer}
}

// approved is an attempt whose money may be taken.
type approved struct {
	provider, account string
	call              payment.CaptureRequest
}

// Capture takes the money of an attempt, if its order still waits for it. It may
// be called any number of times, also at once. An error other than a cancelled
// context means that it is to be tried again.
func (s *Service) Capture(ctx context.Context, attemptID uuid.UUID) error {
	a, why, err := s.check(ctx, attemptID)
	if err != nil {
		return err
	}
	if why != "" {
		s.log.Info("nothing is captured", "attempt", attemptID, "because", why)
		return nil
	}
	p := s.providers.Find(a.provider, a.account)
	if p == nil {
		return fmt.Errorf("no account %s at %s is configured", a.account, a.provider)
	}
	c, ok := p.(payment.Capturer)
	if !ok {
		return fmt.Errorf("%s waits for no capture", a.provider)
	}
	if err := afterCheck.Hit(); err != nil {
		return err
	}
	facts, err := s.call(ctx, c, a.call)
	var no *payment.RejectedError
	switch {
	case errors.As(err, &no), errors.Is(err, payment.ErrNotFound):
		// The payer may agree again, with other money; that comes as news of its own.
		s.log.Warn("a provider refused a capture", "attempt", attemptID, "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("capture attempt %s: %w", attemptID, err)
	}
	if err := afterCall.Hit(); err != nil {
		return err
	}
	// That the payer agreed is why we called. Said again it would be news, and
	// reason for another call.
	facts = slices.DeleteFunc(facts, func(o payment.Observation) bool {
		return o.Kind == payment.KindAttempt && o.Status == payment.AttemptApproved
	})
	if len(facts) == 0 {
		s.log.Warn("a capture took nothing: the page is not worth what the order is", "attempt", attemptID, "page", a.call.Ref)
		return nil
	}
	return s.sayer.Say(ctx, payment.Reply(p, "capture", a.call.Ref, facts))
}

func (s *Service) call(ctx context.Context, c payment.Capturer, r payment.CaptureRequest) ([]payment.Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.Capture(ctx, r)
}

// check asks, under the order's lock, whether money may be taken by the attempt,
// and says why not.
func (s *Service) check(ctx context.Context, attemptID uuid.UUID) (a approved, why string, err error) {
	byAttempt, _, err := s.orders.OrdersOf(ctx, s.pool, []uuid.UUID{attemptID}, nil)
	if err != nil {
		return a, "", err
	}
	orderID, ok := byAttempt[attemptID]
	if !ok {
		return a, "there is no such attempt", nil
	}
	err = pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		a, why, err = s.checkTx(ctx, tx, orderID, attemptID)
		return err
	})
	return a, why, err
}

func (s *Service) checkTx(ctx context.Context, tx pgx.Tx, orderID, attemptID uuid.UUID) (approved, string, error) {
	fs, err := s.orders.LockTx(ctx, tx, []uuid.UUID{orderID})
	if err != nil || len(fs) == 0 {
		return approved{}, "there is no such order", err
	}
	f := fs[0]
	clocks, err := s.orders.Clocks(ctx, tx, orderID)
	if err != nil {
		return approved{}, "", err
	}
	at := f.Attempt(attemptID)
	if at == nil || at.Ref == "" {
		return approved{}, "its page is not known", nil
	}
	if guardPayable.On() && !s.unchecked {
		switch {
		case !f.Payable(attemptID):
			return approved{}, "the order no longer waits for money", nil
		case clocks[attemptID].Over:
			return approved{}, "the time in which it may be paid has ended", nil
		}
	}
	return approved{provider: at.Provider, account: at.Account, call: payment.CaptureRequest{
		AttemptID: attemptID, Ref: at.Ref, Amount: f.Order.Gross, Currency: f.Order.Currency,
	}}, "", nil
}

// Worker runs capture jobs.
type Worker struct {
	river.WorkerDefaults[order.CaptureJob]
	Service *Service
}

// Timeout bounds one job.
func (*Worker) Timeout(*river.Job[order.CaptureJob]) time.Duration { return jobTimeout }

// Work captures each attempt of the job, a few at a time. When one fails the
// whole job is tried again; those that are paid by then are left alone.
func (w *Worker) Work(ctx context.Context, job *river.Job[order.CaptureJob]) error {
	errs := make([]error, len(job.Args.AttemptIDs))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, attemptID := range job.Args.AttemptIDs {
		g.Go(func() error {
			errs[i] = w.Service.Capture(ctx, attemptID)
			return nil
		})
	}
	_ = g.Wait() // each error has its place
	return jobs.Result(errors.Join(errs...))
}
