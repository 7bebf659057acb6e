package stripe

import (
	"fmt"
	"strings"

	"proofroom/internal/proof/twin/host"
)

// The provider's own table of currencies. It is written down a second time on
// purpose: a client whose table is wrong must be refused here.

func set(codes string) map[string]bool {
	m := map[string]bool{}
	for _, c := range strings.Fields(codes) {
		m[c] = true
	}
	return m
}

var (
	zeroDecimal  = set("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
	threeDecimal = set("bhd jod kwd omr tnd")
	// Two decimals on the wire, which must be 00.
	wholeOnly  = set("ugx isk")
	twoDecimal = set("aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf " +
		"chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd " +
		"kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd " +
		"pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs " +
		"uah usd uyu uzs wst xcd yer zar zmw")

	smallest = map[string]int64{
		"usd": 50, "eur": 50, "aud": 50, "cad": 50, "chf": 50, "nzd": 50, "sgd": 50, "brl": 50, "inr": 50, "gbp": 30,
		"jpy": 50, "aed": 200, "pln": 200, "ron": 200, "myr": 200, "hkd": 400, "mxn": 1000, "thb": 1000, "dkk": 250,
		"nok": 300, "sek": 300, "czk": 1500, "huf": 17500, "bgn": 100,
	}
)

const largest = 99_999_999

func checkCurrency(param, code string) *apiError {
	if zeroDecimal[code] || threeDecimal[code] || wholeOnly[code] || twoDecimal[code] {
		return nil
	}
	return invalid(param, "", "Invalid currency: "+code+".")
}

func checkUnitAmount(param, currency string, amount int64) *apiError {
	switch {
	case amount < 0:
		return invalid(param, "parameter_invalid_integer", "This value must be greater than or equal to 0.")
	case wholeOnly[currency] && amount%100 != 0, threeDecimal[currency] && amount%10 != 0:
		return invalid(param, "", fmt.Sprintf("The amount %d has digits that %s cannot carry.", amount, strings.ToUpper(currency)))
	}
	return nil
}

func checkTotal(currency string, total int64) *apiError {
	most := int64(largest)
	if currency == "idr" || currency == "inr" {
		most = 999_999_999_999
	}
	switch {
	case total > most:
		return invalid("", "amount_too_large", fmt.Sprintf("The total is more than %d.", most))
	case total < max(smallest[currency], 1):
		return invalid("", "amount_too_small", fmt.Sprintf("The total must be at least %d of the smallest unit of %s.",
			max(smallest[currency], 1), strings.ToUpper(currency)))
	}
	return nil
}

// minor converts Stripe's units into minor units of ISO 4217.
func minor(currency string, units int64) int64 {
	switch {
	case wholeOnly[currency]:
		return units / 100
	case currency == "mga": // Stripe has no hundredths of it, ISO 4217 does
		return units * 100
	}
	return units
}

// wire converts minor units of ISO 4217 into Stripe's units.
func wire(currency string, minor int64) int64 {
	switch {
	case wholeOnly[currency]:
		return minor * 100
	case currency == "mga":
		return minor / 100
	}
	return minor
}

// show writes an amount as a person reads it: 12.50 USD.
func show(currency string, units int64) string {
	return host.Show(strings.ToUpper(currency), minor(currency, units))
}
