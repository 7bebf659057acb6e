package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"proofroom/internal/base/jobs"
	"proofroom/internal/base/obs"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/media"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/edge"
	"proofroom/internal/edge/httpapi"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/people"
	"proofroom/internal/flow/refund"
	"proofroom/internal/testkit/pgtest"
)

const password = "correct horse battery"

// logs collects what the server logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a running API on a database of its own.
type world struct {
	t        *testing.T
	db       *pgtest.DB
	accounts *account.Service
	url      string
	logs     *logs
}

func start(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t)
	w := &world{t: t, db: db, accounts: account.New(db.Pool), logs: &logs{}}
	w.url = w.serve(services(db.Pool))
	return w
}

// services are the real ones, without a payment provider.
func services(pool *pgxpool.Pool) httpapi.Deps {
	log := slog.New(slog.DiscardHandler)
	cfg := checkout.Config{PublicURL: "https://photos.example.com", Waits: []time.Duration{time.Minute}, GiveUp: time.Hour, Problem: edge.Render}
	queue, err := jobs.New(jobs.Config{Pool: pool})
	if err != nil {
		panic(err)
	}
	// Files in memory, and nobody who develops them.
	files := media.New(pool, media.NewStore(memblob.OpenBucket(nil)), queue, nil, media.Config{MaxBytes: 1 << 20})
	return httpapi.Deps{
		CommissionBps: 1500,
		Limits:        edge.Limits{DB: pool},
		Accounts:      account.New(pool),
		People:        people.New(pool, outbox.Store{Host: "photos.example.com"}),
		Catalog:       catalog.New(pool, catalog.Config{HasOrders: checkout.HasOrders}),
		Media:         files,
		Downloads: httpapi.Downloads{
			Photo: func(ctx context.Context, photoID uuid.UUID) (catalog.Photo, error) {
				return catalog.Store{}.Photo(ctx, pool, photoID)
			},
			Grants: entitlement.New(pool), Media: files,
		},
		Checkout: checkout.New(pool, cfg, log, nil, nil),
		Refunds:  refund.New(pool, log, nil, nil, "money", nil, nil),
		Operating: httpapi.Operating{
			Desk: inbox.NewDesk(pool, nil, inbox.NewFetcher(pool, log, nil, nil, func() {}), inbox.NewDrainer(pool, log, nil)),
			Orders: func(ctx context.Context, f order.Filter) ([]order.Found, error) {
				return order.Store{}.Search(ctx, pool, f)
			},
		},
	}
}

func (w *world) serve(d httpapi.Deps) string {
	w.t.Helper()
	d.Log, d.Cookies = obs.Log(w.logs, slog.LevelInfo), edge.Cookies{Plain: true}
	d.Origins = []string{"https://photos.example.com"}
	s := httptest.NewServer(obs.HTTP{Log: obs.Log(io.Discard, slog.LevelInfo), Metrics: obs.NewHTTPMetrics()}.Wrap(httpapi.New(d)))
	w.t.Cleanup(s.Close)
	return s.URL + httpapi.Prefix
}

// request is one call; the zero value of each field leaves it out.
type request struct {
	method, path, body, contentType string
	bearer                          string
	cookie                          *http.Cookie
	header                          map[string]string
}

type response struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(r request) response {
	w.t.Helper()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), r.method, w.url+r.path, body)
	require.NoError(w.t, err)
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	if r.cookie != nil {
		req.AddCookie(r.cookie)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return response{resp.StatusCode, resp.Header, string(b)}
}

// problem checks that the answer is a whole problem document and returns it.
func (r response) problem(t *testing.T) edge.Problem {
	t.Helper()
	require.Equal(t, edge.MediaType, r.header.Get("Content-Type"), r.body)
	var p edge.Problem
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	require.Equal(t, r.status, p.Status)
	require.Equal(t, r.header.Get(obs.RequestIDHeader), p.RequestID)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, "urn:problem-type:proofroom:"+p.Code, p.Type)
	require.Equal(t, "no-store", r.header.Get("Cache-Control"))
	return p
}

