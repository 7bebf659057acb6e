package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
)

// A reading of a clock on the wall names the one instant at which a clock there
// shows it, or is refused as none, as skipped or as coming twice.
func FuzzParseWall(f *testing.F) {
	for _, local := range []string{
		"2026-05-30T18:30", "2026-03-29T02:30", "2026-10-25T02:30", "2026-10-25T02:30+01:00", "2026-10-25 02:30:59Z", "2026-02-30T10:00", "2200-12-31T23:59", "1970-01-01T00:00",
		"2026-01-01T24:00", "0000-00-00T00:00", "2026-05-30T18:30+99:99", "", "2026-05-30T18:30\n",
	} {
		for _, zone := range []string{"Europe/Paris", "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca", "Etc/GMT+12", "UTC", "../../etc/passwd", "Local", "America/Argentina/Ushuaia"} {
			f.Add(zone, local)
		}
	}
	f.Fuzz(func(t *testing.T, zone, local string) {
		w, err := ParseWall(zone, local)
		if err != nil {
			p := problem.As(err)
			require.NotNil(t, p)
			require.Contains(t, []string{ErrZone.Code, ErrTime.Code, ErrTimeGap.Code, ErrTimeOverlap.Code}, p.Code)
			require.True(t, utf8.ValidString(p.Detail))
			require.Zero(t, w)
			if p.Is(ErrTimeOverlap) {
				// Each reading that it offers is one.
				for word := range strings.FieldsSeq(p.Detail) {
					if len(word) == len("2026-10-25T02:30+01:00") && word[10] == 'T' && !strings.HasSuffix(local, ":59") {
						_, err := ParseWall(zone, word)
						require.NoError(t, err, word)
					}
				}
			}
			return
		}
		loc, err := time.LoadLocation(zone)
		require.NoError(t, err)
		const clock = "2006-01-02T15:04:05"
		require.Equal(t, w.Local.Format(clock), w.At.In(loc).Format(clock))
		require.Equal(t, time.UTC, w.At.Location())
		require.True(t, strings.HasPrefix(strings.Replace(local, " ", "T", 1), w.LocalText()), "%q is not %q", local, w.LocalText())
		again, err := ParseWall(zone, w.LocalText())
		if err != nil && problem.As(err).Is(ErrTimeOverlap) {
			again, err = ParseWall(zone, w.LocalText()+w.At.In(loc).Format("-07:00"))
		}
		require.NoError(t, err)
		require.Equal(t, w, again)
	})
}

// harmless reports whether a text is what it looks like, in one line.
func harmless(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	}) < 0
}

// The name of a file that is taken is a name that is what it looks like, and is
// taken again.
func FuzzPhotoName(f *testing.F) {
	for _, s := range []string{"a.jpg", "e\u0301té.jpg", "../a", `..\a`, "a\u202egpj.exe", "a\x00", "\xff", ".", " ", strings.Repeat("é", 127) + ".", "a\r\nb", "\u212a\u037e\u2126", "\u0344"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CleanPhotoName(s)
		if err != nil {
			require.True(t, problem.As(err).Is(ErrPhotoName))
			require.Empty(t, name)
			return
		}
		require.True(t, harmless(name))
		require.LessOrEqual(t, len(name), maxName)
		require.NotEmpty(t, strings.TrimSpace(name))
		require.False(t, strings.ContainsAny(name, `/\`) || name == "." || name == "..")
		again, err := CleanPhotoName(name)
		require.NoError(t, err)
		require.Equal(t, name, again)
	})
}

// Texts of an event are kept within their bounds and as they look, and every title
// gives an address that is none of an id.
func FuzzEventTexts(f *testing.F) {
	for _, s := range []string{"Été à Lomé!", "  a run ", "01890a5d-ac96-774b-bcce-b302099a8057", "---", "ﬁ", "line\r\nline\ttab", strings.Repeat("\u0301", 200), "\u202e", strings.Repeat("ﷺ", 100), "ǅ", "İstanbul"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, lines := range []bool{false, true} {
			text, wrong := cleanText("title", s, 3, 100, lines)
			if wrong != nil {
				require.Empty(t, text)
				require.True(t, utf8.ValidString(wrong.Detail))
				continue
			}
			require.True(t, lines || harmless(text))
			require.False(t, strings.ContainsAny(text, "\r\x00"))
			n := utf8.RuneCountInString(text)
			require.True(t, n >= 3 && n <= 100)
			again, wrong := cleanText("title", text, 3, 100, lines)
			require.Nil(t, wrong)
			require.Equal(t, text, again)
		}
		for _, slug := range []string{slugFrom(s), slugAgain(slugFrom(s))} {
			require.Nil(t, checkSlug(slug), slug)
			require.Equal(t, -1, strings.IndexFunc(slug, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }))
		}
		if checkSlug(s) == nil {
			_, err := uuid.Parse(s)
			require.Error(t, err)
			require.Equal(t, s, slugFrom(s)[:min(len(s), maxSlug-slugTail)]+s[min(len(s), maxSlug-slugTail):])
		}
		require.True(t, sameCode(s, s))
		require.True(t, sameCode(" "+s+" ", s))
		require.Equal(t, sameCode(s, "SAND-42"), foldCode(s) == "SAND-42")
	})
}

// A price list that is taken can be quoted from, in whole units that add up and
// never cost less for more.
func FuzzPrices(f *testing.F) {
	f.Add("EUR", int64(500), int64(3000), 3, int64(1200), 10, int64(3500), false, 5)
	f.Add("JPY", int64(0), int64(0), 2, int64(1), 0, int64(0), false, 10000)
	f.Add("EUR", int64(1), int64(0), 10000, int64(9999), 9999, int64(9998), false, 9998)
	f.Add("EUR", int64(0), int64(0), 0, int64(0), 0, int64(0), true, 1)
	f.Add("XXX", int64(-1), int64(1<<62), -1, int64(-1), 3, int64(1)<<62, true, -1)
	f.Fuzz(func(t *testing.T, currency string, photo, event int64, size1 int, price1 int64, size2 int, price2 int64, free bool, n int) {
		list := PriceList{Currency: currency, Free: free, Photo: photo, Event: event}
		for _, b := range []Bundle{{size1, price1}, {size2, price2}} {
			if b.Photos != 0 {
				list.Bundles = append(list.Bundles, b)
			}
		}
		checked, err := list.check(func(string, int64) error { return nil })
		if err != nil {
			p := problem.As(err)
			require.True(t, p.Is(ErrPrices) || p.Is(ErrCurrency))
			return
		}
		require.True(t, slices.IsSortedFunc(checked.Bundles, func(a, b Bundle) int { return a.Photos - b.Photos }))
		n = min(n, 500)
		q, err := QuoteFor(checked, n, false)
		if err != nil {
			p := problem.As(err)
			require.True(t, p.Is(ErrCart) || p.Is(ErrNotSold))
			return
		}
		require.Len(t, q.Lines, n)
		var sum int64
		for _, l := range q.Lines {
			require.GreaterOrEqual(t, l.Price, int64(0))
			sum += l.Price
		}
		require.Equal(t, sum, q.Total)
		require.True(t, photo == 0 || q.Total <= photo*int64(n))
		more, err := QuoteFor(checked, n+1, false)
		require.NoError(t, err)
		require.GreaterOrEqual(t, more.Total, q.Total)
	})
}
