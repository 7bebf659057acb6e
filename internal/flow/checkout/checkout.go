package checkout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/idempotency"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// operation scopes idempotency keys.
const operation = "checkout"

var (
	// Two keys for one cart would otherwise be two pages, both payable.
	guardOverlap = guard.Define("checkout.overlap", guard.Check, "one cart is open on two pages, and both can be paid")
	// A repeated call would otherwise make a second page.
	guardCallKey = guard.Define("checkout.provider_key", guard.Key, "a retried call opens a second page for one attempt")
	// The same, where the provider remembers no keys.
	guardCalled = guard.Define("checkout.called", guard.Claim, "a provider without memory of keys opens two pages for one attempt")

	afterOpen = faultpoint.Define("checkout.after_open", "the order is committed, the provider was not called")
	afterCall = faultpoint.Define("checkout.after_call", "the provider made a page, its reference is not stored")
	afterPage = faultpoint.Define("checkout.after_page", "reference and answer are committed, the client has no answer")
)

// Problems of a checkout.
var (
	ErrKeyReused = problem.Define(problem.Unprocessable, "checkout.key_reused", "This key belongs to another request",
		"Nothing was ordered. An Idempotency-Key names one request: send a new key with a new selection.")
	ErrRunning = problem.Define(problem.Conflict, "checkout.running", "The first request is still at work",
		"Nothing was ordered twice. Send the same request with the same key again in a moment to get its answer.")
	ErrOpenElsewhere = problem.Define(problem.Conflict, "checkout.open_elsewhere", "Another checkout of yours holds these photos",
		"Nothing was ordered. Finish the other checkout, or try again: it is closed once the provider confirms that it takes no more money.")
	ErrPriceChanged = problem.Define(problem.Unprocessable, "checkout.price_changed", "The price has changed",
		"Nothing was ordered. Look at the new total and confirm it with a new request.")
	ErrOwned = problem.Define(problem.Unprocessable, "checkout.owned", "You have some of these already",
		"Nothing was ordered. Remove the photos named here; they are in your library.")
	ErrTooSmall = problem.Define(problem.Unprocessable, "checkout.too_small", "The total is below what a payment can be",
		"Nothing was ordered. Choose more photos.")
	ErrCannotTake = problem.Define(problem.Unprocessable, "checkout.cannot_take", "It cannot be paid like this",
		"Nothing was ordered. Choose another way to pay.")
	ErrNoProvider = problem.Define(problem.Unprocessable, "checkout.provider_unknown", "There is no such way to pay here",
		"Nothing was ordered. Leave the provider out to use the first one that takes the amount.")
	ErrNoPayment = problem.Define(problem.Unprocessable, "checkout.no_payment", "Nothing can be paid here yet",
		"Nothing was ordered. The operator has not set up a way to pay; tell them, and come back.")
	ErrRefused = problem.Define(problem.Upstream, "checkout.refused", "The payment provider refused to open a page",
		"Nothing was charged and nothing is reserved. Try again, or tell the organiser if it stays.")
	ErrKey = problem.Define(problem.Upstream, "checkout.provider_key_refused", "Paying is not set up correctly here",
		"Nothing was charged. The payment provider does not accept this site's key, and only the operator can correct that: tell them, or choose another way to pay.")
	ErrUnknown = problem.Define(problem.Unavailable, "checkout.unknown", "The payment provider did not answer",
		"Nothing was charged. Send the same request with the same key: it continues the same order.")
	ErrClosed = problem.Define(problem.Gone, "checkout.closed", "This checkout is over",
		"It was canceled before it was paid. Start a new one with a new key.")
	ErrNoOrder = problem.Define(problem.NotFound, "order.not_found", "There is no such order",
		"Check the address. An order can be seen by whoever made it.")
	ErrSelection = problem.Define(problem.Unprocessable, "checkout.selection", "The selection cannot be ordered",
		"Nothing was ordered. Correct the fields named here.")
)

// maxPhotos bounds one order.
const maxPhotos = 500

// Input is a request to check out.
type Input struct {
	Buyer      account.Actor
	Key        string // the Idempotency-Key
	EventID    uuid.UUID
	AccessCode string
	Photos     []uuid.UUID
	WholeEvent bool
	Total      int64  // minor units: what the client was shown
	Currency   string // of Total
	Email      string // for the receipt; the account's own when empty
	Provider   string // empty: the first that takes it
	Country    string // of the payer, ISO 3166-1 alpha-2 in upper case; empty: not known
}

// fingerprint is the canonical form of what is asked for. The selection is a
// set, so its order does not matter; the access code opens the door and is no
// part of the order.
func (in Input) fingerprint() []byte {
	b, err := json.Marshal(struct {
		Event    uuid.UUID
		Photos   []uuid.UUID
		Whole    bool
		Total    int64
		Currency string
		Email    string
		Provider string
		Country  string
	}{in.EventID, id.Sorted(in.Photos), in.WholeEvent, in.Total, in.Currency, in.Email, in.Provider, in.Country})
	if err != nil {
		panic("checkout: a fingerprint cannot be encoded: " + err.Error())
	}
	h := sha256.Sum256(b)
	return h[:]
}

