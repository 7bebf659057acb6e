package checkout

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/base/money"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/idempotency"
	"proofroom/internal/core/order"
)

// ProviderFree takes the "payment" of orders that cost nothing.
const ProviderFree = "free"

// started is what tx 1 left: an answer, or an order to go on with.
type started struct {
	answer  *Answer
	term    int32
	orderID uuid.UUID
	resumed bool // an earlier request with the key may have called the provider
	// fresh are the facts of an order that this request has just made; nil when it
	// resumes one.
	fresh *order.Facts
}

// overlapError says that the buyer's open orders claim the same things. They
// are closed at the provider, outside the transaction, before it is tried again.
type overlapError struct{ orders []uuid.UUID }

func (e *overlapError) Error() string {
	return fmt.Sprintf("checkout: %d open orders of the buyer overlap", len(e.orders))
}

// openPlain is tx 1 of a request that nothing stands in the way of: its key is
// new, the selection is good, and the buyer has no part of it. What is read first
// only decides what is tried; one pipeline then writes all of it, or nothing where
// the key or a thing has been taken since, or the event's currency has changed,
// which the order's reference to it tells. ok is false whenever it is not plain:
// open looks again and says what it is.
func (s *Service) openPlain(ctx context.Context, claim idempotency.Claim, in Input) (_ started, ok bool) {
	if !s.keys.Guarded() {
		return started{}, false
	}
	var o offer
	var known bool
	err := pg.Pipeline(ctx, s.pool, append(s.survey(in, &o), s.keys.KnownStep(claim, &known))...)
	if err != nil || known || len(o.overlapping) > 0 {
		return started{}, false
	}
	n, err := s.build(ctx, s.pool, in, &o)
	if err != nil {
		return started{}, false
	}
	err = pg.Pipeline(ctx, s.pool, append([]pg.Step{s.keys.ClaimStep(claim, n.open.Order.ID)}, s.orders.FreshSteps(&n.open, s.cfg.Waits[0])...)...)
	if err != nil {
		s.fellBack(ctx, "open", err)
		return started{}, false
	}
	return started{term: 1, orderID: n.open.Order.ID, fresh: n.open.Facts()}, true
}

// fellBack notes that a pipeline failed for another reason than that something
// was not as it was expected: what always fails is always slow, and looks well.
func (s *Service) fellBack(ctx context.Context, what string, err error) {
	if !pg.IsUnequal(err) {
		s.log.WarnContext(ctx, "a checkout was not written at once and is written step by step", "what", what, "error", err)
	}
}

// open is tx 1: the key, the order, its reservations and its first attempt.
func (s *Service) open(ctx context.Context, claim idempotency.Claim, in Input) (started, error) {
	return pg.InTx(ctx, s.pool, func(ctx context.Context, tx pgx.Tx) (started, error) {
		b, err := s.keys.BeginTx(ctx, tx, claim)
		if err != nil {
			return started{}, err
		}
		switch b.State {
		case idempotency.Done:
			return started{answer: &Answer{Status: b.Status, Body: b.Body, Replayed: true}}, nil
		case idempotency.Mismatch:
			return started{}, ErrKeyReused
		case idempotency.Running:
			return started{}, ErrRunning.After(b.RetryAfter)
		case idempotency.Resume:
			if b.SubjectID != uuid.Nil {
				return started{term: b.Term, orderID: b.SubjectID, resumed: true}, nil
			}
		case idempotency.New:
		}
		var o offer
		if err := pg.Pipeline(ctx, tx, append([]pg.Step{s.catalog.HoldStep(in.EventID)}, s.survey(in, &o)...)...); err != nil {
			return started{}, err
		}
		n, err := s.build(ctx, tx, in, &o)
		if p := problem.As(err); p != nil {
			return s.storeProblem(ctx, tx, claim, b.Term, p)
		}
		if err != nil {
			return started{}, err
		}
		if n.same != nil {
			body := marshal(result(n.same))
			if _, err := s.keys.CompleteTx(ctx, tx, claim, b.Term, 201, body); err != nil {
				return started{}, err
			}
			return started{answer: &Answer{Status: 201, Body: body}}, nil
		}
		err = pg.Pipeline(ctx, tx, append(s.orders.OpenSteps(&n.open, s.cfg.Waits[0]), s.keys.SubjectStep(claim, b.Term, n.open.Order.ID))...)
		if err != nil {
			return started{}, reserved(ctx, err)
		}
		return started{term: b.Term, orderID: n.open.Order.ID, fresh: n.open.Facts()}, nil
	})
}

