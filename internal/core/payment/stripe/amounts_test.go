package stripe

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// TestAmountsOnTheWire compares with literal bytes: a round trip would not
// notice a factor that is wrong both ways.
func TestAmountsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		minor    int64
		said     string // what a person would say
		wire     string
	}{
		{"USD", 1999, "19.99 dollars", "1999"},
		{"EUR", 50, "0.50 euro", "50"},
		{"NGN", 250000, "2,500.00 naira", "250000"},
		{"HUF", 149900, "1,499.00 forint", "149900"},
		{"HUF", 149950, "1,499.50 forint", "149950"},
		{"JPY", 1500, "1,500 yen", "1500"},
		{"XOF", 3000, "3,000 francs", "3000"},
		{"RWF", 1200, "1,200 francs", "1200"},
		{"UGX", 15000, "15,000 shillings", "1500000"},
		{"ISK", 2400, "2,400 krónur", "240000"},
		{"TND", 12340, "12.340 dinars", "12340"},
		{"KWD", 5000, "5.000 dinars", "5000"},
		{"MGA", 500000, "5,000.00 ariary", "5000"},
		{"TWD", 30000, "300.00 dollars", "30000"},
	} {
		p, err := createParams(payment.CheckoutRequest{
			Currency: c.currency, Lines: []payment.CheckoutLine{{Name: "Photo", Price: c.minor}},
		})
		require.NoError(t, err, c.said)
		require.Equal(t, c.wire, formValue(t, p, "line_items[0][price_data][unit_amount]"), c.said)

		wire, err := toWire(c.currency, c.minor)
		require.NoError(t, err, c.said)
		back, err := fromWire(c.currency, wire)
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
		{"TND", 12345}, // a digit that no card network carries
		{"KWD", 1},
		{"MGA", 150}, // half an ariary
		{"USD", -1},
		{"UGX", math.MaxInt64},
		{"usd", 100}, // ours are upper case
		{"XXX", 100},
		{"", 100},
	} {
		_, err := toWire(c.currency, c.minor)
		require.Error(t, err, "%+v", c)
	}
	for _, c := range []struct {
		currency string
		wire     int64
	}{
		{"UGX", 150050}, // half a shilling
		{"ISK", 1},
		{"USD", -5},
		{"MGA", math.MaxInt64},
		{"EURO", 5},
	} {
		_, err := fromWire(c.currency, c.wire)
		require.Error(t, err, "%+v", c)
	}
}

func TestMinimum(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]int64{"USD": 50, "GBP": 30, "JPY": 50, "HUF": 17500, "MXN": 1000, "DKK": 250} {
		got, ok := Minimum(currency)
		require.True(t, ok, currency)
		require.Equal(t, want, got, currency)
	}
	_, ok := Minimum("NGN")
	require.False(t, ok)
	for currency, minor := range minimums {
		_, err := toWire(currency, minor)
		require.NoError(t, err, "the minimum of %s can itself be charged", currency)
	}
}
