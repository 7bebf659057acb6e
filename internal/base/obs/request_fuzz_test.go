package obs_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/obs"
)

// Where a request came from is the peer, unless that is a proxy that is trusted:
// then the nearest that is not one. What strangers wrote before it never counts.
func FuzzClient(f *testing.F) {
	for _, s := range [][2]string{
		{"10.1.2.3:4000", "203.0.113.9"},
		{"203.0.113.5:4000", "1.1.1.1"},
		{"10.1.2.3:4000", "1.1.1.1, 203.0.113.9, 10.2.2.2"},
		{"[::ffff:10.1.2.3]:1", "2001:db8::1%eth0"},
		{"10.1.2.3:4000", "rubbish"},
		{"@", "1.1.1.1"},
		{"10.1.2.3:4000", ",,"},
		{"10.1.2.3:4000", "[2001:db8::1]:80"},
		{"[fd00::1%x]:1", "fd00::2, ::ffff:1.2.3.4"},
	} {
		f.Add(s[0], s[1])
	}
	proxies, err := obs.ParseProxies([]string{"10.0.0.0/8", "fd00::/8"})
	require.NoError(f, err)
	trusted := func(a netip.Addr) bool {
		return netip.MustParsePrefix("10.0.0.0/8").Contains(a) || netip.MustParsePrefix("fd00::/8").Contains(a)
	}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := proxies.Client(r)
		peer, err := netip.ParseAddrPort(remote)
		if err != nil {
			require.False(t, got.IsValid())
			return
		}
		require.False(t, got.Is4In6())
		require.Empty(t, got.Zone(), "a zone is the writer's own")
		nearest := peer.Addr().Unmap().WithZone("")
		require.Equal(t, trusted(nearest), proxies.FromProxy(r))
		if !trusted(nearest) {
			require.Equal(t, nearest, got)
			return
		}
		// Whatever a stranger puts further left changes nothing once a stranger was found.
		if !trusted(got) {
			r.Header["X-Forwarded-For"] = []string{"198.51.100.1, " + forwarded}
			require.Equal(t, got, proxies.Client(r))
			r.Header["X-Forwarded-For"] = []string{"198.51.100.1", forwarded}
			require.Equal(t, got, proxies.Client(r))
		}
	})
}

// A list of proxies that is taken trusts no more than it says.
func FuzzParseProxies(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.1.2.3/8", "192.0.2.7", "::1", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "0.0.0.0/0", "fe80::1%eth0", "", "10.0.0.0/33", "10.0.0.0/8,1.1.1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := obs.ParseProxies([]string{s})
		if err != nil {
			require.Empty(t, list)
			return
		}
		require.Len(t, list, 1)
		again, err := obs.ParseProxies([]string{list[0].String()})
		require.NoError(t, err)
		require.Equal(t, list, again)
		// Itself is trusted: what can never match would be a setting without effect.
		require.True(t, list.FromProxy(&http.Request{RemoteAddr: netip.AddrPortFrom(list[0].Addr(), 1).String()}), "%q", s)
	})
}

// A request's id in our logs and answers is short plain text, and nobody but a
// proxy that is trusted chooses it; a path in the log shows no secret.
func FuzzRequestID(f *testing.F) {
	for _, s := range [][2]string{{"abcdefgh", "/a"}, {"short", "/link/lnk_0123456789abcdefABCDEF"}, {"a\r\nb: c", "//x"}, {strings.Repeat("x", 65), "/ses_0123456789abcdef_/%20"}, {"é", "/"}} {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	local, err := obs.ParseProxies([]string{"127.0.0.1"})
	require.NoError(f, err)
	metrics := obs.NewHTTPMetrics()
	f.Fuzz(func(t *testing.T, rid, path string, proxy bool) {
		var log lines
		h := obs.HTTP{Log: obs.Log(io.MultiWriter(&log), slog.LevelInfo), Metrics: metrics, Trusted: local}.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path, r.RemoteAddr = path, "203.0.113.5:1"
		if proxy {
			r.RemoteAddr = "127.0.0.1:1"
		}
		r.Header[obs.RequestIDHeader] = []string{rid}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get(obs.RequestIDHeader)
		require.True(t, len(got) >= 8 && len(got) <= 64)
		require.Equal(t, -1, strings.IndexFunc(got, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.", r)
		}))
		require.True(t, proxy || got != rid)
		out := log.parsed(t)
		require.Len(t, out, 1, "one line a request")
		require.Equal(t, got, out[0]["request_id"])
	})
}