// reserved turns a lost race for a reservation into what its loser may do: the
// winner's order is the same buyer's, so trying again finds it.
func reserved(_ context.Context, err error) error {
	if isReserved(err) {
		return ErrOpenElsewhere.After(2 * time.Second).Because(err)
	}
	return err
}

// storeProblem stores an answer that stays true of the request, and hands back
// others as errors, which undo the claim of the key.
func (s *Service) storeProblem(ctx context.Context, tx pgx.Tx, claim idempotency.Claim, term int32, p *problem.Error) (started, error) {
	status, body := s.cfg.Problem(p)
	if !idempotency.Storable(status) {
		return started{}, p
	}
	if _, err := s.keys.CompleteTx(ctx, tx, claim, term, status, body); err != nil {
		return started{}, err
	}
	return started{answer: &Answer{Status: status, Body: body}}, nil
}

// built is what tx 1 is about to insert, or the open checkout of the same cart.
type built struct {
	open order.New
	same *order.Facts
}

// offer is what there is to know of a selection before it is ordered.
type offer struct {
	photos      []uuid.UUID // distinct, in the order of their ids
	sale        catalog.ForSale
	owned       map[uuid.UUID]bool
	whole       bool // the buyer owns all of the event
	overlapping []uuid.UUID
}

// survey are the statements that find it out.
func (s *Service) survey(in Input, o *offer) []pg.Step {
	if len(in.Photos) <= maxPhotos {
		o.photos = id.Sorted(in.Photos)
	}
	return append(s.catalog.ForSaleSteps(in.EventID, o.photos, &o.sale),
		func(ctx context.Context, q pg.DBTX) (err error) {
			o.owned, o.whole, err = s.grants.LivePhotos(ctx, q, in.Buyer.ID, in.EventID)
			return err
		},
		func(ctx context.Context, q pg.DBTX) (err error) {
			o.overlapping, err = s.orders.Overlapping(ctx, q, in.Buyer.ID, in.EventID, o.photos, in.WholeEvent)
			return err
		})
}

// build checks the selection against the catalogue and the buyer's grants and
// prices it.
func (s *Service) build(ctx context.Context, q pg.Batcher, in Input, o *offer) (built, error) {
	photos := o.photos
	switch {
	case in.WholeEvent && len(in.Photos) > 0:
		return built{}, ErrSelection.WithFields(problem.Field{Name: "photos", Detail: "Leave it out when the whole event is bought."})
	case !in.WholeEvent && len(in.Photos) == 0:
		return built{}, ErrSelection.WithFields(problem.Field{Name: "photos", Detail: "Choose at least one photo, or the whole event."})
	case len(in.Photos) > maxPhotos:
		return built{}, ErrSelection.WithFields(problem.Field{Name: "photos", Detail: fmt.Sprintf("One order takes at most %d photos.", maxPhotos)})
	}
	event, err := o.sale.Event()
	if err != nil {
		return built{}, err
	}
	if err := event.Open(catalog.By{ID: in.Buyer.AccountID, Operator: in.Buyer.Has(account.Operator)}, in.AccessCode); err != nil {
		return built{}, err
	}
	names, err := o.names()
	if err != nil {
		return built{}, err
	}
	if err := o.notOwned(); err != nil {
		return built{}, err
	}
	quote, err := catalog.QuoteFor(event.Prices, len(photos), in.WholeEvent)
	if err != nil {
		return built{}, err
	}
	if quote.Total != in.Total || quote.Currency != in.Currency {
		now := money.Amount{Minor: quote.Total, Currency: quote.Currency}
		return built{}, ErrPriceChanged.Detailf("Nothing was ordered. The total is now %s; confirm it with a new request.", now.Format()).
			WithFields(problem.Field{Name: "total", Detail: strconv.FormatInt(quote.Total, 10)}, problem.Field{Name: "currency", Detail: quote.Currency})
	}
	provider, acct, err := s.choose(in, quote.Currency, quote.Total)
	if err != nil {
		return built{}, err
	}
	if len(o.overlapping) > 0 && guardOverlap.On() {
		same, err := s.same(ctx, q, o.overlapping, in)
		switch {
		case err != nil:
			return built{}, err
		case same == nil:
			return built{}, &overlapError{orders: o.overlapping}
		case newest(same).URL == "":
			// The same cart is being opened at this moment by another request.
			return built{}, ErrRunning.After(time.Second)
		}
		return built{same: same}, nil
	}
	n, err := assemble(in, event, photos, names, quote)
	if err != nil {
		return built{}, err
	}
	n.Attempt.Provider, n.Attempt.Account = provider, acct
	return built{open: n}, nil
}

