package money_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/money"
)

// What is read as an amount is that number of minor units and no other, reckoned
// by rational numbers; it reads back as it is written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"12.5", "-0.05", "007.00", "92233720368547758.07", "92233720368547758.08", "1e3", ".5", "1.", "", "-", "١", "1.005", "0x1", strings.Repeat("9", 500)} {
		f.Add(s, "EUR")
		f.Add(s, "JPY")
		f.Add(s, "KWD")
		f.Add(s, "usd")
	}
	f.Fuzz(func(t *testing.T, text, currency string) {
		a, err := money.Parse(text, currency)
		if err != nil {
			require.Zero(t, a)
			require.True(t, errors.Is(err, money.ErrCurrency) || errors.Is(err, money.ErrSyntax) || errors.Is(err, money.ErrOverflow))
			return
		}
		digits, err := money.Digits(currency)
		require.NoError(t, err)
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
		require.Zero(t, new(big.Rat).Mul(exact, scale).Cmp(new(big.Rat).SetInt64(a.Minor)), "%s is not %d", text, a.Minor)
		again, err := money.Parse(a.Decimal(), currency)
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}

// An amount written for people has all of its digits and no others, and never
// stands at a scale that is not its currency's.
func FuzzFormat(f *testing.F) {
	for _, c := range []string{"EUR", "JPY", "KWD", "CLF", "", "XXX", "usd", "U\x00D"} {
		f.Add(int64(1250), c)
		f.Add(int64(-9223372036854775808), c)
	}
	digitsOf := func(s string) string {
		return strings.TrimLeft(strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, s), "0")
	}
	f.Fuzz(func(t *testing.T, minor int64, currency string) {
		a := money.Amount{Minor: minor, Currency: currency}
		if _, err := money.Digits(currency); err != nil {
			require.Equal(t, big.NewInt(minor).String(), a.Decimal())
			require.True(t, strings.HasPrefix(a.Format(), a.Decimal()+" minor units of "))
			require.Equal(t, -1, strings.IndexFunc(a.Format(), func(r rune) bool { return r < ' ' }))
			return
		}
		require.True(t, utf8.ValidString(a.Format()))
		require.Equal(t, digitsOf(a.Decimal()), digitsOf(a.Format()))
		require.Equal(t, minor < 0, strings.HasPrefix(a.Format(), "-"))
		read, err := money.Parse(a.Decimal(), currency)
		require.NoError(t, err)
		require.Equal(t, a, read)
	})
}
