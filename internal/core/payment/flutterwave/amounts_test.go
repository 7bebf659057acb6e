package flutterwave

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
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
		{"USD", 1999, "19.99 dollars", "19.99"},
		{"USD", 5, "5 cents", "0.05"},
		{"EUR", 50, "0.50 euro", "0.50"},
		{"GBP", 100000, "1,000 pounds", "1000.00"},
		{"NGN", 250000, "2,500 naira", "2500.00"},
		{"KES", 12350, "123.50 shillings", "123.50"},
		{"GHS", 4999, "49.99 cedis", "49.99"},
		{"ZAR", 19900, "199 rand", "199.00"},
		{"TZS", 500000, "5,000 shillings", "5000.00"},
		{"ZMW", 1, "one ngwee", "0.01"},
		{"MWK", 300000, "3,000 kwacha", "3000.00"},
		{"UGX", 15000, "15,000 shillings", "15000"},
		{"RWF", 1200, "1,200 francs", "1200"},
		{"XOF", 3000, "3,000 francs", "3000"},
		{"XAF", 1, "one franc", "1"},
	} {
		page, err := newPage(payment.CheckoutRequest{
			AttemptID: uuid.New(), Currency: c.currency, Email: "ada@example.com", ExpiresAt: time.Now().Add(time.Hour),
			Lines: []payment.CheckoutLine{{Name: "Photo", Price: c.minor}},
		}, time.Now())
		require.NoError(t, err, c.said)
		sent, err := json.Marshal(page)
		require.NoError(t, err, c.said)
		require.Contains(t, string(sent), `"amount":`+c.wire+`,"currency":"`+c.currency+`"`, c.said)

		back, err := fromWire(c.currency, json.Number(c.wire))
		require.NoError(t, err, c.said)
		require.Equal(t, c.minor, back, c.said)
	}
}

// TestAmountsFromTheWire has what Flutterwave may write for an amount: numbers
// without trailing zeros, or with more of them than the currency has digits.
func TestAmountsFromTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency, wire string
		minor, fee     int64
	}{
		{"NGN", "100", 10000, 10000},
		{"NGN", "1.4", 140, 140},
		{"USD", "19.990", 1999, 1999},
		{"UGX", "15000.00", 15000, 15000},
		{"USD", "0", 0, 0},
		{"USD", "9007199254740.93", 900719925474093, 900719925474093},
		// No amount: a fee only, of which a part counts as a whole.
		{"USD", "26.875", -1, 2688},
		{"USD", "0.001", -1, 1},
		{"UGX", "430.5", -1, 431},
		{"USD", "19.990000000000002", -1, 2000},
		// Neither.
		{"USD", "-5", -1, -1},
		{"USD", "1e3", -1, -1},
		{"USD", "1E400", -1, -1},
		{"USD", "", -1, -1},
		{"USD", ".5", -1, -1},
		{"USD", "5.", -1, -1},
		{"USD", "5.5.5", -1, -1},
		{"USD", "+5", -1, -1},
		{"USD", "0x10", -1, -1},
		{"USD", "NaN", -1, -1},
		{"USD", "9999999999999999.99", -1, -1},
		{"USD", "99999999999999999999999999", -1, -1},
		{"JPY", "1500", -1, -1},
		{"usd", "1", -1, -1},
		{"", "1", -1, -1},
	} {
		amount, err := fromWire(c.currency, json.Number(c.wire))
		fee, feeErr := feeFromWire(c.currency, json.Number(c.wire))
		require.Equal(t, c.minor < 0, err != nil, "%+v: %v", c, err)
		require.Equal(t, c.fee < 0, feeErr != nil, "%+v: %v", c, feeErr)
		if err == nil {
			require.Equal(t, c.minor, amount, "%+v", c)
		}
		if feeErr == nil {
			require.Equal(t, c.fee, fee, "%+v", c)
		}
	}
	for _, c := range []struct {
		currency string
		minor    int64
	}{
		{"USD", 0},
		{"USD", -1},
		{"UGX", math.MaxInt64},
		{"usd", 100},
		{"", 100},
		// Not on Flutterwave's page, by its table.
		{"JPY", 1500},
		{"ISK", 2400},
		{"HUF", 149900},
		{"TND", 12340},
		{"KWD", 5000},
	} {
		_, err := toWire(c.currency, c.minor)
		require.Error(t, err, "%+v", c)
	}
}

