package obs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// HTTP is the outermost middleware of a server. All fields are required except
// Trusted and Panicked.
type HTTP struct {
	Log     *slog.Logger
	Metrics HTTPMetrics
	Trusted Proxies
	// Panicked answers a request whose handler panicked before it answered;
	// by default with a fixed problem document.
	Panicked http.HandlerFunc
}

// Wrap gives each request an id, logs it with its route pattern, times it, and
// turns a panic into a logged 500. A panic after the answer has begun cuts the
// connection, so that the client does not take half an answer for a whole one.
func (m HTTP) Wrap(next http.Handler) http.Handler {
	panicked := m.Panicked
	if panicked == nil {
		panicked = plainPanic
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rid := r.Header.Get(RequestIDHeader)
		if !m.Trusted.FromProxy(r) || !saneRequestID(rid) {
			rid = NewRequestID()
		}
		w.Header().Set(RequestIDHeader, rid)

		// The routers below write the matched pattern into this context.
		routes := chi.NewRouteContext()
		client := m.Trusted.Client(r)
		ctx := context.WithValue(WithClient(WithRequestID(r.Context(), rid), client), chi.RouteCtxKey, routes)
		r = r.WithContext(ctx)
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)

		// Deferred, so that a cut connection is counted and logged as well.
		defer func() {
			status := ww.Status()
			if status == 0 {
				status = http.StatusOK
			}
			route, took := pattern(routes, r), time.Since(start)
			path := secretText.ReplaceAllString(r.URL.Path, "${1}_...")
			if slices.Contains(routes.URLParams.Keys, "token") {
				path = route
			}
			m.Metrics.observe(knownMethod(r.Method), route, status, took)
			m.Log.LogAttrs(ctx, slog.LevelInfo, "request",
				slog.String("method", r.Method), slog.String("route", route), slog.String("path", path),
				slog.Int("status", status), slog.Int("bytes", ww.BytesWritten()),
				slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("client", client.String()))
		}()
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			m.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			if ww.Status() != 0 {
				panic(http.ErrAbortHandler)
			}
			panicked(ww, r)
		}()
		next.ServeHTTP(ww, r)
	})
}

// pattern is the route that matched, from whichever router did it.
func pattern(routes *chi.Context, r *http.Request) string {
	if p := routes.RoutePattern(); p != "" {
		return p
	}
	if r.Pattern != "" {
		return r.Pattern
	}
	return "unmatched"
}

// secretText is how the secrets of links and sessions look: a short name and what
// nobody can guess. A path that matched no route may hold one all the same.
var secretText = regexp.MustCompile(`\b([a-z]{2,5})_[A-Za-z0-9_-]{16,}`)

func plainPanic(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": "Internal error", "status": http.StatusInternalServerError,
		"code":       "internal",
		"detail":     "Something failed on our side and was logged. Nothing is known to have changed; try again, and quote the request id if it stays.",
		"request_id": RequestID(r.Context()),
	})
}
