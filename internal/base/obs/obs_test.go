package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
)

// lines collects log lines from the server's goroutines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) parsed(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		out = append(out, m)
	}
	return out
}

func TestLogCarriesTheRequestID(t *testing.T) {
	t.Parallel()
	var out lines
	log := obs.Log(&out, slog.LevelInfo)
	log.InfoContext(obs.WithRequestID(t.Context(), "abcdefgh"), "inside", "n", 1)
	log.With("a", "b").InfoContext(obs.WithRequestID(t.Context(), "ijklmnop"), "with attributes")
	log.InfoContext(t.Context(), "outside")
	log.DebugContext(t.Context(), "below the level")

	got := out.parsed(t)
	require.Len(t, got, 3)
	require.Equal(t, "abcdefgh", got[0]["request_id"])
	require.Equal(t, "ijklmnop", got[1]["request_id"])
	require.Equal(t, "b", got[1]["a"])
	require.NotContains(t, got[2], "request_id")
	require.True(t, strings.HasSuffix(got[0]["time"].(string), "Z"), got[0]["time"])
}

func TestRequestIDsAreFresh(t *testing.T) {
	t.Parallel()
	require.Len(t, obs.NewRequestID(), 20)
	require.NotEqual(t, obs.NewRequestID(), obs.NewRequestID())
	require.Empty(t, obs.RequestID(t.Context()))
}

func TestProxies(t *testing.T) {
	t.Parallel()
	_, err := obs.ParseProxies([]string{"10.0.0.0/8", "not a network"})
	require.ErrorContains(t, err, "not a network")

	proxies, err := obs.ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "fd00::/8"})
	require.NoError(t, err)
	for _, tc := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "203.0.113.5:4000", nil, "203.0.113.5"},
		{"a stranger's header is not believed", "203.0.113.5:4000", []string{"1.1.1.1"}, "203.0.113.5"},
		{"one proxy", "10.1.2.3:4000", []string{"203.0.113.9"}, "203.0.113.9"},
		{"what the client wrote itself is further left", "10.1.2.3:4000", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies, two headers", "10.1.2.3:4000", []string{"203.0.113.9", "192.0.2.7"}, "203.0.113.9"},
		{"nothing but proxies", "10.1.2.3:4000", []string{"10.9.9.9"}, "10.9.9.9"},
		{"rubbish", "10.1.2.3:4000", []string{"rubbish"}, "10.1.2.3"},
		{"version 6, mapped version 4", "[::ffff:10.1.2.3]:4000", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = tc.remote
			for _, f := range tc.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			require.Equal(t, tc.want, proxies.Client(r).String())
		})
	}
}

// server runs a small application behind the middleware, over real HTTP.
func server(t *testing.T, trusted obs.Proxies) (*httptest.Server, *lines, obs.HTTPMetrics) {
	t.Helper()
	sub := chi.NewRouter()
	sub.Get("/things/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, obs.RequestID(r.Context()))
	})
	sub.Get("/links/{token}", func(http.ResponseWriter, *http.Request) {})
	root := chi.NewRouter()
	root.Mount("/api", sub)
	root.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	root.Get("/late", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(errors.New("boom"))
	})
	var out lines
	metrics := obs.NewHTTPMetrics()
	obs.NewRegistry().MustRegister(metrics)
	s := httptest.NewUnstartedServer(obs.HTTP{Log: obs.Log(&out, slog.LevelInfo), Metrics: metrics, Trusted: trusted}.Wrap(root))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s, &out, metrics
}

type answer struct {
	StatusCode int
	Header     http.Header
}

func get(t *testing.T, url, requestID string) (answer, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if requestID != "" {
		req.Header.Set(obs.RequestIDHeader, requestID)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header}, string(body), err
}

