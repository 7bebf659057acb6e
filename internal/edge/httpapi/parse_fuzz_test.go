package httpapi

import (
	"encoding/json"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
	"proofroom/internal/core/catalog"
)

// A cursor that is taken is one that we wrote: of each position there is one.
func FuzzCursor(f *testing.F) {
	at := catalog.ListCursor{Starts: time.Date(2026, 6, 12, 17, 30, 0, 500, time.UTC), ID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")}
	for _, s := range []string{
		"", cursor(at), cursor(at.ID), cursor(uuid.Max), cursor("x"), cursor(nil), cursor(strings.ToUpper(at.ID.String())),
		cursor("urn:uuid:" + at.ID.String()), cursor("{" + at.ID.String() + "}"), cursor(map[string]any{"STARTS": at.Starts, "ID": at.ID}),
		cursor(map[string]any{"Starts": "0000-01-01T00:00:00+23:59", "ID": at.ID}), cursor(at) + "=", cursor(at)[:20], "!", cursor(strings.Repeat("9", 400)),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := position(s, uuid.Max); err != nil {
			require.True(t, problem.As(err).Is(errCursor))
			require.Equal(t, uuid.Max, id)
		} else if s != "" {
			require.Equal(t, s, cursor(id))
		}
		if c, err := position(s, catalog.ListCursor{}); err != nil {
			require.True(t, problem.As(err).Is(errCursor))
			require.Zero(t, c)
		} else if s != "" {
			require.Equal(t, s, cursor(c))
		}
	})
}

// An id that is taken is one that we write, letter by letter.
func FuzzPathID(f *testing.F) {
	for _, s := range []string{"", "01890a5d-ac96-774b-bcce-b302099a8057", "01890A5D-AC96-774B-BCCE-B302099A8057", "01890a5dac96774bbcceb302099a8057", "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := pathUUID("id", s)
		if err != nil {
			require.True(t, problem.As(err).Is(errID))
			require.Zero(t, id)
			return
		}
		require.Equal(t, s, id.String())
	})
}

// A body that is taken holds text that a database can keep, and means one thing
// only: whoever reads it, and in whatever order, sees the same fields.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"email":"a@b.example","name":"N","password":"x","creator":true}`, `{"name":"a","NAME":"b"}`, `{"a":{"b":[{"c":1,"c":2}]}}`, `[]`, `null`, `"\u0000"`,
		`{"x\u0000":1}`, "\xff", `{"name":"\ud800"}`, `{"a":1}{"a":2}`, `{"creator":1e400}`, strings.Repeat("[", 200), `{"password":"long","paſſword":"x"}`, `{"K":1,"\u212a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var tree any
		if unmarshal(b, &tree) != nil {
			return
		}
		require.True(t, utf8.Valid(b))
		require.NoError(t, json.Unmarshal(b, new(any)))
		whole, err := json.Marshal(tree)
		require.NoError(t, err)
		require.NotContains(t, string(whole), `\u0000`)
		// The decoder that fills an operation's own type folds names.
		var form struct{ Email, Name, Password string }
		fields, ok := tree.(map[string]any)
		if !ok || unmarshal(b, &form) != nil {
			return
		}
		for name, v := range fields {
			for field, read := range map[string]string{"email": form.Email, "name": form.Name, "password": form.Password} {
				if said, ok := v.(string); ok && strings.EqualFold(name, field) {
					require.Equal(t, said, read, "the decoder took another %s", field)
				}
			}
		}
	})
}

// The name of a file comes to where names are checked as it was sent, and what is
// told of a name that was refused cannot be taken for another text.
func FuzzFileName(f *testing.F) {
	for _, s := range []string{
		`form-data; name="files"; filename="a.jpg"`, `form-data; filename="../../etc/passwd"`, `form-data; filename*=UTF-8''a%00%0d%0a.jpg`,
		`form-data; filename="a\"b\\c.jpg"`, `attachment; filename=a.jpg; filename*0="b"; filename*1="c"`, `form-data; name=x`, "form-data; filename=\"a\u202egpj.exe\"", "", ";",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, disposition string) {
		name, ok := fileName(&multipart.Part{Header: textproto.MIMEHeader{"Content-Disposition": {disposition}}})
		if !ok {
			return
		}
		shown := printable(name)
		require.LessOrEqual(t, utf8.RuneCountInString(shown), 81)
		require.True(t, utf8.ValidString(shown))
		require.Equal(t, shown, printable(shown), "what is fit to be shown stays as it is")
		clean, err := catalog.CleanPhotoName(name)
		if err != nil {
			require.True(t, problem.As(err).Is(catalog.ErrPhotoName))
			return
		}
		require.False(t, strings.ContainsAny(clean, "/\\\x00\r\n"))
	})
}
