package httpapi_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/edge"
	"proofroom/internal/edge/httpapi"
)

func TestBadInputIsAProblemAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.account("ada@example.com", false)
	cookie, token := w.session(ada), w.token(ada)
	good := `{"email":"new@example.com","name":"New","password":"` + password + `"`
	b64 := base64.RawURLEncoding.EncodeToString

	for name, tc := range map[string]struct {
		r      request
		status int
		code   string
		fields []string
	}{
		"no body":          {request{method: "POST", path: "/accounts"}, 400, "request.malformed", nil},
		"no JSON":          {request{method: "POST", path: "/accounts", body: "email=new@example.com"}, 400, "request.malformed", []string{"body"}},
		"cut JSON":         {request{method: "POST", path: "/accounts", body: good}, 400, "request.malformed", []string{"body"}},
		"two documents":    {request{method: "POST", path: "/accounts", body: good + `}{}`}, 400, "request.malformed", []string{"body"}},
		"NUL byte in JSON": {request{method: "POST", path: "/accounts", body: good + "\x00}"}, 400, "request.malformed", []string{"body"}},
		"a field twice":    {request{method: "POST", path: "/accounts", body: good + `,"NAME":"x"}`}, 400, "request.malformed", []string{"body"}},
		"long s for s":     {request{method: "POST", path: "/accounts", body: good + `,"paſſword":"x"}`}, 400, "request.malformed", []string{"body"}},
		"escaped NUL":      {request{method: "POST", path: "/accounts", body: strings.Replace(good, "New", `N\u0000w`, 1) + `}`}, 400, "request.malformed", []string{"body"}},
		"NUL in a name":    {request{method: "POST", path: "/accounts", body: good + `,"x\u0000":1}`}, 400, "request.malformed", []string{"body"}},
		"not UTF-8":        {request{method: "POST", path: "/accounts", body: strings.Replace(good, "New", "\xff\xfe", 1) + `}`}, 400, "request.malformed", []string{"body"}},
		"deep JSON":        {request{method: "POST", path: "/accounts", body: strings.Repeat("[", 100_000)}, 400, "request.malformed", []string{"body"}},
		"a list":           {request{method: "POST", path: "/accounts", body: "[]"}, 400, "request.types", []string{"body"}},
		"null":             {request{method: "POST", path: "/accounts", body: "null"}, 400, "request.types", []string{"body"}},
		"a wrong type":     {request{method: "POST", path: "/accounts", body: good + `,"creator":"yes"}`}, 400, "request.types", []string{"creator"}},
		"a huge number":    {request{method: "POST", path: "/accounts", body: good + `,"creator":1e400}`}, 400, "request.malformed", []string{"body"}},
		"an unknown field": {request{method: "POST", path: "/accounts", body: good + `,"roles":["operator"]}`}, 422, "request.invalid", []string{"roles"}},
		"missing fields":   {request{method: "POST", path: "/accounts", body: `{}`}, 422, "request.invalid", []string{"email", "name", "password"}},
		"a short password": {request{method: "POST", path: "/accounts", body: strings.Replace(good, password, "short", 1) + `}`}, 422, "request.invalid", []string{"password"}},
		"no address":       {request{method: "POST", path: "/accounts", body: strings.Replace(good, "new@example.com", "new", 1) + `}`}, 422, "account.invalid", []string{"email"}},
		"a taken address":  {request{method: "POST", path: "/accounts", body: strings.Replace(good, "new@", "ADA@", 1) + `}`}, 409, "account.email_taken", nil},
		"a huge body":      {request{method: "POST", path: "/accounts", body: `{"name":"` + strings.Repeat("x", 2<<20) + `"}`}, 413, "request.too_large", nil},
		"a form":           {request{method: "POST", path: "/accounts", body: "a=b", contentType: "application/x-www-form-urlencoded"}, 415, "request.content_type", nil},
		"plain text":       {request{method: "POST", path: "/accounts", body: good + "}", contentType: "text/plain"}, 415, "request.content_type", nil},
		"a broken type":    {request{method: "POST", path: "/accounts", body: good + "}", contentType: ";+"}, 415, "request.content_type", nil},

		"wrong password":      {request{method: "POST", path: "/sessions", body: `{"email":"ada@example.com","password":"wrong horse battery"}`}, 401, "account.wrong_credentials", nil},
		"unknown address":     {request{method: "POST", path: "/sessions", body: `{"email":"nobody@example.com","password":"wrong horse battery"}`}, 401, "account.wrong_credentials", nil},
		"a wrong setup token": {request{method: "POST", path: "/setup", body: good + `,"token":"set_wrong"}`}, 410, "account.setup_link", nil},

		"bad id":            {request{method: "DELETE", path: "/tokens/1", bearer: token}, 400, "request.id", []string{"id"}},
		"id in capitals":    {request{method: "DELETE", path: "/tokens/01890A5D-AC96-774B-BCCE-B302099A8057", bearer: token}, 400, "request.id", []string{"id"}},
		"id as URN":         {request{method: "DELETE", path: "/tokens/urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057", bearer: token}, 400, "request.id", []string{"id"}},
		"id with a slash":   {request{method: "DELETE", path: "/tokens/..%2f..%2fme", bearer: token}, 400, "request.id", []string{"id"}},
		"NUL in the path":   {request{method: "DELETE", path: "/tokens/%00", bearer: token}, 400, "request.text", nil},
		"NUL in the query":  {request{method: "GET", path: "/tokens?cursor=%00", bearer: token}, 400, "request.text", nil},
		"NUL beside %zz":    {request{method: "GET", path: "/tokens?cursor=%00&%zz", bearer: token}, 400, "request.text", nil},
		"query not UTF-8":   {request{method: "GET", path: "/tokens?cursor=%ff", bearer: token}, 400, "request.text", nil},
		"unknown parameter": {request{method: "GET", path: "/tokens?curser=x", bearer: token}, 422, "request.invalid", []string{"query.curser"}},
		"limit no number":   {request{method: "GET", path: "/tokens?limit=many", bearer: token}, 400, "request.types", []string{"query.limit"}},
		"limit too small":   {request{method: "GET", path: "/tokens?limit=0", bearer: token}, 422, "request.invalid", []string{"query.limit"}},
		"limit too large":   {request{method: "GET", path: "/tokens?limit=101", bearer: token}, 422, "request.invalid", []string{"query.limit"}},
		"cursor no base64":  {request{method: "GET", path: "/tokens?cursor=!!", bearer: token}, 400, "request.cursor", nil},
		"cursor no JSON":    {request{method: "GET", path: "/tokens?cursor=" + b64([]byte("x")), bearer: token}, 400, "request.cursor", nil},
		"cursor capitals":   {request{method: "GET", path: "/sessions?cursor=" + b64([]byte(`"01890A5D-AC96-774B-BCCE-B302099A8057"`)), bearer: token}, 400, "request.cursor", nil},
		"cursor no id":      {request{method: "GET", path: "/sessions?cursor=" + b64([]byte(`"x"`)), bearer: token}, 400, "request.cursor", nil},
		"cursor and more":   {request{method: "GET", path: "/sessions?cursor=" + b64([]byte(`"01890a5d-ac96-774b-bcce-b302099a8057" 1`)), bearer: token}, 400, "request.cursor", nil},
		"a long cursor":     {request{method: "GET", path: "/tokens?cursor=" + strings.Repeat("A", 501), bearer: token}, 422, "request.invalid", []string{"query.cursor"}},

		"basic credentials":      {request{method: "GET", path: "/me", header: map[string]string{"Authorization": "Basic YTpi"}}, 401, "auth.malformed", nil},
		"a bearer without token": {request{method: "GET", path: "/me", header: map[string]string{"Authorization": "Bearer"}}, 401, "auth.malformed", nil},
		"a wrong bearer where nobody needs one": {
			request{method: "POST", path: "/guest-sessions", bearer: "gst_wrong"}, 401, "account.bearer", nil,
		},

		"from another site": {
			request{method: "POST", path: "/tokens", body: `{"name":"x"}`, cookie: cookie, header: map[string]string{"Sec-Fetch-Site": "cross-site"}},
			403, "auth.cross_origin", nil,
		},
		"from a sister site": {
			request{method: "POST", path: "/tokens", body: `{"name":"x"}`, cookie: cookie, header: map[string]string{"Sec-Fetch-Site": "same-site"}},
			403, "auth.cross_origin", nil,
		},
		"from another origin, old browser": {
			request{method: "DELETE", path: "/sessions/current", cookie: cookie, header: map[string]string{"Origin": "https://evil.example"}},
			403, "auth.cross_origin", nil,
		},
		"signing in from another site": {
			request{method: "POST", path: "/sessions", body: `{"email":"ada@example.com","password":"` + password + `"}`, header: map[string]string{"Sec-Fetch-Site": "cross-site"}},
			403, "auth.cross_origin", nil,
		},
	} {
		before := w.rows()
		got := w.do(tc.r)
		require.Equal(t, tc.status, got.status, "%s: %s", name, got.body)
		p := got.problem(t)
		require.Equal(t, tc.code, p.Code, name)
		var fields []string
		for _, f := range p.Errors {
			fields = append(fields, f.Name)
			require.NotEmpty(t, f.Detail, name)
		}
		require.ElementsMatch(t, tc.fields, fields, name)
		require.NotContains(t, got.body, password, name)
		require.Equal(t, before, w.rows(), name)
	}
}

