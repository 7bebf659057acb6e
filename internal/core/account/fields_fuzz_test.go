package account

import (
	"net/mail"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
)

// An address that is taken is one that mail goes to and nothing besides: it adds
// no recipient and no header, and is stored in one form.
func FuzzParseEmail(f *testing.F) {
	for _, s := range []string{
		"a@b.example", " Ada.Lovelace+run@Mail.Example ", "a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", `"a b"@c.example`, "<a@b.example>", "a@b", "a@[127.0.0.1]",
		"\u212aate@b.example", "a@b.example\x00", "-@b.example", "a..b@c.example", strings.Repeat("a", 65) + "@b.example", "a@" + strings.Repeat("b.", 130) + "example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		email, err := ParseEmail(s)
		if err != nil {
			require.True(t, problem.As(err).Is(ErrInvalid))
			require.Empty(t, email)
			return
		}
		require.Equal(t, -1, strings.IndexFunc(email, func(r rune) bool {
			return r <= ' ' || r > '~' || r == ',' || r == '<' || r == '>' || r == '"' || r == ';'
		}))
		require.Equal(t, strings.ToLower(strings.TrimSpace(s)), email)
		require.LessOrEqual(t, len(email), 254)
		read, err := mail.ParseAddress(email)
		require.NoError(t, err)
		require.Equal(t, email, read.Address)
		again, err := ParseEmail(email)
		require.NoError(t, err)
		require.Equal(t, email, again)
	})
}

// A form that is taken has a name that is one line of what it looks like, and a
// password that a person can enter again; one that is not names what is wrong.
func FuzzNewAccount(f *testing.F) {
	f.Add("a@b.example", "Ada", "correct horse battery")
	f.Add("", "", "")
	f.Add("a@b.example", "Ada\r\nBcc: x", "a@b.example")
	f.Add("a@b.example", "\u202eadA", "correct\xffhorse")
	f.Add("a@b.example", "\u202eadA", "correct horse battery")
	f.Add("a@b.example", "a\u2028b", strings.Repeat("é", 200))
	f.Fuzz(func(t *testing.T, email, name, password string) {
		n, err := NewAccount{Email: email, Name: name, Password: password}.parse()
		if err != nil {
			p := problem.As(err)
			require.True(t, p.Is(ErrInvalid))
			require.NotEmpty(t, p.Fields)
			return
		}
		require.Equal(t, strings.TrimSpace(name), n.Name)
		require.True(t, utf8.ValidString(n.Name+n.Password))
		require.Equal(t, -1, strings.IndexFunc(n.Name, func(r rune) bool {
			return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
		}), "%q", n.Name)
		count := utf8.RuneCountInString(n.Name)
		require.True(t, count >= 1 && count <= maxName)
		count = utf8.RuneCountInString(n.Password)
		require.True(t, count >= minPassword && count <= maxPassword)
	})
}

// What a browser calls itself is kept as short, storable text.
func FuzzUserAgent(f *testing.F) {
	for _, s := range []string{"Mozilla/5.0", "", "\xff\xfe", "a\x00b\r\n", strings.Repeat("é", 300), "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kept := clip(s)
		require.True(t, utf8.ValidString(kept))
		require.LessOrEqual(t, utf8.RuneCountInString(kept), maxAgent)
		require.Equal(t, -1, strings.IndexFunc(kept, unicode.IsControl))
		require.Equal(t, kept, clip(kept))
	})
}
