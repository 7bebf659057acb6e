package host

import (
	"fmt"
	"strings"
)

// The decimals of ISO 4217, where they are not two. They are written down here a
// second time on purpose: the twin is a judge of what the program counts.
const (
	isoZero  = " BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF "
	isoThree = " BHD IQD JOD KWD LYD OMR TND "
	isoFour  = " CLF UYW "
)

// Decimals is how many digits a currency (upper case) has after its point.
func Decimals(currency string) int {
	code := " " + currency + " "
	switch {
	case strings.Contains(isoZero, code):
		return 0
	case strings.Contains(isoThree, code):
		return 3
	case strings.Contains(isoFour, code):
		return 4
	}
	return 2
}

// Major writes minor units as a decimal of the major unit with all its digits:
// 1250 of USD is 12.50.
func Major(currency string, minor int64) string {
	n := Decimals(currency)
	if n == 0 {
		return fmt.Sprint(minor)
	}
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	unit := int64(1)
	for range n {
		unit *= 10
	}
	return fmt.Sprintf("%s%d.%0*d", sign, minor/unit, n, minor%unit)
}

// Show writes an amount as a person reads it: 12.50 USD.
func Show(currency string, minor int64) string { return Major(currency, minor) + " " + currency }
