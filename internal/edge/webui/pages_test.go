package webui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/edge"
	"proofroom/internal/edge/webui"
)

func TestEventWithCode(t *testing.T) {
	t.Parallel()
	w := start(t)
	e := w.newEvent("Beach party", catalog.WithCode, catalog.PriceList{Currency: "EUR", Photo: 500})
	photo := w.stock(e, 1)[0]
	b := w.browser()
	picture := "/e/" + e.Slug + "/p/" + photo.String() + "/480"
	b.get("/e/"+e.Slug).want(t, 200, "The code that the photographer gave out").not(t, "Beach party", photo.String())
	b.get(picture).want(t, 403)
	b.get("/e/"+e.Slug+"/checkout?photo="+photo.String()).want(t, 403)
	b.post("/e/"+e.Slug+"/code", url.Values{"code": {"WRONG"}}).want(t, 403, "That is not the access code")
	b.get(picture).want(t, 403)

	b.post("/e/"+e.Slug+"/code", url.Values{"code": {" sand-42 "}}).want(t, 303)
	b.get("/e/"+e.Slug).want(t, 200, "Beach party", photo.String())
	b.get(picture).want(t, 200)
	f := b.get("/e/"+e.Slug+"/checkout?photo="+photo.String()).want(t, 200, "€5.00").form()
	f.Set("email", "guest@example.com")
	b.post("/e/"+e.Slug+"/checkout", f).want(t, 303)

	// The code changes: the cookie opens nothing any more, and says so.
	w.owner("UPDATE events SET access_code = 'OTHER' WHERE id = $1", e.ID)
	b.get("/e/"+e.Slug).want(t, 403, "That is not the access code")
	b.get("/e/no-such-event").want(t, 404, "No such event")
}

func TestPictures(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	path := "/e/" + w.event.Slug + "/p/" + w.photos[0].String() + "/480"
	got := b.get(path).want(t, 200)
	require.Equal(t, string(w.picture), got.body)
	require.Equal(t, "image/jpeg", got.header.Get("Content-Type"))
	require.Equal(t, "private, no-cache", got.header.Get("Cache-Control"))
	require.Equal(t, 304, b.send("GET", path, nil, map[string]string{"If-None-Match": got.header.Get("ETag")}).status)
	require.Empty(t, b.send("HEAD", path, nil, nil).want(t, 200).body)

	other := w.newEvent("Elsewhere", catalog.Public, catalog.PriceList{Currency: "EUR", Photo: 500})
	for _, p := range []string{
		"/e/" + w.event.Slug + "/p/" + w.photos[0].String() + "/original",
		"/e/" + w.event.Slug + "/p/" + w.photos[0].String() + "/960", // not made here
		"/e/" + w.event.Slug + "/p/" + id.New().String() + "/480",
		"/e/" + w.event.Slug + "/p/x/480",
		"/e/" + other.Slug + "/p/" + w.photos[0].String() + "/480",
	} {
		b.get(p).want(t, 404)
	}
	w.owner("UPDATE photos SET hidden_at = app_now() WHERE id = $1", w.photos[0])
	require.Equal(t, 404, b.send("GET", path, nil, map[string]string{"If-None-Match": got.header.Get("ETag")}).status, "taken down at once")
	b.get("/e/"+w.event.Slug).want(t, 200).not(t, w.photos[0].String())
}

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	b.get("/signup").want(t, 200, "Password, at least 10 characters")
	bad := b.post("/signup", url.Values{"name": {" "}, "email": {"ada"}, "password": {"secretword"}, "creator": {"1"}}).
		want(t, 422, "A name is needed", "This is not an e-mail address").not(t, "secretword")
	require.True(t, strings.Contains(bad.body, " checked"), "what was entered stays")
	b.post("/signup", url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "password": {password}}).want(t, 303)
	b.get("/").want(t, 200, "Ada", "Sign out").not(t, "Sign in")

	out := b.post("/signout", url.Values{}).want(t, 303)
	require.Contains(t, out.header.Get("Set-Cookie"), "session=;")
	require.Equal(t, 1, w.count("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"))
	b.get("/").want(t, 200, "Sign in")
	b.post("/signout", url.Values{}).want(t, 303) // once more does no harm

	b.post("/signup", url.Values{"name": {"Eve"}, "email": {"ADA@example.com"}, "password": {password}}).want(t, 409, "This e-mail address has an account")
	wrong := b.post("/signin", url.Values{"email": {"ada@example.com"}, "password": {"wrong horse battery"}}).
		want(t, 401, "The e-mail address or the password is wrong", "ada@example.com").not(t, "wrong horse")
	require.Empty(t, wrong.header.Get("Set-Cookie"))
	unknown := b.post("/signin", url.Values{"email": {"nobody@example.com"}, "password": {"wrong horse battery"}}).want(t, 401)
	require.Equal(t, strings.ReplaceAll(wrong.body, "ada@", "nobody@"), unknown.body, "nothing tells whether there is an account")

	b.send("POST", "/signin", url.Values{"email": {"ada@example.com"}, "password": {password}}, map[string]string{"Sec-Fetch-Site": "cross-site"}).want(t, 403)
	for next, want := range map[string]string{
		"/o/1?from=paid":         "/o/1?from=paid",
		"":                       "/library",
		"https://evil.example/":  "/library",
		"//evil.example/":        "/library",
		`/\evil.example`:         "/library",
		"javascript:alert(1)":    "/library",
		"/\t/evil.example":       "/library",
		"/library?before=%2Fx#y": "/library?before=%2Fx#y",
	} {
		got := b.post("/signin", url.Values{"email": {"ada@example.com"}, "password": {password}, "next": {next}}).want(t, 303)
		require.Equal(t, want, got.header.Get("Location"), next)
	}
}

