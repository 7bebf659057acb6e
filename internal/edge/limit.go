package edge

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/base/ratelimit"
)

// ErrTooMany is the problem of who asks too often.
var ErrTooMany = problem.Define(problem.RateLimited, "rate_limited", "Too many tries",
	"Nothing was done. Wait as long as Retry-After says, then try again.")

// The rules. Those of an address are generous, since many people may share one
// at an event; those of a name or a secret are tight.
var (
	ruleSignInFrom = ratelimit.Rule{Name: "sign-in-from", Burst: 30, Every: 10 * time.Second}
	ruleSignIn     = ratelimit.Rule{Name: "sign-in", Burst: 10, Every: 30 * time.Second}
	ruleSignInName = ratelimit.Rule{Name: "sign-in-name", Burst: 100, Every: 30 * time.Second}
	ruleSignUp     = ratelimit.Rule{Name: "sign-up-from", Burst: 20, Every: 30 * time.Second}
	ruleGuest      = ratelimit.Rule{Name: "guest-from", Burst: 200, Every: time.Second}
	ruleLink       = ratelimit.Rule{Name: "link-from", Burst: 30, Every: 10 * time.Second}
	ruleFree       = ratelimit.Rule{Name: "free-receipt", Burst: 10, Every: 2 * time.Minute}
	ruleMailFrom   = ratelimit.Rule{Name: "mail-from", Burst: 20, Every: 30 * time.Second}
	ruleMail       = ratelimit.Rule{Name: "mail", Burst: 3, Every: 5 * time.Minute}
	ruleCodeFrom   = ratelimit.Rule{Name: "access-code-from", Burst: 30, Every: 10 * time.Second}
	ruleCode       = ratelimit.Rule{Name: "access-code", Burst: 300, Every: 2 * time.Second}
	ruleCheckout   = ratelimit.Rule{Name: "checkout", Burst: 100, Every: 3 * time.Second}
	ruleFrom       = ratelimit.Rule{Name: "checkout-from", Burst: 200, Every: 500 * time.Millisecond}
)

// Limits bounds how often people may try what could be guessed, cost money or
// reach somebody's mailbox. The count is shared by all instances. It fails
// closed: without the database nothing that is limited works either.
type Limits struct{ DB pg.DBTX }

// SignIn counts a try at a password of an e-mail address.
func (l Limits) SignIn(ctx context.Context, email string) error {
	return l.take(ctx, ruleSignInFrom.Of(from(ctx)), ruleSignIn.Of(from(ctx)+" "+name(email)), ruleSignInName.Of(name(email)))
}

// SignUp counts an attempt to make an account.
func (l Limits) SignUp(ctx context.Context) error { return l.take(ctx, ruleSignUp.Of(from(ctx))) }

// Guest counts a guest session that somebody starts.
func (l Limits) Guest(ctx context.Context) error { return l.take(ctx, ruleGuest.Of(from(ctx))) }

// Link counts a try at a link from a mail.
func (l Limits) Link(ctx context.Context) error { return l.take(ctx, ruleLink.Of(from(ctx))) }

// Mail counts a message that a stranger has sent to an e-mail address.
func (l Limits) Mail(ctx context.Context, email string) error {
	return l.take(ctx, ruleMailFrom.Of(from(ctx)), ruleMail.Of(name(email)))
}

// FreeReceipt counts the receipt of an order that costs nothing: it is mail that
// anybody can have sent to anybody.
func (l Limits) FreeReceipt(ctx context.Context, email string) error {
	if name(email) == "" {
		return nil
	}
	return l.take(ctx, ruleFree.Of(name(email)))
}

// Checkout counts an order of a buyer. again is called when the request turned
// out to repeat an earlier one, which made nothing: whoever retries as told must
// not run into the limit.
func (l Limits) Checkout(ctx context.Context, buyer uuid.UUID) (again func(), err error) {
	return l.returnable(ctx, ruleFrom.Of(from(ctx)), ruleCheckout.Of(buyer.String()))
}

// Code counts a try at an event's access code. right is called when the code
// was right: that is no guess, and is given back.
func (l Limits) Code(ctx context.Context, eventID uuid.UUID) (right func(), err error) {
	return l.returnable(ctx, ruleCodeFrom.Of(from(ctx)+" "+eventID.String()), ruleCode.Of(eventID.String()))
}

// returnable takes, and gives back when the function that it returns is called.
func (l Limits) returnable(ctx context.Context, uses ...ratelimit.Use) (func(), error) {
	if err := l.take(ctx, uses...); err != nil {
		return nil, err
	}
	return func() {
		// What cannot be given back is one try less for a while.
		_ = ratelimit.GiveBack(ctx, l.DB, uses...)
	}, nil
}

func (l Limits) take(ctx context.Context, uses ...ratelimit.Use) error {
	d, err := ratelimit.Take(ctx, l.DB, uses...)
	if err != nil {
		return err
	}
	if h, ok := ctx.Value(answerKey{}).(http.Header); ok && d.Rule.Name != "" {
		// Fields of the IETF draft httpapi-ratelimit-headers.
		h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", d.Rule.Name, d.Rule.Burst, whole(d.Rule.Window())))
		h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", d.Rule.Name, d.Left, whole(d.Reset)))
	}
	if !d.Allowed {
		return ErrTooMany.After(max(d.RetryAfter, time.Second))
	}
	return nil
}

func whole(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// from is the network that a request came from: an IPv4 address, or the /64 of
// an IPv6 one, which a single customer has to himself.
func from(ctx context.Context) string {
	addr := obs.Client(ctx)
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	if addr == (netip.Addr{}) {
		return "unknown"
	}
	return addr.String()
}

// name is an e-mail address in the form in which two ways to write it are one.
func name(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

type answerKey struct{}

// Answering lets limits write their headers into the answer of a request.
func Answering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), answerKey{}, w.Header())))
	})
}
