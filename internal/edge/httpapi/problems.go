package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"proofroom/internal/base/problem"
	"proofroom/internal/edge"
)

// The problems of reading a request.
var (
	errMalformed = problem.Define(problem.Invalid, "request.malformed", "The request cannot be read",
		"The body is not the JSON that is expected here. Nothing was done.")
	errTypes = problem.Define(problem.Invalid, "request.types", "The request has values of the wrong type",
		"Nothing was done. Correct the fields named here.")
	errInvalid = problem.Define(problem.Unprocessable, "request.invalid", "The request is not complete or not allowed",
		"Nothing was done. Correct the fields named here.")
	errTooLarge = problem.Define(problem.TooLarge, "request.too_large", "The request is too large",
		"Its body is larger than this address takes. Nothing was done.")
	errContentType = problem.Define(problem.Invalid, "request.content_type", "The body is of a type that is not read here",
		"Send it as application/json. Nothing was done.")
	errSlow = problem.Define(problem.Invalid, "request.timeout", "The request took too long",
		"Its body did not arrive in time. Nothing was done; send it again.")
	errID = problem.Define(problem.Invalid, "request.id", "This is not an id",
		"An id is 36 characters like 01890a5d-ac96-774b-bcce-b302099a8057. Nothing was done.")
	errCursor = problem.Define(problem.Invalid, "request.cursor", "The cursor cannot be read",
		"Use the value of \"next\" from the page before, unchanged, or leave it out to begin.")
)

// The framework has one hook for errors per process, so it is set once, and
// what belongs to one request is added by the transformer in config.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return explain(status, msg, errs) }
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return explain(status, msg, errs)
	}
}

// wrongType are the framework's messages for values that cannot be taken at all,
// as against those that are taken and found wrong.
var wrongType = []string{
	validation.MsgExpectedBoolean, validation.MsgExpectedNumber, validation.MsgExpectedInteger, validation.MsgExpectedString,
	validation.MsgExpectedArray, validation.MsgExpectedObject, validation.MsgExpectedBase64String,
	"invalid integer", "invalid float", "invalid boolean", "invalid value",
}

// explain turns what the framework found, or what a handler returned, into a
// problem document. Values are never repeated: they may be secrets.
func explain(status int, msg string, errs []error) *edge.Problem {
	for _, err := range errs {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return edge.Explain(errTooLarge)
		}
	}
	switch {
	case status == http.StatusInternalServerError && msg == "cannot read request body":
		return edge.Explain(errMalformed)
	case status == http.StatusInternalServerError && len(errs) == 1:
		return edge.Explain(errs[0])
	case status == http.StatusRequestEntityTooLarge:
		return edge.Explain(errTooLarge)
	case status == http.StatusUnsupportedMediaType:
		return withStatus(errContentType, status)
	case status == http.StatusRequestTimeout:
		return withStatus(errSlow, status)
	case status == http.StatusBadRequest && len(errs) == 1 && errors.As(errs[0], new(huma.ErrorDetailer)):
		return edge.Explain(errMalformed.WithFields(fields(errs)...))
	case status == http.StatusBadRequest:
		return edge.Explain(errMalformed)
	case status == http.StatusUnprocessableEntity:
		f := fields(errs)
		if slices.ContainsFunc(f, func(f problem.Field) bool { return slices.Contains(wrongType, f.Detail) }) {
			return edge.Explain(errTypes.WithFields(f...))
		}
		return edge.Explain(errInvalid.WithFields(f...))
	}
	return withStatus(errMalformed, status)
}

func withStatus(p *problem.Error, status int) *edge.Problem {
	out := edge.Explain(p)
	out.Status = status
	return out
}

func fields(errs []error) []problem.Field {
	out := make([]problem.Field, 0, len(errs))
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			continue
		}
		name, detail := d.ErrorDetail().Location, d.ErrorDetail().Message
		// Of a missing field the framework names only the object around it.
		if missing, ok := strings.CutPrefix(detail, beforeMissing); ok {
			name, detail = name+"."+strings.TrimSuffix(missing, afterMissing), "is needed"
		}
		out = append(out, problem.Field{Name: strings.TrimPrefix(name, "body."), Detail: detail})
	}
	return out
}

var beforeMissing, afterMissing, _ = strings.Cut(validation.MsgExpectedRequiredProperty, "%s")

// These are told to the client as what is wrong with the body.
var (
	errTwice = errors.New("a field is named twice")
	errNUL   = errors.New("a text contains a NUL character")
	errUTF8  = errors.New("it is not UTF-8")
)

// unmarshal reads JSON that a database can hold. The framework calls it with a
// *any first, to validate, and then with the operation's own type.
func unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errUTF8
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if tree, ok := v.(*any); ok {
		if hasNUL(*tree) {
			return errNUL
		}
		return namedOnce(json.NewDecoder(bytes.NewReader(data)))
	}
	return nil
}

// namedOnce refuses a value with an object that names a field twice, also in
// another case. The decoder would take the last one, and the check before it
// might have seen another.
func namedOnce(d *json.Decoder) error {
	type object struct {
		names map[string]bool // nil in an array
		value bool            // a value follows, not a name
	}
	var open []object
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var in *object
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		name, isText := token.(string)
		if in != nil && in.names != nil && !in.value && isText {
			folded := strings.Map(fold, name)
			if in.names[folded] {
				return errTwice
			}
			in.names[folded], in.value = true, true
			continue
		}
		if in != nil {
			in.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// fold maps the letters that the decoder takes for one to one of them: not only
// capitals, but also the long s and the sign of the kelvin.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

func hasNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, hasNUL)
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) || hasNUL(e) {
				return true
			}
		}
	}
	return false
}