func TestSetupLink(t *testing.T) {
	t.Parallel()
	w := start(t)
	link, err := w.accounts.EnsureSetupLink(t.Context())
	require.NoError(t, err)
	b := w.browser()
	b.get("/setup/set_wrong").want(t, 410, "This link does not work any more")
	b.get("/setup/"+link).want(t, 200, "You become the first operator")
	b.post("/setup/"+link, url.Values{"name": {"Op"}, "email": {"op@example.com"}, "password": {"short"}}).want(t, 422, "A password has at least 10 characters")
	b.post("/setup/"+link, url.Values{"name": {"Op"}, "email": {"op@example.com"}, "password": {password}}).want(t, 303)
	b.get("/").want(t, 200, "Op", "Sign out")
	require.Equal(t, 1, w.count("SELECT count(*) FROM accounts WHERE 'operator' = ANY (roles)"))
	b.get("/setup/"+link).want(t, 410)
	w.browser().post("/setup/"+link, url.Values{"name": {"Eve"}, "email": {"eve@example.com"}, "password": {password}}).want(t, 410)
	require.Equal(t, 1, w.count("SELECT count(*) FROM accounts WHERE 'operator' = ANY (roles)"))

	w.logsLock.Lock()
	defer w.logsLock.Unlock()
	require.False(t, strings.Contains(w.logs.String(), link), "the link is a secret")
	require.False(t, strings.Contains(w.logs.String(), password))
}

