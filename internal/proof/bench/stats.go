package bench

import (
	"math"
	"slices"
	"time"
)

// Median of numbers; 0 of none. The argument stays as it is.
func Median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(of))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Spread is how far apart the numbers are: (largest - smallest) / median; 0 of
// fewer than two.
func Spread(of []float64) float64 {
	m := Median(of)
	if len(of) < 2 || m == 0 {
		return 0
	}
	return (slices.Max(of) - slices.Min(of)) / m
}

// Latencies are the times of many operations.
type Latencies []time.Duration

// Percentile is the smallest time that at least the share p (0 to 1) of the
// operations did not exceed; 0 of none. It sorts the receiver.
func (l Latencies) Percentile(p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	if !slices.IsSorted(l) {
		slices.Sort(l)
	}
	i := int(math.Ceil(p*float64(len(l)))) - 1
	return l[min(max(i, 0), len(l)-1)]
}

// Millis is a duration in milliseconds, to the microsecond.
func Millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Round rounds to so many digits after the point, for reports.
func Round(x float64, digits int) float64 {
	f := math.Pow10(digits)
	return math.Round(x*f) / f
}
