package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/idempotency"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

const callTimeout = 15 * time.Second

func isReserved(err error) bool { return errors.Is(err, order.ErrReserved) }

// finish calls the provider for an order that tx 1 made, and completes the key.
func (s *Service) finish(ctx context.Context, claim idempotency.Claim, st started) (Answer, error) {
	if st.fresh != nil && newest(st.fresh).Provider != ProviderFree {
		f, page, err := s.obtain(ctx, st.fresh, 0)
		if err != nil {
			return Answer{}, s.failed(ctx, claim, st, err)
		}
		a, err := s.conclude(ctx, claim, st, f, page)
		if !errors.Is(err, errNotPlain) {
			return a, err
		}
		if err := s.keep(ctx, f, page); err != nil {
			return Answer{}, s.failed(ctx, claim, st, err)
		}
		return s.complete(ctx, claim, st)
	}
	f, err := s.orders.Get(ctx, s.pool, st.orderID)
	if err != nil {
		return Answer{}, err
	}
	if !f.Order.State.Open() && f.Order.PaidAt == nil {
		return s.close(ctx, claim, st)
	}
	if f.Order.PaidAt == nil {
		if err := s.page(ctx, f); err != nil {
			return Answer{}, s.failed(ctx, claim, st, err)
		}
	}
	return s.complete(ctx, claim, st)
}

// errNotPlain says that tx 2 has to look at everything.
var errNotPlain = errors.New("checkout: something happened to the order since it was made")

// conclude is tx 2 where nothing happened to the order since tx 1, and its page
// says no more than that it is open: then everything is known, and is written by
// one pipeline. It returns errNotPlain, and leaves everything as it was, where that
// turns out to be otherwise.
func (s *Service) conclude(ctx context.Context, claim idempotency.Claim, st started, f *order.Facts, page payment.Checkout) (Answer, error) {
	if f != st.fresh || !page.Open || len(page.Facts) > 0 || !s.keys.Guarded() {
		return Answer{}, errNotPlain
	}
	paged, steps := s.orders.PageSteps(f, page.Ref, page.URL, page.ExpiresAt)
	if paged == nil {
		return Answer{}, errNotPlain
	}
	answer := Answer{Status: 201, Body: marshal(result(paged))}
	err := pg.Pipeline(ctx, s.pool, append([]pg.Step{s.keys.CompleteStep(claim, st.term, answer.Status, answer.Body)}, steps...)...)
	if err != nil {
		s.fellBack(ctx, "page", err)
		return Answer{}, errNotPlain
	}
	return answer, afterPage.Hit()
}

// page makes sure that the order has its page, with its reference stored. It is
// the same for a client's request and for the sweeper, and may run twice.
func (s *Service) page(ctx context.Context, f *order.Facts) error {
	a := newest(f)
	if a.Provider == ProviderFree {
		return s.sayer.Say(ctx, free(f, a))
	}
	if a.Ref != "" && a.URL != "" {
		return nil
	}
	clocks, err := s.orders.Clocks(ctx, s.pool, f.Order.ID)
	if err != nil {
		return err
	}
	f, page, err := s.obtain(ctx, f, clocks[a.ID].Age)
	if err != nil {
		return err
	}
	return s.keep(ctx, f, page)
}

// obtain has the provider make the page of the newest attempt, which is so old by
// the database's clock, and returns the order with the attempt whose page it is.
func (s *Service) obtain(ctx context.Context, f *order.Facts, age time.Duration) (*order.Facts, payment.Checkout, error) {
	var page payment.Checkout
	a := newest(f)
	p, err := s.find(a)
	if err != nil {
		return f, page, err
	}
	// The same call would ask for a page that is too short, or be another call.
	spent := age > order.PageLife-time.Hour || p.KeyMemory() > 0 && age > p.KeyMemory()
	if f, err = s.callable(ctx, p, f, spent); err != nil {
		return f, page, err
	}
	a = newest(f)
	page, err = s.call(ctx, p, s.request(f, a))
	if errors.Is(err, payment.ErrStored) {
		// The provider will answer this key with the same failure for ever.
		if f, err = s.callable(ctx, p, f, true); err != nil {
			return f, page, err
		}
		a = newest(f)
		page, err = s.call(ctx, p, s.request(f, a))
	}
	if p.KeyMemory() == 0 && (errors.Is(err, payment.ErrNotSent) || errors.Is(err, payment.ErrCredentials)) {
		return f, page, errors.Join(err, s.uncall(ctx, f.Order.ID, a.ID))
	}
	if err != nil {
		return f, page, err
	}
	if page.ExpiresAt.IsZero() {
		page.ExpiresAt = expiry(a)
	}
	return f, page, afterCall.Hit()
}

