package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/problem"
)

func TestPhotoNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"IMG_0001.JPG", "fête d'été.jpg", "صورة.jpg", "写真 1.png", ".hidden.jpg", strings.Repeat("x", 251) + ".jpg"} {
		clean, err := CleanPhotoName(name)
		require.NoError(t, err, "%q", name)
		require.Equal(t, name, clean)
	}
	decomposed, err := CleanPhotoName("e\u0301.jpg")
	require.NoError(t, err)
	require.Equal(t, "é.jpg", decomposed)
	for _, name := range []string{
		"", "   ", ".", "..", "../x.jpg", "a/b.jpg", `a\b.jpg`, `C:\x.jpg`, "a\x00.jpg", "a\n.jpg", "a\x7f.jpg", "\xff.jpg",
		"photo\u202egpj.exe", "\u200fa.jpg", "a\u2066.jpg", "\ufeffa.jpg", strings.Repeat("x", 300) + ".jpg", strings.Repeat("é", 128),
	} {
		_, err := CleanPhotoName(name)
		require.ErrorIs(t, err, ErrPhotoName, "%q", name)
		require.NotContains(t, problem.As(err).Detail, "\x00")
	}
}

func TestSlugs(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Été à Lomé!":       "ete-a-lome",
		"  Harbour  Summit": "harbour-summit",
		"Straße 42":         "stra-e-42",
		"--a--b--c--":       "a-b-c",
	} {
		require.Equal(t, want, slugFrom(title))
	}
	for _, title := range []string{"01890a5d-ac96-774b-bcce-b302099a8057", "写真展", "ab", "!!!", strings.Repeat("long title ", 30), strings.Repeat("é", 100)} {
		slug := slugFrom(title)
		require.Nil(t, checkSlug(slug), "%q gives %q", title, slug)
		require.Nil(t, checkSlug(slugAgain(slug)), "%q", slug)
	}
	for _, slug := range []string{"", "ab", "Abc", "a--b", "-abc", "abc-", "a b", "a/b", "é-a-b", "01890a5d-ac96-774b-bcce-b302099a8057", strings.Repeat("a", 81)} {
		require.NotNil(t, checkSlug(slug), "%q", slug)
	}
}

func TestAccessCodes(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"SUMMER26", "summer26", " Summer26\n"} {
		require.True(t, sameCode(given, "Summer26"), "%q", given)
	}
	for _, given := range []string{"", "SUMMER2", "SUMMER266", "WINTER26", "summer26\x00"} {
		require.False(t, sameCode(given, "Summer26"), "%q", given)
	}
}