// cart names what is bought, whatever the total that was shown.
func (in Input) cart() []byte {
	h := sha256.New()
	h.Write(in.EventID[:])
	if in.WholeEvent {
		h.Write([]byte("whole"))
	}
	for _, p := range id.Sorted(in.Photos) {
		h.Write(p[:])
	}
	return h.Sum(nil)
}

// Answer is what a request is answered with: the same bytes each time.
type Answer struct {
	Status   int
	Body     []byte
	Replayed bool
}

// Result is the body of a good answer.
type Result struct {
	OrderID   uuid.UUID  `json:"order_id"`
	State     string     `json:"state"`
	Total     int64      `json:"total" doc:"What the buyer pays, in minor units of the currency."`
	Currency  string     `json:"currency"`
	Provider  string     `json:"provider" doc:"Where it is paid; free when nothing is to be paid."`
	URL       string     `json:"url,omitempty" doc:"The hosted page to pay on. Empty when nothing is to be paid."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Until when the page can be paid (UTC)."`
}

// Sayer stores and applies what providers answer.
type Sayer interface {
	// Ask fetches a page and applies what it proves.
	Ask(ctx context.Context, provider, account, ref, why string) error
	// Say applies an answer that the caller has already.
	Say(ctx context.Context, row payment.Row) error
}

// Config is what a Service needs to know.
type Config struct {
	PublicURL string // "https://photos.example"; pages return there
	// Waits are the times between looks at an open order; the last one repeats.
	Waits []time.Duration
	// GiveUp is when an unpaid order's page is closed for good.
	GiveUp time.Duration
	// Capture takes the money of an attempt whose payer has agreed; nil where no
	// provider waits for that.
	Capture func(ctx context.Context, attemptID uuid.UUID) error
	// Problem renders a problem that is stored as an answer.
	Problem func(*problem.Error) (status int, body []byte)
}

// Service makes orders.
type Service struct {
	pool      *pgxpool.Pool
	cfg       Config
	log       *slog.Logger
	catalog   catalog.Store
	orders    order.Store
	grants    entitlement.Store
	keys      idempotency.Store
	providers payment.Providers
	sayer     Sayer
	// What a proof took away.
	uncalled bool
}

// New returns a Service.
func New(pool *pgxpool.Pool, cfg Config, log *slog.Logger, providers payment.Providers, sayer Sayer) *Service {
	return &Service{pool: pool, cfg: cfg, log: log, providers: providers, sayer: sayer}
}

// maxRounds bounds how often older checkouts are closed for one request.
const maxRounds = 3

// Create makes an order for the selection and a page to pay it on. The same
// request again gets the same answer. Errors are problems; those that stay true
// of the request are stored and replayed as answers too.
func (s *Service) Create(ctx context.Context, in Input) (Answer, error) {
	if !in.Buyer.Known() {
		return Answer{}, problem.Define(problem.Unauthenticated, "checkout.nobody", "Say who buys",
			"Nothing was ordered. Sign in, or start a guest session and send its token.")
	}
	claim := idempotency.Claim{ActorID: in.Buyer.ID, Operation: operation, Key: in.Key, Fingerprint: in.fingerprint()}
	if st, ok := s.openPlain(ctx, claim, in); ok {
		if err := afterOpen.Hit(); err != nil {
			return Answer{}, err
		}
		return s.finish(ctx, claim, st)
	}
	for round := 1; ; round++ {
		st, err := s.open(ctx, claim, in)
		var overlap *overlapError
		if errors.As(err, &overlap) && round < maxRounds {
			if err := s.closeOlder(ctx, overlap.orders); err != nil {
				s.log.Warn("an older checkout was not closed", "error", err)
				return Answer{}, ErrOpenElsewhere.WithLink(s.orderURL(overlap.orders[0])).After(5 * time.Second).Because(err)
			}
			continue
		}
		if errors.Is(err, order.ErrReserved) && round < maxRounds {
			continue // the winner of the race is committed now, and is seen
		}
		if overlap != nil {
			return Answer{}, ErrOpenElsewhere.WithLink(s.orderURL(overlap.orders[0])).After(5 * time.Second)
		}
		if err != nil {
			return Answer{}, err
		}
		if st.answer != nil {
			return *st.answer, nil
		}
		if err := afterOpen.Hit(); err != nil {
			return Answer{}, err
		}
		return s.finish(ctx, claim, st)
	}
}

func (s *Service) orderURL(orderID uuid.UUID) string {
	return s.cfg.PublicURL + "/o/" + orderID.String()
}

func marshal(r Result) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("checkout: a result cannot be encoded: " + err.Error())
	}
	return append(b, '\n')
}

// result describes an order with its newest attempt.
func result(f *order.Facts) Result {
	r := Result{OrderID: f.Order.ID, State: string(f.Order.State), Total: f.Order.Gross, Currency: f.Order.Currency}
	if a := newest(f); a != nil {
		r.Provider, r.URL, r.ExpiresAt = a.Provider, a.URL, a.ExpiresAt
	}
	return r
}

func newest(f *order.Facts) *order.Attempt {
	if len(f.Attempts) == 0 {
		return nil
	}
	return &f.Attempts[len(f.Attempts)-1]
}

func sameCart(f *order.Facts, in Input) bool { return bytes.Equal(f.Order.Cart, in.cart()) }
