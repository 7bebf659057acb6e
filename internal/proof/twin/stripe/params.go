package stripe

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// params are the form fields of a request, as Stripe nests them: a[b][0][c].
type params struct {
	values map[string]string // by the name as sent
	keys   []string          // sorted
}

// parseParams reads a form or query. A repeated name without an index, as
// expand[]=x, gets one.
func parseParams(raw string) (params, *apiError) {
	p := params{values: map[string]string{}}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return p, invalid("", "", "The request's form cannot be decoded.")
		}
		if before, ok := strings.CutSuffix(name, "[]"); ok {
			for i := 0; ; i++ {
				name = fmt.Sprintf("%s[%d]", before, i)
				if _, taken := p.values[name]; !taken {
					break
				}
			}
		}
		p.values[name] = value
	}
	for name := range p.values {
		p.keys = append(p.keys, name)
	}
	sort.Strings(p.keys)
	return p, nil
}

// path splits a[b][0] into a, b, 0. False for a name that is not well formed.
func path(name string) ([]string, bool) {
	head, rest, nested := strings.Cut(name, "[")
	if head == "" || strings.Contains(head, "]") {
		return nil, false
	}
	parts := []string{head}
	if !nested {
		return parts, true
	}
	for part := range strings.SplitSeq(rest, "[") {
		part, ok := strings.CutSuffix(part, "]")
		if !ok || part == "" || strings.Contains(part, "]") {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, true
}

// schema is what a route takes.
type schema struct {
	// fields are paths with "*" for an index and "?" for any name.
	fields []string
	// stripes are parameters that Stripe takes and the twin does not: they are
	// refused as what they are, not as unknown.
	stripes []string
}

func (s schema) check(p params) *apiError {
	for _, name := range p.keys {
		parts, ok := path(name)
		if !ok {
			return unknownParam(name)
		}
		if s.knows(parts) {
			continue
		}
		if slices.Contains(s.stripes, parts[0]) {
			return &apiError{
				Status: 400, Type: "invalid_request_error", Code: "twin_unsupported", Param: name,
				Message: "Stripe takes " + name + "; this stand-in does not.",
			}
		}
		return unknownParam(name)
	}
	return nil
}

func (s schema) knows(parts []string) bool {
	return slices.ContainsFunc(s.fields, func(field string) bool {
		want := strings.Split(field, ".")
		if len(want) != len(parts) {
			return false
		}
		for i, w := range want {
			switch w {
			case "?":
			case "*":
				if _, err := strconv.ParseUint(parts[i], 10, 16); err != nil {
					return false
				}
			default:
				if w != parts[i] {
					return false
				}
			}
		}
		return true
	})
}

func (p params) has(name string) bool { _, ok := p.values[name]; return ok }

// text reads a string; an empty one is refused, as it would unset a value that
// cannot be unset.
func (p params) text(name string, longest int) (string, *apiError) {
	v, ok := p.values[name]
	switch {
	case !ok:
		return "", nil
	case strings.TrimSpace(v) == "":
		return "", &apiError{Status: 400, Type: "invalid_request_error", Code: "parameter_invalid_empty", Param: name, Message: "The parameter " + name + " must not be empty."}
	case utf8.RuneCountInString(v) > longest:
		return "", invalid(name, "parameter_invalid_string_too_long", fmt.Sprintf("The parameter %s is longer than %d characters.", name, longest))
	}
	return v, nil
}

func (p params) needText(name string, longest int) (string, *apiError) {
	if !p.has(name) {
		return "", missing(name)
	}
	return p.text(name, longest)
}

func (p params) integer(name string) (int64, *apiError) {
	n, err := strconv.ParseInt(p.values[name], 10, 64)
	if err != nil {
		return 0, invalid(name, "parameter_invalid_integer", "Invalid integer: "+p.values[name])
	}
	return n, nil
}

// indexes lists the indexes of name[i]... in order.
func (p params) indexes(name string) []int {
	var out []int
	for _, key := range p.keys {
		parts, ok := path(key)
		if !ok || parts[0] != name || len(parts) < 2 {
			continue
		}
		i, err := strconv.Atoi(parts[1])
		if err == nil && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

// metadata reads prefix[key]=value pairs within Stripe's limits. An empty value
// unsets a key, so it is left out.
func (p params) metadata(prefix string) (map[string]string, *apiError) {
	out := map[string]string{}
	for _, name := range p.keys {
		key, ok := strings.CutPrefix(name, prefix+"[")
		if !ok {
			continue
		}
		key = strings.TrimSuffix(key, "]")
		value := p.values[name]
		if utf8.RuneCountInString(key) > 40 || utf8.RuneCountInString(value) > 500 {
			return nil, invalid(name, "", "Metadata keys have at most 40 characters and values at most 500.")
		}
		if value != "" {
			out[key] = value
		}
	}
	if len(out) > 50 {
		return nil, invalid(prefix, "", "Metadata has at most 50 keys.")
	}
	return out, nil
}

// expand reads the expand parameter.
func (p params) expand() expansion {
	out := expansion{}
	for _, i := range p.indexes("expand") {
		out[p.values[fmt.Sprintf("expand[%d]", i)]] = true
	}
	return out
}

// expansion is a set of dotted paths of objects to send whole.
type expansion map[string]bool

// below is what remains of an expansion for the object under name. Asking for
// a.b expands a as well.
func (e expansion) below(name string) (expansion, bool) {
	out, asked := expansion{}, e[name]
	for path := range e {
		if rest, ok := strings.CutPrefix(path, name+"."); ok {
			out[rest], asked = true, true
		}
	}
	return out, asked
}

// check refuses what cannot be expanded; paths are all that can.
func (e expansion) check(paths ...string) *apiError {
	for path := range e {
		if !slices.Contains(paths, path) {
			return invalid("expand", "", fmt.Sprintf("This property cannot be expanded (%s); this stand-in expands %v here.", path, paths))
		}
	}
	return nil
}

// apiError is an error in Stripe's shape.
type apiError struct {
	Status  int    `json:"-"`
	Type    string `json:"type"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
	// executed: the endpoint began its work, so the answer is kept under the key.
	executed bool
}

func invalid(param, code, message string) *apiError {
	return &apiError{Status: 400, Type: "invalid_request_error", Code: code, Message: message, Param: param}
}

func missing(param string) *apiError {
	return invalid(param, "parameter_missing", "Missing required param: "+param+".")
}

func unknownParam(param string) *apiError {
	return invalid(param, "parameter_unknown", "Received unknown parameter: "+param)
}

func noSuch(what, id, param string) *apiError {
	return &apiError{
		Status: 404, Type: "invalid_request_error", Code: "resource_missing", Param: param,
		Message: fmt.Sprintf("No such %s: '%s'", what, id),
	}
}
