package payment

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What every adapter needs on its side of the wire.

// HTTPClient is the client with which a provider is called: given, or one of our
// own where that is nil. It follows no redirect: no API here has any, and who
// follows one hands the key on.
func HTTPClient(given *http.Client) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		c.Transport = t
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// Refuse makes a *VerifyError.
func Refuse(reason, format string, args ...any) error {
	return &VerifyError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// MaxKey is the longest key of ours that a provider names, in bytes.
const MaxKey = 255

// Printable reports whether s can be a key of ours: 1 to MaxKey bytes of ASCII
// without control characters and spaces.
func Printable(s string) bool {
	if s == "" || len(s) > MaxKey {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// OnTheWeb reports whether a page that a provider names is one that a browser may
// be sent to.
func OnTheWeb(page string) bool {
	u, err := url.Parse(page)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		!strings.ContainsFunc(page, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Digits reports whether s is digits alone, at least one.
func Digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Clip makes words of a provider's fit for an error: valid text, at most so many
// characters.
func Clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
