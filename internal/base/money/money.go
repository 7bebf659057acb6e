package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/bojanz/currency"
)

// Errors of this package.
var (
	// ErrCurrency means that a code is not an ISO 4217 currency in use.
	ErrCurrency = errors.New("money: unknown currency")
	// ErrMixed means that amounts of different currencies met.
	ErrMixed = errors.New("money: different currencies")
	// ErrOverflow means that a result does not fit 64 bits.
	ErrOverflow = errors.New("money: amount too large")
	// ErrSyntax means that a text is not a decimal number that the currency
	// can express.
	ErrSyntax = errors.New("money: not an amount")
)

// Amount is a number of minor units (cents) of a currency.
type Amount struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"` // ISO 4217, upper case
}

// Digits returns how many decimal digits the currency's minor unit is below
// its major one: 2 for USD, 0 for JPY, 3 for KWD. An unknown currency is
// ErrCurrency.
func Digits(cur string) (int, error) {
	d, ok := currency.GetDigits(cur)
	if !ok {
		return 0, fmt.Errorf("%w: %q", ErrCurrency, cur)
	}
	return int(d), nil
}

// New makes an amount of a known currency.
func New(minor int64, cur string) (Amount, error) {
	if _, err := Digits(cur); err != nil {
		return Amount{}, err
	}
	return Amount{Minor: minor, Currency: cur}, nil
}

// Parse reads plain decimal text such as "12", "12.5" or "-0.05": ASCII digits,
// at most one dot with digits on both sides, no grouping, no spaces, no
// exponent. More digits after the dot than the currency has are ErrSyntax, even
// zeros: rounding is for the writer of the text to decide.
func Parse(text, cur string) (Amount, error) {
	digits, err := Digits(cur)
	if err != nil {
		return Amount{}, err
	}
	rest, negative := strings.CutPrefix(text, "-")
	whole, fraction, dot := strings.Cut(rest, ".")
	switch {
	case !allDigits(whole) || dot && !allDigits(fraction):
		return Amount{}, fmt.Errorf("%w: %q; write it like 12.50", ErrSyntax, clip(text))
	case len(fraction) > digits:
		return Amount{}, fmt.Errorf("%w: %q has more than the %d decimal digits of %s", ErrSyntax, clip(text), digits, cur)
	}
	all := whole + fraction + strings.Repeat("0", digits-len(fraction))
	if negative {
		all = "-" + all
	}
	minor, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return Amount{}, fmt.Errorf("%w: %q", ErrOverflow, clip(text))
	}
	return Amount{Minor: minor, Currency: cur}, nil
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// clip keeps an error's text short whatever was sent.
func clip(s string) string {
	const longest = 40
	if len(s) > longest {
		return s[:longest] + "..."
	}
	return s
}

// Decimal writes the amount as plain decimal text without the currency, as
// Parse reads it: "12.50". An amount of an unknown currency is written in
// minor units.
func (a Amount) Decimal() string {
	digits, err := Digits(a.Currency)
	if err != nil || digits == 0 {
		return strconv.FormatInt(a.Minor, 10)
	}
	sign, n := "", uint64(a.Minor)
	if a.Minor < 0 {
		sign, n = "-", -n // wraps to the magnitude, also of the lowest number
	}
	s := strconv.FormatUint(n, 10)
	if missing := digits + 1 - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// Format writes the amount for people who read English: "$1,234.50",
// "-€0.05", "¥1,000". An amount of an unknown currency is written in minor
// units with its code, so that nothing is ever shown at the wrong scale
// unnoticed.
func (a Amount) Format() string {
	c, err := currency.NewAmountFromInt64(a.Minor, a.Currency)
	if err != nil {
		return fmt.Sprintf("%d minor units of %q", a.Minor, a.Currency)
	}
	return currency.NewFormatter(currency.NewLocale("en")).Format(c)
}

// String is for logs and tests: "12.50 USD".
func (a Amount) String() string { return a.Decimal() + " " + a.Currency }

// Add returns a + b.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("%w: %s and %s", ErrMixed, a, b)
	}
	sum := a.Minor + b.Minor
	if (sum > a.Minor) != (b.Minor > 0) {
		return Amount{}, fmt.Errorf("%w: %s + %s", ErrOverflow, a, b)
	}
	return Amount{Minor: sum, Currency: a.Currency}, nil
}

// Sum adds amounts of one currency; of none it is zero.
func Sum(cur string, amounts ...Amount) (Amount, error) {
	total := Amount{Currency: cur}
	for _, a := range amounts {
		var err error
		if total, err = total.Add(a); err != nil {
			return Amount{}, err
		}
	}
	return total, nil
}

// Mul returns the amount n times.
func (a Amount) Mul(n int64) (Amount, error) {
	product := a.Minor * n
	if n != 0 && (product/n != a.Minor || n == -1 && a.Minor == math.MinInt64) {
		return Amount{}, fmt.Errorf("%w: %d x %s", ErrOverflow, n, a)
	}
	return Amount{Minor: product, Currency: a.Currency}, nil
}

// Share is floor(total * part / whole), computed in 128 bits: what part of
// whole is of total. None may be negative and whole must not be zero; a result
// beyond 64 bits is ErrOverflow.
func Share(total, part, whole int64) (int64, error) {
	if total < 0 || part < 0 || whole <= 0 {
		return 0, fmt.Errorf("money: share of %d by %d of %d: no number may be negative, and the last must be positive", total, part, whole)
	}
	hi, lo := bits.Mul64(uint64(total), uint64(part))
	if hi >= uint64(whole) {
		return 0, fmt.Errorf("%w: %d x %d / %d", ErrOverflow, total, part, whole)
	}
	share, _ := bits.Div64(hi, lo, uint64(whole))
	if share > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %d x %d / %d", ErrOverflow, total, part, whole)
	}
	return int64(share), nil
}

// BasisPoints is the whole in basis points: 100 %.
const BasisPoints = 10_000

// Split divides a gross amount of minor units between a creator and the
// platform, which takes a commission of bps basis points (0 to 10,000) and
// whatever rounding leaves over. net + commission is always gross.
func Split(gross int64, bps int) (net, commission int64, err error) {
	if bps < 0 || bps > BasisPoints {
		return 0, 0, fmt.Errorf("money: a commission of %d basis points is not between 0 and %d", bps, BasisPoints)
	}
	net, err = Share(gross, int64(BasisPoints-bps), BasisPoints)
	if err != nil {
		return 0, 0, err
	}
	return net, gross - net, nil
}
