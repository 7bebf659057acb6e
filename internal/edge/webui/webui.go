package webui

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/media"
	"proofroom/internal/core/order"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/flow/people"
)

// Checkout makes and shows orders; *checkout.Service does.
type Checkout interface {
	Create(ctx context.Context, in checkout.Input) (checkout.Answer, error)
	Ways(currency string, minor int64, country string) []checkout.Way
	Refresh(ctx context.Context, orderID uuid.UUID) error
	Order(ctx context.Context, orderID uuid.UUID) (*order.Facts, error)
}

// Pictures opens what the darkroom made; *media.Service does.
type Pictures interface {
	OpenDerivative(ctx context.Context, photoID uuid.UUID, kind media.Kind) (*media.File, error)
}

// Deps are the services that the pages show, and how they are reached.
type Deps struct {
	Log     *slog.Logger
	Cookies edge.Cookies
	// Origins are trusted besides the request's own host: "https://photos.example.com".
	Origins []string
	// PayOrigins are where the checkout form may lead: "https://checkout.stripe.com".
	PayOrigins []string

	// Limits bounds how often strangers may try.
	Limits edge.Limits

	Pool     *pgxpool.Pool // for reading
	Accounts *account.Service
	People   *people.Service
	Catalog  *catalog.Service
	Pictures Pictures
	Checkout Checkout
	// Original is the address of a photograph's original, which checks the grant.
	Original func(photoID uuid.UUID) string
	// Operating is for the pages of operators.
	Operating Operating
}

type ui struct {
	Deps
	catalogStore catalog.Store
	grants       entitlement.Store
}

//go:embed style.css
var style []byte

// stylePath changes with the style sheet, so browsers may keep it for ever.
var stylePath = func() string {
	sum := sha256.Sum256(style)
	return "/static/style-" + hex.EncodeToString(sum[:8]) + ".css"
}()

// New builds the pages. It panics if an origin cannot be read, for then the
// program cannot start.
func New(d Deps) http.Handler {
	u := &ui{Deps: d}
	sameOrigin, err := edge.SameOrigin(d.Origins, u.fail)
	if err != nil {
		panic(fmt.Sprintf("webui: %v", err))
	}
	r := chi.NewRouter()
	r.Use(
		edge.Headers("default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+
			strings.Join(append([]string{"'self'"}, d.PayOrigins...), " ")),
		edge.Text(u.fail),
		edge.Identify(d.Accounts, d.Cookies, u.fail),
		sameOrigin,
		edge.HeadAsGet,
	)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { u.fail(w, r, edge.ErrNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { u.fail(w, r, edge.ErrNotFound) })

	get := func(path string, h handler) { r.Get(path, u.serve(h)) }
	post := func(path string, h handler) { r.Post(path, u.serve(h)) }
	get("/", u.home)
	get("/e/{slug}", u.event)
	post("/e/{slug}/code", u.enterCode)
	get("/e/{slug}/p/{photo}/{kind}", u.picture)
	get("/e/{slug}/checkout", u.review)
	post("/e/{slug}/checkout", u.buy)
	get("/o/{id}", u.order)
	post("/o/{id}/check", u.checkOrder)
	get("/library", u.library)
	get("/library/{event}", u.libraryEvent)
	get("/signin", u.signInPage)
	post("/signin", u.signIn)
	get("/signin/link", u.askLinkPage)
	post("/signin/link", u.askLink)
	get("/find", u.findPage)
	post("/find", u.find)
	get("/link/{token}", u.linkPage)
	post("/link/{token}", u.useLink)
	get("/account", u.accountPage)
	post("/account/password", u.setPassword)
	post("/account/claim", u.askClaim)
	post("/o/{id}/receipt", u.sendReceipt)
	get("/signup", u.signUpPage)
	post("/signup", u.signUp)
	post("/signout", u.signOut)
	get("/setup/{token}", u.setupPage)
	post("/setup/{token}", u.setup)
	u.operate(get, post)
	r.Get("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	r.Get(stylePath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(style)
	})
	return r
}

// handler answers a request or says why not.
type handler func(http.ResponseWriter, *http.Request) error

func (u *ui) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			u.fail(w, r, err)
		}
	}
}

// fail shows the problem that err is.
func (u *ui) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := edge.Explain(err)
	if p.Code == edge.ErrSignIn.Code || p.Code == edge.ErrAccountNeeded.Code {
		p.Link = "/signin"
		if r.Method == http.MethodGet {
			p.Link += "?next=" + query(r.URL.RequestURI())
		}
	}
	u.showProblem(w, r, p)
}

func (u *ui) showProblem(w http.ResponseWriter, r *http.Request, p *edge.Problem) {
	p.Finish(r.Context(), u.Log, w.Header())
	u.write(w, r, p.Status, p.Title, problemPage(*p))
}

// show answers with a page.
func (u *ui) show(w http.ResponseWriter, r *http.Request, title string, content templ.Component) error {
	u.write(w, r, http.StatusOK, title, content)
	return nil
}

// refused shows a form again with what is wrong with it.
func (u *ui) refused(w http.ResponseWriter, r *http.Request, err error, title string, form func(*edge.Problem) templ.Component) error {
	p := edge.Explain(err)
	if p.Status >= http.StatusInternalServerError {
		return err
	}
	p.Finish(r.Context(), u.Log, w.Header())
	u.write(w, r, p.Status, title, form(p))
	return nil
}

func (u *ui) write(w http.ResponseWriter, r *http.Request, status int, title string, content templ.Component) {
	// Whole or not at all: a page that fails half-way must not look complete.
	var b bytes.Buffer
	if err := layout(title, edge.Actor(r.Context())).Render(templ.WithChildren(r.Context(), content), &b); err != nil {
		u.Log.ErrorContext(r.Context(), "a page cannot be rendered", "title", title, "error", err)
		http.Error(w, "This page cannot be shown. It was logged; nothing was changed.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the client went away
}

var errForm = problem.Define(problem.Invalid, "form.unreadable", "The form cannot be read",
	"It was not sent by this page, or is too large. Nothing was done; go back, load the page again and send it once more.")

// form reads a form of at most 1 MiB, all of it text.
func form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(ct) != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return nil, errForm.Because(err)
	}
	for _, values := range r.PostForm {
		for _, v := range values {
			if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
				return nil, errForm
			}
		}
	}
	return r.PostForm, nil
}

// localPath keeps a place to go on within this site, in the form in which a
// browser asks for it; anything else becomes the library.
func localPath(s string) string {
	u, err := url.Parse(s)
	strange := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' })
	if err != nil || strange || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return "/library"
	}
	return s
}

func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// by is who asks, as the catalogue knows people.
func by(a account.Actor) catalog.By {
	return catalog.By{ID: a.AccountID, Operator: a.Has(account.Operator)}
}

// pathID reads an id from the address; a malformed one names nothing.
func pathID(r *http.Request, name string) (uuid.UUID, error) {
	s := chi.URLParam(r, name)
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return uuid.Nil, edge.ErrNotFound
	}
	return u, nil
}
