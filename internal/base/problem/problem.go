package problem

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of a problem; the edge maps each to one HTTP status.
type Kind string

// The kinds.
const (
	Invalid         Kind = "invalid"         // 400: the request cannot be read
	Unauthenticated Kind = "unauthenticated" // 401
	Forbidden       Kind = "forbidden"       // 403
	NotFound        Kind = "not-found"       // 404
	Conflict        Kind = "conflict"        // 409: true now, may not be later
	Gone            Kind = "gone"            // 410
	TooLarge        Kind = "too-large"       // 413
	Unprocessable   Kind = "unprocessable"   // 422: readable, but wrong
	RateLimited     Kind = "rate-limited"    // 429
	Internal        Kind = "internal"        // 500
	Upstream        Kind = "upstream"        // 502: a provider said no, definitely
	Unavailable     Kind = "unavailable"     // 503
)

// Field is one thing wrong with one field of a request.
type Field struct {
	Name   string `json:"name"`   // path in the request: "items[2].photo_id"
	Detail string `json:"detail"` // what is wrong with it
}

// Error is a problem. Compare with errors.Is against the sentinel it was made
// from: two problems are the same if their codes are.
type Error struct {
	Kind       Kind
	Code       string // stable, for programs: "checkout.key_reused"
	Title      string // the event in a few words
	Detail     string // what happened, what is safe, what next
	Fields     []Field
	RetryAfter time.Duration // zero: not stated
	Link       string        // where to go on, may be empty

	cause error
}

// Define makes a sentinel.
func Define(kind Kind, code, title, detail string) *Error {
	return &Error{Kind: kind, Code: code, Title: title, Detail: detail}
}

func (e *Error) Error() string {
	s := e.Code + ": " + e.Detail
	for _, f := range e.Fields {
		s += fmt.Sprintf("; %s: %s", f.Name, f.Detail)
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Is reports whether target is a problem with the same code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy with a cause for the log.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// Detailf returns a copy with another detail.
func (e *Error) Detailf(format string, args ...any) *Error {
	c := *e
	c.Detail = fmt.Sprintf(format, args...)
	return &c
}

// WithFields returns a copy that names fields.
func (e *Error) WithFields(f ...Field) *Error {
	c := *e
	c.Fields = append([]Field(nil), f...)
	return &c
}

// After returns a copy that says when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// WithLink returns a copy that says where to go on.
func (e *Error) WithLink(url string) *Error {
	c := *e
	c.Link = url
	return &c
}

// As finds the problem in an error's chain, nil if there is none.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
