package flutterwave

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"proofroom/internal/proof/twin/host"
)

// currencies are those of Flutterwave's table of payment methods.
const currencies = " NGN USD EUR GBP GHS XAF XOF ZAR MWK KES UGX RWF TZS ZMW "

func takes(currency string) bool {
	return len(currency) == 3 && strings.Contains(currencies, " "+currency+" ")
}

// number writes an amount as JavaScript does: without zeros at its end.
func number(currency string, minor int64) json.Number {
	return shorten(host.Major(currency, minor))
}

func shorten(decimal string) json.Number {
	if strings.Contains(decimal, ".") {
		decimal = strings.TrimRight(strings.TrimRight(decimal, "0"), ".")
	}
	return json.Number(decimal)
}

// amount is a number or a text of one, in major units.
type amount string

func (a *amount) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return fmt.Errorf("%s is no amount", b)
	}
	*a = amount(s)
	return nil
}

// minor is the amount in minor units of ISO 4217.
func (a amount) minor(currency string) (int64, bool) {
	whole, fraction, _ := strings.Cut(string(a), ".")
	digits := host.Decimals(currency)
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > digits {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	return n, err == nil && n > 0
}

// fee is what Flutterwave keeps: 1.4 %, to a thousandth of the minor unit.
type fee struct {
	currency string
	mils     int64 // thousandths of the minor unit
}

func feeOf(currency string, minor int64) fee { return fee{currency, minor * 14} }

// number writes the fee with every digit that it has.
func (f fee) number() json.Number {
	digits := host.Decimals(f.currency) + 3
	s := fmt.Sprintf("%0*d", digits+1, f.mils)
	return shorten(s[:len(s)-digits] + "." + s[len(s)-digits:])
}

// minor is what is really kept: whole minor units, rounded up.
func (f fee) minor() int64 { return (f.mils + 999) / 1000 }