// keep records the page of the newest attempt, and what it says.
func (s *Service) keep(ctx context.Context, f *order.Facts, page payment.Checkout) error {
	a := newest(f)
	if err := s.record(ctx, f.Order.ID, a.ID, page); err != nil {
		return err
	}
	p, err := s.find(a)
	if err != nil {
		return err
	}
	return s.sayer.Say(ctx, payment.Reply(p, "checkout", page.Ref, page.Facts))
}

func (s *Service) find(a *order.Attempt) (payment.Provider, error) {
	p := s.providers.Find(a.Provider, a.Account)
	if p == nil {
		return nil, fmt.Errorf("no account %s at %s is configured", a.Account, a.Provider)
	}
	return p, nil
}

func (s *Service) call(ctx context.Context, p payment.Provider, r payment.CheckoutRequest) (payment.Checkout, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	page, err := p.CreateCheckout(ctx, r)
	if err != nil {
		return page, fmt.Errorf("%w: %w", errCall, err)
	}
	return page, nil
}

// errCall marks what a provider's call failed with: a connection that broke there
// says nothing of our database.
var errCall = errors.New("checkout: open a page")

func (s *Service) request(f *order.Facts, a *order.Attempt) payment.CheckoutRequest {
	r := payment.CheckoutRequest{
		AttemptID: a.ID, OrderID: f.Order.ID, Currency: f.Order.Currency, Email: f.Order.Email,
		SuccessURL: s.orderURL(f.Order.ID) + "?from=paid", CancelURL: s.orderURL(f.Order.ID) + "?from=canceled",
		ExpiresAt:   expiry(a),
		Description: f.Lines[0].Name,
	}
	if !guardCallKey.On() {
		r.AttemptID = id.New()
	}
	for _, l := range f.Lines {
		r.Lines = append(r.Lines, payment.CheckoutLine{Name: l.Name, Price: l.Price})
	}
	return r
}

// expiry is when the attempt's page ends: from the attempt's own time, so that a
// repeated call says the same.
func expiry(a *order.Attempt) time.Time { return a.CreatedAt.Add(order.PageLife).Truncate(time.Second) }

// free is the observation that pays an order that costs nothing: one row for
// each order, however often it is said.
func free(f *order.Facts, a *order.Attempt) payment.Row {
	return payment.Row{ID: id.New(), Provider: ProviderFree, Account: ProviderFree, Receipt: payment.Receipt{
		EventID: "free:" + f.Order.ID.String(), EventType: "free", ObjectID: f.Order.ID.String(),
		Class: payment.ClassReply, Applier: payment.ApplierOrder,
		Facts: []payment.Observation{{
			Provider: ProviderFree, Account: ProviderFree, Kind: payment.KindPayment, AttemptID: a.ID,
			PaymentID: f.Order.ID.String(), Status: payment.PaymentSucceeded, Currency: f.Order.Currency,
		}},
	}}
}

// record is the order's half of tx 2: the page's reference, and the state that
// follows from it.
func (s *Service) record(ctx context.Context, orderID, attemptID uuid.UUID, page payment.Checkout) error {
	return pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		return s.recordTx(ctx, tx, orderID, attemptID, page)
	})
}

func (s *Service) recordTx(ctx context.Context, tx pgx.Tx, orderID, attemptID uuid.UUID, page payment.Checkout) error {
	f, err := s.lock(ctx, tx, orderID)
	if err != nil {
		return err
	}
	if err := s.orders.PageTx(ctx, tx, attemptID, page.Ref, page.URL, &page.ExpiresAt); err != nil {
		return err
	}
	for i := range f.Attempts {
		if f.Attempts[i].ID == attemptID {
			f.Attempts[i].Ref = page.Ref
		}
	}
	return s.orders.SaveStatesTx(ctx, tx, []order.Change{{
		Facts: f, Delta: order.NewDelta(), Derived: order.Derive(f), Cause: order.Cause{Kind: order.CauseCheckout, ID: orderID},
	}})
}

func (s *Service) lock(ctx context.Context, tx pgx.Tx, orderID uuid.UUID) (*order.Facts, error) {
	fs, err := s.orders.LockTx(ctx, tx, []uuid.UUID{orderID})
	if err != nil {
		return nil, err
	}
	if len(fs) != 1 {
		return nil, ErrNoOrder
	}
	return fs[0], nil
}

