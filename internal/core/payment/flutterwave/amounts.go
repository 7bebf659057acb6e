package flutterwave

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"proofroom/internal/base/money"
	"proofroom/internal/core/payment"
)

// rail is a currency that Flutterwave's page takes: its decimal digits, and what
// payers of its own countries can use besides a card.
type rail struct {
	digits    int
	methods   []string
	countries []string
}

// rails are the currencies of Flutterwave's documented table of payment methods.
// Cards of any country pay in each of them.
var rails = map[string]rail{
	"USD": {digits: 2},
	"EUR": {digits: 2},
	"GBP": {digits: 2},
	"NGN": {2, []string{"Bank transfer", "USSD"}, []string{"NG"}},
	"GHS": {2, []string{"Mobile money (Ghana)"}, []string{"GH"}},
	"KES": {2, []string{"M-Pesa"}, []string{"KE"}},
	"UGX": {0, []string{"Mobile money (Uganda)"}, []string{"UG"}},
	"RWF": {0, []string{"Mobile money (Rwanda)"}, []string{"RW"}},
	"TZS": {2, []string{"Mobile money (Tanzania)"}, []string{"TZ"}},
	"ZMW": {2, []string{"Mobile money (Zambia)"}, []string{"ZM"}},
	"MWK": {2, []string{"Mobile money (Malawi)"}, []string{"MW"}},
	"ZAR": {2, []string{"Bank account", "1Voucher"}, []string{"ZA"}},
	"XAF": {0, []string{"Mobile money (Central Africa)"}, []string{"CM", "CF", "CG", "GA", "GQ", "TD"}},
	"XOF": {0, []string{"Mobile money (West Africa)"}, []string{"BF", "BJ", "CI", "GW", "ML", "NE", "SN", "TG"}},
}

// maximum keeps an amount within the 15 decimal digits that a floating point
// number at the other end still tells apart.
const maximum = 999_999_999_999_999

// toWire turns minor units of currency (ISO 4217, upper case) into Flutterwave's
// amount: a JSON number of major units.
func toWire(currency string, minor int64) (json.Number, error) {
	if _, ok := rails[currency]; !ok {
		return "", fmt.Errorf("flutterwave takes no %q", currency)
	}
	if minor <= 0 || minor > maximum {
		return "", fmt.Errorf("%d minor units of %s cannot be charged", minor, currency)
	}
	return json.Number(money.Amount{Minor: minor, Currency: currency}.Decimal()), nil
}

// fromWire turns Flutterwave's amount of currency (upper case) into minor units.
// It refuses an amount that these cannot hold exactly.
func fromWire(currency string, wire json.Number) (int64, error) {
	minor, rest, err := read(currency, wire)
	if err == nil && rest {
		err = fmt.Errorf("flutterwave stated %s %s, which is no whole number of minor units", payment.Clip(wire.String(), 40), currency)
	}
	return minor, err
}

// feeFromWire is fromWire for a fee, which Flutterwave computes more finely than
// it can be paid: a part of a minor unit counts as a whole one.
func feeFromWire(currency string, wire json.Number) (int64, error) {
	minor, rest, err := read(currency, wire)
	if err == nil && rest {
		minor++
	}
	return minor, err
}

// read splits an amount into whole minor units and whether there is a rest.
func read(currency string, wire json.Number) (minor int64, rest bool, err error) {
	r, ok := rails[currency]
	if !ok {
		return 0, false, fmt.Errorf("flutterwave stated an amount in the unknown currency %q", payment.Clip(currency, 10))
	}
	whole, fraction, dotted := strings.Cut(wire.String(), ".")
	if !payment.Digits(whole) || dotted && !payment.Digits(fraction) {
		// A sign and an exponent are JSON numbers too, and no amounts.
		return 0, false, fmt.Errorf("flutterwave stated %q, which is no amount", payment.Clip(wire.String(), 40))
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > r.digits {
		fraction, rest = fraction[:r.digits], true
	}
	digits := whole + fraction + strings.Repeat("0", r.digits-len(fraction))
	minor, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || minor > maximum {
		return 0, false, fmt.Errorf("flutterwave stated %q, which is too large", payment.Clip(wire.String(), 40))
	}
	return minor, rest, nil
}

// Minimum implements payment.Provider: Flutterwave states none. A smaller price
// may then still be refused when the page is asked for.
func (*Client) Minimum(string) (int64, bool) { return 0, false }

// Offer implements payment.Provider. A payer of another country than the
// currency's pays by card.
func (*Client) Offer(currency string, minor int64, country string) (payment.Offer, error) {
	r, ok := rails[currency]
	switch {
	case !ok:
		return payment.Offer{}, &payment.CannotError{Provider: Name, Reason: "currency"}
	case minor <= 0:
		return payment.Offer{}, &payment.CannotError{Provider: Name, Reason: "minimum", Limit: 1}
	case minor > maximum:
		return payment.Offer{}, &payment.CannotError{Provider: Name, Reason: "maximum", Limit: maximum}
	}
	methods := []string{"Card"}
	if country == "" || slices.Contains(r.countries, country) {
		methods = append(methods, r.methods...)
	}
	return payment.Offer{Methods: methods, NeedsEmail: true}, nil
}
