package paypal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"proofroom/internal/core/payment"
)

// unit says how many decimals a currency has with us (ISO 4217) and on PayPal's
// wire. PayPal writes whole forints and Taiwan dollars.
type unit struct{ ours, wire int }

// units are the currencies that PayPal lists for REST payments. The dinar of
// Tunisia is not among them: the description of Orders only names it to show what
// three decimals would look like, that of Payments takes two at most. The rouble
// is left out since PayPal takes none since 2022.
var units = map[string]unit{
	"HUF": {2, 0}, "TWD": {2, 0}, "JPY": {0, 0},
	"AUD": {2, 2}, "BRL": {2, 2}, "CAD": {2, 2}, "CNY": {2, 2}, "CZK": {2, 2}, "DKK": {2, 2}, "EUR": {2, 2}, "HKD": {2, 2},
	"ILS": {2, 2}, "MYR": {2, 2}, "MXN": {2, 2}, "NZD": {2, 2}, "NOK": {2, 2}, "PHP": {2, 2}, "PLN": {2, 2}, "GBP": {2, 2},
	"SGD": {2, 2}, "SEK": {2, 2}, "CHF": {2, 2}, "THB": {2, 2}, "USD": {2, 2},
}

// homes are the currencies that only accounts of one country can pay with.
var homes = map[string]string{"BRL": "BR", "CNY": "CN", "MYR": "MY"}

// closed are the countries from which PayPal lists no payers.
var closed = strings.Fields("AF BD CF CU GH GQ HT IQ IR KP LB LR LY MM PK PS SD SS SY TL TR UZ")

// maxWhole is the most digits before the point that PayPal takes.
const maxWhole = 7

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// step is the smallest payable coin in our minor units.
func (u unit) step() int64 { return pow10(u.ours - u.wire) }

// amount is money as PayPal writes it.
type amount struct {
	Currency string `json:"currency_code"`
	Value    string `json:"value"`
}

// toWire writes minor units of currency (ISO 4217, upper case) as PayPal's
// decimal. It refuses what PayPal cannot take exactly.
func toWire(currency string, minor int64) (amount, error) {
	u, ok := units[currency]
	if !ok {
		return amount{}, fmt.Errorf("paypal takes no %q", currency)
	}
	if minor < 0 || minor/pow10(u.ours) >= pow10(maxWhole) {
		return amount{}, fmt.Errorf("%d minor units of %s cannot be charged", minor, currency)
	}
	if minor%u.step() != 0 {
		return amount{}, fmt.Errorf("%d minor units of %s cannot be charged: paypal takes multiples of %d only", minor, currency, u.step())
	}
	n := minor / u.step()
	if u.wire == 0 {
		return amount{currency, strconv.FormatInt(n, 10)}, nil
	}
	scale := pow10(u.wire)
	return amount{currency, fmt.Sprintf("%d.%0*d", n/scale, u.wire, n%scale)}, nil
}

// errCurrency says that PayPal named a currency in which it takes no payment of
// ours.
var errCurrency = errors.New("paypal stated an amount in an unknown currency")

// fromWire reads PayPal's decimal as minor units: ASCII digits, and a point with
// digits on both sides. Digits beyond those of our unit must be zeros.
func fromWire(a amount) (int64, error) {
	u, ok := units[a.Currency]
	if !ok {
		return 0, fmt.Errorf("%w: %q", errCurrency, payment.Clip(a.Currency, 200))
	}
	whole, fraction, point := strings.Cut(a.Value, ".")
	if len(a.Value) > 32 || !payment.Digits(whole) || point && !payment.Digits(fraction) || len(whole) > 1 && whole[0] == '0' {
		return 0, fmt.Errorf("paypal stated the amount %q %s, which is no decimal number", payment.Clip(a.Value, 200), a.Currency)
	}
	if kept := min(len(fraction), u.ours); strings.Trim(fraction[kept:], "0") != "" {
		return 0, fmt.Errorf("paypal stated the amount %s %s, which is no whole number of minor units", a.Value, a.Currency)
	} else {
		fraction = fraction[:kept]
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", u.ours-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("paypal stated the amount %s %s, which is too large", a.Value, a.Currency)
	}
	return minor, nil
}

// sum adds lines, and tells whether the result fits.
func sum(lines []payment.CheckoutLine) (int64, bool) {
	var total int64
	for _, l := range lines {
		if l.Price < 0 || total > math.MaxInt64-l.Price {
			return 0, false
		}
		total += l.Price
	}
	return total, true
}

// Minimum implements payment.Provider: PayPal states none.
func (*Client) Minimum(string) (int64, bool) { return 0, false }

// Offer implements payment.Provider. The countries are those of payers, as far
// as PayPal lists them; some currencies are for payers of their own country.
func (*Client) Offer(currency string, minor int64, country string) (payment.Offer, error) {
	cannot := func(reason string, limit int64) (payment.Offer, error) {
		return payment.Offer{}, &payment.CannotError{Provider: Name, Reason: reason, Limit: limit}
	}
	u, ok := units[currency]
	if !ok {
		return cannot("currency", 0)
	}
	if home := homes[currency]; country != "" && (slices.Contains(closed, country) || home != "" && home != country) {
		return cannot("country", 0)
	}
	if minor < u.step() {
		return cannot("minimum", u.step())
	}
	if most := pow10(maxWhole+u.ours) - u.step(); minor > most {
		return cannot("maximum", most)
	}
	if minor%u.step() != 0 {
		return cannot("step", u.step())
	}
	return payment.Offer{Methods: []string{"PayPal"}}, nil
}
