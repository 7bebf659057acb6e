package edge

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
)

// The problems of who is asking.
var (
	ErrSignIn = problem.Define(problem.Unauthenticated, "auth.needed", "Sign in first",
		"This needs an account or a guest session, and the request carries neither. Nothing was done.")
	ErrAccountNeeded = problem.Define(problem.Forbidden, "auth.account_needed", "An account is needed",
		"A guest cannot do this. Nothing was done; sign up or sign in, then try again.")
	ErrSessionNeeded = problem.Define(problem.Forbidden, "auth.session_needed", "Sign in with a password",
		"An API token cannot do this, so that a lost token cannot make others. Nothing was done; sign in with e-mail and password.")
	ErrRole = problem.Define(problem.Forbidden, "auth.role", "Not allowed",
		"Your account does not have the role that this needs. Nothing was done.")
	ErrCrossOrigin = problem.Define(problem.Forbidden, "auth.cross_origin", "Sent from another site",
		"The browser says that another site sent this request. Nothing was done; use the form on this site.")
	errAuthorization = problem.Define(problem.Unauthenticated, "auth.malformed", "The Authorization header cannot be read",
		"It must be: Authorization: Bearer, a space, and the token. Nothing was done.")
)

// Resolver finds out who sends credentials; account.Service does.
type Resolver interface {
	Resolve(ctx context.Context, c account.Credentials) (account.Actor, error)
}

type actorKey struct{}

// WithActor returns a context in which who is asking.
func WithActor(ctx context.Context, who account.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// Actor is who is asking; the zero Actor is a stranger.
func Actor(ctx context.Context) account.Actor {
	a, _ := ctx.Value(actorKey{}).(account.Actor)
	return a
}

type guestKey struct{}

// GuestSecret is the secret of the guest session that the request carries,
// whoever else is asking; empty without one. Whoever signs in with it takes over
// what the guest bought.
func GuestSecret(ctx context.Context) string {
	s, _ := ctx.Value(guestKey{}).(string)
	return s
}

// RequireActor returns who is asking, account or guest, or ErrSignIn.
func RequireActor(ctx context.Context) (account.Actor, error) {
	a := Actor(ctx)
	if !a.Known() {
		return account.Actor{}, ErrSignIn
	}
	return a, nil
}

// RequireAccount is RequireActor that refuses guests with ErrAccountNeeded.
func RequireAccount(ctx context.Context) (account.Actor, error) {
	a, err := RequireActor(ctx)
	if err != nil {
		return account.Actor{}, err
	}
	if a.Kind != account.KindAccount {
		return account.Actor{}, ErrAccountNeeded
	}
	return a, nil
}

// RequireSession is RequireAccount that refuses API tokens with
// ErrSessionNeeded.
func RequireSession(ctx context.Context) (account.Actor, error) {
	a, err := RequireAccount(ctx)
	if err != nil {
		return account.Actor{}, err
	}
	if a.SessionID == ([16]byte{}) {
		return account.Actor{}, ErrSessionNeeded
	}
	return a, nil
}

// RequireRole is RequireAccount that refuses accounts without the role with
// ErrRole.
func RequireRole(ctx context.Context, role account.Role) (account.Actor, error) {
	a, err := RequireAccount(ctx)
	if err != nil {
		return account.Actor{}, err
	}
	if !a.Has(role) {
		return account.Actor{}, ErrRole
	}
	return a, nil
}

// Identify puts who is asking into the request's context. fail answers a request
// whose credentials are not valid or could not be looked up.
func Identify(accounts Resolver, cookies Cookies, fail func(http.ResponseWriter, *http.Request, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := account.Credentials{Session: cookies.session(r), Guest: cookies.guest(r)}
			if h := r.Header.Get("Authorization"); h != "" {
				scheme, token, ok := strings.Cut(h, " ")
				if !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
					fail(w, r, errAuthorization)
					return
				}
				c = account.Credentials{Bearer: token}
			}
			if c == (account.Credentials{}) {
				next.ServeHTTP(w, r)
				return
			}
			who, err := accounts.Resolve(r.Context(), c)
			if err != nil {
				fail(w, r, err)
				return
			}
			ctx := WithActor(r.Context(), who)
			if guest := cmp.Or(c.Bearer, c.Guest); strings.HasPrefix(guest, account.GuestPrefix) {
				ctx = context.WithValue(ctx, guestKey{}, guest)
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// SameOrigin refuses requests that could change something and that a browser
// says another origin sent. A request with a bearer token passes, since no
// browser adds one by itself. origins are trusted besides the request's own
// host: the public URL, where a proxy changes the host.
func SameOrigin(origins []string, fail func(http.ResponseWriter, *http.Request, error)) (func(http.Handler) http.Handler, error) {
	check := http.NewCrossOriginProtection()
	for _, o := range origins {
		if err := check.AddTrustedOrigin(o); err != nil {
			return nil, err
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				if err := check.Check(r); err != nil {
					fail(w, r, ErrCrossOrigin.Because(err))
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// codeLifetime is how long a browser keeps an access code.
const codeLifetime = 30 * 24 * time.Hour

// Cookies names the cookies of a server.
type Cookies struct {
	// Plain is for a server reached over plain http, as in a demonstration:
	// the names lose the prefix that browsers accept over https only.
	Plain bool
}

func (c Cookies) name(base string) string {
	if c.Plain {
		return base
	}
	return "__Host-" + base
}

func (c Cookies) read(r *http.Request, base string) string {
	k, err := r.Cookie(c.name(base))
	if err != nil {
		return ""
	}
	return k.Value
}

func (c Cookies) session(r *http.Request) string { return c.read(r, "session") }
func (c Cookies) guest(r *http.Request) string   { return c.read(r, "guest") }

// Session is the cookie of a session that ends at until; an empty secret
// deletes it.
func (c Cookies) Session(secret string, until time.Time) *http.Cookie {
	return c.cookie("session", secret, until)
}

// Guest is the cookie of a guest session.
func (c Cookies) Guest(secret string, until time.Time) *http.Cookie {
	return c.cookie("guest", secret, until)
}

// Code is the cookie that keeps the access code of one event, sent with that
// event's pages only.
func (c Cookies) Code(slug, code string) *http.Cookie {
	k := c.cookie("code", base64.RawURLEncoding.EncodeToString([]byte(code)), time.Now().Add(codeLifetime))
	k.Name, k.Path = c.codeName(), "/e/"+slug
	return k
}

// AccessCode is the access code that the request's cookie keeps.
func (c Cookies) AccessCode(r *http.Request) string {
	k, err := r.Cookie(c.codeName())
	if err != nil {
		return ""
	}
	code, err := base64.RawURLEncoding.DecodeString(k.Value)
	if err != nil || !utf8.Valid(code) {
		return ""
	}
	return string(code)
}

// A cookie with a path of its own cannot have the prefix __Host-.
func (c Cookies) codeName() string {
	if c.Plain {
		return "code"
	}
	return "__Secure-code"
}

func (c Cookies) cookie(base, secret string, until time.Time) *http.Cookie {
	k := &http.Cookie{
		Name: c.name(base), Value: secret, Path: "/", Expires: until,
		// Lax, not Strict: people come back from the payment page by a link.
		HttpOnly: true, Secure: !c.Plain, SameSite: http.SameSiteLaxMode,
	}
	if secret == "" {
		k.Expires, k.MaxAge = time.Time{}, -1
	}
	return k
}