func decode[T any](t *testing.T, r response, status int) T {
	t.Helper()
	require.Equal(t, status, r.status, r.body)
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	var out T
	require.NoError(t, json.Unmarshal([]byte(r.body), &out), r.body)
	return out
}

func (w *world) account(email string, creator bool) account.Account {
	w.t.Helper()
	a, err := w.accounts.SignUp(w.t.Context(), account.NewAccount{Email: email, Name: "Somebody", Password: password, Creator: creator})
	require.NoError(w.t, err)
	return a
}

func (w *world) operator() account.Account {
	w.t.Helper()
	link, err := w.accounts.EnsureSetupLink(w.t.Context())
	require.NoError(w.t, err)
	a, err := w.accounts.UseSetupLink(w.t.Context(), link, account.NewAccount{Email: "op@example.com", Name: "Op", Password: password})
	require.NoError(w.t, err)
	return a
}

func (w *world) session(a account.Account) *http.Cookie {
	w.t.Helper()
	secret, s, err := w.accounts.NewSession(w.t.Context(), a.ID, "test")
	require.NoError(w.t, err)
	return edge.Cookies{Plain: true}.Session(secret, s.ExpiresAt)
}

func (w *world) token(a account.Account) string {
	w.t.Helper()
	secret, _, err := w.accounts.NewToken(w.t.Context(), a.ID, "test")
	require.NoError(w.t, err)
	return secret
}

func (w *world) guest() string {
	w.t.Helper()
	secret, _, err := w.accounts.NewGuest(w.t.Context())
	require.NoError(w.t, err)
	return secret
}

