package httpapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
)

// spec is the part of the description that the tests below read.
type spec struct {
	OpenAPI string `json:"openapi"`
	Servers []struct{ URL string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Tags        []string
		Access      string `json:"x-access"`
		Responses   map[string]struct {
			Content map[string]any
		}
	}
}

func (w *world) spec() spec {
	w.t.Helper()
	got := w.do(request{method: "GET", path: "/openapi.json"})
	require.Equal(w.t, http.StatusOK, got.status)
	var s spec
	require.NoError(w.t, json.Unmarshal([]byte(got.body), &s))
	return s
}

var pathParam = regexp.MustCompile(`\{[a-z_]+\}`)

// Every operation that the API describes, called by everybody. What may not be
// called answers with the right problem and changes nothing, whatever it is
// given; the rest gets past that check. A new route is covered by being there.
func TestEveryRouteForEverybody(t *testing.T) {
	t.Parallel()
	w := start(t)
	attendee, creator, operator := w.account("att@example.com", false), w.account("cre@example.com", true), w.operator()

	// What each caller is told, by the access of the operation. Empty: passes.
	callers := []struct {
		name    string
		as      func(*request)
		refused map[string]string
	}{
		{"stranger", func(*request) {}, map[string]string{
			"account or guest": "auth.needed", "account": "auth.needed", "account, signed in with a password": "auth.needed",
			"creator": "auth.needed", "operator": "auth.needed",
		}},
		{"dead cookie", func(r *request) { r.cookie = &http.Cookie{Name: "session", Value: "ses_dead"} }, map[string]string{
			"account or guest": "auth.needed", "account": "auth.needed", "account, signed in with a password": "auth.needed",
			"creator": "auth.needed", "operator": "auth.needed",
		}},
		{"wrong bearer", func(r *request) { r.bearer = "prf_wrong" }, map[string]string{
			"everybody": "account.bearer", "account or guest": "account.bearer", "account": "account.bearer",
			"account, signed in with a password": "account.bearer", "creator": "account.bearer", "operator": "account.bearer",
		}},
		{"guest", func(r *request) { r.bearer = w.guest() }, map[string]string{
			"account": "auth.account_needed", "account, signed in with a password": "auth.account_needed",
			"creator": "auth.account_needed", "operator": "auth.account_needed",
		}},
		{"attendee", func(r *request) { r.cookie = w.session(attendee) }, map[string]string{"creator": "auth.role", "operator": "auth.role"}},
		{"attendee's token", func(r *request) { r.bearer = w.token(attendee) }, map[string]string{
			"account, signed in with a password": "auth.session_needed", "creator": "auth.role", "operator": "auth.role",
		}},
		{"creator", func(r *request) { r.cookie = w.session(creator) }, map[string]string{"operator": "auth.role"}},
		{"operator", func(r *request) { r.cookie = w.session(operator) }, nil},
	}
	s := w.spec()
	require.Equal(t, "3.1.0", s.OpenAPI)
	require.Equal(t, "/api/v1", s.Servers[0].URL)
	seen := 0
	for path, item := range s.Paths {
		for method, op := range item {
			require.NotEmpty(t, op.OperationID)
			require.NotEmpty(t, op.Summary, op.OperationID)
			require.NotEmpty(t, op.Tags, op.OperationID)
			require.NotEmpty(t, op.Access, "%s: register it with the register of this package", op.OperationID)
			require.Contains(t, op.Responses["default"].Content, "application/problem+json", op.OperationID)
			for _, c := range callers {
				r := request{method: strings.ToUpper(method), path: pathParam.ReplaceAllString(path, id.New().String())}
				if r.method != http.MethodGet {
					r.body = "this is not even JSON" // who may not call must not learn that
				}
				c.as(&r)
				before := w.rows()
				got := w.do(r)
				where := c.name + " on " + op.OperationID + ": " + got.body
				want, refused := c.refused[op.Access]
				if !refused {
					require.NotEqual(t, http.StatusUnauthorized, got.status, where)
					require.NotEqual(t, http.StatusForbidden, got.status, where)
					require.Less(t, got.status, 500, where)
					continue
				}
				p := got.problem(t)
				require.Equal(t, want, p.Code, where)
				if got.status == http.StatusUnauthorized {
					require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer", where)
				}
				require.Equal(t, before, w.rows(), where)
				seen++
			}
		}
	}
	require.Greater(t, seen, 30)
}

// An outsider's reader accepts the description.
func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	w := start(t)
	got := w.do(request{method: "GET", path: "/openapi.json"})
	require.Equal(t, "application/openapi+json", got.header.Get("Content-Type"))
	doc, err := openapi3.NewLoader().LoadFromData([]byte(got.body))
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
}

func TestHeadersOnEveryAnswer(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, r := range []request{
		{method: "GET", path: "/openapi.json"},
		{method: "GET", path: "/docs"},
		{method: "GET", path: "/me"},
		{method: "GET", path: "/nowhere"},
		{method: "PUT", path: "/me"},
		{method: "POST", path: "/accounts", body: "{"},
		{method: "GET", path: "/me", bearer: "prf_wrong"},
	} {
		h := w.do(r).header
		require.True(t, strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'"), r.path)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", r.path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), r.path)
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"), r.path)
		require.Equal(t, "no-store", h.Get("Cache-Control"), r.path)
		require.Len(t, h.Get("X-Request-Id"), 20, r.path)
	}
}

func TestNoSuchPlace(t *testing.T) {
	t.Parallel()
	w := start(t)
	require.Equal(t, "not_found", w.do(request{method: "GET", path: "/nowhere"}).problem(t).Code)
	require.Equal(t, "not_found", w.do(request{method: "GET", path: ""}).problem(t).Code)

	got := w.do(request{method: "PUT", path: "/tokens"})
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "request.method", got.problem(t).Code)
	require.Equal(t, "GET, HEAD, POST", got.header.Get("Allow"))

	head := w.do(request{method: "HEAD", path: "/openapi.json"})
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
}

// The page about the API works without any other file and without script.
func TestDocsPageStandsAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	got := w.do(request{method: "GET", path: "/docs"})
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "text/html; charset=utf-8", got.header.Get("Content-Type"))
	page := strings.ToLower(got.body)
	for _, never := range []string{"<script", "src=", "<link", "@import", "url(", "http://", "https://", "onclick"} {
		require.False(t, strings.Contains(page, never), never)
	}
	require.NotContains(t, got.header.Get("Content-Security-Policy"), "unsafe")
	require.NotContains(t, got.header.Get("Content-Security-Policy"), "script")
	require.Contains(t, got.header.Get("Content-Security-Policy"), "style-src 'sha256-")
	for path, item := range w.spec().Paths {
		require.True(t, strings.Contains(got.body, path), path)
		for _, op := range item {
			require.True(t, strings.Contains(got.body, `id="`+op.OperationID+`"`), op.OperationID)
			require.True(t, strings.Contains(got.body, `href="#`+op.OperationID+`"`), op.OperationID)
		}
	}
	require.True(t, strings.Contains(page, "at least 10 characters"))
}
