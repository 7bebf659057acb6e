package outbox

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// What a mail server said is kept as short, storable text in one line.
func FuzzClip(f *testing.F) {
	for _, s := range []string{"550 no such user", "", "a\r\nb", "\xff\x00", strings.Repeat("é", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kept := clip(s)
		require.True(t, utf8.ValidString(kept))
		require.LessOrEqual(t, utf8.RuneCountInString(kept), 500)
		require.Equal(t, -1, strings.IndexFunc(kept, unicode.IsControl))
		require.Equal(t, kept, clip(kept))
	})
}
