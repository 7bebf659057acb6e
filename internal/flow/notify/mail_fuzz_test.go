package notify

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/account"
	"proofroom/internal/core/outbox"
)

// A mail has the headers that we give it and no others, goes to the one address
// and says in its body what people named things, whatever they named them.
func FuzzMail(f *testing.F) {
	for _, s := range [][3]string{
		{"a@b.example", "Run <&> swim", "DSC_0001.jpg"},
		{"a@b.example", "x\r\nBcc: c@d.example\r\n\r\n<html>", "<script>alert(1)</script>"},
		{"a@b.example, c@d.example", "=?utf-8?q?=0d=0aBcc:_x?=", "{{.Link}}"},
		{"a@b.example", strings.Repeat("é 🌊", 60), "--boundary\r\n.\r\n"},
		{"\"a\r\n\"@b.example", "\xff\x00", "\u202e"},
		{"", "", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	s := &Sender{cfg: Config{From: "Proofroom <mail@photos.example>", PublicURL: "https://photos.example"}}
	f.Fuzz(func(t *testing.T, recipient, title, name string) {
		p := page{Link: "https://photos.example/link/lnk_x", Until: "then", Find: "https://photos.example/find", Receipt: &receipt{
			Number: "1", Event: title, Seller: name, Total: "€5.00", Date: "now", Lines: []receiptLine{{name, "€5.00"}},
		}}
		l, err := p.letter(outbox.Receipt, "Your photographs of "+title)
		require.NoError(t, err)
		require.NotContains(t, strings.ToLower(l.html), "<script")
		m, err := s.compose(outbox.Message{Recipient: recipient, MessageID: "<receipt.1@photos.example>", CreatedAt: time.Unix(1777636800, 0)}, l)
		if err != nil {
			_, notOurs := account.ParseEmail(recipient)
			require.Error(t, notOurs, "an address that we took cannot be mailed to")
			return
		}
		var wire bytes.Buffer
		_, err = m.WriteTo(&wire)
		require.NoError(t, err)
		got, err := mail.ReadMessage(&wire)
		require.NoError(t, err)
		for header := range got.Header {
			require.Contains(t, []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}, header)
			require.Len(t, got.Header[header], 1)
		}
		to, err := got.Header.AddressList("To")
		require.NoError(t, err)
		require.Len(t, to, 1)
		if email, err := account.ParseEmail(recipient); err == nil {
			require.Equal(t, email, strings.ToLower(to[0].Address))
		}
		if clean(title) {
			subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace("Your photographs of "+title), strings.TrimSpace(subject))
		}
		_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
		require.NoError(t, err)
		parts := multipart.NewReader(got.Body, params["boundary"])
		for _, want := range []string{l.text, l.html} {
			part, err := parts.NextRawPart()
			require.NoError(t, err)
			require.Equal(t, "quoted-printable", part.Header.Get("Content-Transfer-Encoding"))
			b, err := io.ReadAll(quotedprintable.NewReader(part))
			require.NoError(t, err)
			if clean(title) && clean(name) {
				require.Equal(t, lines(want), lines(string(b)))
			}
		}
		_, err = parts.NextRawPart()
		require.ErrorIs(t, err, io.EOF)
	})
}

// clean reports whether a text is of the kind that is taken for names.
func clean(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) < 0
}

// lines is a text without regard to how its lines end.
func lines(s string) []string {
	out := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " ")
	}
	return out
}