// TestNumbersAreNeverFloats: an amount that no float holds arrives whole.
func TestNumbersAreNeverFloats(t *testing.T) {
	t.Parallel()
	var got transaction
	require.NoError(t, json.Unmarshal([]byte(`{"id":9007199254740993,"amount":90071992547409.93,"currency":"NGN"}`), &got))
	require.Equal(t, "9007199254740993", got.ID.String())
	_, err := fromWire("NGN", got.Amount)
	require.Error(t, err, "more than we take, and not another number")
	require.NoError(t, json.Unmarshal([]byte(`{"amount":9007199254740.93}`), &got))
	minor, err := fromWire("NGN", got.Amount)
	require.NoError(t, err)
	require.EqualValues(t, 900719925474093, minor)
}

func TestOffer(t *testing.T) {
	t.Parallel()
	var c *Client
	for _, x := range []struct {
		currency, country string
		methods           []string
	}{
		{"USD", "", []string{"Card"}},
		{"USD", "US", []string{"Card"}},
		{"KES", "KE", []string{"Card", "M-Pesa"}},
		{"KES", "", []string{"Card", "M-Pesa"}},
		{"KES", "DE", []string{"Card"}},
		{"UGX", "UG", []string{"Card", "Mobile money (Uganda)"}},
		{"XOF", "SN", []string{"Card", "Mobile money (West Africa)"}},
		{"XAF", "SN", []string{"Card"}},
		{"NGN", "NG", []string{"Card", "Bank transfer", "USSD"}},
	} {
		offer, err := c.Offer(x.currency, 100, x.country)
		require.NoError(t, err)
		require.Equal(t, payment.Offer{Methods: x.methods, NeedsEmail: true}, offer, "%+v", x)
	}
	for _, x := range []struct {
		currency string
		minor    int64
		reason   string
		limit    int64
	}{
		{"JPY", 100, "currency", 0},
		{"KWD", 100, "currency", 0},
		{"usd", 100, "currency", 0},
		{"USD", 0, "minimum", 1},
		{"USD", maximum + 1, "maximum", maximum},
	} {
		_, err := c.Offer(x.currency, x.minor, "")
		require.Equal(t, &payment.CannotError{Provider: "flutterwave", Reason: x.reason, Limit: x.limit}, err, "%+v", x)
	}
	for currency := range rails {
		_, err := toWire(currency, maximum)
		require.NoError(t, err, "what is offered can be charged: %s", currency)
		_, stated := c.Minimum(currency)
		require.False(t, stated)
	}
}

func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"26.875", "0", "100", "1.4", "-1", "1e3", "0.0000000000000000001", "999999999999999", "19.99"} {
		f.Add("USD", s)
		f.Add("UGX", s)
	}
	f.Fuzz(func(t *testing.T, currency, s string) {
		minor, err := fromWire(currency, json.Number(s))
		fee, feeErr := feeFromWire(currency, json.Number(s))
		if err != nil {
			require.Zero(t, max(0, minor-maximum))
			return
		}
		require.NoError(t, feeErr)
		require.Equal(t, minor, fee, "an exact amount is not rounded")
		require.GreaterOrEqual(t, minor, int64(0))
		if minor == 0 {
			return
		}
		wire, err := toWire(currency, minor)
		require.NoError(t, err)
		require.True(t, json.Valid([]byte(wire)), "%s", wire)
		again, err := fromWire(currency, wire)
		require.NoError(t, err)
		require.Equal(t, minor, again)
	})
}
