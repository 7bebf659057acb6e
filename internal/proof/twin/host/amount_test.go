package host_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin/host"
)

func TestMajorWritesEachCurrencysDigits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		minor    int64
		want     string
	}{
		{"USD", 1250, "12.50"},
		{"USD", 5, "0.05"},
		{"USD", -1250, "-12.50"},
		{"USD", 0, "0.00"},
		{"JPY", 1250, "1250"},
		{"UGX", 15000, "15000"},
		{"ISK", 2400, "2400"},
		{"XOF", 500, "500"},
		{"RWF", 500, "500"},
		{"HUF", 150000, "1500.00"},
		{"NGN", 250050, "2500.50"},
		{"TND", 10010, "10.010"},
		{"KWD", 1, "0.001"},
		{"CLF", 12345, "1.2345"},
	} {
		require.Equal(t, c.want, host.Major(c.currency, c.minor), "%d %s", c.minor, c.currency)
	}
	require.Equal(t, "12.50 USD", host.Show("USD", 1250))
}
