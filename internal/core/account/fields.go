package account

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"proofroom/internal/base/problem"
)

const (
	minPassword = 10
	maxPassword = 200
	maxName     = 100
	maxAgent    = 200
)

// Plain ASCII only: mail to other addresses rarely arrives, and look-alike
// letters would make two accounts of what a person reads as one address.
var emailShape = regexp.MustCompile(`^[a-z0-9!#$%&'*+/=?^_{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_{|}~-]+)*@` +
	`([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

// ParseEmail returns the address in the form under which it is stored: without
// surrounding space, in small letters. Otherwise ErrInvalid, naming the field
// "email".
func ParseEmail(s string) (string, error) {
	email, wrong := parseEmail(s)
	if wrong != "" {
		return "", ErrInvalid.WithFields(problem.Field{Name: "email", Detail: wrong})
	}
	return email, nil
}

func parseEmail(s string) (email, wrong string) {
	s = strings.TrimSpace(s)
	// Before the letters are made small: some beyond ASCII become plain ones then,
	// and the address another one.
	plain := !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
	s = strings.ToLower(s)
	local, _, _ := strings.Cut(s, "@")
	switch {
	case s == "":
		return "", "An e-mail address is needed."
	case !plain || len(s) > 254 || len(local) > 64 || !emailShape.MatchString(s):
		return "", "This is not an e-mail address like name@example.com."
	}
	return s, ""
}

func parseName(s string, longest int) (name, wrong string) {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, misleading):
		return "", "Control characters and marks that change the direction of writing are not allowed here."
	case s == "":
		return "", "A name is needed."
	case utf8.RuneCountInString(s) > longest:
		return "", "This name is too long."
	}
	return s, ""
}

// misleading reports whether a rune makes a text look like another one, or like
// several lines.
func misleading(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

func checkPassword(s, email string) (wrong string) {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s):
		return "This password contains bytes that are not text."
	case n < minPassword:
		return "A password has at least 10 characters."
	case n > maxPassword:
		return "A password has at most 200 characters."
	case strings.EqualFold(s, email):
		return "The e-mail address itself is not a password."
	}
	return ""
}

// NewAccount is what a person fills in to get an account.
type NewAccount struct {
	Email    string
	Name     string
	Password string
	Creator  bool // also wants to put up events
}

// parse returns the values in stored form, or ErrInvalid naming every wrong
// field at once.
func (n NewAccount) parse() (NewAccount, error) {
	var fields []problem.Field
	note := func(name, wrong string) {
		if wrong != "" {
			fields = append(fields, problem.Field{Name: name, Detail: wrong})
		}
	}
	var wrong string
	n.Email, wrong = parseEmail(n.Email)
	note("email", wrong)
	n.Name, wrong = parseName(n.Name, maxName)
	note("name", wrong)
	note("password", checkPassword(n.Password, n.Email))
	if len(fields) > 0 {
		return NewAccount{}, ErrInvalid.WithFields(fields...)
	}
	return n, nil
}

func (n NewAccount) roles() []string {
	if n.Creator {
		return []string{string(Attendee), string(Creator)}
	}
	return []string{string(Attendee)}
}

func toRoles(stored []string) []Role {
	out := make([]Role, len(stored))
	for i, r := range stored {
		out[i] = Role(r)
	}
	slices.Sort(out)
	return out
}

// clip makes a header safe to keep for display.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxAgent {
		return string(runes[:maxAgent])
	}
	return s
}