func TestRequestIDOverHTTP(t *testing.T) {
	t.Parallel()
	open, _, _ := server(t, nil)
	local, err := obs.ParseProxies([]string{"127.0.0.0/8", "::1"})
	require.NoError(t, err)
	behind, _, _ := server(t, local)

	resp, body, err := get(t, open.URL+"/api/things/1", "from-a-stranger")
	require.NoError(t, err)
	require.Len(t, body, 20)
	require.Equal(t, body, resp.Header.Get(obs.RequestIDHeader))

	resp, body, err = get(t, behind.URL+"/api/things/1", "from-the-proxy.1")
	require.NoError(t, err)
	require.Equal(t, "from-the-proxy.1", body)
	require.Equal(t, body, resp.Header.Get(obs.RequestIDHeader))

	for _, bad := range []string{"short", strings.Repeat("x", 65), `inject"ion "}`, "with space here"} {
		_, body, err = get(t, behind.URL+"/api/things/1", bad)
		require.NoError(t, err)
		require.Len(t, body, 20, bad)
	}
}

func TestAccessLogAndHistogramNameTheRoute(t *testing.T) {
	t.Parallel()
	s, out, metrics := server(t, nil)
	for _, path := range []string{"/api/things/1?secret=1", "/api/things/2", "/nothing/here", "/nothing/there", "/api/links/secret"} {
		_, _, err := get(t, s.URL+path, "")
		require.NoError(t, err)
	}
	s.Close() // the log line of a request is written after its answer

	got := out.parsed(t)
	require.Len(t, got, 5)
	require.Equal(t, "request", got[0]["msg"])
	require.Equal(t, "/api/things/{id}", got[0]["route"])
	require.InDelta(t, 200, got[0]["status"], 0)
	require.InDelta(t, 20, got[0]["bytes"], 0)
	require.Equal(t, "127.0.0.1", got[0]["client"])
	require.Len(t, got[0]["request_id"], 20)
	require.NotContains(t, got[0]["path"], "secret")
	require.Equal(t, "/api/links/{token}", got[4]["path"])
	require.InDelta(t, 404, got[2]["status"], 0)

	// Three series: what was not found does not make one a path.
	require.Equal(t, 3, testutil.CollectAndCount(metrics))
}

// A secret in a path that no route took is no less a secret.
func TestSecretsInPathsAreNotLogged(t *testing.T) {
	t.Parallel()
	s, out, _ := server(t, nil)
	const secret = "lnk_0123456789abcdefABCDEF"
	for _, path := range []string{"/link/" + secret, "/link/" + secret + "/", "//link/" + secret, "/setup/set_0123456789abcdefABCDEF"} {
		_, _, err := get(t, s.URL+path, "")
		require.NoError(t, err)
	}
	s.Close()
	got := out.parsed(t)
	require.Len(t, got, 4)
	for _, line := range got {
		require.NotContains(t, line["path"], "0123456789")
		require.Contains(t, line["path"], "_...")
	}
}

func TestPanicBecomesAProblem(t *testing.T) {
	t.Parallel()
	s, out, _ := server(t, nil)

	resp, body, err := get(t, s.URL+"/panic", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	require.Contains(t, body, resp.Header.Get(obs.RequestIDHeader))
	require.NotContains(t, body, "boom")

	// A panic in the middle of an answer must not look like its end.
	_, body, err = get(t, s.URL+"/late", "")
	require.Error(t, err)
	require.Equal(t, "half", body)

	s.Close()
	var panics, requests int
	for _, l := range out.parsed(t) {
		switch l["msg"] {
		case "panic":
			panics++
			require.Equal(t, "boom", l["panic"])
			require.Contains(t, l["stack"], "obs_test")
		case "request":
			requests++
		}
	}
	require.Equal(t, 2, panics)
	require.Equal(t, 2, requests)
}

func TestPanickedIsReplaceable(t *testing.T) {
	t.Parallel()
	h := obs.HTTP{
		Log: obs.Log(io.Discard, slog.LevelInfo), Metrics: obs.NewHTTPMetrics(),
		Panicked: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
	}.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	require.Equal(t, http.StatusTeapot, rec.Code)
}
