package payment

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Observations that were stored mean the same when they are read, also by the
// version that wrote them; what means nothing is an error, never an effect.
func FuzzFacts(f *testing.F) {
	for _, s := range []string{
		`[{"provider":"stripe","account":"main","kind":"payment","attempt_id":"0199aaaa-0000-7000-8000-00000000000a","payment_id":"pi_1","status":"succeeded","amount":1500,"currency":"USD","fee":7}]`,
		`[{"kind":"dispute_money","status":"withdrawn","movement_id":"txn_1"}]`, `[{"kind":"payment","status":"won"}]`, `[{"kind":"payment","kind":"refund","status":"pending"}]`,
		"[]", "null", "{}", "[null]", "", `[{"amount":1e30}]`, `[{"attempt_id":""}]`,
	} {
		f.Add([]byte(s), int64(1))
	}
	row := uuid.MustParse("0199aaaa-0000-7000-8000-00000000000b")
	f.Fuzz(func(t *testing.T, stored []byte, seq int64) {
		read, err := facts(row, seq, stored)
		if err != nil {
			return
		}
		for _, o := range read {
			require.Positive(t, Rank(o.Kind, o.Status))
			require.Equal(t, row, o.InboxID)
			require.Equal(t, seq, o.Seq)
		}
		again, err := json.Marshal(read)
		require.NoError(t, err)
		back, err := facts(row, seq, again)
		require.NoError(t, err)
		require.Equal(t, read, back)
	})
}

// Words of a provider's are short text that a column can hold, whatever they were.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"", "refused", "a\x00b", "\xff\xfe", strings.Repeat("é", 300), strings.Repeat("\xf0\x9f", 400)} {
		f.Add(s, 40)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		n := note(s)
		require.LessOrEqual(t, len(n), 500)
		require.True(t, utf8.ValidString(n))
		require.NotContains(t, n, "\x00")
		require.Equal(t, n, note(n))
		if most < 0 || most > 1000 {
			return
		}
		c := Clip(s, most)
		require.True(t, utf8.ValidString(c))
		require.LessOrEqual(t, utf8.RuneCountInString(c), most+1)
		require.True(t, Printable(s) == (s != "" && len(s) <= MaxKey && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0))
		require.Equal(t, Digits(s), s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0)
	})
}

// What is kept of a request's headers is bounded, and a value that opens something
// is not shown, wherever it stands in a body.
func FuzzRedact(f *testing.F) {
	f.Add("client_secret", "pi_1_secret_abcdefgh", "{}")
	f.Add("token", `a"b\c`, `[`)
	f.Add("PIN", "12345678", `"pin":"`)
	f.Add("verif-hash", "\u2028 and more of it", `\`)
	f.Fuzz(func(t *testing.T, name, value, before string) {
		h := headerBytes(http.Header{"X": {value}, "Y": {before}})
		require.LessOrEqual(t, len(h), maxHeader)
		body, err := json.Marshal(map[string]string{"before": before, name: value})
		require.NoError(t, err)
		shown := Redact(body)
		require.Equal(t, string(shown), string(Redact(shown)))
		require.True(t, json.Valid(shown), "%s", shown)
		var fields map[string]string
		require.NoError(t, json.Unmarshal(shown, &fields))
		if slices.Contains([]string{"client_secret", "token", "password", "pin", "cvv", "otp", "api_key", "apikey", "authorization", "verif-hash"}, strings.ToLower(name)) {
			for k := range fields {
				require.True(t, !strings.EqualFold(k, name) || fields[k] == "(not shown)", "%s", shown)
			}
		} else if name != "before" && !secrets.Match(body) {
			require.Equal(t, body, shown)
		}
	})
}
