package till

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// Page is a hosted page at a provider.
type Page struct {
	Ref       string
	AttemptID uuid.UUID
	Amount    int64
	Currency  string
	Email     string
	// State is open, approved, pending, failed, paid or closed.
	State string
}

// Provider is a provider with an account named main. Its zero hooks do nothing.
type Provider struct {
	N          string
	Memory     time.Duration
	Linger     time.Duration
	Currencies []string // empty: all
	Least      int64
	NeedsEmail bool
	// Before and After run around each call, with its name: an error of Before is
	// the answer and nothing happened; one of After is it although all happened.
	Before, After func(ctx context.Context, call string) error

	mu    sync.Mutex
	pages []*Page
	calls []string
}

// Keyed is a provider as Stripe is: it remembers keys, and a closed page is closed.
func Keyed(name string) *Provider { return &Provider{N: name, Memory: 23 * time.Hour} }

// Agreed is a provider as PayPal is: its payers agree, and we take the money.
// It closes nothing by itself.
type Agreed struct{ *Provider }

// NewAgreed makes one.
func NewAgreed(name string) Agreed { return Agreed{&Provider{N: name, Memory: 5 * time.Hour}} }

// Keyless is a provider as Flutterwave is: each call makes another page, which
// is named by the attempt, and money may come to a closed one for a day.
type Keyless struct{ *Provider }

// NewKeyless makes one.
func NewKeyless(name string) Keyless { return Keyless{&Provider{N: name, Linger: 24 * time.Hour}} }

// RefOf implements payment.Foreknower.
func (Keyless) RefOf(attemptID uuid.UUID) string { return attemptID.String() }

// Name implements payment.Provider.
func (p *Provider) Name() string { return p.N }

// Account implements payment.Provider.
func (*Provider) Account() string { return "main" }

// KeyMemory implements payment.Provider.
func (p *Provider) KeyMemory() time.Duration { return p.Memory }

// Lingers implements payment.Provider.
func (p *Provider) Lingers() time.Duration { return p.Linger }

// Minimum implements payment.Provider.
func (p *Provider) Minimum(string) (int64, bool) { return p.Least, p.Least > 0 }

// Offer implements payment.Provider. It takes no payers of the country XX.
func (p *Provider) Offer(currency string, minor int64, country string) (payment.Offer, error) {
	switch {
	case len(p.Currencies) > 0 && !slices.Contains(p.Currencies, currency):
		return payment.Offer{}, &payment.CannotError{Provider: p.N, Reason: "currency"}
	case country == "XX":
		return payment.Offer{}, &payment.CannotError{Provider: p.N, Reason: "country"}
	case minor < p.Least:
		return payment.Offer{}, &payment.CannotError{Provider: p.N, Reason: "minimum", Limit: p.Least}
	}
	return payment.Offer{Methods: []string{"Card"}, NeedsEmail: p.NeedsEmail}, nil
}

func (p *Provider) around(ctx context.Context, call string, do func() (payment.Checkout, error)) (payment.Checkout, error) {
	if pg.InTransaction(ctx) {
		return payment.Checkout{}, pg.ErrInTransaction
	}
	p.mu.Lock()
	p.calls = append(p.calls, call)
	p.mu.Unlock()
	if p.Before != nil {
		if err := p.Before(ctx, call); err != nil {
			return payment.Checkout{}, err
		}
	}
	p.mu.Lock()
	out, err := do()
	p.mu.Unlock()
	if err == nil && p.After != nil {
		err = p.After(ctx, call)
	}
	return out, err
}

// CreateCheckout implements payment.Provider.
func (p *Provider) CreateCheckout(ctx context.Context, in payment.CheckoutRequest) (payment.Checkout, error) {
	return p.around(ctx, "create", func() (payment.Checkout, error) {
		if p.Memory > 0 {
			for _, page := range p.pages {
				if page.AttemptID == in.AttemptID {
					return p.show(page), nil
				}
			}
		}
		page := &Page{Ref: fmt.Sprintf("%s_%d", p.N, len(p.pages)+1), AttemptID: in.AttemptID, Currency: in.Currency, Email: in.Email, State: "open"}
		if p.Memory == 0 {
			page.Ref = in.AttemptID.String()
		}
		for _, l := range in.Lines {
			page.Amount += l.Price
		}
		p.pages = append(p.pages, page)
		return p.show(page), nil
	})
}

// FetchCheckout implements payment.Provider.
func (p *Provider) FetchCheckout(ctx context.Context, ref string) (payment.Checkout, error) {
	return p.around(ctx, "fetch", func() (payment.Checkout, error) {
		page := p.find(ref)
		if page == nil {
			return payment.Checkout{}, payment.ErrNotFound
		}
		return p.show(page), nil
	})
}