func TestOperatorSeesOrders(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	f := b.review(w.photos[0]).form()
	f.Set("email", "guest@example.com")
	b.post("/e/"+w.event.Slug+"/checkout", f).want(t, 303)
	var orderID uuid.UUID
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), "SELECT id FROM orders").Scan(&orderID))

	for _, role := range []account.Role{account.Creator, account.Operator} {
		email := string(role) + "-2@example.com"
		_, _, err := w.accounts.Provision(t.Context(), email, password, "test", []account.Role{role})
		require.NoError(t, err)
		who := w.browser()
		who.post("/signin", url.Values{"email": {email}, "password": {password}}).want(t, 303)
		if role == account.Operator {
			who.get("/o/"+orderID.String()).want(t, 200, "Waiting for payment")
		} else {
			who.get("/o/"+orderID.String()).want(t, 404)
		}
	}
	require.Equal(t, "/e/"+w.event.Slug, nextLink(b.get("/e/"+w.event.Slug+"/checkout").want(t, 422, "Nothing is chosen yet")))
	b.get("/o/x").want(t, 404)
	b.get("/o/"+id.New().String()).want(t, 404)
}

func TestHeadersOfPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.browser()
	for path, status := range map[string]int{"/": 200, "/nowhere": 404, "/library": 200, "/signin": 200, "/e/" + w.event.Slug: 200} {
		h := b.get(path).want(t, status).header
		csp := h.Get("Content-Security-Policy")
		require.True(t, strings.HasPrefix(csp, "default-src 'none'"), csp)
		require.Contains(t, csp, "form-action 'self' "+w.twinURL)
		require.NotContains(t, csp, "script-src")
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"))
		require.Equal(t, "no-store", h.Get("Cache-Control"))
		require.Equal(t, "text/html; charset=utf-8", h.Get("Content-Type"))
		require.NotEmpty(t, h.Get(obs.RequestIDHeader))
	}
	home := b.get("/")
	_, after, ok := strings.Cut(home.body, `<link rel="stylesheet" href="`)
	require.True(t, ok)
	path, _, _ := strings.Cut(after, `"`)
	css := b.get(path).want(t, 200)
	require.Equal(t, "text/css; charset=utf-8", css.header.Get("Content-Type"))
	require.Contains(t, css.header.Get("Cache-Control"), "immutable")
	b.get("/e/%00").want(t, 400)
}

// What people write is shown as text.
func TestTextIsEscaped(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.owner("UPDATE events SET title = '<script>alert(1)</script>', description = '<img src=x onerror=alert(1)>' WHERE id = $1", w.event.ID)
	w.owner(`UPDATE photos SET name = '"><script>alert(1)</script>' WHERE id = $1`, w.photos[0])
	b := w.browser() // refuses pages with a script element
	for _, path := range []string{"/", "/e/" + w.event.Slug, "/e/" + w.event.Slug + "/checkout?photo=" + w.photos[0].String()} {
		got := b.get(path).want(t, 200, "<script>alert(1)</script>")
		require.False(t, strings.Contains(got.body, "<img src=x"))
	}
	b.get("/signin?next="+url.QueryEscape(`"><script>`)).want(t, 200)
	b.post("/signin", url.Values{"email": {`"><script>`}, "password": {"x"}}).want(t, 401)
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	// Nobody listens on this port.
	pool, err := pg.Open(t.Context(), pg.PoolConfig{URL: "postgres://postgres@127.0.0.1:1/none"})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w.serve(webui.New(webui.Deps{
		Log: obs.Log(w, nil), Cookies: edge.Cookies{Plain: true}, Limits: edge.Limits{DB: pool}, Pool: pool, Accounts: account.New(pool), Catalog: catalog.New(pool, catalog.Config{}),
	}))
	b := w.browser()
	for _, path := range []string{"/", "/e/" + w.event.Slug} {
		got := b.get(path).want(t, http.StatusServiceUnavailable, "Not available at the moment", "Request id")
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
	b.post("/signup", url.Values{"name": {"Ada"}, "email": {"ada@example.com"}, "password": {password}}).want(t, http.StatusServiceUnavailable)
	got := b.send("GET", "/library", nil, map[string]string{"Cookie": "session=ses_x"})
	require.Equal(t, http.StatusServiceUnavailable, got.status, "not knowing who asks is no reason to say that nobody does")
	b.get("/signin").want(t, 200)
}
