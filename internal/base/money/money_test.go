package money_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/money"
)

func TestDigits(t *testing.T) {
	t.Parallel()
	for cur, want := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "UGX": 0, "ISK": 0, "KWD": 3, "CLF": 4} {
		got, err := money.Digits(cur)
		require.NoError(t, err, cur)
		require.Equal(t, want, got, cur)
	}
	for _, cur := range []string{"", "usd", "US", "USDT", "XYZ", "U\x00D"} {
		_, err := money.Digits(cur)
		require.ErrorIs(t, err, money.ErrCurrency, "%q", cur)
		_, err = money.New(1, cur)
		require.ErrorIs(t, err, money.ErrCurrency, "%q", cur)
	}
}

func TestParseAndWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, cur string
		minor     int64
		decimal   string
		format    string
	}{
		{"12.5", "USD", 1250, "12.50", "$12.50"},
		{"1234567.89", "USD", 123456789, "1234567.89", "$1,234,567.89"},
		{"0", "EUR", 0, "0.00", "€0.00"},
		{"-0.05", "EUR", -5, "-0.05", "-€0.05"},
		{"1000", "JPY", 1000, "1000", "¥1,000"},
		{"0.001", "KWD", 1, "0.001", "KWD\u00a00.001"},
		{"007.00", "GBP", 700, "7.00", "£7.00"},
		{"92233720368547758.07", "USD", math.MaxInt64, "92233720368547758.07", "$92,233,720,368,547,758.07"},
		{"-92233720368547758.08", "USD", math.MinInt64, "-92233720368547758.08", "-$92,233,720,368,547,758.08"},
	} {
		a, err := money.Parse(c.text, c.cur)
		require.NoError(t, err, c.text)
		require.Equal(t, money.Amount{Minor: c.minor, Currency: c.cur}, a, c.text)
		require.Equal(t, c.decimal, a.Decimal())
		require.Equal(t, c.format, a.Format())
	}
	require.Equal(t, `1250 minor units of "ZZZ"`, money.Amount{Minor: 1250, Currency: "ZZZ"}.Format())
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "-", ".", "1.", ".5", "+1", "1,000", "1 000", " 1", "1\n", "1e3", "0x1", "1.2.3", "--1", "NaN", "Inf",
		"1.005", "1.000", "١", "1_0", "1\x00",
	} {
		_, err := money.Parse(text, "USD")
		require.ErrorIs(t, err, money.ErrSyntax, "%q", text)
	}
	_, err := money.Parse("1.5", "JPY")
	require.ErrorIs(t, err, money.ErrSyntax)
	_, err = money.Parse("92233720368547758.08", "USD")
	require.ErrorIs(t, err, money.ErrOverflow)
	_, err = money.Parse("1", "BTC")
	require.ErrorIs(t, err, money.ErrCurrency)
}

func TestDecimalReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := money.Amount{
			Minor:    rapid.Int64().Draw(t, "minor"),
			Currency: rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, "currency"),
		}
		b, err := money.Parse(a.Decimal(), a.Currency)
		if err != nil || a != b {
			t.Fatalf("%v reads back as %v, %v", a, b, err)
		}
	})
}

// exact computes with numbers of any size, to compare with.
func exact(x int64) *big.Int { return big.NewInt(x) }

func TestArithmeticIsExactOrRefused(t *testing.T) {
	t.Parallel()
	edge := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1}))
	rapid.Check(t, func(t *rapid.T) {
		x, y := edge.Draw(t, "x"), edge.Draw(t, "y")
		a, b := money.Amount{Minor: x, Currency: "USD"}, money.Amount{Minor: y, Currency: "USD"}
		same := func(name string, got money.Amount, err error, want *big.Int) {
			switch {
			case want.IsInt64() && (err != nil || got.Minor != want.Int64() || got.Currency != "USD"):
				t.Fatalf("%s: got %v, %v; want %v", name, got, err, want)
			case !want.IsInt64() && err == nil:
				t.Fatalf("%s: %v does not fit, and no error was given", name, want)
			}
		}
		sum, err := a.Add(b)
		same("add", sum, err, new(big.Int).Add(exact(x), exact(y)))
		product, err := a.Mul(y)
		same("mul", product, err, new(big.Int).Mul(exact(x), exact(y)))
	})
	_, err := money.Amount{Minor: 1, Currency: "USD"}.Add(money.Amount{Minor: 1, Currency: "EUR"})
	require.ErrorIs(t, err, money.ErrMixed)
}

func TestSum(t *testing.T) {
	t.Parallel()
	usd := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "USD"} }
	zero, err := money.Sum("USD")
	require.NoError(t, err)
	require.Equal(t, usd(0), zero)
	six, err := money.Sum("USD", usd(1), usd(2), usd(3))
	require.NoError(t, err)
	require.Equal(t, usd(6), six)
	_, err = money.Sum("USD", usd(math.MaxInt64), usd(1), usd(-1))
	require.ErrorIs(t, err, money.ErrOverflow)
	_, err = money.Sum("EUR", usd(1))
	require.ErrorIs(t, err, money.ErrMixed)
}

func TestShareRoundsDownIn128Bits(t *testing.T) {
	t.Parallel()
	positive := rapid.OneOf(rapid.Int64Range(0, math.MaxInt64), rapid.SampledFrom([]int64{0, 1, math.MaxInt64}))
	rapid.Check(t, func(t *rapid.T) {
		total, part := positive.Draw(t, "total"), positive.Draw(t, "part")
		whole := max(1, positive.Draw(t, "whole"))
		got, err := money.Share(total, part, whole)
		want := new(big.Int).Mul(exact(total), exact(part))
		want.Quo(want, exact(whole))
		switch {
		case want.IsInt64() && (err != nil || got != want.Int64()):
			t.Fatalf("got %d, %v; want %v", got, err, want)
		case !want.IsInt64() && err == nil:
			t.Fatalf("%v does not fit, and no error was given", want)
		}
	})
	for _, bad := range [][3]int64{{-1, 1, 1}, {1, -1, 1}, {1, 1, 0}, {1, 1, -1}} {
		_, err := money.Share(bad[0], bad[1], bad[2])
		require.Error(t, err, "%v", bad)
	}
}

func TestSplitLosesNothing(t *testing.T) {
	t.Parallel()
	// The remainder is the platform's: 10 % of 0.99 is 9.9 cents, it gets 10.
	net, commission, err := money.Split(99, 1000)
	require.NoError(t, err)
	require.Equal(t, [2]int64{89, 10}, [2]int64{net, commission})
	rapid.Check(t, func(t *rapid.T) {
		gross := rapid.Int64Range(0, math.MaxInt64).Draw(t, "gross")
		bps := rapid.IntRange(0, money.BasisPoints).Draw(t, "bps")
		net, commission, err := money.Split(gross, bps)
		if err != nil || net < 0 || commission < 0 || net+commission != gross {
			t.Fatalf("split %d by %d: %d + %d, %v", gross, bps, net, commission, err)
		}
		// The platform never takes a whole unit more than its rate.
		least := new(big.Int).Quo(new(big.Int).Mul(exact(gross), exact(int64(bps))), exact(money.BasisPoints))
		if over := commission - least.Int64(); over < 0 || over > 1 {
			t.Fatalf("split %d by %d: commission %d is %d over its rate", gross, bps, commission, over)
		}
	})
	for _, bps := range []int{-1, 10_001} {
		_, _, err := money.Split(1, bps)
		require.Error(t, err)
	}
}
