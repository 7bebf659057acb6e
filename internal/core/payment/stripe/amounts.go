package stripe

import (
	"fmt"
	"math"
	"strings"

	"proofroom/internal/core/payment"
)

// unit says how Stripe counts a currency. Our minor units follow ISO 4217;
// Stripe's amount is minor*times/over, and must be a multiple of step.
type unit struct {
	times, over, step int64
}

var (
	sameUnit = unit{1, 1, 1}
	// Stripe kept two decimals for currencies that ISO has since made
	// zero-decimal, and wants the two decimals to be 00.
	legacyTwoDecimals = unit{100, 1, 100}
	// Three decimals, of which the card networks carry only two.
	threeDecimals = unit{1, 1, 10}
	// ISO counts the ariary with two digits, Stripe with none.
	isoTwoStripeZero = unit{1, 100, 1}
)

var units = func() map[string]unit {
	m := map[string]unit{
		"UGX": legacyTwoDecimals, "ISK": legacyTwoDecimals,
		"BHD": threeDecimals, "JOD": threeDecimals, "KWD": threeDecimals, "OMR": threeDecimals, "TND": threeDecimals,
		"MGA": isoTwoStripeZero,
	}
	const zeroDecimal = "BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF"
	const twoDecimals = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN BZD " +
		"CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF " +
		"IDR ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN " +
		"NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STD " +
		"SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW"
	for _, c := range strings.Fields(zeroDecimal + " " + twoDecimals) {
		m[c] = sameUnit
	}
	return m
}()

// toWire turns minor units of currency (ISO 4217, upper case) into Stripe's
// amount. It refuses what Stripe cannot take exactly.
func toWire(currency string, minor int64) (int64, error) {
	u, ok := units[currency]
	if !ok {
		return 0, fmt.Errorf("stripe takes no %q", currency)
	}
	if minor < 0 || minor > math.MaxInt64/u.times {
		return 0, fmt.Errorf("%d minor units of %s cannot be charged", minor, currency)
	}
	if minor%u.over != 0 || (minor*u.times/u.over)%u.step != 0 {
		return 0, fmt.Errorf("%d minor units of %s cannot be charged: stripe takes multiples of %d only",
			minor, currency, max(u.over, u.step/u.times))
	}
	return minor * u.times / u.over, nil
}

// fromWire turns Stripe's amount of currency (upper case) into minor units. It
// refuses an amount that our units cannot hold exactly.
func fromWire(currency string, wire int64) (int64, error) {
	u, ok := units[currency]
	if !ok {
		return 0, fmt.Errorf("stripe stated an amount in the unknown currency %q", currency)
	}
	if wire < 0 || wire > math.MaxInt64/u.over || (wire*u.over)%u.times != 0 {
		return 0, fmt.Errorf("stripe stated %d %s, which is no whole number of minor units", wire, currency)
	}
	return wire * u.over / u.times, nil
}

// minimums are the smallest charges by settlement currency, in minor units.
var minimums = map[string]int64{
	"USD": 50, "EUR": 50, "AUD": 50, "CAD": 50, "CHF": 50, "NZD": 50, "SGD": 50, "BRL": 50, "INR": 50,
	"GBP": 30, "JPY": 50, "AED": 200, "PLN": 200, "RON": 200, "MYR": 200, "HKD": 400, "MXN": 1000, "THB": 1000,
	"DKK": 250, "NOK": 300, "SEK": 300, "CZK": 1500, "HUF": 17500, "BGN": 100,
}

// Minimum is the smallest amount, in minor units, that Stripe charges when the
// account settles in currency (ISO 4217, upper case). False means that Stripe
// publishes none; a smaller price may then still be refused by Stripe.
func Minimum(currency string) (int64, bool) {
	m, ok := minimums[currency]
	return m, ok
}

// maximum is the largest charge: eight digits.
const maximum = 99_999_999

// Offer implements payment.Provider. Which of its methods a payer sees, Stripe
// decides by itself; it takes cards of every country.
func (*Client) Offer(currency string, minor int64, _ string) (payment.Offer, error) {
	cannot := func(reason string, limit int64) (payment.Offer, error) {
		return payment.Offer{}, &payment.CannotError{Provider: Name, Reason: reason, Limit: limit}
	}
	u, ok := units[currency]
	if !ok {
		return cannot("currency", 0)
	}
	if least, ok := Minimum(currency); ok && minor < least {
		return cannot("minimum", least)
	}
	wire, err := toWire(currency, minor)
	if err != nil {
		return cannot("step", max(u.over, u.step/u.times))
	}
	if wire > maximum && currency != "IDR" && currency != "INR" {
		return cannot("maximum", maximum*u.over/u.times)
	}
	return payment.Offer{Methods: []string{"Card"}}, nil
}