// CloseCheckout implements payment.Provider.
func (p *Provider) CloseCheckout(ctx context.Context, ref, _ string) (payment.Checkout, error) {
	return p.around(ctx, "close", func() (payment.Checkout, error) {
		page := p.find(ref)
		if page == nil {
			return payment.Checkout{}, payment.ErrNotFound
		}
		if page.State == "open" || page.State == "approved" {
			page.State = "closed"
		}
		out := p.show(page)
		if page.State == "closed" {
			out.Facts = []payment.Observation{p.attempt(page, payment.AttemptClosed)}
		}
		return out, nil
	})
}

// CloseCheckout implements payment.Provider: it looks, and leaves the page alone.
func (a Agreed) CloseCheckout(ctx context.Context, ref, _ string) (payment.Checkout, error) {
	return a.around(ctx, "close", func() (payment.Checkout, error) {
		page := a.find(ref)
		if page == nil {
			return payment.Checkout{}, payment.ErrNotFound
		}
		out := a.show(page)
		if page.State == "open" || page.State == "approved" {
			out.Facts = []payment.Observation{a.attempt(page, payment.AttemptClosed)}
		}
		return out, nil
	})
}

// Capture implements payment.Capturer.
func (a Agreed) Capture(ctx context.Context, in payment.CaptureRequest) ([]payment.Observation, error) {
	out, err := a.around(ctx, "capture", func() (payment.Checkout, error) {
		page := a.find(in.Ref)
		switch {
		case page == nil:
			return payment.Checkout{}, payment.ErrNotFound
		case page.State == "open":
			return payment.Checkout{}, &payment.RejectedError{Provider: a.N, Code: "ORDER_NOT_APPROVED", Message: "not approved"}
		case page.State == "approved" && (page.Amount != in.Amount || page.Currency != in.Currency):
			return a.show(page), nil
		case page.State == "approved":
			page.State = "paid"
		}
		return a.show(page), nil
	})
	return out.Facts, err
}

func (p *Provider) find(ref string) *Page {
	for _, page := range slices.Backward(p.pages) {
		if page.Ref == ref {
			return page
		}
	}
	return nil
}

func (p *Provider) attempt(page *Page, status string) payment.Observation {
	return payment.Observation{Provider: p.N, Account: "main", Kind: payment.KindAttempt, AttemptID: page.AttemptID, Ref: page.Ref, Status: status}
}

func (p *Provider) show(page *Page) payment.Checkout {
	out := payment.Checkout{Ref: page.Ref}
	money := payment.Observation{
		Provider: p.N, Account: "main", Kind: payment.KindPayment, AttemptID: page.AttemptID,
		PaymentID: "pay_" + page.Ref, Amount: page.Amount, Currency: page.Currency,
	}
	switch page.State {
	case "open":
		out.Open, out.URL = true, "https://"+p.N+".test/"+page.Ref
	case "approved":
		out.Open, out.URL = true, "https://"+p.N+".test/"+page.Ref
		out.Facts = []payment.Observation{p.attempt(page, payment.AttemptApproved)}
	case "closed":
		if p.Memory > 0 { // one without memory does not tell
			out.Facts = []payment.Observation{p.attempt(page, payment.AttemptExpired)}
		}
	default:
		money.Status = map[string]string{"pending": payment.PaymentPending, "failed": payment.PaymentFailed, "paid": payment.PaymentSucceeded}[page.State]
		out.Facts = []payment.Observation{money}
	}
	return out
}

// Set puts a page into a state.
func (p *Provider) Set(ref, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.find(ref).State = state
}

// Pages are the pages as they stand.
func (p *Provider) Pages() []Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Page, len(p.pages))
	for i, page := range p.pages {
		out[i] = *page
	}
	return out
}

// Calls counts the calls of a name.
func (p *Provider) Calls(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.calls {
		if c == name {
			n++
		}
	}
	return n
}

// Fetch implements payment.Provider; no test here has pointers.
func (*Provider) Fetch(context.Context, payment.Pointer) ([]payment.Observation, error) {
	return nil, payment.ErrNotFound
}

// Refund implements payment.Provider; no test here gives money back.
func (*Provider) Refund(context.Context, payment.RefundRequest) ([]payment.Observation, error) {
	return nil, payment.ErrNotFound
}

// Verify implements payment.Provider; no test here has webhooks.
func (*Provider) Verify(context.Context, time.Time, http.Header, []byte) (payment.Receipt, error) {
	return payment.Receipt{}, &payment.VerifyError{Reason: "malformed"}
}

var (
	_ payment.Provider   = (*Provider)(nil)
	_ payment.Capturer   = Agreed{}
	_ payment.Foreknower = Keyless{}
)
