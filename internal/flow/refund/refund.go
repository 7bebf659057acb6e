package refund

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/jobs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/idempotency"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

var (
	guardSum = guard.Define("refund.sum", guard.Check, "more is given back than was taken")

	afterRequest = faultpoint.Define("refund.after_request", "the request is committed, the provider was not asked")
	afterCall    = faultpoint.Define("refund.after_call", "the provider took the refund, its answer is not stored")
)

// Problems of a refund.
var (
	ErrNothing = problem.Define(problem.Conflict, "refund.nothing_left", "There is nothing to give back",
		"Nothing was refunded. The order is not paid, or all of it was given back or is on its way.")
	ErrTooMuch = problem.Define(problem.Conflict, "refund.too_much", "Less than that is left to give back",
		"Nothing was refunded. Part of the order's money went back in another way: refund what is left as a whole.")
	ErrLines = problem.Define(problem.Unprocessable, "refund.lines", "These are not lines to refund",
		"Nothing was refunded. Name lines of this order that were not given back already.")
	ErrDisputed = problem.Define(problem.Conflict, "refund.disputed", "The payment is disputed",
		"Nothing was refunded. The payer's bank or the provider decides about this money first; a refund now would give it back twice. Wait for the end of the dispute.")
	ErrNoOrder = problem.Define(problem.NotFound, "order.not_found", "There is no such order",
		"Nothing was refunded. Check the order's id.")
	ErrKeyReused = problem.Define(problem.Unprocessable, "refund.key_reused", "This key belongs to another request",
		"Nothing was refunded. An Idempotency-Key names one request: send a new key with a new request.")
	ErrRunning = problem.Define(problem.Conflict, "refund.running", "The first request is still at work",
		"Nothing was refunded twice. Send the same request with the same key again in a moment to get its answer.")
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
	keys      idempotency.Store
	book      account.Book
	settler   Settler
	jobs      jobs.Enqueuer
	queue     string
	providers payment.Providers
	sayer     Sayer
	// What a proof took away.
	unsummed, unclaimed bool
}

// New returns a Service whose jobs go to the named queue.
func New(pool *pgxpool.Pool, log *slog.Logger, settler Settler, enqueuer jobs.Enqueuer, queue string, providers payment.Providers, sayer Sayer) *Service {
	return &Service{pool: pool, log: log, settler: settler, jobs: enqueuer, queue: queue, providers: providers, sayer: sayer}
}

// Input is what an operator asks to give back.
type Input struct {
	OperatorID uuid.UUID
	OrderID    uuid.UUID
	LineIDs    []uuid.UUID // whose prices; empty: all that is left of the sale
	Reason     string      // kept in the audit log
	Key        string      // the client's name for this request, scoped to the operator
}