// same finds the buyer's open checkout of this very cart, receipt to the same
// address and paid in the same way if one is asked for, whose page can still be
// paid or is not known yet.
func (s *Service) same(ctx context.Context, q pg.Batcher, overlapping []uuid.UUID, in Input) (*order.Facts, error) {
	if len(overlapping) != 1 {
		return nil, nil
	}
	f, err := s.orders.Get(ctx, q, overlapping[0])
	if err != nil {
		return nil, err
	}
	a := newest(f)
	if !sameCart(f, in) || !f.Order.State.Open() || f.Order.Gross != in.Total || f.Order.Email != in.receiptTo() || a == nil {
		return nil, nil
	}
	if in.Provider != "" && in.Provider != a.Provider {
		return nil, nil // it is to be paid elsewhere
	}
	if a.ExpiresAt != nil && time.Until(*a.ExpiresAt) < time.Minute {
		return nil, nil // it is about to end, or has ended and nobody told us
	}
	return f, nil
}

// receiptTo is where the receipt goes.
func (in Input) receiptTo() string {
	if in.Email != "" {
		return in.Email
	}
	return in.Buyer.Email
}

// names are what the photographs are called, all of which are for sale.
func (o *offer) names() (map[uuid.UUID]string, error) {
	found, err := o.sale.Photos()
	if err != nil {
		return nil, err
	}
	names := make(map[uuid.UUID]string, len(found))
	for _, p := range found {
		names[p.ID] = p.Name
	}
	return names, nil
}

func (o *offer) notOwned() error {
	if o.whole {
		return ErrOwned.Detailf("Nothing was ordered. You have the whole event already; its photos are in your library.")
	}
	var wrong []problem.Field
	for i, p := range o.photos {
		if o.owned[p] {
			wrong = append(wrong, problem.Field{Name: fmt.Sprintf("photos[%d]", i), Detail: p.String() + " is yours already."})
		}
	}
	if wrong != nil {
		return ErrOwned.WithFields(wrong...)
	}
	return nil
}

// assemble makes the order and its lines. The creator's part is floored on the
// whole order and spread over the lines by running totals, so that the lines
// add up to the order and the remainders go to the platform.
func assemble(in Input, event catalog.Event, photos []uuid.UUID, names map[uuid.UUID]string, q catalog.Quote) (order.New, error) {
	o := order.Order{
		ID: id.New(), EventID: event.ID, CreatorID: event.CreatorID, BuyerID: in.Buyer.ID,
		Email: in.receiptTo(), Currency: q.Currency, Gross: q.Total, Cart: in.cart(),
	}
	buyer := in.Buyer.ID
	if in.Buyer.Kind == account.KindAccount {
		o.BuyerAccount = &buyer
	} else {
		o.BuyerGuest = &buyer
	}
	n := order.New{Order: o, Attempt: order.Attempt{ID: id.New(), OrderID: o.ID, Ordinal: 1}}
	var soFar, commission int64
	for i, l := range q.Lines {
		soFar += l.Price
		_, upTo, err := money.Split(soFar, event.CommissionBps)
		if err != nil {
			return order.New{}, err
		}
		line := order.Line{
			ID: id.New(), OrderID: o.ID, Ordinal: int32(i + 1), Kind: order.LineKind(l.Kind), EventID: event.ID,
			Name: event.Title, Price: l.Price, Commission: upTo - commission,
		}
		if l.Kind != catalog.LineEvent {
			photo := photos[i]
			line.PhotoID, line.Name = &photo, names[photo]
		}
		commission = upTo
		n.Lines = append(n.Lines, line)
	}
	n.Order.Commission = commission
	return n, nil
}
