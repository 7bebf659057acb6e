package webui

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
)

// Where somebody goes on after signing in is within this site, however a browser
// reads it.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{
		"/o/1", "/e/a-run?photo=1&x=é#y", "//evil.example", `/\evil.example`, "https://evil.example", "/..//evil.example", "/%09/evil.example", "/\t/evil.example", "javascript:alert(1)",
		"/a\r\nSet-Cookie: x=y", "", "evil", "/%5cevil.example", "/;//evil.example", "/.//evil.example", "/./\\evil", "///evil.example", "/\u2028",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to := localPath(s)
		require.True(t, to == s || to == "/library")
		w := httptest.NewRecorder()
		require.NoError(t, seeOther(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://photos.example/signin", nil), to))
		location := w.Header().Get("Location")
		require.True(t, strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//"), "%q", location)
		require.Equal(t, -1, strings.IndexFunc(location, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }), "%q", location)
		here, err := url.Parse("https://photos.example/signin")
		require.NoError(t, err)
		there, err := here.Parse(location)
		require.NoError(t, err)
		require.Equal(t, "photos.example", there.Host)
		require.Equal(t, "https", there.Scheme)
		require.NotContains(t, query(s), "&")
	})
}

// A form that is taken is text, and a selection in it is a set of ids that is the
// same when it comes back from the address of its own page.
func FuzzForm(f *testing.F) {
	a, b := id.New().String(), id.New().String()
	for _, s := range []string{
		"photo=" + a + "&photo=" + b + "&photo=" + a, "whole=1&photo=" + a, "photo=x", "photo=" + strings.ToUpper(a), "photo=%7b" + a + "%7d", "a=%00", "a=%ff", "%zz=1", "a=1;b=2", "",
		strings.Repeat("photo="+a+"&", 1001), "line=" + a + "&kind=return&reason=+x+", "before=" + a,
	} {
		f.Add("application/x-www-form-urlencoded", s)
		f.Add("application/x-www-form-urlencoded ; charset=x", s)
	}
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=photo\r\n\r\nx\r\n--x--")
	f.Add("", "photo="+a)
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/e/a-run/checkout?photo=of-the-address", strings.NewReader(body))
		r.Header["Content-Type"] = []string{kind}
		values, err := form(httptest.NewRecorder(), r)
		if err != nil {
			require.True(t, problem.As(err).Is(errForm))
			require.Nil(t, values)
			return
		}
		for _, list := range values {
			require.NotContains(t, list, "of-the-address")
			for _, v := range list {
				require.True(t, utf8.ValidString(v) && !strings.ContainsRune(v, 0))
			}
		}
		if s, err := readSelection(values); err == nil {
			require.True(t, slices.IsSortedFunc(s.Photos, id.Compare))
			require.True(t, !s.Whole || len(s.Photos) == 0)
			u, err := url.Parse(s.reviewPath("a-run"))
			require.NoError(t, err)
			again, err := readSelection(u.Query())
			require.NoError(t, err)
			require.Equal(t, s.Whole, again.Whole)
			require.Equal(t, len(s.Photos), len(again.Photos))
			require.True(t, slices.Equal(s.Photos, again.Photos))
		} else {
			require.True(t, problem.As(err).Is(errSelection))
		}
		if action, err := decisionOf(values); err == nil {
			require.Len(t, action.LineIDs, len(values["line"]))
			require.Equal(t, strings.TrimSpace(action.Note), action.Note)
		} else {
			require.True(t, problem.As(err).Is(errForm))
		}
		if at, err := before(values); err == nil && values.Get("before") != "" {
			require.NotEqual(t, at.String(), "")
		}
	})
}