func (in Input) fingerprint() []byte {
	b, err := json.Marshal(struct {
		Order  uuid.UUID
		Lines  []uuid.UUID
		Reason string
	}{in.OrderID, id.Sorted(in.LineIDs), in.Reason})
	if err != nil {
		panic("refund: a fingerprint cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// Result is what was asked for. It is stored under the request's key and given
// again to whoever repeats the request.
type Result struct {
	ID       uuid.UUID   `json:"id" format:"uuid"`
	OrderID  uuid.UUID   `json:"order_id" format:"uuid"`
	Amount   int64       `json:"amount" doc:"What goes back, in minor units."`
	Currency string      `json:"currency"`
	Lines    []uuid.UUID `json:"lines" doc:"The lines whose access has ended."`
}

// Answer is the answer to a request, byte for byte as it was given first.
type Answer struct {
	Body     []byte // a Result as JSON
	Replayed bool
}

// accepted is the status under which answers are stored.
const accepted = 202

// Ask asks for the prices of lines of an order's sale, or for all that is left of
// it, to go back. The access of exactly these lines ends with it. The same
// request with the same key is answered with the same bytes.
func (s *Service) Ask(ctx context.Context, in Input) (Answer, error) {
	claim := idempotency.Claim{ActorID: in.OperatorID, Operation: "refund", Key: in.Key, Fingerprint: in.fingerprint()}
	a, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Answer, error) {
		b, err := s.keys.BeginTx(ctx, tx, claim)
		if err != nil {
			return Answer{}, err
		}
		switch b.State {
		case idempotency.Done:
			return Answer{Body: b.Body, Replayed: true}, nil
		case idempotency.Mismatch:
			return Answer{}, ErrKeyReused
		case idempotency.Running:
			return Answer{}, ErrRunning.After(b.RetryAfter)
		case idempotency.New, idempotency.Resume:
		}
		r, err := s.askTx(ctx, tx, in)
		if err != nil {
			return Answer{}, err // which undoes the claim of the key as well
		}
		body, err := json.Marshal(Result{ID: r.ID, OrderID: r.OrderID, Amount: r.Amount, Currency: r.Currency, Lines: r.LineIDs})
		if err != nil {
			return Answer{}, err
		}
		if lost, err := s.keys.CompleteTx(ctx, tx, claim, b.Term, accepted, body); err != nil || lost != nil {
			return Answer{}, errors.Join(err, errors.New("refund: the key was taken over inside its transaction"))
		}
		return Answer{Body: body}, nil
	})
	if err != nil || a.Replayed {
		return a, err
	}
	return a, afterRequest.Hit()
}

func (s *Service) askTx(ctx context.Context, tx pgx.Tx, in Input) (order.Request, error) {
	f, before, err := s.lockTx(ctx, tx, in.OrderID)
	if err != nil {
		return order.Request{}, err
	}
	switch {
	case before.Kept == nil:
		return order.Request{}, ErrNothing
	case f.Disputed(before.Kept): // there is nothing left to ask for either; this says why
		return order.Request{}, ErrDisputed
	}
	lines, amount, err := s.choose(f, before.Kept, in.LineIDs)
	if err != nil {
		return order.Request{}, err
	}
	auditID, err := s.book.AuditTx(ctx, tx, account.Audit{
		AccountID: in.OperatorID, Action: "refund", Subject: "order:" + in.OrderID.String(),
		Detail: map[string]any{"amount": amount, "currency": f.Order.Currency, "lines": lines, "reason": in.Reason},
	})
	if err != nil {
		return order.Request{}, err
	}
	r := order.Request{
		ID: id.New(), OrderID: in.OrderID, Payment: before.Kept.Key, Amount: amount, Currency: f.Order.Currency, Kind: order.RefundSale,
		LineIDs: lines, CauseKind: order.CauseAudit, CauseID: auditID,
	}
	return r, s.requestTx(ctx, tx, f, before, order.NewDelta(), r)
}

// requestTx writes a request, its effects and the job that sends it.
func (s *Service) requestTx(ctx context.Context, tx pgx.Tx, f *order.Facts, before order.Derived, delta *order.Delta, r order.Request) error {
	if _, err := s.orders.RequestRefundTx(ctx, tx, f, r); err != nil {
		return err
	}
	if err := s.settler.ReconsiderTx(ctx, tx, f, before, delta, order.Cause{Kind: r.CauseKind, ID: r.CauseID}); err != nil {
		return err
	}
	return s.jobs.EnqueueTx(ctx, tx, s.queue, order.RefundJob{RequestIDs: []uuid.UUID{r.ID}})
}

// choose finds the lines to end and their money.
func (s *Service) choose(f *order.Facts, kept *order.Payment, wanted []uuid.UUID) ([]uuid.UUID, int64, error) {
	summed := guardSum.On() && !s.unsummed
	lines := []uuid.UUID{}
	amount := int64(0)
	remaining := f.Remaining(kept)
	for _, l := range remaining {
		if len(wanted) == 0 || slices.Contains(wanted, l.ID) {
			lines = append(lines, l.ID)
			amount += l.Price
		}
	}
	left := f.SaleLeft(kept)
	if len(wanted) == 0 {
		if amount = left; !summed {
			amount = f.Order.Gross
		}
	}
	for i, lineID := range wanted {
		if !slices.Contains(lines, lineID) {
			return nil, 0, ErrLines.WithFields(problem.Field{
				Name: "lines[" + strconv.Itoa(i) + "]", Detail: "It is no line of this order, or it was given back already.",
			})
		}
	}
	switch {
	case amount <= 0:
		return nil, 0, ErrNothing
	case amount > left && summed:
		return nil, 0, ErrTooMuch
	}
	return lines, amount, nil
}

func (s *Service) lockTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID) (*order.Facts, order.Derived, error) {
	fs, err := s.orders.LockTx(ctx, tx, []uuid.UUID{orderID})
	if err != nil {
		return nil, order.Derived{}, err
	}
	if len(fs) == 0 {
		return nil, order.Derived{}, ErrNoOrder
	}
	return fs[0], order.Derive(fs[0]), nil
}
