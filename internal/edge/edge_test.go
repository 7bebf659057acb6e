package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	kinds := map[problem.Kind]int{
		problem.Invalid: 400, problem.Unauthenticated: 401, problem.Forbidden: 403, problem.NotFound: 404, problem.Conflict: 409,
		problem.Gone: 410, problem.TooLarge: 413, problem.Unprocessable: 422, problem.RateLimited: 429, problem.Internal: 500,
		problem.Upstream: 502, problem.Unavailable: 503, problem.Kind("unheard of"): 500,
	}
	for kind, status := range kinds {
		p := problem.Define(kind, "a.code", "A title", "A detail.")
		got := edge.Explain(fmt.Errorf("while doing it: %w", p.WithFields(problem.Field{Name: "f", Detail: "d"}).WithLink("/there")))
		require.Equal(t, status, got.Status, kind)
		require.Equal(t, "a.code", got.Code)
		require.Equal(t, "urn:problem-type:proofroom:a.code", got.Type)
		require.Equal(t, "A title", got.Title)
		require.Equal(t, "A detail.", got.Detail)
		require.Equal(t, "/there", got.Link)
		require.Equal(t, []problem.Field{{Name: "f", Detail: "d"}}, got.Errors)
	}
	for name, err := range map[string]error{
		"deadlock":         fmt.Errorf("x: %w", &pgconn.PgError{Code: "40P01"}),
		"server goes down": &pgconn.PgError{Code: "57P01"},
		"lost commit":      fmt.Errorf("x: %w", pg.ErrCommitUnknown),
		"cannot connect":   &pgconn.ConnectError{},
		"deadline":         context.DeadlineExceeded,
		"client gone":      context.Canceled,
	} {
		require.Equal(t, http.StatusServiceUnavailable, edge.Explain(err).Status, name)
	}
	for name, err := range map[string]error{
		"plain":          errors.New("plain"),
		"a broken query": &pgconn.PgError{Code: "42P01"},
	} {
		require.Equal(t, http.StatusInternalServerError, edge.Explain(err).Status, name)
	}
}

// answer writes the problem that err is and returns the answer and what was logged.
func answer(t *testing.T, err error) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(obs.WithRequestID(t.Context(), "request-1"), http.MethodGet, "/", nil)
	edge.Write(rec, r, obs.Log(&out, slog.LevelInfo), err)
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		lines = append(lines, m)
	}
	return rec, lines
}

func TestWhatIsToldAndWhatIsLogged(t *testing.T) {
	t.Parallel()
	told := problem.Define(problem.Conflict, "a.code", "A title", "Its detail & <more>.")

	rec, logged := answer(t, errors.New("password=hunter2 in a driver's text"))
	require.Equal(t, 500, rec.Code)
	require.Equal(t, edge.MediaType, rec.Header().Get("Content-Type"))
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	require.NotContains(t, rec.Body.String(), "hunter2")
	require.Contains(t, rec.Body.String(), `"request_id":"request-1"`)
	require.Len(t, logged, 1)
	require.Equal(t, "ERROR", logged[0]["level"])
	require.Equal(t, "request-1", logged[0]["request_id"])
	require.Contains(t, logged[0]["error"], "hunter2")

	rec, logged = answer(t, told)
	require.Equal(t, 409, rec.Code)
	require.Contains(t, rec.Body.String(), "Its detail & <more>.")
	require.Empty(t, logged, "the client knows all of it")

	rec, logged = answer(t, told.Because(errors.New("the cause")).After(1500*time.Millisecond))
	require.Equal(t, "2", rec.Header().Get("Retry-After"))
	require.NotContains(t, rec.Body.String(), "the cause")
	require.Len(t, logged, 1)
	require.Equal(t, "INFO", logged[0]["level"])

	rec, logged = answer(t, pg.ErrCommitUnknown)
	require.Equal(t, 503, rec.Code)
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	require.Equal(t, "WARN", logged[0]["level"])

	rec, _ = answer(t, edge.ErrSignIn)
	require.Equal(t, 401, rec.Code)
	require.Contains(t, rec.Header().Get("WWW-Authenticate"), "Bearer")
}

func TestRequire(t *testing.T) {
	t.Parallel()
	stranger := t.Context()
	guest := edge.WithActor(stranger, account.Actor{Kind: account.KindGuest, ID: [16]byte{1}})
	token := edge.WithActor(stranger, account.Actor{Kind: account.KindAccount, ID: [16]byte{1}, Roles: []account.Role{account.Attendee}})
	// A role that a guest could never have must not help it.
	posing := edge.WithActor(stranger, account.Actor{Kind: account.KindGuest, ID: [16]byte{1}, Roles: []account.Role{account.Operator}})
	browser := edge.WithActor(stranger, account.Actor{
		Kind: account.KindAccount, ID: [16]byte{1}, SessionID: [16]byte{2}, Roles: []account.Role{account.Attendee, account.Operator},
	})

	actor := edge.RequireActor
	acct := edge.RequireAccount
	session := edge.RequireSession
	role := func(ctx context.Context) (account.Actor, error) { return edge.RequireRole(ctx, account.Operator) }
	for i, tc := range []struct {
		ctx  context.Context
		call func(context.Context) (account.Actor, error)
		want error
	}{
		{stranger, actor, edge.ErrSignIn},
		{guest, actor, nil},
		{token, actor, nil},
		{browser, actor, nil},
		{stranger, acct, edge.ErrSignIn},
		{guest, acct, edge.ErrAccountNeeded},
		{token, acct, nil},
		{browser, acct, nil},
		{stranger, session, edge.ErrSignIn},
		{guest, session, edge.ErrAccountNeeded},
		{token, session, edge.ErrSessionNeeded},
		{browser, session, nil},
		{stranger, role, edge.ErrSignIn},
		{posing, role, edge.ErrAccountNeeded},
		{token, role, edge.ErrRole},
		{browser, role, nil},
	} {
		a, err := tc.call(tc.ctx)
		require.ErrorIs(t, err, tc.want, i)
		require.Equal(t, tc.want == nil, a.Known(), i)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	secure := edge.Cookies{}.Session("secret", until)
	require.Equal(t, "__Host-session", secure.Name)
	require.True(t, secure.Secure && secure.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, secure.SameSite)
	require.Equal(t, "/", secure.Path)
	require.Empty(t, secure.Domain)
	require.NoError(t, secure.Valid())

	plain := edge.Cookies{Plain: true}.Guest("secret", until)
	require.Equal(t, "guest", plain.Name)
	require.False(t, plain.Secure)
	require.True(t, plain.HttpOnly)

	require.Negative(t, edge.Cookies{}.Session("", until).MaxAge, "without a secret it is deleted")
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{"", "a", "8f14e45f-ceea-467f-a9c1-1d8b3f9e4b7a", " ", "\x00", "ключ", "a\r\nb", strings.Repeat("x", 255), strings.Repeat("x", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := edge.IdempotencyKey(s)
		printable := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
		switch {
		case s == "":
			require.ErrorIs(t, err, edge.ErrKeyMissing)
		case printable && len(s) <= 255:
			require.NoError(t, err)
			require.Equal(t, s, key)
		default:
			require.ErrorIs(t, err, edge.ErrKeyInvalid)
			require.Empty(t, key)
		}
	})
}