// complete stores the good answer, at this request's own term.
func (s *Service) complete(ctx context.Context, claim idempotency.Claim, st started) (Answer, error) {
	f, err := s.orders.Get(ctx, s.pool, st.orderID)
	if err != nil {
		return Answer{}, err
	}
	switch {
	case f.Order.PaidAt != nil:
	case !f.Order.State.Open():
		return s.close(ctx, claim, st) // it was given up while its page was asked for
	case newest(f).URL == "" && f.Order.Gross > 0 && newest(f).Status == payment.AttemptOpen:
		// Somebody else gave the attempt up meanwhile, and asks for another page.
		return Answer{}, s.failed(ctx, claim, st, errOver)
	}
	a, err := pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Answer, error) {
		return s.completeTx(ctx, tx, claim, st, 201, marshal(result(f)))
	})
	if err != nil {
		return Answer{}, err
	}
	return a, afterPage.Hit()
}

// close answers a request whose order was given up before its page was known.
func (s *Service) close(ctx context.Context, claim idempotency.Claim, st started) (Answer, error) {
	status, body := s.cfg.Problem(ErrClosed)
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (Answer, error) {
		return s.completeTx(ctx, tx, claim, st, status, body)
	})
}

// completeTx stores an answer, or returns the one that somebody stored who took
// the key over.
func (s *Service) completeTx(ctx context.Context, tx pgx.Tx, claim idempotency.Claim, st started, status int, body []byte) (Answer, error) {
	stored, err := s.keys.CompleteTx(ctx, tx, claim, st.term, status, body)
	if err != nil {
		return Answer{}, err
	}
	if stored == nil {
		return Answer{Status: status, Body: body}, nil
	}
	if stored.State == idempotency.Done {
		return Answer{Status: stored.Status, Body: stored.Body, Replayed: true}, nil
	}
	return Answer{}, ErrRunning.After(stored.RetryAfter)
}

// failed decides what a failed call to the provider means for the request. A
// definite no cancels the order and frees the key; so does a refused key of ours,
// unless the call was made before. Anything else is unknown: the lease is given
// back, so that the client's retry continues the same order.
func (s *Service) failed(ctx context.Context, claim idempotency.Claim, st started, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var no *payment.RejectedError
	misconfigured := errors.Is(cause, payment.ErrCredentials)
	if misconfigured {
		s.log.Error("a payment provider does not accept the configured key: nobody can pay there", "order", st.orderID, "error", cause)
	}
	// A refused key says nothing of an earlier call, which may have made a page.
	if errors.As(cause, &no) || misconfigured && !st.resumed {
		err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
			if err := s.keys.ForgetTx(ctx, tx, claim, st.term); err != nil {
				return err
			}
			return s.endTx(ctx, tx, st.orderID, payment.AttemptFailed, order.CauseCheckout)
		})
		if errors.Is(err, idempotency.ErrLost) {
			return ErrRunning.After(2 * time.Second).Because(cause) // whoever took the key over goes on
		}
		if misconfigured {
			return errors.Join(ErrKey.Because(cause), err)
		}
		return errors.Join(ErrRefused.Because(cause), err)
	}
	if !misconfigured {
		s.log.Warn("a page was not opened", "order", st.orderID, "error", cause)
	}
	err := pg.Exec(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) error {
		return s.keys.ReleaseTx(ctx, tx, claim, st.term)
	})
	if err != nil {
		s.log.Warn("a key was not released: its lease runs out by itself", "error", err)
	}
	if misconfigured {
		return ErrKey.Because(cause)
	}
	if !errors.Is(cause, errCall) && (pg.IsUnreachable(cause) || pg.IsTransient(cause)) {
		return cause
	}
	return ErrUnknown.After(2 * time.Second).Because(cause)
}

// endTx ends the newest attempt of an order that no provider has a page for.
func (s *Service) endTx(ctx context.Context, tx pgx.Tx, orderID uuid.UUID, status, causeKind string) error {
	f, err := s.lock(ctx, tx, orderID)
	if err != nil {
		return err
	}
	delta := order.NewDelta()
	f.Merge(payment.Observation{Kind: payment.KindAttempt, AttemptID: newest(f).ID, Status: status}, delta)
	return s.saveTx(ctx, tx, f, delta, causeKind)
}

// saveTx writes what changed of a locked order's attempts, and what follows.
func (s *Service) saveTx(ctx context.Context, tx pgx.Tx, f *order.Facts, delta *order.Delta, causeKind string) error {
	c := order.Change{Facts: f, Delta: delta, Derived: order.Derive(f), Cause: order.Cause{Kind: causeKind, ID: f.Order.ID}}
	if err := s.orders.SaveFactsTx(ctx, tx, []order.Change{c}); err != nil {
		return err
	}
	return s.orders.SaveStatesTx(ctx, tx, []order.Change{c})
}
