package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/base/problem"
)

// Problem is an error as a client sees it: an RFC 9457 document.
type Problem struct {
	Type      string          `json:"type" doc:"Names the kind of problem; the same for the same code."`
	Title     string          `json:"title" doc:"What happened, in a few words."`
	Status    int             `json:"status" doc:"The HTTP status."`
	Detail    string          `json:"detail" doc:"What happened, what is safe, what to do next."`
	Code      string          `json:"code" doc:"Stable name of the problem, for programs."`
	Errors    []problem.Field `json:"errors,omitempty" doc:"What is wrong with which field."`
	Link      string          `json:"link,omitempty" doc:"Where to go on."`
	RequestID string          `json:"request_id,omitempty" doc:"Quote it when you ask for help."`

	retryAfter time.Duration
	cause      error
}

// MediaType is the content type of problem documents.
const MediaType = "application/problem+json"

var (
	errInternal = problem.Define(problem.Internal, "internal", "Something failed on our side",
		"It was logged under the request id given here. What you asked may or may not have been done; look before you repeat it.")
	errUnavailable = problem.Define(problem.Unavailable, "unavailable", "Not available at the moment",
		"The database cannot be reached or is overloaded. Nothing is confirmed; try again shortly. A request with an Idempotency-Key can be repeated safely with the same key.").
		After(2 * time.Second)
)

var statuses = map[problem.Kind]int{
	problem.Invalid:         http.StatusBadRequest,
	problem.Unauthenticated: http.StatusUnauthorized,
	problem.Forbidden:       http.StatusForbidden,
	problem.NotFound:        http.StatusNotFound,
	problem.Conflict:        http.StatusConflict,
	problem.Gone:            http.StatusGone,
	problem.TooLarge:        http.StatusRequestEntityTooLarge,
	problem.Unprocessable:   http.StatusUnprocessableEntity,
	problem.RateLimited:     http.StatusTooManyRequests,
	problem.Internal:        http.StatusInternalServerError,
	problem.Upstream:        http.StatusBadGateway,
	problem.Unavailable:     http.StatusServiceUnavailable,
}

// Explain is the one mapping from errors to what a client sees. An error that
// is no problem.Error becomes a fixed text: 503 if it says only that the
// database could not be used or that the request was given up, else 500.
func Explain(err error) *Problem {
	p := problem.As(err)
	switch {
	case p != nil:
	case pg.IsTransient(err), pg.IsUnreachable(err), errors.Is(err, context.Canceled):
		p = errUnavailable
	default:
		p = errInternal
	}
	out := &Problem{
		Type: "urn:problem-type:proofroom:" + p.Code, Title: p.Title, Status: statuses[p.Kind], Detail: p.Detail,
		Code: p.Code, Errors: p.Fields, Link: p.Link, retryAfter: p.RetryAfter,
	}
	if out.Status == 0 {
		out.Status = http.StatusInternalServerError
	}
	// What the client is told needs no log line of its own; what it is not told does.
	wrapped := err != error(p) //nolint:errorlint // asks whether err is the problem itself
	if wrapped || errors.Unwrap(p) != nil || out.Status >= http.StatusInternalServerError {
		out.cause = err
	}
	return out
}

// Finish completes the document for one request: it names the request, sets the
// headers that belong to it and logs what the client is not told. It is called
// once, just before the answer is written.
func (p *Problem) Finish(ctx context.Context, log *slog.Logger, h http.Header) {
	p.RequestID = obs.RequestID(ctx)
	h.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="proofroom"`)
	}
	if p.cause == nil {
		return
	}
	level := slog.LevelInfo
	switch {
	case errors.Is(p.cause, context.Canceled): // the client went away
	case p.Status == http.StatusInternalServerError:
		level = slog.LevelError
	case p.Status > http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	log.LogAttrs(ctx, level, "request failed", slog.String("code", p.Code), slog.Int("status", p.Status), slog.Any("error", p.cause))
}

// Write answers a request with the problem that err is, as JSON.
func Write(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	Explain(err).Write(w, r, log)
}

// Write finishes the document and answers the request with it, as JSON.
func (p *Problem) Write(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	p.Finish(r.Context(), log, w.Header())
	w.Header().Set("Content-Type", MediaType)
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // the client went away
}

// Render is a problem as an answer that can be stored and given again byte for
// byte: it names no request.
func Render(p *problem.Error) (status int, body []byte) {
	out := Explain(p)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		panic("edge: a problem cannot be encoded: " + err.Error())
	}
	return out.Status, b.Bytes()
}

// The next three make a Problem an answer of the API's framework.

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of a problem document.
func (*Problem) ContentType(string) string { return MediaType }
