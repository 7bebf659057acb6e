package edge_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/account"
	"proofroom/internal/edge"
)

// An address that passes gives no reader of it a text that no column can hold,
// however it takes parameters apart.
func FuzzText(f *testing.F) {
	for _, s := range []string{"/a?b=c", "/%00", "/%ff?x", "/a?b=%00&%zz", "/a?%zz&b=%ff", "/a?b=1;c=%00", "/a?%00", "/a%2f%c3%28?+=%e2%82%ac", "/a?b=%", "//?&&="} {
		f.Add(s)
	}
	text := func(t *testing.T, s string) {
		require.True(t, utf8.ValidString(s) && !strings.ContainsRune(s, 0), "%q", s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		refused := false
		edge.Text(func(http.ResponseWriter, *http.Request, error) { refused = true })(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			text(t, r.URL.Path)
			for name, values := range r.URL.Query() {
				text(t, name)
				for _, v := range values {
					text(t, v)
				}
			}
			for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
				for _, piece := range append(strings.SplitN(part, "=", 2), part) {
					if s, err := url.QueryUnescape(piece); err == nil {
						require.NotContains(t, s, "\x00")
					}
				}
			}
		})).ServeHTTP(httptest.NewRecorder(), &http.Request{URL: u})
		plain := strings.IndexFunc(target, func(r rune) bool { return r == '%' || r > '~' }) < 0
		require.False(t, refused && plain, "plain text is refused")
	})
}

// seen remembers with what somebody was looked up.
type seen struct{ account.Credentials }

func (s *seen) Resolve(_ context.Context, c account.Credentials) (account.Actor, error) {
	s.Credentials = c
	return account.Actor{}, nil
}

// Who is asking is looked up by what stands in the header or in our own cookies,
// whole, and a header keeps cookies from counting.
func FuzzIdentify(f *testing.F) {
	for _, s := range [][2]string{
		{"", ""},
		{"Bearer prf_x", "session=ses_a; guest=gst_b"},
		{"bearer  x", ""},
		{"Basic YTpi", "session=x"},
		{"Bearer", ""},
		{"Bearer ", "guest=gst_b"},
		{"", "session=\"ses a\"; session=ses_b; __Host-session=x"},
		{"", "guest=a,b;guest"},
		{"\xff x", "\x80=1"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, authorization, cookies string) {
		r := &http.Request{URL: &url.URL{}, Header: http.Header{"Authorization": {authorization}, "Cookie": {cookies}}}
		var who seen
		refused, passed := false, false
		edge.Identify(&who, edge.Cookies{Plain: true}, func(_ http.ResponseWriter, _ *http.Request, err error) {
			refused = true
			require.Equal(t, http.StatusUnauthorized, edge.Explain(err).Status)
		})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			if secret := edge.GuestSecret(r.Context()); secret != "" {
				require.True(t, strings.HasPrefix(secret, account.GuestPrefix))
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
		require.NotEqual(t, refused, passed)
		if authorization != "" {
			require.Empty(t, who.Session+who.Guest)
			require.Equal(t, refused, who.Bearer == "")
			require.True(t, refused || strings.HasSuffix(authorization, " "+who.Bearer))
			return
		}
		require.False(t, refused)
		for _, secret := range []string{who.Session, who.Guest} {
			require.Contains(t, cookies, secret)
		}
	})
}

// An access code comes back from its cookie as it was entered; anything else that
// a browser sends is a text or no code.
func FuzzAccessCodeCookie(f *testing.F) {
	for _, s := range []string{"SAND-42", "été 🌊", "", "\x00", "a;b=c", "\"", "____", "gg"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := edge.Cookies{Plain: true}
		raw := &http.Request{Header: http.Header{"Cookie": {"code=" + s}}}
		require.True(t, utf8.ValidString(c.AccessCode(raw)))
		set := c.Code("a-run", s)
		require.NoError(t, set.Valid())
		require.NotContains(t, set.String(), "\n")
		back := &http.Request{Header: http.Header{}}
		back.AddCookie(&http.Cookie{Name: set.Name, Value: set.Value})
		if utf8.ValidString(s) {
			require.Equal(t, s, c.AccessCode(back))
		}
	})
}
