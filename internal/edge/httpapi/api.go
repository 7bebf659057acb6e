package httpapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/media"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/flow/people"
	"proofroom/internal/flow/refund"
)

// Prefix is where the API lives.
const Prefix = "/api/v1"

// Deps are the services that the API calls, and how it is reached.
type Deps struct {
	Log     *slog.Logger
	Cookies edge.Cookies
	// Origins are trusted besides the request's own host: "https://photos.example.com".
	Origins []string

	// CommissionBps is the platform's share of sales in new events.
	CommissionBps int
	// UploadPatience is how long who uploads may send nothing; default 30 s.
	UploadPatience time.Duration

	// Limits bounds how often strangers may try.
	Limits edge.Limits

	Accounts  *account.Service
	People    *people.Service
	Catalog   *catalog.Service
	Media     *media.Service
	Checkout  *checkout.Service
	Downloads Downloads
	Refunds   *refund.Service
	Operating Operating
}

// registrations are the resources of the API, in the order of its description.
var registrations = []func(huma.API, Deps){
	registerAccounts,
	registerSessions,
	registerTokens,
	registerGuests,
	registerPeople,
	registerSetup,
	registerEvents,
	registerPhotos,
	registerUploads,
	registerCheckouts,
	registerDownloads,
	registerRefunds,
	registerOperatorInbox,
	registerOperatorOrders,
}

var errMethod = problem.Define(problem.Invalid, "request.method", "This address does not know that method",
	"The header Allow lists the methods that it knows. Nothing was done.")

// New builds the API. It panics if an operation is declared wrongly or an origin
// cannot be read, for then the program cannot start.
func New(d Deps) http.Handler {
	fail := func(w http.ResponseWriter, r *http.Request, err error) { edge.Write(w, r, d.Log, err) }
	sameOrigin, err := edge.SameOrigin(d.Origins, fail)
	if err != nil {
		panic(fmt.Sprintf("httpapi: %v", err))
	}
	root := chi.NewRouter()
	root.Route(Prefix, func(r chi.Router) {
		r.Use(
			edge.Headers("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
			edge.Text(fail),
			edge.Identify(d.Accounts, d.Cookies, fail),
			sameOrigin,
			edge.HeadAsGet,
		)
		r.NotFound(func(w http.ResponseWriter, r *http.Request) { fail(w, r, edge.ErrNotFound) })
		r.MethodNotAllowed(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed(root, req.URL.Path), ", "))
			p := edge.Explain(errMethod)
			p.Status = http.StatusMethodNotAllowed
			p.Write(w, req, d.Log)
		})
		api := humachi.New(r, config(d))
		api.UseMiddleware(limitBody)
		for _, register := range registrations {
			register(api, d)
		}
		describe(r, api.OpenAPI())
	})
	return root
}

func allowed(routes chi.Routes, path string) []string {
	var out []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), m, path) {
			out = append(out, m)
			if m == http.MethodGet {
				out = append(out, http.MethodHead)
			}
		}
	}
	return out
}

var localType = regexp.MustCompile(`·\d+`)

func config(d Deps) huma.Config {
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	c := huma.DefaultConfig("Proofroom", "1")
	c.Info.Description = "Event photographs: buy and download them, put them up, run the place. " +
		"Errors are problem documents with a stable code. Send an API token (prf_...) or a guest token (gst_...) as bearer, or the cookie of a session."
	c.Servers = []*huma.Server{{URL: Prefix}}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		// A type that is local to a function, as a type argument, is "item·3".
		return strings.TrimSuffix(localType.ReplaceAllString(huma.DefaultSchemaNamer(t, hint), ""), "Body")
	})
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
		if p, ok := v.(*edge.Problem); ok {
			_, w := humachi.Unwrap(ctx)
			p.Finish(ctx.Context(), d.Log, w.Header())
		}
		return v, nil
	}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An API token of an account, or the token of a guest session."},
		"cookie": {Type: "apiKey", In: "cookie", Name: d.Cookies.Session("", time.Time{}).Name, Description: "The session that signing in starts."},
	}
	return c
}

// describe serves the description, made once.
func describe(r chi.Router, o *huma.OpenAPI) {
	spec, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("httpapi: the description of the API: %v", err))
	}
	page := docsPage(o)
	r.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec)
	})
	r.Get("/docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", docsPolicy)
		_, _ = w.Write(page)
	})
}
