package paypal

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/money"
	"proofroom/internal/core/payment"
)

// TestAmountsOnTheWire compares with literal bytes: a round trip would not notice
// a factor that is wrong both ways.
func TestAmountsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		minor    int64
		said     string // what a person would say
		wire     string
	}{
		{"USD", 1999, "19.99 dollars", `"value":"19.99"`},
		{"USD", 5, "5 cents", `"value":"0.05"`},
		{"EUR", 50, "0.50 euro", `"value":"0.50"`},
		{"GBP", 100_000, "1,000 pounds", `"value":"1000.00"`},
		{"JPY", 1500, "1,500 yen", `"value":"1500"`},
		{"HUF", 149_900, "1,499.00 forint", `"value":"1499"`},
		{"TWD", 30_000, "300.00 Taiwan dollars", `"value":"300"`},
		{"MXN", 1, "a centavo", `"value":"0.01"`},
		{"USD", 999_999_999, "9,999,999.99 dollars", `"value":"9999999.99"`},
	} {
		req, err := createBody(payment.CheckoutRequest{Currency: c.currency, Lines: []payment.CheckoutLine{{Name: "Photo", Price: c.minor}}})
		require.NoError(t, err, c.said)
		b, err := json.Marshal(req)
		require.NoError(t, err)
		require.Equal(t, 3, strings.Count(string(b), `{"currency_code":"`+c.currency+`",`+c.wire), "%s: total, breakdown and item of %s", c.said, b)

		back, err := fromWire(req.Units[0].Amount.amount)
		require.NoError(t, err, c.said)
		require.Equal(t, c.minor, back, c.said)
	}
}

func TestAmountsThatCannotBeCharged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		minor    int64
	}{
		{"HUF", 149_950}, // half a forint
		{"TWD", 1},
		{"USD", -1},
		{"USD", 1_000_000_000},
		{"JPY", 10_000_000},
		{"USD", math.MaxInt64},
		{"usd", 100}, // ours are upper case
		// What others take and PayPal does not.
		{"UGX", 100},
		{"ISK", 100},
		{"XOF", 100},
		{"RWF", 100},
		{"TND", 1000},
		{"KWD", 1000},
		{"NGN", 100},
		{"RUB", 100},
		{"", 100},
	} {
		_, err := toWire(c.currency, c.minor)
		require.Error(t, err, "%+v", c)
	}
}

func TestAmountsThatPayPalStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency, value string
		want            int64
	}{
		{"USD", "0.00", 0},
		{"USD", "15", 1500},
		{"USD", "15.5", 1550},
		{"USD", "15.00", 1500},
		{"USD", "15.5000", 1550},
		{"JPY", "1500", 1500},
		{"JPY", "1500.00", 1500},
		{"HUF", "1499", 149_900},
		{"HUF", "1499.00", 149_900},
		{"USD", "92233720368547758.07", math.MaxInt64},
	} {
		got, err := fromWire(amount{c.currency, c.value})
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.want, got, "%+v", c)
	}
	for _, value := range []string{
		"", "-1.00", "+1.00", "1e3", "1E3", "0x10", " 1.00", "1.00 ", "1,00", "1,000.00", ".50", "1.", "1..0", "1.0.0", "01.00", "00", "NaN", "Inf",
		"١.٠٠", "1_000", "15.001", "92233720368547758.08", strings.Repeat("9", 33), "1\x00",
	} {
		_, err := fromWire(amount{"USD", value})
		require.Error(t, err, "%q", value)
		require.NotErrorIs(t, err, errCurrency)
	}
	_, err := fromWire(amount{"JPY", "1500.50"})
	require.Error(t, err)
	_, err = fromWire(amount{"TND", "1.000"})
	require.ErrorIs(t, err, errCurrency)
}

func TestUnitsAreThoseOfISO(t *testing.T) {
	t.Parallel()
	for currency, u := range units {
		d, err := money.Digits(currency)
		require.NoError(t, err, currency)
		require.Equal(t, d, u.ours, currency)
		require.LessOrEqual(t, u.wire, u.ours, currency)
	}
	for currency := range homes {
		require.Contains(t, units, currency)
	}
}

func TestOffer(t *testing.T) {
	t.Parallel()
	c := &Client{}
	for _, ok := range []struct {
		currency string
		minor    int64
		country  string
	}{
		{"USD", 1, ""},
		{"USD", 999_999_999, "KE"},
		{"JPY", 1, "JP"},
		{"JPY", 9_999_999, "JP"},
		{"HUF", 100, "HU"},
		{"BRL", 100, "BR"},
		{"BRL", 100, ""},
	} {
		offer, err := c.Offer(ok.currency, ok.minor, ok.country)
		require.NoError(t, err, "%+v", ok)
		require.Equal(t, payment.Offer{Methods: []string{"PayPal"}}, offer)
		_, err = toWire(ok.currency, ok.minor)
		require.NoError(t, err, "what is offered can be charged: %+v", ok)
	}
	for _, no := range []struct {
		currency string
		minor    int64
		country  string
		want     payment.CannotError
	}{
		{"NGN", 100, "NG", payment.CannotError{Reason: "currency"}},
		{"TND", 1000, "TN", payment.CannotError{Reason: "currency"}},
		{"USD", 100, "TR", payment.CannotError{Reason: "country"}},
		{"BRL", 100, "US", payment.CannotError{Reason: "country"}},
		{"USD", 0, "", payment.CannotError{Reason: "minimum", Limit: 1}},
		{"HUF", 50, "", payment.CannotError{Reason: "minimum", Limit: 100}},
		{"HUF", 150, "", payment.CannotError{Reason: "step", Limit: 100}},
		{"USD", 1_000_000_000, "", payment.CannotError{Reason: "maximum", Limit: 999_999_999}},
		{"HUF", 1_000_000_000, "", payment.CannotError{Reason: "maximum", Limit: 999_999_900}},
		{"JPY", 10_000_000, "", payment.CannotError{Reason: "maximum", Limit: 9_999_999}},
	} {
		_, err := c.Offer(no.currency, no.minor, no.country)
		var cannot *payment.CannotError
		require.ErrorAs(t, err, &cannot, "%+v", no)
		no.want.Provider = Name
		require.Equal(t, no.want, *cannot)
	}
	_, stated := c.Minimum("USD")
	require.False(t, stated)
}

func FuzzAmount(f *testing.F) {
	for _, s := range []string{"15.00", "0.05", "1e9", "-1", "9223372036854775807", "00.1", "1.000000000000000000000000000000", "１"} {
		f.Add("USD", s)
		f.Add("HUF", s)
		f.Add("JPY", s)
	}
	f.Add("TND", "1.000")
	f.Fuzz(func(t *testing.T, currency, value string) {
		minor, err := fromWire(amount{currency, value})
		if err != nil {
			require.Zero(t, minor)
			return
		}
		require.GreaterOrEqual(t, minor, int64(0))
		require.Equal(t, -1, strings.IndexFunc(value, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }))
		// What was read is what was written, digit by digit, but for zeros at the end.
		whole, fraction, _ := strings.Cut(value, ".")
		ours, err := money.Parse(whole+"."+fraction[:min(len(fraction), units[currency].ours)]+strings.Repeat("0", max(0, units[currency].ours-len(fraction))), currency)
		if units[currency].ours == 0 {
			ours, err = money.Parse(whole, currency)
		}
		require.NoError(t, err)
		require.Equal(t, ours.Minor, minor)
		wire, err := toWire(currency, minor)
		if err != nil {
			return
		}
		again, err := fromWire(wire)
		require.NoError(t, err)
		require.Equal(t, minor, again)
	})
}
