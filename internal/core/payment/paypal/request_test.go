package paypal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

func TestManyLinesAreFolded(t *testing.T) {
	t.Parallel()
	in := payment.CheckoutRequest{Currency: "EUR"}
	for i := range 250 {
		in.Lines = append(in.Lines, payment.CheckoutLine{Name: fmt.Sprintf("Photo %d", i), Price: int64(i)})
	}
	req, err := createBody(in)
	require.NoError(t, err)
	items := req.Units[0].Items
	require.Len(t, items, 100)
	var total int64
	for _, i := range items {
		minor, err := fromWire(i.Price)
		require.NoError(t, err)
		total += minor
	}
	require.EqualValues(t, 250*249/2, total)
	require.Equal(t, amount{"EUR", "311.25"}, req.Units[0].Amount.amount)
	require.Equal(t, amount{"EUR", "311.25"}, req.Units[0].Amount.Breakdown.ItemTotal)
	require.Equal(t, "151 more items", items[99].Name)
	require.Equal(t, "Photo 99", in.Lines[99].Name, "the caller's lines are untouched")

	for name, lines := range map[string][]payment.CheckoutLine{
		"none": nil, "a negative price": {{Name: "A", Price: 10}, {Name: "B", Price: -1}},
		"too much": {{Name: "A", Price: 1 << 62}, {Name: "B", Price: 1 << 62}},
	} {
		_, err = createBody(payment.CheckoutRequest{Currency: "EUR", Lines: lines})
		require.Error(t, err, name)
	}
}

func TestARequestIsAPureFunctionOfItsInput(t *testing.T) {
	t.Parallel()
	in := payment.CheckoutRequest{Currency: "USD", Lines: []payment.CheckoutLine{{Name: " ", Price: 1}}}
	var first []byte
	for range 3 {
		req, err := createBody(in)
		require.NoError(t, err)
		b, err := json.Marshal(req)
		require.NoError(t, err)
		if first == nil {
			first = b
		}
		require.Equal(t, string(first), string(b))
	}
	require.Contains(t, string(first), `"name":"Item"`)
	require.NotContains(t, string(first), "email_address", "an empty address is none")
	require.NotContains(t, string(first), "description")
}

func TestNamesAreCleaned(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a\uFFFDb", clean("a\xffb"))
	long := clean(strings.Repeat("ü", 5000))
	require.Len(t, []rune(long), maxText)
	require.True(t, strings.HasSuffix(long, "…"))
}
