package catalog

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
)

// unfit says why a text from a person must not be stored or shown, or nothing.
// Marks that change the direction of writing are refused since they make a
// text look like another one.
func unfit(s string, lines bool) string {
	if !utf8.ValidString(s) {
		return "It is not valid UTF-8 text."
	}
	for _, r := range s {
		switch {
		case lines && (r == '\n' || r == '\t'):
		case unicode.IsControl(r) || r == utf8.RuneError:
			return fmt.Sprintf("It contains the control character %U.", r)
		case r == 0x061C || r == 0x200E || r == 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069:
			return fmt.Sprintf("It contains the invisible mark %U, which changes the direction of writing.", r)
		case r == 0xFEFF || r == 0x2028 || r == 0x2029 || r >= 0xFFF9 && r <= 0xFFFB:
			return fmt.Sprintf("It contains the invisible character %U.", r)
		}
	}
	return ""
}

// cleanText trims and checks a text of so many characters.
func cleanText(name, s string, least, most int, lines bool) (string, *problem.Field) {
	s = norm.NFC.String(strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")))
	detail := unfit(s, lines)
	switch n := utf8.RuneCountInString(s); {
	case detail != "":
	case n < least || n > most:
		detail = fmt.Sprintf("It has %d characters; %d to %d are allowed.", n, least, most)
	}
	if detail != "" {
		return "", &problem.Field{Name: name, Detail: detail}
	}
	return s, nil
}

// ErrPhotoName refuses a file name.
var ErrPhotoName = problem.Define(problem.Unprocessable, "photo.name_invalid", "The file's name cannot be used",
	"Rename the file and upload it again.")

const maxName = 255 // bytes: the most that file systems take when it is downloaded again

// CleanPhotoName checks the name of an uploaded file. It is a name and not a
// path, and what it looks like is what it is.
func CleanPhotoName(s string) (string, error) {
	detail := unfit(s, false)
	s = norm.NFC.String(s)
	switch {
	case detail != "":
	case strings.TrimSpace(s) == "":
		detail = "It is empty."
	case len(s) > maxName:
		detail = fmt.Sprintf("It has %d bytes; at most %d are allowed.", len(s), maxName)
	case strings.ContainsAny(s, `/\`) || s == "." || s == "..":
		detail = "It is a path; only the file's own name is taken."
	}
	if detail != "" {
		return "", ErrPhotoName.Detailf("%s Rename the file and upload it again.", detail)
	}
	return s, nil
}

const maxSlug = 80

var slugShape = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

func checkSlug(s string) *problem.Field {
	// A slug stands where an event's id may stand, so it must not look like one.
	if _, err := uuid.Parse(s); err == nil || len(s) < 3 || len(s) > maxSlug || !slugShape.MatchString(s) {
		return &problem.Field{Name: "slug", Detail: fmt.Sprintf(
			"It has 3 to %d characters: small letters a to z, digits, and single hyphens between them; it is not an id.", maxSlug)}
	}
	return nil
}

// slugFrom makes a slug of a title: "Été à Lomé!" is "ete-a-lome". A title
// with nothing to take gives a random one.
func slugFrom(title string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(title)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent, taken off its letter
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := b.String()
	if len(s) > maxSlug-slugTail {
		s = s[:maxSlug-slugTail]
	}
	s = strings.Trim(s, "-")
	if checkSlug(s) != nil {
		return "event-" + id.Short(slugTail-1)
	}
	return s
}

const slugTail = 7 // a hyphen and six digits, which make a taken slug unique

func slugAgain(slug string) string { return slug + "-" + id.Short(slugTail-1) }