// rows fingerprints the whole database: the content of every table.
func (w *world) rows() string {
	w.t.Helper()
	ctx := w.t.Context()
	tables, err := w.db.Owner.Query(ctx, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'river%' AND tablename <> 'rate_limits' ORDER BY 1")
	require.NoError(w.t, err)
	var names []string
	for tables.Next() {
		var n string
		require.NoError(w.t, tables.Scan(&n))
		names = append(names, n)
	}
	require.NoError(w.t, tables.Err())
	var out strings.Builder
	for _, n := range names {
		var hash string
		sql := fmt.Sprintf("SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(x::text), '' ORDER BY md5(x::text))), '') FROM %s x", n)
		require.NoError(w.t, w.db.Owner.QueryRow(ctx, sql).Scan(&hash), n)
		fmt.Fprintln(&out, n, hash)
	}
	return out.String()
}

type accountJSON struct {
	ID, Email, Name string
	Roles           []string
	CreatedAt       time.Time `json:"created_at"`
}

type pageJSON struct {
	Items []map[string]any
	Next  string
}

// A person's whole way, as the tour in the README goes.
func TestTour(t *testing.T) {
	t.Parallel()
	w := start(t)

	made := decode[accountJSON](t, w.do(request{
		method: "POST", path: "/accounts",
		body: `{"email":"Ada@Example.com","name":"Ada","password":"` + password + `","creator":true}`,
	}), http.StatusCreated)
	require.Equal(t, "ada@example.com", made.Email)
	require.Equal(t, []string{"attendee", "creator"}, made.Roles)

	signedIn := w.do(request{method: "POST", path: "/sessions", body: `{"email":"ada@example.com","password":"` + password + `"}`})
	decode[map[string]any](t, signedIn, http.StatusCreated)
	cookies := (&http.Response{Header: signedIn.header}).Cookies()
	require.Len(t, cookies, 1)
	require.Equal(t, "session", cookies[0].Name)
	require.True(t, cookies[0].HttpOnly)
	cookie := &http.Cookie{Name: cookies[0].Name, Value: cookies[0].Value}
	require.NotContains(t, signedIn.body, cookie.Value)

	me := decode[map[string]any](t, w.do(request{method: "GET", path: "/me", cookie: cookie}), http.StatusOK)
	require.Equal(t, "account", me["kind"])
	require.Equal(t, made.ID, me["id"])

	var tokens []map[string]any
	for i := range 3 {
		body := fmt.Sprintf(`{"name":"token %d"}`, i)
		tokens = append(tokens, decode[map[string]any](t, w.do(request{method: "POST", path: "/tokens", body: body, cookie: cookie}), http.StatusCreated))
	}
	bearer := tokens[0]["token"].(string)
	require.True(t, strings.HasPrefix(bearer, "prf_"))

	// Two pages, newest first, and no secret in them.
	first := decode[pageJSON](t, w.do(request{method: "GET", path: "/tokens?limit=2", bearer: bearer}), http.StatusOK)
	require.Equal(t, []any{tokens[2]["id"], tokens[1]["id"]}, []any{first.Items[0]["id"], first.Items[1]["id"]})
	require.NotEmpty(t, first.Next)
	require.NotContains(t, first.Items[0], "token")
	second := decode[pageJSON](t, w.do(request{method: "GET", path: "/tokens?limit=2&cursor=" + first.Next, bearer: bearer}), http.StatusOK)
	require.Len(t, second.Items, 1)
	require.Equal(t, tokens[0]["id"], second.Items[0]["id"])
	require.Empty(t, second.Next)
	whole := decode[pageJSON](t, w.do(request{method: "GET", path: "/tokens?limit=3", bearer: bearer}), http.StatusOK)
	require.Empty(t, whole.Next, "a full last page is the last")

	require.Equal(t, 204, w.do(request{method: "DELETE", path: "/tokens/" + tokens[0]["id"].(string), bearer: bearer}).status)
	require.Equal(t, "account.bearer", w.do(request{method: "GET", path: "/me", bearer: bearer}).problem(t).Code)
	again := w.do(request{method: "DELETE", path: "/tokens/" + tokens[0]["id"].(string), cookie: cookie})
	require.Equal(t, 404, again.status)
	require.Equal(t, "account.not_found", again.problem(t).Code)

	sessions := decode[pageJSON](t, w.do(request{method: "GET", path: "/sessions", cookie: cookie}), http.StatusOK)
	require.Len(t, sessions.Items, 1)
	require.Equal(t, true, sessions.Items[0]["current"])

	out := w.do(request{method: "DELETE", path: "/sessions/current", cookie: cookie})
	require.Equal(t, 204, out.status)
	require.Contains(t, out.header.Get("Set-Cookie"), "Max-Age=0")
	require.Equal(t, 401, w.do(request{method: "GET", path: "/me", cookie: cookie}).status, "the cookie is dead on the server, too")

	guest := decode[map[string]any](t, w.do(request{method: "POST", path: "/guest-sessions"}), http.StatusCreated)
	me = decode[map[string]any](t, w.do(request{method: "GET", path: "/me", bearer: guest["token"].(string)}), http.StatusOK)
	require.Equal(t, "guest", me["kind"])
	require.Equal(t, guest["id"], me["id"])
	require.Empty(t, me["roles"])

	link, err := w.accounts.EnsureSetupLink(t.Context())
	require.NoError(t, err)
	setup := `{"token":"` + link + `","email":"op@example.com","name":"Op","password":"` + password + `"}`
	op := decode[accountJSON](t, w.do(request{method: "POST", path: "/setup", body: setup}), http.StatusCreated)
	require.Contains(t, op.Roles, "operator")
	used := w.do(request{method: "POST", path: "/setup", body: setup})
	require.Equal(t, 410, used.status)
	require.Equal(t, "account.setup_link", used.problem(t).Code)

	// None of the secrets got into the log.
	for _, secret := range []string{password, cookie.Value, bearer, guest["token"].(string), link} {
		require.NotContains(t, w.logs.text(), secret)
	}
}

func TestOthersThingsAreNotFound(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, bob := w.account("ada@example.com", false), w.account("bob@example.com", false)
	bobs := w.token(bob)
	_, token, err := w.accounts.NewToken(t.Context(), ada.ID, "ada's")
	require.NoError(t, err)
	_, session, err := w.accounts.NewSession(t.Context(), ada.ID, "ada's")
	require.NoError(t, err)
	before := w.rows()
	for _, path := range []string{"/tokens/" + token.ID.String(), "/sessions/" + session.ID.String()} {
		got := w.do(request{method: "DELETE", path: path, bearer: bobs})
		require.Equal(t, 404, got.status)
		require.Equal(t, "account.not_found", got.problem(t).Code)
	}
	require.Equal(t, before, w.rows())
}