func TestOwnOriginsPass(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.account("ada@example.com", false)
	for name, h := range map[string]map[string]string{
		"same origin":          {"Sec-Fetch-Site": "same-origin"},
		"typed by hand":        {"Sec-Fetch-Site": "none"},
		"no browser":           {},
		"own host":             {"Origin": strings.TrimSuffix(w.url, httpapi.Prefix)},
		"the public address":   {"Origin": "https://photos.example.com", "Sec-Fetch-Site": "cross-site"},
		"the public, unstated": {"Origin": "https://photos.example.com"},
	} {
		got := w.do(request{method: "POST", path: "/tokens", body: `{"name":"x"}`, cookie: w.session(ada), header: h})
		require.Equal(t, http.StatusCreated, got.status, "%s: %s", name, got.body)
	}
	// No browser sends a bearer by itself, so another site cannot abuse it.
	got := w.do(request{method: "DELETE", path: "/sessions/01890a5d-ac96-774b-bcce-b302099a8057", bearer: w.token(ada), header: map[string]string{"Sec-Fetch-Site": "cross-site"}})
	require.Equal(t, http.StatusNotFound, got.status)
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	// Nobody listens on this port.
	pool, err := pg.Open(t.Context(), pg.PoolConfig{URL: "postgres://postgres@127.0.0.1:1/none"})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w.url = w.serve(services(pool))

	for _, r := range []request{
		{method: "POST", path: "/accounts", body: `{"email":"new@example.com","name":"New","password":"` + password + `"}`},
		{method: "POST", path: "/sessions", body: `{"email":"new@example.com","password":"` + password + `"}`},
		{method: "POST", path: "/guest-sessions"},
		{method: "GET", path: "/me", bearer: "prf_some"},
		{method: "GET", path: "/me", cookie: &http.Cookie{Name: "session", Value: "ses_some"}},
		{method: "GET", path: "/me", cookie: &http.Cookie{Name: "guest", Value: "gst_some"}},
	} {
		got := w.do(r)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
		require.Equal(t, "unavailable", got.problem(t).Code)
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
	require.Equal(t, http.StatusOK, w.do(request{method: "GET", path: "/docs"}).status)
}

func TestAnErrorOfOursIsLoggedOnceAndNotTold(t *testing.T) {
	t.Parallel()
	w := start(t)
	_, err := w.db.Owner.Exec(t.Context(), "ALTER TABLE guest_sessions RENAME TO elsewhere")
	require.NoError(t, err)
	got := w.do(request{method: "POST", path: "/guest-sessions"})
	require.Equal(t, http.StatusInternalServerError, got.status)
	p := got.problem(t)
	require.Equal(t, "internal", p.Code)
	require.NotContains(t, got.body, "guest_sessions")
	require.Equal(t, 1, strings.Count(w.logs.text(), p.RequestID), w.logs.text())
	require.Contains(t, w.logs.text(), "guest_sessions")
}

func TestCookiesOverHTTPS(t *testing.T) {
	t.Parallel()
	c := edge.Cookies{}.Session("ses_x", time.Now().Add(time.Hour)).String()
	require.Contains(t, c, "__Host-session=ses_x")
	for _, attribute := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		require.Contains(t, c, attribute)
	}
}
