package edge

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"proofroom/internal/base/problem"
)

// The problems of requests that cannot be read.
var (
	ErrNotFound = problem.Define(problem.NotFound, "not_found", "Not found",
		"There is nothing at this address, or it is not yours to see.")
	errText = problem.Define(problem.Invalid, "request.text", "The request contains bytes that are not text",
		"The address contains a NUL byte or is not UTF-8. Nothing was done.")
	ErrKeyMissing = problem.Define(problem.Invalid, "idempotency.key_missing", "The Idempotency-Key is missing",
		"Send a header Idempotency-Key with a value of your own, new for each thing you want and the same when you repeat the request. Nothing was done.")
	ErrKeyInvalid = problem.Define(problem.Invalid, "idempotency.key_invalid", "The Idempotency-Key cannot be used",
		"It must be 1 to 255 printable ASCII characters, for example a UUID. Nothing was done.")
)

// IdempotencyKey checks a key as it came with a request.
func IdempotencyKey(s string) (string, error) {
	if s == "" {
		return "", ErrKeyMissing
	}
	if len(s) > 255 {
		return "", ErrKeyInvalid
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return "", ErrKeyInvalid
		}
	}
	return s, nil
}

// Text refuses addresses with NUL bytes or broken UTF-8, which no text column
// can hold.
func Text(fail func(http.ResponseWriter, *http.Request, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isText(r.URL.Path) {
				fail(w, r, errText)
				return
			}
			// Each name and value by itself, as those who read them do: of one with a
			// broken escape they see nothing, and of the others everything.
			for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
				for _, piece := range strings.SplitN(part, "=", 2) {
					if s, err := url.QueryUnescape(piece); err == nil && !isText(s) {
						fail(w, r, errText)
						return
					}
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func isText(s string) bool { return !strings.ContainsRune(s, 0) && utf8.ValidString(s) }

// HeadAsGet answers HEAD with what GET would say.
func HeadAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if routes := chi.RouteContext(r.Context()); r.Method == http.MethodHead && routes != nil {
			routes.RouteMethod = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// Headers sets what every answer has. csp is the surface's content security
// policy. Answers are not stored anywhere unless a handler says otherwise.
func Headers(csp string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", csp)
			h.Set("X-Content-Type-Options", "nosniff")
			// Not no-referrer: with it browsers send "Origin: null" with our own
			// forms, which over plain http is all that SameOrigin has to go by.
			h.Set("Referrer-Policy", "same-origin")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			h.Set("Cache-Control", "no-store")
			next.ServeHTTP(w, r)
		})
	}
}
