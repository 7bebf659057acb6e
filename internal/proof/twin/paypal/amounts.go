package paypal

import (
	"strconv"
	"strings"

	"proofroom/internal/proof/twin/host"
)

// The currencies that PayPal takes, and how many digits of each it writes.
var digits = map[string]int{
	"AUD": 2, "BRL": 2, "CAD": 2, "CHF": 2, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "HUF": 0, "ILS": 2,
	"JPY": 0, "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "PHP": 2, "PLN": 2, "SEK": 2, "SGD": 2, "THB": 2, "TWD": 0, "USD": 2,
}

// object is a JSON object of PayPal's.
type object map[string]any

// step is the smallest amount of a currency that PayPal can write, in minor units
// of ISO 4217: 100 for HUF, whose hundredths PayPal does not know.
func step(currency string) int64 {
	unit := int64(1)
	for range host.Decimals(currency) - digits[currency] {
		unit *= 10
	}
	return unit
}

// value writes minor units as PayPal does.
func value(currency string, minor int64) string {
	whole := host.Major(currency, minor)
	if digits[currency] == 0 {
		whole, _, _ = strings.Cut(whole, ".")
	}
	return whole
}

func money(currency string, minor int64) object {
	return object{"currency_code": currency, "value": value(currency, minor)}
}

// wireMoney is an amount in a request.
type wireMoney struct {
	Currency string `json:"currency_code"`
	Value    string `json:"value"`
}

// minor reads an amount; issue says what is wrong with it.
func (m wireMoney) minor() (minor int64, issue string) {
	places, known := digits[m.Currency]
	whole, fraction, _ := strings.Cut(m.Value, ".")
	switch {
	case !known:
		return 0, "INVALID_CURRENCY_CODE"
	case m.Value == "" || strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" || len(m.Value) > 32:
		if strings.HasPrefix(m.Value, "-") {
			return 0, "CANNOT_BE_NEGATIVE"
		}
		return 0, "INVALID_PARAMETER_SYNTAX"
	case len(fraction) > places:
		return 0, "DECIMAL_PRECISION"
	}
	all := host.Decimals(m.Currency)
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", all-len(fraction)), 10, 64)
	switch {
	case err != nil:
		return 0, "MAX_VALUE_EXCEEDED"
	case n == 0:
		return 0, "CANNOT_BE_ZERO_OR_NEGATIVE"
	}
	return n, ""
}

// fee is what PayPal keeps of a payment: 3.49 % and, where a currency has
// hundredths, 49 of them.
func fee(currency string, minor int64) int64 {
	f := minor * 349 / 10_000
	if host.Decimals(currency) == 2 {
		f += 49
	}
	f -= f % step(currency)
	return min(f, minor)
}
